//! Reads files: cuts, names, and gathers what is new into blocks.

use super::Shared;
use super::fold::Pending;
use crate::format::chunker::{CLUSTER, ChunkClass, Chunker};
use crate::format::id::ChunkId;
use crate::format::node::{Content, Extent, Node};
use crate::format::pack::PackKind;
use crate::format::tree::store_extents;
use crate::ops::monitor::Fate;
use crate::ops::source::{Body, SourceDir, Stat};
use crate::store::error::RepositoryError;
use crate::store::session::{DATA_BLOCK_BYTES, OpenBlock};
use crossbeam_channel::{Receiver, Sender};
use std::io;
use std::sync::Arc;

/// One file to read.
pub(super) struct Job {
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) dir: Arc<dyn SourceDir>,
    /// It is in the parent, but different.
    pub(super) in_parent: bool,
}

/// Files that belong together: neighbours in walk order, about a block's worth.
pub(super) struct Batch {
    pub(super) jobs: Vec<Job>,
    pub(super) pending: Arc<Pending>,
}

/// Bytes asked for at once.
const READ: usize = 1 << 20;
/// Bytes in which the next cut usually lies; only if it does not is the longest chunk waited for.
const USUAL: usize = 2 << 20;
/// A chunk of at least this many bytes is a block of its own.
const LONE_CHUNK: usize = DATA_BLOCK_BYTES / 2;

/// What ends the reading of one file.
enum Trouble {
    /// The source: this file is missing from the snapshot.
    Source(io::Error),
    /// The repository, or somebody asked: the run is over.
    Run(RepositoryError),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Source(error)
    }
}

impl From<RepositoryError> for Trouble {
    fn from(error: RepositoryError) -> Self {
        Self::Run(error)
    }
}

/// One reader: its buffer and the block it is filling.
pub(super) struct Reader<'a> {
    shared: &'a Shared<'a>,
    chunker: Chunker,
    window: Vec<u8>,
    open: OpenBlock,
    blocks: Sender<OpenBlock>,
}

