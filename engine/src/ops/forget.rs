//! Forgetting: a policy says which snapshots stay and why; the others get a forget record and go. Their packs are `prune`'s.

pub mod policy;
pub mod undelete;

use super::edit::forget_record;
use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::node::Time;
use crate::format::seal::Sealed;
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::{Repository, StoredSnapshot};
use policy::{is_good, is_pinned, source_of};

/// The snapshots that are named by hand, if they may go.
///
/// # Errors
/// [`RepositoryError::Invalid`] for one that is pinned, and, unless `force`, if a source would be left without a good snapshot.
pub fn by_hand<'a>(all: &'a [StoredSnapshot], wanted: &[ObjectId], now: Time, force: bool) -> Result<Vec<&'a StoredSnapshot>> {
    let chosen: Vec<&StoredSnapshot> = all.iter().filter(|stored| wanted.contains(&stored.id)).collect();
    if let Some(pinned) = chosen.iter().find(|stored| is_pinned(stored, now)) {
        return Err(RepositoryError::Invalid(format!("snapshot {} is pinned: unpin it first", pinned.id.short())));
    }
    for stored in chosen.iter().filter(|stored| is_good(stored) && !force) {
        let is_left = |other: &StoredSnapshot| is_good(other) && !wanted.contains(&other.id) && source_of(other) == source_of(stored);
        if !all.iter().any(is_left) {
            return Err(RepositoryError::Invalid(format!("snapshot {} is the last good one of its source: only --force forgets it", stored.id.short())));
        }
    }
    Ok(chosen)
}

/// Forgets snapshots: all the records first, then, when these are durable, the snapshots and their confirmations. A run that is killed in between
/// leaves snapshots that are shown as forgotten; the next one takes them away. Returns whether they are gone: where the store gives nothing away the
/// records alone say so, until somebody who may delete runs it.
pub fn forget(repository: &Repository, snapshots: &[&StoredSnapshot]) -> Result<bool> {
    repository.check_writable()?;
    replace(repository, snapshots, None)
}

/// The same for snapshots whose place another one takes.
pub(super) fn replace(repository: &Repository, snapshots: &[&StoredSnapshot], replaced_by: Option<ObjectId>) -> Result<bool> {
    if snapshots.is_empty() {
        return Ok(true);
    }
    for stored in snapshots.iter().filter(|stored| !stored.forgotten) {
        let record = forget_record(repository, stored, replaced_by).encode();
        let put = || repository.put_control(ObjectKind::Forget, Sealed::Forget, &record);
        match put() {
            // Whoever forgets on a full disk is about to make room: the next prune sets some aside again.
            Err(error) if error.is_full() && repository.store.use_reserve()? > 0 => put()?,
            other => other?,
        };
    }
    if snapshots.iter().any(|stored| stored.forgotten) {
        // Their records are a killed run's, and perhaps not yet durable.
        for (id, _) in repository.store.list(ObjectKind::Forget)? {
            repository.store.adopt(&ObjectName::new(ObjectKind::Forget, id));
        }
    }
    repository.store.barrier()?;
    let mut gone = true;
    for stored in snapshots {
        // One refusal is enough to know.
        gone = gone && remove(repository, stored.id)?;
    }
    repository.store.barrier()?;
    Ok(gone)
}

/// Takes away a snapshot whose forget record is durable; `false` where the store does not let this client delete.
fn remove(repository: &Repository, id: ObjectId) -> Result<bool> {
    let confirmations = repository.keys.confirmation_names(id, 0).map(|name| ObjectName::new(ObjectKind::Confirmation, name));
    for name in [ObjectName::new(ObjectKind::Snapshot, id)].into_iter().chain(confirmations) {
        match repository.delete(&name) {
            Err(RepositoryError::NoDeletion(_)) => return Ok(false),
            other => other?,
        }
    }
    Ok(true)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
