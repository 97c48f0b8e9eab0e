//! Chapter 12: nodes, one at a time.

use crate::cbor::{self, Array, Item};
use crate::entry::Entry;
use crate::fault::{Result, Rule, fail};
use crate::keys::Bytes32;

/// Deepest nesting of split directories and of lists.
pub const MAX_LEVELS: usize = 8;

/// Part of a file's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A chunk, whole.
    Chunk(Bytes32, u64),
    /// Zeros that are not stored.
    Hole(u64),
}

impl Extent {
    /// Its length.
    pub fn length(&self) -> u64 {
        match self {
            Extent::Chunk(_, length) | Extent::Hole(length) => *length,
        }
    }

    /// Reads an extent.
    pub fn parse(item: Item<'_>) -> Result<Extent> {
        let extent = match item {
            Item::Unsigned(length) => Extent::Hole(length),
            item => {
                let (name, length) = item.array()?.two()?;
                Extent::Chunk(name.fixed()?, length.unsigned()?)
            }
        };
        if extent.length() == 0 {
            return fail(Rule::WrongType, "an extent without length");
        }
        if matches!(extent, Extent::Chunk(_, length) if length > crate::pack::MAX_PLAIN) {
            return fail(Rule::TooLarge, "an extent's chunk above 16 MiB");
        }
        Ok(extent)
    }
}

/// Reads an array of extents.
pub fn extents(list: Array<'_>) -> Result<Vec<Extent>> {
    let mut extents: Vec<Extent> = Vec::new();
    for item in list.items() {
        let extent = Extent::parse(item)?;
        if let (Extent::Hole(_), Some(Extent::Hole(_))) = (extent, extents.last()) {
            return fail(Rule::BadStructure, "two holes are neighbours");
        }
        extents.push(extent);
    }
    Ok(extents)
}

/// A part of a split directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The name of its first entry.
    pub first: Vec<u8>,
    /// Its node.
    pub node: Bytes32,
    /// The number of entries below it.
    pub entries: u64,
}

impl Part {
    /// Reads a part.
    pub fn parse(item: Item<'_>) -> Result<Part> {
        let list = item.array()?;
        let mut parts = list.items();
        let (3, Some(first), Some(node), Some(entries)) = (list.len(), parts.next(), parts.next(), parts.next()) else {
            return fail(Rule::WrongType, "a part that is not name, node and number");
        };
        let part = Part { first: crate::entry::name(first)?.to_vec(), node: node.fixed()?, entries: entries.unsigned()? };
        if part.entries == 0 {
            return fail(Rule::BadStructure, "a part without entries");
        }
        Ok(part)
    }
}

/// A part of a list of lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Its node.
    pub node: Bytes32,
    /// The lengths of its extents, added up.
    pub length: u64,
}

impl Piece {
    /// Reads a part of a list of lists.
    pub fn parse(item: Item<'_>) -> Result<Piece> {
        let (node, length) = item.array()?.two()?;
        let piece = Piece { node: node.fixed()?, length: length.unsigned()? };
        if piece.length == 0 {
            return fail(Rule::WrongType, "a list without length");
        }
        Ok(piece)
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1: a directory's entries.
    Directory,
    /// 2: a split directory's parts.
    Split,
    /// 3: extents.
    List,
    /// 4: lists of extents.
    Lists,
}

/// A node, everything in it checked that can be checked alone.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// What it is.
    pub kind: Kind,
    /// Key 2.
    pub items: Array<'a>,
}

impl<'a> Node<'a> {
    /// Reads a node and checks each item.
    pub fn parse(plain: &'a [u8]) -> Result<Node<'a>> {
        let map = cbor::decode(plain)?.map(&[])?;
        let number = map.need(1)?.unsigned()?;
        if !(1..=4).contains(&number) {
            return fail(Rule::Unsupported, format!("node of kind {number}"));
        }
        let items = map.need(2)?.array()?;
        let kind = match number {
            1 => {
                let mut last: Option<Vec<u8>> = None;
                for item in items.items() {
                    let entry = Entry::parse(item)?;
                    ascending(last.as_deref(), &entry.name)?;
                    last = Some(entry.name);
                }
                Kind::Directory
            }
            2 => {
                let mut last: Option<Vec<u8>> = None;
                for item in items.items() {
                    let part = Part::parse(item)?;
                    ascending(last.as_deref(), &part.first)?;
                    last = Some(part.first);
                }
                if items.len() < 2 {
                    return fail(Rule::BadStructure, "a split directory of fewer than two parts");
                }
                Kind::Split
            }
            3 => {
                if extents(items)?.is_empty() {
                    return fail(Rule::BadStructure, "a list without extents");
                }
                Kind::List
            }
            _ => {
                for item in items.items() {
                    Piece::parse(item)?;
                }
                if items.is_empty() {
                    return fail(Rule::BadStructure, "a list of no lists");
                }
                Kind::Lists
            }
        };
        Ok(Node { kind, items })
    }
}

fn ascending(last: Option<&[u8]>, name: &[u8]) -> Result<()> {
    match last {
        Some(last) if last >= name => fail(Rule::BadStructure, "names that are not strictly ascending"),
        _ => Ok(()),
    }
}
