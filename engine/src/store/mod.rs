//! Floor 1: where bytes live: services, packs, index, caches.

pub mod cache;
pub mod error;
pub mod host;
pub mod key_slots;
pub mod load;
pub mod location;
pub mod lookup;
pub mod memory;
mod opening;
pub mod repository;
pub mod run;
pub mod service;
pub mod session;

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

    /// All bytes of an object.
    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError>;

    /// Exactly the bytes of `range`; an object that ends before is an error of kind [`StoreErrorKind::Corrupt`].
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StoreError>;

    /// Fills `out` with the bytes from `start` on: [`Store::get_range`] for whoever reads again and again into the same memory.
    fn read_into(&self, name: &ObjectName, start: u64, out: &mut [u8]) -> Result<(), StoreError> {
        out.copy_from_slice(&self.get_range(name, start..start + out.len() as u64)?);
        Ok(())
    }

    /// All objects of a kind with their lengths in bytes, in no order. A kind without objects is an empty list.
    fn list(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>, StoreError>;

    /// Length in bytes; `None` if there is no such object.
    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, StoreError>;

    /// Removes an object; one that is not there is no error.
    fn delete(&self, name: &ObjectName) -> Result<(), StoreError>;

    /// Takes an object that somebody else put for one of ours: the next barrier makes it outlive a power cut, too.
    fn adopt(&self, name: &ObjectName);

    /// Makes everything put or adopted so far outlive a power cut.
    fn barrier(&self) -> Result<(), StoreError>;

    /// Makes the folders of a new repository, durably. Refuses a place that holds something else.
    fn prepare(&self) -> Result<(), StoreError>;
}
