//! The order of writing, read from a store that writes down every call; and how many calls an operation makes.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use vault_engine::format::id::ObjectId;
use vault_engine::format::keys::Key;
use vault_engine::format::layout::{ObjectKind, ObjectName};
use vault_engine::format::node::Time;
use vault_engine::format::slot::Secret;
use vault_engine::ops::backup::{BackupOptions, BackupOutcome, backup};
use vault_engine::ops::edit::{TagChange, tag};
use vault_engine::ops::monitor::{Cancel, Quiet};
use vault_engine::sources::files::{FileSource, Options};
use vault_engine::sources::stream::StreamSource;
use vault_engine::store::error::RepositoryError;
use vault_engine::store::host::SystemHost;
use vault_engine::store::memory::MemoryStore;
use vault_engine::store::repository::{InitOptions, Repository};
use vault_engine::store::{Store, StoreError, StoreErrorKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Put(ObjectKind),
    Get(ObjectKind),
    Range(ObjectKind),
    List(ObjectKind),
    Stat(ObjectKind),
    Delete(ObjectKind),
    Barrier,
}

#[derive(Default)]
struct RecordingStore {
    inner: MemoryStore,
    calls: Mutex<Vec<Call>>,
    /// From now on no index can be put: the run dies there.
    dies_at_index: AtomicBool,
}

impl RecordingStore {
    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }

    fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

impl Store for RecordingStore {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.note(Call::Put(name.kind));
        if name.kind == ObjectKind::Index && self.dies_at_index.load(Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Other, name, "died"));
        }
        self.inner.put(name, bytes)
    }
    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
        self.note(Call::Get(name.kind));
        self.inner.get(name)
    }
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.note(Call::Range(name.kind));
        self.inner.get_range(name, range)
    }
    fn list(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>, StoreError> {
        self.note(Call::List(kind));
        self.inner.list(kind)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.note(Call::Stat(name.kind));
        self.inner.stat(name)
    }
    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.note(Call::Delete(name.kind));
        self.inner.delete(name)
    }
    fn adopt(&self, name: &ObjectName) {
        self.inner.adopt(name);
    }
    fn barrier(&self) -> Result<(), StoreError> {
        self.note(Call::Barrier);
        self.inner.barrier()
    }
    fn prepare(&self) -> Result<(), StoreError> {
        self.inner.prepare()
    }
}

struct World {
    store: Arc<RecordingStore>,
    repository: Repository,
    source: tempfile::TempDir,
}

fn world(files: u32) -> World {
    let store = Arc::new(RecordingStore::default());
    let secret = Secret::KeyFile(Key([1; 32]));
    let repository = Repository::init(store.clone(), Arc::new(SystemHost::default()), &[(secret, "test")], &InitOptions::default(), None).unwrap();
    let source = tempfile::tempdir().unwrap();
    for n in 0..files {
        let folder = source.path().join(format!("folder-{}", n % 7));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("file-{n}")), format!("contents of {n}").repeat(50)).unwrap();
    }
    // Files that changed in the last ticks of the clock are read again by the next run.
    std::thread::sleep(std::time::Duration::from_millis(30));
    store.take();
    World { store, repository, source }
}

fn run(repository: &Repository, path: &Path) -> BackupOutcome {
    let source = FileSource::new(Options { paths: vec![path.to_owned()], ..Options::default() }).unwrap();
    let outcome = backup(repository, &source, &BackupOptions::default(), &Quiet, &Cancel::default()).unwrap();
    assert!(outcome.unconfirmed.is_none());
    outcome
}

/// Puts and barriers, without what is read in between.
fn writes(calls: &[Call]) -> Vec<Call> {
    calls.iter().copied().filter(|call| matches!(call, Call::Put(_) | Call::Delete(_) | Call::Barrier)).collect()
}

/// Fails with the reason unless every step came after the one before was made durable.
fn check_order(calls: &[Call]) -> Result<(), String> {
    let rank = |kind| match kind {
        ObjectKind::DataPack | ObjectKind::MetaPack => Some(0),
        ObjectKind::Index => Some(1),
        ObjectKind::Snapshot => Some(2),
        ObjectKind::Confirmation => Some(3),
        _ => None,
    };
    let (mut highest, mut durable) = (0, true);
    for call in calls {
        match call {
            Call::Barrier => durable = true,
            Call::Put(kind) => {
                let Some(rank) = rank(*kind) else { continue };
                if rank < highest {
                    return Err(format!("{kind:?} after a later step"));
                }
                if rank > highest && !durable {
                    return Err(format!("{kind:?} before what it needs was durable"));
                }
                (highest, durable) = (rank, false);
            }
            _ => {}
        }
    }
    if durable { Ok(()) } else { Err("the last step was never made durable".into()) }
}

