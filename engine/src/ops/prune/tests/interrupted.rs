//! Packs that a killed run left and that are not what their names say: nobody relies on them, and no better copy goes for them.

use crate::format::id::ObjectId;
use crate::format::index::IndexedPack;
use crate::format::keys::Key;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::node::Extent;
use crate::format::pack::PackKind;
use crate::format::slot::Secret;
use crate::ops::forget::forget;
use crate::ops::monitor::{Cancel, Quiet};
use crate::ops::prune::{PruneOptions, prune};
use crate::ops::repair::{RepairOptions, repair};
use crate::ops::testing::{Builder, noise, reopened, repository};
use crate::ops::verify::{VerifyOptions, VerifyOutcome, verify};
use crate::store::Store;
use crate::store::host::SystemHost;
use crate::store::lookup::Scan;
use crate::store::memory::MemoryStore;
use crate::store::repository::Repository;
use std::path::Path;
use std::sync::Arc;

fn plain(seed: u64) -> Vec<u8> {
    noise(seed, 200_000)
}

/// The same repository on a machine with a memory.
fn remembering(store: &Arc<MemoryStore>, cache: &Path) -> Repository {
    Repository::open(store.clone(), Arc::new(SystemHost::default()), &[Secret::KeyFile(Key([9; 32]))], Some(cache)).unwrap()
}

fn names(store: &MemoryStore, kind: ObjectKind) -> Vec<ObjectName> {
    store.objects().keys().filter(|name| name.kind == kind).copied().collect()
}

/// Rubbish in the middle of a pack, all but its ends and its table.
fn spoil(store: &MemoryStore, name: &ObjectName) {
    let mut objects = store.objects();
    let bytes = objects.get_mut(name).unwrap();
    let middle = 200..bytes.len() - 8000;
    bytes[middle].iter_mut().step_by(1000).for_each(|byte| *byte ^= 1);
}

fn snapshot(repository: &Repository, seeds: impl Iterator<Item = u64>) -> ObjectId {
    let builder = Builder::new(repository);
    let files = seeds.map(|seed| builder.file(&format!("f{seed:03}"), &plain(seed))).collect();
    let root = builder.tree(files);
    builder.commit(root)
}

fn look(store: &Arc<MemoryStore>, snapshots: Option<Vec<ObjectId>>) -> VerifyOutcome {
    let options = VerifyOptions { read_data: true, snapshots, ..VerifyOptions::default() };
    verify(&reopened(store), &options, &Quiet, &Cancel::default()).unwrap()
}

#[test]
fn what_a_killed_run_left_is_used_as_far_as_it_is_whole() {
    let (_, store) = repository();
    let cache = tempfile::tempdir().unwrap();
    {
        let repository = remembering(&store, cache.path());
        let builder = Builder::new(&repository);
        assert_eq!(builder.session.take_up_interrupted().unwrap(), 0);
        (0..40).for_each(|seed| drop(builder.chunks(&[&plain(seed)])));
    }
    let left = names(&store, ObjectKind::DataPack);
    assert!(left.len() > 5, "{left:?}");
    // A store that keeps a truncated body, one that keeps too much, and rubbish where no table tells.
    let length = store.objects()[&left[0]].len();
    store.objects().get_mut(&left[0]).unwrap().truncate(length - 5000);
    store.objects().get_mut(&left[1]).unwrap().push(0);
    spoil(&store, &left[2]);
    let repository = remembering(&store, cache.path());
    {
        let session = Builder::new(&repository).session;
        assert_eq!(session.take_up_interrupted().unwrap(), left.len() - 3);
    }
    let whole = repository.lookup().packs(&repository).unwrap();
    assert!(left.iter().enumerate().all(|(at, name)| whole.contains_key(&name.id) == (at > 2)), "{whole:?}");
    let id = snapshot(&repository, 0..40);
    let again = names(&store, ObjectKind::DataPack).len() - left.len();
    assert!((3..=5).contains(&again), "three packs, and what was in the one that was never put, are stored again, in {again} packs");
    let outcome = look(&store, Some(vec![id]));
    assert_eq!((&outcome.damage, outcome.bytes_read > 8_000_000), (&vec![], true));

    // They are of no use, and a repair takes them away; until then all is told of them.
    assert_eq!(look(&store, None).damage.len(), 3);
    let (writer, host, program) = ("here".to_owned(), "here".to_owned(), "test".to_owned());
    let options = RepairOptions { writer, host, read_data: true, orphans: false, dry_run: false, threads: 2, program };
    let repaired = repair(&mut reopened(&store), &options, &Quiet, &Cancel::default()).unwrap();
    assert_eq!((repaired.packs_deleted, repaired.mended.len()), (3, 0), "{repaired:?}");
    let outcome = look(&store, None);
    assert_eq!((&outcome.damage, outcome.snapshots), (&vec![], 1));
}

