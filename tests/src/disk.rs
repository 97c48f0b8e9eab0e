//! A model of a disk under a store: every call can be the last one, and a power cut takes what no barrier kept.
//!
//! A name is made durable by the barrier of the handle that put, deleted or adopted it, and by no other: that is weaker than any file system, where
//! syncing a folder keeps what others put into it, too.

use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use vault_engine::format::id::ObjectId;
use vault_engine::format::layout::{ObjectKind, ObjectName};
use vault_engine::store::{Store, StoreError, StoreErrorKind};

/// The bytes of an object, shared by all copies of a disk.
pub type Bytes = Arc<Vec<u8>>;

/// Whether the call that is cut still does its work: in one case the answer is lost, in the other the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does nothing.
    Before,
    /// It does all of it, and nobody learns so.
    After,
}

/// What is left of everything that no barrier kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// All: the program died, the machine did not.
    On,
    /// Nothing: puts are gone, deletes are undone.
    Lost,
    /// What was put is gone, and what was deleted stays so.
    OnlyDeletes,
    /// What was put stays, and what was deleted is back.
    OnlyPuts,
    /// Drawn for each name.
    Drawn(u64),
    /// Drawn, and of what was put some is cut short: a store that gives names to contents which are not yet synced.
    Torn(u64),
}

#[derive(Clone, Debug)]
struct Change {
    name: ObjectName,
    before: Option<Bytes>,
    after: Option<Bytes>,
}

/// What is on the disk now, and which of it no barrier kept so far.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    objects: BTreeMap<ObjectName, Bytes>,
    open: Vec<Change>,
}

impl Disk {
    /// All objects.
    pub fn objects(&self) -> &BTreeMap<ObjectName, Bytes> {
        &self.objects
    }

    /// Puts or deletes an object, durably, behind everybody's back.
    pub fn set(&mut self, name: ObjectName, bytes: Option<Vec<u8>>) {
        self.open.retain(|change| change.name != name);
        match bytes {
            Some(bytes) => drop(self.objects.insert(name, Arc::new(bytes))),
            None => drop(self.objects.remove(&name)),
        }
    }

    /// Whether a power cut would change anything.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    fn change(&mut self, name: ObjectName, after: Option<Bytes>) {
        let before = match &after {
            Some(bytes) => self.objects.insert(name, bytes.clone()),
            None => self.objects.remove(&name),
        };
        if before != after {
            self.open.push(Change { name, before, after });
        }
    }

    /// The power goes. Returns the names of the objects that were cut short.
    pub fn cut_power(&mut self, power: Power) -> Vec<ObjectName> {
        let mut states: BTreeMap<ObjectName, Vec<Option<Bytes>>> = BTreeMap::new();
        for change in std::mem::take(&mut self.open) {
            states.entry(change.name).or_insert_with(|| vec![change.before]).push(change.after);
        }
        let (Power::Drawn(seed) | Power::Torn(seed)) = power else {
            for (name, states) in states {
                let (first, last) = (&states[0], &states[states.len() - 1]);
                let stays = match power {
                    Power::OnlyDeletes => last.is_none(),
                    Power::OnlyPuts => last.is_some(),
                    _ => power == Power::On,
                };
                self.write(name, if stays { last.as_ref() } else { first.as_ref() });
            }
            return Vec::new();
        };
        let mut random = Random(seed);
        let mut torn = Vec::new();
        for (name, states) in states {
            let number = random.below(states.len() as u64) as usize;
            match &states[number] {
                // What was there before anything changed is synced: a delete that is undone brings all of it back.
                Some(bytes) if matches!(power, Power::Torn(_)) && number > 0 && random.below(2) == 0 => {
                    let length = random.below(bytes.len() as u64) as usize;
                    self.write(name, Some(&Arc::new(bytes[..length].to_vec())));
                    torn.push(name);
                }
                state => self.write(name, state.as_ref()),
            }
        }
        torn
    }

    fn write(&mut self, name: ObjectName, state: Option<&Bytes>) {
        match state {
            Some(bytes) => drop(self.objects.insert(name, bytes.clone())),
            None => drop(self.objects.remove(&name)),
        }
    }
}

