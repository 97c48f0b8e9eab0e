//! The destination over real files, friendly and hostile.

use super::*;
use crate::format::node::{Metadata, NodeType, Time, Xattr};
use crate::ops::source::Stat;
use crate::ops::target::Loss;
use crate::sources::system::owners::Owners;
use crate::sources::system::{stat_from, statx_at};
use std::ffi::{CString, OsStr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

const ALL_TYPES: [NodeType; 7] =
    [NodeType::File, NodeType::Directory, NodeType::Symlink, NodeType::CharDevice, NodeType::BlockDevice, NodeType::Fifo, NodeType::Socket];

fn target(path: &Path) -> Arc<dyn TargetDir> {
    TreeTarget::open(path, Options::default()).unwrap().root()
}

fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root: {test}");
    }
    root
}

/// Metadata that a process may give to its own entries.
fn own(node_type: NodeType, mode: u32) -> Metadata {
    Metadata {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        mtime: Time { seconds: 1_000_000_000, nanoseconds: 123_456_789 },
        ..Metadata::plain(node_type, mode)
    }
}

/// What the source says of an entry.
fn read_back(path: &Path) -> Metadata {
    let dir = std::fs::File::open(path.parent().unwrap()).unwrap();
    let name = CString::new(path.file_name().unwrap().as_bytes()).unwrap();
    let stat: Stat = stat_from(&statx_at(dir.as_fd(), &name).unwrap(), &Devices::default()).unwrap();
    let (metadata, unread) = crate::sources::files::metadata::of(dir.as_fd(), &name, &stat, &Owners::default()).unwrap();
    assert_eq!(unread, Vec::<String>::new());
    metadata
}

fn xattr(name: &str, value: &[u8]) -> Xattr {
    Xattr { name: name.into(), value: value.to_vec() }
}

/// What differs between two entries, apart from what nobody can set.
fn comparable(metadata: &Metadata) -> Metadata {
    Metadata { ctime: Time::default(), inode: 0, size: 0, link_group: None, user: Vec::new(), group: Vec::new(), ..metadata.clone() }
}

#[test]
fn the_root_is_made_and_names_are_raw_bytes() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("new/deeper");
    let top = target(&root);
    for name in [&b"\xff\n"[..], b"b", b"B", &[b'x'; 255]] {
        top.file(name, false).unwrap().write_at(name, 0).unwrap();
    }
    assert_eq!(top.list().unwrap(), [b"B".to_vec(), b"b".to_vec(), vec![b'x'; 255], b"\xff\n".to_vec()]);
    assert_eq!(std::fs::read(root.join(OsStr::from_bytes(b"\xff\n"))).unwrap(), b"\xff\n");
    assert_eq!(top.stat(b"b").unwrap().unwrap().mode, 0o600);
    assert_eq!(top.stat(b"none").unwrap(), None);
    assert_eq!(top.directory(b"d").unwrap().path(b"\xff"), [root.canonicalize().unwrap().as_os_str().as_bytes(), b"/d/\xff"].concat());
    assert_eq!(top.stat(b"d").unwrap().unwrap().mode, 0o700);
    let metadata = own(NodeType::Fifo, 0o600);
    for bad in [&b""[..], b".", b"..", b"a/b", b"/etc", b"a\0"] {
        let kinds = [
            top.stat(bad).map(drop),
            top.directory(bad).map(drop),
            top.file(bad, true).map(drop),
            top.file(bad, false).map(drop),
            top.special(bad, &metadata).map(drop),
            top.link(bad, &*top, b"b"),
            top.link(b"new", &*top, bad),
            top.dress(bad, &metadata).map(drop),
            top.remove(bad),
        ];
        for kind in kinds {
            assert_eq!(kind.unwrap_err().kind(), io::ErrorKind::InvalidInput, "{bad:?}");
        }
    }
}

