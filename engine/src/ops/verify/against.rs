//! A snapshot held against the live tree that it was made of: what changed, what is missing, what is new, and whether time explains it.
//!
//! The contents of files are compared by reading the source and naming its bytes as the snapshot cut them; no pack of contents is read. One directory
//! of either side is held for each level, and a batch of entries.

mod difference;
mod entry;

use crate::format::node::{Content, Node, Time};
use crate::ops::backup::{is_settled, trusted_begin};
use crate::ops::browse::{Place, join};
use crate::ops::monitor::{Cancel, Monitor, Progress};
use crate::ops::parallel::{lock, parallel};
use crate::ops::source::{Item, Skipped, Source, SourceDir, Stat, Stop, Visitor};
use crate::ops::walk::{Entries, entries};
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::{Repository, StoredSnapshot};
pub use difference::{Aspect, Difference, DifferenceKind};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// Entries that are compared together, and bytes of contents after which no more are gathered.
const ENTRIES: usize = 512;
const BYTES: u64 = 64 << 20;

/// What the walk is told to go on with.
type Walk<T> = std::result::Result<T, Stop>;

/// What a comparison counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgainstOutcome {
    /// Entries of the snapshot that were compared.
    pub entries: u64,
    /// Bytes of the source that were read.
    pub bytes: u64,
    /// Entries that changed, and how many of these no time explains.
    pub changed: (u64, u64),
    /// Entries that are missing (a directory counts once), likewise.
    pub missing: (u64, u64),
    /// Entries that the snapshot does not have, a directory counted once.
    pub extra: u64,
    /// Entries of the source that it leaves out, a directory counted once; what the snapshot has of them was not compared.
    pub left_out: u64,
    /// Entries of the source that could not be read; each was told as a problem.
    pub unreadable: u64,
    /// Directories and files of the snapshot of which the repository cannot read what is needed; each was told as a problem.
    pub damaged: u64,
}

impl AgainstOutcome {
    /// Differences that no time explains, and entries that could not be compared.
    pub fn unexplained(&self) -> u64 {
        self.changed.1 + self.missing.1 + self.unreadable
    }

    /// Whether nothing was looked at, since the source left out even the path that it was made for.
    pub fn is_nothing(&self) -> bool {
        *self == Self { left_out: self.left_out, ..Self::default() }
    }
}

/// An entry to be compared, as both sides have it.
struct Pair {
    path: Vec<u8>,
    dir: Arc<dyn SourceDir>,
    name: Vec<u8>,
    stat: Stat,
    node: Node,
}

/// What the walk leaves to be told, in its order.
enum Step {
    Told(Difference),
    Pair(Box<Pair>),
}

/// What came of a pair.
enum Verdict {
    Told(Difference),
    Same,
    Unreadable(Vec<u8>, String),
    Damaged(Vec<u8>, String),
}

/// A directory that both sides have.
struct Frame<'r> {
    /// In the snapshot and in the source.
    path: Vec<u8>,
    source_path: Vec<u8>,
    entries: Entries<'r>,
    next: Option<Node>,
    /// Something was added to the directory or removed from it since the backup began.
    has_changed: bool,
    /// Not all of its entries are shown: what does not come up may be there.
    is_partial: bool,
}

struct Walker<'r, 'a> {
    repository: &'r Repository,
    threads: usize,
    begun: Time,
    start: &'a Place,
    /// Directories on the way to the start, and how many of them the walk is in.
    way: usize,
    depth: usize,
    frames: Vec<Frame<'r>>,
    steps: Vec<Step>,
    bytes: u64,
    outcome: AgainstOutcome,
    failure: Option<RepositoryError>,
    tell: &'a mut dyn FnMut(&Difference),
    monitor: &'a dyn Monitor,
    cancel: &'a Cancel,
}

