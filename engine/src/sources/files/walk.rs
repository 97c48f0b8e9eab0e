//! The walk: one pass over all that is wanted, in byte order, with a stack of its own, single-component steps and few descriptors.

use super::FileSource;
use super::ahead::{Ahead, Node};
use super::directory::{Directory, Trail};
use super::exclude::Progress;
use super::paths::Wanted;
use super::scan::{Place, Scan, Seen, marks_in, open_and_look, open_directory};
use crate::format::node::NodeType;
use crate::ops::source::{Item, Skipped, SourceDir, Stop, Visitor};
use crate::sources::system::found::Found;
use crate::sources::system::listing::{Buffer, Listing};
use crate::sources::system::{Identity, component, replaced, statx_at, statx_of};
use rustix::fs::CWD;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Directories of the stack, counted from the deepest, that keep their descriptor. Those further up get theirs again on the way back.
const HELD: usize = 128;

/// Levels of the stack that may keep what was seen ahead of more than [`SEEN_KEPT`] entries while the walk is further down; the others look again.
const SEEN_LEVELS: usize = 16;

/// See [`SEEN_LEVELS`].
const SEEN_KEPT: usize = 256;

/// A directory on the way from the root to where the walk is.
struct Frame<'a> {
    place: Arc<Place<'a>>,
    /// `None` where the descriptor was let go of.
    open: Option<Open>,
    identity: Identity,
    names: Arc<Listing>,
    /// What is known of the entries already; may end before the names do.
    seen: Vec<Seen>,
    next: usize,
    /// All names are wanted, not only those that `place.wanted` has.
    whole: bool,
    /// Length of its own path in [`Walker::path`].
    path: usize,
    /// Its place among those that are read ahead, if anything beneath it is.
    node: Option<Arc<Node<'a>>>,
}

/// The same directory as itself and as what visitors see, so that showing an entry costs no reference count.
#[derive(Clone)]
struct Open {
    directory: Arc<Directory>,
    shown: Arc<dyn SourceDir>,
}

impl Open {
    fn of(directory: Arc<Directory>) -> Self {
        Self { shown: Arc::clone(&directory) as Arc<dyn SourceDir>, directory }
    }
}

struct Walker<'a, 'v> {
    source: &'a FileSource,
    visitor: &'v mut dyn Visitor,
    /// `None`: the walk does everything itself, each thing when it comes to it.
    ahead: Option<&'v Ahead<'a>>,
    stack: Vec<Frame<'a>>,
    /// Path of the entry at hand, for messages.
    path: Vec<u8>,
    buffer: Buffer,
    /// Memory of a directory left behind, for the next one.
    spare: Option<Listing>,
}

/// Ends the threads that read ahead, also when the visitor panics: they would wait for ever.
struct Stopping<'v, 'a>(&'v Ahead<'a>);

impl Drop for Stopping<'_, '_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Walks all that `source` wants.
pub fn walk(source: &FileSource, visitor: &mut dyn Visitor) -> Result<(), Stop> {
    if source.threads == 0 {
        return walk_with(source, None, visitor);
    }
    let ahead = Ahead::new(source);
    std::thread::scope(|scope| {
        let stopping = Stopping(&ahead);
        for _ in 0..source.threads {
            // Without another thread the walk does all itself.
            let _ = std::thread::Builder::new().name("walk ahead".to_owned()).spawn_scoped(scope, || ahead.run());
        }
        walk_with(source, Some(stopping.0), visitor)
    })
}

fn walk_with<'a>(source: &'a FileSource, ahead: Option<&Ahead<'a>>, visitor: &mut dyn Visitor) -> Result<(), Stop> {
    let mut walker = Walker { source, visitor, ahead, stack: Vec::new(), path: Vec::new(), buffer: Buffer::default(), spare: None };
    let whole = source.wanted.whole;
    let (fd, found) = match open_and_look(CWD, c"/", whole) {
        Ok(opened) => opened,
        Err(error) => return walker.visitor.failed(b"/", error),
    };
    let device = found.identity.device;
    source.shared.devices.number(device);
    let place = Place { trail: Trail::root(), wanted: Some(&source.wanted), device, progress: source.options.excludes.begin() };
    let directory = Arc::new(Directory::new(fd, Arc::clone(&place.trail), Arc::clone(&source.shared)));
    walker.descend(directory, found, place, whole)?;
    while let Some(frame) = walker.stack.last() {
        if frame.next < frame.names.len() {
            walker.entry()?;
        } else {
            walker.ascend()?;
        }
    }
    Ok(())
}

