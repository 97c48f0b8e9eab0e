//! Index segments: hints saying which chunk lies where, 22 bytes a chunk (SPEC chapter 14).

use super::cbor::{self, Decoder, MapWriter};
use super::error::{FormatError, Result};
use super::id::ObjectId;
use super::pack::PackKind;

/// Length of a row in bytes.
pub const ROW: usize = 22;
/// Most rows in a segment that this program writes.
pub const ROWS_MAX: usize = 262_144;

/// A pack that a segment speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedPack {
    /// Name of the pack.
    pub id: ObjectId,
    /// What it holds.
    pub kind: PackKind,
    /// Length of the object in bytes.
    pub length: u64,
}

/// One row: the first 16 bytes of a chunk's name, and where the chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexRow {
    /// First 16 bytes of the name.
    pub prefix: [u8; 16],
    /// Number of the pack in the segment.
    pub pack: u32,
    /// Ordinal of the chunk in the pack.
    pub ordinal: u16,
}

impl IndexRow {
    /// The row's 22 bytes.
    pub fn encode(&self) -> [u8; ROW] {
        let mut out = [0; ROW];
        out[..16].copy_from_slice(&self.prefix);
        out[16..20].copy_from_slice(&self.pack.to_le_bytes());
        out[20..].copy_from_slice(&self.ordinal.to_le_bytes());
        out
    }

    /// Reads a row.
    pub fn decode(bytes: &[u8; ROW]) -> Self {
        Self {
            prefix: bytes[..16].try_into().expect("sixteen bytes"),
            pack: u32::from_le_bytes(bytes[16..20].try_into().expect("four bytes")),
            ordinal: u16::from_le_bytes([bytes[20], bytes[21]]),
        }
    }
}

/// An index segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Packs the rows speak of.
    pub packs: Vec<IndexedPack>,
    /// Rows in ascending order.
    pub rows: Vec<IndexRow>,
    /// Segments this one replaces.
    pub replaces: Vec<ObjectId>,
}

impl Segment {
    /// The record; rows are sorted first.
    pub fn encode(&mut self) -> Vec<u8> {
        self.rows.sort_unstable();
        self.rows.dedup();
        let mut map = MapWriter::new();
        let packs = map.key(1);
        cbor::put_array(packs, self.packs.len());
        for pack in &self.packs {
            cbor::put_array(packs, 3);
            cbor::put_bytes(packs, &pack.id.0);
            cbor::put_uint(packs, pack.kind as u64);
            cbor::put_uint(packs, pack.length);
        }
        let rows: Vec<u8> = self.rows.iter().flat_map(IndexRow::encode).collect();
        cbor::put_bytes(map.key(2), &rows);
        if !self.replaces.is_empty() {
            let replaces = map.key(3);
            cbor::put_array(replaces, self.replaces.len());
            for segment in &self.replaces {
                cbor::put_bytes(replaces, &segment.0);
            }
        }
        map.finish()
    }

    /// Reads the record.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut d = Decoder::new(bytes);
        let mut map = d.map(1, "index segment")?;
        let (mut packs, mut rows, mut replaces) = (None, None, Vec::new());
        while let Some(key) = map.key(&mut d)? {
            match key {
                1 => {
                    let mut found = Vec::new();
                    for _ in 0..d.array("packs")? {
                        d.array_exact(3, "pack")?;
                        found.push(IndexedPack {
                            id: ObjectId(d.bytes_exact("name of a pack")?),
                            kind: PackKind::from_code(d.uint("kind of pack")?)?,
                            length: d.uint("length of a pack")?,
                        });
                    }
                    packs = Some(found);
                }
                2 => rows = Some(d.bytes("rows")?),
                3 => {
                    for _ in 0..d.array("replaced segments")? {
                        replaces.push(ObjectId(d.bytes_exact("name of a segment")?));
                    }
                }
                _ => drop(map.unknown(key, &mut d)?),
            }
        }
        d.finish()?;
        let missing = FormatError::MissingField("index segment");
        let (packs, rows) = (packs.ok_or(missing.clone())?, rows.ok_or(missing)?);
        let (rows, rest) = rows.as_chunks::<ROW>();
        if !rest.is_empty() {
            return Err(FormatError::BadStructure("rows of a broken length"));
        }
        let rows: Vec<IndexRow> = rows.iter().map(IndexRow::decode).collect();
        if !rows.is_sorted_by(|a, b| a < b) {
            return Err(FormatError::BadStructure("index rows out of order"));
        }
        if rows.iter().any(|row| row.pack as usize >= packs.len()) {
            return Err(FormatError::BadStructure("an index row that names no pack"));
        }
        Ok(Self { packs, rows, replaces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_go_there_and_back() {
        let row = |n: u8| IndexRow { prefix: [n; 16], pack: u32::from(n) % 2, ordinal: u16::from(n) };
        let pack = |n: u8| IndexedPack { id: ObjectId([n; 32]), kind: PackKind::Meta, length: 77 };
        let mut segment = Segment { packs: vec![pack(1), pack(2)], rows: vec![row(9), row(3), row(3)], replaces: vec![ObjectId([5; 32])] };
        let bytes = segment.encode();
        assert_eq!(segment.rows, [row(3), row(9)]);
        assert_eq!(Segment::decode(&bytes), Ok(segment.clone()));
        segment.packs.pop();
        let bytes = segment.encode();
        assert!(Segment::decode(&bytes).is_err());
    }
}
