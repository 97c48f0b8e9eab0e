//! The walk over real files.

mod ahead;
mod entries;

use super::*;
use crate::format::node::{NodeType, Time};
use crate::ops::source::Skipped::{Excluded, Marked};
use crate::ops::source::{Body, Item, Skipped, SourceDir, Stat};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// All that a walk shows, paths relative to the directory under test (what leads there is left out).
#[derive(Default)]
struct Seen {
    top: Vec<u8>,
    /// `name/` for entered directories, `name` for leaves.
    order: Vec<String>,
    stats: HashMap<Vec<u8>, (Stat, Arc<dyn SourceDir>)>,
    skipped: Vec<(String, Skipped)>,
    failed: Vec<(String, io::ErrorKind)>,
    depth: usize,
    deepest: usize,
    leaves: usize,
    only_count: bool,
    /// Everything beneath the directory under test, word for word.
    events: Vec<String>,
}

impl Seen {
    fn under(top: &Path) -> Self {
        Self { top: top.canonicalize().unwrap().into_os_string().into_vec(), ..Self::default() }
    }
    fn short(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(path.strip_prefix(self.top.as_slice())?.strip_prefix(b"/")?.to_vec())
    }
    fn note(&mut self, item: Item<'_>, mark: &str) {
        if self.only_count {
            return;
        }
        if let Some(path) = self.short(&item.dir.path(item.name)) {
            self.events.push(format!("{}{mark} {:?}", path.escape_ascii(), item.stat));
            self.order.push(format!("{}{mark}", path.escape_ascii()));
            self.stats.insert(path, (*item.stat, Arc::clone(item.dir)));
        }
    }
    fn of(&self, path: &str) -> (&Stat, &Arc<dyn SourceDir>) {
        let (stat, dir) = &self.stats[path.as_bytes()];
        (stat, dir)
    }
    fn open(&self, path: &str) -> io::Result<Box<dyn Body>> {
        self.of(path).1.open(path.rsplit('/').next().unwrap().as_bytes())
    }
    fn metadata(&self, path: &str) -> crate::format::node::Metadata {
        let (stat, dir) = self.of(path);
        let (metadata, unread) = dir.metadata(path.rsplit('/').next().unwrap().as_bytes(), stat).unwrap();
        assert_eq!(unread, Vec::<String>::new());
        metadata
    }
}

impl Visitor for Seen {
    fn enter(&mut self, item: Item<'_>) -> Result<bool, Stop> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        self.note(item, "/");
        Ok(true)
    }
    fn leaf(&mut self, item: Item<'_>) -> Result<(), Stop> {
        self.leaves += 1;
        self.note(item, "");
        Ok(())
    }
    fn leave(&mut self) -> Result<(), Stop> {
        self.depth -= 1;
        if !self.only_count {
            self.events.push("leave".to_owned());
        }
        Ok(())
    }
    fn failed(&mut self, path: &[u8], error: io::Error) -> Result<(), Stop> {
        self.events.push(format!("{} {error:?}", path.escape_ascii()));
        let path = self.short(path).unwrap_or_else(|| path.to_vec());
        self.failed.push((path.escape_ascii().to_string(), error.kind()));
        Ok(())
    }
    fn skipped(&mut self, path: &[u8], why: Skipped) -> Result<(), Stop> {
        self.events.push(format!("{} {why:?}", path.escape_ascii()));
        let path = self.short(path).unwrap_or_else(|| path.to_vec());
        self.skipped.push((path.escape_ascii().to_string(), why));
        Ok(())
    }
}

/// Where two walks first differ.
fn difference(one: &Seen, other: &Seen) -> Option<(usize, Option<String>, Option<String>)> {
    let place = (0..one.events.len().max(other.events.len())).find(|&place| one.events.get(place) != other.events.get(place))?;
    Some((place, one.events.get(place).cloned(), other.events.get(place).cloned()))
}