/// What is known of one handle alone.
#[derive(Default)]
struct Own {
    /// What the next barrier of this handle makes durable.
    touched: BTreeSet<ObjectName>,
    calls: u64,
    died_in: Option<&'static str>,
}

/// What a call works on.
struct State<'a> {
    disk: &'a mut Disk,
    touched: &'a mut BTreeSet<ObjectName>,
}

/// A program's handle on a disk, which it may have to share with others.
pub struct ModelStore {
    disk: Arc<Mutex<Disk>>,
    own: Mutex<Own>,
    cut: Option<(u64, Effect)>,
    gate: Option<Gate>,
}

/// Asked before each call, which it may hold up; `false`: this program makes no more calls.
pub type Gate = Box<dyn Fn() -> bool + Send + Sync>;

/// The calls that change something.
pub const WRITES: [&str; 4] = ["put", "delete", "replace", "barrier"];

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl ModelStore {
    /// A handle that works, on a disk of its own.
    pub fn new(disk: Disk) -> Self {
        Self::shared(Arc::new(Mutex::new(disk)))
    }

    /// A handle that works, on a disk that others work on.
    pub fn shared(disk: Arc<Mutex<Disk>>) -> Self {
        Self { disk, own: Mutex::default(), cut: None, gate: None }
    }

    /// A handle whose call number `at`, counted from 1, is its last.
    pub fn dying(disk: Disk, at: u64, effect: Effect) -> Self {
        Self::new(disk).dies(at, effect)
    }

    /// The same handle, whose call number `at`, counted from 1, is its last.
    pub fn dies(self, at: u64, effect: Effect) -> Self {
        Self { cut: Some((at, effect)), ..self }
    }

    /// The same handle behind a gate.
    pub fn behind(self, gate: Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// The disk as it is now.
    pub fn disk(&self) -> Disk {
        lock(&self.disk).clone()
    }

    /// The call in which it died, if it did.
    pub fn died_in(&self) -> Option<&'static str> {
        lock(&self.own).died_in
    }

    /// How many calls were made, those behind the last one not counted.
    pub fn calls(&self) -> u64 {
        lock(&self.own).calls
    }

    fn call<T>(&self, what: &'static str, act: impl FnOnce(&mut State<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let may_pass = self.gate.as_ref().is_none_or(|gate| gate());
        let mut own = lock(&self.own);
        if !may_pass {
            own.died_in.get_or_insert(what);
        }
        if own.died_in.is_none() {
            own.calls += 1;
            let cut = self.cut.filter(|(at, _)| *at == own.calls);
            if cut.is_some() {
                own.died_in = Some(what);
            }
            if cut.is_none_or(|(_, effect)| effect == Effect::After) {
                let done = act(&mut State { disk: &mut lock(&self.disk), touched: &mut own.touched });
                if cut.is_none() {
                    return done;
                }
            }
        }
        Err(StoreError::new(StoreErrorKind::Other, what, "died"))
    }
}

fn read<T>(state: &State<'_>, name: &ObjectName, take: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, StoreError> {
    let bytes = state.disk.objects.get(name).ok_or_else(|| StoreError::new(StoreErrorKind::Missing, name, "no such object"))?;
    take(bytes).ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt, name, "the object is shorter than it should be"))
}

impl Store for ModelStore {
    fn location(&self) -> String {
        "a model of a disk".to_owned()
    }

    fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.call("put", |state| {
            state.disk.change(*name, Some(Arc::new(bytes)));
            state.touched.insert(*name);
            Ok(())
        })
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
        self.call("get", |state| read(state, name, |bytes| Some(bytes.to_vec())))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.call("get_range", |state| read(state, name, |bytes| bytes.get(range.start as usize..range.end as usize).map(<[u8]>::to_vec)))
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>, StoreError> {
        self.call("list", |state| {
            // A healed copy comes behind its original, and stands for it.
            let of_kind = state.disk.objects.iter().filter(|(name, _)| name.kind == kind);
            let lengths: BTreeMap<ObjectId, u64> = of_kind.map(|(name, bytes)| (name.id, bytes.len() as u64)).collect();
            Ok(lengths.into_iter().collect())
        })
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.call("stat", |state| Ok(state.disk.objects.get(name).map(|bytes| bytes.len() as u64)))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.call("delete", |state| {
            for name in [Some(*name), name.healed()].into_iter().flatten() {
                state.disk.change(name, None);
                state.touched.insert(name);
            }
            Ok(())
        })
    }

    fn replace(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.call("replace", |state| {
            read(state, name, |_| Some(()))?;
            state.disk.change(*name, Some(Arc::new(bytes.to_vec())));
            state.touched.insert(*name);
            Ok(())
        })
    }

    fn is_disk(&self) -> bool {
        true
    }

    fn adopt(&self, name: &ObjectName) {
        lock(&self.own).touched.insert(*name);
    }

    fn barrier(&self) -> Result<(), StoreError> {
        self.call("barrier", |state| {
            let touched = std::mem::take(state.touched);
            state.disk.open.retain(|change| !touched.contains(&change.name));
            Ok(())
        })
    }

    fn prepare(&self) -> Result<(), StoreError> {
        self.call("prepare", |_| Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: u8) -> ObjectName {
        ObjectName::new(ObjectKind::Index, ObjectId([n; 32]))
    }

    fn there(disk: &Disk) -> Vec<u8> {
        disk.objects().keys().map(|name| name.id.0[0]).collect()
    }

    #[test]
    fn a_power_cut_takes_what_no_barrier_kept() {
        let store = ModelStore::new(Disk::default());
        store.put(&name(1), vec![1]).unwrap();
        store.put(&name(2), vec![2]).unwrap();
        store.barrier().unwrap();
        store.put(&name(3), vec![3; 100]).unwrap();
        store.delete(&name(1)).unwrap();
        let after = |power| {
            let mut disk = store.disk();
            let torn = disk.cut_power(power);
            (there(&disk), torn.len(), disk.is_settled())
        };
        assert_eq!(after(Power::On), (vec![2, 3], 0, true));
        assert_eq!(after(Power::Lost), (vec![1, 2], 0, true));
        assert_eq!(after(Power::OnlyDeletes), (vec![2], 0, true));
        assert_eq!(after(Power::OnlyPuts), (vec![1, 2, 3], 0, true));
        let drawn: BTreeSet<Vec<u8>> = (0..50).map(|seed| after(Power::Drawn(seed)).0).collect();
        assert_eq!(drawn.len(), 4, "every mixture comes up");
        assert!((0..50).any(|seed| after(Power::Torn(seed)).1 == 1));
    }

    #[test]
    fn only_the_own_barrier_keeps_and_an_adopted_name_is_own() {
        let first = ModelStore::new(Disk::default());
        first.put(&name(1), vec![1]).unwrap();
        first.put(&name(2), vec![2]).unwrap();
        let second = ModelStore::new(first.disk());
        second.adopt(&name(2));
        second.barrier().unwrap();
        let mut disk = second.disk();
        disk.cut_power(Power::Lost);
        assert_eq!(there(&disk), [2]);
    }

    #[test]
    fn the_last_call_does_its_work_or_not_and_none_follows() {
        for (effect, expected) in [(Effect::Before, vec![1]), (Effect::After, vec![1, 2])] {
            let store = ModelStore::dying(Disk::default(), 2, effect);
            store.put(&name(1), vec![1]).unwrap();
            store.put(&name(2), vec![2]).unwrap_err();
            store.put(&name(3), vec![3]).unwrap_err();
            assert_eq!((there(&store.disk()), store.died_in()), (expected, Some("put")));
        }
    }
}
