//! Which level sees which damage, and what it says of files, snapshots and sources.

use super::super::affected::newest_of_each;
use super::super::restored::{RestoredOutcome, restore_to_nowhere};
use super::*;
use crate::format::pack::END_LENGTH;

/// What a level sees: structure, tables, a sample of all packs, all packs, a restore to nowhere.
fn seen_by(store: &Arc<MemoryStore>) -> [bool; 5] {
    let whole = Some(PackChoice::Share(Share::WHOLE));
    let sees = |options: VerifyOptions| !verify(&reopened(store), &options, &Quiet, &Cancel::default()).unwrap().damage.is_empty();
    [
        sees(VerifyOptions::default()),
        sees(VerifyOptions { tables: true, ..VerifyOptions::default() }),
        sees(VerifyOptions { read_data: true, choice: whole, ..VerifyOptions::default() }),
        sees(VerifyOptions { read_data: true, ..VerifyOptions::default() }),
        restored(store).problems > 0,
    ]
}

fn restored(store: &Arc<MemoryStore>) -> RestoredOutcome {
    let repository = reopened(store);
    let snapshots = repository.snapshots().unwrap().snapshots;
    restore_to_nowhere(&repository, &snapshots, &Quiet, &Cancel::default()).unwrap()
}

/// [`small`], and a pack of contents that no snapshot needs.
fn with_orphan() -> (Arc<MemoryStore>, Vec<ObjectId>, ObjectName, ObjectName) {
    let (store, ids) = small();
    let before = names(&store, ObjectKind::DataPack);
    let repository = reopened(&store);
    let builder = Builder::new(&repository);
    builder.file("unused", &noise(77, 3000));
    builder.session.finish().unwrap();
    let orphan = names(&store, ObjectKind::DataPack).into_iter().find(|name| !before.contains(name)).unwrap();
    (store, ids, before[0], orphan)
}

type Harm<'a> = &'a dyn Fn(&mut std::collections::BTreeMap<ObjectName, Vec<u8>>);

