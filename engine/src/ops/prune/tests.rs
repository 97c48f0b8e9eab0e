//! Prunes on a store in memory: what is needed stays, what is not goes, and a run that dies at any call is finished by the next.

mod interrupted;

use super::plan::{Limits, Needed, Use, new_packs, plan};
use super::{PruneOptions, PruneOutcome, prune};
use crate::format::control::sweep_kind;
use crate::format::id::ObjectId;
use crate::format::index::IndexedPack;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::node::{Content, Extent};
use crate::format::pack::PackKind;
use crate::format::seal::Sealed;
use crate::format::tree::TreeNode;
use crate::ops::forget::forget;
use crate::ops::monitor::{Cancel, Quiet};
use crate::ops::testing::{Builder, noise, reopened, repository};
use crate::store::error::RepositoryError;
use crate::store::memory::MemoryStore;
use crate::store::repository::Repository;
use crate::store::{Store, StoreError, StoreErrorKind};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

fn options() -> PruneOptions {
    PruneOptions { unused_percent_max: 0.0, ..PruneOptions::default() }
}

fn run(store: &Arc<MemoryStore>, options: &PruneOptions) -> PruneOutcome {
    prune(&reopened(store), options, &Quiet, &Cancel::default()).unwrap()
}

/// A snapshot of files with these seeds, of 100 kB each.
fn backup(repository: &Repository, seeds: &[u64]) -> ObjectId {
    let builder = Builder::new(repository);
    let plains: Vec<Vec<u8>> = seeds.iter().map(|seed| noise(*seed, 100_000)).collect();
    // Three neighbours to a block.
    let mut nodes = Vec::new();
    for (at, group) in plains.chunks(3).enumerate() {
        let extents = builder.chunks(&group.iter().map(Vec::as_slice).collect::<Vec<_>>());
        nodes.extend(extents.into_iter().enumerate().map(|(n, extent)| builder.with_extents(&format!("f{at:03}-{n}"), vec![extent])));
    }
    let inner = builder.directory("inner", nodes);
    let root = builder.tree(vec![inner]);
    builder.commit(root)
}

/// The contents of every snapshot, read by a program that knows nothing yet.
fn contents(store: &Arc<MemoryStore>) -> BTreeMap<ObjectId, Vec<Vec<u8>>> {
    let repository = reopened(store);
    let read = |root| {
        let mut files = Vec::new();
        let mut waiting = vec![root];
        while let Some(id) = waiting.pop() {
            let TreeNode::Directory(entries) = repository.tree(id).unwrap() else { panic!("small directories") };
            for entry in entries {
                match entry.content {
                    Content::Directory(id) => waiting.push(id),
                    Content::Extents(list) => {
                        for extent in list {
                            let Extent::Chunk { id, length } = extent else { panic!("no holes") };
                            files.push(repository.chunk(id, length).unwrap());
                        }
                    }
                    _ => {}
                }
            }
        }
        files
    };
    repository.snapshots().unwrap().snapshots.iter().map(|stored| (stored.id, read(stored.snapshot.root))).collect()
}

fn packs(store: &MemoryStore) -> (usize, u64) {
    let all: Vec<(ObjectId, u64)> = [ObjectKind::DataPack, ObjectKind::MetaPack].into_iter().flat_map(|kind| store.list(kind).unwrap()).collect();
    (all.len(), all.iter().map(|(_, length)| length).sum())
}

fn forget_first(store: &Arc<MemoryStore>, count: usize) {
    let repository = reopened(store);
    let list = repository.snapshots().unwrap().snapshots;
    forget(&repository, &list.iter().take(count).collect::<Vec<_>>()).unwrap();
}

