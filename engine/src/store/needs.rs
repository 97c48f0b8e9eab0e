//! Which packs a whole snapshot needs: every node and chunk below a root, each looked up once.

use super::error::{RepositoryError, Result};
use super::repository::Repository;
use crate::format::id::{ObjectId, TreeId};
use crate::format::index::IndexedPack;
use crate::format::node::{Content, Extent};
use crate::format::pack::PackKind;
use crate::format::tree::TreeNode;
use std::collections::{HashMap, HashSet};

/// The packs that everything below a root lies in, of `usable` ones. An error says what is missing.
pub fn packs_needed(
    repository: &Repository,
    root: TreeId,
    usable: &dyn Fn(&ObjectId) -> bool,
    cancelled: &dyn Fn() -> bool,
) -> Result<HashMap<ObjectId, IndexedPack>> {
    let mut packs: HashMap<ObjectId, IndexedPack> = HashMap::new();
    let mut seen: HashSet<[u8; 32]> = HashSet::new();
    let mut need = |kind: PackKind, name: &[u8; 32]| -> Result<bool> {
        if !seen.insert(*name) {
            return Ok(false);
        }
        let pack = repository.loader.must_place_in(repository, kind, name, usable)?.pack;
        packs.entry(pack.id).or_insert(IndexedPack { id: pack.id, kind, length: pack.length });
        Ok(true)
    };
    let mut nodes = vec![root];
    while let Some(id) = nodes.pop() {
        if cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        if !need(PackKind::Meta, &id.0)? {
            continue;
        }
        let mut extents = Vec::new();
        match repository.tree(id)? {
            TreeNode::Directory(entries) => {
                for entry in entries {
                    match entry.content {
                        Content::Directory(id) | Content::List(id) => nodes.push(id),
                        Content::Extents(list) => extents.extend(list),
                        Content::None => {}
                    }
                }
            }
            TreeNode::Split(parts) => nodes.extend(parts.iter().map(|part| part.id)),
            TreeNode::Lists(parts) => nodes.extend(parts.iter().map(|part| part.id)),
            TreeNode::List(list) => extents = list,
        }
        for extent in extents {
            if let Extent::Chunk { id, .. } = extent {
                need(PackKind::Data, &id.0)?;
            }
        }
    }
    Ok(packs)
}