/// The table of the README, row by row.
#[test]
fn each_level_sees_its_damage() {
    let (store, ids, needed, orphan) = with_orphan();
    let meta = names(&store, ObjectKind::MetaPack)[0];
    let index = names(&store, ObjectKind::Index)[0];
    let confirmation = names(&store, ObjectKind::Confirmation);
    let flip = |name: ObjectName, at: usize| move |objects: &mut std::collections::BTreeMap<ObjectName, Vec<u8>>| objects.get_mut(&name).unwrap()[at] ^= 1;
    let remove = |name: ObjectName| {
        move |objects: &mut std::collections::BTreeMap<ObjectName, Vec<u8>>| {
            objects.remove(&name);
        }
    };
    let end_of = |name: &ObjectName| store.objects()[name].len() - END_LENGTH / 2;
    let before_footer = |name: &ObjectName| store.objects()[name].len() - END_LENGTH - 1;
    let ends = (end_of(&needed), end_of(&orphan), before_footer(&needed));
    let hide = |objects: &mut std::collections::BTreeMap<ObjectName, Vec<u8>>| {
        objects.remove(&ObjectName::new(ObjectKind::Snapshot, ids[0]));
    };
    let (no, yes) = (false, true);
    let rows: [(&str, Harm<'_>, [bool; 5]); 10] = [
        ("a block of a pack that is needed", &flip(needed, 130), [no, no, yes, yes, yes]),
        ("a block of a pack that nothing needs", &flip(orphan, 130), [no, no, yes, yes, no]),
        ("the footer of a pack that is needed", &flip(needed, ends.0), [yes, yes, yes, yes, no]),
        ("the footer of a pack that nothing needs", &flip(orphan, ends.1), [no, yes, yes, yes, no]),
        ("the table of a pack that is needed", &flip(needed, ends.2), [yes, yes, yes, yes, yes]),
        ("a pack that is needed, gone", &remove(needed), [yes, yes, yes, yes, yes]),
        ("a pack that nothing needs, gone", &remove(orphan), [no; 5]),
        ("a block of trees", &flip(meta, 130), [yes, yes, yes, yes, yes]),
        ("a snapshot, removed or hidden", &hide, [yes, yes, yes, yes, no]),
        ("an index segment", &flip(index, 100), [yes, yes, yes, yes, no]),
    ];
    assert_eq!(seen_by(&store), [no; 5]);
    assert!(!confirmation.is_empty());
    for (what, harm, expected) in rows {
        let whole = store.objects().clone();
        harm(&mut store.objects());
        assert_eq!(seen_by(&store), expected, "{what}");
        *store.objects() = whole;
    }
    assert_eq!(seen_by(&store), [no; 5]);
}

#[test]
fn a_restore_to_nowhere_brings_every_byte() {
    let (repository, store) = repository();
    let builder = Builder::new(&repository);
    let pieces = [Piece::Hole(300_000), Piece::Data(b"between"), Piece::Hole(70_000), Piece::Data(b"and after"), Piece::Hole(5)];
    let mut shared = builder.file("link", &noise(4, 900));
    shared.metadata.link_group = Some(crate::format::node::LinkGroup { device: 0, inode: 7 });
    let mut second = shared.clone();
    second.name = b"second".to_vec();
    let many = builder.directory("many", (0..200).map(|n| builder.file(&format!("f{n:03}"), &noise(n, 700))).collect());
    let list = builder.with_extents("list", (0..3000).map(|n: u32| builder.chunks(&[&n.to_le_bytes()])[0]).collect());
    let root = builder.tree(vec![builder.pieces("holes", &pieces), builder.file("empty", b""), Builder::symlink("to", "x"), shared, second, many, list]);
    builder.commit(root);
    let outcome = restored(&store);
    assert_eq!((outcome.problems, outcome.snapshots, outcome.files, outcome.directories), (0, 1, 206, 1));
    assert_eq!(outcome.bytes, 370_021 + 900 + 200 * 700 + 12_000);
    assert!(outcome.affected.is_empty());

    // A size that the list does not come to is told, and names the file.
    let builder = Builder::new(&repository);
    let mut lies = builder.file("lies", b"eight by");
    lies.metadata.size = 9;
    lies.content = Content::List(builder.session.store_tree(&TreeNode::List(vec![builder.chunks(&[b"eight by"])[0]]).encode()).unwrap());
    let root = builder.tree(vec![builder.file("good", b"good"), lies]);
    builder.commit(root);
    let outcome = restored(&store);
    assert_eq!((outcome.problems, outcome.snapshots), (1, 2));
    let affected = &outcome.affected[0].snapshots;
    assert_eq!((affected.len(), &affected[0].first), (1, &vec![(b"/lies".to_vec(), false)]));
}

#[test]
fn damage_is_told_by_host_source_and_snapshot() {
    let (repository, store) = repository();
    let lost = noise(1, 5000);
    let commit = |with: bool| {
        let builder = Builder::new(&repository);
        let mut nodes = vec![builder.file("good", b"good"), builder.file("kept", &noise(3, 10))];
        if with {
            nodes.push(builder.directory("dir", vec![builder.file("lost", &lost), builder.file("twice", &lost)]));
        }
        let root = builder.tree(nodes);
        builder.commit(root)
    };
    let ids = [commit(false), commit(true), commit(true), commit(false)];
    let built = Builder::new(&repository);
    let Extent::Chunk { id, .. } = built.chunks(&[&lost])[0] else { panic!() };
    drop(built);
    let place = repository.loader.must_place(&repository, crate::format::pack::PackKind::Data, &id.0).unwrap();
    store.objects().remove(&place.pack.name());

    let told: std::sync::Mutex<Vec<(ObjectId, Vec<u8>, bool)>> = std::sync::Mutex::default();
    struct Listener<'a>(&'a std::sync::Mutex<Vec<(ObjectId, Vec<u8>, bool)>>);
    impl Monitor for Listener<'_> {
        fn affected(&self, snapshot: ObjectId, path: &[u8], is_directory: bool) {
            self.0.lock().unwrap().push((snapshot, path.to_vec(), is_directory));
        }
    }
    let outcome = verify(&reopened(&store), &VerifyOptions::default(), &Listener(&told), &Cancel::default()).unwrap();
    let [source] = &outcome.affected[..] else { panic!("{:?}", outcome.affected) };
    assert_eq!((&*source.host, source.snapshots_total, source.newest_is_whole), ("here", 4, true));
    let paths = vec![(b"/dir/lost".to_vec(), false), (b"/dir/twice".to_vec(), false)];
    let seen: Vec<_> = source.snapshots.iter().map(|snapshot| (snapshot.id, snapshot.files, snapshot.directories, snapshot.first.clone())).collect();
    assert_eq!(seen, [(ids[2], 2, 0, paths.clone()), (ids[1], 2, 0, paths)]);
    assert_eq!(told.into_inner().unwrap().len(), 4, "each path of each snapshot is told once");

    // Looked at alone, the third is the newest, and not whole; and a directory that cannot be read is one.
    let only = VerifyOptions { snapshots: Some(vec![ids[2]]), ..VerifyOptions::default() };
    let outcome = verify(&reopened(&store), &only, &Quiet, &Cancel::default()).unwrap();
    assert_eq!((outcome.affected[0].snapshots_total, outcome.affected[0].newest_is_whole), (1, false));
    for name in names(&store, ObjectKind::MetaPack) {
        store.objects().remove(&name);
    }
    let outcome = look(&store, false);
    assert!(outcome.affected[0].snapshots.iter().all(|snapshot| (snapshot.files, snapshot.directories) == (0, 1) && snapshot.first == [(b"/".to_vec(), true)]));
}

