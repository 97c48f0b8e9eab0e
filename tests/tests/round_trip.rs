//! What goes in comes out, with its metadata: every kind of tree through the binary, judged by tools that nobody here wrote.

use rustix::fs::{AtFlags, Mode, OFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vault_tests::can::{self, Can};
use vault_tests::clean_room::{CleanRoom, inside};
use vault_tests::compare::{assert_same, data_ranges};
use vault_tests::plain::Plain;
use vault_tests::tree::{self, Entry};

/// Backs up, verifies every byte, restores, compares; and once more from a second, unchanged snapshot.
fn round_trip(entries: &[Entry], prepare: impl Fn(&Path)) -> (CleanRoom, PathBuf, PathBuf) {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, entries);
    prepare(&source);
    let before = Plain::read(&source);
    room.backup(&source);
    room.verify();
    let target = room.restore("latest", &source, "target");
    assert_same(&source, &target);
    assert_eq!(before.differences(&Plain::read(&target)), "");
    room.backup(&source);
    let again = room.restore("latest", &source, "again");
    assert_same(&source, &again);
    (room, source, target)
}

fn shell(script: &str, within: &Path) {
    let done = Command::new("sh").args(["-euc", script]).current_dir(within).output().unwrap();
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn sizes() {
    round_trip(&tree::sizes(), |_| {});
}

#[test]
fn odd_names() {
    round_trip(&tree::odd_names(), |_| {});
}

#[test]
fn types_and_hard_links() {
    round_trip(&tree::types(), |_| {});
}

#[test]
fn modes_and_times() {
    if can::or_skip(Can::Root) {
        round_trip(&tree::modes_and_times(), |_| {});
    }
}

#[test]
fn holes_stay_holes() {
    round_trip(&tree::sparse(), |_| {});
}

#[test]
fn a_terabyte_of_hole_takes_no_space_and_no_hour() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &tree::huge());
    room.backup(&source);
    let target = room.restore("latest", &source, "target");
    assert_eq!(data_ranges(&source.join("huge")), data_ranges(&target.join("huge")));
    assert_eq!(Plain::read(&source).differences(&Plain::read(&target)), "");
}

#[test]
fn without_holes_if_asked() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &tree::sparse());
    room.backup(&source);
    let target = room.path("target");
    let selector = vault_tests::clean_room::selector("latest", &source);
    room.vault(["restore".as_ref(), selector.as_os_str(), "--no-sparse".as_ref(), "--target".as_ref(), target.as_os_str()]).run().ok();
    assert_eq!(data_ranges(&target.join("sparse/hole-last")), [(0, 4 << 20)]);
    assert_eq!(Plain::read(&source).differences(&Plain::read(&target)), "");
}

#[test]
fn user_attributes() {
    if can::or_skip(Can::Xattrs) {
        round_trip(&tree::user_xattrs(), |_| {});
    }
}

#[test]
fn access_lists() {
    if !can::or_skip(Can::Xattrs) {
        return;
    }
    let entries = [tree::dir("d"), tree::dir("d/inner"), tree::file("d/f", "f"), tree::file("d/masked", "m"), tree::file("d/plain", "p")];
    round_trip(&entries, |source| {
        shell(
            "setfacl -m u:33:rwx,g:44:r,u:123456:- d/f; setfacl -m u:33:rwx,m::r d/masked; setfacl -d -m u:33:rx,g:7:w d; setfacl -d -m o::- d/inner",
            source,
        );
        for (number, name) in ["d/f", "d/masked", "d/inner", "d", ""].iter().enumerate() {
            tree::set_mtime(&source.join(name), 1_234_567_890, number as i64).unwrap();
        }
    });
}

#[test]
fn what_only_root_can_make() {
    if can::or_skip(Can::Root) {
        round_trip(&tree::privileged(), |source| {
            shell("cp /bin/true root/ping; setcap cap_net_raw+ep root/ping", source);
        });
    }
}

