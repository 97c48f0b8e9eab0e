//! What SPEC asks of the engine when the store shows it something odd, and no vector can show.

use std::sync::Arc;
use vault_engine::format::FormatError;
use vault_engine::format::compress::Compression;
use vault_engine::format::control::{self, SealedBy};
use vault_engine::format::id::{ObjectId, TreeId};
use vault_engine::format::keys::{Key, KeyRing, Role};
use vault_engine::format::layout::{ObjectKind, ObjectName};
use vault_engine::format::node::Time;
use vault_engine::format::seal::Sealed;
use vault_engine::format::slot::Secret;
use vault_engine::format::snapshot::{Forget, Snapshot, Status, Summary};
use vault_engine::store::Store;
use vault_engine::store::error::RepositoryError;
use vault_engine::store::host::SystemHost;
use vault_engine::store::memory::MemoryStore;
use vault_engine::store::repository::{InitOptions, Repository};
use vault_engine::store::session::{Committed, Session};
use vault_rescue::keys::h;

fn secret(byte: u8) -> Secret {
    Secret::KeyFile(Key([byte; 32]))
}

fn open(store: &Arc<MemoryStore>, byte: u8) -> Repository {
    Repository::open(store.clone(), Arc::new(SystemHost::default()), &[secret(byte)], None).unwrap()
}

/// A repository that the secrets 1 and 2 open.
fn made() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::default());
    let secrets = [(secret(1), "one"), (secret(2), "two")];
    Repository::init(store.clone(), Arc::new(SystemHost::default()), &secrets, &InitOptions::default(), None).unwrap();
    store
}

/// Puts an empty tree and a snapshot of it.
fn snapshot(repository: &Repository) -> Result<Committed, RepositoryError> {
    let session = Session::begin(repository, "writer", Compression::Off)?;
    let root = session.store_tree(&vault_engine::format::tree::TreeNode::Directory(Vec::new()).encode())?;
    session.finish()?;
    let (sequence, predecessor) = session.chain()?;
    session.commit(&record(root, sequence, predecessor), None)
}

fn record(root: TreeId, sequence: u64, predecessor: Option<ObjectId>) -> Snapshot {
    Snapshot {
        begun: Time { seconds: sequence as i64, nanoseconds: 0 },
        ended: Time::default(),
        host: "host".into(),
        user: String::new(),
        source: None,
        paths: Vec::new(),
        tags: Vec::new(),
        root,
        parent: None,
        writer: "writer".into(),
        sequence,
        predecessor,
        original: None,
        summary: Summary::default(),
        status: Status::Complete,
        missing: 0,
        program: String::new(),
        pinned: None,
    }
}

fn put(store: &MemoryStore, kind: ObjectKind, bytes: &[u8]) -> ObjectName {
    let name = ObjectName::new(kind, ObjectId(h(bytes)));
    store.put(&name, bytes.to_vec()).unwrap();
    name
}

fn sealed(keys: &KeyRing, sealed: Sealed) -> Vec<u8> {
    control::create(keys, sealed, &SealedBy::Control, &[0xa0], &[7; 32]).unwrap()
}

/// Chapter 15.
#[test]
fn only_sweep_records_that_open_stop_confirmations() {
    let store = made();
    let repository = open(&store, 1);
    put(&store, ObjectKind::Sweep, b"garbage");
    let mut changed = sealed(&repository.keys, Sealed::Sweep);
    changed[50] ^= 1;
    put(&store, ObjectKind::Sweep, &changed);
    put(&store, ObjectKind::Sweep, &sealed(&repository.keys, Sealed::Index));
    assert!(snapshot(&repository).unwrap().unconfirmed.is_none());
    assert_eq!(repository.take_left_out().len(), 3, "each is reported");

    let roots = || repository.keys.roots().unwrap().to_vec();
    let newer = KeyRing::new(repository.keys.repository, [roots(), vec![Key([9; 32])]].concat());
    let mut unsupported = sealed(&repository.keys, Sealed::Sweep);
    unsupported[9] = 3;
    for bytes in [sealed(&repository.keys, Sealed::Condemn), sealed(&repository.keys, Sealed::SweepDone), sealed(&newer, Sealed::Sweep), unsupported] {
        let name = put(&store, ObjectKind::Sweep, &bytes);
        assert!(snapshot(&open(&store, 1)).is_err());
        store.delete(&name).unwrap();
        // Put while a session runs: its snapshot is not acknowledged.
        let repository = open(&store, 1);
        let session = Session::begin(&repository, "writer", Compression::Off).unwrap();
        let root = session.store_tree(&vault_engine::format::tree::TreeNode::Directory(Vec::new()).encode()).unwrap();
        session.finish().unwrap();
        let (sequence, predecessor) = session.chain().unwrap();
        let name = put(&store, ObjectKind::Sweep, &bytes);
        assert!(session.commit(&record(root, sequence, predecessor), None).unwrap().unconfirmed.is_some());
        store.delete(&name).unwrap();
    }
    assert!(snapshot(&open(&store, 1)).unwrap().unconfirmed.is_none());
}

