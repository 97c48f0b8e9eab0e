//! The walk's side of a backup: takes over what is unchanged, hands on what must be read, and runs the threads.

use super::Shared;
use super::budget::Budget;
use super::compare::{self, ParentDirectory};
use super::fold::{self, Event, Pending};
use super::lazy::{Entry, Lazy, Level, Unchanged};
use super::read::{Batch, Job, Reader};
use crate::format::id::TreeId;
use crate::format::node::{Content, Node, NodeType, Time};
use crate::format::pack::PackKind;
use crate::ops::monitor::Fate;
use crate::ops::source::{Item, Skipped, Source, Stop, Visitor};
use crate::ops::walk::entries;
use crate::store::repository::StoredSnapshot;
use crate::store::session::OpenBlock;
use crate::store::stages::Stage;
use crossbeam_channel::{Sender, TrySendError, bounded};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Entries between the walk and the fold.
const EVENTS_MAX: usize = 4096;
/// Batches waiting for a reader.
const BATCHES_MAX: usize = 3;
/// Blocks waiting to be sealed: a reader holds its own until a sealer takes it.
const BLOCKS_MAX: usize = 0;
/// Files in a batch.
const BATCH_FILES_MAX: usize = 512;
/// Directories that a batch may hold open.
const BATCH_DIRECTORIES_MAX: usize = 64;

struct Walker<'a> {
    shared: &'a Shared<'a>,
    levels: Vec<Level<'a>>,
    parent_begun: Time,
    events: Sender<Event>,
    batches: Sender<Batch>,
    batch: Batch,
    batch_bytes: u64,
    /// Directories that the batch keeps open.
    batch_directories: usize,
    block_bytes: u64,
    unchanged: Unchanged,
    /// How long the walk waited for others.
    waited: Duration,
}

fn new_batch() -> Batch {
    Batch { jobs: Vec::new(), pending: Arc::new(Pending::default()) }
}

fn path_of(item: Item<'_>) -> Box<dyn Fn() -> Vec<u8> + Send> {
    let (dir, name) = (item.dir.clone(), item.name.to_vec());
    Box::new(move || dir.path(&name))
}

