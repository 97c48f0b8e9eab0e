//! What takes the space.

use super::browse::{Descend, Place, root_node, walk};
use super::monitor::Cancel;
use super::walk::extents_of;
use crate::format::layout::ObjectKind;
use crate::format::node::{Extent, NodeType};
use crate::format::pack::PackKind;
use crate::store::error::Result;
use crate::store::repository::{Repository, StoredSnapshot};
use std::collections::HashSet;

/// Sizes of the objects in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Number and bytes of data packs.
    pub data_packs: (u64, u64),
    /// Number and bytes of meta packs.
    pub meta_packs: (u64, u64),
    /// Number and bytes of index segments.
    pub index: (u64, u64),
    /// Number of snapshots.
    pub snapshots: u64,
    /// Chunks of contents in all packs, counted by their tables, and their plain bytes; several copies count each.
    pub chunks: (u64, u64),
    /// Bytes of everything.
    pub total_bytes: u64,
}

/// What a restore of snapshots would come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContentStats {
    /// Snapshots looked at.
    pub snapshots: u64,
    /// Entries that are no directories.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes of contents; hard-linked files count once per snapshot.
    pub bytes: u64,
    /// Bytes of distinct chunks.
    pub unique_bytes: u64,
    /// Distinct chunks.
    pub unique_chunks: u64,
}

/// Sums over the store's listings and the packs' tables.
pub fn store_stats(repository: &Repository, cancel: &Cancel) -> Result<StoreStats> {
    let mut stats = StoreStats::default();
    for kind in ObjectKind::ALL {
        let objects = repository.store.list(kind)?;
        let (count, bytes) = (objects.len() as u64, objects.iter().map(|(_, length)| length).sum::<u64>());
        stats.total_bytes += bytes;
        match kind {
            ObjectKind::DataPack => stats.data_packs = (count, bytes),
            ObjectKind::MetaPack => stats.meta_packs = (count, bytes),
            ObjectKind::Index => stats.index = (count, bytes),
            ObjectKind::Snapshot => stats.snapshots = count,
            _ => {}
        }
    }
    for pack in repository.lookup.packs(repository)?.into_values().filter(|pack| pack.kind == PackKind::Data) {
        if cancel.is_cancelled() {
            return Err(crate::store::error::RepositoryError::Cancelled);
        }
        // A pack that is gone or damaged is `verify`'s to tell of.
        if let Ok(table) = repository.loader.table(repository, &pack) {
            stats.chunks.0 += table.table.chunks.len() as u64;
            stats.chunks.1 += table.table.chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
        }
    }
    Ok(stats)
}

/// Walks snapshots and sums up what is in them.
pub fn content_stats(repository: &Repository, snapshots: &[&StoredSnapshot], cancel: &Cancel) -> Result<ContentStats> {
    let mut stats = ContentStats { snapshots: snapshots.len() as u64, ..ContentStats::default() };
    let mut chunks = HashSet::new();
    for stored in snapshots {
        let mut links = HashSet::new();
        let mut failed = None;
        let start = Place { path: vec![b'/'], node: root_node(stored.snapshot.root) };
        let mut visit = |_: &[u8], node: &crate::format::node::Node| {
            if node.metadata.node_type == NodeType::Directory {
                stats.directories += 1;
                return Descend::Yes;
            }
            stats.files += 1;
            if node.metadata.link_group.is_none_or(|group| links.insert(group)) {
                stats.bytes += node.metadata.size;
            }
            for extent in extents_of(repository, node) {
                match extent.map(|located| located.extent) {
                    Ok(Extent::Chunk { id, length }) if chunks.insert(id) => {
                        stats.unique_bytes += u64::from(length);
                        stats.unique_chunks += 1;
                    }
                    Ok(_) => {}
                    Err(error) => {
                        failed.get_or_insert(error);
                        break;
                    }
                }
            }
            Descend::Yes
        };
        let mut damaged = None;
        walk(repository, &start, cancel, &mut visit, &mut |_, error| damaged = Some(error))?;
        if let Some(error) = failed.or(damaged) {
            return Err(error);
        }
    }
    Ok(stats)
}