#[test]
fn files_are_written_punched_and_cut() {
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let top = target(home.path());
    let file = top.file(b"f", false).unwrap();
    file.write_at(&vec![9; 1 << 20], 0).unwrap();
    file.punch(4096, 512 << 10).unwrap();
    file.punch(1 << 20, 1 << 20).unwrap();
    file.punch(0, 0).unwrap();
    assert_eq!(file.length().unwrap(), 1 << 20, "punching never makes longer");
    let mut bytes = vec![1; 2 << 20];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 1 << 20);
    assert!(bytes[..4096].iter().all(|&byte| byte == 9) && bytes[4096..4096 + (512 << 10)].iter().all(|&byte| byte == 0));
    assert!(top.stat(b"f").unwrap().unwrap().allocated < 1 << 20);
    file.set_length(10).unwrap();
    assert_eq!(file.read_at(&mut bytes, 5).unwrap(), 5);
    drop(file);
    assert_eq!(top.file(b"f", false).unwrap().length().unwrap(), 10, "contents are kept");
    assert_eq!(top.file(b"f", true).unwrap().length().unwrap(), 0);
}

#[test]
fn a_tree_of_three_thousand_levels_is_made_dressed_and_removed() {
    let home = tempfile::tempdir().unwrap();
    let top = target(home.path());
    let name = [b'n'; 100];
    let mut chain = vec![Arc::clone(&top)];
    for _ in 0..3_000 {
        let next = chain.last().unwrap().directory(&name).unwrap();
        chain.push(next);
    }
    chain.last().unwrap().file(b"file", true).unwrap().write_at(b"deep", 0).unwrap();
    let metadata = own(NodeType::Directory, 0o755);
    for directory in chain[1..].iter().rev() {
        assert_eq!(directory.dress_self(&metadata).unwrap(), []);
    }
    assert_eq!(chain[1].stat(&name).unwrap().unwrap().mtime, metadata.mtime);
    assert_eq!(chain[2_999].stat(&name).unwrap().unwrap().mode, 0o755);
    assert_eq!(chain[3_000].list().unwrap(), [b"file"]);
    // Only the deepest is kept: its chain of parents is dropped one by one.
    let last = chain.pop().unwrap();
    drop(chain);
    drop(last);
    top.remove(&name).unwrap();
    assert!(top.list().unwrap().is_empty());
}

#[test]
fn a_hundred_thousand_parents_are_dropped_without_recursion() {
    let home = tempfile::tempdir().unwrap();
    let target = TreeTarget::open(home.path(), Options::default()).unwrap();
    let mut deepest = Arc::clone(&target.root);
    for _ in 0..100_000 {
        deepest = Directory::unopened(&deepest, b"x");
    }
    drop(target);
    drop(deepest);
}

#[test]
fn more_directories_than_descriptors() {
    let home = tempfile::tempdir().unwrap();
    let top = target(home.path());
    let parent = top.directory(b"parent").unwrap();
    let all: Vec<_> = (0..1_000).map(|number| parent.directory(format!("{number}").as_bytes()).unwrap()).collect();
    for directory in &all {
        directory.file(b"f", false).unwrap();
    }
    assert_eq!(std::fs::read_dir(home.path().join("parent/999")).unwrap().count(), 1);
    // The first gave its descriptor back. Another directory under its name, or a link, is not taken for it.
    std::fs::rename(home.path().join("parent/0"), home.path().join("moved")).unwrap();
    assert!(all[0].list().is_err());
    symlink(home.path().join("moved"), home.path().join("parent/0")).unwrap();
    assert!(all[0].file(b"g", true).is_err());
    std::fs::remove_file(home.path().join("parent/0")).unwrap();
    std::fs::create_dir(home.path().join("parent/0")).unwrap();
    assert_eq!(all[0].file(b"g", true).err().unwrap().kind(), io::ErrorKind::StaleNetworkFileHandle);
    assert_eq!(std::fs::read_dir(home.path().join("moved")).unwrap().count(), 1);
}

