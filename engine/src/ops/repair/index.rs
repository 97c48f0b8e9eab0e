//! What the packs' own tables say, which blocks are damaged, and an index made of it.

use crate::format::id::ObjectId;
use crate::format::index::{IndexedPack, Segment};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::seal::Sealed;
use crate::ops::monitor::{Cancel, Monitor, Progress};
use crate::ops::parallel::{lock, parallel};
use crate::ops::prune::put_segments;
use crate::store::StoreErrorKind;
use crate::store::error::{RepositoryError, Result};
use crate::store::load::{BadBlocks, pack_name};
use crate::store::repository::Repository;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is in the store.
pub(super) struct Survey {
    /// Packs whose tables open.
    pub(super) packs: BTreeMap<ObjectId, IndexedPack>,
    /// Packs whose tables do not: all in them is lost.
    pub(super) unreadable: BTreeSet<ObjectId>,
    /// Blocks that do not open.
    pub(super) bad: BadBlocks,
    /// All packs that were listed, those that went before they were looked at too.
    pub(super) listed: BTreeSet<ObjectId>,
}

impl Survey {
    /// Looks at the tables of all packs.
    pub(super) fn tables(repository: &Repository, threads: usize, monitor: &dyn Monitor, cancel: &Cancel) -> Result<Self> {
        let all = repository.packs_in_store()?;
        let listed = all.iter().map(|pack| pack.id).collect();
        let found = Mutex::new(Self { packs: BTreeMap::new(), unreadable: BTreeSet::new(), bad: BadBlocks::new(), listed });
        parallel(
            threads,
            all.len(),
            || (),
            |(), at| {
                if cancel.is_cancelled() {
                    return Err(RepositoryError::Cancelled);
                }
                let pack = all[at];
                // From the store, not the cache: what a cache still knows may be damaged by now.
                match repository.loader.table_in_store(repository, &pack) {
                    Ok(_) => drop(lock(&found).packs.insert(pack.id, pack)),
                    Err(error) if error.is_gone() => {}
                    Err(error) if error.is_damage() => {
                        monitor.problem(pack_name(pack.kind, pack.id).path().as_bytes(), &error.to_string());
                        lock(&found).unreadable.insert(pack.id);
                    }
                    // Of a newer program or newer keys: nothing here may touch it.
                    Err(error) => return Err(error),
                }
                Ok(())
            },
        )?;
        Ok(found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Opens every block.
    pub(super) fn read(&mut self, repository: &Repository, threads: usize, monitor: &dyn Monitor, cancel: &Cancel) -> Result<()> {
        let packs: Vec<IndexedPack> = self.packs.values().copied().collect();
        let bytes_total = packs.iter().map(|pack| pack.length).sum();
        let (done, bad) = (AtomicU64::new(0), Mutex::new(BadBlocks::new()));
        parallel(
            threads,
            packs.len(),
            || (),
            |(), at| {
                let pack = match repository.loader.table(repository, &packs[at]) {
                    Err(error) if error.is_gone() => return Ok(()),
                    pack => pack?,
                };
                for block in 0..pack.table.blocks.len() {
                    if cancel.is_cancelled() {
                        return Err(RepositoryError::Cancelled);
                    }
                    match repository.loader.block(repository, &pack, block) {
                        Ok(_) => {}
                        Err(error) if error.is_gone() => break,
                        Err(error) if error.concerns_one_object() => {
                            monitor.problem(pack.name().path().as_bytes(), &error.to_string());
                            lock(&bad).insert((pack.id, block));
                        }
                        Err(error) => return Err(error),
                    }
                }
                let bytes_done = done.fetch_add(pack.length, Ordering::Relaxed) + pack.length;
                monitor.progress(&Progress { bytes_done, bytes_total, total_known: true, ..Progress::default() });
                Ok(())
            },
        )?;
        self.bad = bad.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(())
    }

    /// Packs that hold damage.
    pub(super) fn damaged(&self) -> HashSet<ObjectId> {
        self.unreadable.iter().copied().chain(self.bad.iter().map(|(pack, _)| *pack)).collect()
    }
}

/// Whether every segment can be read, and all of them speak of exactly the packs that are there and of every chunk in them.
pub(super) fn is_right(repository: &Repository, survey: &Survey) -> Result<bool> {
    let mut spoken_of = HashSet::new();
    for (id, _) in repository.store.list(ObjectKind::Index)? {
        let name = ObjectName::new(ObjectKind::Index, id);
        let segment = repository.control(ObjectKind::Index, Sealed::Index, id).and_then(|record| Segment::decode(&record).map_err(RepositoryError::of(&name)));
        match segment {
            Ok(segment) => spoken_of.extend(segment.packs.iter().map(|pack| pack.id)),
            Err(error) if error.is_gone() => {}
            Err(error) if error.is_damage() => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    if spoken_of.len() != survey.packs.len() || !survey.packs.keys().all(|pack| spoken_of.contains(pack)) {
        return Ok(false);
    }
    repository.lookup.refresh();
    for pack in survey.packs.values() {
        match repository.loader.table(repository, pack) {
            Ok(table) if repository.lookup.left_out(repository, &table)? > 0 => return Ok(false),
            Err(error) if !error.is_gone() => return Err(error),
            _ => {}
        }
    }
    Ok(true)
}

/// Puts segments for all packs, then takes the old ones away. Those that others put meanwhile stay.
pub(super) fn rebuild(repository: &Repository, survey: &Survey) -> Result<u64> {
    let old: Vec<ObjectId> = repository.store.list(ObjectKind::Index)?.into_iter().map(|(id, _)| id).collect();
    for pack in survey.packs.values() {
        repository.store.adopt(&pack_name(pack.kind, pack.id));
    }
    repository.store.barrier()?;
    let new = put_segments(repository, survey.packs.values().map(|pack| repository.loader.table(repository, pack)), &[])?;
    for id in old.iter().filter(|id| !new.contains(id)) {
        match repository.store.delete(&ObjectName::new(ObjectKind::Index, *id)) {
            // Where nothing may be deleted an old hint does no harm.
            Err(error) if matches!(error.kind, StoreErrorKind::Denied | StoreErrorKind::Unsupported) => break,
            other => other?,
        }
    }
    repository.store.barrier()?;
    repository.lookup.refresh();
    Ok(survey.packs.len() as u64)
}
