//! Packs that no index segment speaks of: what an interrupted run left, as far as it is whole.

use crate::format::id::ObjectId;
use crate::format::index::IndexedPack;
use crate::store::error::Result;
use crate::store::healed::is_whole;
use crate::store::load::pack_name;
use crate::store::parallel::{lock, parallel};
use crate::store::repository::Repository;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Packs that are read at the same time, a window of each in memory.
const THREADS: usize = 4;

/// The `wanted` ones of these packs whose bytes have the hash that is their name.
pub(super) fn whole_packs(repository: &Repository, wanted: &dyn Fn(&ObjectId) -> bool) -> Result<Vec<IndexedPack>> {
    let indexed = repository.lookup.packs(repository)?;
    let mut left = repository.packs_in_store()?;
    left.retain(|pack| !indexed.contains_key(&pack.id) && wanted(&pack.id));
    let whole = Mutex::new(BTreeSet::new());
    parallel(
        THREADS,
        left.len(),
        || (),
        |(), at| {
            if is_whole(&*repository.store, &pack_name(left[at].kind, left[at].id), left[at].length)? {
                lock(&whole).insert(at);
            }
            Ok(())
        },
    )?;
    Ok(whole.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().map(|at| left[at]).collect())
}
