//! A store that misbehaves as it is told to, by seed: answers with errors, late, twice, not at all, with other bytes; and lies.

use crate::disk::ModelStore;
use crate::random::Random;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use vault_engine::format::id::ObjectId;
use vault_engine::format::layout::{ObjectKind, ObjectName};
use vault_engine::store::{Store, StoreError, StoreErrorKind};

/// What the store does instead of what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Nothing, and an error that may pass.
    RefusedForNow,
    /// Nothing, and an error that stays.
    Refused,
    /// All of it, and an error.
    Unanswered,
    /// All of it, after a while.
    Slow,
    /// All of it, two times.
    Twice,
    /// A read ends early.
    Short,
    /// A read has one bit that is another.
    Flipped,
    /// A read gives another object's bytes.
    Foreign,
    /// An object that is there is said to be missing.
    Absent,
    /// Nothing, and no error.
    Swallowed,
    /// A put keeps its first half, and no error.
    CutShort,
}

/// Errors, delays and repetitions: what any network does.
pub const ERRORS: [Fault; 5] = [Fault::RefusedForNow, Fault::Refused, Fault::Unanswered, Fault::Slow, Fault::Twice];
/// Reads that are wrong.
pub const READS: [Fault; 4] = [Fault::Short, Fault::Flipped, Fault::Foreign, Fault::Absent];
/// Writes that are lies.
pub const LIES: [Fault; 2] = [Fault::Swallowed, Fault::CutShort];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Put,
    Delete,
    Barrier,
    Get,
    Range,
    List,
    Stat,
}

impl Fault {
    fn fits(self, call: Call) -> bool {
        let is_read = matches!(call, Call::Get | Call::Range);
        let is_change = matches!(call, Call::Put | Call::Delete);
        match self {
            Self::RefusedForNow | Self::Refused | Self::Slow => true,
            Self::Unanswered | Self::Twice => is_change || call == Call::Barrier,
            Self::Short | Self::Flipped | Self::Foreign => is_read,
            Self::Absent => is_read || call == Call::Stat,
            Self::Swallowed => is_change,
            Self::CutShort => call == Call::Put,
        }
    }
}

/// What was at a name before it changed, and when that was.
type Past = (Instant, ObjectName, Option<u64>);

/// The store.
pub struct HostileStore {
    inner: ModelStore,
    random: Mutex<Random>,
    faults: Vec<Fault>,
    one_in: u64,
    late_by: Duration,
    past: Mutex<Vec<Past>>,
    is_armed: AtomicBool,
    injected: Mutex<BTreeMap<Fault, u64>>,
}

impl HostileStore {
    /// Over `inner`; of all calls about one in `one_in` goes wrong, in one of these ways. Listings are late by `late_by` at most, and say so.
    pub fn new(inner: ModelStore, seed: u64, faults: &[Fault], one_in: u64, late_by: Duration) -> Arc<Self> {
        Arc::new(Self {
            inner,
            random: Mutex::new(Random(seed)),
            faults: faults.to_vec(),
            one_in,
            late_by,
            past: Mutex::default(),
            is_armed: AtomicBool::new(true),
            injected: Mutex::default(),
        })
    }

    /// Whether faults are to come.
    pub fn arm(&self, is_armed: bool) {
        self.is_armed.store(is_armed, Ordering::SeqCst);
    }

    /// How many faults of each kind there were.
    pub fn injected(&self) -> BTreeMap<Fault, u64> {
        self.injected.lock().unwrap().clone()
    }

    /// The store below, which never fails.
    pub fn inner(&self) -> &ModelStore {
        &self.inner
    }

    fn draw(&self, call: Call) -> Option<Fault> {
        if !self.is_armed.load(Ordering::SeqCst) {
            return None;
        }
        let fault = {
            let mut random = self.random.lock().unwrap();
            if random.below(self.one_in) != 0 {
                return None;
            }
            let fitting: Vec<Fault> = self.faults.iter().copied().filter(|fault| fault.fits(call)).collect();
            *fitting.get(random.below(fitting.len().max(1) as u64) as usize)?
        };
        *self.injected.lock().unwrap().entry(fault).or_default() += 1;
        Some(fault)
    }

    /// A call that gives no bytes, with whatever goes wrong.
    fn act<T>(&self, call: Call, what: &dyn std::fmt::Display, nothing: T, act: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        Self::with(self.draw(call), what, nothing, act)
    }

    fn with<T>(fault: Option<Fault>, what: &dyn std::fmt::Display, nothing: T, act: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        let failed = |kind, reason: &str| Err(StoreError::new(kind, what, reason));
        match fault {
            Some(Fault::RefusedForNow) => failed(StoreErrorKind::Transient, "injected: try again"),
            Some(Fault::Refused) => failed(StoreErrorKind::Other, "injected: refused"),
            Some(Fault::Unanswered) => act().and_then(|_| failed(StoreErrorKind::Transient, "injected: no answer")),
            Some(Fault::Twice) => act().and_then(|_| act()),
            Some(Fault::Slow) => {
                std::thread::sleep(Duration::from_millis(2));
                act()
            }
            Some(Fault::Swallowed | Fault::Absent) => Ok(nothing),
            _ => act(),
        }
    }

