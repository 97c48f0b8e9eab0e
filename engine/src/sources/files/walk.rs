//! The walk: one pass over all that is wanted, in byte order, with a stack of its own, single-component steps and few descriptors.

use super::directory::{Directory, Trail};
use super::exclude::Progress;
use super::paths::Wanted;
use super::{FileSource, Mark};
use crate::format::node::NodeType;
use crate::ops::source::{Item, Skipped, SourceDir, Stop, Visitor};
use crate::sources::system::handle::{open_path, open_quietly};
use crate::sources::system::listing::{Buffer, Listing};
use crate::sources::system::{Identity, replaced, stat_from, statx_at, statx_of, type_of};
use rustix::fs::{CWD, OFlags, Statx, StatxAttributes};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Directories of the stack, counted from the deepest, that keep their descriptor. Those further up get theirs again on the way back.
const HELD: usize = 128;

/// Directories left behind whose memory is kept for the next ones.
const SPARE: usize = 32;

/// A directory on the way from the root to where the walk is.
struct Frame<'a> {
    /// `None` where the descriptor was let go of.
    open: Option<Open>,
    identity: Identity,
    trail: Arc<Trail>,
    names: Listing,
    next: usize,
    /// All names are wanted, not only those that `wanted` has.
    whole: bool,
    wanted: Option<&'a Wanted>,
    progress: Progress,
    /// The device to stay on.
    device: u64,
    /// Length of its own path in [`Walker::path`].
    path: usize,
}

/// The same directory as itself and as what visitors see, so that showing an entry costs no reference count.
struct Open {
    directory: Arc<Directory>,
    shown: Arc<dyn SourceDir>,
}

struct Walker<'a, 'v> {
    source: &'a FileSource,
    visitor: &'v mut dyn Visitor,
    stack: Vec<Frame<'a>>,
    /// Path of the entry at hand, for messages.
    path: Vec<u8>,
    buffer: Buffer,
    /// Memory of directories left behind, for the next ones.
    spare: Vec<(Listing, Progress)>,
}

/// Walks all that `source` wants.
pub fn walk(source: &FileSource, visitor: &mut dyn Visitor) -> Result<(), Stop> {
    let mut walker = Walker { source, visitor, stack: Vec::new(), path: Vec::new(), buffer: Buffer::default(), spare: Vec::new() };
    let whole = source.wanted.whole;
    let opened = open_directory(CWD, c"/", whole).and_then(|fd| Ok((statx_of(fd.as_fd())?, fd)));
    let (found, fd) = match opened {
        Ok(opened) => opened,
        Err(error) => return walker.visitor.failed(b"/", error),
    };
    let identity = Identity::of(&found);
    source.shared.devices.number(identity.device);
    let place = Place { trail: Trail::root(), identity, whole, wanted: Some(&source.wanted), device: identity.device, path: 0 };
    walker.descend(fd, place, Listing::default(), source.options.excludes.begin())?;
    while let Some(frame) = walker.stack.last() {
        if frame.next < frame.names.len() {
            walker.entry()?;
        } else {
            walker.ascend()?;
        }
    }
    Ok(())
}

/// All of a [`Frame`] that is known before its directory is listed.
struct Place<'a> {
    trail: Arc<Trail>,
    identity: Identity,
    whole: bool,
    wanted: Option<&'a Wanted>,
    device: u64,
    path: usize,
}

