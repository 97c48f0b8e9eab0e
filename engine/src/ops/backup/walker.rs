//! The walk's side of a backup: takes over what is unchanged, hands on what must be read, and runs the threads.

use super::Shared;
use super::compare::{self, ParentDirectory};
use super::fold::{self, Event, Pending};
use super::read::{Batch, Job, Reader};
use crate::format::id::TreeId;
use crate::format::node::{Content, Node, NodeType, Time};
use crate::format::pack::PackKind;
use crate::ops::monitor::Fate;
use crate::ops::source::{Item, Skipped, Source, Stop, Visitor};
use crate::store::repository::StoredSnapshot;
use crate::store::session::{DATA_BLOCK_BYTES, OpenBlock};
use crossbeam_channel::{Sender, TrySendError, bounded};
use std::io;
use std::sync::Arc;
use std::thread;

/// Entries between the walk and the fold.
const EVENTS_MAX: usize = 2048;
/// Batches waiting for a reader.
const BATCHES_MAX: usize = 4;
/// Blocks waiting to be sealed.
const BLOCKS_MAX: usize = 2;
/// Files in a batch; each may hold a directory open.
const BATCH_FILES_MAX: usize = 64;

struct Walker<'a> {
    shared: &'a Shared<'a>,
    parents: Vec<ParentDirectory<'a>>,
    parent_begun: Time,
    events: Sender<Event>,
    batches: Sender<Batch>,
    batch: Batch,
    batch_bytes: u64,
}

fn new_batch() -> Batch {
    Batch { jobs: Vec::new(), pending: Arc::new(Pending::default()) }
}

impl Walker<'_> {
    fn event(&mut self, event: Event) -> Result<(), Stop> {
        match self.events.try_send(event) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(event)) => {
                // The fold may be waiting for a file of the batch that is still being filled.
                self.send_batch()?;
                self.events.send(event).map_err(|_| Stop)
            }
            Err(TrySendError::Disconnected(_)) => Err(Stop),
        }
    }

    fn send_batch(&mut self) -> Result<(), Stop> {
        if self.batch.jobs.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        self.batches.send(std::mem::replace(&mut self.batch, new_batch())).map_err(|_| Stop)
    }

    fn in_parent(&mut self, item: Item<'_>) -> Option<Node> {
        match self.parents.last_mut()?.take(item.name) {
            Ok(node) => node,
            Err(error) => {
                self.shared.monitor.note(&format!("the parent snapshot cannot be read here, so everything is read again: {error}"));
                None
            }
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
                Some(Box::new(Node { name, metadata, content: Content::None, changed_while_read: false, unknown: Vec::new() }))
            }
            Err(error) => {
                self.shared.missing(&item.dir.path(item.name), &error.to_string());
                None
            }
        }
    }

    fn unchanged(&mut self, item: Item<'_>, before: Node) -> Result<(), Stop> {
        let mut node = if compare::is_identical(&before, item.stat) {
            Box::new(before)
        } else {
            let Some(mut node) = self.describe(item) else { return Ok(()) };
            node.metadata.size = before.metadata.size;
            node.content = before.content;
            node
        };
        // Devices are numbered by each walk anew.
        node.metadata.link_group = item.stat.link_group;
        self.shared.count(|counts| {
            counts.summary.files_unmodified += 1;
            counts.summary.content_bytes += item.stat.size;
            counts.progress.files_done += 1;
            counts.progress.bytes_done += item.stat.size;
        });
        self.shared.monitor.entry(&item.dir.path(item.name), Fate::Unchanged, item.stat.size);
        self.event(Event::Ready(node))
    }

    fn queue(&mut self, item: Item<'_>, in_parent: bool) -> Result<(), Stop> {
        self.batch.jobs.push(Job { name: item.name.to_vec(), stat: *item.stat, dir: item.dir.clone(), in_parent });
        self.batch_bytes += item.stat.size;
        let (pending, index) = (self.batch.pending.clone(), self.batch.jobs.len() - 1);
        if self.batch_bytes >= DATA_BLOCK_BYTES as u64 || self.batch.jobs.len() >= BATCH_FILES_MAX {
            self.send_batch()?;
        }
        self.event(Event::Later(pending, index))
    }

    fn check(&self) -> Result<(), Stop> {
        if self.shared.stopped() { Err(Stop) } else { Ok(()) }
    }
}