#[test]
fn what_is_needed_stays_and_the_rest_goes() {
    let (repository, store) = repository();
    backup(&repository, &(0..60).collect::<Vec<_>>());
    backup(&repository, &(30..70).collect::<Vec<_>>());
    let nothing = run(&store, &options());
    assert_eq!((nothing.deleted.0, nothing.put.0), (0, 0), "all is needed: {nothing:?}");

    forget_first(&store, 1);
    let before = (contents(&store), packs(&store));
    let dry = run(&store, &PruneOptions { dry_run: true, ..options() });
    assert_eq!((&contents(&store), packs(&store)), (&before.0, before.1), "a dry run changes nothing");
    let done = run(&store, &options());
    // Packs are numbered as their tables arrive, which differs from run to run.
    let told = |outcome: &PruneOutcome| {
        let plan = &outcome.plan;
        let sizes = (plan.dead.len(), plan.rounds.iter().map(Vec::len).collect::<Vec<_>>());
        (sizes, plan.total_bytes, plan.freed_bytes, plan.moved_bytes, plan.unused_bytes, outcome.deleted, outcome.put)
    };
    assert_eq!(told(&dry), told(&done), "and is exact");
    assert_eq!(contents(&store), before.0);
    let after = packs(&store).1;
    assert!(after < 4_300_000, "forty files of 100 kB are left, and not {after} bytes");
    assert_eq!(store.list(ObjectKind::Sweep).unwrap(), [], "nothing of the sweep is left");
    let again = run(&store, &options());
    assert_eq!((again.deleted.0, again.put.0), (0, 0), "{again:?}");
    let report =
        crate::ops::verify::verify(&reopened(&store), &crate::ops::verify::VerifyOptions { read_data: true, ..Default::default() }, &Quiet, &Cancel::default());
    assert_eq!(report.unwrap().damage.len(), 0);
}

#[test]
fn limits_hold() {
    let (repository, store) = repository();
    backup(&repository, &(0..60).collect::<Vec<_>>());
    backup(&repository, &(0..60).filter(|n| n % 6 < 3).collect::<Vec<_>>());
    forget_first(&store, 1);
    let dry = |unused_percent_max, repack_bytes_max| run(&store, &PruneOptions { unused_percent_max, repack_bytes_max, dry_run: true, ..options() });
    assert_eq!(dry(100.0, u64::MAX).put.1, 0);
    let some = dry(0.0, 1_000_000);
    assert!(some.put.1 > 0 && some.put.1 <= 1_000_000, "{some:?}");
    let all = dry(0.0, u64::MAX);
    assert_eq!(all.plan.unused_bytes.1, 0, "whole blocks are needed or not: {all:?}");
    let half = dry(30.0, u64::MAX);
    assert!(half.put.1 < all.put.1 && half.plan.unused_bytes.1 > 0, "{half:?}");
}

#[test]
fn of_thin_blocks_only_what_is_needed_moves() {
    let (repository, store) = repository();
    // Nine files to three blocks; the second snapshot needs one of each block.
    backup(&repository, &(0..9).collect::<Vec<_>>());
    let builder = Builder::new(&repository);
    let nodes = (0..9).step_by(3).map(|seed| builder.file(&format!("f{seed}"), &noise(seed, 100_000))).collect();
    let root = builder.tree(nodes);
    builder.commit(root);
    forget_first(&store, 1);
    let before = contents(&store);
    let done = run(&store, &options());
    assert_eq!(contents(&store), before);
    let left: u64 = store.list(ObjectKind::DataPack).unwrap().iter().map(|(_, length)| length).sum();
    assert!(left < 350_000, "three files are left, and not {left} bytes: {done:?}");
    assert_eq!(run(&store, &options()).deleted.0, 0);
    let report =
        crate::ops::verify::verify(&reopened(&store), &crate::ops::verify::VerifyOptions { read_data: true, ..Default::default() }, &Quiet, &Cancel::default());
    assert_eq!(report.unwrap().damage.len(), 0);
}

#[test]
fn a_tree_missing_below_a_confirmed_snapshot_stops_it() {
    let (repository, store) = repository();
    let first = backup(&repository, &[1, 2]);
    backup(&repository, &[3, 4]);
    forget_first(&store, 1);
    assert!(reopened(&store).snapshots().unwrap().snapshots.iter().all(|stored| stored.id != first));
    for (id, _) in store.list(ObjectKind::MetaPack).unwrap() {
        store.delete(&ObjectName::new(ObjectKind::MetaPack, id)).unwrap();
    }
    let before = packs(&store);
    let result = prune(&reopened(&store), &options(), &Quiet, &Cancel::default());
    assert!(matches!(result, Err(RepositoryError::MissingChunk(_))));
    assert_eq!(packs(&store), before);
    // Below one that was never confirmed it is passed over.
    for (id, _) in store.list(ObjectKind::Confirmation).unwrap() {
        store.delete(&ObjectName::new(ObjectKind::Confirmation, id)).unwrap();
    }
    run(&store, &options());
}