impl<'a> Walker<'a, '_> {
    /// The next entry of the deepest directory.
    fn entry(&mut self) -> Result<(), Stop> {
        let source = self.source;
        let frame = self.stack.last_mut().expect("called with a directory on the stack");
        let at = frame.next;
        frame.next += 1;
        let frame = &*frame;
        let open = frame.open.as_ref().expect("the deepest directory is always open");
        let name = frame.names.name(at);
        let bytes = name.to_bytes();
        self.path.truncate(frame.path);
        self.path.push(b'/');
        self.path.extend_from_slice(bytes);

        let wanted = frame.wanted.and_then(|wanted| wanted.children.get(bytes));
        // Names that nobody asked for come up in directories of which all is wanted, and as the marks of those that are left out.
        let whole = frame.whole || wanted.is_none_or(|wanted| wanted.whole);
        let named = wanted.is_some_and(|wanted| wanted.whole);
        if whole && source.options.excludes.excludes(&frame.progress, bytes) {
            return self.visitor.skipped(&self.path, Skipped::Excluded);
        }
        let dir = open.directory.fd.as_fd();
        let mut found = match statx_at(dir, name) {
            Ok(found) => found,
            Err(error) => return self.visitor.failed(&self.path, error),
        };
        if source.own.contains(&Identity::of(&found)) {
            return self.visitor.skipped(&self.path, Skipped::Ourselves);
        }
        let elsewhere = |found: &Statx| whole && !named && source.options.one_file_system && Identity::of(found).device != frame.device;

        if type_of(&found) != Some(NodeType::Directory) {
            if !whole {
                return self.visitor.failed(&self.path, Errno::NOTDIR.into());
            }
            // On overlay file systems files may show another device than their directory; only what is mounted lies elsewhere.
            if elsewhere(&found) && may_be_mounted(&found) {
                return self.visitor.skipped(&self.path, Skipped::OtherFileSystem);
            }
            let stat = match stat_from(&found, &source.shared.devices) {
                Ok(stat) => stat,
                Err(error) => return self.visitor.failed(&self.path, error),
            };
            if source.options.exclude_larger_than.is_some_and(|limit| stat.size > limit) {
                return self.visitor.skipped(&self.path, Skipped::Excluded);
            }
            return self.visitor.leaf(Item { name: bytes, stat: &stat, dir: &open.shown });
        }

        let further = wanted.is_some_and(|wanted| !wanted.children.is_empty());
        let mut opened = None;
        // What lies elsewhere is not even opened (it might be mounted by that), unless a path leads through it.
        if !elsewhere(&found) || further {
            match open_directory(dir, name, whole && !elsewhere(&found)).and_then(|fd| Ok((statx_of(fd.as_fd())?, fd))) {
                // The open directory's own word counts: it is what will be listed, should another have taken the name or been mounted there.
                Ok((now, fd)) => {
                    found = now;
                    opened = Some(Ok(fd));
                }
                // Nothing there any more, or something that is not a directory.
                Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => {
                    return self.visitor.failed(&self.path, error);
                }
                Err(error) => opened = Some(Err(error)),
            }
        }
        let identity = Identity::of(&found);
        if source.own.contains(&identity) {
            return self.visitor.skipped(&self.path, Skipped::Ourselves);
        }
        source.shared.devices.number(identity.device);
        let stat = match stat_from(&found, &source.shared.devices) {
            Ok(stat) => stat,
            Err(error) => return self.visitor.failed(&self.path, error),
        };
        if !self.visitor.enter(Item { name: bytes, stat: &stat, dir: &open.shown })? {
            return Ok(());
        }
        let elsewhere = elsewhere(&found);
        if elsewhere {
            self.visitor.skipped(&self.path, Skipped::OtherFileSystem)?;
        }
        let fd = match opened {
            Some(Ok(fd)) if !elsewhere || further => fd,
            Some(Err(error)) => {
                self.visitor.failed(&self.path, error)?;
                return self.visitor.leave();
            }
            _ => return self.visitor.leave(),
        };
        let place = Place {
            trail: Trail::below(&frame.trail, bytes),
            identity,
            whole: whole && !elsewhere,
            wanted,
            device: if named { identity.device } else { frame.device },
            path: self.path.len(),
        };
        let (names, mut progress) = self.spare.pop().unwrap_or_default();
        source.options.excludes.advance(&frame.progress, bytes, &mut progress);
        self.descend(fd, place, names, progress)
    }

    /// Lists a directory that was entered and puts it on the stack.
    fn descend(&mut self, fd: OwnedFd, place: Place<'a>, mut names: Listing, progress: Progress) -> Result<(), Stop> {
        let Place { trail, identity, mut whole, wanted, device, path } = place;
        if whole {
            if let Err(error) = names.read(fd.as_fd(), &mut self.buffer) {
                self.visitor.failed(shown_path(&self.path), error)?;
            }
            let marked = |mark: &&Mark| names.holds(&mark.name) && begins_with(fd.as_fd(), mark);
            let marks: Vec<&Mark> = self.source.marks.iter().filter(marked).collect();
            if !marks.is_empty() {
                self.visitor.skipped(shown_path(&self.path), Skipped::Marked)?;
                let asked_for = |name: &[u8]| wanted.is_some_and(|wanted| wanted.children.contains_key(name));
                names.retain(|name| marks.iter().any(|mark| mark.name == name) || asked_for(name));
                whole = false;
            }
        } else if let Some(wanted) = wanted {
            wanted.children.keys().for_each(|name| names.push(name));
            names.sort();
        }
        let directory = Arc::new(Directory { fd, trail: Arc::clone(&trail), shared: Arc::clone(&self.source.shared) });
        let open = Some(Open { shown: Arc::clone(&directory) as Arc<dyn SourceDir>, directory });
        self.stack.push(Frame { open, identity, trail, names, next: 0, whole, wanted, progress, device, path });
        if let Some(far) = self.stack.len().checked_sub(HELD + 1) {
            self.stack[far].open = None;
        }
        Ok(())
    }

    /// Leaves the deepest directory, and opens the one above it again if its descriptor was let go of.
    fn ascend(&mut self) -> Result<(), Stop> {
        let mut left = self.stack.pop().expect("called with a directory on the stack");
        if self.spare.len() < SPARE {
            left.names.clear();
            self.spare.push((left.names, left.progress));
        }
        let Some(above) = self.stack.last_mut() else {
            // That was the root, which has no name and was never entered.
            return Ok(());
        };
        self.visitor.leave()?;
        if above.open.is_some() {
            return Ok(());
        }
        let below = left.open.as_ref().expect("the deepest directory is always open");
        match reopen(below.directory.fd.as_fd(), &above.trail, above.identity) {
            Ok(fd) => {
                let directory = Arc::new(Directory { fd, trail: Arc::clone(&above.trail), shared: Arc::clone(&self.source.shared) });
                above.open = Some(Open { shown: Arc::clone(&directory) as Arc<dyn SourceDir>, directory });
                Ok(())
            }
            Err(error) => {
                // Its other entries are out of reach. It stays on the stack to be left; what is above it must be reached another way.
                above.next = above.names.len();
                above.open.clone_from(&left.open);
                self.path.truncate(above.path);
                self.visitor.failed(shown_path(&self.path), error)
            }
        }
    }
}

