//! Index runs: many segments' rows in one sorted, mapped file with filters, built once and never changed.

mod build;

use crate::format::id::ObjectId;
use crate::format::index::{IndexRow, IndexedPack, ROW};
use crate::format::pack::PackKind;
use build::Builder;
use memmap2::Mmap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use xorf::{BinaryFuse8Ref, Filter, FilterRef};

const MAGIC: &[u8; 8] = b"VAULTRN2";
const HEAD: usize = 128;
/// Where in the head the hash stands.
const HASH: std::ops::Range<usize> = 40..72;
/// Runs up to this many bytes are hashed when they are opened (a few ms); longer ones were made durable before they got their name, and are
/// hints that were once right.
const HASHED_BYTES_MAX: usize = 16 << 20;
const PACK_ROW: usize = 48;
/// A part of the filter: where its fingerprints are (8 bytes, 0 for none), how many (4), and what `xorf` needs to know (20).
const PART: usize = 32;
const FAN_BITS_MAX: u32 = 22;
const PART_BITS_MAX: u32 = 16;

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A run. Whatever it answers is a hint: who uses an answer confirms it in the pack's own table.
pub struct Run {
    bytes: Bytes,
    shape: Shape,
    at: Layout,
}

/// The numbers in the head.
#[derive(Clone, Copy, Debug)]
struct Shape {
    /// Leading bits of a prefix that choose an entry of the fan-out table.
    fan_bits: u32,
    /// Leading bits of a prefix that choose a part of the filter.
    part_bits: u32,
    packs: usize,
    rows: usize,
    /// Rows that there is room for.
    room: usize,
}

/// Where everything is: head, fan-out table, packs, rows, table of the filter's parts, fingerprints.
#[derive(Clone, Copy, Debug)]
struct Layout {
    fan: usize,
    packs: usize,
    rows: usize,
    parts: usize,
    fingerprints: usize,
}

impl Shape {
    fn layout(&self) -> Option<Layout> {
        let packs = (4 * ((1usize << self.fan_bits) + 1)).checked_add(HEAD)?;
        let rows = packs.checked_add(self.packs.checked_mul(PACK_ROW)?)?;
        let parts = rows.checked_add(self.room.checked_mul(ROW)?)?;
        let fingerprints = parts.checked_add(PART << self.part_bits)?;
        Some(Layout { fan: HEAD, packs, rows, parts, fingerprints })
    }
}

fn filter_key(prefix: &[u8; 16]) -> u64 {
    u64::from_le_bytes(*prefix.first_chunk().expect("sixteen bytes"))
}

/// The first bits of a prefix as a number, so that greater prefixes have greater ones.
fn leading(prefix: &[u8; 16]) -> u64 {
    u64::from_be_bytes(*prefix.first_chunk().expect("sixteen bytes"))
}

fn leading_bits(prefix: &[u8; 16], bits: u32) -> usize {
    if bits == 0 { 0 } else { (leading(prefix) >> (64 - bits)) as usize }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
}

/// The hash of a run's bytes, apart from the place where it stands.
fn hash_of(bytes: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(&bytes[..HASH.start]).update(&bytes[HASH.end..]).finalize().as_bytes()
}

/// Whether every position the filter computes lies within its fingerprints; xorf does not look.
fn filter_is_sound(descriptor: &[u8], fingerprints: usize) -> bool {
    let at = |n: usize| u32_at(descriptor, n) as usize;
    let (segment, mask, count_length) = (at(8), at(12), at(16));
    segment.is_power_of_two()
        && mask == segment - 1
        && count_length.is_multiple_of(segment)
        && count_length > 0
        && count_length.checked_add(2 * segment).is_some_and(|needed| needed <= fingerprints)
}

