//! Reads files: cuts, names, and gathers what is new into blocks.

use super::Shared;
use super::checkpoint::{Place, TICK, Unfinished};
use super::class::{Cutting, HEAD_BYTES, cutting, is_image};
use super::fold::Pending;
use crate::format::chunker::{CLUSTER, ChunkClass, Chunker, SINGLE_CHUNK_MAX};
use crate::format::contents::ContentBuilder;
use crate::format::id::{ChunkId, TreeId};
use crate::format::node::{Content, Node};
use crate::format::pack::PackKind;
use crate::ops::monitor::Fate;
use crate::ops::source::{Body, SourceDir, Stat};
use crate::store::error::RepositoryError;
use crate::store::session::OpenBlock;
use crate::store::stages::Stage;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::io;
use std::sync::Arc;

/// One file to read.
pub(super) struct Job {
    pub(super) name: Vec<u8>,
    pub(super) stat: Stat,
    pub(super) dir: Arc<dyn SourceDir>,
    /// Its contents in the parent, where it is different.
    pub(super) before: Option<Content>,
}

/// Files that belong together: neighbours in walk order, about a block's worth.
pub(super) struct Batch {
    pub(super) jobs: Vec<Job>,
    pub(super) pending: Arc<Pending>,
}

/// Bytes asked for at once.
const READ: usize = 512 << 10;
/// Bytes in which the next cut usually lies; only if it does not is the longest chunk waited for.
const USUAL: usize = 2 << 20;
/// A chunk of at least this many bytes is a block of its own.
const LONE_CHUNK: usize = 512 << 10;
/// Blocks of disk images stay small: they are read at random.
const IMAGE_BLOCK_BYTES: usize = 512 << 10;
/// What zeros of disk images are compared with.
static ZEROS: [u8; CLUSTER] = [0; CLUSTER];

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
    block_bytes: usize,
    blocks: Sender<OpenBlock>,
    /// Bytes at the front of the window that were read before it was known how to cut.
    ahead: usize,
    /// Emptied blocks, to be filled again.
    spare: Receiver<OpenBlock>,
    /// Which of the readers this is.
    number: usize,
    /// The flush that was answered last.
    flushed: u64,
    /// The file that is being read.
    place: Option<Place>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(shared: &'a Shared<'a>, number: usize, block_bytes: usize, blocks: Sender<OpenBlock>, spare: Receiver<OpenBlock>) -> Self {
        let chunker = Chunker::new(shared.names.gear());
        let (window, open) = (vec![0; USUAL + 2 * READ], OpenBlock::default());
        Self { shared, chunker, window, open, block_bytes, blocks, ahead: 0, spare, number, flushed: 0, place: None }
    }

    /// Reads batches until there are no more, or the run is over.
    pub(super) fn run(mut self, batches: &Receiver<Batch>) {
        loop {
            let batch = match batches.recv_timeout(TICK) {
                Ok(batch) => batch,
                Err(RecvTimeoutError::Timeout) => {
                    self.answer_checkpoint(None);
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut nodes = Vec::with_capacity(batch.jobs.len());
            for (index, job) in batch.jobs.iter().enumerate() {
                self.place = Some(Place(batch.pending.clone(), index));
                nodes.push(if self.shared.stopped() { None } else { self.file(job) });
                self.answer_checkpoint(None);
            }
            self.place = None;
            batch.pending.fulfil(nodes);
            // Neighbours share a block: what another reader takes in between would only lengthen the distance to what is like it.
            if self.open.length() >= self.block_bytes / 4 * 3 {
                self.flush();
            }
        }
        self.flush();
        self.shared.checkpoints.flushed(self.number, u64::MAX, None);
    }

    fn flush(&mut self) {
        if !self.open.is_empty() {
            let full = std::mem::take(&mut self.open);
            self.hand_over(full);
            self.open = self.spare.try_recv().unwrap_or_default();
        }
    }

    fn hand_over(&self, block: OpenBlock) {
        self.shared.checkpoints.hands_over();
        // The receiver is gone only when the run has failed already.
        let _ = self.blocks.send(block);
    }

    /// Hands over what it has, if a checkpoint wants that. `unfinished`: the file that is being read, and its contents so far.
    fn answer_checkpoint(&mut self, unfinished: Option<(&Job, &ContentBuilder)>) {
        let wanted = self.shared.checkpoints.wanted();
        if wanted == self.flushed {
            return;
        }
        self.flush();
        self.flushed = wanted;
        let unfinished = unfinished.and_then(|(job, contents)| self.unfinished(job, contents));
        self.shared.checkpoints.flushed(self.number, wanted, unfinished);
    }

    /// The entry of a file that was read up to here; nothing if it cannot be made: the checkpoint goes without it.
    fn unfinished(&self, job: &Job, contents: &ContentBuilder) -> Option<Unfinished> {
        let (mut metadata, _) = job.dir.metadata(&job.name, &job.stat).ok()?;
        metadata.size = contents.size();
        let content = contents.clone().finish(&mut self.sink()).ok()?;
        let node = Node { name: job.name.clone(), metadata, content, changed_while_read: true, lost: false, unknown: Vec::new() };
        Some(Unfinished { place: self.place.clone()?, node })
    }

    fn file(&mut self, job: &Job) -> Option<Node> {
        match self.read(job) {
            Ok(node) => {
                let size = node.metadata.size;
                let is_rewritten = job.before.as_ref().is_some_and(|before| *before != node.content);
                self.shared.count(|counts| {
                    let summary = &mut counts.summary;
                    *if job.before.is_some() { &mut summary.files_changed } else { &mut summary.files_new } += 1;
                    counts.rewritten += u64::from(is_rewritten);
                    summary.content_bytes += size;
                    counts.progress.files_done += 1;
                });
                if node.changed_while_read {
                    self.shared.tally.add(|counts| counts.changed_while_read += 1);
                    let path = job.dir.path(&job.name);
                    self.shared.monitor.problem(&path, "the file changed while it was read, twice; what was stored may mix two states");
                }
                if self.shared.monitor.wants_entries() {
                    self.shared.monitor.entry(&job.dir.path(&job.name), if job.before.is_some() { Fate::Changed } else { Fate::New }, size);
                }
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
        let mut body = job.dir.open(&job.name)?;
        let mut stat = job.stat;
        self.ahead = 0;
        let class = match self.shared.options.chunk_class.map_or_else(|| cutting(&job.name, stat.size, job.dir.is_stream()), Cutting::As) {
            Cutting::As(class) => class,
            Cutting::Unless(class) => self.image_or(&mut *body, class)?,
        };
        let mut contents = self.contents(job, &mut *body, &stat, class)?;
        let mut after = body.stat()?;
        let mut changed_while_read = false;
        if after.is_some_and(|after| differs(&after, &stat)) {
            // It changed since the walk saw it, perhaps while it was read: once more, against its state now.
            stat = after.unwrap_or(stat);
            body.rewind()?;
            contents = self.contents(job, &mut *body, &stat, class)?;
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
        metadata.size = contents.size();
        let content = contents.finish(&mut self.sink())?;
        debug_assert_eq!(content == Content::None, metadata.size == 0);
        Ok(Node { name: job.name.clone(), metadata, content, changed_while_read, lost: false, unknown: Vec::new() })
    }

    /// Looks at the first bytes. Those of a body that cannot go back wait in the window.
    fn image_or(&mut self, body: &mut dyn Body, class: ChunkClass) -> Result<ChunkClass, Trouble> {
        let mut length = 0;
        while length < HEAD_BYTES {
            match body.read(&mut self.window[length..HEAD_BYTES])? {
                0 => break,
                read => length += read,
            }
        }
        if body.rewind().is_err() {
            self.ahead = length;
        }
        Ok(if is_image(&self.window[..length]) { ChunkClass::Images } else { class })
    }

    /// Reads a file that is one chunk right into the block it will be part of. `None`: it is longer than it was, and must be cut.
    fn small(&mut self, body: &mut dyn Body, size: usize) -> Result<Option<ContentBuilder>, Trouble> {
        // The batch ends where the block is full, so its last file goes beyond.
        if self.open.length() + size > self.block_bytes + SINGLE_CHUNK_MAX {
            self.flush();
        }
        let host = &*self.shared.session.repository().host;
        let stages = self.shared.session.stages();
        let room = self.open.room(size + 1);
        let mut length = 0;
        let started = host.elapsed();
        loop {
            let read = body.read(&mut room[length..])?;
            length += read;
            // A read that got less than it asked for, but all that the file should hold, has seen its end.
            if read == 0 || length >= size {
                break;
            }
        }
        stages.add(Stage::Read, host.elapsed().saturating_sub(started));
        self.shared.count_read(length);
        if length > size {
            return Ok(None);
        }
        let mut contents = ContentBuilder::default();
        if length == 0 {
            return Ok(Some(contents));
        }
        let (id, is_new) = claim(self.shared, &room[..length])?;
        if is_new {
            self.open.keep(id.0, length);
        }
        contents.push_chunk(id, length as u32, &mut self.sink())?;
        Ok(Some(contents))
    }

    fn contents(&mut self, job: &Job, body: &mut dyn Body, stat: &Stat, class: ChunkClass) -> Result<ContentBuilder, Trouble> {
        let mut contents = ContentBuilder::default();
        if stat.allocated >= stat.size {
            if (1..=SINGLE_CHUNK_MAX as u64).contains(&stat.size) && class != ChunkClass::Images {
                if let Some(contents) = self.small(body, stat.size as usize)? {
                    return Ok(contents);
                }
                body.rewind()?;
            }
            self.run_of_data(job, body, u64::MAX, None, class, &mut contents)?;
            return Ok(contents);
        }
        let mut at = 0;
        while let Some(mut range) = body.next_data(at)? {
            if class == ChunkClass::Images {
                // Clusters lie at multiples of their length, whatever is allocated.
                let start = range.start - range.start % CLUSTER as u64;
                if start != range.start {
                    body.seek(start)?;
                }
                let end = range.end.checked_next_multiple_of(CLUSTER as u64).unwrap_or(u64::MAX);
                range = start..end.min(stat.size.max(range.end));
            }
            contents.push_hole(range.start.saturating_sub(at), &mut self.sink())?;
            let read = self.run_of_data(job, body, range.end.saturating_sub(range.start), Some(stat.size), class, &mut contents)?;
            at = range.start + read;
            if read == 0 || at < range.end {
                // The end of the file came before the end of the range: it was of unknown length, or the file shrank.
                return Ok(contents);
            }
        }
        contents.push_hole(stat.size.saturating_sub(at), &mut self.sink())?;
        Ok(contents)
    }

    /// Reads up to `limit` bytes from where the body stands, cut by themselves; returns how many there were. `size` is the file's; `None`: the run is the file.
    fn run_of_data(
        &mut self,
        job: &Job,
        body: &mut dyn Body,
        limit: u64,
        mut size: Option<u64>,
        class: ChunkClass,
        contents: &mut ContentBuilder,
    ) -> Result<u64, Trouble> {
        let host = &*self.shared.session.repository().host;
        let stages = self.shared.session.stages();
        let ahead = std::mem::take(&mut self.ahead);
        let (mut start, mut end, mut total, mut at_end) = (0, ahead, ahead as u64, limit == 0);
        self.shared.count_read(ahead);
        loop {
            let mut wanted = class.length_max().min(USUAL);
            let length = loop {
                while !at_end && end - start < wanted {
                    (start, end) = self.make_room(start, end);
                    let most = (self.window.len() - end).min(READ).min(usize::try_from(limit - total).unwrap_or(usize::MAX));
                    let read = stages.time(host, Stage::Read, || body.read(&mut self.window[end..end + most]))?;
                    end += read;
                    total += read as u64;
                    at_end = read == 0 || total == limit;
                    self.shared.count_read(read);
                    if self.shared.stopped() {
                        return Err(RepositoryError::Cancelled.into());
                    }
                }
                // A file that goes on behind the window is no small one.
                let size = *size.get_or_insert(if at_end { total } else { u64::MAX });
                let length = stages.time(host, Stage::Cut, || self.chunker.cut_in_file(class, size, &self.window[start..end]));
                // A cut before the end of what is there stays where it is, whatever follows (SPEC chapter 10).
                if at_end || length < end - start || wanted == class.length_max() {
                    break length;
                }
                wanted = class.length_max();
            };
            if length == 0 {
                return Ok(total);
            }
            self.chunk(class, start, length, contents)?;
            self.answer_checkpoint(Some((job, contents)));
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

    fn chunk(&mut self, class: ChunkClass, start: usize, length: usize, contents: &mut ContentBuilder) -> Result<(), Trouble> {
        let plain = &self.window[start..start + length];
        if class == ChunkClass::Images && *plain == ZEROS {
            contents.push_hole(length as u64, &mut self.sink())?;
            return Ok(());
        }
        let (id, is_new) = claim(self.shared, plain)?;
        if is_new {
            let plain = &self.window[start..start + length];
            if length >= LONE_CHUNK {
                let mut block = self.spare.try_recv().unwrap_or_default();
                block.push(id.0, plain);
                self.hand_over(block);
            } else {
                let most = if class == ChunkClass::Images { IMAGE_BLOCK_BYTES } else { self.block_bytes };
                if self.open.length() + length > most {
                    self.flush();
                }
                self.open.push(id.0, &self.window[start..start + length]);
            }
        }
        contents.push_chunk(id, length as u32, &mut self.sink())?;
        Ok(())
    }

    /// Stores list nodes.
    fn sink(&self) -> impl FnMut(Vec<u8>) -> crate::store::error::Result<TreeId> + use<'a> {
        let session = self.shared.session;
        move |bytes| session.store_tree(&bytes)
    }
}

/// Names a chunk; whether it must be stored.
fn claim(shared: &Shared<'_>, plain: &[u8]) -> Result<(ChunkId, bool), RepositoryError> {
    let session = shared.session;
    session.stages().time(&*session.repository().host, Stage::Name, || {
        let id = shared.names.name(plain);
        session.claim(PackKind::Data, &id.0).map(|is_new| (id, is_new))
    })
}

/// Whether a file is not what it was. Reading may move atime, and so ctime never; blocks may be allocated late.
fn differs(a: &Stat, b: &Stat) -> bool {
    a.size != b.size || a.mtime != b.mtime || a.ctime != b.ctime || a.inode != b.inode
}