/// A link at every place where something is expected, and nothing at its other end ever changes.
#[test]
fn planted_links_are_never_followed() {
    for no_openat2 in [false, true] {
        let home = tempfile::tempdir().unwrap();
        let outside = home.path().join("outside");
        std::fs::create_dir_all(outside.join("dir/sub")).unwrap();
        std::fs::write(outside.join("file"), b"precious").unwrap();
        std::fs::write(outside.join("dir/sub/file"), b"precious").unwrap();
        let before: Vec<_> = ["file", "dir", "dir/sub", "dir/sub/file"].iter().map(|name| read_back(&outside.join(name))).collect();
        let ends: [PathBuf; 3] = [outside.join("file"), outside.join("dir"), outside.join("missing")];
        for end in &ends {
            let place = home.path().join("place");
            let tree = TreeTarget::open(&place, Options::default()).unwrap();
            tree.root.forbid_openat2(no_openat2);
            let top = tree.root();
            let plant = |name: &str| symlink(end, place.join(name)).unwrap();
            for name in ["directory", "file", "fresh", "dress", "special", "linked", "old", "remove"] {
                plant(name);
            }
            assert!(top.directory(b"directory").is_err());
            assert!(top.file(b"file", false).is_err());
            top.file(b"fresh", true).unwrap().write_at(b"ours", 0).unwrap();
            for node_type in ALL_TYPES.into_iter().filter(|&node_type| node_type != NodeType::Symlink) {
                assert!(top.dress(b"dress", &own(node_type, 0o777)).is_err(), "{node_type:?}");
            }
            assert_eq!(top.dress(b"dress", &own(NodeType::Symlink, 0o777)).unwrap(), []);
            top.special(b"special", &own(NodeType::Fifo, 0o644)).unwrap();
            top.file(b"plain", true).unwrap();
            top.link(b"linked", &*top, b"plain").unwrap();
            // A link to a link is another name of that link, not of what it leads to.
            top.link(b"another", &*top, b"old").unwrap();
            assert!(place.join("another").symlink_metadata().unwrap().is_symlink());
            top.remove(b"remove").unwrap();
            assert!(place.join("remove").symlink_metadata().is_err());
            // Swapped under an open directory, which is gone from its place.
            let inner = top.directory(b"inner").unwrap();
            std::fs::rename(place.join("inner"), place.join("away")).unwrap();
            plant("inner");
            inner.file(b"written", true).unwrap();
            assert!(place.join("away/written").exists());
            // Below a directory that is removed.
            std::fs::create_dir_all(place.join("tree/a")).unwrap();
            plant("tree/link");
            plant("tree/a/link");
            top.remove(b"tree").unwrap();
            std::fs::remove_dir_all(&place).unwrap();
        }
        assert!(!outside.join("missing").exists());
        let after: Vec<_> = ["file", "dir", "dir/sub", "dir/sub/file"].iter().map(|name| read_back(&outside.join(name))).collect();
        assert_eq!(before, after);
    }
}

#[test]
fn what_stands_in_the_way() {
    let home = tempfile::tempdir().unwrap();
    let top = target(home.path());
    top.directory(b"d").unwrap().file(b"x", true).unwrap();
    top.file(b"f", true).unwrap().write_at(b"old", 0).unwrap();
    top.special(b"p", &own(NodeType::Fifo, 0o600)).unwrap();
    assert!(top.directory(b"f").is_err());
    assert!(top.directory(b"p").is_err());
    assert!(top.file(b"d", true).is_err() && top.file(b"d", false).is_err());
    assert!(top.file(b"p", false).is_err());
    assert!(top.special(b"d", &own(NodeType::Fifo, 0o600)).is_err());
    assert!(top.special(b"new", &own(NodeType::File, 0o600)).is_err());
    assert!(top.dress(b"f", &own(NodeType::Directory, 0o600)).is_err());
    assert!(top.dress(b"d", &own(NodeType::File, 0o600)).is_err());
    assert!(top.dress(b"p", &own(NodeType::Socket, 0o600)).is_err());
    top.special(b"f", &own(NodeType::Socket, 0o640)).unwrap();
    assert!(home.path().join("f").symlink_metadata().unwrap().file_type().is_socket());
    top.file(b"p", true).unwrap();
    assert!(home.path().join("p").is_file() && home.path().join("d/x").is_file());
    let link = Metadata { link_target: b"some\xff/where".to_vec(), ..own(NodeType::Symlink, 0o777) };
    assert_eq!(top.special(b"p", &link).unwrap(), []);
    let inode = home.path().join("p").symlink_metadata().unwrap().ino();
    assert_eq!(comparable(&read_back(&home.path().join("p"))), comparable(&link));
    top.special(b"p", &link).unwrap();
    assert_eq!(home.path().join("p").symlink_metadata().unwrap().ino(), inode, "what is right stays");
}

