//! One batch of files: what is right already is left, the rest is read in the order it lies in packs and written wherever it belongs.

use super::job::Job;
use super::tell::{Shared, add};
use crate::format::id::{ChunkId, ObjectId};
use crate::format::index::IndexedPack;
use crate::format::node::Extent;
use crate::format::pack::PackKind;
use crate::ops::parallel::{lock, parallel};
use crate::ops::target::TargetFile;
use crate::ops::walk::Located;
use crate::store::error::Result;
use crate::store::load::BadBlocks;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};

/// Most chunk references in a batch.
const CHUNKS_MAX: usize = 64 << 10;
/// Most files in a batch.
const FILES_MAX: usize = 32 << 10;
/// What a file costs in memory beside its name and attributes, roughly.
const FILE_BYTES: usize = 640;
/// What a chunk reference costs in memory, with its place.
const CHUNK_BYTES: usize = 96;
/// Chunks compared by one thread at a time.
const COMPARE_RUN: usize = 64;
/// Chunks looked for by one thread at a time.
const PLACE_RUN: usize = 1024;
/// Holes from this length on are punched without looking whether they are zeros already.
const PUNCH_UNSEEN: u64 = 16 << 20;
/// Bytes looked at, or written as zeros, at a time.
const PIECE: usize = 256 << 10;

/// A chunk that belongs somewhere in a file.
pub struct Wanted {
    job: u32,
    pub length: u32,
    pub offset: u64,
    pub id: ChunkId,
}

/// A hole that must be made, or looked after.
pub struct Hole {
    job: u32,
    offset: u64,
    length: u64,
}

/// Where a wanted chunk lies.
pub struct Placed {
    pub pack: u32,
    pub block: u32,
    pub start: u32,
    pub box_offset: u64,
    pub box_length: u32,
    pub wanted: u32,
    /// The next batch wants it.
    pub is_ahead: bool,
}

/// Files and the chunks they want.
#[derive(Default)]
pub struct Batch {
    pub jobs: Vec<Arc<Job>>,
    pub wanted: Vec<Wanted>,
    pub holes: Vec<Hole>,
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

    /// The restore ends before its time: no file of this batch is left half written.
    pub fn abandon(&self, shared: &Shared<'_>) {
        for job in &self.jobs {
            job.abandon(shared);
        }
    }

    /// The file that wants a chunk.
    pub fn job(&self, wanted: &Wanted) -> &Arc<Job> {
        &self.jobs[wanted.job as usize]
    }

    /// A chunk lies where it belongs.
    pub fn done(&self, shared: &Shared<'_>, wanted: &Wanted) {
        add(&shared.counters.bytes_done, u64::from(wanted.length));
        self.job(wanted).release(shared);
    }

    /// Numbers of the chunks that do not lie where they belong already.
    pub fn compare(&self, shared: &Shared<'_>) -> Result<Vec<u32>> {
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
    pub fn place(&self, shared: &Shared<'_>, packs: &Mutex<Packs>, pending: &[u32], bad: &BadBlocks) -> Result<Vec<Placed>> {
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
                            pack: lock(packs).number(place.pack.indexed()),
                            block: place.block as u32,
                            start: place.offset as u32,
                            box_offset: row.offset,
                            box_length: row.box_length,
                            wanted: *number,
                            is_ahead: false,
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

    /// Makes a range zeros, as a hole where that is wanted; what is zeros already is left.
    pub fn hole(&self, shared: &Shared<'_>, hole: &Hole, buffer: &mut Vec<u8>) -> Result<()> {
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
}

/// Packs by small numbers.
#[derive(Default)]
pub struct Packs {
    pub list: Vec<IndexedPack>,
    pub numbers: HashMap<ObjectId, u32>,
}

impl Packs {
    /// The number of a pack.
    pub fn number(&mut self, pack: IndexedPack) -> u32 {
        *self.numbers.entry(pack.id).or_insert_with(|| {
            self.list.push(pack);
            self.list.len() as u32 - 1
        })
    }
}

/// Whether the file holds the wanted chunk where it belongs.
pub fn holds(shared: &Shared<'_>, file: &dyn TargetFile, wanted: &Wanted, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let length = wanted.length as usize;
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    let read = file.read_at(&mut buffer[..length], wanted.offset)?;
    // Who cannot name contents finds nothing in place, and is told why when they are fetched.
    Ok(read == length && shared.repository.keys.data_names().is_ok_and(|names| names.name(&buffer[..length]) == wanted.id))
}
