//! Chapter 14: index segments. This reader never uses them to find anything; it only checks and shows them.

use crate::cbor;
use crate::fault::{Result, Rule, fail};
use crate::keys::{Bytes16, Bytes32, Class, le, part};

/// One row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// The first half of the chunk's name.
    pub prefix: Bytes16,
    /// The number of the pack in the segment's list.
    pub pack: u32,
    /// The chunk's ordinal there.
    pub ordinal: u16,
}

/// A segment.
#[derive(Debug)]
pub struct Segment {
    /// Packs: name, kind, length of the object.
    pub packs: Vec<(Bytes32, Class, u64)>,
    /// Rows.
    pub rows: Vec<Row>,
    /// Segments that this one replaces.
    pub replaces: Vec<Bytes32>,
}

impl Segment {
    /// Reads a segment's record.
    pub fn parse(record: &[u8]) -> Result<Segment> {
        let map = cbor::decode(record)?.map(&[])?;
        let mut packs = Vec::new();
        for item in map.need(1)?.array()?.items() {
            let list = item.array()?;
            let mut parts = list.items();
            let (3, Some(name), Some(kind), Some(length)) = (list.len(), parts.next(), parts.next(), parts.next()) else {
                return fail(Rule::WrongType, "a pack that is not name, kind and length");
            };
            let kind = kind.unsigned()?;
            let Some(class) = u8::try_from(kind).ok().and_then(Class::from_number) else {
                return fail(Rule::Unsupported, format!("pack of kind {kind}"));
            };
            packs.push((name.fixed()?, class, length.unsigned()?));
        }
        let bytes = map.need(2)?.bytes()?;
        if bytes.len() % 22 != 0 {
            return fail(Rule::BadStructure, "rows that are cut off");
        }
        let mut rows: Vec<Row> = Vec::new();
        for bytes in bytes.chunks(22) {
            let row = Row { prefix: part(bytes, 0)?, pack: le(bytes, 16, 4) as u32, ordinal: le(bytes, 20, 2) as u16 };
            if rows.last().is_some_and(|last| *last >= row) {
                return fail(Rule::BadStructure, "rows that are not ascending");
            }
            if row.pack as usize >= packs.len() {
                return fail(Rule::BadStructure, "a row that names no pack");
            }
            rows.push(row);
        }
        let mut replaces = Vec::new();
        if let Some(list) = map.get(3) {
            for item in list.array()?.items() {
                replaces.push(item.fixed()?);
            }
        }
        Ok(Segment { packs, rows, replaces })
    }
}