impl Visitor for Walker<'_> {
    fn enter(&mut self, item: Item<'_>) -> Result<bool, Stop> {
        self.check()?;
        let before = self.in_parent(item).filter(|node| node.metadata.node_type == NodeType::Directory);
        let Some(node) = self.describe(item) else { return Ok(false) };
        self.parents.push(match &before {
            Some(Node { content: Content::Directory(id), .. }) => ParentDirectory::open(self.shared.session.repository(), *id),
            _ => ParentDirectory::none(),
        });
        self.event(Event::Enter(node, before.map(Box::new), item.dir.path(item.name)))?;
        Ok(true)
    }

    fn leaf(&mut self, item: Item<'_>) -> Result<(), Stop> {
        self.check()?;
        self.shared.count(|counts| {
            counts.progress.files_total += u64::from(!self.shared.options.count_first);
            counts.progress.bytes_total += if self.shared.options.count_first { 0 } else { item.stat.size };
        });
        let before = self.in_parent(item);
        match before {
            Some(before) if compare::is_unchanged(&before, item.stat, self.shared.options, self.parent_begun) => self.unchanged(item, before),
            before if item.stat.node_type == NodeType::File => self.queue(item, before.is_some()),
            before => {
                let Some(node) = self.describe(item) else { return Ok(()) };
                self.shared.count(|counts| {
                    *if before.is_some() { &mut counts.summary.files_changed } else { &mut counts.summary.files_new } += 1;
                    counts.progress.files_done += 1;
                });
                self.shared.monitor.entry(&item.dir.path(item.name), if before.is_some() { Fate::Changed } else { Fate::New }, 0);
                self.event(Event::Ready(node))
            }
        }
    }

    fn leave(&mut self) -> Result<(), Stop> {
        self.parents.pop();
        self.event(Event::Leave)
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
pub(super) fn run(shared: &Shared<'_>, source: &dyn Source, parent: Option<&StoredSnapshot>) -> Option<TreeId> {
    let (events, folded) = bounded::<Event>(EVENTS_MAX);
    let (batches, to_read) = bounded::<Batch>(BATCHES_MAX);
    let (blocks, to_seal) = bounded::<OpenBlock>(BLOCKS_MAX);
    let sealers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..shared.options.read_concurrency.max(1) {
            let (reader, to_read) = (Reader::new(shared, blocks.clone()), to_read.clone());
            scope.spawn(move || reader.run(&to_read));
        }
        drop((blocks, to_read));
        for _ in 0..sealers {
            let to_seal = to_seal.clone();
            scope.spawn(move || {
                for block in to_seal {
                    // After a failure the rest is only drained, so that no reader waits for ever.
                    if !shared.stop.load(std::sync::atomic::Ordering::Relaxed)
                        && let Err(error) = shared.session.store_block(PackKind::Data, block)
                    {
                        shared.fail(error);
                    }
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
        let root = match parent {
            Some(stored) => ParentDirectory::open(shared.session.repository(), stored.snapshot.root),
            None => ParentDirectory::none(),
        };
        let parent_begun = parent.map_or(compare::NEVER, |stored| compare::trusted_begin(&stored.snapshot));
        let mut walker = Walker { shared, parents: vec![root], parent_begun, events, batches, batch: new_batch(), batch_bytes: 0 };
        let walked = source.walk(&mut walker).and_then(|()| walker.send_batch()).and_then(|()| walker.event(Event::Leave));
        // Files of an unsent batch would keep the fold waiting.
        walker.batch.pending.fulfil(Vec::new());
        drop(walker);
        let root = fold.join().expect("the fold does not panic");
        root.filter(|_| walked.is_ok())
    })
}