impl Walker<'_> {
    fn waiting<T>(&mut self, wait: impl FnOnce(&Self) -> T) -> T {
        let host = &*self.shared.session.repository().host;
        let started = host.elapsed();
        let done = wait(self);
        self.waited += host.elapsed().saturating_sub(started);
        done
    }

    fn event(&mut self, event: Event) -> Result<(), Stop> {
        match self.events.try_send(event) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(event)) => {
                // The fold may be waiting for a file of the batch that is still being filled.
                self.send_batch()?;
                self.waiting(|walker| walker.events.send(event)).map_err(|_| Stop)
            }
            Err(TrySendError::Disconnected(_)) => Err(Stop),
        }
    }

    fn send_batch(&mut self) -> Result<(), Stop> {
        if self.batch.jobs.is_empty() {
            return Ok(());
        }
        (self.batch_bytes, self.batch_directories) = (0, 0);
        match self.batches.try_send(std::mem::replace(&mut self.batch, new_batch())) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(batch)) => self.waiting(|walker| walker.batches.send(batch)).map_err(|_| Stop),
            Err(TrySendError::Disconnected(_)) => Err(Stop),
        }
    }

    fn in_parent(&mut self, item: Item<'_>) -> Option<Node> {
        match self.levels.last_mut()?.parent.take(item.name) {
            Ok(node) => node,
            Err(error) => {
                self.shared.monitor.note(&format!("the parent snapshot cannot be read here, so everything is read again: {error}"));
                None
            }
        }
    }

    /// Hands on what was held back: something differs in the directory entered last.
    fn wake(&mut self) -> Result<(), Stop> {
        for at in 0..self.levels.len() {
            let Some(lazy) = self.levels[at].lazy.take() else { continue };
            if let Some(entry) = lazy.entry {
                let now = Box::new(Node { content: Content::None, ..(*entry.before).clone() });
                self.event(Event::Enter(now, Some(entry.before), entry.path))?;
            }
            let met = usize::try_from(lazy.met).expect("so many were counted one by one");
            for node in entries(self.shared.session.repository(), lazy.tree).take(met) {
                match node {
                    Ok(node) => self.event(Event::Ready(Box::new(node)))?,
                    Err(error) => {
                        // They could be read a moment ago.
                        self.shared.fail(error);
                        return Err(Stop);
                    }
                }
            }
            self.unchanged.entries += lazy.below;
        }
        Ok(())
    }

    /// An entry that is the parent's to the last bit, with `below` entries under it: `before` is handed on unless the whole directory may stay as it is.
    fn same(&mut self, before: Node, below: u64) -> Result<(), Stop> {
        match self.levels.last_mut() {
            Some(Level { lazy: Some(lazy), parent }) if parent.taken() == lazy.met + 1 => {
                lazy.met += 1;
                lazy.below += below;
                Ok(())
            }
            _ => {
                // An entry of the parent between the last one and this is gone.
                self.wake()?;
                self.unchanged.entries += below;
                self.event(Event::Ready(Box::new(before)))
            }
        }
    }

    fn add_up(&mut self) {
        let Unchanged { files, directories, bytes, entries } = std::mem::take(&mut self.unchanged);
        self.shared.count(|counts| {
            counts.summary.files_unmodified += files;
            counts.summary.dirs_unmodified += directories;
            counts.summary.content_bytes += bytes;
            counts.summary.entries += entries;
            counts.progress.files_done += files;
            counts.progress.bytes_done += bytes;
            if !self.shared.options.count_first {
                counts.progress.files_total += files;
                counts.progress.bytes_total += bytes;
            }
        });
    }

    fn tell(&self, item: Item<'_>, fate: Fate) {
        if self.shared.monitor.wants_entries() {
            self.shared.monitor.entry(&item.dir.path(item.name), fate, item.stat.size);
        }
    }

    /// The entry with its metadata, contents still missing.
    fn describe(&self, item: Item<'_>) -> Option<Box<Node>> {
        match item.dir.metadata(item.name, item.stat) {
            Ok((metadata, remarks)) => {
                for remark in remarks {
                    self.shared.missing(&item.dir.path(item.name), &remark);
                }
                let name = item.name.to_vec();
                Some(Box::new(Node { name, metadata, content: Content::None, changed_while_read: false, lost: false, unknown: Vec::new() }))
            }
            Err(error) => {
                self.shared.missing(&item.dir.path(item.name), &error.to_string());
                None
            }
        }
    }

    fn is_unchanged(&self, before: &Node, item: Item<'_>) -> bool {
        compare::is_unchanged(before, item.stat, self.shared.options, self.parent_begun)
    }

    fn unchanged(&mut self, item: Item<'_>, before: Node) -> Result<(), Stop> {
        self.unchanged.files += 1;
        self.unchanged.bytes += item.stat.size;
        if self.unchanged.is_many() {
            self.add_up();
        }
        self.tell(item, Fate::Unchanged);
        let is_identical = compare::is_identical(&before, item.stat);
        // Devices are numbered by each walk anew.
        if is_identical && before.metadata.link_group == item.stat.link_group {
            return self.same(before, 0);
        }
        self.wake()?;
        let mut node = if is_identical {
            Box::new(before)
        } else {
            let Some(mut node) = self.describe(item) else { return Ok(()) };
            node.metadata.size = before.metadata.size;
            node.content = before.content;
            node
        };
        node.metadata.link_group = item.stat.link_group;
        self.event(Event::Ready(node))
    }

    fn queue(&mut self, item: Item<'_>, before: Option<Content>) -> Result<(), Stop> {
        if self.batch.jobs.last().is_none_or(|last| !Arc::ptr_eq(&last.dir, item.dir)) {
            self.batch_directories += 1;
        }
        self.batch.jobs.push(Job { name: item.name.to_vec(), stat: *item.stat, dir: item.dir.clone(), before });
        self.batch_bytes += item.stat.size;
        let (pending, index) = (self.batch.pending.clone(), self.batch.jobs.len() - 1);
        if self.batch_bytes >= self.block_bytes || self.batch.jobs.len() >= BATCH_FILES_MAX || self.batch_directories >= BATCH_DIRECTORIES_MAX {
            self.send_batch()?;
        }
        self.event(Event::Later(pending, index))
    }

    fn check(&self) -> Result<(), Stop> {
        if self.shared.stopped() { Err(Stop) } else { Ok(()) }
    }

    /// The root is complete.
    fn end(&mut self) -> Result<(), Stop> {
        self.send_batch()?;
        let Some(mut root) = self.levels.pop() else { return Err(Stop) };
        let same = root.lazy.as_ref().filter(|lazy| root.parent.is_used_up(lazy.met)).map(|lazy| (lazy.tree, lazy.met + lazy.below));
        let ended = if let Some((tree, entries)) = same {
            self.unchanged.entries += entries;
            self.event(Event::Same(tree))
        } else {
            self.levels.push(root);
            self.wake().and_then(|()| self.event(Event::Leave))
        };
        self.add_up();
        ended
    }
}

