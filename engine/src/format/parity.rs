//! Parity scheme 1 of SPEC chapter 11: what rotted in a pack is found and computed again, without any key.

mod code;

use super::id::ObjectId;
use super::pack::{END_LENGTH, Geometry, PACK_LENGTH_MAX};
use std::ops::Range;
use thiserror::Error;

/// Shards of parity in a group: so many of its shards may be lost.
pub const PARITY_SHARDS: usize = 4;
/// Most shards of data in a group.
pub const DATA_SHARDS_MAX: usize = 128;
/// Shortest and longest shard in bytes.
pub const SHARD_LENGTH: std::ops::RangeInclusive<usize> = 1024..=65_536;

/// Bytes of a shard's hash in the shard table.
const ROW: usize = 16;
/// Bytes of the hash at the end of each copy of the shard table.
const TABLE_HASH: usize = 32;

/// How packs are protected against rot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ParityScheme {
    /// Not at all.
    #[default]
    None = 0,
    /// Reed-Solomon: four shards of parity to at most 128 of data.
    ReedSolomon = 1,
}

impl ParityScheme {
    /// The scheme behind a number of the format; `None` if this program does not know it.
    pub fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::ReedSolomon),
            _ => None,
        }
    }

    /// Bytes that it adds to a pack of which `covered` bytes lie before the parity.
    pub fn added_bytes(self, covered: u64) -> u64 {
        match self {
            Self::None => 0,
            Self::ReedSolomon => Layout::new(covered).added_bytes(),
        }
    }
}

/// How a pack is cut into shards; all of it follows from the number of bytes that are covered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    covered: usize,
    shard_length: usize,
    data_shards: usize,
    groups: usize,
}

impl Layout {
    /// The layout of a pack of which `covered` bytes, at least 1 and at most [`PACK_LENGTH_MAX`], lie before the parity.
    pub fn new(covered: u64) -> Self {
        let covered = covered.clamp(1, PACK_LENGTH_MAX) as usize;
        let mut shard_length = *SHARD_LENGTH.start();
        while shard_length < *SHARD_LENGTH.end() && covered > shard_length * DATA_SHARDS_MAX {
            shard_length *= 2;
        }
        let data_shards = covered.div_ceil(shard_length);
        Self { covered, shard_length, data_shards, groups: data_shards.div_ceil(DATA_SHARDS_MAX) }
    }

    /// The layout of a pack that is `length` bytes long in all; `None` if no pack of this scheme is.
    pub fn of_object(length: u64) -> Option<Self> {
        let most = length.min(PACK_LENGTH_MAX);
        let (mut low, mut high) = (1, most);
        // More covered bytes always make a longer object.
        while low < high {
            let middle = low + (high - low) / 2;
            if Self::new(middle).object_length() < length { low = middle + 1 } else { high = middle }
        }
        Some(Self::new(low)).filter(|layout| layout.object_length() == length)
    }

    /// Length of a shard in bytes; the last one of data may be shorter.
    pub fn shard_length(&self) -> usize {
        self.shard_length
    }

    /// How many shards of data there are.
    pub fn data_shards(&self) -> usize {
        self.data_shards
    }

    /// How many groups they make.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Length of the parity in bytes.
    pub fn parity_length(&self) -> usize {
        self.groups * PARITY_SHARDS * self.shard_length
    }

    /// Length of one copy of the shard table in bytes.
    pub fn table_length(&self) -> usize {
        self.shards() * ROW + TABLE_HASH
    }

    fn added_bytes(&self) -> u64 {
        (self.parity_length() + 2 * self.table_length()) as u64
    }

    fn object_length(&self) -> u64 {
        self.covered as u64 + self.added_bytes() + END_LENGTH as u64
    }

    /// Number of all shards: those of data, then those of parity.
    fn shards(&self) -> usize {
        self.data_shards + self.groups * PARITY_SHARDS
    }

    /// Where a shard lies.
    fn range(&self, shard: usize) -> Range<usize> {
        match shard.checked_sub(self.data_shards) {
            None => shard * self.shard_length..((shard + 1) * self.shard_length).min(self.covered),
            Some(parity) => {
                let start = self.covered + parity * self.shard_length;
                start..start + self.shard_length
            }
        }
    }

    /// The group of a shard and its position there: the positions 0 to 3 are parity.
    fn place(&self, shard: usize) -> (usize, usize) {
        match shard.checked_sub(self.data_shards) {
            None => (shard % self.groups, PARITY_SHARDS + shard / self.groups),
            Some(parity) => (parity % self.groups, parity / self.groups),
        }
    }

    /// The other way round.
    fn shard_at(&self, group: usize, position: usize) -> usize {
        match position.checked_sub(PARITY_SHARDS) {
            Some(member) => member * self.groups + group,
            None => self.data_shards + position * self.groups + group,
        }
    }

    /// How many positions a group has.
    fn positions(&self, group: usize) -> usize {
        PARITY_SHARDS + (self.data_shards - group).div_ceil(self.groups)
    }

    fn row(&self, object: &[u8], shard: usize) -> [u8; ROW] {
        let hash = blake3::hash(&object[self.range(shard)]);
        *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
    }
}

