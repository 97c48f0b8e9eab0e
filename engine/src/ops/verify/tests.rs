//! Repositories with one thing wrong, and what is said about it.

mod ledger;
mod levels;

use super::*;
use crate::format::id::{ChunkId, TreeId};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::node::{Content, Extent, Time};
use crate::format::seal::Sealed;
use crate::format::snapshot::Forget;
use crate::format::tree::{ListPart, Part, TreeNode};
use crate::ops::monitor::Quiet;
use crate::ops::testing::{Builder, Piece, noise, reopened, repository};
use crate::store::memory::MemoryStore;
use std::sync::Arc;

fn look(store: &Arc<MemoryStore>, read_data: bool) -> VerifyOutcome {
    look_with(&reopened(store), read_data)
}

fn look_with(repository: &Repository, read_data: bool) -> VerifyOutcome {
    let options = VerifyOptions { read_data, ..VerifyOptions::default() };
    verify(repository, &options, &Quiet, &Cancel::default()).unwrap()
}

fn names(store: &MemoryStore, kind: ObjectKind) -> Vec<ObjectName> {
    store.objects().keys().filter(|name| name.kind == kind).copied().collect()
}

/// Two snapshots of a few files.
fn small() -> (Arc<MemoryStore>, Vec<ObjectId>) {
    let (repository, store) = repository();
    let ids = (0..2).map(|n| {
        let builder = Builder::new(&repository);
        let shared = builder.directory("shared", vec![builder.file("a", b"the same in both"), builder.pieces("b", &[Piece::Hole(7), Piece::Data(b"x")])]);
        let root = builder.tree(vec![shared, builder.file("own", &noise(n, 500))]);
        builder.commit(root)
    });
    let ids = ids.collect();
    (store, ids)
}

fn touched(damage: &Damage) -> Vec<String> {
    damage.touched.iter().map(|touched| String::from_utf8_lossy(&touched.path).into_owned()).collect()
}

#[test]
fn a_good_repository_has_nothing_to_tell() {
    let (store, ids) = small();
    for read_data in [false, true] {
        let outcome = look(&store, read_data);
        assert_eq!((&outcome.damage, &outcome.notes), (&vec![], &vec![]));
        assert_eq!((outcome.snapshots, outcome.trees, outcome.packs), (2, 3, 4));
        let bytes: usize =
            store.objects().iter().filter(|(name, _)| matches!(name.kind, ObjectKind::DataPack | ObjectKind::MetaPack)).map(|(_, b)| b.len()).sum();
        assert_eq!(outcome.bytes_read, if read_data { bytes as u64 } else { 0 });
    }
    let one = VerifyOptions { read_data: true, snapshots: Some(vec![ids[0]]), ..VerifyOptions::default() };
    let outcome = verify(&reopened(&store), &one, &Quiet, &Cancel::default()).unwrap();
    assert_eq!((outcome.snapshots, outcome.packs, outcome.damage.len()), (1, 2, 0));
    let cancel = Cancel::default();
    cancel.cancel();
    assert!(matches!(verify(&reopened(&store), &one, &Quiet, &cancel), Err(RepositoryError::Cancelled)));
    let unknown = VerifyOptions { snapshots: Some(vec![ObjectId([0; 32])]), ..VerifyOptions::default() };
    assert!(verify(&reopened(&store), &unknown, &Quiet, &Cancel::default()).is_err());
}

#[test]
fn every_changed_byte_is_found() {
    let (store, _) = small();
    let all: Vec<ObjectName> = store.objects().keys().copied().collect();
    for name in all {
        let length = store.objects()[&name].len();
        let is_pack = matches!(name.kind, ObjectKind::DataPack | ObjectKind::MetaPack);
        for at in (0..length).step_by(if is_pack { 1 } else { 5 }) {
            // Nothing of a pack may be in memory. A repository whose only configuration is damaged does not open, but may be open.
            let open = reopened(&store);
            store.objects().get_mut(&name).unwrap()[at] ^= 0x40;
            let outcome = look_with(&open, is_pack);
            assert!(outcome.damage.iter().any(|damage| damage.object == name.to_string()), "{name} byte {at}: {:?}", outcome.damage);
            store.objects().get_mut(&name).unwrap()[at] ^= 0x40;
        }
    }
    assert_eq!(look(&store, true).damage, []);
}