#[test]
fn a_prune_keeps_the_copy_that_is_whole() {
    let (repository, store) = repository();
    // A run that was killed before its index was put; what it put is broken, but for the tables.
    {
        let session = Builder::new(&repository);
        (0..4).for_each(|seed| drop(session.chunks(&[&plain(seed)])));
        session.session.finish().unwrap();
    }
    let broken = names(&store, ObjectKind::DataPack);
    broken.iter().for_each(|name| spoil(&store, name));
    names(&store, ObjectKind::Index).iter().for_each(|name| store.delete(name).unwrap());
    // Two snapshots of another machine. Of its packs a part is needed when the first one is gone, of the broken one all.
    let other = reopened(&store);
    let first = snapshot(&other, 0..8);
    let second = snapshot(&other, 0..4);
    let list = other.snapshots().unwrap().snapshots;
    forget(&other, &[list.iter().find(|stored| stored.id == first).unwrap()]).unwrap();
    let options = PruneOptions { unused_percent_max: 0.0, grace: std::time::Duration::ZERO, ..PruneOptions::default() };
    let outcome = prune(&reopened(&store), &options, &Quiet, &Cancel::default()).unwrap();
    assert!(outcome.deleted.0 > 0, "{outcome:?}");
    assert_eq!(look(&store, Some(vec![second])).damage, []);
    assert_eq!(look(&store, None).damage, [], "and the broken one went");
    assert!(names(&store, ObjectKind::DataPack).iter().all(|name| !broken.contains(name)));
}

#[test]
fn a_prune_gives_no_index_to_what_is_broken() {
    let (repository, store) = repository();
    let first = snapshot(&repository, 0..4);
    let broken = names(&store, ObjectKind::DataPack);
    broken.iter().for_each(|name| spoil(&store, name));
    // Its record is gone too, and what it needed is needed by another snapshot: nothing vouches for the packs.
    let extents: Vec<Extent> = (0..4).map(|seed| Extent::Chunk { id: repository.keys.data_names().unwrap().name(&plain(seed)), length: 200_000 }).collect();
    let builder = Builder::new(&repository);
    let root = builder.tree(vec![builder.with_extents("all", extents)]);
    builder.commit(root);
    store.delete(&ObjectName::new(ObjectKind::Snapshot, first)).unwrap();
    names(&store, ObjectKind::Index).iter().for_each(|name| store.delete(name).unwrap());
    let options = PruneOptions { unused_percent_max: 0.0, grace: std::time::Duration::ZERO, ..PruneOptions::default() };
    prune(&reopened(&store), &options, &Quiet, &Cancel::default()).unwrap();
    let after = reopened(&store);
    let indexed = after.lookup().packs(&after).unwrap();
    assert!(!indexed.is_empty() && broken.iter().all(|name| !indexed.contains_key(&name.id) && store.objects().contains_key(name)));
}

#[test]
fn what_only_a_scan_found_is_read_and_not_relied_on() {
    let (repository, store) = repository();
    snapshot(&repository, 0..4);
    names(&store, ObjectKind::Index).iter().for_each(|name| store.delete(name).unwrap());
    let repository = reopened(&store);
    let (name, pack) = (repository.keys.data_names().unwrap().name(&plain(1)), names(&store, ObjectKind::DataPack)[0]);
    for scan in Scan::STEPS {
        repository.lookup().scan(&repository, scan).unwrap();
        assert_eq!(repository.chunk(name, 200_000).unwrap(), plain(1));
        assert!(repository.lookup().packs(&repository).unwrap().is_empty() && repository.lookup().is_unspoken(&pack.id));
        assert!(repository.loader.known(&repository, PackKind::Data, &name.0, &|_| true).unwrap().is_none());
    }
    // Once it is spoken of, it is as good as any.
    let length = store.objects()[&pack].len() as u64;
    let table = repository.loader.table(&repository, &IndexedPack { id: pack.id, kind: PackKind::Data, length }).unwrap();
    crate::ops::prune::put_segments(&repository, [Ok(table)], &[]).unwrap();
    repository.lookup().refresh();
    assert!(repository.loader.known(&repository, PackKind::Data, &name.0, &|_| true).unwrap().is_some());
}
