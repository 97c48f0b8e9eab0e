//! What a batch needs from packs: read in the order it lies there, each block opened once, and written wherever it belongs.

use super::batch::{Batch, Packs, Placed, holds};
use super::tell::{Buffers, Shared};
use crate::format::FormatError;
use crate::format::id::ObjectId;
use crate::format::index::IndexedPack;
use crate::ops::parallel::{lock, parallel};
use crate::store::error::{RepositoryError, Result};
use crate::store::load::{BadBlocks, in_block};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Blocks that lie closer together than this are read together with what lies between.
const GAP_MAX: u64 = 256 << 10;
/// Longest read, unless a single block is longer.
const READ_MAX: u64 = 1 << 20;

/// Blocks that are read with one call: a range of the placed chunks, and the bytes of the pack.
struct Run {
    placed: Range<usize>,
    bytes: Range<u64>,
}

/// Blocks that could not be opened, and the numbers of the chunks wanted from them.
type Failed = (Vec<(ObjectId, usize)>, Vec<u32>);

/// A batch whose chunks have their places.
pub struct Fetch {
    batch: Batch,
    /// The last file goes on in the next batch.
    continues: bool,
    packs: Mutex<Packs>,
    /// What is still to be brought.
    placed: Mutex<Vec<Placed>>,
}

/// What the next batch wants of blocks that are opened for this one: neighbours share blocks, and the edge of a batch goes through many.
pub struct Ahead {
    next: Arc<Fetch>,
    placed: Vec<Placed>,
}

