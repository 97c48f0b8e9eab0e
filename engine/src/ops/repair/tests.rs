//! Index segments that lie, as only a wrong or a hostile program writes them: nothing is lost by them, and a repair makes them anew.

use super::*;
use crate::format::index::Segment;
use crate::format::layout::ObjectName;
use crate::format::pack::PackKind;
use crate::format::seal::Sealed;
use crate::format::tree::TreeNode;
use crate::ops::browse::{Place, root_node};
use crate::ops::forget::forget;
use crate::ops::monitor::Quiet;
use crate::ops::restore::{Everything, RestoreOptions, restore};
use crate::ops::target::TargetDir;
use crate::ops::testing::memory_target::{Dir, target};
use crate::ops::testing::{Builder, noise, reopened, repository};
use crate::ops::verify::{VerifyOptions, VerifyOutcome, verify};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use std::sync::Arc;

const FILES: u64 = 6;

/// Two snapshots that have a pack of each kind of their own, and half of their files in common.
fn two() -> (Arc<MemoryStore>, Vec<ObjectId>) {
    let (repository, store) = repository();
    let snapshot = |first: u64| {
        let builder = Builder::new(&repository);
        let files = (first..first + FILES).map(|seed| builder.file(&format!("f{seed:02}"), &noise(seed, 9000))).collect();
        let root = builder.tree(vec![builder.directory("inner", files)]);
        builder.commit(root)
    };
    let ids = vec![snapshot(0), snapshot(FILES / 2)];
    (store, ids)
}

/// Puts changed segments in the place of all that there are.
fn rewrite(store: &Arc<MemoryStore>, change: &dyn Fn(&mut Segment)) {
    let repository = reopened(store);
    for (id, _) in store.list(ObjectKind::Index).unwrap() {
        let mut segment = Segment::decode(&repository.control(ObjectKind::Index, Sealed::Index, id).unwrap()).unwrap();
        change(&mut segment);
        store.delete(&ObjectName::new(ObjectKind::Index, id)).unwrap();
        repository.put_segment_unseen(&mut segment).unwrap();
    }
}

fn look(store: &Arc<MemoryStore>, tables: bool) -> VerifyOutcome {
    let options = VerifyOptions { read_data: true, tables, ..VerifyOptions::default() };
    verify(&reopened(store), &options, &Quiet, &Cancel::default()).unwrap()
}

fn assert_restores(store: &Arc<MemoryStore>, id: ObjectId, first: u64) {
    let repository = reopened(store);
    let snapshot = repository.snapshots().unwrap().snapshots.into_iter().find(|stored| stored.id == id).unwrap().snapshot;
    assert!(matches!(repository.tree(snapshot.root).unwrap(), TreeNode::Directory(entries) if entries.len() == 1));
    let into: Arc<Dir> = target();
    let place = Place { path: b"/".to_vec(), node: root_node(snapshot.root) };
    let dir: Arc<dyn TargetDir> = into.clone();
    let outcome = restore(&repository, &place, &dir, &RestoreOptions::default(), &Everything, &Quiet, &Cancel::default()).unwrap();
    assert_eq!(outcome.problems, 0);
    for seed in first..first + FILES {
        let Some(crate::ops::testing::memory_target::Item::File(inode)) = into.at(&format!("inner/f{seed:02}")) else { panic!("{seed} is missing") };
        assert!(*inode.bytes.lock().unwrap() == noise(seed, 9000));
    }
}

fn options() -> RepairOptions {
    let (writer, host, program) = ("here".to_owned(), "here".to_owned(), "test".to_owned());
    RepairOptions { writer, host, read_data: false, orphans: false, dry_run: false, threads: 2, program }
}

#[test]
fn what_a_segment_leaves_out_or_lies_about_is_found_in_the_packs() {
    type Lie = fn(&mut Segment);
    let lies: [(&str, Lie); 4] = [
        ("no rows", |segment| segment.rows.clear()),
        ("some rows", |segment| segment.rows.retain(|row| row.prefix[0] % 2 == 0)),
        ("other ordinals", |segment| segment.rows.iter_mut().for_each(|row| row.ordinal ^= 1)),
        ("another kind and length", |segment| {
            for pack in &mut segment.packs {
                pack.kind = if pack.kind == PackKind::Data { PackKind::Meta } else { PackKind::Data };
                pack.length += 1;
            }
        }),
    ];
    for (what, lie) in lies {
        let (store, ids) = two();
        let before = look(&store, true);
        assert_eq!((before.damage, before.notes), (vec![], vec![]));
        rewrite(&store, &lie);
        assert_restores(&store, ids[0], 0);
        assert_restores(&store, ids[1], FILES / 2);
        let outcome = look(&store, false);
        assert_eq!(outcome.damage, [], "{what}");
        assert!(outcome.notes.iter().any(|note| note.object.starts_with("index") && note.what.contains("leaves out")), "{what}: {:?}", outcome.notes);
        assert_eq!(look(&store, true).damage, [], "{what}");

        // A prune takes what nobody needs, and nothing else.
        let repository = reopened(&store);
        let list = repository.snapshots().unwrap();
        forget(&repository, &[list.snapshots.iter().find(|stored| stored.id == ids[0]).unwrap()]).unwrap();
        let pruning = PruneOptions { unused_percent_max: 0.0, ..PruneOptions::default() };
        assert!(prune(&reopened(&store), &pruning, &Quiet, &Cancel::default()).unwrap().deleted.0 > 0, "{what}");
        assert_restores(&store, ids[1], FILES / 2);
        assert_eq!(look(&store, true).damage, [], "{what}");
    }
}

