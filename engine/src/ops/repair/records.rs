//! Records of snapshots that are damaged or gone: noticed, and cleared away once their trees were looked for.

use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::seal::Sealed;
use crate::format::snapshot::Forget;
use crate::store::StoreErrorKind;
use crate::store::error::Result;
use crate::store::repository::{Repository, SnapshotList, StoredSnapshot};
use std::collections::HashSet;

/// Snapshots that were there once.
#[derive(Default)]
pub(super) struct LostRecords {
    /// Objects that are damaged.
    damaged: Vec<ObjectName>,
    /// Confirmations whose snapshots are not there.
    confirmations: Vec<ObjectName>,
    /// The snapshots' names.
    snapshots: HashSet<ObjectId>,
    /// Numbers are missing among those of a writer.
    has_gaps: bool,
}

/// Looks for traces of snapshots that are not listed and that nobody forgot.
pub(super) fn lost(repository: &Repository, list: &SnapshotList) -> Result<LostRecords> {
    let mut lost = LostRecords::default();
    for (id, _) in list.damaged.iter().filter(|(_, error)| error.is_damage()) {
        for kind in [ObjectKind::Snapshot, ObjectKind::Forget] {
            let name = ObjectName::new(kind, *id);
            if repository.store.stat(&name)?.is_some() {
                lost.damaged.push(name);
                if kind == ObjectKind::Snapshot {
                    lost.snapshots.insert(*id);
                }
            }
        }
    }
    let listed: HashSet<ObjectId> = list.snapshots.iter().map(|stored| stored.id).collect();
    let forgotten = repository.forgotten()?;
    let known: HashSet<ObjectId> = forgotten.iter().map(|forget| forget.snapshot).chain(listed.iter().copied()).collect();
    let expected: HashSet<ObjectId> = known.iter().flat_map(|id| repository.keys.confirmation_names(*id, 0)).collect();
    for (id, _) in repository.store.list(ObjectKind::Confirmation)? {
        if expected.contains(&id) {
            continue;
        }
        // A snapshot that was put since the snapshots were listed has one too, and it says whose it is.
        let name = ObjectName::new(ObjectKind::Confirmation, id);
        let snapshot = match repository.store.get(&name) {
            Ok(bytes) => repository.keys.read_confirmation(&bytes).ok().map(|(snapshot, _)| snapshot),
            Err(error) if error.kind == StoreErrorKind::Missing => continue,
            Err(error) => return Err(error.into()),
        };
        // One that is damaged goes, and its confirmation with it.
        let whole = snapshot.filter(|snapshot| !lost.snapshots.contains(snapshot));
        let there = whole.map(|snapshot| repository.store.stat(&ObjectName::new(ObjectKind::Snapshot, snapshot))).transpose()?.flatten();
        if there.is_none() {
            lost.snapshots.extend(snapshot);
            lost.confirmations.push(name);
        }
    }
    for stored in &list.snapshots {
        if let Some(before) = stored.snapshot.predecessor.filter(|before| !known.contains(before)) {
            lost.has_gaps = true;
            lost.snapshots.insert(before);
        }
    }
    Ok(lost)
}

impl LostRecords {
    /// Whether there are any.
    pub(super) fn are_there(&self) -> bool {
        self.has_gaps || !self.confirmations.is_empty() || self.damaged.iter().any(|name| name.kind == ObjectKind::Snapshot)
    }

    /// Records that the snapshots are gone, as far as their numbers are known, then clears away what is left of them. Returns how many objects went.
    pub(super) fn settle(&self, repository: &Repository, snapshots: &[StoredSnapshot], dry_run: bool) -> Result<u64> {
        let gone = (self.damaged.len() + self.confirmations.len()) as u64;
        if dry_run {
            return Ok(gone);
        }
        for stored in snapshots {
            let snapshot = &stored.snapshot;
            if let Some(before) = snapshot.predecessor.filter(|before| self.snapshots.contains(before)) {
                let forget = Forget {
                    snapshot: before,
                    writer: snapshot.writer.clone(),
                    sequence: snapshot.sequence.saturating_sub(1),
                    forgotten: repository.host.now(),
                    replaced_by: None,
                    record: None,
                    session: None,
                    object: None,
                };
                repository.put_control(ObjectKind::Forget, Sealed::Forget, &forget.encode())?;
            }
        }
        repository.store.barrier()?;
        for name in self.damaged.iter().chain(&self.confirmations) {
            repository.store.delete(name)?;
        }
        repository.store.barrier()?;
        Ok(gone)
    }
}
