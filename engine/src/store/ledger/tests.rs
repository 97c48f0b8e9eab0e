//! What the ledger keeps, what it does not believe, and that losing it costs nothing but work.

use super::*;
use crate::format::keys::Key;
use crate::format::node::Time;
use crate::format::pack::PackKind;
use crate::format::slot::Secret;
use crate::store::memory::MemoryStore;
use crate::store::repository::InitOptions;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A clock that a test sets.
struct Clock(AtomicI64);

impl Host for Clock {
    fn now(&self) -> Time {
        Time { seconds: self.0.load(Ordering::SeqCst), nanoseconds: 0 }
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn fill_random(&self, out: &mut [u8]) {
        out.fill(7);
    }
}

fn pack(n: u8) -> IndexedPack {
    IndexedPack { id: ObjectId([n; 32]), kind: PackKind::Data, length: 100 + u64::from(n) }
}

fn room(base: &Path, clock: &Arc<Clock>) -> (Repository, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    let secrets = [(Secret::KeyFile(Key([9; 32])), "test")];
    (Repository::init(store.clone(), clock.clone(), &secrets, &InitOptions::default(), Some(base)).unwrap(), store)
}

fn at(seconds: i64) -> Arc<Clock> {
    Arc::new(Clock(AtomicI64::new(seconds)))
}

fn proofs(ledger: &Ledger, packs: &[IndexedPack]) -> Vec<(i64, Option<i64>)> {
    let known = ledger.look(packs.iter());
    packs.iter().map(|pack| known[&pack.id]).map(|proof| (proof.seen, proof.proved)).collect()
}

#[test]
fn it_remembers_what_was_proved_and_first_seen() {
    let (base, clock) = (tempfile::tempdir().unwrap(), at(1000));
    let (repository, _) = room(base.path(), &clock);
    let packs = [pack(1), pack(2), pack(3)];
    let ledger = Ledger::open(&repository);
    assert_eq!(proofs(&ledger, &packs), [(1000, None); 3]);
    ledger.meet(packs.iter());
    clock.0.store(2000, Ordering::SeqCst);
    ledger.proved(&packs[1]);
    ledger.doubted(&packs[2]);
    // Another process, and one that is killed: what was written stays.
    std::mem::forget(ledger);
    let ledger = Ledger::open(&repository);
    assert_eq!(proofs(&ledger, &packs), [(1000, None), (2000, Some(2000)), (DOUBTED, None)]);
    // Packs that are not there are forgotten, and new ones when they come again.
    ledger.meet(packs[..2].iter());
    assert_eq!(proofs(&ledger, &packs)[2], (2000, None));
    let longer = IndexedPack { length: 9, ..packs[1] };
    assert_eq!(proofs(&ledger, &[longer]), [(2000, None)], "another length is another object");
    assert_eq!(ledger.last_run(), None);
    ledger.ran();
    assert_eq!(ledger.last_run(), Some(2000));
}

#[test]
fn times_to_come_are_no_times() {
    let (base, clock) = (tempfile::tempdir().unwrap(), at(5000));
    let (repository, _) = room(base.path(), &clock);
    let ledger = Ledger::open(&repository);
    let packs = [pack(1), pack(2)];
    ledger.meet(packs.iter());
    ledger.proved(&packs[0]);
    ledger.ran();
    clock.0.store(4000, Ordering::SeqCst);
    assert_eq!(proofs(&ledger, &packs), [(4000, None), (4000, None)]);
    assert_eq!(ledger.last_run(), None);
    ledger.meet(packs.iter());
    clock.0.store(6000, Ordering::SeqCst);
    assert_eq!(proofs(&ledger, &packs), [(4000, None), (4000, None)], "unproved it stays when the clock is right again");
}

/// Two places of one repository, a mirror say, share the cache's folder.
#[test]
fn a_mirror_is_proved_by_itself() {
    struct Elsewhere(MemoryStore);
    #[rustfmt::skip]
    impl crate::store::Store for Elsewhere {
        fn location(&self) -> String { "elsewhere".to_owned() }
        fn put(&self, name: &crate::format::layout::ObjectName, bytes: Vec<u8>) -> std::result::Result<(), crate::store::StoreError> { self.0.put(name, bytes) }
        fn get(&self, name: &crate::format::layout::ObjectName) -> std::result::Result<Vec<u8>, crate::store::StoreError> { self.0.get(name) }
        fn get_range(&self, name: &crate::format::layout::ObjectName, range: std::ops::Range<u64>) -> std::result::Result<Vec<u8>, crate::store::StoreError> { self.0.get_range(name, range) }
        fn list(&self, kind: crate::format::layout::ObjectKind) -> std::result::Result<Vec<(ObjectId, u64)>, crate::store::StoreError> { self.0.list(kind) }
        fn stat(&self, name: &crate::format::layout::ObjectName) -> std::result::Result<Option<u64>, crate::store::StoreError> { self.0.stat(name) }
        fn delete(&self, name: &crate::format::layout::ObjectName) -> std::result::Result<(), crate::store::StoreError> { self.0.delete(name) }
        fn adopt(&self, _: &crate::format::layout::ObjectName) {}
        fn barrier(&self) -> std::result::Result<(), crate::store::StoreError> { Ok(()) }
        fn prepare(&self) -> std::result::Result<(), crate::store::StoreError> { Ok(()) }
    }
    let (base, clock) = (tempfile::tempdir().unwrap(), at(1000));
    let (repository, store) = room(base.path(), &clock);
    let ledger = Ledger::open(&repository);
    ledger.proved(&pack(1));
    let copy = MemoryStore::default();
    copy.objects().extend(store.objects().clone());
    let mirror = Repository::open(Arc::new(Elsewhere(copy)), clock, &[Secret::KeyFile(Key([9; 32]))], Some(base.path())).unwrap();
    assert_eq!(proofs(&Ledger::open(&mirror), &[pack(1)]), [(1000, None)]);
    Ledger::open(&mirror).meet([pack(2)].iter());
    assert_eq!(proofs(&ledger, &[pack(1)]), [(1000, Some(1000))], "and neither forgets the other's");
}

#[test]
fn what_was_changed_is_not_believed_and_what_is_lost_is_unproved() {
    let (base, clock) = (tempfile::tempdir().unwrap(), at(1000));
    let (repository, _) = room(base.path(), &clock);
    let packs = [pack(1), pack(2)];
    let path = repository.cache.folder().unwrap().join(FILE);
    let fresh = || {
        let ledger = Ledger::open(&repository);
        ledger.meet(packs.iter());
        packs.iter().for_each(|pack| ledger.proved(pack));
        ledger.ran();
        ledger
    };
    let unproved = [(3000, None), (3000, None)];
    let ledger = fresh();
    clock.0.store(3000, Ordering::SeqCst);
    for change in ["UPDATE proofs SET proved = 2500", "UPDATE proofs SET length = length + 1", "UPDATE proofs SET mac = x'00'"] {
        fresh().with(|connection| connection.execute_batch(change)).unwrap();
        assert_eq!(proofs(&ledger, &packs), unproved, "{change}");
    }
    fresh().with(|connection| connection.execute_batch("UPDATE runs SET seconds = 2999")).unwrap();
    assert_eq!(ledger.last_run(), None);
    drop(ledger);
    let rubbish = vec![0x5a; 40_000];
    for bytes in [None, Some(&b""[..]), Some(b"not a database at all, but long enough to look like one to somebody who does not look"), Some(&rubbish)] {
        drop(fresh());
        remove(&path);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        let ledger = Ledger::open(&repository);
        assert_eq!(proofs(&ledger, &packs), unproved);
        ledger.proved(&packs[0]);
        assert_eq!(proofs(&Ledger::open(&repository), &packs), [(3000, Some(3000)), (3000, None)], "and it works again");
    }
    // The first page is whole, the others are not.
    let ledger = fresh();
    let many: Vec<IndexedPack> = (0..200).map(pack).collect();
    ledger.meet(many.iter());
    ledger.with(|connection| connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"));
    drop(ledger);
    let mut bytes = fs::read(&path).unwrap();
    assert!(bytes.len() > 3 * 4096);
    bytes[4096..].fill(0x5a);
    fs::write(&path, bytes).unwrap();
    assert_eq!(proofs(&Ledger::open(&repository), &packs), unproved);
    drop(fresh());
    assert_eq!(proofs(&Ledger::open(&repository), &packs), [(3000, Some(3000)); 2], "it was made anew");
}

#[test]
fn without_a_cache_it_lasts_as_long_as_the_run() {
    let clock = at(1000);
    let secrets = [(Secret::KeyFile(Key([9; 32])), "test")];
    let repository = Repository::init(Arc::new(MemoryStore::default()), clock, &secrets, &InitOptions::default(), None).unwrap();
    let ledger = Ledger::open(&repository);
    ledger.proved(&pack(1));
    assert_eq!(proofs(&ledger, &[pack(1)]), [(1000, Some(1000))]);
    assert_eq!(proofs(&Ledger::open(&repository), &[pack(1)]), [(1000, None)]);
}