/// Compares `start` of a snapshot with the one path that `source` shows. Differences are told in the order of the walk.
/// An `Err` is an end before that: the store failed, or somebody asked to stop.
pub fn against(
    repository: &Repository,
    stored: &StoredSnapshot,
    start: &Place,
    source: &dyn Source,
    tell: &mut dyn FnMut(&Difference),
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<AgainstOutcome> {
    let path = source.paths().into_iter().next().unwrap_or_default();
    let way = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).count();
    let (frames, steps) = Default::default();
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, 8);
    let (begun, outcome) = (trusted_begin(&stored.snapshot), AgainstOutcome::default());
    let mut walker = Walker { repository, threads, begun, start, way, depth: 0, frames, steps, bytes: 0, outcome, failure: None, tell, monitor, cancel };
    if way == 0 {
        // The root of the file system has no entry of its own.
        walker.open(&start.node, &start.path, b"", false);
    }
    let walked = source.walk(&mut walker);
    if walked.is_ok() && way == 0 {
        let _ = walker.leave_frame();
    }
    let flushed = if walker.failure.is_none() { walker.flush() } else { Ok(()) };
    match walker.failure.take().or(flushed.err()) {
        Some(error) => Err(error),
        None => Ok(walker.outcome),
    }
}

impl Walker<'_, '_> {
    fn open(&mut self, node: &Node, path: &[u8], source_path: &[u8], has_changed: bool) {
        let Content::Directory(id) = node.content else { return };
        let (path, source_path) = (path.to_vec(), source_path.to_vec());
        self.frames.push(Frame { path, source_path, entries: entries(self.repository, id), next: None, has_changed, is_partial: false });
    }

    /// Ends the walk.
    fn stop(&mut self, error: RepositoryError) -> Stop {
        self.failure.get_or_insert(error);
        Stop
    }

    /// The snapshot's next entry in the deepest directory.
    fn peek(&mut self) -> Walk<Option<&Node>> {
        let Some(frame) = self.frames.last_mut() else { return Ok(None) };
        while frame.next.is_none() {
            match frame.entries.next() {
                None => return Ok(None),
                Some(Ok(node)) => frame.next = Some(node),
                Some(Err(error)) if error.concerns_one_object() => {
                    self.outcome.damaged += 1;
                    self.monitor.problem(&frame.path, &format!("some or all of its entries cannot be read from the repository: {error}"));
                }
                Some(Err(error)) => {
                    self.failure.get_or_insert(error);
                    return Err(Stop);
                }
            }
        }
        Ok(self.frames.last().and_then(|frame| frame.next.as_ref()))
    }

    /// The snapshot's entry of this name, which the walk comes to; those before it are missing.
    fn take(&mut self, name: &[u8]) -> Walk<Option<Node>> {
        loop {
            match self.peek()? {
                Some(node) if node.name.as_slice() < name => self.missing()?,
                Some(node) if node.name == name => return Ok(self.frames.last_mut().and_then(|frame| frame.next.take())),
                _ => return Ok(None),
            }
        }
    }