impl Visitor for Walker<'_> {
    fn enter(&mut self, item: Item<'_>) -> Result<bool, Stop> {
        self.check()?;
        let before = self.in_parent(item).filter(|node| node.metadata.node_type == NodeType::Directory);
        let repository = self.shared.session.repository();
        let before = match before {
            Some(before @ Node { content: Content::Directory(tree), .. }) if self.is_unchanged(&before, item) && compare::is_identical(&before, item.stat) => {
                let entry = Entry { before: Box::new(before), path: path_of(item) };
                let lazy = Lazy { tree, met: 0, below: 0, entry: Some(entry) };
                self.levels.push(Level { parent: ParentDirectory::open(repository, tree), lazy: Some(lazy) });
                return Ok(true);
            }
            before => before,
        };
        let Some(node) = self.describe(item) else { return Ok(false) };
        self.wake()?;
        let parent = match &before {
            Some(Node { content: Content::Directory(id), .. }) => ParentDirectory::open(repository, *id),
            _ => ParentDirectory::none(),
        };
        self.levels.push(Level { parent, lazy: None });
        self.event(Event::Enter(node, before.map(Box::new), path_of(item)))?;
        Ok(true)
    }

    fn leaf(&mut self, item: Item<'_>) -> Result<(), Stop> {
        self.check()?;
        let before = match self.in_parent(item) {
            Some(before) if self.is_unchanged(&before, item) => return self.unchanged(item, before),
            before => before,
        };
        self.wake()?;
        self.shared.count(|counts| {
            counts.progress.files_total += u64::from(!self.shared.options.count_first);
            counts.progress.bytes_total += if self.shared.options.count_first { 0 } else { item.stat.size };
        });
        if item.stat.node_type == NodeType::File {
            return self.queue(item, before.map(|node| node.content));
        }
        let Some(node) = self.describe(item) else { return Ok(()) };
        self.shared.count(|counts| {
            *if before.is_some() { &mut counts.summary.files_changed } else { &mut counts.summary.files_new } += 1;
            counts.progress.files_done += 1;
        });
        self.tell(item, if before.is_some() { Fate::Changed } else { Fate::New });
        self.event(Event::Ready(node))
    }

    fn leave(&mut self) -> Result<(), Stop> {
        let Some(level) = self.levels.last_mut() else { return Err(Stop) };
        let is_whole = level.lazy.as_ref().is_some_and(|lazy| level.parent.is_used_up(lazy.met));
        if !is_whole {
            // Entries at its end are gone, or something was handed on already.
            self.wake()?;
            self.levels.pop();
            return self.event(Event::Leave);
        }
        let lazy = self.levels.pop().and_then(|level| level.lazy).expect("it was there");
        let entry = lazy.entry.expect("only the root has none, and it is not left");
        self.unchanged.directories += 1;
        if self.shared.monitor.wants_entries() {
            self.shared.monitor.entry(&(entry.path)(), Fate::Unchanged, 0);
        }
        self.same(*entry.before, lazy.met + lazy.below)
    }

    fn failed(&mut self, path: &[u8], error: io::Error) -> Result<(), Stop> {
        self.shared.missing(path, &error.to_string());
        Ok(())
    }

    fn skipped(&mut self, path: &[u8], why: Skipped) -> Result<(), Stop> {
        self.shared.monitor.entry(path, Fate::Skipped, 0);
        if why == Skipped::Ourselves {
            self.shared.monitor.note(&format!("{} is skipped: it is the repository or its cache", String::from_utf8_lossy(path)));
        }
        Ok(())
    }
}