#[test]
fn a_confirmed_snapshot_that_is_damaged_stops_it_and_is_named() {
    let (repository, store) = repository();
    let id = backup(&repository, &[1, 2]);
    let name = ObjectName::new(ObjectKind::Snapshot, id);
    let half = store.get(&name).unwrap()[..100].to_vec();
    store.delete(&name).unwrap();
    store.put(&name, half).unwrap();
    match prune(&reopened(&store), &options(), &Quiet, &Cancel::default()) {
        Err(RepositoryError::Format { object, .. }) => assert_eq!(object, name.to_string()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn copies_of_a_killed_prune_are_used_and_not_made_again() {
    let (repository, store) = repository();
    backup(&repository, &(0..60).collect::<Vec<_>>());
    backup(&repository, &(0..60).filter(|n| n % 6 < 3).collect::<Vec<_>>());
    forget_first(&store, 1);
    // Dies when the sweep is put: the new packs are there and indexed.
    let dying = Arc::new(Dying { inner: store.clone(), puts: AtomicI64::new(i64::MAX), at_sweep: true });
    prune(&opened(dying), &options(), &Quiet, &Cancel::default()).unwrap_err();
    let second = run(&store, &options());
    assert_eq!(second.put.0, 0, "{second:?}");
    assert!(second.deleted.0 > 0);
}

/// A store that takes so many changes, and from then on refuses: as if the process was killed there.
struct Dying {
    inner: Arc<MemoryStore>,
    puts: AtomicI64,
    /// It dies when a sweep is put.
    at_sweep: bool,
}

impl Dying {
    fn change(&self, name: &ObjectName) -> Result<(), StoreError> {
        if self.puts.fetch_sub(1, Ordering::Relaxed) <= 0 { Err(died(name)) } else { Ok(()) }
    }
}

fn died(name: &ObjectName) -> StoreError {
    StoreError::new(StoreErrorKind::Other, name, "died")
}

impl Store for Dying {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.change(name)?;
        if self.at_sweep && name.kind == ObjectKind::Sweep && sweep_kind(&bytes) == Sealed::Sweep {
            return Err(died(name));
        }
        self.inner.put(name, bytes)
    }
    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
        self.inner.get(name)
    }
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.inner.get_range(name, range)
    }
    fn list(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>, StoreError> {
        self.inner.list(kind)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.inner.stat(name)
    }
    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.change(name)?;
        self.inner.delete(name)
    }
    fn adopt(&self, _: &ObjectName) {}
    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn prepare(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn opened(store: Arc<dyn Store>) -> Repository {
    let secret = crate::format::slot::Secret::KeyFile(crate::format::keys::Key([9; 32]));
    Repository::open(store, Arc::new(crate::store::host::SystemHost::default()), &[secret], None).unwrap()
}

#[test]
fn a_prune_that_dies_at_any_change_loses_nothing_and_is_finished_by_the_next() {
    let (repository, store) = repository();
    backup(&repository, &(0..24).collect::<Vec<_>>());
    backup(&repository, &(12..30).filter(|n| n % 4 < 3).collect::<Vec<_>>());
    forget_first(&store, 1);
    let whole = contents(&store);
    let objects = store.objects().clone();
    let mut finished = false;
    for changes in 0..200 {
        let store = Arc::new(MemoryStore::default());
        *store.objects() = objects.clone();
        let dying = Arc::new(Dying { inner: store.clone(), puts: AtomicI64::new(changes), at_sweep: false });
        finished = prune(&opened(dying), &options(), &Quiet, &Cancel::default()).is_ok();
        assert_eq!(contents(&store), whole, "after {changes} changes");
        // The next one finishes it, the one after that finds nothing to do.
        run(&store, &options());
        assert_eq!(contents(&store), whole, "and another prune, after {changes} changes");
        let last = run(&store, &options());
        assert_eq!((last.deleted.0, last.put.0), (0, 0), "after {changes} changes: {last:?}");
        assert_eq!(store.list(ObjectKind::Sweep).unwrap(), [], "after {changes} changes");
        if finished {
            break;
        }
    }
    assert!(finished);
}

#[test]
fn a_second_prune_reads_only_new_trees() {
    let (repository, store) = repository();
    backup(&repository, &[1, 2, 3]);
    let cache = tempfile::tempdir().unwrap();
    let secret = || crate::format::slot::Secret::KeyFile(crate::format::keys::Key([9; 32]));
    let open = || Repository::open(store.clone(), Arc::new(crate::store::host::SystemHost::default()), &[secret()], Some(cache.path())).unwrap();
    let trees = || prune(&open(), &options(), &Quiet, &Cancel::default()).unwrap().trees;
    assert_eq!(trees(), (1, 0));
    assert_eq!(trees(), (0, 1));
    backup(&open(), &[4, 5, 6]);
    assert_eq!(trees(), (1, 1));
}

/// Blocks (length, chunks, order, whether needed), whether of trees, a state.
type Drawn = (Vec<(u32, u32, u32, bool)>, bool, u8);

fn uses() -> impl Strategy<Value = Vec<Use>> {
    let block = (1u32..2000, 1u32..5, 0u32..1000, any::<bool>());
    let pack = (prop::collection::vec(block, 1..20), any::<bool>(), 0u8..10);
    prop::collection::vec(pack, 0..30).prop_map(|packs| {
        let one = |(number, (blocks, is_meta, state)): (usize, Drawn)| {
            let length: u64 = blocks.iter().map(|block| u64::from(block.0)).sum::<u64>() + 50;
            let needed: Vec<Needed> = (0..)
                .zip(&blocks)
                .filter(|(_, block)| block.3)
                .map(|(at, (box_bytes, chunks, order, _))| Needed {
                    is_sealed: false,
                    block: at,
                    box_bytes: *box_bytes,
                    live_bytes: *box_bytes,
                    chunks: *chunks,
                    live_chunks: *chunks,
                    order: *order,
                })
                .collect();
            let moved: u64 = needed.iter().map(|block| u64::from(block.box_bytes)).sum();
            let idle = if needed.is_empty() { length } else { length - 50 - moved };
            Use {
                pack: IndexedPack { id: ObjectId([number as u8; 32]), kind: if is_meta { PackKind::Meta } else { PackKind::Data }, length },
                unused_bytes: idle,
                idle_bytes: idle,
                stays: state == 0 && needed.is_empty(),
                is_swept: state == 1,
                needed,
            }
        };
        packs.into_iter().enumerate().map(one).collect()
    })
}

proptest! {
    /// No needed block is left behind, none moves twice, what stays stays, and the limits hold.
    #[test]
    fn plans_keep_what_is_needed(uses in uses(), unused_percent_max in 0f64..50.0, repack_bytes_max in 0u64..30_000, round_bytes_max in 1u64..10_000) {
        let limits = Limits { unused_percent_max, repack_bytes_max, round_bytes_max };
        let plan = plan(&uses, &limits);
        let moving: Vec<usize> = plan.rounds.iter().flatten().copied().collect();
        for number in &plan.dead {
            prop_assert!(uses[*number].needed.is_empty() && !uses[*number].stays);
        }
        let forced: u64 = uses.iter().filter(|used| used.is_swept).flat_map(|used| &used.needed).map(|block| u64::from(block.box_bytes)).sum();
        prop_assert!(plan.moved_bytes <= repack_bytes_max.max(forced));
        for (number, used) in uses.iter().enumerate() {
            prop_assert!(!used.is_swept || used.stays || used.needed.is_empty() || moving.contains(&number));
            prop_assert!(used.stays || !used.needed.is_empty() || plan.dead.contains(&number));
        }
        let mut moved = Vec::new();
        for round in &plan.rounds {
            for kind in [PackKind::Data, PackKind::Meta] {
                for pack in new_packs(&uses, round, kind, 3000) {
                    prop_assert!(pack.len() == 1 || pack.iter().map(|(_, block)| u64::from(block.box_bytes)).sum::<u64>() <= 3000);
                    moved.extend(pack.iter().map(|(number, block)| (*number, block.block)));
                }
            }
        }
        moved.sort_unstable();
        let mut wanted: Vec<(usize, u32)> = moving.iter().flat_map(|number| uses[*number].needed.iter().map(|block| (*number, block.block))).collect();
        wanted.sort_unstable();
        prop_assert_eq!(moved, wanted);
    }
}