impl Fetch {
    /// A batch of which nothing is done. The file pushed last is not finished if it `continues` in the next one.
    pub fn new(batch: Batch, continues: bool) -> Self {
        Self { batch, continues, packs: Mutex::default(), placed: Mutex::default() }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Compares the files with what is there, finds the places of the rest, makes holes, and finishes files that are right already. All chunks are placed
    /// before anything is written: a file whose chunks are gone stays as it was.
    pub fn prepare(&self, shared: &Shared<'_>) -> Result<()> {
        let batch = &self.batch;
        let pending = batch.compare(shared)?;
        *lock(&self.placed) = batch.place(shared, &self.packs, &pending, &BadBlocks::new())?;
        parallel(shared.options.threads, batch.holes.len(), Vec::new, |buffer, at| batch.hole(shared, &batch.holes[at], buffer))?;
        if shared.options.verify { Ok(()) } else { self.release(shared) }
    }

    /// Takes from the next batch what lies in blocks that this one opens; both are prepared.
    pub fn look_ahead(&self, next: &Arc<Self>) -> Ahead {
        let (mut own, packs) = (lock(&self.placed), lock(&self.packs));
        own.sort_unstable_by_key(key);
        let numbers: Vec<Option<u32>> = lock(&next.packs).list.iter().map(|pack| packs.numbers.get(&pack.id).copied()).collect();
        let mut placed = Vec::new();
        lock(&next.placed).retain(|chunk| {
            let shared = numbers[chunk.pack as usize].filter(|pack| own.binary_search_by_key(&(*pack, chunk.block), |own| (own.pack, own.block)).is_ok());
            placed.extend(shared.map(|pack| Placed { pack, is_ahead: true, ..*chunk }));
            shared.is_none()
        });
        Ahead { next: Arc::clone(next), placed }
    }

    /// Restores all of it, prepared as it is.
    pub fn perform(&self, shared: &Shared<'_>, ahead: Option<Ahead>) -> Result<()> {
        self.run(shared, ahead).inspect_err(|_| self.abandon(shared))
    }

    /// The restore ends before its time: no file is left half written.
    pub fn abandon(&self, shared: &Shared<'_>) {
        self.batch.abandon(shared);
    }

    /// Lets go of the files: what is done by then is finished.
    fn release(&self, shared: &Shared<'_>) -> Result<()> {
        let jobs = &self.batch.jobs[..self.batch.jobs.len() - usize::from(self.continues)];
        parallel(
            shared.options.threads,
            jobs.len(),
            || (),
            |(), at| {
                shared.check()?;
                jobs[at].release(shared);
                Ok(())
            },
        )
    }

    fn run(&self, shared: &Shared<'_>, ahead: Option<Ahead>) -> Result<()> {
        let mut bad = BadBlocks::new();
        let mut placed = std::mem::take(&mut *lock(&self.placed));
        let next = ahead.map(|ahead| {
            placed.extend(ahead.placed);
            ahead.next
        });
        while !placed.is_empty() {
            placed.sort_unstable_by_key(key);
            let runs = runs(&placed);
            let failed = Mutex::default();
            parallel(
                shared.options.threads,
                runs.len(),
                || shared.buffers(),
                |lent, at| {
                    let run = &runs[spread(at, runs.len(), shared.options.threads)];
                    let pack = lock(&self.packs).list[placed[run.placed.start].pack as usize];
                    let task = Task { shared, pack, next: next.as_deref(), failed: &failed };
                    self.read(&task, run, &placed[run.placed.clone()], &mut lent.buffers)
                },
            )?;
            // Chunks of blocks that are damaged may lie elsewhere too.
            let (blocks, chunks) = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
            bad.extend(blocks);
            placed = self.batch.place(shared, &self.packs, &chunks, &bad)?;
        }
        if shared.options.verify {
            self.verify(shared)?;
            self.release(shared)?;
        }
        Ok(())
    }

    /// Reads a run of blocks and writes their chunks.
    fn read(&self, task: &Task<'_>, run: &Run, placed: &[Placed], buffers: &mut Buffers) -> Result<()> {
        let &Task { shared, pack, next, failed } = task;
        shared.check()?;
        let repository = shared.repository;
        let batch_of = |placed: &Placed| next.filter(|_| placed.is_ahead).map_or(&self.batch, |next| &next.batch);
        let give_up = |placed: &[Placed]| {
            for placed in placed {
                match next.filter(|_| placed.is_ahead) {
                    // It finds out for itself, and looks for another copy.
                    Some(next) => {
                        let pack = lock(&next.packs).number(pack);
                        lock(&next.placed).push(Placed { pack, is_ahead: false, ..*placed });
                    }
                    None => {
                        let mut failed = lock(failed);
                        failed.0.push((pack.id, placed.block as usize));
                        failed.1.push(placed.wanted);
                    }
                }
            }
        };
        let table = match repository.loader.table(repository, &pack) {
            Ok(table) => table,
            Err(error) if error.concerns_one_object() => {
                give_up(placed);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let names = repository.keys.data_names().map_err(|error| RepositoryError::format("contents", error))?;
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
                    if repository.loader.mended_block(repository, &table, block.block as usize, plain).is_none() {
                        give_up(of_block);
                        continue;
                    }
                }
                Err(error) => return Err(error),
            }
            for same in of_block.chunk_by(|a, b| a.start == b.start) {
                let (start, first) = (same[0].start as usize, &batch_of(&same[0]).wanted[same[0].wanted as usize]);
                let bytes = &plain[start..start + first.length as usize];
                if names.name(bytes) != first.id {
                    shared.monitor.note(&in_block(&table, block.block as usize, FormatError::WrongName).to_string());
                    give_up(same);
                    continue;
                }
                for placed in same {
                    let batch = batch_of(placed);
                    let wanted = &batch.wanted[placed.wanted as usize];
                    batch.job(wanted).write(shared, bytes, wanted.offset);
                    batch.done(shared, wanted);
                }
            }
        }
        shared.progress(false);
        Ok(())
    }

    /// Reads back what was restored.
    fn verify(&self, shared: &Shared<'_>) -> Result<()> {
        parallel(shared.options.threads, self.batch.wanted.len(), Vec::new, |buffer, at| {
            shared.check()?;
            let wanted = &self.batch.wanted[at];
            let job = self.batch.job(wanted);
            let mut holds_it = true;
            job.with_file(shared, |file| holds(shared, file, wanted, buffer).map(|answer| holds_it = answer));
            if !holds_it {
                job.fail(shared, &format!("read back, it is not what was written, at byte {}", wanted.offset));
            }
            Ok(())
        })
    }
}

/// What threads read a run for.
struct Task<'a> {
    shared: &'a Shared<'a>,
    pack: IndexedPack,
    next: Option<&'a Fetch>,
    failed: &'a Mutex<Failed>,
}

/// Which of `count` runs is done as number `at`: threads begin far from each other, since neighbours lie in one directory, which takes one new
/// entry at a time.
pub fn spread(at: usize, count: usize, threads: usize) -> usize {
    let threads = threads.max(1);
    let (rows, longer) = (count / threads, count % threads);
    let (column, row) = (at % threads, at / threads);
    column * rows + column.min(longer) + row
}

/// The order in which chunks are brought.
fn key(placed: &Placed) -> (u32, u32, u32) {
    (placed.pack, placed.block, placed.start)
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