#[test]
fn inode_flags() {
    if !can::or_skip(Can::Flags) {
        return;
    }
    let flags = |at: &Path| {
        let done = Command::new("lsattr").args(["-d", "f", "d", "i", "a"]).current_dir(at).output().unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    // Dropped before the room, however the test ends: what is immutable cannot be removed.
    let _removable = Removable([source.clone(), room.path("target")]);
    tree::write(&source, &[tree::dir("d"), tree::file("d/in", "in"), tree::file("f", "f"), tree::file("i", "immutable"), tree::file("a", "append")]);
    shell("chattr +dA f; chattr +d d", &source);
    if can::or_skip(Can::Root) {
        shell("chattr +i i; chattr +a a", &source);
    }
    room.backup(&source);
    let target = room.restore("latest", &source, "target");
    let wanted = flags(&source);
    assert_eq!(wanted, flags(&target));
    assert!(wanted.contains('d') && wanted.contains('A'), "{wanted}");
}

/// Takes the flags away that keep root from removing a file.
struct Removable([PathBuf; 2]);

impl Drop for Removable {
    fn drop(&mut self) {
        for place in &self.0 {
            let _ = Command::new("chattr").args(["-R", "-ia"]).arg(place).output();
        }
    }
}

#[test]
fn a_large_and_an_empty_directory() {
    let mut entries = vec![tree::dir("empty"), tree::dir("large")];
    entries.extend((0..8_000).map(|i| tree::file(format!("large/{i:x}-{}", i * 7919 % 1000), "")));
    round_trip(&entries, |_| {});
}

#[test]
fn a_drawn_tree() {
    round_trip(&tree::drawn(2026, 1500), |_| {});
}

/// A chain of directories longer than any path may be; made, listed and removed step by step.
#[test]
fn paths_longer_than_path_max() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    fs::create_dir(&source).unwrap();
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let mut here = rustix::fs::open(&source, flags, Mode::empty()).unwrap();
    let name = "n".repeat(200);
    for _ in 0..30 {
        rustix::fs::mkdirat(&here, name.as_str(), Mode::RWXU).unwrap();
        here = rustix::fs::openat(&here, name.as_str(), flags, Mode::empty()).unwrap();
    }
    let file = rustix::fs::openat(&here, "bottom", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
    rustix::io::write(&file, b"deep down").unwrap();
    rustix::fs::symlinkat("nowhere", &here, "link").unwrap();
    drop((here, file));

    room.backup(&source);
    let target = room.restore("latest", &source, "target");
    let mut there = rustix::fs::open(&target, flags, Mode::empty()).unwrap();
    for _ in 0..30 {
        there = rustix::fs::openat(&there, name.as_str(), flags, Mode::empty()).unwrap();
    }
    let file = rustix::fs::openat(&there, "bottom", OFlags::RDONLY, Mode::empty()).unwrap();
    let mut bytes = [0; 32];
    let length = rustix::io::read(&file, &mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"deep down");
    assert_eq!(rustix::fs::readlinkat(&there, "link", Vec::new()).unwrap().to_bytes(), b"nowhere");
    assert_eq!(rustix::fs::statat(&there, "bottom", AtFlags::empty()).unwrap().st_mode & 0o7777, 0o400);
}

#[test]
fn a_whole_snapshot_lies_under_its_absolute_path() {
    let room = CleanRoom::with_repository();
    let (one, two) = (room.path("one"), room.path("two \u{fc}"));
    tree::write(&one, &tree::types());
    tree::write(&two, &[tree::file("f", "f")]);
    room.vault([std::ffi::OsStr::new("backup"), one.as_os_str(), two.as_os_str()]).run().ok();
    let target = room.path("target");
    room.vault(["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), target.as_os_str()]).run().ok();
    assert_same(&one, &target.join(inside(&one)));
    assert_same(&two, &target.join(inside(&two)));
}

#[test]
fn a_single_file_and_a_symbolic_link_as_named_paths() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::file("f", "alone").mtime(5, 6), tree::symlink("link", "f"), tree::file("other", "not asked for")]);
    let names = [source.join("f"), source.join("link")];
    room.vault(["backup".as_ref(), names[0].as_os_str(), names[1].as_os_str()]).run().ok();
    let target = room.path("target");
    room.vault(["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), target.as_os_str()]).run().ok();
    let restored = Plain::read(&target.join(inside(&source)));
    let names: Vec<String> = restored.0.keys().map(|path| path.escape_ascii().to_string()).collect();
    assert_eq!(names, ["", "f", "link"]);
    assert_eq!(restored.0[b"link".as_slice()].kind, 'l', "a symbolic link is stored as such");
    assert_eq!(restored.0[b"f".as_slice()].mtime, (5, 6));
}

#[test]
fn the_atime_of_the_source_stays() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::file("f", vec![1; 100_000])]);
    tree::set_mtime(&source.join("f"), 1_000_000_000, 0).unwrap();
    let atime = |path: &Path| rustix::fs::stat(path).unwrap().st_atime;
    let before = atime(&source.join("f"));
    room.backup(&source);
    assert_eq!(atime(&source.join("f")), before, "reading for a backup is not reading");
}