#[test]
fn other_names_of_a_file_are_safe() {
    let home = tempfile::tempdir().unwrap();
    let top = target(home.path());
    let other = top.directory(b"d").unwrap();
    top.file(b"a", true).unwrap().write_at(b"first", 0).unwrap();
    other.link(b"b", &*top, b"a").unwrap();
    other.link(b"b", &*top, b"a").unwrap();
    assert_eq!(top.stat(b"a").unwrap().unwrap().link_group, other.stat(b"b").unwrap().unwrap().link_group);
    let linked = Metadata { link_group: top.stat(b"a").unwrap().unwrap().link_group, ..own(NodeType::File, 0o640) };
    assert_eq!(top.dress(b"a", &linked).unwrap(), []);
    assert!(top.dress(b"a", &own(NodeType::File, 0o644)).is_err(), "the other name would change too");
    assert_eq!(other.stat(b"b").unwrap().unwrap().mode, 0o640);
    assert!(other.file(b"b", false).is_err(), "writing would change both");
    other.file(b"b", true).unwrap().write_at(b"second", 0).unwrap();
    assert_eq!(std::fs::read(home.path().join("a")).unwrap(), b"first");
    other.link(b"b", &*top, b"a").unwrap();
    assert_eq!(std::fs::read(home.path().join("d/b")).unwrap(), b"first");
    assert!(top.link(b"d", &*top, b"a").is_err(), "a directory is not replaced");
    let elsewhere = tempfile::tempdir().unwrap();
    assert_eq!(target(elsewhere.path()).link(b"x", &*top, b"a").unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

/// `cap_net_bind_service=ep` as the kernel stores it, revision 2.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// user::rw-, user:1:rw-, group::r--, mask::rw-, other::---; as a mode 0660.
const ACL: &[u8] = &[
    2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 1, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255,
    255, 255,
];

#[test]
fn everything_comes_back() {
    if !is_root("everything_comes_back") {
        return;
    }
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let top = target(home.path());
    let file = Metadata {
        uid: 1234,
        gid: 5678,
        xattrs: vec![xattr("security.capability", CAPABILITY), xattr("system.posix_acl_access", ACL), xattr("trusted.t", b""), xattr("user.u", &[3; 2_000])],
        flags: 0x40 | 0x80 | 0x10,
        ..own(NodeType::File, 0o4660)
    };
    let directory = Metadata {
        mtime: Time { seconds: -5, nanoseconds: 999_999_999 },
        xattrs: vec![xattr("system.posix_acl_default", ACL)],
        flags: 0x20,
        ..own(NodeType::Directory, 0o3751)
    };
    let device = Metadata { device: (1, 3), uid: 7, ..own(NodeType::CharDevice, 0o666) };
    let block = Metadata { device: (259, 77), xattrs: vec![xattr("trusted.dev", b"x")], ..own(NodeType::BlockDevice, 0o660) };
    let fifo = own(NodeType::Fifo, 0o1622);
    let socket = own(NodeType::Socket, 0o755);
    let link = Metadata { link_target: vec![b'l'; 3_000], gid: 9, xattrs: vec![xattr("trusted.l", b"1")], ..own(NodeType::Symlink, 0o777) };
    // Twice: new, and over what is there, with the immutable file and the append-only directory in the way.
    for _ in 0..2 {
        let inner = top.directory(b"d").unwrap();
        let written = inner.file(b"f", false).unwrap();
        written.write_at(b"contents", 0).unwrap();
        assert_eq!(written.dress(&file).unwrap(), []);
        assert_eq!(inner.special(b"null", &device).unwrap(), []);
        assert_eq!(inner.special(b"block", &block).unwrap(), []);
        assert_eq!(inner.special(b"fifo", &fifo).unwrap(), []);
        assert_eq!(inner.special(b"socket", &socket).unwrap(), []);
        assert_eq!(inner.special(b"link", &link).unwrap(), []);
        inner.link(b"g", &*inner, b"f").unwrap();
        assert_eq!(inner.dress_self(&directory).unwrap(), []);
        for (name, expected) in [
            ("d", &directory),
            ("d/f", &file),
            ("d/g", &file),
            ("d/null", &device),
            ("d/block", &block),
            ("d/fifo", &fifo),
            ("d/socket", &socket),
            ("d/link", &link),
        ] {
            assert_eq!(comparable(&read_back(&home.path().join(name))), comparable(expected), "{name}");
        }
        inner.remove(b"g").unwrap();
        assert_eq!(top.dress(b"d", &directory).unwrap(), []);
    }
    assert_eq!(std::fs::read(home.path().join("d/f")).unwrap(), b"contents");
    // Dressed plainly, everything that is too much goes.
    let plain = own(NodeType::File, 0o600);
    let inner = top.directory(b"d").unwrap();
    assert_eq!(inner.dress(b"f", &plain).unwrap(), []);
    assert_eq!(comparable(&read_back(&home.path().join("d/f"))), comparable(&plain));
    assert_eq!(inner.dress(b"f", &file).unwrap(), []);
    assert_eq!(inner.dress_self(&directory).unwrap(), []);
    top.remove(b"d").unwrap();
    assert!(top.list().unwrap().is_empty());
}

#[test]
fn what_is_supposed_of_new_files_is_found_out() {
    if !is_root("what_is_supposed_of_new_files_is_found_out") {
        return;
    }
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let top = target(home.path());
    let dir = top.directory(b"d").unwrap();
    let theirs = Metadata { uid: 1234, gid: 5678, xattrs: vec![xattr("user.u", b"1")], flags: 0x40, ..own(NodeType::File, 0o640) };
    let suid = Metadata { uid: 1234, gid: 5678, ..own(NodeType::File, 0o6755) };
    let put = |dir: &Arc<dyn TargetDir>, name: &str, metadata: &Metadata| {
        let file = dir.file(name.as_bytes(), true).unwrap();
        file.write_at(b"x", 0).unwrap();
        assert_eq!(file.dress(metadata).unwrap(), [], "{name}");
    };
    let check = |way: &str, metadata: &Metadata| assert_eq!(comparable(&read_back(&home.path().join(way))), comparable(metadata), "{way}");
    // The first teaches what new files are like; the next ones are all that it was not.
    for (name, metadata) in [("first", &own(NodeType::File, 0o600)), ("second", &theirs), ("third", &suid), ("fourth", &own(NodeType::File, 0o444))] {
        put(&dir, name, metadata);
        check(&format!("d/{name}"), metadata);
    }
    // Somebody gives the directory to a group that new files inherit, here and in a directory made before.
    let inner = dir.directory(b"inner").unwrap();
    for way in ["d", "d/inner"] {
        std::os::unix::fs::chown(home.path().join(way), None, Some(77)).unwrap();
        std::fs::set_permissions(home.path().join(way), std::fs::Permissions::from_mode(0o2700)).unwrap();
    }
    for (dir, way) in [(&dir, "d"), (&inner, "d/inner")] {
        for (name, metadata) in [("ours", &own(NodeType::File, 0o640)), ("theirs", &theirs), ("suid", &suid)] {
            put(dir, name, metadata);
            check(&format!("{way}/{name}"), metadata);
        }
    }
    // A default ACL is inherited too: a directory that has one from the start teaches nothing wrong.
    let with_acl = top.directory(b"acl").unwrap();
    assert_eq!(top.dress(b"acl", &Metadata { xattrs: vec![xattr("system.posix_acl_default", ACL)], ..own(NodeType::Directory, 0o700) }).unwrap(), []);
    for name in ["one", "two"] {
        put(&with_acl, name, &own(NodeType::File, 0o600));
        check(&format!("acl/{name}"), &own(NodeType::File, 0o600));
    }
}

#[test]
fn a_removal_stops_at_mounts() {
    if !is_root("a_removal_stops_at_mounts") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let mount = home.path().join("t/m");
    std::fs::create_dir_all(&mount).unwrap();
    if !std::process::Command::new("mount").args(["-t", "tmpfs", "vault-test"]).arg(&mount).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: mount is not allowed here");
        return;
    }
    std::fs::write(mount.join("precious"), b"").unwrap();
    let outcome = target(home.path()).remove(b"t");
    let there = mount.join("precious").exists();
    assert!(std::process::Command::new("umount").arg("-l").arg(&mount).status().unwrap().success());
    assert!(there);
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::CrossesDevices);
}