#[test]
fn a_damaged_block_costs_the_paths_that_need_it() {
    let (store, ids) = small();
    // The first block of a data pack begins right after the header; only one pack has what both snapshots share.
    let found: Vec<Vec<Damage>> = names(&store, ObjectKind::DataPack)
        .into_iter()
        .map(|name| {
            store.objects().get_mut(&name).unwrap()[130] ^= 1;
            assert_eq!(look(&store, false).damage, [], "nothing is read");
            let found = look(&store, true).damage;
            store.objects().get_mut(&name).unwrap()[130] ^= 1;
            found
        })
        .collect();
    let mut paths: Vec<_> = found.iter().map(|damage| touched(&damage[0])).collect();
    paths.sort();
    assert_eq!(paths, [vec!["/own"], vec!["/shared/a", "/shared/a"]]);
    let both = found.iter().find(|damage| damage[0].touched_total == 2).unwrap();
    assert!(ids.iter().all(|id| both[0].touched.iter().any(|touched| touched.snapshot == *id)));
    assert_eq!((both[0].lost, both[0].kind), (1, DamageKind::Pack));
}

#[test]
fn packs_that_are_gone_or_short_are_found_without_reading_data() {
    let (store, _) = small();
    for kind in [ObjectKind::DataPack, ObjectKind::MetaPack] {
        for name in names(&store, kind) {
            let bytes = store.objects().remove(&name).unwrap();
            let outcome = look(&store, false);
            assert_eq!(outcome.damage.len(), 1, "{:?}", outcome.damage);
            assert_eq!((&outcome.damage[0].object, outcome.damage[0].what[0].as_str()), (&name.to_string(), "the pack is gone"));
            assert!(outcome.damage[0].touched_total > 0 && outcome.damage[0].lost > 0);
            for short in [0, 100, 300, bytes.len() - 1] {
                store.objects().insert(name, bytes[..short].to_vec());
                let outcome = look(&store, false);
                assert!(outcome.damage[0].object == name.to_string() && outcome.damage[0].touched_total > 0);
            }
            store.objects().insert(name, bytes);
        }
    }
}

#[test]
fn a_hidden_snapshot_is_told_and_a_forgotten_one_is_not() {
    let (store, ids) = small();
    let repository = reopened(&store);
    let third = {
        let builder = Builder::new(&repository);
        let root = builder.tree(Vec::new());
        builder.commit(root)
    };
    let second = ObjectName::new(ObjectKind::Snapshot, ids[1]);
    let bytes = store.objects().remove(&second).unwrap();
    let hidden: Vec<Damage> = look(&store, false).damage;
    assert_eq!(hidden.iter().map(|damage| damage.kind).collect::<Vec<_>>(), [DamageKind::Hidden; 3], "{hidden:?}");
    assert!(hidden[0].what[0].starts_with("snapshot 2 of this host"));
    assert_eq!(hidden[1].object, format!("snapshots/{}", third.to_hex()));
    assert!(hidden[2].what[0].starts_with("1 confirmed"), "its confirmation is the third trace of it");
    // One that is there but cannot be read is not hidden: its name is known.
    store.objects().insert(second, bytes[..bytes.len() - 1].to_vec());
    let kinds: Vec<DamageKind> = look(&store, false).damage.iter().map(|damage| damage.kind).collect();
    assert_eq!(kinds, [DamageKind::Control, DamageKind::Hidden]);
    store.objects().remove(&second);
    let forget = Forget {
        snapshot: ids[1],
        writer: "here".into(),
        sequence: 2,
        forgotten: Time::default(),
        replaced_by: None,
        record: None,
        session: None,
        object: None,
    };
    repository.put_control(ObjectKind::Forget, Sealed::Forget, &forget.encode()).unwrap();
    let outcome = look(&store, false);
    assert_eq!(outcome.damage, []);
    assert_eq!(outcome.notes.len(), 1, "its own packs are needed by nobody: {:?}", outcome.notes);
}