impl Run {
    fn check(bytes: Bytes) -> Option<Self> {
        let head = bytes.get(..HEAD)?;
        if &head[..8] != MAGIC {
            return None;
        }
        let number = |at: usize| usize::try_from(u64_at(head, at)).ok();
        let shape = Shape { fan_bits: u32_at(head, 8), part_bits: u32_at(head, 12), packs: number(16)?, rows: number(24)?, room: number(72)? };
        if !(1..=FAN_BITS_MAX).contains(&shape.fan_bits) || shape.part_bits > PART_BITS_MAX || shape.rows > shape.room || number(32)? != bytes.len() {
            return None;
        }
        let at = shape.layout()?;
        if at.fingerprints > bytes.len() {
            return None;
        }
        let run = Self { bytes, shape, at };
        let is_sound = |part: usize| match run.part(part) {
            None => true,
            Some((descriptor, start, length)) => {
                start >= at.fingerprints && start.checked_add(length).is_some_and(|end| end <= run.bytes.len()) && filter_is_sound(descriptor, length)
            }
        };
        (0..1 << shape.part_bits).all(is_sound).then_some(run)
    }

    /// A run in memory, of rows that are sorted and whose pack numbers refer to `packs`.
    pub fn in_memory(packs: &[IndexedPack], rows: &[IndexRow]) -> Self {
        let bytes = Builder::new(Vec::new(), packs.len(), rows.len(), true)
            .and_then(|builder| builder.fill(packs.iter().copied(), rows.iter().copied()))
            .expect("memory takes what is written to it");
        Self::check(Bytes::Owned(bytes)).expect("a run just built is sound")
    }

    /// Writes a run to a new file and maps it.
    pub fn create(path: &Path, packs: &[IndexedPack], rows: &[IndexRow]) -> io::Result<Self> {
        Self::write(path, true, |file| Builder::new(file, packs.len(), rows.len(), true)?.fill(packs.iter().copied(), rows.iter().copied()))
    }

    /// The same in a file beside `path` that has lost its name again and goes with the run. Without filters: it is only to be merged.
    pub(super) fn create_unnamed(path: &Path, packs: &[IndexedPack], rows: &[IndexRow]) -> io::Result<Self> {
        Self::write_unnamed(path, |file| Builder::new(file, packs.len(), rows.len(), false)?.fill(packs.iter().copied(), rows.iter().copied()))
    }

    /// Writes one run of all rows of several, those of the last run first among equals. Takes some 6 MB of memory whatever the runs hold.
    pub(super) fn merge(path: &Path, runs: &[&Self]) -> io::Result<Self> {
        Self::write(path, true, |file| build::merge(file, runs))
    }

    /// The same in a file beside `path` that has lost its name again and goes with the run.
    pub(super) fn merge_unnamed(path: &Path, runs: &[&Self]) -> io::Result<Self> {
        Self::write_unnamed(path, |file| build::merge(file, runs))
    }

    /// The same in memory.
    pub(super) fn merge_in_memory(runs: &[&Self]) -> Self {
        let bytes = build::merge(Vec::new(), runs).expect("memory takes what is written to it");
        Self::check(Bytes::Owned(bytes)).expect("a run just built is sound")
    }

    fn write(path: &Path, keep: bool, fill: impl FnOnce(File) -> io::Result<File>) -> io::Result<Self> {
        let temporary = temporary_beside(path);
        // What a killed process with the same number left goes first.
        let _ = fs::remove_file(&temporary);
        let file = File::options().read(true).write(true).create_new(true).open(&temporary)?;
        let done = fill(file).and_then(|file| {
            // Nobody will look whether a long one is whole.
            if keep && file.metadata()?.len() > HASHED_BYTES_MAX as u64 {
                file.sync_data()?;
            }
            fs::rename(&temporary, path)
        });
        if let Err(error) = done {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        Self::open(path)
    }

    fn write_unnamed(path: &Path, fill: impl FnOnce(File) -> io::Result<File>) -> io::Result<Self> {
        let temporary = temporary_beside(path);
        let run = Self::write(&temporary, false, fill);
        let _ = fs::remove_file(&temporary);
        run
    }

    /// Maps a run; one that is cut short or not a run is an error.
    #[allow(unsafe_code)]
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // SAFETY: the file is ours, was complete when it got its name, and is never written again. Only somebody who
        // truncates a file of our cache while a backup runs could make a read fault; every byte read is taken as a hint.
        let map = unsafe { Mmap::map(&file)? };
        let is_whole = map.len() > HASHED_BYTES_MAX || (map.len() >= HEAD && map[HASH] == hash_of(&map));
        Some(Bytes::Mapped(map)).filter(|_| is_whole).and_then(Self::check).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not an index run"))
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.shape.rows
    }

