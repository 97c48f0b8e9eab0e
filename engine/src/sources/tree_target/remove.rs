//! Removes an entry with all below it: any depth, no links followed, no other file system touched.

use super::Tree;
use super::descriptor::{Descriptor, Soft};
use crate::format::node::NodeType;
use crate::sources::system::listing::{Buffer, Listing};
use crate::sources::system::{Identity, replaced, statx_at, statx_of, type_of};
use rustix::fs::{AtFlags, Mode, OFlags, Statx, StatxAttributes};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;

/// A directory that is being emptied. Only names of subdirectories are remembered; everything else goes at once.
struct Level {
    name: CString,
    identity: Identity,
    pending: Vec<CString>,
}

/// Removes `name` in `top`. The first thing that cannot be removed ends it; what is gone by then stays gone. A mount point is such a thing
/// (`CrossesDevices`): whoever wants a directory gone does not mean the disk that is mounted in it.
///
/// One descriptor is held at a time. The way back up is `..`, good only if it leads to the very directory that was left: should someone move
/// directories about meanwhile, the removal stops before it touches anything outside.
pub fn remove(tree: &Tree, top: &Descriptor, name: &CStr) -> io::Result<()> {
    let found = statx_at(top.fd.as_fd(), name)?;
    if type_of(&found) != Some(NodeType::Directory) {
        return unlink(tree, top, name, AtFlags::empty());
    }
    let device = Identity::of(&statx_of(top.fd.as_fd())?).device;
    let mut work = Work { tree, device, buffer: Buffer::default(), names: Listing::default(), levels: Vec::new() };
    let mut here = work.enter(top, name)?;
    while let Some(level) = work.levels.last_mut() {
        if let Some(next) = level.pending.pop() {
            here = work.enter(&here, &next)?;
            continue;
        }
        let empty = work.levels.pop().expect("just seen");
        let Some(above) = work.levels.last() else {
            return unlink(tree, top, &empty.name, AtFlags::REMOVEDIR);
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::io::retry_on_intr(|| rustix::fs::openat(&here.fd, c"..", flags, Mode::empty()))?;
        if Identity::of(&statx_of(fd.as_fd())?) != above.identity {
            return Err(replaced());
        }
        here = Descriptor { fd, real: true };
        unlink(tree, &here, &empty.name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

struct Work<'a> {
    tree: &'a Tree,
    device: u64,
    buffer: Buffer,
    names: Listing,
    levels: Vec<Level>,
}

impl Work<'_> {
    /// Opens a directory, removes all in it but directories, and puts it on the stack with those.
    fn enter(&mut self, dir: &Descriptor, name: &CStr) -> io::Result<Descriptor> {
        let here = dir.open_directory(self.tree, name)?.made_accessible()?;
        let found = statx_of(here.fd.as_fd())?;
        let identity = Identity::of(&found);
        if identity.device != self.device || is_mounted(&found) {
            return Err(io::Error::new(io::ErrorKind::CrossesDevices, "a file system is mounted there"));
        }
        self.names.read(here.fd.as_fd(), &mut self.buffer)?;
        let mut pending = Vec::new();
        for place in 0..self.names.len() {
            let name = self.names.name(place);
            let found = match statx_at(here.fd.as_fd(), name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                outcome => outcome?,
            };
            if type_of(&found) == Some(NodeType::Directory) {
                pending.push(name.to_owned());
            } else if is_mounted(&found) {
                return Err(io::Error::new(io::ErrorKind::CrossesDevices, "a file is mounted there"));
            } else {
                unlink(self.tree, &here, name, AtFlags::empty())?;
            }
        }
        self.levels.push(Level { name: name.to_owned(), identity, pending });
        Ok(here)
    }
}

fn is_mounted(found: &Statx) -> bool {
    found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

/// Removes one name, after taking immutable flags off it and its directory if it must be. Already gone is fine.
pub fn unlink(tree: &Tree, dir: &Descriptor, name: &CStr, flags: AtFlags) -> io::Result<()> {
    let act = || rustix::fs::unlinkat(&dir.fd, name, flags);
    match dir.softly(Soft::Entry(tree, name), act) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