#[test]
fn packs_then_index_then_snapshot_then_confirmation() {
    let world = world(300);
    run(&world.repository, world.source.path());
    let calls = world.store.take();
    assert_eq!(check_order(&calls), Ok(()));
    use Call::{Barrier, Put};
    use ObjectKind::{Confirmation, DataPack, Index, MetaPack, Snapshot};
    let mut distinct = writes(&calls);
    distinct.dedup();
    assert_eq!(distinct, [Put(DataPack), Put(MetaPack), Barrier, Put(Index), Barrier, Put(Snapshot), Barrier, Put(Confirmation), Barrier]);
}

#[test]
fn the_check_sees_a_wrong_order() {
    use Call::{Barrier, Put};
    use ObjectKind::{DataPack, Index, Snapshot};
    assert!(check_order(&[Put(Index), Barrier, Put(DataPack), Barrier]).is_err());
    assert!(check_order(&[Put(DataPack), Put(Index), Barrier]).is_err());
    assert!(check_order(&[Put(DataPack), Barrier, Put(Snapshot)]).is_err());
}

#[test]
fn the_post_check_looks_for_sweeps_first_and_then_at_every_new_pack() {
    let world = world(50);
    run(&world.repository, world.source.path());
    let calls = world.store.take();
    let at = |call| calls.iter().position(|found| *found == call).unwrap_or_else(|| panic!("{call:?} is missing"));
    let (snapshot, confirmation) = (at(Call::Put(ObjectKind::Snapshot)), at(Call::Put(ObjectKind::Confirmation)));
    let sweeps = calls.iter().rposition(|found| *found == Call::List(ObjectKind::Sweep)).unwrap();
    assert!(at(Call::List(ObjectKind::Sweep)) < at(Call::Put(ObjectKind::DataPack)), "looked for before anything is relied on, too");
    assert!(snapshot < sweeps);
    for kind in [ObjectKind::DataPack, ObjectKind::MetaPack] {
        let looked = calls.iter().rposition(|found| *found == Call::Stat(kind)).unwrap();
        assert!(sweeps < looked && looked < confirmation, "{kind:?}");
    }
}

/// A world in which a table is known whose pack is gone, and a place whose file lies in that pack.
fn vanished() -> (World, tempfile::TempDir) {
    let world = world(50);
    run(&world.repository, world.source.path());
    // Copies of known files elsewhere: their chunks are found in the pack. The first makes the table known, then the pack goes.
    let other = tempfile::tempdir().unwrap();
    fs::copy(world.source.path().join("folder-0/file-0"), other.path().join("copy")).unwrap();
    run(&world.repository, other.path());
    let pack = world.store.list(ObjectKind::DataPack).unwrap()[0].0;
    world.store.delete(&ObjectName::new(ObjectKind::DataPack, pack)).unwrap();
    fs::copy(world.source.path().join("folder-1/file-1"), other.path().join("another")).unwrap();
    (world, other)
}

#[test]
fn a_snapshot_whose_pack_vanished_is_stored_again_from_its_source() {
    let (world, other) = vanished();
    let outcome = run(&world.repository, other.path());
    assert_eq!(world.store.list(ObjectKind::DataPack).unwrap().len(), 1, "in a new pack");
    let list = world.repository.snapshots().unwrap().snapshots;
    let last = list.iter().find(|stored| Some(stored.id) == outcome.snapshot).unwrap();
    assert!(last.confirmed);
}

#[test]
fn a_stream_whose_pack_vanished_is_not_acknowledged() {
    let (world, other) = vanished();
    let bytes = fs::read(other.path().join("another")).unwrap();
    let source = StreamSource::new(b"another", Box::new(std::io::Cursor::new(bytes)), Time::default()).unwrap();
    let outcome = backup(&world.repository, &source, &BackupOptions::default(), &Quiet, &Cancel::default()).unwrap();
    assert!(matches!(outcome.unconfirmed, Some(RepositoryError::Swept(1))));
    let list = world.repository.snapshots().unwrap();
    assert_eq!(list.snapshots.iter().filter(|stored| !stored.confirmed).count(), 1);
}

