//! Restores into memory: contents, links, what is there already, what does not belong, and damage.

use super::*;
use crate::format::id::{ChunkId, TreeId};
use crate::format::layout::ObjectKind;
use crate::format::node::{Content, Extent, LinkGroup, Node, Time};
use crate::format::pack::PackKind;
use crate::ops::browse::root_node;
use crate::ops::monitor::{Fate, Quiet};
use crate::ops::testing::memory_target::{Dir, Item, target};
use crate::ops::testing::{Builder, Piece, noise, reopened, repository};
use crate::store::error::RepositoryError;
use crate::store::memory::MemoryStore;
use crate::store::session::OpenBlock;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// Remembers what it is told.
#[derive(Default)]
struct Told {
    entries: Mutex<Vec<(String, Fate)>>,
    problems: Mutex<Vec<String>>,
}

impl Monitor for Told {
    fn entry(&self, path: &[u8], fate: Fate, _: u64) {
        self.entries.lock().unwrap().push((String::from_utf8_lossy(path).into_owned(), fate));
    }

    fn problem(&self, path: &[u8], what: &str) {
        self.problems.lock().unwrap().push(format!("{}: {what}", String::from_utf8_lossy(path)));
    }
}

impl Told {
    fn with(&self, fate: Fate) -> Vec<String> {
        let mut found: Vec<String> = self.entries.lock().unwrap().iter().filter(|entry| entry.1 == fate).map(|entry| entry.0.clone()).collect();
        found.sort();
        found
    }
}

fn small() -> RestoreOptions {
    RestoreOptions { memory_bytes: 40_000, ..RestoreOptions::default() }
}

fn root(tree: TreeId) -> Place {
    Place { path: b"/".to_vec(), node: root_node(tree) }
}

fn run(store: &Arc<MemoryStore>, tree: TreeId, into: &Arc<Dir>, options: &RestoreOptions) -> (RestoreOutcome, Told) {
    let told = Told::default();
    let target: Arc<dyn TargetDir> = into.clone();
    let outcome = restore(&reopened(store), &root(tree), &target, options, &Everything, &told, &Cancel::default()).unwrap();
    assert_eq!(into.log.open.load(Ordering::SeqCst), 0, "every file is closed");
    (outcome, told)
}