/// Chapter 5: a store brings back a slot from before a rotation.
#[test]
fn who_has_only_old_keys_reads_what_is_old_and_writes_nothing() {
    let store = made();
    let old: Vec<_> = store.objects().iter().filter(|(name, _)| name.kind == ObjectKind::Key).map(|(name, bytes)| (*name, bytes.clone())).collect();
    let before = open(&store, 1);
    let first = snapshot(&before).unwrap();
    before.rotate_keys(&[(secret(3), "three")], "host").unwrap();
    old.into_iter().for_each(|(name, bytes)| store.put(&name, bytes).unwrap());

    let again = open(&store, 1);
    assert_eq!(again.snapshots().unwrap().snapshots[0].id, first.id);
    assert!(matches!(snapshot(&again), Err(RepositoryError::Format { error: FormatError::UnknownEpoch(1), .. })));
    assert!(again.add_key(&secret(4), Role::Owner, "four", "host").is_err());
    // The session that began before the rotation meets what the new keys wrote: no confirmation of its snapshot.
    assert!(snapshot(&open(&store, 3)).unwrap().unconfirmed.is_none());
    assert!(snapshot(&before).is_err());
    // Whoever has a slot of both epochs under one secret gets the newer keys.
    open(&store, 3).add_key(&secret(1), Role::Owner, "one again", "host").unwrap();
    assert_eq!(open(&store, 1).keys.epoch(), 1);
    assert!(snapshot(&open(&store, 1)).unwrap().unconfirmed.is_none());
}

/// Chapter 9.
#[test]
fn without_a_configuration_that_opens_nothing_is_written() {
    let store = made();
    let first = snapshot(&open(&store, 1)).unwrap();
    store.objects().retain(|name, _| name.kind != ObjectKind::Config);
    let repository = open(&store, 1);
    assert_eq!(repository.snapshots().unwrap().snapshots[0].id, first.id);
    assert_eq!(repository.take_left_out().len(), 1);
    assert!(snapshot(&repository).is_err());
}

/// Chapters 7 and 13: rubbish in the store is reported and stops nobody.
#[test]
fn rubbish_among_slots_and_forget_records_stops_nobody() {
    let store = made();
    for kind in [ObjectKind::Key, ObjectKind::KeyCopy, ObjectKind::Config, ObjectKind::Forget, ObjectKind::Snapshot] {
        put(&store, kind, b"rubbish");
        store.put(&ObjectName::new(kind, ObjectId([kind as u8; 32])), b"under a name that is not its own".to_vec()).unwrap();
    }
    let repository = open(&store, 1);
    assert_eq!(repository.take_left_out().len(), 5);
    assert!(snapshot(&repository).unwrap().unconfirmed.is_none());
    let list = repository.snapshots().unwrap();
    assert_eq!((list.snapshots.len(), list.damaged.len()), (1, 4));
    // The rubbish is no key of ours: the last one stays.
    assert!(repository.key_slots().unwrap().len() == 2);
}

/// Chapter 13, and its numbers at their end.
#[test]
fn forgotten_snapshots_count_for_the_chain_and_its_end_is_told() {
    let store = made();
    let repository = open(&store, 1);
    let first = snapshot(&repository).unwrap().id;
    let forget = |sequence| {
        Forget { snapshot: first, writer: "writer".into(), sequence, forgotten: Time::default(), replaced_by: None, record: None, session: None, object: None }
            .encode()
    };
    let seal = |record: &[u8]| control::create(&repository.keys, Sealed::Forget, &SealedBy::Control, record, &[8; 32]).unwrap();
    put(&store, ObjectKind::Forget, &seal(&forget(5)));
    assert!(repository.snapshots().unwrap().snapshots[0].forgotten);
    assert_eq!(Session::begin(&repository, "writer", Compression::Off).unwrap().chain().unwrap(), (6, Some(first)));
    put(&store, ObjectKind::Forget, &seal(&forget(u64::MAX)));
    assert!(snapshot(&repository).is_err());
}

/// Chapter 11: a damaged copy is no loss while there is another.
#[test]
fn of_two_copies_of_a_chunk_either_is_enough() {
    let store = made();
    for _ in 0..2 {
        snapshot(&open(&store, 1)).unwrap();
        // Without an index the next session knows of no chunk and stores it again.
        store.objects().retain(|name, _| name.kind != ObjectKind::Index);
    }
    let packs: Vec<_> = store.objects().iter().filter(|(name, _)| name.kind == ObjectKind::MetaPack).map(|(name, bytes)| (*name, bytes.clone())).collect();
    assert_eq!(packs.len(), 2);
    let root = open(&store, 1).snapshots().unwrap().snapshots[0].snapshot.root;
    let damage = |name: &ObjectName, bytes: &[u8]| {
        let mut changed = bytes.to_vec();
        changed[140] ^= 1;
        store.put(name, changed).unwrap();
    };
    for (name, bytes) in &packs {
        damage(name, bytes);
        assert!(open(&store, 1).tree(root).is_ok());
        store.put(name, bytes.clone()).unwrap();
    }
    for (name, bytes) in &packs {
        damage(name, bytes);
    }
    assert!(matches!(open(&store, 1).tree(root), Err(RepositoryError::Format { error: FormatError::NotAuthentic, .. })));
}
