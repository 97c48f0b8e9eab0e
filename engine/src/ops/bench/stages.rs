//! The work of each stage on a sample, by the functions that a backup calls, timed on one thread.

use super::sample::{Piece, Sample, Timer};
use super::{BenchError, LevelCost, PutCost, Stage, StageCost, Watch};
use crate::format::chunker::{ChunkClass, Chunker};
use crate::format::compress::{Compression, compress};
use crate::format::id::{ChunkId, ObjectId, RepositoryId};
use crate::format::keys::{DataNames, Key, KeyRing};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::seal::{Cipher, NONCE_LENGTH, SealKey, Sealed, TAG_LENGTH};
use crate::store::Store;
use crate::store::session::DATA_BLOCK_BYTES;
use std::collections::HashSet;
use std::hint::black_box;
use std::time::Duration;

/// Repeats `work` until `span` is over, once at least. Returns the mean time that a processor worked: whatever else the machine does meanwhile is no part of it.
fn repeat(watch: Watch<'_>, span: Duration, mut work: impl FnMut()) -> Result<Duration, BenchError> {
    let mut timer = Timer::start(watch);
    let mut times = 0;
    while times == 0 || timer.elapsed < span {
        watch.check()?;
        timer.resume();
        work();
        timer.pause();
        times += 1;
    }
    Ok(timer.busy / times)
}

/// Chunks and blocks of a sample; nothing is secret, so neither are the keys.
pub(super) struct Bench<'a> {
    watch: Watch<'a>,
    keys: KeyRing,
    sample: &'a Sample,
}

/// Bytes that are compressed and sealed together.
pub(super) type Block = Vec<u8>;

impl<'a> Bench<'a> {
    pub(super) fn new(watch: Watch<'a>, sample: &'a Sample) -> Self {
        Self { watch, keys: KeyRing::new(RepositoryId([0; 16]), vec![Key([0; 32])]), sample }
    }

    fn names(&self) -> &DataNames {
        self.keys.data_names().expect("an owner names contents")
    }

    fn cost(&self, name: Stage, bytes: u64, busy: Duration) -> StageCost {
        StageCost { name, bytes, plain_bytes: self.sample.bytes, elapsed: busy, busy }
    }

    /// Cuts; returns the lengths of each piece's chunks.
    pub(super) fn cut(&self, span: Duration) -> Result<(StageCost, Vec<Vec<usize>>), BenchError> {
        let chunker = Chunker::new(self.names().gear());
        let cut = |piece: &Piece| {
            let (mut lengths, mut rest) = (Vec::new(), &piece.bytes[..]);
            while !rest.is_empty() {
                let length = chunker.cut_in_file(ChunkClass::Files, piece.size, rest);
                lengths.push(length);
                rest = &rest[length..];
            }
            lengths
        };
        let mut cuts = Vec::new();
        let time = repeat(self.watch, span, || cuts = self.sample.pieces.iter().map(cut).collect())?;
        Ok((self.cost(Stage::Cut, self.sample.bytes, time), cuts))
    }

    fn chunks<'c>(&'c self, cuts: &'c [Vec<usize>]) -> impl Iterator<Item = &'c [u8]> {
        self.sample.pieces.iter().zip(cuts).flat_map(|(piece, lengths)| {
            let mut rest = &piece.bytes[..];
            lengths.iter().map(move |length| {
                let (chunk, after) = rest.split_at(*length);
                rest = after;
                chunk
            })
        })
    }

    /// Names; returns the blocks that the chunks make, each chunk once.
    pub(super) fn name(&self, cuts: &[Vec<usize>], span: Duration) -> Result<(StageCost, Vec<Block>), BenchError> {
        let data_names = self.names();
        let mut names: Vec<ChunkId> = Vec::new();
        let time = repeat(self.watch, span, || names = self.chunks(cuts).map(|chunk| data_names.name(chunk)).collect())?;
        let (mut known, mut blocks, mut open) = (HashSet::new(), Vec::new(), Vec::new());
        for (chunk, name) in self.chunks(cuts).zip(&names) {
            if !known.insert(*name) {
                continue;
            }
            // As a backup's readers gather them.
            if chunk.len() >= DATA_BLOCK_BYTES / 2 {
                blocks.push(chunk.to_vec());
                continue;
            }
            if open.len() + chunk.len() > DATA_BLOCK_BYTES {
                blocks.push(std::mem::take(&mut open));
            }
            open.extend_from_slice(chunk);
        }
        blocks.extend(Some(open).filter(|open| !open.is_empty()));
        Ok((self.cost(Stage::Name, self.sample.bytes, time), blocks))
    }

