//! One batch of files: what is right already is left, the rest is read in the order it lies in packs and written wherever it belongs.

use super::job::Job;
use super::tell::{Buffers, Shared, add};
use crate::format::FormatError;
use crate::format::id::{ChunkId, ObjectId};
use crate::format::index::IndexedPack;
use crate::format::node::Extent;
use crate::format::pack::PackKind;
use crate::ops::parallel::{lock, parallel};
use crate::ops::target::TargetFile;
use crate::ops::walk::Located;
use crate::store::error::{RepositoryError, Result};
use crate::store::load::{BadBlocks, PackTable, in_block};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Most chunk references in a batch.
const CHUNKS_MAX: usize = 64 << 10;
/// Most files in a batch.
const FILES_MAX: usize = 32 << 10;
/// What a file costs in memory beside its name and attributes, roughly.
const FILE_BYTES: usize = 640;
/// What a chunk reference costs in memory, with its place.
const CHUNK_BYTES: usize = 96;
/// Blocks that lie closer together than this are read together with what lies between.
const GAP_MAX: u64 = 256 << 10;
/// Longest read, unless a single block is longer.
const READ_MAX: u64 = 2 << 20;
/// Chunks compared by one thread at a time.
const COMPARE_RUN: usize = 64;
/// Chunks looked for by one thread at a time.
const PLACE_RUN: usize = 1024;
/// Holes from this length on are punched without looking whether they are zeros already.
const PUNCH_UNSEEN: u64 = 16 << 20;
/// Bytes looked at, or written as zeros, at a time.
const PIECE: usize = 256 << 10;

/// A chunk that belongs somewhere in a file.
struct Wanted {
    job: u32,
    length: u32,
    offset: u64,
    id: ChunkId,
}

/// A hole that must be made, or looked after.
struct Hole {
    job: u32,
    offset: u64,
    length: u64,
}

/// Where a wanted chunk lies.
struct Placed {
    pack: u32,
    block: u32,
    start: u32,
    box_offset: u64,
    box_length: u32,
    wanted: u32,
}

/// Blocks that are read with one call: a range of the placed chunks, and the bytes of the pack.
struct Run {
    placed: Range<usize>,
    bytes: Range<u64>,
}

/// Files and the chunks they want.
#[derive(Default)]
pub struct Batch {
    jobs: Vec<Arc<Job>>,
    wanted: Vec<Wanted>,
    holes: Vec<Hole>,
    bytes: usize,
}

impl Batch {
    /// Takes up a file; its extents follow.
    pub fn push(&mut self, job: Arc<Job>) {
        let metadata = &job.node.metadata;
        let xattrs: usize = metadata.xattrs.iter().map(|xattr| 96 + xattr.name.len() + xattr.value.len()).sum();
        self.bytes += FILE_BYTES + job.node.name.len() + metadata.user.len() + metadata.group.len() + xattrs;
        self.jobs.push(job);
    }

