//! Floor 1: where bytes live: services, packs, index, caches.

pub mod cache;
mod direct;
pub mod error;
pub mod healed;
pub mod host;
pub mod key_slots;
pub mod last_seen;
pub mod ledger;
pub mod load;
pub mod location;
pub mod lookup;
pub mod memory;
pub(crate) mod needs;
mod opening;
mod own;
pub(crate) mod parallel;
pub(crate) mod post_check;
pub mod protocol;
pub mod remote;
pub mod repository;
pub mod reserve;
pub mod run;
pub mod scratch;
pub mod service;
pub mod session;
pub mod stages;
pub mod sweeps;

use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
pub use error::{StoreError, StoreErrorKind};
use std::ops::Range;

/// Where objects live. Objects are whole, bounded by the largest pack, and immutable; nothing is assumed of a store
/// but these calls: no rename, no append, no lock, no clock. All calls may come from any thread.
pub trait Store: Send + Sync {
    /// Where it is, for people. Never holds a secret.
    fn location(&self) -> String;

    /// Puts a new object. When it returns, readers see it whole; that it outlives a power cut is [`Store::barrier`]'s promise.
    /// The same bytes under the same name again are no error.
    fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<(), StoreError>;

    /// Puts a new pack like [`Store::put`], and gives its buffer back to be used again, where the service does not keep it.
    fn put_pack(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        self.put(name, bytes).map(|()| Vec::new())
    }

    /// All bytes of an object.
    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError>;

    /// Exactly the bytes of `range`; an object that ends before is an error of kind [`StoreErrorKind::Corrupt`].
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StoreError>;

    /// Fills `out` with the bytes from `start` on: [`Store::get_range`] for whoever reads again and again into the same memory.
    fn read_into(&self, name: &ObjectName, start: u64, out: &mut [u8]) -> Result<(), StoreError> {
        out.copy_from_slice(&self.get_range(name, start..start + out.len() as u64)?);
        Ok(())
    }

    /// All objects of a kind with their lengths in bytes, in no order, each once. A kind without objects is an empty list. An object of which only a
    /// healed copy is there is listed too, and where there is one its length counts.
    fn list(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>, StoreError>;

    /// Length in bytes of exactly this copy; `None` if it is not there. An object of which only a healed copy is there is none: who relies on it
    /// newly, or lets another copy go for it, would rely on what a sweeper may delete any time (SPEC chapter 15).
    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, StoreError>;

    /// Removes an object and its healed copy; one that is not there is no error.
    fn delete(&self, name: &ObjectName) -> Result<(), StoreError>;

    /// Puts `bytes` in the place of an object in one step: readers see the old bytes or the new ones. Never brings back an object that is gone:
    /// that is an error of kind [`StoreErrorKind::Missing`]. A store that cannot promise this says [`StoreErrorKind::Unsupported`].
    fn replace(&self, name: &ObjectName, _bytes: &[u8]) -> Result<(), StoreError> {
        Err(StoreError::new(StoreErrorKind::Unsupported, name, "this store cannot replace objects"))
    }

    /// Whether the objects lie on disks that nobody else guards against rot.
    fn is_disk(&self) -> bool {
        false
    }

    /// Takes an object that somebody else put for one of ours: the next barrier makes it outlive a power cut, too.
    fn adopt(&self, name: &ObjectName);

    /// Whether a listing may show for a while what was before.
    fn listings_are_late(&self) -> bool {
        !self.listings_late_by().is_zero()
    }

    /// How late a listing may be at most. Zero: it shows every put and delete that returned before it began.
    fn listings_late_by(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    /// When an object was put, by the store's own clock, in seconds; `None` if the store cannot tell or there is no such object.
    /// Good for guessing how stale something is. No safety may rest on it.
    fn put_at(&self, _name: &ObjectName) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }

    /// Takes away what puts that were killed left behind more than `age_seconds` ago, by the store's own clock. Returns how many bytes that freed
    /// or, in a dry run, would free.
    fn sweep_temporary(&self, _age_seconds: u64, _dry_run: bool) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Sets at least `bytes` aside, or as much as there is room for, to be given up when the store is full. A store that cannot goes without.
    fn keep_reserve(&self, _bytes: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Gives up what was set aside; returns how many bytes that freed. For whoever makes room by what is put then.
    fn use_reserve(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Makes everything put or adopted so far outlive a power cut.
    fn barrier(&self) -> Result<(), StoreError>;

    /// Makes the folders of a new repository, durably. Refuses a place that holds something else.
    fn prepare(&self) -> Result<(), StoreError>;

    /// Makes folders of an existing repository that got lost, durably.
    fn make_folders(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