/// How a file's contents are cut, from its name and size. A stream has no size beforehand, which shows as 0: it is an image or a dump.
fn class_of(name: &[u8], size: u64) -> ChunkClass {
    const IMAGES: [&[u8]; 8] = [b"raw", b"img", b"qcow2", b"vmdk", b"vdi", b"vhd", b"vhdx", b"iso"];
    const DUMPS: [&[u8]; 5] = [b"sql", b"dump", b"pgdump", b"rdb", b"mbox"];
    let extension = name.rsplit(|byte| *byte == b'.').next().unwrap_or_default().to_ascii_lowercase();
    if (size == 0 || size >= 16 << 20) && IMAGES.contains(&&extension[..]) {
        ChunkClass::Images
    } else if size == 0 || DUMPS.contains(&&extension[..]) {
        ChunkClass::Dumps
    } else {
        ChunkClass::Files
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, blocks: Sender<OpenBlock>) -> Self {
        let chunker = Chunker::new(shared.session.repository().keys.gear());
        Self { shared, chunker, window: vec![0; USUAL + 2 * READ], open: OpenBlock::default(), blocks }
    }

    /// Reads batches until there are no more, or the run is over.
    pub(super) fn run(mut self, batches: &Receiver<Batch>) {
        for batch in batches {
            let mut nodes = Vec::with_capacity(batch.jobs.len());
            for job in &batch.jobs {
                nodes.push(if self.shared.stopped() { None } else { self.file(job) });
            }
            batch.pending.fulfil(nodes);
        }
        self.flush();
    }

    fn flush(&mut self) {
        if !self.open.is_empty() {
            // The receiver is gone only when the run has failed already.
            let _ = self.blocks.send(std::mem::take(&mut self.open));
        }
    }

    fn file(&mut self, job: &Job) -> Option<Node> {
        match self.read(job) {
            Ok(node) => {
                let size = node.metadata.size;
                self.shared.count(|counts| {
                    let summary = &mut counts.summary;
                    *if job.in_parent { &mut summary.files_changed } else { &mut summary.files_new } += 1;
                    summary.content_bytes += size;
                    counts.progress.files_done += 1;
                });
                let path = job.dir.path(&job.name);
                if node.changed_while_read {
                    self.shared.tally.add(|counts| counts.changed_while_read += 1);
                    self.shared.monitor.problem(&path, "the file changed while it was read, twice; what was stored may mix two states");
                }
                self.shared.monitor.entry(&path, if job.in_parent { Fate::Changed } else { Fate::New }, size);
                Some(node)
            }
            Err(Trouble::Source(error)) => {
                self.shared.count(|counts| counts.progress.files_done += 1);
                self.shared.missing(&job.dir.path(&job.name), &error.to_string());
                None
            }
            Err(Trouble::Run(error)) => {
                self.shared.fail(error);
                None
            }
        }
    }

    fn read(&mut self, job: &Job) -> Result<Node, Trouble> {
        let class = self.shared.options.chunk_class.unwrap_or_else(|| class_of(&job.name, job.stat.size));
        let mut body = job.dir.open(&job.name)?;
        let mut stat = job.stat;
        let mut extents = self.contents(&mut *body, &stat, class)?;
        let mut after = body.stat()?;
        let mut changed_while_read = false;
        if after.is_some_and(|after| differs(&after, &stat)) {
            // It changed since the walk saw it, perhaps while it was read: once more, against its state now.
            stat = after.unwrap_or(stat);
            body.rewind()?;
            extents = self.contents(&mut *body, &stat, class)?;
            after = body.stat()?;
            changed_while_read = after.is_some_and(|after| differs(&after, &stat));
        }
        body.release();
        let (mut metadata, remarks) = match body.metadata(&stat)? {
            Some(described) => described,
            None => job.dir.metadata(&job.name, &stat)?,
        };
        for remark in remarks {
            self.shared.missing(&job.dir.path(&job.name), &remark);
        }
        metadata.size = extents.iter().map(Extent::length).sum();
        let session = self.shared.session;
        let content = store_extents(extents, &mut |bytes| session.store_tree(&bytes))?;
        debug_assert_eq!(content == Content::None, metadata.size == 0);
        Ok(Node { name: job.name.clone(), metadata, content, changed_while_read, unknown: Vec::new() })
    }

    fn contents(&mut self, body: &mut dyn Body, stat: &Stat, class: ChunkClass) -> Result<Vec<Extent>, Trouble> {
        let mut extents = Vec::new();
        if stat.allocated >= stat.size {
            self.run_of_data(body, u64::MAX, None, class, &mut extents)?;
            return Ok(extents);
        }
        let mut at = 0;
        while let Some(range) = body.next_data(at)? {
            push_hole(&mut extents, range.start.saturating_sub(at));
            let read = self.run_of_data(body, range.end.saturating_sub(range.start), Some(stat.size), class, &mut extents)?;
            at = range.start + read;
            if read == 0 || at < range.end {
                // The end of the file came before the end of the range: it was of unknown length, or the file shrank.
                return Ok(extents);
            }
        }
        push_hole(&mut extents, stat.size.saturating_sub(at));
        Ok(extents)
    }

    /// Reads up to `limit` bytes from where the body stands, cut by themselves; returns how many there were. `size` is the file's; `None`: the run is the file.
    fn run_of_data(&mut self, body: &mut dyn Body, limit: u64, mut size: Option<u64>, class: ChunkClass, extents: &mut Vec<Extent>) -> Result<u64, Trouble> {
        let (mut start, mut end, mut total, mut at_end) = (0, 0, 0u64, limit == 0);
        loop {
            let mut wanted = class.length_max().min(USUAL);
            let length = loop {
                while !at_end && end - start < wanted {
                    (start, end) = self.make_room(start, end);
                    let most = (self.window.len() - end).min(READ).min(usize::try_from(limit - total).unwrap_or(usize::MAX));
                    let read = body.read(&mut self.window[end..end + most])?;
                    end += read;
                    total += read as u64;
                    at_end = read == 0 || total == limit;
                    self.shared.count(|counts| {
                        counts.bytes_read += read as u64;
                        counts.progress.bytes_done += read as u64;
                    });
                    if self.shared.stopped() {
                        return Err(RepositoryError::Cancelled.into());
                    }
                }
                // A file that goes on behind the window is no small one.
                let size = *size.get_or_insert(if at_end { total } else { u64::MAX });
                let length = self.chunker.cut_in_file(class, size, &self.window[start..end]);
                // A cut before the end of what is there stays where it is, whatever follows (SPEC chapter 10).
                if at_end || length < end - start || wanted == class.length_max() {
                    break length;
                }
                wanted = class.length_max();
            };
            if length == 0 {
                return Ok(total);
            }
            self.chunk(class, start, length, extents)?;
            start += length;
        }
    }

    /// Makes room for a read behind `end`: moves what is left of the window to its front, or makes it longer.
    fn make_room(&mut self, start: usize, end: usize) -> (usize, usize) {
        if end + READ <= self.window.len() {
            return (start, end);
        }
        self.window.copy_within(start..end, 0);
        let end = end - start;
        if self.window.len() < end + READ {
            self.window.resize(end + READ, 0);
        }
        (0, end)
    }

    fn chunk(&mut self, class: ChunkClass, start: usize, length: usize, extents: &mut Vec<Extent>) -> Result<(), Trouble> {
        let plain = &self.window[start..start + length];
        if class == ChunkClass::Images && length == CLUSTER && plain.iter().all(|byte| *byte == 0) {
            push_hole(extents, length as u64);
            return Ok(());
        }
        let id: ChunkId = self.shared.session.repository().keys.name_data(plain);
        if self.shared.session.claim(PackKind::Data, &id.0)? {
            if length >= LONE_CHUNK {
                let mut block = OpenBlock::default();
                block.push(id.0, plain);
                let _ = self.blocks.send(block);
            } else {
                // Blocks of disk images stay small: they are read at random.
                let most = if class == ChunkClass::Images { DATA_BLOCK_BYTES / 4 } else { DATA_BLOCK_BYTES };
                if self.open.length() + length > most {
                    let _ = self.blocks.send(std::mem::take(&mut self.open));
                }
                self.open.push(id.0, plain);
            }
        }
        extents.push(Extent::Chunk { id, length: length as u32 });
        Ok(())
    }
}

fn push_hole(extents: &mut Vec<Extent>, length: u64) {
    match extents.last_mut() {
        _ if length == 0 => {}
        Some(Extent::Hole { length: last }) => *last += length,
        _ => extents.push(Extent::Hole { length }),
    }
}

/// Whether a file is not what it was. Reading may move atime, and so ctime never; blocks may be allocated late.
fn differs(a: &Stat, b: &Stat) -> bool {
    a.size != b.size || a.mtime != b.mtime || a.ctime != b.ctime || a.inode != b.inode
}
