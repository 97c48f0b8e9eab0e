//! A store in memory: the reference of what a store promises, for tests.

use super::{Store, StoreError, StoreErrorKind};
use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Objects in a map.
#[derive(Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<ObjectName, Vec<u8>>>,
    /// Ranges that were read so far.
    pub ranges: AtomicUsize,
    /// Whether [`Store::replace`] works; it begins with no.
    pub replaces: AtomicBool,
}

impl MemoryStore {
    /// The objects, to look at or to damage.
    pub fn objects(&self) -> MutexGuard<'_, BTreeMap<ObjectName, Vec<u8>>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, name: &ObjectName, read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, StoreError> {
        let objects = self.objects();
        let bytes = objects.get(name).ok_or_else(|| StoreError::new(StoreErrorKind::Missing, name, "no such object"))?;
        read(bytes).ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt, name, "the object is shorter than it should be"))
    }
}

impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.objects().insert(*name, bytes);
        Ok(())
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
        self.with(name, |bytes| Some(bytes.to_vec()))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.ranges.fetch_add(1, Ordering::Relaxed);
        self.with(name, |bytes| bytes.get(range.start as usize..range.end as usize).map(<[u8]>::to_vec))
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>, StoreError> {
        // A healed copy comes behind its original, and so its length counts.
        let lengths: BTreeMap<ObjectId, u64> =
            self.objects().iter().filter(|(name, _)| name.kind == kind).map(|(name, bytes)| (name.id, bytes.len() as u64)).collect();
        Ok(lengths.into_iter().collect())
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        Ok(self.objects().get(name).map(|bytes| bytes.len() as u64))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        let mut objects = self.objects();
        objects.remove(name);
        name.healed().map(|healed| objects.remove(&healed));
        Ok(())
    }

    fn replace(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        if !self.replaces.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Unsupported, name, "this store was told not to replace"));
        }
        match self.objects().get_mut(name) {
            Some(old) => *old = bytes.to_vec(),
            None => return Err(StoreError::new(StoreErrorKind::Missing, name, "no such object")),
        }
        Ok(())
    }

    fn adopt(&self, _: &ObjectName) {}

    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn prepare(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