fn store(build: impl FnOnce(&Builder<'_>) -> Vec<Node>) -> (Arc<MemoryStore>, TreeId) {
    let (repository, store) = repository();
    let builder = Builder::new(&repository);
    let root = builder.tree(build(&builder));
    builder.commit(root);
    (store, root)
}

#[test]
fn a_tree_comes_back() {
    let many: Vec<Vec<u8>> = (0..9_000).map(|n| format!("content {n}").into_bytes()).collect();
    let long: Vec<Vec<u8>> = (0..3_000).map(|n| noise(n, 100)).collect();
    let (store, tree) = store(|builder| {
        let contents = builder.chunks(&many.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let files = contents.iter().enumerate().map(|(n, extent)| builder.with_extents(&format!("f{n:05}"), vec![*extent])).collect();
        let mut extents = builder.chunks(&long.iter().map(Vec::as_slice).collect::<Vec<_>>());
        extents.insert(7, Extent::Hole { length: 5_000 });
        vec![
            builder.directory("many", files),
            builder.directory("deep", vec![builder.directory("er", vec![builder.file("empty", b""), Builder::symlink("link", "over/there")])]),
            builder.with_extents("long", extents),
            builder.pieces("ends in a hole", &[Piece::Data(b"x"), Piece::Hole(10)]),
            builder.pieces("only a hole", &[Piece::Hole(70_000)]),
        ]
    });
    for (sparse, verify) in [(true, false), (true, true), (false, false), (false, true)] {
        let into = target();
        let (outcome, told) = run(&store, tree, &into, &RestoreOptions { sparse, verify, ..small() });
        assert_eq!((outcome.files_restored, outcome.dirs, outcome.problems), (9_005, 3, 0), "{:?}", told.problems);
        for (n, expected) in many.iter().enumerate() {
            assert_eq!(&into.bytes(&format!("many/f{n:05}")).unwrap(), expected);
        }
        let mut expected = long[..7].concat();
        expected.resize(expected.len() + 5_000, 0);
        expected.extend(long[7..].concat());
        assert_eq!(into.bytes("long").unwrap(), expected);
        assert_eq!(into.bytes("ends in a hole").unwrap(), b"x\0\0\0\0\0\0\0\0\0\0");
        assert_eq!(into.bytes("only a hole").unwrap(), vec![0; 70_000]);
        assert_eq!(into.bytes("deep/er/empty").unwrap(), b"");
        let Some(Item::Special(link)) = into.at("deep/er/link") else { panic!() };
        assert_eq!(link.link_target, b"over/there");
        let Some(Item::Dir(deep)) = into.at("deep") else { panic!() };
        assert_eq!(deep.dressed.lock().unwrap().as_ref().unwrap().mode, 0o750);
        let Some(Item::File(file)) = into.at("many/f00000") else { panic!() };
        assert_eq!(file.dressed.lock().unwrap().as_ref().unwrap().mode, 0o640);
        let zeros_written = into.log.written.lock().unwrap().iter().any(|(name, ..)| name == b"only a hole");
        assert_eq!(zeros_written, !sparse);
        assert!(into.log.open_most.load(Ordering::SeqCst) <= 128 + 8 + 8);
    }
}

#[test]
fn a_place_in_a_snapshot_comes_back_by_itself() {
    let (store, tree) = store(|builder| vec![builder.directory("a", vec![builder.file("x", b"1"), builder.file("y", b"2")])]);
    let repository = reopened(&store);
    let a = crate::ops::walk::find(&repository, tree, b"a").unwrap().unwrap();
    let Content::Directory(id) = a.content else { panic!() };
    let y = crate::ops::walk::find(&repository, id, b"y").unwrap().unwrap();
    let begin = |path: &[u8], node: Node| {
        let (into, told) = (target(), Told::default());
        let start = Place { path: path.to_vec(), node };
        let target: Arc<dyn TargetDir> = into.clone();
        restore(&repository, &start, &target, &RestoreOptions::default(), &Everything, &told, &Cancel::default()).unwrap();
        (into, told.with(Fate::Restored))
    };
    let (into, told) = begin(b"/a", a);
    assert_eq!((into.listing(), told), (vec!["x".into(), "y".into()], vec!["/a/x".into(), "/a/y".into()]));
    assert_eq!(into.dressed.lock().unwrap().as_ref().unwrap().mode, 0o750);
    let (into, told) = begin(b"/a/y", y);
    assert_eq!((into.listing(), told), (vec!["y".into()], vec!["/a/y".into()]));
    assert!(into.dressed.lock().unwrap().is_none());
}

#[test]
fn in_place_only_what_differs_is_written() {
    let parts: Vec<Vec<u8>> = (0..20).map(|n| noise(n, 10_000)).collect();
    let (store, tree) = store(|builder| {
        let mut extents = builder.chunks(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        extents.push(Extent::Hole { length: 600_000 });
        vec![builder.with_extents("file", extents), builder.file("same", b"same")]
    });
    let mut expected = parts.concat();
    expected.resize(expected.len() + 600_000, 0);
    let mut old = expected.clone();
    old[35_000] ^= 1;
    old.extend(b"longer than it should be");
    for dirty_hole in [false, true] {
        let into = target();
        if dirty_hole {
            old[500_000] = 1;
        }
        into.put("file", &old);
        into.put("same", b"same");
        let (outcome, told) = run(&store, tree, &into, &small());
        assert_eq!(into.bytes("file").unwrap(), expected);
        assert_eq!(*into.log.written.lock().unwrap(), [(b"file".to_vec(), 30_000, 10_000)]);
        assert_eq!(!into.log.punched.lock().unwrap().is_empty(), dirty_hole);
        assert_eq!((told.with(Fate::Restored), told.with(Fate::Kept)), (vec!["/file".into()], vec!["/same".into()]));
        assert_eq!(outcome.bytes_written, 10_000);
    }
}

#[test]
fn what_is_there_is_overwritten_as_wished() {
    let (store, tree) = store(|builder| vec![builder.file("file", b"new"), builder.directory("dir", vec![builder.file("x", b"x")])]);
    let mtime = |seconds| Time { seconds, nanoseconds: 5 };
    let attempt = |overwrite, seconds: i64, size_differs: bool| {
        let into = target();
        into.put("file", if size_differs { b"older" } else { b"old" });
        let mut metadata = crate::format::node::Metadata::plain(crate::format::node::NodeType::File, 0o600);
        metadata.mtime = mtime(seconds);
        into.dress(b"file", &metadata).unwrap();
        into.special(b"dir", &Builder::symlink("", "/etc").metadata).unwrap();
        run(&store, tree, &into, &RestoreOptions { overwrite, ..small() });
        (into.bytes("file").unwrap() == b"new", into.bytes("dir/x").is_some())
    };
    assert_eq!(attempt(Overwrite::Always, 1_000_000, false), (true, true));
    assert_eq!(attempt(Overwrite::IfChanged, 1_000_000, false), (false, true));
    assert_eq!(attempt(Overwrite::IfChanged, 1_000_000, true), (true, true));
    assert_eq!(attempt(Overwrite::IfChanged, 999, false), (true, true));
    assert_eq!(attempt(Overwrite::IfNewer, 999_999, false), (true, true));
    assert_eq!(attempt(Overwrite::IfNewer, 1_000_000, true), (false, true));
    assert_eq!(attempt(Overwrite::Never, 0, true), (false, false));
}

#[test]
fn a_full_directory_gives_way_to_a_file_only_with_delete() {
    let (store, tree) = store(|builder| vec![builder.file("a", b"new"), builder.file("b", b"new")]);
    for delete in [false, true] {
        let into = target();
        into.put("a/precious", b"data");
        into.directory(b"b").unwrap();
        let (outcome, _) = run(&store, tree, &into, &RestoreOptions { delete, ..small() });
        assert_eq!(outcome.problems, u64::from(!delete));
        assert_eq!(into.bytes("a").is_some(), delete);
        assert_eq!(into.bytes("b").unwrap(), b"new");
    }
}

struct Without;

impl Select for Without {
    fn wants(&self, path: &[u8], _: bool) -> Wanted {
        match path {
            b"/keep" => Wanted::Descend,
            path if path.ends_with(b".log") => Wanted::No,
            _ => Wanted::Yes,
        }
    }
}

#[test]
fn what_does_not_belong_is_removed_and_a_dry_run_says_so_before() {
    let (store, tree) = store(|builder| {
        let inner = builder.directory("dir", vec![builder.file("m", b"m"), builder.file("in.log", b"in")]);
        vec![inner, builder.directory("keep", vec![builder.file("k", b"k")]), builder.directory("new", vec![builder.file("n", b"n")])]
    });
    let fill = || {
        let into = target();
        for path in ["dir/a", "dir/m", "dir/z/deep", "dir/my.log", "dir/in.log", "keep/other", "stray", "zz/zz"] {
            into.put(path, b"old");
        }
        into
    };
    let attempt = |into: &Arc<Dir>, dry_run: bool, sources: &[&[u8]]| {
        let told = Told::default();
        let target: Arc<dyn TargetDir> = into.clone();
        let sources = sources.iter().map(|path| path.to_vec()).collect();
        let options = RestoreOptions { delete: true, dry_run, sources, ..small() };
        let outcome = restore(&reopened(&store), &root(tree), &target, &options, &Without, &told, &Cancel::default()).unwrap();
        assert_eq!(outcome.problems, 0);
        (outcome, told.with(Fate::Removed), told.with(Fate::Restored))
    };
    let into = fill();
    let before = into.listing();
    let dry = attempt(&into, true, &[]);
    assert_eq!(into.listing(), before, "a dry run changes nothing");
    assert!(into.log.written.lock().unwrap().is_empty());
    let real = attempt(&into, false, &[]);
    assert_eq!((&dry.1, &dry.2, dry.0.removed), (&real.1, &real.2, real.0.removed));
    assert_eq!(real.1, ["/dir/a", "/dir/z", "/stray", "/zz"]);
    assert_eq!(into.listing(), ["dir/", "dir/in.log", "dir/m", "dir/my.log", "keep/", "keep/k", "keep/other", "new/", "new/n"]);
    assert_eq!(into.bytes("dir/in.log").unwrap(), b"old", "not selected");
    let into = fill();
    assert_eq!(attempt(&into, false, &[b"/dir/"]).1, ["/dir/a", "/dir/z"], "nothing is removed above what was backed up");
}

#[test]
fn nothing_is_removed_where_the_snapshot_cannot_be_read() {
    let (store, tree) = store(|_| vec![Builder::directory_of("lost", TreeId([1; 32]))]);
    let into = target();
    into.put("lost/mine", b"data");
    let (outcome, _) = run(&store, tree, &into, &RestoreOptions { delete: true, ..small() });
    assert_eq!((outcome.problems, outcome.removed), (1, 0));
    assert!(into.bytes("lost/mine").is_some());
}

fn linked(mut node: Node) -> Node {
    node.metadata.link_group = Some(LinkGroup { device: 0, inode: 7 });
    node
}

struct Only(&'static [&'static [u8]]);

impl Select for Only {
    fn wants(&self, path: &[u8], is_dir: bool) -> Wanted {
        if is_dir || self.0.contains(&path) { Wanted::Yes } else { Wanted::No }
    }
}

#[test]
fn hard_links_come_back_whichever_names_are_wanted() {
    let (store, tree) = store(|builder| {
        let names = |names: [&str; 2]| names.iter().map(|name| linked(builder.file(name, b"shared"))).collect();
        vec![builder.directory("d", names(["a", "b"])), builder.directory("e", names(["c", "d"]))]
    });
    let wanted: [&[&[u8]]; 3] = [&[b"/d/a", b"/d/b", b"/e/c", b"/e/d"], &[b"/d/b", b"/e/d"], &[b"/e/c"]];
    for no_links in [false, true] {
        for wanted in wanted {
            let into = target();
            into.put("e/c", b"not ours");
            into.log.no_links.store(no_links, Ordering::SeqCst);
            let dir: Arc<dyn TargetDir> = into.clone();
            let outcome = restore(&reopened(&store), &root(tree), &dir, &small(), &Only(wanted), &Quiet, &Cancel::default()).unwrap();
            let inodes: Vec<_> = wanted
                .iter()
                .map(|path| match into.at(std::str::from_utf8(&path[1..]).unwrap()) {
                    Some(Item::File(inode)) => inode,
                    _ => panic!("{path:?} is missing"),
                })
                .collect();
            assert!(inodes.iter().all(|inode| *inode.bytes.lock().unwrap() == b"shared"));
            assert_eq!(inodes.iter().all(|inode| Arc::ptr_eq(inode, &inodes[0])), !no_links || wanted.len() == 1);
            assert_eq!(outcome.losses_total, if no_links { wanted.len() as u64 - 1 } else { 0 });
            assert_eq!(outcome.files_restored, wanted.len() as u64);
        }
    }
}

fn damage(store: &MemoryStore, kind: ObjectKind, at: usize) {
    for (name, bytes) in store.objects().iter_mut().filter(|(name, _)| name.kind == kind) {
        assert!(at < bytes.len(), "{name}");
        bytes[at] ^= 1;
    }
}

#[test]
fn damage_costs_the_files_it_touches_and_never_gives_wrong_bytes() {
    let (store, tree) = store(|builder| {
        let first = builder.chunks(&[&noise(1, 3_000), b"shares the block"]);
        let gone = Extent::Chunk { id: ChunkId([1; 32]), length: 5 };
        let Extent::Chunk { id, .. } = first[1] else { panic!() };
        let longer = Extent::Chunk { id, length: 17 };
        vec![
            builder.with_extents("a", vec![first[0]]),
            builder.with_extents("b", vec![builder.chunks(&[&noise(3, 100)])[0], first[1]]),
            builder.file("good", &noise(2, 3_000)),
            builder.with_extents("gone", vec![builder.chunks(&[&noise(4, 100)])[0], gone]),
            linked(builder.with_extents("hostile", vec![longer])),
            linked(builder.with_extents("hostile too", vec![longer])),
        ]
    });
    // The first block begins right after the header.
    damage(&store, ObjectKind::DataPack, 200);
    let into = target();
    into.put("gone", b"as it was");
    into.put("b", b"as it was");
    let (outcome, told) = run(&store, tree, &into, &small());
    assert_eq!(into.listing(), ["b", "gone", "good"]);
    assert_eq!(into.bytes("gone").unwrap(), b"as it was");
    assert_eq!(into.bytes("good").unwrap(), noise(2, 3_000));
    let mut problems = told.problems.lock().unwrap().clone();
    problems.sort();
    assert_eq!((outcome.problems, problems.len()), (5, 5), "{problems:?}");
    assert!(problems[0].starts_with("/a: chunk") && problems[2].starts_with("/gone: chunk"), "{problems:?}");
    assert!(problems[1].contains("partly") && problems[2].contains("is as it was"), "{problems:?}");
}

#[test]
fn a_chunk_in_a_damaged_block_is_taken_from_another() {
    let (store, tree) = store(|builder| vec![builder.file("file", &noise(1, 3_000))]);
    let second = {
        // A second writer that does not see the first one's index stores the chunk again.
        let hidden: Vec<_> = store.objects().iter().filter(|(name, _)| name.kind != ObjectKind::Key).map(|(name, bytes)| (*name, bytes.clone())).collect();
        let repository = reopened(&store);
        let packs: Vec<_> = hidden.iter().filter(|(name, _)| matches!(name.kind, ObjectKind::Index | ObjectKind::DataPack | ObjectKind::MetaPack)).collect();
        for (name, _) in &packs {
            store.objects().remove(name);
        }
        let builder = Builder::new(&repository);
        let root = builder.tree(vec![builder.file("file", &noise(1, 3_000))]);
        builder.commit(root);
        for (name, bytes) in &packs {
            store.objects().insert(*name, bytes.clone());
        }
        root
    };
    assert_eq!(second, tree);
    let packs: Vec<_> = store.objects().keys().filter(|name| name.kind == ObjectKind::DataPack).copied().collect();
    assert_eq!(packs.len(), 2);
    for damaged in packs {
        store.objects().get_mut(&damaged).unwrap()[200] ^= 1;
        let into = target();
        let (outcome, _) = run(&store, tree, &into, &small());
        assert_eq!((outcome.problems, into.bytes("file").unwrap()), (0, noise(1, 3_000)));
        store.objects().get_mut(&damaged).unwrap()[200] ^= 1;
    }
}

#[test]
fn what_is_read_back_is_compared() {
    let (store, tree) = store(|builder| vec![builder.file("file", b"contents")]);
    let into = target();
    into.log.lies.store(true, Ordering::SeqCst);
    let (outcome, told) = run(&store, tree, &into, &RestoreOptions { verify: true, ..small() });
    assert_eq!((outcome.problems, outcome.files_restored), (1, 0));
    assert!(told.problems.lock().unwrap()[0].contains("read back"));
    assert!(into.listing().is_empty(), "not left behind");
}

struct StopAfter(Cancel, u64);

impl Monitor for StopAfter {
    fn progress(&self, progress: &crate::ops::monitor::Progress) {
        if progress.bytes_done > self.1 {
            self.0.cancel();
        }
    }
}

#[test]
fn neighbouring_batches_open_a_block_together() {
    let plains: Vec<Vec<u8>> = (0..400).map(|n| noise(n, 50)).collect();
    let (store, tree) = store(|builder| {
        let extents = builder.chunks(&plains.iter().map(Vec::as_slice).collect::<Vec<_>>());
        extents.iter().enumerate().map(|(n, extent)| builder.with_extents(&format!("{n:03}"), vec![*extent])).collect()
    });
    let into = target();
    let before = store.ranges.load(Ordering::Relaxed);
    // Ten files fill a batch: forty of them need the one block.
    let (outcome, _) = run(&store, tree, &into, &RestoreOptions { memory_bytes: 7_400, ..small() });
    assert_eq!(outcome.files_restored, 400);
    assert!(plains.iter().enumerate().all(|(n, plain)| into.bytes(&format!("{n:03}")).as_ref() == Some(plain)));
    let read = store.ranges.load(Ordering::Relaxed) - before;
    assert!(read <= 30, "{read} ranges read");
}

#[test]
fn a_wrong_name_costs_its_chunk_and_not_the_block() {
    let (store, tree) = store(|builder| {
        let keys = &builder.session.repository().keys;
        let (good, bad) = (keys.data_names().unwrap().name(b"good"), keys.data_names().unwrap().name(b"something else"));
        let mut block = OpenBlock::default();
        for (id, plain) in [(good, b"good"), (bad, b"evil")] {
            assert!(builder.session.claim(PackKind::Data, &id.0).unwrap());
            block.push(id.0, plain);
        }
        builder.session.store_block(PackKind::Data, &mut block).unwrap();
        [("good", good), ("bad", bad)].map(|(name, id)| builder.with_extents(name, vec![Extent::Chunk { id, length: 4 }])).into()
    });
    let into = target();
    let (outcome, told) = run(&store, tree, &into, &small());
    assert_eq!((outcome.files_restored, outcome.problems), (1, 1), "{:?}", told.problems);
    assert_eq!(into.listing(), ["good"]);
}

#[test]
fn every_run_is_done_once_however_they_are_spread() {
    for count in 0..30 {
        for threads in 0..9 {
            let mut done: Vec<usize> = (0..count).map(|at| fetch::spread(at, count, threads)).collect();
            done.sort_unstable();
            assert_eq!(done, (0..count).collect::<Vec<_>>(), "{threads} threads");
        }
    }
}

#[test]
fn a_file_larger_than_a_batch_and_a_stop() {
    let plains: Vec<Vec<u8>> = (0..2_000).map(|n| noise(n, 50)).collect();
    let (store, tree) = store(|builder| {
        let extents = builder.chunks(&plains.iter().map(Vec::as_slice).collect::<Vec<_>>());
        vec![linked(builder.with_extents("large", extents)), linked(builder.file("other name", b"unread")), builder.file("z", b"z")]
    });
    let into = target();
    let options = RestoreOptions { memory_bytes: 5_000, threads: 1, ..small() };
    let (outcome, _) = run(&store, tree, &into, &options);
    assert_eq!(into.bytes("large").unwrap(), plains.concat());
    assert_eq!(into.bytes("other name").unwrap(), plains.concat());
    assert_eq!((outcome.files_restored, outcome.problems), (3, 0));

    let into = target();
    let dir: Arc<dyn TargetDir> = into.clone();
    let stop = StopAfter(Cancel::default(), 30_000);
    let outcome = restore(&reopened(&store), &root(tree), &dir, &options, &Everything, &stop, &stop.0);
    assert!(matches!(outcome, Err(RepositoryError::Cancelled)));
    assert!(into.listing().is_empty(), "a file under way is removed");
}
