//! Reading ahead of the walk: a few threads list the directories that come next and look at their entries, within a bounded window.
//!
//! The walk stays what it is, one thread that shows entries in order and decides and tells everything itself; whatever is not ready, or not plain,
//! when it comes by, it does itself. So what is done here can only make it faster.

use super::FileSource;
use super::directory::Directory;
use super::scan::{Place, Scan, Seen, list_ahead, look_ahead};
use crate::sources::system::found::Found;
use crate::sources::system::listing::{Buffer, Listing};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// Directories held open ahead of the walk.
const DIRECTORIES_MAX: usize = 64;
/// Entries looked at ahead of the walk, about 120 bytes each with their names; each thread may go beyond it by one directory.
const ENTRIES_MAX: usize = 8192;
/// Names in a directory that is read ahead. Longer ones are left to the walk, which keeps nothing of an entry but its name.
const NAMES_MAX: usize = 4096;
/// Directories left behind whose memory is kept for the next ones.
const SPARE: usize = 32;

/// What can be used again of a directory left behind.
type Spare = (Listing, Vec<Seen>);

/// How often the walk looks whether a directory is ready that another thread is just reading: some 10 µs, about what reading one takes.
const LOOKS: usize = 400;

/// A directory that was listed, or is just being listed, and its subdirectories that somebody has taken on.
pub struct Node<'a> {
    listed: OnceLock<Listed<'a>>,
    inner: Mutex<Inner<'a>>,
    /// Nobody works on it, or needs to.
    over: AtomicBool,
}

struct Listed<'a> {
    place: Arc<Place<'a>>,
    found: Found,
    /// Not kept open by this.
    directory: Weak<Directory>,
    names: Arc<Listing>,
}

struct Inner<'a> {
    /// Names from here on are nobody's yet.
    next: usize,
    /// Subdirectories taken on ahead of the walk, in order.
    claims: VecDeque<(usize, Arc<Node<'a>>)>,
    work: Work<'a>,
}

enum Work<'a> {
    Running,
    Done(Scan<'a>, Charge),
    /// Taken by the walk, or left to it.
    Over,
}

/// How much there is ahead of the walk.
#[derive(Default)]
struct Window {
    directories: AtomicUsize,
    entries: AtomicUsize,
    /// Somebody waits until the window is half empty.
    full: AtomicBool,
}

/// A directory's part of the window, given back when it is dropped.
struct Charge {
    window: Arc<Window>,
    entries: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.window.directories.fetch_sub(1, SeqCst);
        self.window.entries.fetch_sub(self.entries, SeqCst);
    }
}

impl Window {
    fn is_below(&self, directories: usize, entries: usize) -> bool {
        self.directories.load(SeqCst) < directories && self.entries.load(SeqCst) < entries
    }

    fn is_half_empty(&self) -> bool {
        self.is_below(DIRECTORIES_MAX / 2, ENTRIES_MAX / 2)
    }
}

/// What is to be done next, and by whom.
struct Line<'a> {
    /// Directories with subdirectories that are nobody's yet, and those being listed, in the order of the walk: the last is the next.
    nodes: Vec<Arc<Node<'a>>>,
    spare: Vec<Spare>,
    /// Threads that wait for work.
    starving: usize,
}

/// The window ahead of one walk.
pub struct Ahead<'a> {
    source: &'a FileSource,
    line: Mutex<Line<'a>>,
    more: Condvar,
    window: Arc<Window>,
    stopped: AtomicBool,
}

/// A subdirectory that somebody has taken on.
struct Claim<'a> {
    place: Arc<Place<'a>>,
    directory: Arc<Directory>,
    names: Arc<Listing>,
    at: usize,
    running: Running<'a>,
    spare: Spare,
    charge: Charge,
}

/// Whoever works on a node lets go of it in the end, come what may.
struct Running<'a>(Arc<Node<'a>>);

