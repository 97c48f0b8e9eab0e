//! A writer's chain of records: which comes next, and which this machine saw last.

use super::Session;
use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::snapshot::Snapshot;
use crate::store::error::{RepositoryError, Result};
use crate::store::last_seen::Head;

impl Session<'_> {
    /// Sequence and predecessor that this writer's next record must carry.
    pub fn chain(&self) -> Result<(u64, Option<ObjectId>)> {
        let list = self.repository.snapshots()?;
        let own = || list.snapshots.iter().filter(|stored| stored.snapshot.writer == self.writer);
        let stored = own().map(|stored| (stored.snapshot.sequence, stored.id));
        let forgotten = self.repository.forgotten()?;
        let forgotten = forgotten.iter().filter(|forget| forget.writer == self.writer).map(|forget| (forget.sequence, forget.snapshot));
        let Some((last, id)) = stored.chain(forgotten).max() else { return Ok((1, None)) };
        let next =
            last.checked_add(1).ok_or_else(|| RepositoryError::Invalid(format!("the numbers of the snapshots of {:?} have come to their end", self.writer)))?;
        if own().any(|stored| stored.id == id && !stored.confirmed) {
            // A killed run's, seen and perhaps not yet durable: if a power cut took it and left its successor, somebody would seem to have hidden it.
            self.repository.store.adopt(&ObjectName::new(ObjectKind::Snapshot, id));
            self.repository.store.barrier()?;
        }
        Ok((next, Some(id)))
    }

    /// Remembers on this machine that a snapshot was put.
    pub(super) fn remember(&self, snapshot: &Snapshot, id: ObjectId) {
        let repository = self.repository;
        let head = Head { sequence: snapshot.sequence, id, epoch: repository.keys.epoch() };
        repository.last_seen.put(&repository.keys, &repository.store.location(), &snapshot.writer, head);
    }
}
