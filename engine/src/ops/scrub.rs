//! Looks for rot without any key: every object's hash must be its name (SPEC chapter 2). What is damaged is told, with what can mend it.

use super::monitor::{Cancel, Monitor, Progress};
use super::parallel::{lock, parallel};
use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::pack::PACK_LENGTH_MAX;
use crate::format::parity::{self, Beyond};
use crate::store::error::{RepositoryError, Result};
pub use crate::store::healed::Remedy;
use crate::store::healed::{get_copy, salvage};
use crate::store::{Store, StoreErrorKind};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Most objects that are read at the same time; each may be a whole pack.
const THREADS_MAX: usize = 4;

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its bytes do not have the hash that is its name.
    WrongHash,
    /// It cannot be read, in the words of the store.
    Unreadable(String),
    /// It is longer than any object may be.
    TooLong,
    /// A key slot is in one of its two places only.
    Missing,
}

/// An object that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub name: ObjectName,
    /// What is wrong with it.
    pub fault: Fault,
    /// What makes up for it; `None`: nothing that was looked at.
    pub remedy: Option<Remedy>,
    /// How many shards of a pack are damaged, if it has parity.
    pub bad_shards: Option<u64>,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScrubOutcome {
    /// Objects that were looked at.
    pub objects: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// Objects that are gone or damaged, and whose healed copy serves.
    pub healed: u64,
    /// What is damaged, in order of the names.
    pub findings: Vec<Finding>,
}

/// How an object is.
pub(super) enum State {
    /// As it should be; with its length in bytes.
    Sound(u64),
    /// It is not there any more: removed since it was listed.
    Gone,
    /// Damaged, and with it the bytes that it should have, if they can be had.
    Bad(Finding, Option<Vec<u8>>),
}

/// The other place of a key slot.
pub(super) fn twin(name: &ObjectName) -> Option<ObjectName> {
    match name.kind {
        ObjectKind::Key => Some(ObjectName::new(ObjectKind::KeyCopy, name.id)),
        ObjectKind::KeyCopy => Some(ObjectName::new(ObjectKind::Key, name.id)),
        _ => None,
    }
}

/// Reads a copy; `None` if it is gone or damaged.
fn sound_copy(store: &dyn Store, name: Option<ObjectName>) -> Result<Option<Vec<u8>>> {
    match name.map(|name| get_copy(store, &name)) {
        Some(Ok(bytes)) => Ok(Some(bytes)),
        Some(Err(error)) if !error.is_damage() => Err(error),
        _ => Ok(None),
    }
}

/// Looks at an object that was listed with this length.
pub(super) fn look(store: &dyn Store, name: &ObjectName, length: u64) -> Result<State> {
    let fault = if length > PACK_LENGTH_MAX {
        Fault::TooLong
    } else {
        match get_copy(store, name) {
            Ok(bytes) => return Ok(State::Sound(bytes.len() as u64)),
            Err(RepositoryError::Format { .. }) => Fault::WrongHash,
            Err(RepositoryError::Store(error)) if error.kind == StoreErrorKind::Missing => Fault::Missing,
            Err(RepositoryError::Store(error)) if error.is_about_one_object() => Fault::Unreadable(error.reason),
            Err(error) => return Err(error),
        }
    };
    let mut finding = Finding { name: *name, fault, remedy: None, bad_shards: None };
    for (copy, remedy) in [(name.healed(), Remedy::HealedCopy), (twin(name), Remedy::Twin)] {
        if let Some(bytes) = sound_copy(store, copy)? {
            finding.remedy = Some(remedy);
            return Ok(State::Bad(finding, Some(bytes)));
        }
    }
    if finding.fault == Fault::Missing {
        return Ok(State::Gone);
    }
    let mut mended = None;
    if name.kind.is_pack()
        && let Some(bytes) = salvage(store, name)?
    {
        match parity::mend(&bytes, name.id) {
            Ok(found) => {
                (finding.remedy, finding.bad_shards) = (Some(Remedy::Parity), Some(found.bad_shards));
                mended = Some(found.bytes);
            }
            Err(Beyond::TooMuch { bad_shards }) => finding.bad_shards = Some(bad_shards),
            Err(Beyond::NoParity) => {}
        }
    }
    Ok(State::Bad(finding, mended))
}

/// All objects of a store with their lengths in bytes. A key slot that is in one of its places only is listed in the other too, with length 0.
pub(super) fn all_objects(store: &dyn Store) -> Result<Vec<(ObjectName, u64)>> {
    let mut all = Vec::new();
    let mut slots: BTreeMap<ObjectId, Vec<ObjectKind>> = BTreeMap::new();
    for kind in ObjectKind::ALL {
        for (id, length) in store.list(kind)? {
            all.push((ObjectName::new(kind, id), length));
            if kind.is_slot() {
                slots.entry(id).or_default().push(kind);
            }
        }
    }
    let alone = slots.into_iter().filter(|(_, kinds)| kinds.len() == 1);
    all.extend(alone.filter_map(|(id, kinds)| Some((twin(&ObjectName::new(kinds[0], id))?, 0))));
    all.sort_unstable();
    Ok(all)
}

/// Calls `each` for all of `objects` on a few threads; it returns how many bytes it read.
pub(super) fn for_each(
    objects: &[(ObjectName, u64)],
    monitor: &dyn Monitor,
    cancel: &Cancel,
    each: impl Fn(&ObjectName, u64) -> Result<u64> + Sync,
) -> Result<u64> {
    let bytes_total = objects.iter().map(|(_, length)| length).sum();
    let (files, bytes, read) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, THREADS_MAX);
    parallel(
        threads,
        objects.len(),
        || (),
        |(), at| {
            if cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            let (name, length) = &objects[at];
            read.fetch_add(each(name, *length)?, Ordering::Relaxed);
            let files_done = files.fetch_add(1, Ordering::Relaxed) + 1;
            let bytes_done = bytes.fetch_add(*length, Ordering::Relaxed) + length;
            monitor.progress(&Progress { files_done, files_total: objects.len() as u64, bytes_done, bytes_total, total_known: true });
            Ok(())
        },
    )?;
    Ok(read.into_inner())
}

/// Reads every object of the repository in `store` and compares its hash with its name. Needs no key, and changes nothing. Damage is an outcome; an `Err` says
/// that it could not be looked for.
pub fn scrub(store: &dyn Store, monitor: &dyn Monitor, cancel: &Cancel) -> Result<ScrubOutcome> {
    let objects = all_objects(store)?;
    let found = Mutex::new(ScrubOutcome { objects: objects.len() as u64, ..ScrubOutcome::default() });
    let bytes_read = for_each(&objects, monitor, cancel, |name, length| {
        match look(store, name, length)? {
            State::Sound(length) => return Ok(length),
            State::Gone => lock(&found).objects -= 1,
            State::Bad(Finding { remedy: Some(Remedy::HealedCopy), .. }, _) => lock(&found).healed += 1,
            State::Bad(finding, _) => lock(&found).findings.push(finding),
        }
        Ok(length)
    })?;
    let mut outcome = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    outcome.bytes_read = bytes_read;
    outcome.findings.sort_by_key(|finding| finding.name);
    Ok(outcome)
}
