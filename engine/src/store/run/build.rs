//! Builds runs: rows are streamed in order, so that memory depends neither on how many there are nor on how many runs are merged.

use super::{FAN_BITS_MAX, HASH, HASHED_BYTES_MAX, HEAD, Layout, MAGIC, PACK_ROW, PART, PART_BITS_MAX, Run, Shape, filter_key, hash_of, leading_bits};
use crate::format::index::{IndexRow, IndexedPack};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use xorf::{BinaryFuse8, DmaSerializable};

/// Bytes written at a time.
const WRITE: usize = 256 << 10;
/// Keys that a part of the filter is made for, at most, if the prefixes are hashes: building one takes some 30 bytes a key.
const PART_KEYS: usize = 1 << 17;
/// A part with more keys than this gets no filter. Honest prefixes do not crowd like that, and others shall not take our memory.
const PART_KEYS_MAX: usize = 1 << 18;
/// A part with fewer keys than this needs no filter.
const PART_KEYS_MIN: usize = 16;
/// Rows with one prefix among which the same row is looked for.
const SAME_MAX: usize = 16;

/// Where a run is written to.
pub(super) trait Sink: Sized {
    fn write_at(&mut self, at: usize, bytes: &[u8]) -> io::Result<()>;
    /// Makes it exactly `length` bytes long.
    fn set_length(&mut self, length: usize) -> io::Result<()>;
    /// All of it, to be hashed; called for short ones only.
    fn read(&self, length: usize) -> io::Result<Vec<u8>>;
}