/// Walks with threads ahead and without: both must show the same.
fn walked(top: &Path, options: Options) -> Seen {
    let options = if options.paths.is_empty() { Options { paths: vec![top.to_owned()], ..options } } else { options };
    let [seen, plain] = [2, 0].map(|threads| {
        let mut seen = Seen::under(top);
        let mut source = FileSource::new(options.clone()).unwrap();
        source.threads = threads;
        source.walk(&mut seen).unwrap();
        assert_eq!(seen.depth, 0, "every enter has its leave");
        seen
    });
    assert_eq!(difference(&seen, &plain), None);
    seen
}

fn make(top: &Path, names: &[&str]) {
    for name in names {
        let path = top.join(name);
        if name.ends_with('/') {
            std::fs::create_dir_all(path).unwrap();
        } else {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
    }
}

fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root: {test}");
    }
    root
}

#[test]
fn the_tree_comes_in_byte_order_with_its_ancestors() {
    let home = tempfile::tempdir().unwrap();
    make(home.path(), &["a/y", "a/x", "a.b", "B", "a-/z", "empty/"]);
    std::fs::write(home.path().join(OsStr::from_bytes(b"\xff\n")), b"").unwrap();
    let mut seen = walked(home.path(), Options::default());
    assert_eq!(seen.order, ["B", "a/", "a/x", "a/y", "a-/", "a-/z", "a.b", "empty/", "\\xff\\n"]);
    assert!(seen.skipped.is_empty() && seen.failed.is_empty());
    let (stat, _) = seen.of("a/x");
    let real = home.path().join("a/x").symlink_metadata().unwrap();
    assert_eq!((stat.node_type, stat.size, stat.inode, stat.mode), (NodeType::File, 3, real.ino(), real.mode() & 0o7777));
    assert_eq!(stat.mtime, Time { seconds: real.mtime(), nanoseconds: real.mtime_nsec() as u32 });
    // Ancestors come with their own metadata and only the child that leads here.
    seen = Seen { top: b"/".to_vec(), ..Seen::default() };
    seen.top.clear();
    FileSource::new(Options { paths: vec![home.path().join("a")], ..Options::default() }).unwrap().walk(&mut seen).unwrap();
    let depth = home.path().canonicalize().unwrap().components().count();
    assert_eq!(seen.order.len(), depth + 2, "{:?}", seen.order);
    assert_eq!(seen.of("tmp").0.mode, Path::new("/tmp").metadata().unwrap().mode() & 0o7777);
}

#[test]
fn several_paths_links_and_what_is_missing() {
    let home = tempfile::tempdir().unwrap();
    make(home.path(), &["a/b/c/x", "a/b/d", "a/e/f", "g", "h/"]);
    std::os::unix::fs::symlink("a", home.path().join("link")).unwrap();
    let paths = |names: &[&str]| Options { paths: names.iter().map(|name| home.path().join(name)).collect(), ..Options::default() };
    let seen = walked(home.path(), paths(&["g", "a/b", "a/b/c", "a/e/f", "link"]));
    assert_eq!(seen.order, ["a/", "a/b/", "a/b/c/", "a/b/c/x", "a/b/d", "a/e/", "a/e/f", "g", "link"]);
    assert_eq!(seen.metadata("link").link_target, b"a");
    let seen = walked(home.path(), paths(&["link/"]));
    assert_eq!(seen.order.first().map(String::as_str), Some("a/"));
    let error = FileSource::new(paths(&["g", "nothing"])).unwrap_err();
    assert_eq!(error.path, home.path().join("nothing"));
    let source = FileSource::new(paths(&["g", "h"])).unwrap();
    assert_eq!(source.paths().len(), 2);
    std::fs::remove_file(home.path().join("g")).unwrap();
    std::fs::remove_dir(home.path().join("h")).unwrap();
    let mut seen = Seen { top: home.path().canonicalize().unwrap().into_os_string().into_vec(), ..Seen::default() };
    source.walk(&mut seen).unwrap();
    assert_eq!(seen.failed, [("g".to_owned(), io::ErrorKind::NotFound), ("h".to_owned(), io::ErrorKind::NotFound)]);
}