impl<'a> Running<'a> {
    fn finish(&self, work: Work<'a>) {
        let mut inner = lock(&self.0.inner);
        if matches!(inner.work, Work::Running) {
            inner.work = work;
        }
        self.0.over.store(true, Release);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.finish(Work::Over);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Node<'a> {
    fn new(work: Work<'a>) -> Self {
        let inner = Inner { next: 0, claims: VecDeque::new(), work };
        Self { listed: OnceLock::new(), inner: Mutex::new(inner), over: AtomicBool::new(false) }
    }

    /// What is known of it so far, if it is listed. Whoever is at it need not go on.
    fn take_over(&self) -> Option<Scan<'a>> {
        self.over.store(true, Release);
        let Listed { place, found, directory, names } = self.listed.get()?;
        Some(Scan { place: Arc::clone(place), directory: directory.upgrade()?, found: *found, names: Arc::clone(names), seen: Vec::new() })
    }
}

impl<'a> Line<'a> {
    /// Takes on the subdirectory that the walk comes to next.
    fn claim(&mut self, window: &Arc<Window>) -> Option<Claim<'a>> {
        let mut place = self.nodes.len();
        while place > 0 {
            place -= 1;
            let above = &self.nodes[place];
            let mut inner = lock(&above.inner);
            let Some(listed) = above.listed.get() else {
                drop(inner);
                if above.over.load(Acquire) {
                    self.nodes.remove(place);
                }
                continue;
            };
            let names = &listed.names;
            let free = (inner.next..names.len()).find(|&at| names.is_directory(at));
            if let (Some(at), Some(directory)) = (free, listed.directory.upgrade()) {
                inner.next = at + 1;
                let node = Arc::new(Node::new(Work::Running));
                inner.claims.push_back((at, Arc::clone(&node)));
                drop(inner);
                window.directories.fetch_add(1, SeqCst);
                let charge = Charge { window: Arc::clone(window), entries: 0 };
                let running = Running(Arc::clone(&node));
                let (names, spare) = (Arc::clone(names), self.spare.pop().unwrap_or_default());
                let claim = Claim { place: Arc::clone(&listed.place), directory, names, at, running, spare, charge };
                // What lies beneath it comes before all that is left of the directory above, and behind what was taken on earlier.
                self.nodes.insert(place + 1, node);
                return Some(claim);
            }
            drop(inner);
            self.nodes.remove(place);
        }
        None
    }
}

impl<'a> Ahead<'a> {
    /// Nothing is ahead yet.
    pub fn new(source: &'a FileSource) -> Self {
        let line = Mutex::new(Line { nodes: Vec::new(), spare: Vec::new(), starving: 0 });
        Self { source, line, more: Condvar::new(), window: Arc::default(), stopped: AtomicBool::new(false) }
    }

    /// What a thread does until the walk is over.
    pub fn run(&self) {
        let mut buffer = Buffer::default();
        while let Some(claim) = self.wait_for_claim() {
            self.scan(claim, &mut buffer);
        }
    }