impl Sink for File {
    fn write_at(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at as u64)
    }
    fn set_length(&mut self, length: usize) -> io::Result<()> {
        self.set_len(length as u64)
    }
    fn read(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

impl Sink for Vec<u8> {
    fn write_at(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        if self.len() < at + bytes.len() {
            self.resize(at + bytes.len(), 0);
        }
        self[at..at + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
    fn set_length(&mut self, length: usize) -> io::Result<()> {
        self.resize(length, 0);
        Ok(())
    }
    fn read(&self, length: usize) -> io::Result<Vec<u8>> {
        Ok(self[..length].to_vec())
    }
}

/// A stretch of the file that is written from its start to its end.
struct Stretch {
    at: usize,
    buffer: Vec<u8>,
}

impl Stretch {
    fn new(at: usize) -> Self {
        Self { at, buffer: Vec::new() }
    }

    fn push(&mut self, sink: &mut impl Sink, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE { self.flush(sink) } else { Ok(()) }
    }

    fn flush(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        sink.write_at(self.at, &self.buffer)?;
        self.at += self.buffer.len();
        self.buffer.clear();
        Ok(())
    }
}

/// A run that is being written.
pub(super) struct Builder<S> {
    sink: S,
    shape: Shape,
    at: Layout,
    with_filters: bool,
    packs: Stretch,
    rows: Stretch,
    fan: Stretch,
    fan_slots: usize,
    /// Keys of the part of the filter at hand.
    keys: Vec<u64>,
    crowded: bool,
    parts: Vec<u8>,
    fingerprints: usize,
}

impl<S: Sink> Builder<S> {
    /// Begins a run of exactly `packs` packs and at most `room` rows.
    pub(super) fn new(sink: S, packs: usize, room: usize, with_filters: bool) -> io::Result<Self> {
        let part_bits = if with_filters { room.div_ceil(PART_KEYS).next_power_of_two().ilog2().min(PART_BITS_MAX) } else { 0 };
        let shape = Shape { fan_bits: room.max(1).ilog2().saturating_sub(4).clamp(1, FAN_BITS_MAX), part_bits, packs, rows: 0, room };
        let at = shape.layout().filter(|_| u32::try_from(room).is_ok() && u32::try_from(packs).is_ok());
        let at = at.ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, "more rows than a run can number"))?;
        Ok(Self {
            sink,
            shape,
            at,
            with_filters,
            packs: Stretch::new(at.packs),
            rows: Stretch::new(at.rows),
            fan: Stretch::new(at.fan),
            fan_slots: 0,
            keys: Vec::new(),
            crowded: false,
            parts: Vec::new(),
            fingerprints: at.fingerprints,
        })
    }

    /// The whole run from rows that are sorted and whose pack numbers refer to `packs`.
    pub(super) fn fill(mut self, packs: impl Iterator<Item = IndexedPack>, rows: impl Iterator<Item = IndexRow>) -> io::Result<S> {
        for pack in packs {
            self.pack(pack)?;
        }
        for row in rows {
            self.row(&row)?;
        }
        self.finish()
    }

    fn pack(&mut self, pack: IndexedPack) -> io::Result<()> {
        let mut row = [0; PACK_ROW];
        row[..32].copy_from_slice(&pack.id.0);
        row[32..40].copy_from_slice(&pack.length.to_le_bytes());
        row[40] = pack.kind as u8;
        self.packs.push(&mut self.sink, &row)
    }

    fn row(&mut self, row: &IndexRow) -> io::Result<()> {
        let slot = leading_bits(&row.prefix, self.shape.fan_bits);
        self.fan_up_to(slot + 1)?;
        if self.with_filters {
            self.parts_up_to(leading_bits(&row.prefix, self.shape.part_bits))?;
            let key = filter_key(&row.prefix);
            if self.keys.len() >= PART_KEYS_MAX {
                self.crowded = true;
            } else if self.keys.last() != Some(&key) {
                self.keys.push(key);
            }
        }
        self.shape.rows += 1;
        self.rows.push(&mut self.sink, &row.encode())
    }

    /// Writes the fan-out table's entries below `slots`: their rows begin here or earlier.
    fn fan_up_to(&mut self, slots: usize) -> io::Result<()> {
        while self.fan_slots < slots {
            self.fan.push(&mut self.sink, &(self.shape.rows as u32).to_le_bytes())?;
            self.fan_slots += 1;
        }
        Ok(())
    }

    /// Ends all parts of the filter below `number`.
    fn parts_up_to(&mut self, number: usize) -> io::Result<()> {
        while self.parts.len() < PART * number {
            let mut part = [0; PART];
            let keys = std::mem::take(&mut self.keys);
            let is_wanted = keys.len() > PART_KEYS_MIN && !std::mem::take(&mut self.crowded);
            if let Some(filter) = is_wanted.then(|| BinaryFuse8::try_from(&keys).ok()).flatten() {
                let fingerprints = filter.dma_fingerprints();
                part[..8].copy_from_slice(&(self.fingerprints as u64).to_le_bytes());
                part[8..12].copy_from_slice(&(fingerprints.len() as u32).to_le_bytes());
                filter.dma_copy_descriptor_to(&mut part[12..]);
                self.sink.write_at(self.fingerprints, fingerprints)?;
                self.fingerprints += fingerprints.len();
            }
            self.parts.extend_from_slice(&part);
            self.keys = keys;
            self.keys.clear();
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<S> {
        self.fan_up_to((1 << self.shape.fan_bits) + 1)?;
        self.parts_up_to(1 << self.shape.part_bits)?;
        for stretch in [&mut self.packs, &mut self.rows, &mut self.fan] {
            stretch.flush(&mut self.sink)?;
        }
        self.sink.write_at(self.at.parts, &self.parts)?;
        self.sink.set_length(self.fingerprints)?;
        let mut head = [0; HEAD];
        head[..8].copy_from_slice(MAGIC);
        head[8..12].copy_from_slice(&self.shape.fan_bits.to_le_bytes());
        head[12..16].copy_from_slice(&self.shape.part_bits.to_le_bytes());
        for (at, number) in [(16, self.shape.packs), (24, self.shape.rows), (32, self.fingerprints), (72, self.shape.room)] {
            head[at..at + 8].copy_from_slice(&(number as u64).to_le_bytes());
        }
        self.sink.write_at(0, &head)?;
        if self.fingerprints <= HASHED_BYTES_MAX {
            let hash = hash_of(&self.sink.read(self.fingerprints)?);
            self.sink.write_at(HASH.start, &hash)?;
        }
        Ok(self.sink)
    }
}

/// Writes one run of all rows of several, those of the last run first among equals. Rows that name no pack are left out.
pub(super) fn merge<S: Sink>(sink: S, runs: &[&Run]) -> io::Result<S> {
    let runs: Vec<&Run> = runs.iter().rev().copied().collect();
    // Where each run's packs begin among all.
    let first: Vec<usize> = runs
        .iter()
        .scan(0, |next, run| {
            let first = *next;
            *next += run.packs();
            Some(first)
        })
        .collect();
    let packs = runs.iter().map(|run| run.packs()).sum();
    let room = runs.iter().map(|run| run.rows()).sum();
    let mut builder = Builder::new(sink, packs, room, true)?;
    for run in &runs {
        for number in 0..run.packs() {
            match run.pack(number) {
                Some(pack) => builder.pack(pack)?,
                // Of an unknown kind, in a damaged file: nobody can use it, and the numbers stay right.
                None => builder.packs.push(&mut builder.sink, &[u8::MAX; PACK_ROW])?,
            }
        }
    }
    let row = |run: usize, number: usize| (number < runs[run].rows()).then(|| runs[run].row(number));
    let mut next: BinaryHeap<Reverse<(IndexRow, usize, usize)>> = BinaryHeap::new();
    let offer =
        |run: usize, number: usize| row(run, number).map(|row| Reverse((IndexRow { pack: row.pack.saturating_add(first[run] as u32), ..row }, run, number)));
    next.extend((0..runs.len()).filter_map(|run| offer(run, 0)));
    // Rows with the prefix at hand: the same place may be told twice, by packs numbered twice.
    let mut same: Vec<(IndexedPack, u16)> = Vec::new();
    let mut prefix = None;
    while let Some(mut top) = next.peek_mut() {
        let Reverse((row, run, number)) = *top;
        match offer(run, number + 1) {
            Some(following) => *top = following,
            None => drop(std::collections::binary_heap::PeekMut::pop(top)),
        }
        let Some(pack) = runs[run].pack((row.pack as usize).wrapping_sub(first[run])) else { continue };
        if prefix != Some(row.prefix) {
            if prefix > Some(row.prefix) {
                // A damaged run that is not sorted: what is out of order could not be found either.
                continue;
            }
            prefix = Some(row.prefix);
            same.clear();
        }
        if same.contains(&(pack, row.ordinal)) {
            continue;
        }
        if same.len() < SAME_MAX {
            same.push((pack, row.ordinal));
        }
        builder.row(&row)?;
    }
    builder.finish()
}