/// Appends parity and both copies of the shard table to the covered bytes of a pack.
pub fn append(bytes: &mut Vec<u8>) {
    let layout = Layout::new(bytes.len() as u64);
    bytes.resize(layout.covered + layout.parity_length(), 0);
    for group in 0..layout.groups {
        code::fill(bytes, &layout, group, &[0, 1, 2, 3]);
    }
    let start = bytes.len();
    for shard in 0..layout.shards() {
        let row = layout.row(bytes, shard);
        bytes.extend_from_slice(&row);
    }
    let hash = blake3::hash(&bytes[start..]);
    bytes.extend_from_slice(hash.as_bytes());
    bytes.extend_from_within(start..);
}

/// A pack that was computed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mended {
    /// Its bytes: their hash is its name.
    pub bytes: Vec<u8>,
    /// Shards that were damaged, of data and of parity.
    pub bad_shards: u64,
}

/// Why a pack cannot be computed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Beyond {
    /// It has no parity of a scheme that this program knows, as far as can be seen.
    #[error("it has no parity")]
    NoParity,
    /// More is damaged than the parity makes up for.
    #[error("{bad_shards} of its shards are damaged, more than its parity makes up for")]
    TooMuch {
        /// Shards that are damaged, of data and of parity.
        bad_shards: u64,
    },
}

/// Computes again what is damaged in the pack `name`, of which `bytes` is what is left: perhaps changed, cut short, or with something behind it.
/// No key is needed: the name proves the result. Takes up to twice the pack's length in memory beside `bytes`.
pub fn mend(bytes: &[u8], name: ObjectId) -> Result<Mended, Beyond> {
    let ends = [bytes.first_chunk::<END_LENGTH>(), bytes.last_chunk()].map(|end| end.and_then(|end| Geometry::decode(end).ok()));
    let stated = ends.iter().flatten().filter_map(|geometry| Some((geometry.parity_layout()?, Some(geometry))));
    // With both ends damaged the length still says how the pack was cut.
    let guessed = Layout::of_object(bytes.len() as u64).map(|layout| (layout, None));
    let mut beyond = Beyond::NoParity;
    let mut tried = Vec::new();
    for (layout, geometry) in stated.chain(guessed) {
        let is_new = !tried.contains(&layout);
        tried.push(layout);
        if !is_new {
            continue;
        }
        // Who lost more than this has lost more than four shards of some group; no memory is taken for it.
        if bytes.len() + layout.parity_length() < layout.covered {
            if geometry.is_some() {
                let bad_shards = (0..layout.shards()).filter(|shard| layout.range(*shard).end > bytes.len()).count() as u64;
                beyond = Beyond::TooMuch { bad_shards };
            }
            continue;
        }
        match mend_by(bytes, name, &layout, geometry) {
            Ok(mended) => return Ok(mended),
            // The worst that is known of any layout that may be the right one.
            Err(found) if geometry.is_some() || beyond == Beyond::NoParity && ends == [None, None] => beyond = found,
            Err(_) => {}
        }
    }
    Err(beyond)
}

fn mend_by(bytes: &[u8], name: ObjectId, layout: &Layout, geometry: Option<&Geometry>) -> Result<Mended, Beyond> {
    let mut object = bytes.to_vec();
    object.resize(layout.object_length() as usize, 0);
    if let Some(geometry) = geometry {
        object[..END_LENGTH].copy_from_slice(&geometry.header());
    }
    let bad = damaged_shards(&object, layout);
    let bad_shards = bad.len() as u64;
    let is_data = |shard: &usize| *shard < layout.data_shards;
    let groups: Vec<Vec<usize>> =
        (0..layout.groups).map(|group| bad.iter().filter(|shard| layout.place(**shard).0 == group).map(|shard| layout.place(*shard).1).collect()).collect();
    if bad.iter().any(is_data) && groups.iter().all(|missing| missing.len() <= PARITY_SHARDS) {
        let mut rebuilt = object.clone();
        for (group, missing) in groups.iter().enumerate().filter(|(_, missing)| !missing.is_empty()) {
            code::fill(&mut rebuilt, layout, group, missing);
        }
        if let Some(bytes) = finish(rebuilt, name, layout) {
            return Ok(Mended { bytes, bad_shards });
        }
    }
    // Where the shard tables are what is damaged, all that they cover may be right.
    finish(object, name, layout).map(|bytes| Mended { bytes, bad_shards }).ok_or(Beyond::TooMuch { bad_shards })
}

/// Shards whose hash stands in neither copy of the shard table. A row that is damaged in both makes its shard look bad, which does no harm.
fn damaged_shards(object: &[u8], layout: &Layout) -> Vec<usize> {
    let first = layout.covered + layout.parity_length();
    let is_bad = |shard: &usize| {
        let row = layout.row(object, *shard);
        [first, first + layout.table_length()].iter().all(|table| object[table + shard * ROW..][..ROW] != row)
    };
    (0..layout.shards()).filter(is_bad).collect()
}

/// Puts behind the covered bytes what belongs there; nothing if that is not the object `name`.
fn finish(mut object: Vec<u8>, name: ObjectId, layout: &Layout) -> Option<Vec<u8>> {
    object.truncate(layout.covered);
    let geometry = Geometry::decode(object.get(..END_LENGTH)?).ok().filter(|geometry| geometry.parity_layout() == Some(*layout))?;
    append(&mut object);
    object.extend_from_slice(&geometry.footer());
    (blake3::hash(&object).as_bytes() == &name.0).then_some(object)
}

#[cfg(test)]
mod tests;
