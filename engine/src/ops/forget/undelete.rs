//! Undelete: a forgotten snapshot is put again as a new one, through the whole post-check, until a sweep took what it needs.

use super::forget;
use crate::format::compress::Compression;
use crate::format::id::ObjectId;
use crate::format::snapshot::{Forget, Snapshot};
use crate::ops::monitor::Cancel;
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::{Repository, StoredSnapshot};
use crate::store::session::Session;
use std::collections::HashSet;

/// A snapshot that was forgotten.
#[derive(Clone, Debug)]
pub struct Forgotten {
    /// Its name.
    pub id: ObjectId,
    /// Its record.
    pub snapshot: Snapshot,
    /// What is recorded of its removal.
    pub forget: Forget,
}

/// The snapshots that were forgotten, not replaced by others, and whose records were kept; the one forgotten last comes last.
pub fn forgotten(repository: &Repository) -> Result<Vec<Forgotten>> {
    // A record that does not count for a snapshot which is there has not forgotten it.
    let there: HashSet<ObjectId> = repository.snapshots()?.snapshots.into_iter().filter(|stored| !stored.forgotten).map(|stored| stored.id).collect();
    let mut found: Vec<Forgotten> = repository
        .forgotten()?
        .into_iter()
        .filter(|forget| forget.replaced_by.is_none() && !there.contains(&forget.snapshot))
        .filter_map(|forget| {
            let snapshot = repository.forgotten_snapshot(&forget)?;
            Some(Forgotten { id: forget.snapshot, snapshot, forget })
        })
        .collect();
    found.sort_by_key(|one| (one.forget.forgotten, one.snapshot.begun, one.id));
    Ok(found)
}

/// Puts a forgotten snapshot again; returns its new name.
///
/// # Errors
/// [`RepositoryError::MissingChunk`] or [`RepositoryError::Swept`] if a sweep took, or is taking, what it needs. Then nothing has changed.
pub fn undelete(repository: &Repository, writer: &str, old: &Forgotten, cancel: &Cancel) -> Result<ObjectId> {
    let session = Session::begin(repository, writer, Compression::default())?;
    session.rely_on_tree(old.snapshot.root, &|| cancel.is_cancelled())?;
    let (sequence, predecessor) = session.chain()?;
    let snapshot =
        Snapshot { writer: writer.to_owned(), sequence, predecessor, original: Some(old.snapshot.original.unwrap_or(old.id)), ..old.snapshot.clone() };
    session.finish()?;
    let committed = session.commit(&snapshot, None)?;
    let Some(error) = committed.unconfirmed else { return Ok(committed.id) };
    if error.concerns_one_object() || matches!(error, RepositoryError::Swept(_)) {
        let put = StoredSnapshot { id: committed.id, snapshot, confirmed: false, forgotten: false, session: None };
        forget(repository, &[&put])?;
    }
    Err(error)
}