    /// Compresses at the default level; returns boxes to be, with room for nonces.
    pub(super) fn compress(&self, blocks: &[Block], span: Duration) -> Result<(StageCost, Vec<Vec<u8>>), BenchError> {
        let mut boxes = Vec::new();
        let time = repeat(self.watch, span, || {
            boxes = blocks
                .iter()
                .map(|plain| {
                    let mut out = Vec::with_capacity(NONCE_LENGTH + plain.len() + TAG_LENGTH);
                    out.resize(NONCE_LENGTH, 0);
                    compress(plain, Compression::default(), &mut out);
                    out
                })
                .collect();
        })?;
        Ok((self.cost(Stage::Compress, blocks.iter().map(|plain| plain.len() as u64).sum(), time), boxes))
    }

    /// Seals with one cipher.
    pub(super) fn seal(&self, boxes: &mut [Vec<u8>], cipher: Cipher, span: Duration) -> Result<StageCost, BenchError> {
        let key = SealKey::new(&[0; 32]);
        let lengths: Vec<usize> = boxes.iter().map(Vec::len).collect();
        let time = repeat(self.watch, span, || {
            for (buffer, length) in boxes.iter_mut().zip(&lengths) {
                key.seal_in_place(self.keys.repository, Sealed::DataBlock, cipher, &[0; 5], &[0; 32], buffer);
                // A box can be sealed again as if it were a message of the same length.
                buffer.truncate(*length);
            }
        })?;
        Ok(self.cost(Stage::Seal, lengths.iter().map(|length| (length - NONCE_LENGTH) as u64).sum(), time))
    }

    /// Compresses the same blocks at each of `levels`, as many as `span` allows, one at least.
    pub(super) fn levels(&self, blocks: &[Block], levels: &[i32], span: Duration) -> Result<Vec<LevelCost>, BenchError> {
        let mut costs: Vec<LevelCost> =
            levels.iter().map(|level| LevelCost { level: *level, plain_bytes: 0, stored_bytes: 0, elapsed: Duration::ZERO }).collect();
        // Multiples of the golden ratio: whichever beginning of this order is reached, it is spread evenly over the sample.
        let mut order: Vec<usize> = (0..blocks.len()).collect();
        order.sort_by_key(|number| (*number as u32).wrapping_mul(0x9e37_79b9));
        let start = self.watch.host.elapsed();
        let mut out = Vec::new();
        for number in order {
            for cost in &mut costs {
                self.watch.check()?;
                out.clear();
                let mut timer = Timer::start(self.watch);
                black_box(compress(&blocks[number], Compression::Level(cost.level), &mut out));
                timer.pause();
                cost.plain_bytes += blocks[number].len() as u64;
                cost.stored_bytes += out.len() as u64;
                cost.elapsed += timer.busy;
            }
            if self.watch.host.elapsed().saturating_sub(start) > span {
                break;
            }
        }
        Ok(costs)
    }
}

/// Most objects of each length that are put.
const PUTS_MAX: usize = 8;

/// Puts a few objects of each of `lengths`, shortest first, waits until they are durable, and deletes them again. Returns the fastest put of each length, since
/// only these tell of the store alone, and how long all those of the last length took, the wait among it.
pub(super) fn put(store: &dyn Store, watch: Watch<'_>, lengths: [usize; 2], span: Duration) -> Result<([PutCost; 2], PutCost), BenchError> {
    let start = watch.host.elapsed();
    let mut times: [Vec<Duration>; 2] = Default::default();
    let mut names = Vec::new();
    let put_all = |times: &mut [Vec<Duration>; 2], names: &mut Vec<ObjectName>| -> Result<Duration, BenchError> {
        while times[1].is_empty() || (times[1].len() < PUTS_MAX && watch.host.elapsed().saturating_sub(start) < span) {
            for (times, length) in times.iter_mut().zip(lengths) {
                watch.check()?;
                let mut bytes = super::made::data(super::made::DataKind::Noise, u64::from_le_bytes(watch.host.random()), length);
                bytes.shrink_to_fit();
                let name = ObjectName::new(ObjectKind::DataPack, ObjectId(watch.host.random()));
                names.push(name);
                let mut timer = Timer::start(watch);
                store.put_pack(&name, bytes)?;
                timer.pause();
                times.push(timer.elapsed);
            }
        }
        let mut timer = Timer::start(watch);
        store.barrier()?;
        timer.pause();
        Ok(timer.elapsed)
    };
    let barrier = put_all(&mut times, &mut names);
    // Whatever went wrong: on a full disk above all, nothing is left.
    let deleted = names.iter().try_for_each(|name| store.delete(name));
    let barrier = barrier?;
    deleted?;
    let [short, long] = &times;
    let all = PutCost { bytes: (long.len() * lengths[1]) as u64, elapsed: long.iter().sum::<Duration>() + barrier };
    let fastest = |times: &[Duration], length: usize| PutCost { bytes: length as u64, elapsed: times.iter().min().copied().unwrap_or_default() };
    Ok(([fastest(short, lengths[0]), fastest(long, lengths[1])], all))
}