/// A directory that the walk came to.
struct Met<'a> {
    /// Of its name in the directory above.
    at: usize,
    found: Found,
    /// Its descriptor, or why there is none; `None` if it was not to be opened.
    opened: Option<io::Result<OwnedFd>>,
    whole: bool,
    wanted: Option<&'a Wanted>,
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

        let listed_as_directory = frame.names.is_directory(at);
        if listed_as_directory
            && let (Some(ahead), Some(node)) = (self.ahead, &frame.node)
            && let Some((node, scan)) = ahead.take(node, at, &mut self.buffer)
        {
            return self.enter_read(node, scan);
        }
        let wanted = frame.place.wanted.and_then(|wanted| wanted.children.get(bytes));
        // Names that nobody asked for come up in directories of which all is wanted, and as the marks of those that are left out.
        let whole = frame.whole || wanted.is_none_or(|wanted| wanted.whole);
        let named = wanted.is_some_and(|wanted| wanted.whole);
        let seen = frame.seen.get(at).copied().unwrap_or(Seen::Unknown);
        if matches!(seen, Seen::Excluded) || whole && matches!(seen, Seen::Unknown) && source.options.excludes.excludes(&frame.place.progress, bytes) {
            return self.visitor.skipped(&self.path, Skipped::Excluded);
        }
        let dir = open.directory.fd.as_fd();
        if listed_as_directory
            && whole
            && !source.options.one_file_system
            && let Ok((fd, found)) = open_and_look(dir, name, true)
        {
            return self.directory(Met { at, found, opened: Some(Ok(fd)), whole, wanted });
        }
        let looked = if let Seen::Is(found) = seen { Ok(found) } else { statx_at(dir, name).map(|found| Found::of(&found)) };
        let mut found = match looked {
            Ok(found) => found,
            Err(error) => return self.visitor.failed(&self.path, error),
        };
        if source.own.contains(&found.identity) {
            return self.visitor.skipped(&self.path, Skipped::Ourselves);
        }
        let elsewhere = |found: &Found| whole && !named && source.options.one_file_system && found.identity.device != frame.place.device;

        if found.node_type() != Some(NodeType::Directory) {
            if !whole {
                return self.visitor.failed(&self.path, Errno::NOTDIR.into());
            }
            // On overlay file systems files may show another device than their directory; only what is mounted lies elsewhere.
            if elsewhere(&found) && found.may_be_mounted() {
                return self.visitor.skipped(&self.path, Skipped::OtherFileSystem);
            }
            let stat = match found.stat(&source.shared.devices) {
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
            match open_and_look(dir, name, whole && !elsewhere(&found)) {
                Ok((fd, now)) => {
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
        self.directory(Met { at, found, opened, whole, wanted })
    }

    /// Shows a directory, and goes down into it if it is open.
    fn directory(&mut self, met: Met<'a>) -> Result<(), Stop> {
        let Met { at, found, opened, whole, wanted } = met;
        let (source, frame) = (self.source, self.stack.last().expect("called with a directory on the stack"));
        let open = frame.open.as_ref().expect("the deepest directory is always open");
        let name = frame.names.name(at).to_bytes();
        let identity = found.identity;
        if source.own.contains(&identity) {
            return self.visitor.skipped(&self.path, Skipped::Ourselves);
        }
        source.shared.devices.number(identity.device);
        let stat = match found.stat(&source.shared.devices) {
            Ok(stat) => stat,
            Err(error) => return self.visitor.failed(&self.path, error),
        };
        let named = wanted.is_some_and(|wanted| wanted.whole);
        let further = wanted.is_some_and(|wanted| !wanted.children.is_empty());
        let elsewhere = whole && !named && source.options.one_file_system && identity.device != frame.place.device;
        let to_list = whole && !elsewhere;
        let trail = Trail::below(&frame.place.trail, name);
        let opened = opened.map(|opened| opened.map(|fd| Arc::new(Directory::new(fd, Arc::clone(&trail), Arc::clone(&source.shared)))));
        if to_list && let Some(Ok(directory)) = &opened {
            open.directory.set_entered(Some(Arc::clone(directory)));
        }
        let entered = self.visitor.enter(Item { name, stat: &stat, dir: &open.shown });
        open.directory.set_entered(None);
        if !entered? {
            return Ok(());
        }
        if elsewhere {
            self.visitor.skipped(&self.path, Skipped::OtherFileSystem)?;
        }
        let directory = match opened {
            Some(Ok(directory)) if !elsewhere || further => directory,
            Some(Err(error)) => {
                self.visitor.failed(&self.path, error)?;
                return self.visitor.leave();
            }
            _ => return self.visitor.leave(),
        };
        let mut progress = Progress::default();
        source.options.excludes.advance(&frame.place.progress, name, &mut progress);
        let device = if named { identity.device } else { frame.place.device };
        self.descend(directory, found, Place { trail, wanted, device, progress }, to_list)
    }

    /// Shows a directory that was read ahead, and goes down into it.
    fn enter_read(&mut self, node: Arc<Node<'a>>, scan: Scan<'a>) -> Result<(), Stop> {
        let Scan { place, directory, found, names, seen } = scan;
        let (source, frame) = (self.source, self.stack.last().expect("called with a directory on the stack"));
        let open = frame.open.as_ref().expect("the deepest directory is always open");
        source.shared.devices.number(found.identity.device);
        let stat = match found.stat(&source.shared.devices) {
            Ok(stat) => stat,
            Err(error) => return self.visitor.failed(&self.path, error),
        };
        open.directory.set_entered(Some(Arc::clone(&directory)));
        let entered = self.visitor.enter(Item { name: place.trail.name(), stat: &stat, dir: &open.shown });
        open.directory.set_entered(None);
        if !entered? {
            self.ahead.inspect(|ahead| ahead.leave(&node));
            return Ok(());
        }
        self.push(Frame {
            place,
            open: Some(Open::of(directory)),
            identity: found.identity,
            names,
            seen,
            next: 0,
            whole: true,
            path: self.path.len(),
            node: Some(node),
        });
        Ok(())
    }

    /// Lists a directory that was entered and puts it on the stack.
    fn descend(&mut self, directory: Arc<Directory>, found: Found, place: Place<'a>, mut whole: bool) -> Result<(), Stop> {
        let mut names = self.spare.take().unwrap_or_default();
        if whole {
            if let Err(error) = names.read(directory.fd.as_fd(), &mut self.buffer) {
                self.visitor.failed(shown_path(&self.path), error)?;
            }
            let marks = marks_in(self.source, directory.fd.as_fd(), &names);
            if !marks.is_empty() {
                self.visitor.skipped(shown_path(&self.path), Skipped::Marked)?;
                let asked_for = |name: &[u8]| place.wanted.is_some_and(|wanted| wanted.children.contains_key(name));
                names.retain(|name| marks.iter().any(|mark| mark.name == name) || asked_for(name));
                whole = false;
            }
        } else if let Some(wanted) = place.wanted {
            wanted.children.keys().for_each(|name| names.push(name));
            names.sort();
        }
        let (place, names) = (Arc::new(place), Arc::new(names));
        let node = self.ahead.filter(|_| whole && names.directories() > 0).map(|ahead| ahead.listed(&place, &directory, found, &names));
        let path = self.path.len();
        self.push(Frame { place, open: Some(Open::of(directory)), identity: found.identity, names, seen: Vec::new(), next: 0, whole, path, node });
        Ok(())
    }

    fn push(&mut self, frame: Frame<'a>) {
        let deep = self.stack.len() > SEEN_LEVELS;
        if let Some(above) = self.stack.last_mut().filter(|above| deep && above.seen.len() > SEEN_KEPT) {
            above.seen = Vec::new();
        }
        self.stack.push(frame);
        if let Some(far) = self.stack.len().checked_sub(HELD + 1) {
            let far = &mut self.stack[far];
            far.open = None;
            if let (Some(ahead), Some(node)) = (self.ahead, &far.node) {
                ahead.let_go(node);
            }
        }
    }

    /// Leaves the deepest directory, and opens the one above it again if its descriptor was let go of.
    fn ascend(&mut self) -> Result<(), Stop> {
        let left = self.stack.pop().expect("called with a directory on the stack");
        if let (Some(ahead), Some(node)) = (self.ahead, &left.node) {
            ahead.leave(node);
        }
        drop(left.node);
        if let Some(mut names) = Arc::into_inner(left.names) {
            names.clear();
            match self.ahead {
                Some(ahead) if self.spare.is_some() => ahead.take_back(names, left.seen),
                _ => self.spare = Some(names),
            }
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
        match reopen(below.directory.fd.as_fd(), &above.place.trail, above.identity) {
            Ok(fd) => {
                above.open = Some(Open::of(Arc::new(Directory::new(fd, Arc::clone(&above.place.trail), Arc::clone(&self.source.shared)))));
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

/// Opens the directory that `below` was entered from: through `..`, or, where that has changed, step by step from the root.
/// It must be the same directory as before; another one is `StaleNetworkFileHandle`.
fn reopen(below: BorrowedFd<'_>, trail: &Trail, identity: Identity) -> io::Result<OwnedFd> {
    let same = |fd: &OwnedFd| statx_of(fd.as_fd()).is_ok_and(|found| Identity::of(&found) == identity);
    if let Some(fd) = open_directory(below, c"..", false).ok().filter(same) {
        return Ok(fd);
    }
    let mut fd = open_directory(CWD, c"/", false)?;
    for name in trail.names() {
        fd = open_directory(fd.as_fd(), &component(name)?, false)?;
    }
    if same(&fd) { Ok(fd) } else { Err(replaced()) }
}

/// The path for a message; that of the root is kept as nothing.
fn shown_path(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"/" } else { path }
}
