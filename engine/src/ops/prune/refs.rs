//! What the trees of one block refer to: the first halves of names, in the order of the entries. Small enough to be remembered from run to run.

use crate::format::FormatError;
use crate::format::error::Result as FormatResult;
use crate::format::node::{Content, Extent};
use crate::format::pack::{ChunkRow, PackKind};
use crate::format::tree::TreeNode;

/// Bytes of one reference: its kind and half a name.
const REF: usize = 17;

/// The references of all trees of a block.
pub struct BlockRefs {
    /// For each tree the end of its references, as a number of references.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl BlockRefs {
    /// Reads the trees that lie back to back in `plain`.
    pub fn of(chunks: &[ChunkRow], mut plain: &[u8]) -> FormatResult<Self> {
        let (mut ends, mut bytes) = (Vec::with_capacity(chunks.len()), Vec::new());
        for chunk in chunks {
            let (tree, rest) = plain.split_at_checked(chunk.length as usize).ok_or(FormatError::Truncated)?;
            plain = rest;
            // A tree that is damaged or not understood refers to nothing that anybody can reach; whether it may be so, its snapshot decides.
            match TreeNode::decode(tree) {
                Ok(node) => {
                    put(&node, &mut bytes);
                    ends.push((bytes.len() / REF) as u32);
                }
                Err(_) => ends.push(u32::MAX),
            }
        }
        Ok(Self { ends, bytes })
    }

    /// The form in which they are remembered.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = (self.ends.len() as u32).to_le_bytes().to_vec();
        self.ends.iter().for_each(|end| out.extend_from_slice(&end.to_le_bytes()));
        out.extend_from_slice(&self.bytes);
        out
    }

    /// Reads what was remembered of a block of `chunks` trees.
    pub fn decode(bytes: &[u8], chunks: usize) -> Option<Self> {
        let (count, rest) = bytes.split_at_checked(4)?;
        let count = u32::from_le_bytes(count.try_into().ok()?) as usize;
        if count != chunks {
            return None;
        }
        let (ends, refs) = rest.split_at_checked(4 * count)?;
        let ends: Vec<u32> = ends.as_chunks::<4>().0.iter().map(|end| u32::from_le_bytes(*end)).collect();
        let whole = ends.iter().filter(|end| **end != u32::MAX);
        let sound = whole.clone().is_sorted() && whole.clone().all(|end| *end as usize <= refs.len() / REF);
        sound.then(|| Self { ends, bytes: refs.to_vec() })
    }

    /// Where the references of a tree lie; `None` if the tree cannot be read.
    pub fn range(&self, tree: usize) -> Option<std::ops::Range<usize>> {
        let end = *self.ends.get(tree).filter(|end| **end != u32::MAX)?;
        let start = self.ends[..tree].iter().rev().find(|end| **end != u32::MAX).copied().unwrap_or(0);
        Some(start as usize..end as usize)
    }

    /// A reference: what it refers to, and the first half of its name.
    pub fn get(&self, at: usize) -> (PackKind, &[u8; 16]) {
        let bytes = &self.bytes[REF * at..REF * (at + 1)];
        let kind = if bytes[0] == PackKind::Meta as u8 { PackKind::Meta } else { PackKind::Data };
        (kind, bytes[1..].try_into().expect("sixteen bytes"))
    }

    /// How much memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes.len() + 4 * self.ends.len()
    }
}

fn put(node: &TreeNode, out: &mut Vec<u8>) {
    let mut one = |kind: PackKind, name: &[u8; 32]| {
        out.push(kind as u8);
        out.extend_from_slice(&name[..16]);
    };
    let extents = |list: &[Extent], one: &mut dyn FnMut(PackKind, &[u8; 32])| {
        for extent in list {
            if let Extent::Chunk { id, .. } = extent {
                one(PackKind::Data, &id.0);
            }
        }
    };
    match node {
        TreeNode::Directory(entries) => {
            for entry in entries {
                match &entry.content {
                    Content::Directory(id) | Content::List(id) => one(PackKind::Meta, &id.0),
                    Content::Extents(list) => extents(list, &mut one),
                    Content::None => {}
                }
            }
        }
        TreeNode::Split(parts) => parts.iter().for_each(|part| one(PackKind::Meta, &part.id.0)),
        TreeNode::Lists(parts) => parts.iter().for_each(|part| one(PackKind::Meta, &part.id.0)),
        TreeNode::List(list) => extents(list, &mut one),
    }
}
