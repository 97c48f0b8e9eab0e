//! What takes the space.

use super::browse::{Descend, Place, root_node, walk};
use super::monitor::Cancel;
use super::walk::extents_of;
use crate::format::index::IndexedPack;
use crate::format::layout::ObjectKind;
use crate::format::node::{Extent, NodeType, Time};
use crate::format::pack::PackKind;
use crate::store::error::Result;
use crate::store::ledger::{Ledger, Proof};
use crate::store::repository::{Repository, StoredSnapshot};
use std::collections::HashSet;
use std::time::Duration;

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
    /// Bytes of data packs and of meta packs that are parity, and the tables to find rot by.
    pub parity_bytes: (u64, u64),
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

/// How long ago the bytes of packs were last read and found good, by this machine's ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProofStats {
    /// Bytes of all packs.
    pub bytes: u64,
    /// Bytes that were not proved within the asked time; those that never were are among them.
    pub unproved_bytes: u64,
    /// Bytes that were never proved from here.
    pub never_proved_bytes: u64,
    /// The byte that nobody read for the longest time; `None` if there are no packs.
    pub oldest: Option<OldestByte>,
}

/// What is known of the byte that nobody read for the longest time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldestByte {
    /// It lies in a pack that was found damaged.
    Damaged,
    /// It was never proved from here.
    NeverProved {
        /// When it was first seen.
        seen: Time,
        /// How long ago that is.
        age: Duration,
    },
    /// It was proved.
    Proved {
        /// When that was last.
        at: Time,
        /// How long ago that is.
        age: Duration,
    },
}

/// Asks the ledger about all packs that there are. Nothing is read and nothing written.
pub fn proof_stats(repository: &Repository, within: Duration) -> Result<ProofStats> {
    let mut packs = Vec::new();
    for (kind, object) in [(PackKind::Meta, ObjectKind::MetaPack), (PackKind::Data, ObjectKind::DataPack)] {
        packs.extend(repository.store.list(object)?.into_iter().map(|(id, length)| IndexedPack { id, kind, length }));
    }
    let now = repository.host.now().seconds;
    let proofs = Ledger::open(repository).look(packs.iter());
    let mut stats = ProofStats::default();
    let mut oldest: Option<Proof> = None;
    for pack in &packs {
        let Some(proof) = proofs.get(&pack.id).copied() else { continue };
        stats.bytes += pack.length;
        if proof.proved.is_none() {
            stats.never_proved_bytes += pack.length;
        }
        if proof.proved.is_none_or(|proved| age(now, proved) > within) {
            stats.unproved_bytes += pack.length;
        }
        if oldest.is_none_or(|oldest| proof.since() < oldest.since()) {
            oldest = Some(proof);
        }
    }
    stats.oldest = oldest.map(|proof| {
        let (then, age) = (Time { seconds: proof.since(), nanoseconds: 0 }, age(now, proof.since()));
        match proof.proved {
            Some(_) => OldestByte::Proved { at: then, age },
            None if proof.is_doubted() => OldestByte::Damaged,
            None => OldestByte::NeverProved { seen: then, age },
        }
    });
    Ok(stats)
}

fn age(now: i64, then: i64) -> Duration {
    Duration::from_secs(u64::try_from(now.saturating_sub(then)).unwrap_or(0))
}

/// Sums over the store's listings and the packs' tables.
pub fn store_stats(repository: &Repository, cancel: &Cancel) -> Result<StoreStats> {
    let mut stats = StoreStats::default();
    let mut packs = Vec::new();
    for kind in ObjectKind::ALL {
        let objects = repository.store.list(kind)?;
        let (count, bytes) = (objects.len() as u64, objects.iter().map(|(_, length)| length).sum::<u64>());
        stats.total_bytes += bytes;
        let mut packs_of = |kind| packs.extend(objects.iter().map(|&(id, length)| IndexedPack { id, kind, length }));
        match kind {
            ObjectKind::DataPack => {
                stats.data_packs = (count, bytes);
                packs_of(PackKind::Data);
            }
            ObjectKind::MetaPack => {
                stats.meta_packs = (count, bytes);
                packs_of(PackKind::Meta);
            }
            ObjectKind::Index => stats.index = (count, bytes),
            ObjectKind::Snapshot => stats.snapshots = count,
            _ => {}
        }
    }
    for pack in packs {
        if cancel.is_cancelled() {
            return Err(crate::store::error::RepositoryError::Cancelled);
        }
        // A pack that is gone or damaged is `verify`'s to tell of.
        let Ok(table) = repository.loader.table(repository, &pack) else { continue };
        let table = &table.table;
        match pack.kind {
            PackKind::Data => {
                stats.parity_bytes.0 += table.parity_bytes;
                stats.chunks.0 += table.chunks.len() as u64;
                stats.chunks.1 += table.chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>();
            }
            PackKind::Meta => stats.parity_bytes.1 += table.parity_bytes,
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
