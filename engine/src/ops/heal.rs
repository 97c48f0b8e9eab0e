//! Mends what rotted, without any key: packs by their parity, key slots from their other place, anything from another copy of the repository.
//!
//! Nothing gets a name that is not the hash of its bytes. Nothing that is gone comes back under its own name, since a sweeper may have taken it away and
//! may still hold a delete of it in hand: it is put as a healed copy, which nobody newly relies on (SPEC chapter 15).

use super::monitor::{Cancel, Monitor};
use super::parallel::lock;
use super::scrub::{Fault, Finding, Remedy, State, all_objects, for_each, look};
use crate::format::id::RepositoryId;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::slot::{SLOT_LENGTH_MAX, Slot};
use crate::store::error::{RepositoryError, Result};
use crate::store::healed::{get_checked, get_copy};
use crate::store::{Store, StoreErrorKind};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// What decides.
#[derive(Clone, Default)]
pub struct HealOptions {
    /// Other copies of the repository, asked in this order for what cannot be mended here.
    pub mirrors: Vec<Arc<dyn Store>>,
    /// Also bring what the mirrors have and this repository has not, be it lost or deleted on purpose: without keys that cannot be told apart.
    pub missing: bool,
    /// Nothing is changed.
    pub dry_run: bool,
}

/// How bytes got into the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// In the place of what was damaged, under the same name.
    Replaced,
    /// As a healed copy beside it.
    Beside,
    /// Not at all: a dry run.
    NotYet,
}

/// An object that was mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healed {
    /// Which, and what was wrong with it; its remedy is there.
    pub finding: Finding,
    /// How.
    pub placed: Placed,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealOutcome {
    /// Objects that were looked at.
    pub objects: u64,
    /// Bytes that were read here.
    pub bytes_read: u64,
    /// What was mended, in order of the names.
    pub healed: Vec<Healed>,
    /// What cannot be, likewise.
    pub beyond: Vec<Finding>,
}

/// The repository that a store's key slots belong to; `None` if none can be read.
fn repository_of(store: &dyn Store) -> Result<Option<RepositoryId>> {
    for kind in [ObjectKind::Key, ObjectKind::KeyCopy] {
        for (id, _) in store.list(kind)?.into_iter().filter(|(_, length)| *length <= SLOT_LENGTH_MAX as u64) {
            let slot = get_copy(store, &ObjectName::new(kind, id)).ok().and_then(|bytes| Slot::decode(&bytes).ok());
            if let Some(slot) = slot {
                return Ok(Some(slot.repository));
            }
        }
    }
    Ok(None)
}

/// Mends what is damaged in the repository in `store`. What cannot be mended is an outcome; an `Err` says that a store failed.
///
/// # Errors
/// [`RepositoryError::Invalid`] if a mirror is of another repository.
pub fn heal(store: &dyn Store, options: &HealOptions, monitor: &dyn Monitor, cancel: &Cancel) -> Result<HealOutcome> {
    let own = repository_of(store)?;
    for mirror in &options.mirrors {
        if let (Some(own), Some(other)) = (own, repository_of(&**mirror)?)
            && own != other
        {
            return Err(RepositoryError::Invalid(format!("{} is another repository ({other}, not {own})", mirror.location())));
        }
    }
    let mut objects = all_objects(store)?;
    if options.missing {
        objects.extend(missing(&objects, options, own.is_none())?);
    }
    let found = Mutex::new(HealOutcome { objects: objects.len() as u64, ..HealOutcome::default() });
    let bytes_read = for_each(&objects, monitor, cancel, |name, length| {
        let (mut finding, mut bytes) = match look(store, name, length)? {
            State::Sound(length) => return Ok(length),
            State::Bad(finding, bytes) => (finding, bytes),
            State::Gone if options.missing => (Finding { name: *name, fault: Fault::Missing, remedy: None, bad_shards: None }, None),
            State::Gone => {
                lock(&found).objects -= 1;
                return Ok(0);
            }
        };
        if bytes.is_none()
            && let Some((number, found)) = options.mirrors.iter().enumerate().find_map(|(number, mirror)| Some((number, get_checked(&**mirror, name).ok()?)))
        {
            finding.remedy = Some(Remedy::Mirror(number));
            bytes = Some(found);
        }
        let Some(bytes) = bytes else {
            lock(&found).beyond.push(finding);
            return Ok(length);
        };
        if let Some(placed) = place(store, &finding, &bytes, options.dry_run)? {
            lock(&found).healed.push(Healed { finding, placed });
        }
        Ok(length)
    })?;
    if !options.dry_run {
        store.barrier()?;
    }
    let mut outcome = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    outcome.bytes_read = bytes_read;
    outcome.healed.sort_by_key(|healed| healed.finding.name);
    outcome.beyond.sort_by_key(|finding| finding.name);
    Ok(outcome)
}

/// What the mirrors have and the repository has not. Sweep records say what goes on in one store only. Key slots are brought if none is here at all:
/// otherwise one that was removed would open the repository again.
fn missing(objects: &[(ObjectName, u64)], options: &HealOptions, with_slots: bool) -> Result<Vec<(ObjectName, u64)>> {
    let here: BTreeSet<ObjectName> = objects.iter().map(|(name, _)| *name).collect();
    let mut missing = BTreeSet::new();
    for mirror in &options.mirrors {
        for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Sweep && (with_slots || !kind.is_slot())) {
            missing.extend(mirror.list(kind)?.into_iter().map(|(id, _)| ObjectName::new(kind, id)).filter(|name| !here.contains(name)));
        }
    }
    Ok(missing.into_iter().map(|name| (name, 0)).collect())
}

/// Puts the right bytes of an object where they belong. `None`: there was nothing to be done.
fn place(store: &dyn Store, finding: &Finding, bytes: &[u8], dry_run: bool) -> Result<Option<Placed>> {
    let name = &finding.name;
    let (is_gone, has_copy) = (finding.fault == Fault::Missing, finding.remedy == Some(Remedy::HealedCopy));
    if is_gone && has_copy {
        return Ok(None);
    }
    if dry_run {
        return Ok(Some(Placed::NotYet));
    }
    if !is_gone {
        match store.replace(name, bytes) {
            Ok(()) => {
                get_copy(store, name)?;
                if let Some(copy) = name.healed().filter(|_| has_copy) {
                    store.barrier()?;
                    store.delete(&copy)?;
                }
                return Ok(Some(Placed::Replaced));
            }
            // Removed meanwhile: whoever did that knew what he did.
            Err(error) if error.kind == StoreErrorKind::Missing => return Ok(None),
            Err(error) if error.kind != StoreErrorKind::Unsupported => return Err(error.into()),
            Err(_) if has_copy => return Ok(None),
            Err(_) => {}
        }
    }
    match name.healed() {
        Some(copy) => {
            store.put(&copy, bytes.to_vec())?;
            get_copy(store, &copy)?;
            Ok(Some(Placed::Beside))
        }
        // A key slot: its other place has it, or there was none at all.
        None => {
            if !is_gone {
                store.delete(name)?;
            }
            store.put(name, bytes.to_vec())?;
            get_copy(store, name)?;
            Ok(Some(Placed::Replaced))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