    /// A read, with whatever goes wrong.
    fn read(&self, call: Call, name: &ObjectName, act: impl Fn(&ObjectName) -> Result<Vec<u8>, StoreError>) -> Result<Vec<u8>, StoreError> {
        let failed = |kind, reason: &str| Err(StoreError::new(kind, name, reason));
        match self.draw(call) {
            Some(Fault::RefusedForNow) => failed(StoreErrorKind::Transient, "injected: try again"),
            Some(Fault::Refused) => failed(StoreErrorKind::Other, "injected: refused"),
            Some(Fault::Absent) => failed(StoreErrorKind::Missing, "injected: no such object"),
            // A range is exact or an error: that is the store's promise, whatever its service does.
            Some(Fault::Short) if call == Call::Range => failed(StoreErrorKind::Corrupt, "injected: too short"),
            Some(Fault::Short) => act(name).map(|bytes| bytes[..bytes.len() / 2].to_vec()),
            Some(Fault::Flipped) => act(name).map(|mut bytes| {
                if !bytes.is_empty() {
                    let at = self.random.lock().unwrap().below(bytes.len() as u64 * 8);
                    bytes[(at / 8) as usize] ^= 1 << (at % 8);
                }
                bytes
            }),
            Some(Fault::Foreign) => self.other(name).map_or_else(|| act(name), |other| act(&other).or_else(|_| act(name))),
            Some(Fault::Slow) => {
                std::thread::sleep(Duration::from_millis(2));
                act(name)
            }
            _ => act(name),
        }
    }

    /// Another object of the same kind.
    fn other(&self, name: &ObjectName) -> Option<ObjectName> {
        let others: Vec<ObjectName> = self.inner.disk().objects().keys().copied().filter(|other| other.kind == name.kind && other != name).collect();
        let at = self.random.lock().unwrap().below(others.len().max(1) as u64);
        others.get(at as usize).copied()
    }

    fn remember(&self, name: &ObjectName) {
        if !self.late_by.is_zero() {
            let length = self.inner.stat(name).ok().flatten();
            self.past.lock().unwrap().push((Instant::now(), *name, length));
        }
    }
}

impl Store for HostileStore {
    fn location(&self) -> String {
        "a hostile store".to_owned()
    }

    fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.remember(name);
        match self.draw(Call::Put) {
            Some(Fault::CutShort) => self.inner.put(name, bytes[..bytes.len() / 2].to_vec()),
            fault => Self::with(fault, name, (), || self.inner.put(name, bytes.clone())),
        }
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
        self.read(Call::Get, name, |name| self.inner.get(name))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.read(Call::Range, name, |name| self.inner.get_range(name, range.clone()))
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>, StoreError> {
        let mut found: BTreeMap<ObjectId, u64> = self.act(Call::List, &kind.folder(), Vec::new(), || self.inner.list(kind))?.into_iter().collect();
        let mut past = self.past.lock().unwrap();
        past.retain(|(when, ..)| when.elapsed() < self.late_by);
        // The newest change first: what is shown in the end is what was there before some of them.
        for (_, name, length) in past.iter().rev().filter(|(_, name, _)| name.kind == kind && self.is_armed.load(Ordering::SeqCst)) {
            if self.random.lock().unwrap().below(2) == 0 {
                match length {
                    Some(length) => drop(found.insert(name.id, *length)),
                    None => drop(found.remove(&name.id)),
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.act(Call::Stat, name, None, || self.inner.stat(name))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.remember(name);
        self.act(Call::Delete, name, (), || self.inner.delete(name))
    }

    fn adopt(&self, name: &ObjectName) {
        self.inner.adopt(name);
    }

    fn listings_late_by(&self) -> Duration {
        self.late_by
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.act(Call::Barrier, &"barrier", (), || self.inner.barrier())
    }

    fn prepare(&self) -> Result<(), StoreError> {
        self.inner.prepare()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::Disk;

    /// Calls a hundred times and says which answers came.
    fn answers(fault: Fault) -> (usize, usize, usize) {
        let store = HostileStore::new(ModelStore::new(Disk::default()), 1, &[fault], 2, Duration::ZERO);
        let name = |n: u8| ObjectName::new(ObjectKind::Index, ObjectId([n; 32]));
        let refused = (0..100).filter(|n| store.put(&name(*n), vec![*n; 10]).is_err()).count();
        let kept = store.inner().disk().objects().values().filter(|bytes| bytes.len() == 10).count();
        let right = (0..100).filter(|n| store.get(&name(*n)).is_ok_and(|bytes| bytes == vec![*n; 10])).count();
        (refused, kept, right)
    }

    #[test]
    fn each_fault_is_what_it_says() {
        let some = 20..80;
        for fault in ERRORS.into_iter().chain(READS).chain(LIES) {
            let (refused, kept, right) = answers(fault);
            let is_error = matches!(fault, Fault::RefusedForNow | Fault::Refused | Fault::Unanswered);
            let loses = matches!(fault, Fault::RefusedForNow | Fault::Refused | Fault::Swallowed | Fault::CutShort);
            let misreads = loses || READS.contains(&fault);
            assert_eq!(some.contains(&refused), is_error, "{fault:?}: {refused}");
            assert_eq!(some.contains(&kept), loses, "{fault:?}: {kept}");
            assert_eq!(right == 100, !misreads, "{fault:?}: {right}");
        }
    }
}
