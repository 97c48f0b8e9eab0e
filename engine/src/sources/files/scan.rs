//! One directory on its own: opened, listed, held against marks, its entries looked at. What the walk and those who run ahead of it both do.

use super::directory::{Directory, Trail};
use super::exclude::Progress;
use super::paths::Wanted;
use super::{FileSource, Mark};
use crate::format::node::NodeType;
use crate::sources::system::found::Found;
use crate::sources::system::handle::{open_path, open_quietly};
use crate::sources::system::listing::{Buffer, Listing};
use crate::sources::system::{statx_at, statx_of, type_of};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::ffi::CStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// All of a directory that is known before it is listed.
#[derive(Debug)]
pub struct Place<'a> {
    /// How it was reached.
    pub trail: Arc<Trail>,
    /// Paths named at or beneath it.
    pub wanted: Option<&'a Wanted>,
    /// The device to stay on.
    pub device: u64,
    /// How far the patterns have come.
    pub progress: Progress,
}

/// What is known of an entry before the walk comes to it.
#[derive(Clone, Copy, Debug)]
pub enum Seen {
    /// Nothing: it was not looked at, or could not be.
    Unknown,
    /// A pattern leaves it out.
    Excluded,
    /// It was there.
    Is(Found),
}

/// A directory that was read before the walk came to it.
#[derive(Debug)]
pub struct Scan<'a> {
    pub place: Arc<Place<'a>>,
    pub directory: Arc<Directory>,
    /// What it is itself.
    pub found: Found,
    pub names: Arc<Listing>,
    /// As many as there are names.
    pub seen: Vec<Seen>,
}

/// Opens directory `name` of `dir`: to be listed, or as a step on the way, for which search permission is enough.
pub fn open_directory(dir: BorrowedFd<'_>, name: &CStr, to_list: bool) -> io::Result<OwnedFd> {
    if to_list {
        return Ok(open_quietly(dir, name, OFlags::DIRECTORY | OFlags::NOFOLLOW)?);
    }
    let fd = open_path(dir, name)?;
    if type_of(&statx_of(fd.as_fd())?) == Some(NodeType::Directory) { Ok(fd) } else { Err(Errno::NOTDIR.into()) }
}

/// The same, with what it is: the open directory's own word counts, should another have taken the name or been mounted there.
pub fn open_and_look(dir: BorrowedFd<'_>, name: &CStr, to_list: bool) -> io::Result<(OwnedFd, Found)> {
    let fd = open_directory(dir, name, to_list)?;
    let found = Found::of(&statx_of(fd.as_fd())?);
    Ok((fd, found))
}

/// The marks of `source` that lie in a directory.
pub fn marks_in<'a>(source: &'a FileSource, dir: BorrowedFd<'_>, names: &Listing) -> Vec<&'a Mark> {
    source.marks.iter().filter(|mark| names.holds(&mark.name) && begins_with(dir, mark)).collect()
}

/// Whether the file of a mark begins as it must. One that cannot be read marks nothing: rather too much is backed up than too little.
fn begins_with(dir: BorrowedFd<'_>, mark: &Mark) -> bool {
    let Some(header) = &mark.header else {
        return true;
    };
    let read = || -> io::Result<Vec<u8>> {
        let name = crate::sources::system::component(&mark.name)?;
        let fd = open_quietly(dir, &name, OFlags::NONBLOCK | OFlags::NOFOLLOW)?;
        let mut start = Vec::with_capacity(header.len());
        std::fs::File::from(fd).take(header.len() as u64).read_to_end(&mut start)?;
        Ok(start)
    };
    read().is_ok_and(|start| start == *header)
}

/// Opens and lists subdirectory `name` of a directory of which all is wanted, if there is nothing about it that the walk itself must decide or
/// tell: an error, an exclusion, a mark, another file system, more than `most` names.
pub fn list_ahead<'a>(
    source: &'a FileSource,
    (place, directory): (&Place<'a>, &Directory),
    name: &CStr,
    mut names: Listing,
    (buffer, most): (&mut Buffer, usize),
) -> Option<Scan<'a>> {
    let (dir, bytes) = (directory.fd.as_fd(), name.to_bytes());
    if source.options.excludes.excludes(&place.progress, bytes) {
        return None;
    }
    let wanted = place.wanted.and_then(|wanted| wanted.children.get(bytes));
    let named = wanted.is_some_and(|wanted| wanted.whole);
    let stays = |found: &Found| named || !source.options.one_file_system || found.identity.device == place.device;
    // What lies elsewhere is not even opened: it might be mounted by that.
    if source.options.one_file_system && !stays(&Found::of(&statx_at(dir, name).ok()?)) {
        return None;
    }
    let (fd, found) = open_and_look(dir, name, true).ok()?;
    if !stays(&found) || source.own.contains(&found.identity) || !names.read_at_most(fd.as_fd(), buffer, most).ok()? {
        return None;
    }
    if !marks_in(source, fd.as_fd(), &names).is_empty() {
        return None;
    }
    let mut progress = Progress::default();
    source.options.excludes.advance(&place.progress, bytes, &mut progress);
    let trail = Trail::below(&place.trail, bytes);
    let device = if named { found.identity.device } else { place.device };
    let directory = Arc::new(Directory::new(fd, Arc::clone(&trail), Arc::clone(&source.shared)));
    Some(Scan { place: Arc::new(Place { trail, wanted, device, progress }), directory, found, names: Arc::new(names), seen: Vec::new() })
}

/// What there is to know of entry `at` without opening it. Directories are opened later, and then asked.
pub fn look_ahead(source: &FileSource, scan: &Scan<'_>, at: usize) -> Seen {
    let name = scan.names.name(at);
    if source.options.excludes.excludes(&scan.place.progress, name.to_bytes()) {
        return Seen::Excluded;
    }
    if scan.names.is_directory(at) {
        return Seen::Unknown;
    }
    statx_at(scan.directory.fd.as_fd(), name).map_or(Seen::Unknown, |found| Seen::Is(Found::of(&found)))
}
