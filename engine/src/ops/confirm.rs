//! Finishes what an interrupted run left unconfirmed: looks that everything a snapshot needs exists, then confirms it.

use super::monitor::{Cancel, Monitor};
use crate::format::snapshot::Status;
use crate::store::error::{RepositoryError, Result};
use crate::store::post_check;
use crate::store::repository::{Repository, StoredSnapshot};

/// Confirms the unconfirmed ones of `snapshots` that `writer` made, as far as all they need is there; each is told to the monitor.
pub fn finish_unconfirmed(repository: &Repository, snapshots: &mut [StoredSnapshot], writer: &str, monitor: &dyn Monitor, cancel: &Cancel) -> Result<()> {
    let left = snapshots.iter_mut().filter(|stored| !stored.confirmed && !stored.forgotten && stored.snapshot.writer == writer);
    for stored in left.filter(|stored| stored.snapshot.status != Status::Partial) {
        match post_check::confirm(repository, stored.id, stored.snapshot.root, &|| cancel.is_cancelled()) {
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