#[test]
fn a_tree_of_three_thousand_levels() {
    let home = tempfile::tempdir().unwrap();
    let mut fd: std::os::fd::OwnedFd = std::fs::File::open(home.path()).unwrap().into();
    let name = "n".repeat(100);
    for _ in 0..3_000 {
        rustix::fs::mkdirat(&fd, &*name, rustix::fs::Mode::RWXU).unwrap();
        fd = rustix::fs::openat(&fd, &*name, rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    }
    drop(rustix::fs::openat(&fd, "file", rustix::fs::OFlags::CREATE, rustix::fs::Mode::RWXU).unwrap());
    let mut seen = Seen { top: home.path().canonicalize().unwrap().into_os_string().into_vec(), only_count: true, ..Seen::default() };
    FileSource::new(Options { paths: vec![home.path().to_owned()], ..Options::default() }).unwrap().walk(&mut seen).unwrap();
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    assert_eq!((seen.leaves, seen.depth), (1, 0));
    assert!(seen.deepest > 3_000);
}

#[test]
fn twenty_thousand_entries() {
    let home = tempfile::tempdir().unwrap();
    for number in 0..20_000 {
        std::fs::write(home.path().join(format!("{number}")), b"").unwrap();
    }
    let seen = walked(home.path(), Options::default());
    assert_eq!(seen.order.len(), 20_000);
    assert!(seen.order.is_sorted());
}

#[test]
fn patterns_sizes_and_marks() {
    let home = tempfile::tempdir().unwrap();
    make(
        home.path(),
        &["a/x.tmp", "a/keep.tmp", "b/n/deep/x", "c/CACHEDIR.TAG", "c/x", "c/d/x", "d/CACHEDIR.TAG", "d/x", "e/.no", "e/x", "big", "f/.hdr", "f/x"],
    );
    std::fs::write(home.path().join("c/CACHEDIR.TAG"), b"Signature: 8a477f597d28d172789f06886806bc55\n# more").unwrap();
    std::fs::write(home.path().join("f/.hdr"), b"yes, really").unwrap();
    std::fs::write(home.path().join("big"), [7; 100]).unwrap();
    let mut excludes = Excludes::default();
    excludes.add_lines(b"*.tmp\n!keep.tmp\nn/deep", false).unwrap();
    let marks = [&b".no"[..], b".hdr:yes", b".none:x"].map(|mark| Mark::parse(mark).unwrap());
    let options = Options { excludes, exclude_caches: true, exclude_if_present: marks.to_vec(), exclude_larger_than: Some(99), ..Options::default() };
    let seen = walked(home.path(), options.clone());
    let expected = ["a/", "a/keep.tmp", "b/", "b/n/", "c/", "c/CACHEDIR.TAG", "d/", "d/CACHEDIR.TAG", "d/x", "e/", "e/.no", "f/", "f/.hdr"];
    assert_eq!(seen.order, expected);
    let mut skipped: Vec<_> = seen.skipped.iter().map(|(path, why)| (path.as_str(), *why)).collect();
    skipped.sort_by_key(|(path, _)| *path);
    assert_eq!(skipped, [("a/x.tmp", Excluded), ("b/n/deep", Excluded), ("big", Excluded), ("c", Marked), ("e", Marked), ("f", Marked)]);
    // A path named beneath a mark is wanted all the same.
    let seen = walked(home.path(), Options { paths: vec![home.path().to_owned(), home.path().join("c/d/x")], ..options });
    assert!(seen.order.contains(&"c/d/x".to_owned()) && !seen.order.contains(&"c/x".to_owned()));
    assert_eq!(Mark::parse(b"a/b"), None);
    assert_eq!(Mark::parse(b":x"), None);
}

#[test]
fn our_own_directories_are_recognised_by_what_they_are() {
    let home = tempfile::tempdir().unwrap();
    make(home.path(), &["repo/data", "x"]);
    std::os::unix::fs::symlink("repo", home.path().join("alias")).unwrap();
    let seen = walked(home.path(), Options { own: vec![home.path().join("alias"), home.path().join("not yet")], ..Options::default() });
    assert_eq!(seen.order, ["alias", "x"]);
    assert_eq!(seen.skipped, [("repo".to_owned(), Skipped::Ourselves)]);
}

#[test]
fn other_file_systems() {
    if !is_root("other_file_systems") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    make(home.path(), &["a", "m/", "z"]);
    let mount = home.path().join("m");
    if !std::process::Command::new("mount").args(["-t", "tmpfs", "vault-test"]).arg(&mount).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: mount is not allowed here");
        return;
    }
    make(&mount, &["in/side", "top"]);
    let walk = |options| std::panic::catch_unwind(|| walked(home.path(), options));
    let stay = Options { one_file_system: true, ..Options::default() };
    let both = Options { paths: vec![home.path().to_owned(), mount.clone()], ..stay.clone() };
    let through = Options { paths: vec![home.path().to_owned(), mount.join("in")], ..stay.clone() };
    let seen = [Options::default(), stay, both, through].map(walk);
    assert!(std::process::Command::new("umount").arg("-l").arg(&mount).status().unwrap().success());
    let [all, stay, both, through] = seen.map(Result::unwrap);
    let everything = ["a", "m/", "m/in/", "m/in/side", "m/top", "z"];
    assert_eq!(all.order, everything);
    assert_eq!(stay.order, ["a", "m/", "z"]);
    assert_eq!(stay.skipped, [("m".to_owned(), Skipped::OtherFileSystem)]);
    assert_eq!(both.order, everything, "a path that is named is wanted wherever it lies");
    assert_eq!(through.order, ["a", "m/", "m/in/", "m/in/side", "z"]);
}

