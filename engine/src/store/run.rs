//! Index runs: many segments' rows in one sorted, mapped file with a filter, built once and never changed.

use crate::format::id::ObjectId;
use crate::format::index::{IndexRow, IndexedPack, ROW};
use crate::format::pack::PackKind;
use memmap2::Mmap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use xorf::{BinaryFuse8, BinaryFuse8Ref, DmaSerializable, Filter, FilterRef};

const MAGIC: &[u8; 8] = b"VAULTRN1";
const HEAD: usize = 128;
/// Where in the head the hash stands.
const HASH: std::ops::Range<usize> = 40..72;
/// Runs up to this many bytes are hashed when they are opened (a few ms); longer ones are hints that were once right.
const HASHED_BYTES_MAX: usize = 16 << 20;
const PACK_ROW: usize = 48;
const DESCRIPTOR: usize = 20;

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
    packs: usize,
    rows: usize,
    fan_bits: u32,
    filter: bool,
}

/// Layout: head, fan-out table, packs, rows, filter.
struct Layout {
    fan: usize,
    packs: usize,
    rows: usize,
    filter: usize,
}

fn layout(fan_bits: u32, packs: usize, rows: usize) -> Option<Layout> {
    let fan = HEAD;
    let packs_at = fan.checked_add(4 * ((1usize << fan_bits) + 1))?;
    let rows_at = packs_at.checked_add(packs.checked_mul(PACK_ROW)?)?;
    let filter = rows_at.checked_add(rows.checked_mul(ROW)?)?;
    Some(Layout { fan, packs: packs_at, rows: rows_at, filter })
}

fn filter_key(prefix: &[u8; 16]) -> u64 {
    u64::from_le_bytes(prefix[..8].try_into().expect("eight bytes"))
}

fn fan_slot(prefix: &[u8; 16], bits: u32) -> usize {
    (u32::from_be_bytes(prefix[..4].try_into().expect("four bytes")) >> (32 - bits)) as usize
}

/// The hash of a run's bytes, apart from the place where it stands.
fn hash_of(bytes: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(&bytes[..HASH.start]).update(&bytes[HASH.end..]).finalize().as_bytes()
}

/// The bytes of a run over rows that are sorted and whose pack numbers refer to `packs`.
fn build(packs: &[IndexedPack], rows: &[IndexRow]) -> Vec<u8> {
    let fan_bits = rows.len().max(1).ilog2().saturating_sub(4).clamp(1, 22);
    let at = layout(fan_bits, packs.len(), rows.len()).expect("a run fits in memory");
    let mut out = vec![0; at.filter];
    let mut slot = 0;
    for (number, row) in rows.iter().enumerate() {
        let own = fan_slot(&row.prefix, fan_bits);
        while slot <= own {
            out[at.fan + 4 * slot..][..4].copy_from_slice(&(number as u32).to_le_bytes());
            slot += 1;
        }
        out[at.rows + ROW * number..][..ROW].copy_from_slice(&row.encode());
    }
    for slot in slot..=1 << fan_bits {
        out[at.fan + 4 * slot..][..4].copy_from_slice(&(rows.len() as u32).to_le_bytes());
    }
    for (number, pack) in packs.iter().enumerate() {
        let row = &mut out[at.packs + PACK_ROW * number..][..PACK_ROW];
        row[..32].copy_from_slice(&pack.id.0);
        row[32..40].copy_from_slice(&pack.length.to_le_bytes());
        row[40] = pack.kind as u8;
    }
    let mut keys: Vec<u64> = rows.iter().map(|row| filter_key(&row.prefix)).collect();
    keys.sort_unstable();
    keys.dedup();
    let filter = if keys.len() > 16 { BinaryFuse8::try_from(&keys).ok() } else { None };
    if let Some(filter) = &filter {
        let mut descriptor = [0; DESCRIPTOR];
        filter.dma_copy_descriptor_to(&mut descriptor);
        out.extend_from_slice(&descriptor);
        out.extend_from_slice(filter.dma_fingerprints());
    }
    out[..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&fan_bits.to_le_bytes());
    out[12] = u8::from(filter.is_some());
    out[16..24].copy_from_slice(&(packs.len() as u64).to_le_bytes());
    out[24..32].copy_from_slice(&(rows.len() as u64).to_le_bytes());
    let length = out.len() as u64;
    out[32..40].copy_from_slice(&length.to_le_bytes());
    let hash = hash_of(&out);
    out[HASH].copy_from_slice(&hash);
    out
}