#[test]
fn a_run_that_died_before_its_confirmation_is_finished_by_the_next() {
    let world = world(50);
    run(&world.repository, world.source.path());
    let confirmed = |repository: &Repository| repository.snapshots().unwrap().snapshots.iter().map(|stored| stored.confirmed).collect::<Vec<_>>();
    let id = world.store.list(ObjectKind::Confirmation).unwrap()[0].0;
    world.store.delete(&ObjectName::new(ObjectKind::Confirmation, id)).unwrap();
    assert_eq!(confirmed(&world.repository), [false]);
    let second = run(&world.repository, world.source.path());
    assert_eq!(confirmed(&world.repository), [true, true]);
    assert_eq!(second.summary.files_unmodified, 50, "the finished snapshot is a parent again");

    // With a pack gone it stays what it is.
    for (id, _) in world.store.list(ObjectKind::Confirmation).unwrap() {
        world.store.delete(&ObjectName::new(ObjectKind::Confirmation, id)).unwrap();
    }
    let pack = world.store.list(ObjectKind::DataPack).unwrap()[0].0;
    world.store.delete(&ObjectName::new(ObjectKind::DataPack, pack)).unwrap();
    let other = tempfile::tempdir().unwrap();
    run(&world.repository, other.path());
    assert_eq!(confirmed(&world.repository), [false, false, true]);
}

#[test]
fn what_a_killed_run_stored_is_not_stored_again() {
    let mut world = world(200);
    let cache = tempfile::tempdir().unwrap();
    let secret = Secret::KeyFile(Key([1; 32]));
    let open = || Repository::open(world.store.clone(), Arc::new(SystemHost::default()), std::slice::from_ref(&secret), Some(cache.path())).unwrap();
    let source = FileSource::new(Options { paths: vec![world.source.path().to_owned()], ..Options::default() }).unwrap();
    world.store.dies_at_index.store(true, Ordering::Relaxed);
    backup(&open(), &source, &BackupOptions::default(), &Quiet, &Cancel::default()).unwrap_err();
    assert_eq!(world.store.list(ObjectKind::DataPack).unwrap().len(), 1, "its pack is there, and nothing speaks of it");
    world.store.dies_at_index.store(false, Ordering::Relaxed);
    world.store.take();
    world.repository = open();
    let outcome = run(&world.repository, world.source.path());
    assert_eq!(outcome.summary.files_new, 200, "no snapshot was made, so everything is read");
    assert_eq!(world.store.list(ObjectKind::DataPack).unwrap().len(), 1, "and nothing of it stored again");
    let calls = world.store.take();
    let puts: Vec<Call> = writes(&calls).into_iter().filter(|call| *call != Call::Barrier).collect();
    use Call::Put;
    use ObjectKind::{Confirmation, Index, Snapshot};
    assert_eq!(puts[0], Put(Index), "what was left is indexed first");
    assert_eq!(puts[puts.len() - 2..], [Put(Snapshot), Put(Confirmation)]);
}

#[test]
fn tags_put_the_new_snapshot_before_the_old_one_goes() {
    let world = world(5);
    run(&world.repository, world.source.path());
    let old = world.repository.snapshots().unwrap().snapshots.remove(0);
    world.store.take();
    let change = TagChange { add: vec!["kept".into()], ..TagChange::default() };
    tag(&world.repository, "localhost", &old, &change).unwrap().unwrap();
    use Call::{Barrier, Delete, Put};
    use ObjectKind::{Confirmation, Forget, Snapshot};
    let calls: Vec<Call> = writes(&world.store.take());
    let mut distinct = calls.clone();
    distinct.dedup();
    assert_eq!(distinct, [Barrier, Put(Snapshot), Barrier, Put(Confirmation), Barrier, Put(Forget), Barrier, Delete(Snapshot), Delete(Confirmation), Barrier],);
}

#[test]
fn an_operation_makes_few_calls() {
    let count = |files| {
        let world = world(files);
        // A file as young as the last run is read again; let the clock pass it.
        std::thread::sleep(std::time::Duration::from_millis(200));
        run(&world.repository, world.source.path());
        let first = world.store.take().len();
        run(&world.repository, world.source.path());
        let second = world.store.take().len();
        world.repository.snapshots().unwrap();
        (first, second, world.store.take().len())
    };
    let small = count(20);
    // The number of calls follows the packs and snapshots, not the files; the last entries of a larger tree may lie in one block more. A second run puts a
    // pack and its index, five calls with their barriers, if the folder above changed: there other tests make theirs.
    let large = count(700);
    assert_eq!((small.0, small.2), (large.0, large.2));
    assert!(small.1.abs_diff(large.1) <= 6, "{small:?} {large:?}");
    let (first, second, snapshots) = large;
    assert!(first <= 24, "first backup: {first} calls");
    assert!(second <= 28, "second backup: {second} calls");
    assert!(snapshots <= 5, "snapshots: {snapshots} calls");
}
