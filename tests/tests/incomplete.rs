//! Sources that cannot be read whole: unreadable, vanished, changing. A snapshot is made, what is missing is listed, exit code 3.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use vault_tests::call::{Done, text};
use vault_tests::can::{self, Can};
use vault_tests::clean_room::CleanRoom;
use vault_tests::tree;

fn room_with_files() -> (CleanRoom, PathBuf) {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::dir("d"), tree::file("d/before", "1"), tree::noise("d/victim", 700_000, 3), tree::file("d/zebra", "2")]);
    (room, source)
}

/// `vault backup --json SOURCE` while the kernel answers some calls on `victim` as told (`strace -e inject=…`).
fn backup_with_fault(room: &CleanRoom, source: &Path, path: &Path, fault: &str) -> Done {
    let inject = format!("inject={fault}");
    let tracer = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", &inject, "-P"].map(OsStr::new);
    room.vault([OsStr::new("backup"), OsStr::new("--json"), source.as_os_str()]).under(&[&tracer[..], &[path.as_os_str()]].concat()).run()
}

fn assert_listed(done: &Done, name: &str) {
    let items: Vec<String> = done.events_of("error").iter().map(|event| text(event, "item")).collect();
    assert!(items.iter().any(|item| item.contains(name)), "{name} is not listed: {done}");
}

/// All but the victim came back.
fn assert_the_rest_is_there(room: &CleanRoom, source: &Path) {
    let target = room.restore("latest", source, "target");
    for name in ["d/before", "d/zebra"] {
        assert_eq!(fs::read(source.join(name)).unwrap(), fs::read(target.join(name)).unwrap());
    }
    assert!(!target.join("d/victim").exists(), "half a file is no file");
}

#[test]
fn a_file_that_vanishes_before_it_is_looked_at() {
    if !can::or_skip(Can::Strace) {
        return;
    }
    let (room, source) = room_with_files();
    let done = backup_with_fault(&room, &source, Path::new("victim"), "statx,newfstatat:error=ENOENT").code(3);
    assert_listed(&done, "victim");
    assert_the_rest_is_there(&room, &source);
}

#[test]
fn a_file_that_vanishes_before_it_is_opened() {
    if !can::or_skip(Can::Strace) {
        return;
    }
    let (room, source) = room_with_files();
    let done = backup_with_fault(&room, &source, Path::new("victim"), "openat,openat2:error=ENOENT").code(3);
    assert_listed(&done, "victim");
    assert_the_rest_is_there(&room, &source);
}

#[test]
fn a_file_on_a_failing_disk() {
    if !can::or_skip(Can::Strace) {
        return;
    }
    let (room, source) = room_with_files();
    let done = backup_with_fault(&room, &source, &source.join("d/victim"), "read,pread64,readv,preadv,preadv2:error=EIO").code(3);
    assert_listed(&done, "victim");
    assert_the_rest_is_there(&room, &source);
}

#[test]
fn a_directory_that_cannot_be_listed() {
    if !can::or_skip(Can::Strace) {
        return;
    }
    let (room, source) = room_with_files();
    let done = backup_with_fault(&room, &source, &source.join("d"), "getdents64:error=EIO").code(3);
    assert_listed(&done, "/d");
}

#[test]
fn unreadable_for_a_plain_user() {
    if !can::or_skip(Can::PlainUser) {
        return;
    }
    let mut room = CleanRoom::new();
    let source = room.path("source");
    tree::write(&source, &[tree::file("secret", "s").mode(0o600), tree::file("open", "o").mode(0o644), tree::dir("closed").mode(0o700)]);
    let mine = room.path("mine");
    fs::create_dir(&mine).unwrap();
    rustix::fs::chown(&mine, Some(rustix::fs::Uid::from_raw(65_534)), None).unwrap();
    for (variable, place) in [("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data"), ("XDG_CACHE_HOME", "cache")] {
        room.set(variable, mine.join(place));
    }
    let done = room.vault([OsStr::new("backup"), OsStr::new("--init"), OsStr::new("--json"), source.as_os_str()]).as_plain_user().run().code(3);
    assert_listed(&done, "secret");
    assert_listed(&done, "closed");
    let selector = vault_tests::clean_room::selector("latest", &source.join("open"));
    assert_eq!(room.vault([OsStr::new("dump"), &selector]).as_plain_user().run().ok().text(), "o");
}

/// Many files go while the walk is under way: whatever it met, it says so, and what it stored is right.
#[test]
fn files_that_vanish_in_the_middle_of_a_walk() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    let mut entries = vec![tree::dir("d")];
    entries.extend((0..6000).map(|i| tree::file(format!("d/{i:05}"), format!("contents {i}"))));
    tree::write(&source, &entries);
    let running = room.vault([OsStr::new("backup"), OsStr::new("--json"), source.as_os_str()]).start();
    for i in (0..6000).rev() {
        fs::remove_file(source.join(format!("d/{i:05}"))).unwrap();
    }
    let done = running.wait();
    assert!(matches!(done.code, Some(0 | 3)), "{done}");
    assert_eq!(done.code == Some(3), !done.events_of("error").is_empty(), "listed if and only if the exit code says so: {done}");
    let target = room.restore("latest", &source, "target");
    for path in vault_tests::clean_room::files_below(&target) {
        let number: usize = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("contents {number}"));
    }
    room.verify();
}

#[test]
fn a_file_that_never_holds_still_is_stored_with_a_mark() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::noise("restless", 48 << 20, 3), tree::file("still", "still")]);
    let stop = AtomicBool::new(false);
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::OpenOptions::new().append(true).open(source.join("restless")).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.write_all(b"more").unwrap();
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let done = room.vault([OsStr::new("backup"), OsStr::new("--json"), source.as_os_str()]).run();
        stop.store(true, Ordering::Relaxed);
        done
    })
    .code(3);
    assert_listed(&done, "restless");
    let listed = room.vault(["ls", "--json", "latest"]).run().ok();
    let marked: Vec<String> = listed.events_of("node").iter().filter(|node| node["changed_while_read"] == true).map(|node| text(node, "name")).collect();
    assert_eq!(marked, ["restless"]);
    room.verify();
    // The next run must not take the marked file for unchanged.
    let summary = room.backup(&source);
    assert_eq!(summary["files_changed"], 1, "{summary}");
    let target = room.restore("latest", &source, "target");
    vault_tests::compare::assert_same(&source, &target);
}

/// A file rewritten with equal length and time: the change time gives it away, or the file is young and read again.
#[test]
fn a_change_behind_an_equal_mtime_is_seen() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::file("f", "first!").mtime(1000, 0)]);
    for round in 0..10 {
        let contents = format!("turn {round}");
        fs::write(source.join("f"), &contents).unwrap();
        tree::set_mtime(&source.join("f"), 1000, 0).unwrap();
        room.backup(&source);
        let selector = vault_tests::clean_room::selector("latest", &source.join("f"));
        assert_eq!(room.vault([OsStr::new("dump"), &selector]).run().ok().text(), contents);
    }
}