#[test]
fn a_directory_that_may_not_be_read() {
    if !is_root("a_directory_that_may_not_be_read") {
        return;
    }
    // As root everything may be read: a child of this test binary does it as nobody.
    let home = tempfile::tempdir().unwrap();
    make(home.path(), &["a/shut/x", "b"]);
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    std::fs::set_permissions(home.path().join("a/shut"), std::fs::Permissions::from_mode(0o711)).unwrap();
    let done = crate::sources::tree_target::as_nobody("sources::files::tests::as_nobody_walks", home.path());
    assert!(done);
}

/// Run by the test above in a child process; by itself it has nothing to do.
#[test]
fn as_nobody_walks() {
    let Some(home) = std::env::var_os("VAULT_TEST_AS_NOBODY") else {
        return;
    };
    let home = Path::new(&home);
    // Search permission is enough on the way (`home` cannot be listed), and what cannot be listed is shown, told, and left.
    let seen = walked(home, Options { paths: vec![home.join("a")], ..Options::default() });
    assert_eq!(seen.order, ["a/", "a/shut/"]);
    assert_eq!(seen.failed, [("a/shut".to_owned(), io::ErrorKind::PermissionDenied)]);
}

/// Does something to the tree when it comes to the deepest file.
struct Meddler<'a> {
    seen: Seen,
    meddle: &'a dyn Fn(),
}

impl Visitor for Meddler<'_> {
    fn enter(&mut self, item: Item<'_>) -> Result<bool, Stop> {
        self.seen.enter(item)
    }
    fn leaf(&mut self, item: Item<'_>) -> Result<(), Stop> {
        if item.name == b"deepest" {
            (self.meddle)();
        }
        self.seen.leaf(item)
    }
    fn leave(&mut self) -> Result<(), Stop> {
        self.seen.leave()
    }
    fn failed(&mut self, path: &[u8], error: io::Error) -> Result<(), Stop> {
        self.seen.failed(path, error)
    }
    fn skipped(&mut self, path: &[u8], why: Skipped) -> Result<(), Stop> {
        self.seen.skipped(path, why)
    }
}

/// 300 levels of `d`, each with a file `e` after it; level 50 is moved away while the walk is at the bottom, which holds no descriptor up there.
fn meddled(meddle: impl Fn(&Path)) -> Seen {
    let home = tempfile::tempdir().unwrap();
    let top = home.path().canonicalize().unwrap();
    let deepest = top.join(vec!["d"; 300].join("/"));
    std::fs::create_dir_all(&deepest).unwrap();
    std::fs::write(deepest.join("deepest"), b"").unwrap();
    for level in 0..300 {
        std::fs::write(top.join(vec!["d"; level].join("/")).join("e"), b"").unwrap();
    }
    let seen = Seen { top: top.as_os_str().as_bytes().to_vec(), only_count: true, ..Seen::default() };
    let mut visitor = Meddler { seen, meddle: &|| meddle(&top) };
    let source = FileSource::new(Options { paths: vec![top.clone()], ..Options::default() }).unwrap();
    source.walk(&mut visitor).unwrap();
    assert_eq!(visitor.seen.depth, 0);
    visitor.seen
}