#[test]
fn hints_and_states_are_notes() {
    let (store, _) = small();
    let index = names(&store, ObjectKind::Index);
    let removed = store.objects().remove(&index[0]).unwrap();
    let outcome = look(&store, true);
    assert_eq!(outcome.damage, []);
    assert_eq!(outcome.notes[0].what, "2 packs are not spoken of; it is only a hint");
    store.objects().insert(index[0], removed);
    let confirmation = names(&store, ObjectKind::Confirmation)[0];
    store.objects().remove(&confirmation);
    let copy = names(&store, ObjectKind::KeyCopy)[0];
    store.objects().remove(&copy);
    let outcome = look(&store, false);
    assert_eq!(outcome.damage, []);
    assert!(outcome.notes[0].what.contains("one of its two copies") && outcome.notes[1].what.starts_with("unconfirmed"));
}

#[test]
fn a_directory_is_visited_once_however_often_it_is_nested() {
    let (repository, store) = repository();
    let builder = Builder::new(&repository);
    let mut tree = builder.tree(vec![builder.file("x", b"x")]);
    for _ in 0..64 {
        tree = builder.tree(vec![Builder::directory_of("a", tree), Builder::directory_of("b", tree)]);
    }
    builder.commit(tree);
    let outcome = look(&store, true);
    assert_eq!((outcome.trees, outcome.damage.len()), (65, 0));
    // What is damaged lies at 2^64 places: more are told than one, and not all.
    let data = names(&store, ObjectKind::DataPack)[0];
    store.objects().remove(&data);
    let outcome = look(&store, false);
    assert_eq!(outcome.damage.len(), 1);
    let told = outcome.damage[0].touched_total;
    assert!((2..20_000).contains(&told), "{told}");
    assert_eq!(outcome.affected[0].snapshots[0].files, told);
}

#[test]
fn hostile_trees_are_damage() {
    let (repository, store) = repository();
    let builder = Builder::new(&repository);
    let put = |node: TreeNode| builder.session.store_tree(&node.encode()).unwrap();
    let chunk = builder.chunks(&[b"sixteen bytes..."])[0];
    let Extent::Chunk { id, .. } = chunk else { panic!() };
    let longer = builder.with_extents("longer", vec![Extent::Chunk { id, length: 17 }]);
    let missing = builder.with_extents("missing", vec![Extent::Chunk { id: ChunkId([3; 32]), length: 17 }]);
    let part = |first: &str, id, entries| Part { first_name: first.as_bytes().to_vec(), id, entries };
    let leaf = |names: &[&str]| put(TreeNode::Directory(names.iter().map(|name| builder.file(name, b"y")).collect()));
    let overlap = Builder::directory_of("overlap", put(TreeNode::Split(vec![part("a", leaf(&["a", "m"]), 2), part("b", leaf(&["b"]), 1)])));
    let count = Builder::directory_of("count", put(TreeNode::Split(vec![part("a", leaf(&["a"]), 2), part("b", leaf(&["b"]), 1)])));
    let gone = Builder::directory_of("gone", TreeId([8; 32]));
    let list = put(TreeNode::List(vec![chunk, Extent::Hole { length: 5 }]));
    let lists = put(TreeNode::Lists(vec![ListPart { id: list, length: 21 }, ListPart { id: list, length: 21 }]));
    let mut whole = builder.file("whole", b"y");
    whole.metadata.size = 42;
    whole.content = Content::List(lists);
    let mut lies = whole.clone();
    lies.name = b"lies".to_vec();
    lies.metadata.size = 43;
    let good = builder.tree(vec![whole]);
    let hostile = builder.tree(vec![longer, missing, overlap, count, gone, lies]);
    let root = builder.tree(vec![Builder::directory_of("good", good), Builder::directory_of("hostile", hostile)]);
    builder.commit(root);
    let outcome = look(&store, true);
    let mut paths: Vec<(DamageKind, String)> = outcome.damage.iter().flat_map(|damage| touched(damage).into_iter().map(|path| (damage.kind, path))).collect();
    paths.sort_by(|a, b| a.1.cmp(&b.1));
    let expected = [
        (DamageKind::Tree, "/hostile/count"),
        (DamageKind::Tree, "/hostile/gone"),
        (DamageKind::Tree, "/hostile/lies"),
        (DamageKind::Chunk, "/hostile/longer"),
        (DamageKind::Chunk, "/hostile/missing"),
        (DamageKind::Tree, "/hostile/overlap"),
    ];
    assert!(paths.iter().map(|(kind, path)| (*kind, path.as_str())).eq(expected), "{paths:?}");
}