    fn wait_for_claim(&self) -> Option<Claim<'a>> {
        let mut line = lock(&self.line);
        loop {
            if self.stopped.load(SeqCst) {
                return None;
            }
            if self.has_room()
                && let Some(claim) = line.claim(&self.window)
            {
                return Some(claim);
            }
            line.starving += 1;
            line = self.more.wait(line).unwrap_or_else(PoisonError::into_inner);
            line.starving -= 1;
        }
    }

    /// Once the window was full it must be half empty before anything is taken on: threads would be woken for each directory otherwise.
    /// Called under the lock of the line.
    fn has_room(&self) -> bool {
        if !self.window.full.load(SeqCst) {
            if self.window.is_below(DIRECTORIES_MAX, ENTRIES_MAX) {
                return true;
            }
            self.window.full.store(true, SeqCst);
        }
        let room = self.window.is_half_empty();
        if room {
            self.window.full.store(false, SeqCst);
        }
        room
    }

    /// Wakes threads, for there is work or room again.
    fn call(&self, directories: usize) {
        let starving = lock(&self.line).starving;
        match directories.min(starving) {
            0 => {}
            1 => self.more.notify_one(),
            _ => self.more.notify_all(),
        }
    }

    fn scan(&self, claim: Claim<'a>, buffer: &mut Buffer) {
        let Claim { place, directory, names, at, running, spare: (own_names, mut seen), mut charge } = claim;
        let Some(mut scan) = list_ahead(self.source, (&place, &directory), names.name(at), own_names, (buffer, NAMES_MAX)) else {
            return;
        };
        charge.entries = scan.names.len();
        self.window.entries.fetch_add(charge.entries, SeqCst);
        let directories = scan.names.directories();
        let _ = running.0.listed.set(Listed {
            place: Arc::clone(&scan.place),
            found: scan.found,
            directory: Arc::downgrade(&scan.directory),
            names: Arc::clone(&scan.names),
        });
        if directories > 0 {
            self.call(directories);
        }
        for at in 0..scan.names.len() {
            if self.stopped.load(Relaxed) || running.0.over.load(Relaxed) {
                return;
            }
            seen.push(look_ahead(self.source, &scan, at));
        }
        scan.seen = seen;
        running.finish(Work::Done(scan, charge));
    }

    /// The walk has listed a directory itself: others may go on beneath it.
    pub fn listed(&self, place: &Arc<Place<'a>>, directory: &Arc<Directory>, found: Found, names: &Arc<Listing>) -> Arc<Node<'a>> {
        let node = Arc::new(Node::new(Work::Over));
        node.over.store(true, Release);
        let listed = Listed { place: Arc::clone(place), found, directory: Arc::downgrade(directory), names: Arc::clone(names) };
        let _ = node.listed.set(listed);
        lock(&self.line).nodes.push(Arc::clone(&node));
        self.call(names.directories());
        node
    }

    /// The walk has come to entry `at` of a directory: what was read of it ahead, if anything was. Nobody takes it on any more.
    pub fn take(&self, above: &Node<'a>, at: usize, buffer: &mut Buffer) -> Option<(Arc<Node<'a>>, Scan<'a>)> {
        let node = {
            let mut inner = lock(&above.inner);
            while inner.claims.front().is_some_and(|(claimed, _)| *claimed < at) {
                inner.claims.pop_front();
            }
            inner.next = inner.next.max(at + 1);
            inner.claims.front().filter(|(claimed, _)| *claimed == at)?;
            inner.claims.pop_front()?.1
        };
        let scan = self.result(&node, buffer);
        if scan.is_none() {
            self.leave(&node);
        }
        if self.window.full.load(SeqCst) && self.window.is_half_empty() {
            self.call(usize::MAX);
        }
        Some((node, scan?))
    }

    /// What came of a node. While another works on it there is other work; if there is not, the walk goes on without that other, who may
    /// have lost its processor to somebody else.
    fn result(&self, node: &Node<'a>, buffer: &mut Buffer) -> Option<Scan<'a>> {
        while !node.over.load(Acquire) {
            let claim = {
                let mut line = lock(&self.line);
                if self.has_room() { line.claim(&self.window) } else { None }
            };
            match claim {
                Some(claim) => self.scan(claim, buffer),
                None => {
                    (0..LOOKS).find(|_| {
                        std::hint::spin_loop();
                        node.over.load(Acquire)
                    });
                    break;
                }
            }
        }
        match std::mem::replace(&mut lock(&node.inner).work, Work::Over) {
            Work::Running => node.take_over(),
            Work::Done(scan, charge) => {
                drop(charge);
                Some(scan)
            }
            Work::Over => None,
        }
    }

    /// The walk has left a directory, or will not go on beneath it: so nobody does. What was read beneath it is forgotten.
    pub fn leave(&self, node: &Arc<Node<'a>>) {
        let mut line = lock(&self.line);
        let inner = lock(&node.inner);
        let is_its = |other: &Arc<Node<'a>>| Arc::ptr_eq(other, node) || inner.claims.iter().any(|(_, claimed)| Arc::ptr_eq(other, claimed));
        if let Some(place) = line.nodes.iter().position(is_its) {
            // All that comes before these in the walk is beneath the directory, or behind the walk.
            line.nodes.truncate(place);
        }
    }

    /// The walk lets go of the descriptor of a directory far above it; nobody goes on there meanwhile.
    pub fn let_go(&self, node: &Arc<Node<'a>>) {
        lock(&self.line).nodes.retain(|other| !Arc::ptr_eq(other, node));
    }

    /// Takes back the memory of a directory that was left.
    pub fn take_back(&self, names: Listing, mut seen: Vec<Seen>) {
        seen.clear();
        let mut line = lock(&self.line);
        if line.spare.len() < SPARE {
            line.spare.push((names, seen));
        }
    }

    /// Ends all threads, at once.
    pub fn stop(&self) {
        let _line = lock(&self.line);
        self.stopped.store(true, SeqCst);
        self.more.notify_all();
    }
}