#[test]
fn a_segment_that_leaves_out_rows_is_made_anew() {
    let (store, ids) = two();
    assert!(repair(&mut reopened(&store), &options(), &Quiet, &Cancel::default()).unwrap().is_nothing());
    rewrite(&store, &|segment| segment.rows.truncate(segment.rows.len() - 1));
    let outcome = repair(&mut reopened(&store), &options(), &Quiet, &Cancel::default()).unwrap();
    assert_eq!(outcome, RepairOutcome { index: Some(4), ..RepairOutcome::default() });
    let after = look(&store, true);
    assert_eq!((after.damage, after.notes), (vec![], vec![]));
    assert_restores(&store, ids[1], FILES / 2);
}

/// Begins a prune of everything when the first table is read, as another machine may at any moment.
struct Meddled {
    inner: Arc<MemoryStore>,
    pruned: std::sync::Once,
}

impl Meddled {
    fn meddle(&self) {
        self.pruned.call_once(|| {
            let pruning = PruneOptions { unused_percent_max: 0.0, grace: std::time::Duration::ZERO, ..PruneOptions::default() };
            assert!(prune(&reopened(&self.inner), &pruning, &Quiet, &Cancel::default()).unwrap().put.0 > 0);
        });
    }
}

type Answer<T> = std::result::Result<T, crate::store::StoreError>;

impl Store for Meddled {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Answer<()> {
        self.inner.put(name, bytes)
    }
    fn get(&self, name: &ObjectName) -> Answer<Vec<u8>> {
        self.inner.get(name)
    }
    fn get_range(&self, name: &ObjectName, range: std::ops::Range<u64>) -> Answer<Vec<u8>> {
        self.meddle();
        self.inner.get_range(name, range)
    }
    fn list(&self, kind: ObjectKind) -> Answer<Vec<(ObjectId, u64)>> {
        self.inner.list(kind)
    }
    fn stat(&self, name: &ObjectName) -> Answer<Option<u64>> {
        self.inner.stat(name)
    }
    fn delete(&self, name: &ObjectName) -> Answer<()> {
        self.inner.delete(name)
    }
    fn adopt(&self, name: &ObjectName) {
        self.inner.adopt(name);
    }
    fn barrier(&self) -> Answer<()> {
        self.inner.barrier()
    }
    fn prepare(&self) -> Answer<()> {
        self.inner.prepare()
    }
}

#[test]
fn what_a_prune_moves_meanwhile_is_not_lost() {
    let (store, ids) = two();
    let list = reopened(&store).snapshots().unwrap();
    forget(&reopened(&store), &[list.snapshots.iter().find(|stored| stored.id == ids[0]).unwrap()]).unwrap();
    // Without an index everything is walked.
    let names: Vec<ObjectName> = store.list(ObjectKind::Index).unwrap().into_iter().map(|(id, _)| ObjectName::new(ObjectKind::Index, id)).collect();
    names.iter().for_each(|name| store.delete(name).unwrap());
    let meddled = Arc::new(Meddled { inner: store.clone(), pruned: std::sync::Once::new() });
    let secrets = [crate::format::slot::Secret::KeyFile(crate::format::keys::Key([9; 32]))];
    let mut repository = Repository::open(meddled.clone(), Arc::new(crate::store::host::SystemHost::default()), &secrets, None).unwrap();
    let outcome = repair(&mut repository, &options(), &Quiet, &Cancel::default()).unwrap();
    assert!(meddled.pruned.is_completed());
    assert!(outcome.mended.is_empty() && !outcome.has_losses(), "{outcome:?}");
    assert_restores(&store, ids[1], FILES / 2);
    assert_eq!(look(&store, true).damage, []);
}

#[test]
fn what_is_really_gone_is_told_once_every_pack_was_asked() {
    let (store, _) = two();
    rewrite(&store, &|segment| segment.rows.clear());
    let gone = *store.objects().keys().find(|name| name.kind == ObjectKind::DataPack).unwrap();
    store.objects().remove(&gone);
    let outcome = look(&store, false);
    assert!(!outcome.damage.is_empty() && outcome.damage.iter().all(|damage| damage.lost > 0 && damage.touched_total > 0), "{:?}", outcome.damage);
}