#[test]
fn a_file_that_lacks_many_chunks_counts_once() {
    let (repository, store) = repository();
    let builder = Builder::new(&repository);
    let files =
        (0..15).map(|file: u64| builder.with_extents(&format!("f{file:02}"), (0..40).map(|n| builder.chunks(&[&noise(file * 100 + n, 50)])[0]).collect()));
    let root = builder.tree(files.collect());
    builder.commit(root);
    let data = names(&store, ObjectKind::DataPack)[0];
    store.objects().remove(&data);
    let outcome = look(&store, false);
    assert_eq!((outcome.damage[0].lost, outcome.damage[0].touched_total, outcome.damage[0].touched.len()), (600, 15, 10));
    assert_eq!((outcome.affected[0].snapshots[0].files, outcome.affected[0].snapshots[0].first[9].0.as_slice()), (15, &b"/f09"[..]));
}

#[test]
fn the_newest_good_snapshot_of_each_source_is_restored() {
    let (store, ids) = small();
    let mut snapshots = reopened(&store).snapshots().unwrap().snapshots;
    let newest = |snapshots: &[crate::store::repository::StoredSnapshot]| newest_of_each(snapshots).iter().map(|stored| stored.id).collect::<Vec<_>>();
    assert_eq!(newest(&snapshots), [ids[1]]);
    snapshots[1].confirmed = false;
    assert_eq!(newest(&snapshots), [ids[0]]);
    snapshots[0].forgotten = true;
    assert_eq!(newest(&snapshots), [ids[1]]);
    snapshots[0].snapshot.source = Some("db".into());
    assert_eq!(newest(&snapshots), ids);
}

#[test]
fn the_index_is_held_against_the_tables() {
    let (store, _, _, orphan) = with_orphan();
    let tables = |store: &Arc<MemoryStore>| {
        let options = VerifyOptions { tables: true, ..VerifyOptions::default() };
        verify(&reopened(store), &options, &Quiet, &Cancel::default()).unwrap()
    };
    let outcome = tables(&store);
    // The one note: a pack is needed by nobody.
    assert_eq!((outcome.damage.len(), outcome.notes.len(), outcome.packs), (0, 1, 5));
    // Segments that speak of that pack, and not of what is in it.
    let repository = reopened(&store);
    for name in names(&store, ObjectKind::Index) {
        let record = repository.control(ObjectKind::Index, Sealed::Index, name.id).unwrap();
        let mut segment = crate::format::index::Segment::decode(&record).unwrap();
        let Some(number) = segment.packs.iter().position(|pack| pack.id == orphan.id) else { continue };
        segment.rows.retain(|row| row.pack as usize != number);
        store.objects().remove(&name);
        repository.put_segment_unseen(&mut segment).unwrap();
    }
    let outcome = tables(&store);
    assert_eq!(outcome.damage, []);
    assert!(outcome.notes.iter().any(|note| note.what.contains("chunks of packs that it speaks of are not in it")), "{:?}", outcome.notes);
}

#[test]
fn what_a_repair_gave_up_is_a_note_and_no_whole_file() {
    let (repository, store) = repository();
    let builder = Builder::new(&repository);
    let mut lost = builder.pieces("lost", &[Piece::Hole(500), Piece::Data(b"what was left")]);
    lost.lost = true;
    let root = builder.tree(vec![builder.file("good", b"good"), lost]);
    builder.commit(root);
    let outcome = look(&store, true);
    assert_eq!(outcome.damage, []);
    assert!(outcome.notes[0].what.starts_with("1 files and folders lost something that a repair gave up"), "{:?}", outcome.notes);
    let restored = restored(&store);
    assert_eq!((restored.problems, &restored.affected[0].snapshots[0].first), (1, &vec![(b"/lost".to_vec(), false)]));
}