#[test]
fn the_way_back_survives_what_others_do() {
    let path = |top: &Path, levels| top.join(vec!["d"; levels].join("/"));
    // `..` of what was moved leads elsewhere; the way down from the root still leads to level 49.
    let seen = meddled(|top| std::fs::rename(path(top, 50), top.join("z")).unwrap());
    assert_eq!((seen.leaves, seen.failed.len()), (301, 0));
    // Level 49 itself has gone, by both ways: its `e` and those above it that can no longer be told to be what they were.
    let seen = meddled(|top| {
        std::fs::rename(path(top, 50), top.join("z")).unwrap();
        // Moved, not removed: its inode number would be given to the next directory at once.
        std::fs::rename(path(top, 49), top.join("y")).unwrap();
        std::fs::create_dir(path(top, 49)).unwrap();
    });
    assert_eq!(seen.leaves, 300);
    assert_eq!(seen.failed, [(vec!["d"; 49].join("/"), io::ErrorKind::StaleNetworkFileHandle)]);
}

#[test]
fn what_vanishes_is_told() {
    let home = tempfile::tempdir().unwrap();
    let top = home.path().canonicalize().unwrap();
    make(&top, &["a/deepest", "a/f", "a/g/x", "b"]);
    let meddle = || {
        std::fs::remove_file(top.join("a/f")).unwrap();
        std::fs::remove_dir_all(top.join("a/g")).unwrap();
        std::os::unix::fs::symlink("/", top.join("a/g")).unwrap();
    };
    let seen = Seen { top: top.as_os_str().as_bytes().to_vec(), ..Seen::default() };
    let mut visitor = Meddler { seen, meddle: &meddle };
    let mut source = FileSource::new(Options { paths: vec![top.clone()], ..Options::default() }).unwrap();
    // Read ahead, all of it would be seen before it goes.
    source.threads = 0;
    source.walk(&mut visitor).unwrap();
    assert_eq!(visitor.seen.order, ["a/", "a/deepest", "a/g", "b"]);
    assert_eq!(visitor.seen.failed, [("a/f".to_owned(), io::ErrorKind::NotFound)]);
}

#[test]
fn long_trails_are_dropped_without_recursion() {
    let mut trail = directory::Trail::root();
    for _ in 0..200_000 {
        trail = directory::Trail::below(&trail, b"x");
    }
    assert_eq!(trail.path().len(), 400_000);
}

/// `VAULT_WALK=/path cargo test --release -p vault-engine --lib by_hand -- --ignored --nocapture`
#[test]
#[ignore = "by hand: measures a walk of what VAULT_WALK names"]
fn walk_by_hand() {
    let path = std::env::var_os("VAULT_WALK").expect("VAULT_WALK names a directory");
    let mut excludes = Excludes::default();
    for number in 0..std::env::var("VAULT_PATTERNS").map_or(0, |count| count.parse().unwrap()) {
        excludes.add(format!("pattern-{number}*x").as_bytes(), false).unwrap();
    }
    let mut source = FileSource::new(Options { paths: vec![path.into()], excludes, ..Options::default() }).unwrap();
    source.threads = std::env::var("VAULT_THREADS").map_or(source.threads, |count| count.parse().unwrap());
    for _ in 0..std::env::var("VAULT_ROUNDS").map_or(3, |count| count.parse().unwrap()) {
        let mut seen = Seen { only_count: true, ..Seen::default() };
        let start = std::time::Instant::now();
        source.walk(&mut seen).unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
        let each = start.elapsed().as_secs_f64() * 1e6 / seen.leaves as f64;
        eprintln!("{} leaves, {:.3} s, {each:.2} us a leaf, {peak}", seen.leaves, start.elapsed().as_secs_f64());
    }
}
