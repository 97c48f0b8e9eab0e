//! Rot in a small repository: found without a key, mended by whatever helps, and nothing brought back that was taken away.

use super::*;
use crate::format::id::TreeId;
use crate::format::keys::Key;
use crate::format::node::{Content, Extent};
use crate::format::parity::ParityScheme;
use crate::format::slot::Secret;
use crate::ops::monitor::Quiet;
use crate::ops::scrub::{ScrubOutcome, scrub};
use crate::ops::testing::{Builder, Piece, noise, reopened};
use crate::ops::verify::{VerifyOptions, VerifyOutcome, verify};
use crate::store::host::SystemHost;
use crate::store::memory::MemoryStore;
use crate::store::repository::{InitOptions, Repository};
use std::sync::atomic::Ordering;

/// A repository with parity and one snapshot, on a store that can replace objects.
fn small() -> (Arc<MemoryStore>, TreeId) {
    let store = Arc::new(MemoryStore::default());
    store.replaces.store(true, Ordering::Relaxed);
    let options = InitOptions { parity: Some(ParityScheme::ReedSolomon), ..InitOptions::default() };
    let secrets = [(Secret::KeyFile(Key([9; 32])), "test")];
    let repository = Repository::init(store.clone(), Arc::new(SystemHost::default()), &secrets, &options, None).unwrap();
    let builder = Builder::new(&repository);
    let root = builder.tree(vec![builder.pieces("a", &[Piece::Data(b"alpha"), Piece::Data(&noise(1, 20_000))])]);
    builder.commit(root);
    (store, root)
}

fn copy_of(store: &MemoryStore) -> Arc<MemoryStore> {
    let copy = MemoryStore::default();
    copy.objects().extend(store.objects().iter().map(|(name, bytes)| (*name, bytes.clone())));
    Arc::new(copy)
}

fn only(store: &MemoryStore, kind: ObjectKind) -> ObjectName {
    *store.objects().keys().find(|name| name.kind == kind).unwrap()
}

fn flip(store: &MemoryStore, name: &ObjectName, at: usize) {
    store.objects().get_mut(name).unwrap()[at] ^= 1;
}

fn scrubbed(store: &MemoryStore) -> ScrubOutcome {
    scrub(store, &Quiet, &Cancel::default()).unwrap()
}

fn healed(store: &MemoryStore, options: &HealOptions) -> HealOutcome {
    heal(store, options, &Quiet, &Cancel::default()).unwrap()
}

fn verified(store: &Arc<MemoryStore>) -> VerifyOutcome {
    verify(&reopened(store), &VerifyOptions { read_data: true, ..VerifyOptions::default() }, &Quiet, &Cancel::default()).unwrap()
}

/// The contents of the one file.
fn contents(store: &Arc<MemoryStore>, root: TreeId) -> Result<Vec<u8>> {
    let repository = reopened(store);
    let crate::format::tree::TreeNode::Directory(entries) = repository.tree(root)? else { panic!("a directory") };
    let Content::Extents(extents) = &entries[0].content else { panic!("a file") };
    let mut bytes = Vec::new();
    for extent in extents {
        let Extent::Chunk { id, length } = extent else { panic!("no holes") };
        bytes.extend(repository.chunk(*id, *length)?);
    }
    Ok(bytes)
}

#[test]
fn a_rotten_pack_is_found_read_and_healed() {
    let (store, root) = small();
    let whole = copy_of(&store);
    let right = contents(&store, root).unwrap();
    assert_eq!(scrubbed(&store).findings, []);
    for kind in [ObjectKind::DataPack, ObjectKind::MetaPack] {
        let name = only(&store, kind);
        let length = store.objects()[&name].len();
        for at in [0, 90, 140, length / 2, length - 300, length - 1] {
            flip(&store, &name, at);
            let found = scrubbed(&store).findings;
            assert_eq!((found.len(), found[0].name, found[0].remedy), (1, name, Some(Remedy::Parity)), "byte {at}");
            assert_eq!(contents(&store, root).unwrap(), right, "read all the same");
            let damage = verified(&store).damage;
            assert!(damage.len() == 1 && damage[0].mendable && damage[0].lost == 0, "byte {at}: {damage:?}");
            let dry = healed(&store, &HealOptions { dry_run: true, ..HealOptions::default() });
            assert_eq!(dry.healed[0].placed, Placed::NotYet);
            assert_eq!(scrubbed(&store).findings.len(), 1, "a dry run changes nothing");
            let outcome = healed(&store, &HealOptions::default());
            assert_eq!((outcome.healed.len(), outcome.healed[0].placed, outcome.beyond.len()), (1, Placed::Replaced, 0));
            assert!(*store.objects() == *whole.objects(), "byte {at}");
        }
    }
    assert_eq!(verified(&store).damage, []);
}