    /// How many packs it speaks of.
    pub fn packs(&self) -> usize {
        self.shape.packs
    }

    /// Bytes of its filters.
    pub fn filter_bytes(&self) -> usize {
        (0..1 << self.shape.part_bits).filter_map(|part| self.part(part)).map(|(_, _, length)| PART + length).sum()
    }

    /// Pack `number`; `None` for a number or a kind that does not exist.
    pub fn pack(&self, number: usize) -> Option<IndexedPack> {
        if number >= self.shape.packs {
            return None;
        }
        let row = &self.bytes[self.at.packs + PACK_ROW * number..][..PACK_ROW];
        Some(IndexedPack {
            id: ObjectId(row[..32].try_into().expect("32 bytes")),
            length: u64_at(row, 32),
            kind: PackKind::from_code(u64::from(row[40])).ok()?,
        })
    }

    /// Row `number`, which must be below [`Run::rows`].
    pub fn row(&self, number: usize) -> IndexRow {
        let start = self.at.rows + ROW * number;
        IndexRow::decode(self.bytes[start..start + ROW].try_into().expect("a row"))
    }

    /// Part `number` of the filter: its descriptor, and where its fingerprints lie.
    fn part(&self, number: usize) -> Option<(&[u8], usize, usize)> {
        let part = &self.bytes[self.at.parts + PART * number..][..PART];
        match usize::try_from(u64_at(part, 0)) {
            Ok(0) => None,
            start => Some((&part[12..], start.unwrap_or(usize::MAX), u32_at(part, 8) as usize)),
        }
    }

    fn fan(&self, slot: usize) -> usize {
        (u32_at(&self.bytes, self.at.fan + 4 * slot) as usize).min(self.shape.rows)
    }

    /// The first row of `low..high` whose prefix is not below `prefix`. Prefixes are hashes: how far it is can be guessed, and most often two or
    /// three rows beside each other are looked at.
    fn lower_bound(&self, prefix: &[u8; 16], low: usize, high: usize) -> usize {
        let is_below = |row: usize| self.bytes[self.at.rows + ROW * row..][..16] < prefix[..];
        let (mut from, mut to) = (low, high);
        let fraction = leading(prefix) << self.shape.fan_bits >> 32;
        let guess = low + (((high.saturating_sub(low)) as u128 * u128::from(fraction)) >> 32) as usize;
        let mut step = 1;
        if guess < high && is_below(guess) {
            from = guess + 1;
            while from + step < to && is_below(from + step) {
                from += step + 1;
                step *= 2;
            }
            to = to.min(from + step);
        } else {
            to = guess;
            while to >= from + step && !is_below(to - step) {
                to -= step;
                step *= 2;
            }
            from = from.max(to.saturating_sub(step));
        }
        while from < to {
            let middle = from + (to - from) / 2;
            if is_below(middle) { from = middle + 1 } else { to = middle }
        }
        from
    }

    /// Every place where the run says a chunk with this prefix lies.
    pub fn find(&self, prefix: &[u8; 16], found: &mut Vec<(IndexedPack, u16)>) {
        self.each_row(prefix, |row| found.extend(self.pack(row.pack as usize).map(|pack| (pack, row.ordinal))));
    }

    /// Every row with this prefix.
    pub fn each_row(&self, prefix: &[u8; 16], mut found: impl FnMut(IndexRow)) {
        if let Some((descriptor, start, length)) = self.part(leading_bits(prefix, self.shape.part_bits)) {
            let filter = BinaryFuse8Ref::from_dma(descriptor, &self.bytes[start..start + length]);
            if !filter.contains(&filter_key(prefix)) {
                return;
            }
        }
        let slot = leading_bits(prefix, self.shape.fan_bits);
        let (low, high) = (self.fan(slot), self.fan(slot + 1));
        for number in self.lower_bound(prefix, low, high)..high {
            let row = self.row(number);
            if row.prefix != *prefix {
                break;
            }
            found(row);
        }
    }
}

/// A name beside `path` that no other process or thread uses: it may be making the same run.
fn temporary_beside(path: &Path) -> std::path::PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    path.with_extension(format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)))
}

#[cfg(test)]
mod tests;