    /// Takes up an extent of the file pushed last.
    pub fn extent(&mut self, located: Located, sparse: bool) {
        let Some(job) = self.jobs.last() else { return };
        let number = self.jobs.len() as u32 - 1;
        match located.extent {
            Extent::Chunk { id, length } => self.wanted.push(Wanted { job: number, length, offset: located.offset, id }),
            // A new file is zeros wherever nothing is written.
            Extent::Hole { .. } if sparse && !job.in_place => return,
            Extent::Hole { length } => self.holes.push(Hole { job: number, offset: located.offset, length }),
        }
        job.hold();
        self.bytes += CHUNK_BYTES;
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// The file pushed last.
    pub fn last(&self) -> Option<Arc<Job>> {
        self.jobs.last().cloned()
    }

    /// Takes note of memory that waits for this batch.
    pub fn charge(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Whether it should be restored before more is taken up.
    pub fn is_full(&self, memory_bytes: usize) -> bool {
        self.bytes >= memory_bytes || self.wanted.len() + self.holes.len() >= CHUNKS_MAX || self.jobs.len() >= FILES_MAX
    }

    /// Restores all of it. The file pushed last is not finished if it `continues` in the next batch.
    pub fn restore(self, shared: &Shared<'_>, continues: bool) -> Result<()> {
        let outcome = self.run(shared, continues);
        if outcome.is_err() {
            self.abandon(shared);
        }
        outcome
    }

    /// The restore ends before its time: no file of this batch is left half written.
    pub fn abandon(&self, shared: &Shared<'_>) {
        for job in &self.jobs {
            job.abandon(shared);
        }
    }

    fn run(&self, shared: &Shared<'_>, continues: bool) -> Result<()> {
        let threads = shared.options.threads;
        let mut pending = self.compare(shared)?;
        // Everything is placed before anything is written: a file whose chunks are gone stays as it was.
        let mut bad = BadBlocks::new();
        let packs = Mutex::default();
        let mut placed = self.place(shared, &packs, &pending, &bad)?;
        parallel(threads, self.holes.len(), Vec::new, |buffer, at| self.hole(shared, &self.holes[at], buffer))?;
        let finished = self.jobs.len() - usize::from(continues);
        let release = || {
            parallel(
                threads,
                finished,
                || (),
                |(), at| {
                    shared.check()?;
                    self.jobs[at].release(shared);
                    Ok(())
                },
            )
        };
        if !shared.options.verify {
            release()?;
        }
        while !placed.is_empty() {
            placed.sort_unstable_by_key(|placed| (placed.pack, placed.block, placed.start));
            let runs = runs(&placed);
            let failed = Mutex::new((Vec::new(), Vec::new()));
            parallel(
                threads,
                runs.len(),
                || shared.buffers(),
                |lent, at| {
                    let run = &runs[at];
                    let pack = lock(&packs).list[placed[run.placed.start].pack as usize];
                    self.read(shared, pack, run, &placed[run.placed.clone()], &mut lent.buffers, &failed)
                },
            )?;
            // Chunks of blocks that are damaged may lie elsewhere too.
            let (blocks, chunks) = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            bad.extend(blocks);
            pending = chunks;
            placed = self.place(shared, &packs, &pending, &bad)?;
        }
        if shared.options.verify {
            self.verify(shared)?;
            release()?;
        }
        Ok(())
    }

    fn job(&self, wanted: &Wanted) -> &Arc<Job> {
        &self.jobs[wanted.job as usize]
    }

    fn done(&self, shared: &Shared<'_>, wanted: &Wanted) {
        add(&shared.counters.bytes_done, u64::from(wanted.length));
        self.job(wanted).release(shared);
    }

    /// Numbers of the chunks that do not lie where they belong already.
    fn compare(&self, shared: &Shared<'_>) -> Result<Vec<u32>> {
        let pending = Mutex::new(Vec::new());
        let numbers: Vec<u32> = (0..self.wanted.len() as u32).collect();
        let pieces: Vec<&[u32]> = numbers.chunks(COMPARE_RUN).collect();
        parallel(shared.options.threads, pieces.len(), Vec::new, |buffer, at| {
            shared.check()?;
            let mut differing = Vec::new();
            for number in pieces[at] {
                let wanted = &self.wanted[*number as usize];
                let job = self.job(wanted);
                let mut matches = false;
                if job.in_place {
                    job.with_file(shared, |file| holds(shared, file, wanted, buffer).map(|answer| matches = answer));
                }
                if matches {
                    self.done(shared, wanted);
                } else {
                    differing.push(*number);
                }
            }
            lock(&pending).extend(differing);
            Ok(())
        })?;
        let mut pending = pending.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        pending.sort_unstable();
        Ok(pending)
    }

    /// Where the chunks lie. Those that lie nowhere fail their files.
    fn place(&self, shared: &Shared<'_>, packs: &Mutex<Packs>, pending: &[u32], bad: &BadBlocks) -> Result<Vec<Placed>> {
        let pieces: Vec<&[u32]> = pending.chunks(PLACE_RUN).collect();
        let all = Mutex::new(Vec::with_capacity(pending.len()));
        parallel(
            shared.options.threads,
            pieces.len(),
            || (),
            |(), at| {
                let placed = self.place_some(shared, packs, pieces[at], bad)?;
                lock(&all).extend(placed);
                Ok(())
            },
        )?;
        Ok(all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn place_some(&self, shared: &Shared<'_>, packs: &Mutex<Packs>, pending: &[u32], bad: &BadBlocks) -> Result<Vec<Placed>> {
        shared.check()?;
        let mut placed = Vec::with_capacity(pending.len());
        for number in pending {
            let wanted = &self.wanted[*number as usize];
            let why = if self.job(wanted).is_failed() {
                None
            } else {
                match shared.repository.loader.must_place_except(shared.repository, PackKind::Data, &wanted.id.0, bad) {
                    Ok(place) if place.length == wanted.length => {
                        let row = &place.pack.table.blocks[place.block];
                        placed.push(Placed {
                            pack: lock(packs).number(&place.pack),
                            block: place.block as u32,
                            start: place.offset as u32,
                            box_offset: row.offset,
                            box_length: row.box_length,
                            wanted: *number,
                        });
                        continue;
                    }
                    Ok(_) => Some(format!("chunk {} has another length than the file says", wanted.id.short())),
                    Err(error) if error.concerns_one_object() => {
                        Some(if bad.is_empty() { error.to_string() } else { format!("chunk {} lies in a damaged block, and nowhere else", wanted.id.short()) })
                    }
                    Err(error) => return Err(error),
                }
            };
            if let Some(why) = why {
                self.job(wanted).fail(shared, &why);
            }
            self.done(shared, wanted);
        }
        Ok(placed)
    }

    /// Reads a run of blocks and writes their chunks.
    fn read(&self, shared: &Shared<'_>, pack: IndexedPack, run: &Run, placed: &[Placed], buffers: &mut Buffers, failed: &Mutex<Failed>) -> Result<()> {
        shared.check()?;
        let repository = shared.repository;
        let give_up = |placed: &[Placed]| {
            let mut failed = lock(failed);
            failed.0.extend(placed.iter().map(|placed| (pack.id, placed.block as usize)));
            failed.1.extend(placed.iter().map(|placed| placed.wanted));
        };
        let table = match repository.loader.table(repository, &pack) {
            Ok(table) => table,
            Err(error) if error.concerns_one_object() => {
                give_up(placed);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        // When the run cannot be read, some of its blocks may still be.
        let Buffers { boxed, plain } = buffers;
        let length = (run.bytes.end - run.bytes.start) as usize;
        if boxed.len() < length {
            boxed.resize(length, 0);
        }
        let mut bytes = match repository.store.read_into(&table.name(), run.bytes.start, &mut boxed[..length]).map_err(RepositoryError::from) {
            Ok(()) => Some(boxed),
            Err(error) if error.concerns_one_object() => None,
            Err(error) => return Err(error),
        };
        for of_block in placed.chunk_by(|a, b| a.block == b.block) {
            let block = &of_block[0];
            plain.clear();
            let opened = match &mut bytes {
                Some(bytes) => {
                    let start = (block.box_offset - run.bytes.start) as usize;
                    let boxed = &mut bytes[start..start + block.box_length as usize];
                    repository.loader.unseal_block(repository, &table, block.block as usize, boxed, plain)
                }
                None => repository.loader.block(repository, &table, block.block as usize).map(|bytes| *plain = bytes),
            };
            match opened {
                Ok(()) => {}
                Err(error) if error.concerns_one_object() => {
                    shared.monitor.note(&error.to_string());
                    give_up(of_block);
                    continue;
                }
                Err(error) => return Err(error),
            }
            for same in of_block.chunk_by(|a, b| a.start == b.start) {
                let (start, first) = (same[0].start as usize, &self.wanted[same[0].wanted as usize]);
                let bytes = &plain[start..start + first.length as usize];
                if repository.keys.name_data(bytes) != first.id {
                    shared.monitor.note(&in_block(&table, block.block as usize, FormatError::WrongName).to_string());
                    give_up(same);
                    continue;
                }
                for placed in same {
                    let wanted = &self.wanted[placed.wanted as usize];
                    self.job(wanted).write(shared, bytes, wanted.offset);
                    self.done(shared, wanted);
                }
            }
        }
        shared.progress(false);
        Ok(())
    }

    /// Makes a range zeros, as a hole where that is wanted; what is zeros already is left.
    fn hole(&self, shared: &Shared<'_>, hole: &Hole, buffer: &mut Vec<u8>) -> Result<()> {
        shared.check()?;
        let job = &self.jobs[hole.job as usize];
        job.with_file(shared, |file| {
            let sparse = shared.options.sparse;
            // Beyond the end there is nothing to look at; `set_length` makes a hole of it.
            let end = hole.offset + hole.length;
            let known = file.length()?.clamp(hole.offset, end);
            if sparse && hole.length >= PUNCH_UNSEEN {
                return file.punch(hole.offset, known - hole.offset);
            }
            buffer.resize(PIECE, 0);
            let mut at = hole.offset;
            while at < end {
                if shared.cancel.is_cancelled() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
                let length = (end - at).min(PIECE as u64) as usize;
                let read = if at < known { file.read_at(&mut buffer[..length], at)? } else { 0 };
                let is_zero = buffer[..read].iter().all(|byte| *byte == 0);
                if sparse && !is_zero {
                    job.touch();
                    return file.punch(at, known - at);
                }
                if !sparse && (!is_zero || read < length) {
                    job.touch();
                    buffer[..length].fill(0);
                    file.write_at(&buffer[..length], at)?;
                }
                if sparse && at >= known {
                    break;
                }
                at += length as u64;
            }
            Ok(())
        });
        add(&shared.counters.bytes_done, hole.length);
        job.release(shared);
        Ok(())
    }

    /// Reads back what was restored.
    fn verify(&self, shared: &Shared<'_>) -> Result<()> {
        parallel(shared.options.threads, self.wanted.len(), Vec::new, |buffer, at| {
            shared.check()?;
            let wanted = &self.wanted[at];
            let job = self.job(wanted);
            let mut holds_it = true;
            job.with_file(shared, |file| holds(shared, file, wanted, buffer).map(|answer| holds_it = answer));
            if !holds_it {
                job.fail(shared, &format!("read back, it is not what was written, at byte {}", wanted.offset));
            }
            Ok(())
        })
    }
}

/// Blocks that could not be opened, and the numbers of the chunks wanted from them.
type Failed = (Vec<(ObjectId, usize)>, Vec<u32>);

/// Packs by small numbers.
#[derive(Default)]
struct Packs {
    list: Vec<IndexedPack>,
    numbers: HashMap<ObjectId, u32>,
}

impl Packs {
    fn number(&mut self, pack: &PackTable) -> u32 {
        *self.numbers.entry(pack.id).or_insert_with(|| {
            self.list.push(pack.indexed());
            self.list.len() as u32 - 1
        })
    }
}

/// Whether the file holds the wanted chunk where it belongs.
fn holds(shared: &Shared<'_>, file: &dyn TargetFile, wanted: &Wanted, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let length = wanted.length as usize;
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    let read = file.read_at(&mut buffer[..length], wanted.offset)?;
    Ok(read == length && shared.repository.keys.name_data(&buffer[..length]) == wanted.id)
}

/// Groups placed chunks, which are in order, into reads.
fn runs(placed: &[Placed]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, chunk) in placed.iter().enumerate() {
        let (start, end) = (chunk.box_offset, chunk.box_offset + u64::from(chunk.box_length));
        match runs.last_mut() {
            Some(run)
                if placed[run.placed.start].pack == chunk.pack
                    && start <= run.bytes.end.saturating_add(GAP_MAX)
                    && (end <= run.bytes.end || end - run.bytes.start <= READ_MAX) =>
            {
                run.placed.end = at + 1;
                run.bytes.end = run.bytes.end.max(end);
            }
            _ => runs.push(Run { placed: at..at + 1, bytes: start..end }),
        }
    }
    runs
}