#[test]
fn a_new_backup_does_not_rely_on_what_had_to_be_mended() {
    let (store, _) = small();
    let name = only(&store, ObjectKind::DataPack);
    let length = store.objects()[&name].len();
    // Both ends: its table is read only by mending it.
    flip(&store, &name, 50);
    flip(&store, &name, length - 50);
    let repository = reopened(&store);
    let builder = Builder::new(&repository);
    let root = builder.tree(vec![builder.file("b", b"alpha")]);
    builder.commit(root);
    assert_eq!(store.list(ObjectKind::DataPack).unwrap().len(), 2, "stored again");
}

#[test]
fn a_slot_comes_back_from_its_other_place() {
    let (store, _) = small();
    let whole = copy_of(&store);
    let (first, second) = (only(&store, ObjectKind::Key), only(&store, ObjectKind::KeyCopy));
    flip(&store, &first, 40);
    assert_eq!(scrubbed(&store).findings[0].remedy, Some(Remedy::Twin));
    assert_eq!(healed(&store, &HealOptions::default()).healed.len(), 1);
    assert!(*store.objects() == *whole.objects());
    store.objects().remove(&second);
    let found = scrubbed(&store).findings;
    assert_eq!((found[0].name, found[0].fault.clone()), (second, Fault::Missing));
    healed(&store, &HealOptions::default());
    assert!(*store.objects() == *whole.objects());
    // A store that replaces nothing has the twin while the slot is put again.
    store.replaces.store(false, Ordering::Relaxed);
    flip(&store, &second, 40);
    healed(&store, &HealOptions::default());
    assert!(*store.objects() == *whole.objects());
}

#[test]
fn a_mirror_heals_what_parity_cannot() {
    let (store, root) = small();
    let mirror = copy_of(&store);
    let whole = copy_of(&store);
    for kind in [ObjectKind::Config, ObjectKind::Snapshot, ObjectKind::Index, ObjectKind::Confirmation] {
        flip(&store, &only(&store, kind), 70);
    }
    store.objects().get_mut(&only(&whole, ObjectKind::DataPack)).unwrap()[200..12_000].fill(0);
    assert_eq!(scrubbed(&store).findings.iter().filter(|finding| finding.remedy.is_none()).count(), 5);
    assert_eq!(healed(&store, &HealOptions::default()).beyond.len(), 5, "told");
    // What the mirror has wrong is not taken from it.
    flip(&mirror, &only(&mirror, ObjectKind::Index), 70);
    let options = HealOptions { mirrors: vec![mirror.clone(), whole.clone()], ..HealOptions::default() };
    let outcome = healed(&store, &options);
    let by = |number| outcome.healed.iter().filter(|healed| healed.finding.remedy == Some(Remedy::Mirror(number))).count();
    assert_eq!((by(0), by(1), outcome.beyond.len()), (4, 1, 0));
    assert!(*store.objects() == *whole.objects());
    assert!(contents(&store, root).is_ok());
}

#[test]
fn what_is_missing_is_brought_on_request_and_beside_its_place() {
    let (store, root) = small();
    let mirror = copy_of(&store);
    let (pack, slot) = (only(&store, ObjectKind::DataPack), only(&store, ObjectKind::Key));
    store.objects().remove(&pack);
    let mut options = HealOptions { mirrors: vec![mirror.clone()], ..HealOptions::default() };
    assert_eq!(healed(&store, &options).healed, [], "what is not there may have been deleted on purpose");
    options.missing = true;
    // A slot that was removed stays removed.
    let removed = ObjectName::new(ObjectKind::Key, crate::format::id::ObjectId([1; 32]));
    mirror.objects().insert(removed, b"a slot".to_vec());
    let outcome = healed(&store, &options);
    assert_eq!((outcome.healed.len(), outcome.healed[0].placed), (1, Placed::Beside));
    assert_eq!(store.stat(&pack).unwrap(), None, "nobody newly relies on it");
    assert!(store.list(ObjectKind::DataPack).unwrap().contains(&(pack.id, mirror.objects()[&pack].len() as u64)), "and it is listed");
    assert!(contents(&store, root).is_ok() && verified(&store).damage.is_empty());
    assert_eq!((scrubbed(&store).healed, scrubbed(&store).findings.len()), (1, 0));
    assert!(store.objects().contains_key(&slot) && !store.objects().contains_key(&removed));
    // Who deletes the object deletes all of it.
    store.delete(&pack).unwrap();
    assert_eq!(store.list(ObjectKind::DataPack).unwrap(), []);
}