#[test]
fn losses_of_a_plain_user_are_listed() {
    if !is_root("losses_of_a_plain_user_are_listed") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(home.path(), Some(65_534), Some(65_534)).unwrap();
    assert!(as_nobody("sources::tree_target::tests::as_nobody_dresses", home.path()));
}

/// Run by the test above in a child process; by itself it has nothing to do.
#[test]
fn as_nobody_dresses() {
    let Some(home) = std::env::var_os("VAULT_TEST_AS_NOBODY") else {
        return;
    };
    let home = Path::new(&home);
    let top = target(&home.join("new"));
    let foreign = Metadata { uid: 12, gid: 34, user: b"nobody knows".to_vec(), xattrs: vec![xattr("trusted.t", b"1")], ..own(NodeType::File, 0o6755) };
    let losses = top.file(b"f", true).unwrap().dress(&foreign).unwrap();
    let what: Vec<&str> = losses.iter().map(|Loss { what, .. }| what.as_str()).collect();
    assert_eq!(what, ["owner", "setuid bit", "setgid bit", "xattr trusted.t"]);
    assert!(losses[0].why.contains("not permitted"), "{losses:?}");
    assert_eq!(home.join("new/f").metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(home.join("new/f").metadata().unwrap().mtime(), 1_000_000_000);
    let null = Metadata { device: (1, 3), ..own(NodeType::CharDevice, 0o666) };
    assert!(top.special(b"null", &null).is_err());
    // Read-only files and directories of one's own are no obstacle, nor are they to a removal.
    let shut = top.directory(b"shut").unwrap();
    for _ in 0..2 {
        shut.file(b"f", false).unwrap().dress(&own(NodeType::File, 0)).unwrap();
        shut.file(b"new", true).unwrap();
        assert_eq!(shut.dress_self(&own(NodeType::Directory, 0o100)).unwrap(), []);
        assert_eq!(shut.dress(b"f", &own(NodeType::File, 0)).unwrap(), []);
    }
    let again = target(&home.join("new")).directory(b"shut").unwrap();
    assert_eq!(again.dress_self(&own(NodeType::Directory, 0o500)).unwrap(), []);
    assert_eq!(top.dress(b"shut", &own(NodeType::Directory, 0o100)).unwrap(), []);
    top.remove(b"shut").unwrap();
}

/// `cargo test --release -p vault-engine --lib by_hand -- --ignored --nocapture`, under `strace -c -f` to count calls.
#[test]
#[ignore = "by hand: measures writing and dressing 100,000 files"]
fn write_by_hand() {
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let top = target(home.path());
    let metadata = own(NodeType::File, 0o644);
    let start = std::time::Instant::now();
    for directory in 0..1_000 {
        let inner = top.directory(format!("{directory}").as_bytes()).unwrap();
        for file in 0..100 {
            let file = inner.file(format!("{file}").as_bytes(), false).unwrap();
            file.write_at(&[7; 4096], 0).unwrap();
            assert_eq!(file.dress(&metadata).unwrap(), []);
        }
    }
    eprintln!("{:.1} us a file", start.elapsed().as_secs_f64() * 10.0);
    let start = std::time::Instant::now();
    for directory in 0..1_000 {
        top.remove(format!("{directory}").as_bytes()).unwrap();
    }
    eprintln!("{:.1} us a file removed", start.elapsed().as_secs_f64() * 10.0);
}
