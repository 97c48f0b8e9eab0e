//! Finishes what an interrupted run left unconfirmed: looks that everything a snapshot needs exists, then confirms it.

use super::monitor::{Cancel, Monitor};
use crate::format::id::TreeId;
use crate::format::index::IndexedPack;
use crate::format::node::{Content, Extent};
use crate::format::pack::PackKind;
use crate::format::snapshot::Status;
use crate::format::tree::TreeNode;
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::{Repository, StoredSnapshot};
use crate::store::session;
use std::collections::{HashMap, HashSet};

/// The packs that everything below a root lies in: every node and chunk is looked up once. An error says what is missing.
fn packs_of(repository: &Repository, root: TreeId, cancel: &Cancel) -> Result<Vec<IndexedPack>> {
    let mut packs: HashMap<_, IndexedPack> = HashMap::new();
    let mut seen: HashSet<[u8; 32]> = HashSet::new();
    let mut need = |kind: PackKind, name: &[u8; 32]| -> Result<bool> {
        if !seen.insert(*name) {
            return Ok(false);
        }
        let pack = repository.loader.must_place(repository, kind, name)?.pack;
        packs.entry(pack.id).or_insert(IndexedPack { id: pack.id, kind, length: pack.length });
        Ok(true)
    };
    let mut nodes = vec![root];
    while let Some(id) = nodes.pop() {
        if cancel.is_cancelled() {
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
    Ok(packs.into_values().collect())
}

/// Confirms the unconfirmed ones of `snapshots` that `writer` made, as far as all they need is there; each is told to the monitor.
pub fn finish_unconfirmed(repository: &Repository, snapshots: &mut [StoredSnapshot], writer: &str, monitor: &dyn Monitor, cancel: &Cancel) -> Result<()> {
    let left = snapshots.iter_mut().filter(|stored| !stored.confirmed && !stored.forgotten && stored.snapshot.writer == writer);
    for stored in left.filter(|stored| stored.snapshot.status != Status::Partial) {
        let confirmed = packs_of(repository, stored.snapshot.root, cancel).and_then(|packs| session::confirm(repository, stored.id, &packs, None));
        match confirmed {
            Ok(()) => {
                stored.confirmed = true;
                monitor.note(&format!("snapshot {} of an interrupted run is whole, and confirmed now", stored.id.short()));
            }
            Err(RepositoryError::Cancelled) => return Err(RepositoryError::Cancelled),
            Err(error) => monitor.note(&format!("snapshot {} of an interrupted run stays unconfirmed: {error}", stored.id.short())),
        }
    }
    Ok(())
}