/// Whether every position the filter computes lies within its fingerprints; xorf does not look.
fn filter_is_sound(descriptor: &[u8], fingerprints: usize) -> bool {
    let at = |n: usize| u32::from_le_bytes(descriptor[n..n + 4].try_into().expect("four bytes")) as usize;
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
        let number = |at: usize| usize::try_from(u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes"))).ok();
        let fan_bits = u32::from_le_bytes(head[8..12].try_into().expect("four bytes"));
        let (packs, rows, length, filter) = (number(16)?, number(24)?, number(32)?, head[12] == 1);
        if length != bytes.len() || !(1..=22).contains(&fan_bits) {
            return None;
        }
        let at = layout(fan_bits, packs, rows)?;
        if at.filter > length || (!filter && at.filter != length) {
            return None;
        }
        if filter {
            let descriptor = bytes.get(at.filter..at.filter + DESCRIPTOR)?;
            if !filter_is_sound(descriptor, length - at.filter - DESCRIPTOR) {
                return None;
            }
        }
        Some(Self { bytes, packs, rows, fan_bits, filter })
    }

    /// A run in memory.
    pub fn in_memory(packs: &[IndexedPack], rows: &[IndexRow]) -> Self {
        Self::check(Bytes::Owned(build(packs, rows))).expect("a run just built is sound")
    }

    /// Writes a run to a new file and maps it.
    pub fn create(path: &Path, packs: &[IndexedPack], rows: &[IndexRow]) -> io::Result<Self> {
        // Another process, or thread, may be making the same run: each writes to a name of its own.
        static COUNTER: AtomicU64 = AtomicU64::new(0);
        let temporary = path.with_extension(format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
        // What a killed process with the same number left goes first.
        let _ = fs::remove_file(&temporary);
        let mut file = File::create_new(&temporary)?;
        file.write_all(&build(packs, rows))?;
        drop(file);
        fs::rename(&temporary, path)?;
        Self::open(path)
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

    fn layout(&self) -> Layout {
        layout(self.fan_bits, self.packs, self.rows).expect("checked on opening")
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many packs it speaks of.
    pub fn packs(&self) -> usize {
        self.packs
    }

    /// Pack `number`; `None` for a number or a kind that does not exist.
    pub fn pack(&self, number: usize) -> Option<IndexedPack> {
        if number >= self.packs {
            return None;
        }
        let row = &self.bytes[self.layout().packs + PACK_ROW * number..][..PACK_ROW];
        Some(IndexedPack {
            id: ObjectId(row[..32].try_into().expect("32 bytes")),
            length: u64::from_le_bytes(row[32..40].try_into().expect("eight bytes")),
            kind: PackKind::from_code(u64::from(row[40])).ok()?,
        })
    }

    /// Row `number`, which must be below [`Run::rows`].
    pub fn row(&self, number: usize) -> IndexRow {
        let start = self.layout().rows + ROW * number;
        IndexRow::decode(self.bytes[start..start + ROW].try_into().expect("a row"))
    }

    fn fan(&self, slot: usize) -> usize {
        let start = self.layout().fan + 4 * slot;
        (u32::from_le_bytes(self.bytes[start..start + 4].try_into().expect("four bytes")) as usize).min(self.rows)
    }

    /// Every place where the run says a chunk with this prefix lies.
    pub fn find(&self, prefix: &[u8; 16], found: &mut Vec<(IndexedPack, u16)>) {
        self.each_row(prefix, |row| found.extend(self.pack(row.pack as usize).map(|pack| (pack, row.ordinal))));
    }

    /// Every row with this prefix.
    pub fn each_row(&self, prefix: &[u8; 16], mut found: impl FnMut(IndexRow)) {
        if self.filter {
            let at = self.layout().filter;
            let filter = BinaryFuse8Ref::from_dma(&self.bytes[at..at + DESCRIPTOR], &self.bytes[at + DESCRIPTOR..]);
            if !filter.contains(&filter_key(prefix)) {
                return;
            }
        }
        let slot = fan_slot(prefix, self.fan_bits);
        let (mut low, high) = (self.fan(slot), self.fan(slot + 1));
        let mut end = high;
        while low < end {
            let middle = low + (end - low) / 2;
            if self.row(middle).prefix < *prefix { low = middle + 1 } else { end = middle }
        }
        for number in low..high {
            let row = self.row(number);
            if row.prefix != *prefix {
                break;
            }
            found(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u32) -> Vec<IndexRow> {
        let mut rows: Vec<IndexRow> = (0..count)
            .map(|n| IndexRow { prefix: blake3::hash(&n.to_le_bytes()).as_bytes()[..16].try_into().unwrap(), pack: n % 3, ordinal: n as u16 })
            .collect();
        rows.sort_unstable();
        rows
    }

    fn packs() -> Vec<IndexedPack> {
        (0..3).map(|n| IndexedPack { id: ObjectId([n; 32]), kind: PackKind::Data, length: u64::from(n) + 7 }).collect()
    }

    #[test]
    fn a_run_finds_what_it_holds_and_nothing_else() {
        for count in [0, 1, 15, 5000] {
            let run = Run::in_memory(&packs(), &rows(count));
            for row in rows(count) {
                let mut found = Vec::new();
                run.find(&row.prefix, &mut found);
                assert_eq!(found, [(packs()[row.pack as usize], row.ordinal)]);
            }
            let mut found = Vec::new();
            (0..5000u32).for_each(|n| run.find(&blake3::hash(&(n + 9_000_000).to_le_bytes()).as_bytes()[..16].try_into().unwrap(), &mut found));
            assert_eq!(found, []);
        }
    }

    #[test]
    fn a_damaged_file_is_refused_or_answers_without_harm() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run");
        drop(Run::create(&path, &packs(), &rows(300)).unwrap());
        let bytes = fs::read(&path).unwrap();
        for cut in [0, 1, HEAD, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert!(Run::open(&path).is_err());
        }
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0xff;
            if at % 97 == 0 {
                fs::write(&path, &changed).unwrap();
                assert!(Run::open(&path).is_err(), "byte {at}");
            }
            if let Some(run) = Run::check(Bytes::Owned(changed)) {
                rows(300).iter().for_each(|row| run.find(&row.prefix, &mut Vec::new()));
            }
        }
    }
}