/// Counts what there is, so that progress has an end.
struct Counter<'a> {
    shared: &'a Shared<'a>,
    files: u64,
    bytes: u64,
}

impl Counter<'_> {
    fn report(&mut self, total_known: bool) {
        let (files, bytes) = (std::mem::take(&mut self.files), std::mem::take(&mut self.bytes));
        self.shared.count(|counts| {
            counts.progress.files_total += files;
            counts.progress.bytes_total += bytes;
            counts.progress.total_known = total_known;
        });
    }
}

impl Visitor for Counter<'_> {
    fn enter(&mut self, _: Item<'_>) -> Result<bool, Stop> {
        if self.shared.stopped() { Err(Stop) } else { Ok(true) }
    }

    fn leaf(&mut self, item: Item<'_>) -> Result<(), Stop> {
        self.files += 1;
        self.bytes += item.stat.size;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Stop> {
        self.report(false);
        Ok(())
    }

    fn failed(&mut self, _: &[u8], _: io::Error) -> Result<(), Stop> {
        Ok(())
    }

    fn skipped(&mut self, _: &[u8], _: Skipped) -> Result<(), Stop> {
        Ok(())
    }
}

/// Walks the source with all threads of a backup around it; returns the root's node, or nothing if the walk was stopped.
pub(super) fn run(shared: &Shared<'_>, budget: Budget, source: &dyn Source, parent: Option<&StoredSnapshot>) -> Option<TreeId> {
    let (events, folded) = bounded::<Event>(EVENTS_MAX);
    let (batches, to_read) = bounded::<Batch>(BATCHES_MAX);
    let (blocks, to_seal) = bounded::<OpenBlock>(BLOCKS_MAX);
    let (emptied, spare) = bounded::<OpenBlock>(budget.readers + BLOCKS_MAX + budget.sealers);
    thread::scope(|scope| {
        for number in 0..budget.readers {
            let (reader, to_read) = (Reader::new(shared, number, budget.block_bytes, blocks.clone(), spare.clone()), to_read.clone());
            scope.spawn(move || reader.run(&to_read));
        }
        drop((blocks, to_read, spare));
        for _ in 0..budget.sealers {
            let (to_seal, emptied) = (to_seal.clone(), emptied.clone());
            scope.spawn(move || {
                for mut block in to_seal {
                    // After a failure the rest is only drained, so that no reader waits for ever.
                    if !shared.stop.load(std::sync::atomic::Ordering::Relaxed)
                        && let Err(error) = shared.session.store_block(PackKind::Data, &mut block)
                    {
                        shared.fail(error);
                    }
                    shared.checkpoints.is_stored();
                    // Nobody may want it any more.
                    let _ = emptied.try_send(block);
                }
            });
        }
        if shared.options.count_first {
            scope.spawn(move || {
                let mut counter = Counter { shared, files: 0, bytes: 0 };
                if source.walk(&mut counter).is_ok() {
                    counter.report(true);
                }
            });
        }
        let fold = scope.spawn(move || {
            fold::run(shared, &folded).unwrap_or_else(|error| {
                shared.fail(error);
                None
            })
        });
        let repository = shared.session.repository();
        let root = match parent {
            Some(stored) => {
                let tree = stored.snapshot.root;
                Level { parent: ParentDirectory::open(repository, tree), lazy: Some(Lazy { tree, met: 0, below: 0, entry: None }) }
            }
            None => Level { parent: ParentDirectory::none(), lazy: None },
        };
        let mut walker = Walker {
            shared,
            levels: vec![root],
            parent_begun: parent.map_or(compare::NEVER, |stored| compare::trusted_begin(&stored.snapshot)),
            events,
            batches,
            batch: new_batch(),
            batch_bytes: 0,
            batch_directories: 0,
            block_bytes: budget.block_bytes as u64,
            unchanged: Unchanged::default(),
            waited: Duration::ZERO,
        };
        let started = repository.host.elapsed();
        let walked = source.walk(&mut walker).and_then(|()| walker.end());
        shared.session.stages().add(Stage::Walk, repository.host.elapsed().saturating_sub(started + walker.waited));
        // Files of an unsent batch would keep the fold waiting.
        walker.batch.pending.fulfil(Vec::new());
        drop(walker);
        let root = fold.join().expect("the fold does not panic");
        root.filter(|_| walked.is_ok())
    })
}