#[test]
fn where_nothing_is_replaced_a_healed_copy_is_put_and_read() {
    let (store, root) = small();
    let (mirror, right) = (copy_of(&store), contents(&store, root).unwrap());
    store.replaces.store(false, Ordering::Relaxed);
    for kind in ObjectKind::ALL.into_iter().filter(|kind| !kind.is_slot() && *kind != ObjectKind::Sweep && *kind != ObjectKind::Forget) {
        let name = only(&store, kind);
        store.objects().get_mut(&name).unwrap().truncate(60);
    }
    let options = HealOptions { mirrors: vec![mirror], ..HealOptions::default() };
    let outcome = healed(&store, &options);
    assert!(outcome.beyond.is_empty() && outcome.healed.iter().all(|healed| healed.placed == Placed::Beside), "{outcome:?}");
    assert_eq!(contents(&store, root).unwrap(), right);
    let repository = reopened(&store);
    assert!(repository.check_writable().is_ok() && repository.snapshots().unwrap().snapshots[0].confirmed);
    assert_eq!(verified(&store).damage, []);
    assert_eq!(healed(&store, &options).healed, [], "nothing is left to be done");
    // On a store that replaces, the copy takes the place of what it stands beside.
    store.replaces.store(true, Ordering::Relaxed);
    assert!(healed(&store, &HealOptions::default()).healed.iter().all(|healed| healed.placed == Placed::Replaced));
    assert!(store.objects().keys().all(|name| !name.is_healed));
}

#[test]
fn another_repository_is_no_mirror() {
    let ((store, _), (other, _)) = (small(), small());
    let refused = heal(&*store, &HealOptions { mirrors: vec![other], ..HealOptions::default() }, &Quiet, &Cancel::default());
    assert!(matches!(refused, Err(RepositoryError::Invalid(_))));
}

#[test]
fn what_was_deleted_meanwhile_does_not_come_back() {
    let (store, _) = small();
    let name = only(&store, ObjectKind::DataPack);
    let bytes = store.objects().remove(&name).unwrap();
    let finding = Finding { name, fault: Fault::WrongHash, remedy: Some(Remedy::Parity), bad_shards: Some(1) };
    assert_eq!(place(&*store, &finding, &bytes, false).unwrap(), None);
    assert!(!store.objects().keys().any(|found| found.id == name.id));
}

#[test]
fn a_prune_moves_what_it_needs_out_of_a_rotten_pack() {
    use crate::ops::prune::{PruneOptions, prune};
    let (store, _) = small();
    let repository = reopened(&store);
    let builder = Builder::new(&repository);
    // Its blocks share a pack; forgetting the first snapshot leaves the second in need of one of them.
    let keep = builder.tree(vec![builder.file("keep", &noise(2, 50_000)), builder.file("more", &noise(3, 50_000))]);
    let first = builder.commit(keep);
    let builder = Builder::new(&repository);
    let root = builder.tree(vec![builder.file("keep", &noise(2, 50_000))]);
    builder.commit(root);
    store.objects().retain(|name, _| name.id != first);
    store.objects().retain(|name, _| name.kind != ObjectKind::Confirmation);
    let pack = *store.objects().iter().find(|(name, bytes)| name.kind == ObjectKind::DataPack && bytes.len() > 100_000).unwrap().0;
    flip(&store, &pack, 2000);
    let options = PruneOptions { unused_percent_max: 0.0, grace: std::time::Duration::ZERO, ..PruneOptions::default() };
    let outcome = prune(&reopened(&store), &options, &Quiet, &Cancel::default()).unwrap();
    assert!(outcome.deleted.0 > 0 && !store.objects().contains_key(&pack), "{outcome:?}");
    assert_eq!(verified(&store).damage.iter().filter(|damage| damage.kind != crate::ops::verify::DamageKind::Hidden).count(), 0);
    assert!(store.objects().iter().filter(|(name, _)| name.kind == ObjectKind::DataPack).all(|(_, bytes)| bytes[11] == 1), "new packs have parity");
}
