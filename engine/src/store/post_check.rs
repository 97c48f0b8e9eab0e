//! Drives the rules of a writer over the store, from the snapshot that was put to its confirmation.

use super::error::{RepositoryError, Result};
use super::healed::get_checked;
use super::load::pack_name;
use super::needs::packs_needed;
use super::protocol::{Rules, Writer, WriterAnswer, WriterCall};
use super::repository::{Repository, put_named};
use super::{StoreError, StoreErrorKind};
use crate::format::id::{ObjectId, TreeId};
use crate::format::index::IndexedPack;
use crate::format::layout::{ObjectKind, ObjectName};
use std::collections::{BTreeSet, HashMap};

/// The rules over names of packs.
pub type PackWriter = Writer<BTreeSet<ObjectId>>;

/// Looking for other copies is tried so often before it is given up.
const TRIES_MAX: usize = 3;

/// Whether trees cannot be followed, and what lies below is to be stored again: they are gone, or this client may not read them and does not remember them.
fn is_out_of_reach(error: &RepositoryError) -> bool {
    error.concerns_one_object() || matches!(error, RepositoryError::NotAllowed { .. })
}

/// Whether a snapshot is there and nobody recorded its removal.
fn is_there(repository: &Repository, id: ObjectId) -> Result<bool> {
    let there = repository.store.stat(&ObjectName::new(ObjectKind::Snapshot, id))?.is_some();
    Ok(there && !repository.is_forgotten(id)?)
}

/// Goes on with `writer` until the snapshot `id` with the root `root` is acknowledged. `relied` are the packs it newly relies on, with their
/// lengths; `parent` is the snapshot that covers the rest.
///
/// # Errors
/// [`RepositoryError::Swept`] if chunks are lost to the snapshot and no other copy of them is known: they must be stored again from the source.
pub fn run(
    repository: &Repository,
    writer: &mut PackWriter,
    id: ObjectId,
    root: TreeId,
    relied: &mut HashMap<ObjectId, IndexedPack>,
    parent: Option<ObjectId>,
    cancelled: &dyn Fn() -> bool,
) -> Result<()> {
    let mut tries = 0;
    loop {
        let answer = match writer.next() {
            WriterCall::ListSweeps => WriterAnswer::Sweeps(repository.sweeps()?.seen()),
            WriterCall::LookAtParent => WriterAnswer::There(parent.map_or(Ok(false), |parent| is_there(repository, parent))?),
            WriterCall::NameEveryPack => {
                *relied = match packs_needed(repository, root, &|pack| writer.may_rely(*pack), cancelled) {
                    Ok(packs) => packs,
                    // The parent went, and with it what was taken from it without a look.
                    Err(error) if parent.is_some() && is_out_of_reach(&error) => {
                        writer.answer(WriterAnswer::There(false));
                        return Err(RepositoryError::Swept(1));
                    }
                    Err(error) => return Err(error),
                };
                WriterAnswer::Stored { relied: relied.keys().copied().collect(), by_parent: false }
            }
            WriterCall::LookAtPack(pack) => {
                let pack = relied[&pack];
                match repository.exists(&pack) {
                    Ok(()) => {
                        // A pack that was found and not put here may be a killed run's, seen but not yet durable.
                        repository.store.adopt(&pack_name(pack.kind, pack.id));
                        WriterAnswer::There(true)
                    }
                    Err(RepositoryError::Store(StoreError { kind: StoreErrorKind::Missing | StoreErrorKind::Corrupt, .. })) => WriterAnswer::There(false),
                    Err(error) => return Err(error),
                }
            }
            WriterCall::StoreAgain(lost) => {
                // A sweeper puts what is still needed elsewhere before it deletes: the index of today may know other copies.
                tries += 1;
                repository.lookup.refresh();
                match packs_needed(repository, root, &|pack| writer.may_rely(*pack), cancelled) {
                    Ok(packs) if tries < TRIES_MAX => *relied = packs,
                    Ok(_) => return Err(RepositoryError::Swept(lost.len())),
                    Err(error) if is_out_of_reach(&error) => return Err(RepositoryError::Swept(lost.len())),
                    Err(error) => return Err(error),
                }
                WriterAnswer::Stored { relied: relied.keys().copied().collect(), by_parent: false }
            }
            // The snapshot stands, and it is the same one.
            WriterCall::PutSnapshot => WriterAnswer::Put,
            WriterCall::PutConfirmation => {
                let snapshot = ObjectName::new(ObjectKind::Snapshot, id);
                // A store may have said that it put what it did not, or not whole.
                get_checked(&*repository.store, &snapshot)?;
                repository.store.adopt(&snapshot);
                repository.store.barrier()?;
                let confirmation =
                    repository.keys.confirmation(repository.keys.epoch(), id).map_err(|error| RepositoryError::format("new confirmation", error))?;
                put_named(&*repository.store, ObjectKind::Confirmation, confirmation)?;
                repository.store.barrier()?;
                WriterAnswer::Put
            }
            WriterCall::Acknowledged => return Ok(()),
            WriterCall::Store => unreachable!("the snapshot was put, so everything is stored"),
            #[cfg(test)]
            WriterCall::LookInIndex(_) => unreachable!("all rules hold here"),
        };
        writer.answer(answer);
    }
}

/// Confirms a snapshot that stands in the store, as far as all it needs is there.
pub(crate) fn confirm(repository: &Repository, id: ObjectId, root: TreeId, cancelled: &dyn Fn() -> bool) -> Result<()> {
    run(repository, &mut PackWriter::resume(Rules::default(), repository.store.listings_are_late()), id, root, &mut HashMap::new(), None, cancelled)
}