    /// The next entry of the snapshot did not come up.
    fn missing(&mut self) -> Walk<()> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let Some(node) = frame.next.take() else { return Ok(()) };
        if frame.is_partial {
            return Ok(());
        }
        let (path, is_explained, node_type) = (join(&frame.path, &node.name), frame.has_changed, node.metadata.node_type);
        self.push(Step::Told(Difference { path, node_type, kind: DifferenceKind::Missing, aspects: Vec::new(), is_explained }))
    }

    fn push(&mut self, step: Step) -> Walk<()> {
        if let Step::Pair(pair) = &step {
            self.bytes += pair.stat.size;
        }
        self.steps.push(step);
        if self.steps.len() >= ENTRIES || self.bytes >= BYTES {
            self.flush().map_err(|error| self.stop(error))?;
        }
        Ok(())
    }

    /// What both sides have of the entry that the walk is at: the start, or an entry of the deepest directory. `None`: the snapshot does not have it.
    fn meet(&mut self, item: &Item<'_>) -> Walk<Option<(Node, Vec<u8>)>> {
        if self.frames.is_empty() {
            return Ok(Some((self.start.node.clone(), self.start.path.clone())));
        }
        let node = self.take(item.name)?;
        let path = self.frames.last().map(|frame| join(&frame.path, item.name)).unwrap_or_default();
        let Some(node) = node else {
            let is_explained = !is_settled(item.stat.ctime, self.begun);
            let (kind, aspects) = (DifferenceKind::Extra, Vec::new());
            self.push(Step::Told(Difference { path, node_type: item.stat.node_type, kind, aspects, is_explained }))?;
            return Ok(None);
        };
        Ok(Some((node, path)))
    }

    /// Takes up both sides of an entry.
    fn pair(&mut self, item: &Item<'_>, node: Node, path: Vec<u8>) -> Walk<()> {
        // The root of a snapshot has no entry of its own.
        if node.name.is_empty() {
            return Ok(());
        }
        self.push(Step::Pair(Box::new(Pair { path, dir: Arc::clone(item.dir), name: item.name.to_vec(), stat: *item.stat, node })))
    }

    /// What was not told of the deepest directory is missing.
    fn leave_frame(&mut self) -> Walk<()> {
        while self.peek()?.is_some() {
            self.missing()?;
        }
        self.frames.pop();
        Ok(())
    }

    /// Something of the source cannot be compared: an entry of the deepest directory, or that itself.
    fn pass_over(&mut self, path: &[u8]) -> Walk<()> {
        match self.frames.last_mut() {
            Some(frame) if path == frame.source_path || (path == b"/" && frame.source_path.is_empty()) => frame.is_partial = true,
            Some(_) => drop(self.take(path.rsplit(|byte| *byte == b'/').next().unwrap_or(path))?),
            None => {}
        }
        Ok(())
    }

    /// Compares what was gathered, and tells what came of it.
    fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let steps = std::mem::take(&mut self.steps);
        let done = Mutex::new(Vec::with_capacity(steps.len()));
        let (repository, begun, cancel) = (self.repository, self.begun, self.cancel);
        parallel(self.threads, steps.len(), Vec::new, |buffer, at| {
            if cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            let verdict = match &steps[at] {
                Step::Told(difference) => (Verdict::Told(difference.clone()), 0),
                Step::Pair(pair) => entry::compare(repository, pair, begun, buffer, cancel)?,
            };
            lock(&done).push((at, verdict));
            Ok(())
        })?;
        let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.sort_unstable_by_key(|(at, _)| *at);
        self.outcome.entries += steps.iter().filter(|step| matches!(step, Step::Pair(_))).count() as u64;
        for (_, (verdict, bytes)) in done {
            self.outcome.bytes += bytes;
            match verdict {
                Verdict::Same => {}
                Verdict::Told(difference) => self.count(&difference),
                Verdict::Unreadable(path, why) => {
                    self.outcome.unreadable += 1;
                    self.monitor.problem(&path, &why);
                }
                Verdict::Damaged(path, why) => {
                    self.outcome.damaged += 1;
                    self.monitor.problem(&path, &why);
                }
            }
        }
        let (files_done, bytes_done) = (self.outcome.entries, self.outcome.bytes);
        self.monitor.progress(&Progress { files_done, bytes_done, ..Progress::default() });
        Ok(())
    }

    fn count(&mut self, difference: &Difference) {
        let unexplained = u64::from(!difference.is_explained);
        match difference.kind {
            DifferenceKind::Changed => self.outcome.changed = (self.outcome.changed.0 + 1, self.outcome.changed.1 + unexplained),
            DifferenceKind::Missing => self.outcome.missing = (self.outcome.missing.0 + 1, self.outcome.missing.1 + unexplained),
            DifferenceKind::Extra => self.outcome.extra += 1,
        }
        (self.tell)(difference);
    }
}

impl Visitor for Walker<'_, '_> {
    fn enter(&mut self, item: Item<'_>) -> Walk<bool> {
        if self.depth + 1 < self.way {
            self.depth += 1;
            return Ok(true);
        }
        let Some((node, path)) = self.meet(&item)? else { return Ok(false) };
        let is_directory = matches!(node.content, Content::Directory(_));
        let source_path = self.frames.last().map_or_else(|| item.dir.path(item.name), |frame| [&frame.source_path[..], b"/", item.name].concat());
        if is_directory {
            self.open(&node, &path, &source_path, !is_settled(item.stat.mtime, self.begun));
            self.depth += 1;
        }
        self.pair(&item, node, path)?;
        Ok(is_directory)
    }

    fn leaf(&mut self, item: Item<'_>) -> Walk<()> {
        if self.depth + 1 < self.way {
            return Ok(());
        }
        match self.meet(&item)? {
            Some((node, path)) => self.pair(&item, node, path),
            None => Ok(()),
        }
    }

    fn leave(&mut self) -> Walk<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.frames.is_empty() { Ok(()) } else { self.leave_frame() }
    }

    fn failed(&mut self, path: &[u8], error: io::Error) -> Walk<()> {
        self.outcome.unreadable += 1;
        self.monitor.problem(path, &error.to_string());
        self.pass_over(path)
    }

    fn skipped(&mut self, path: &[u8], _: Skipped) -> Walk<()> {
        self.outcome.left_out += 1;
        self.pass_over(path)
    }
}