impl Clone for Open {
    fn clone(&self) -> Self {
        Self { directory: Arc::clone(&self.directory), shown: Arc::clone(&self.shown) }
    }
}

/// Opens directory `name` of `dir`: to be listed, or as a step on the way, for which search permission is enough.
fn open_directory(dir: BorrowedFd<'_>, name: &CStr, to_list: bool) -> io::Result<OwnedFd> {
    if to_list {
        return Ok(open_quietly(dir, name, OFlags::DIRECTORY | OFlags::NOFOLLOW)?);
    }
    let fd = open_path(dir, name)?;
    if type_of(&statx_of(fd.as_fd())?) == Some(NodeType::Directory) { Ok(fd) } else { Err(Errno::NOTDIR.into()) }
}

/// Opens the directory that `below` was entered from: through `..`, or, where that has changed, step by step from the root.
/// It must be the same directory as before; another one is `StaleNetworkFileHandle`.
fn reopen(below: BorrowedFd<'_>, trail: &Trail, identity: Identity) -> io::Result<OwnedFd> {
    let same = |fd: &OwnedFd| statx_of(fd.as_fd()).is_ok_and(|found| Identity::of(&found) == identity);
    if let Some(fd) = open_directory(below, c"..", false).ok().filter(same) {
        return Ok(fd);
    }
    let mut fd = open_directory(CWD, c"/", false)?;
    for name in trail.names() {
        fd = open_directory(fd.as_fd(), &crate::sources::system::component(name)?, false)?;
    }
    if same(&fd) { Ok(fd) } else { Err(replaced()) }
}

/// Whether something is mounted right here, as far as the kernel tells (since Linux 5.8).
fn may_be_mounted(found: &Statx) -> bool {
    !found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) || found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
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

/// The path for a message; that of the root is kept as nothing.
fn shown_path(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"/" } else { path }
}
