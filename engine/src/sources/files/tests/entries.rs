//! Single entries as the walk hands them out: their metadata, their bytes, what took their place.

use super::*;

#[test]
fn hard_links_share_a_group() {
    let home = tempfile::tempdir().unwrap();
    make(home.path(), &["a", "d/"]);
    std::fs::hard_link(home.path().join("a"), home.path().join("d/b")).unwrap();
    let seen = walked(home.path(), Options::default());
    let group = seen.of("a").0.link_group.expect("two names");
    assert_eq!(Some(group), seen.of("d/b").0.link_group);
    assert_eq!(seen.of("d").0.link_group, None);
    assert_eq!(seen.open("a").unwrap().stat().unwrap().unwrap(), *seen.of("a").0);
}

#[test]
fn holes_are_found_and_files_read_again() {
    let home = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(home.path().join("sparse")).unwrap();
    file.write_all_at(&[1; 4096], 1 << 20).unwrap();
    file.set_len(80 << 20).unwrap();
    let seen = walked(home.path(), Options::default());
    assert!(seen.of("sparse").0.allocated < 1 << 20);
    let mut body = seen.open("sparse").unwrap();
    let range = body.next_data(0).unwrap().unwrap();
    assert!(range.start <= 1 << 20 && range.end >= (1 << 20) + 4096 && range.end < 80 << 20, "{range:?}");
    let mut byte = [0];
    assert_eq!(body.next_data(1 << 20).unwrap().unwrap().start, 1 << 20);
    assert_eq!((body.read(&mut byte).unwrap(), byte[0]), (1, 1));
    assert_eq!(body.next_data(range.end).unwrap(), None);
    assert_eq!(body.next_data(1 << 40).unwrap(), None);
    body.rewind().unwrap();
    let mut all = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        match body.read(&mut all).unwrap() {
            0 => break,
            length => total += length,
        }
    }
    assert_eq!(total, 80 << 20);
    body.release();
}

#[test]
fn reading_leaves_the_page_cache_as_it_was() {
    // On a real disk: tmpfs has nothing but the cache.
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    let cached = |name: &str, offset: u64| {
        let fd = std::fs::File::open(home.path().join(name)).unwrap();
        rustix::fs::fadvise(&fd, 0, None, rustix::fs::Advice::Random).unwrap();
        rustix::io::preadv2(&fd, &mut [io::IoSliceMut::new(&mut [0])], offset, rustix::io::ReadWriteFlags::NOWAIT) != Err(rustix::io::Errno::AGAIN)
    };
    for name in ["cold", "warm", "small"] {
        std::fs::write(home.path().join(name), vec![5; if name == "small" { 5_000 } else { 70 << 20 }]).unwrap();
        let file = std::fs::File::open(home.path().join(name)).unwrap();
        file.sync_all().unwrap();
        if name != "warm" {
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
    }
    if cached("cold", 5 << 20) || !cached("warm", 5 << 20) {
        eprintln!("skipped: this file system does not tell what is cached");
        return;
    }
    let seen = walked(home.path(), Options::default());
    for name in ["cold", "warm", "small"] {
        let mut body = seen.open(name).unwrap();
        let mut buffer = vec![0; 1 << 20];
        while body.read(&mut buffer).unwrap() > 0 {}
        body.release();
    }
    assert!(!cached("cold", 50 << 20) && !cached("small", 0), "we brought these in");
    assert!(cached("warm", 50 << 20), "this was there before us");
}

#[test]
fn a_file_ends_where_it_ends() {
    for home in [tempfile::tempdir_in("/var/tmp").unwrap(), tempfile::tempdir().unwrap()] {
        for (length, piece) in [(0, 10), (5, 10), (10, 10), (11, 10), (30, 10), (3 << 20, 1 << 20), (33 << 20, 40 << 20), (70 << 20, 1 << 20)] {
            let bytes: Vec<u8> = (0..length).map(|n: usize| (n * 7 + n / 251) as u8).collect();
            std::fs::write(home.path().join("x"), &bytes).unwrap();
            let file = std::fs::File::open(home.path().join("x")).unwrap();
            file.sync_all().unwrap();
            let seen = walked(home.path(), Options::default());
            for cold in [true, false] {
                if cold {
                    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
                }
                let mut body = seen.open("x").unwrap();
                for _ in 0..2 {
                    let mut read = Vec::new();
                    let mut buffer = vec![0; piece];
                    loop {
                        match body.read(&mut buffer).unwrap() {
                            0 => break,
                            length => read.extend_from_slice(&buffer[..length]),
                        }
                    }
                    assert!(read == bytes, "{length} in pieces of {piece}, cold: {cold}");
                    // What is allocated may still be moving: the file is young.
                    let now = body.stat().unwrap().unwrap();
                    assert_eq!(Stat { allocated: 0, ..now }, Stat { allocated: 0, ..*seen.of("x").0 });
                    let (metadata, unread) = body.metadata(seen.of("x").0).unwrap().unwrap();
                    assert_eq!((metadata, unread.len()), (seen.metadata("x"), 0));
                    body.rewind().unwrap();
                }
            }
        }
    }
    // Files that grow while they are read, and such as have no size at all.
    let home = tempfile::tempdir().unwrap();
    make(home.path(), &["x"]);
    let seen = walked(home.path(), Options::default());
    let mut body = seen.open("x").unwrap();
    let mut buffer = [0; 100];
    assert_eq!(body.read(&mut buffer).unwrap(), 1);
    std::fs::write(home.path().join("x"), b"xyz").unwrap();
    assert_eq!(body.read(&mut buffer).unwrap(), 2);
    assert_eq!(body.read(&mut buffer).unwrap(), 0);
    assert_eq!(body.stat().unwrap().unwrap().size, 3);
    // Walked once: the kernel may make this file anew, with other times, whenever somebody looks.
    let mut seen = Seen::under(Path::new("/proc/self/net"));
    FileSource::new(Options { paths: vec!["/proc/self/net/dev".into()], ..Options::default() }).unwrap().walk(&mut seen).unwrap();
    let mut body = seen.open("dev").unwrap();
    let mut read = 0;
    loop {
        match body.read(&mut buffer).unwrap() {
            0 => break,
            length => read += length,
        }
    }
    assert!(read > 100 && body.stat().unwrap().unwrap().size == 0);
}

#[test]
fn what_is_not_a_file_never_blocks() {
    let home = tempfile::tempdir().unwrap();
    make(home.path(), &["x"]);
    let dir = std::fs::File::open(home.path()).unwrap();
    rustix::fs::mknodat(&dir, "fifo", rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    std::os::unix::net::UnixListener::bind(home.path().join("socket")).unwrap();
    let seen = walked(home.path(), Options::default());
    assert_eq!(seen.order, ["fifo", "socket", "x"]);
    assert_eq!((seen.of("fifo").0.node_type, seen.of("socket").0.node_type), (NodeType::Fifo, NodeType::Socket));
    assert_eq!(seen.metadata("fifo").node_type, NodeType::Fifo);
    assert_eq!(seen.metadata("socket").size, 0);
    // Another kind of thing has taken the file's place since the walk.
    std::fs::remove_file(home.path().join("x")).unwrap();
    std::fs::rename(home.path().join("fifo"), home.path().join("x")).unwrap();
    assert!(seen.open("x").and_then(|mut body| body.read(&mut [0; 8])).is_err());
    assert!(seen.open("x").and_then(|mut body| body.stat()).is_err());
    assert!(seen.open("x").and_then(|mut body| body.next_data(0)).is_err());
    let (stat, dir) = seen.of("x");
    assert_eq!(dir.metadata(b"x", stat).unwrap_err().kind(), io::ErrorKind::StaleNetworkFileHandle);
    std::fs::remove_file(home.path().join("x")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", home.path().join("x")).unwrap();
    assert!(seen.open("x").is_err(), "links are not followed");
    assert_eq!(dir.open(b"../x").err().unwrap().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn attributes_acls_capabilities_flags_and_devices() {
    if !is_root("attributes_acls_capabilities_flags_and_devices") {
        return;
    }
    let home = tempfile::tempdir_in("/var/tmp").unwrap();
    make(home.path(), &["x", "d/"]);
    std::os::unix::fs::symlink("x", home.path().join("l")).unwrap();
    let at = |name: &str| home.path().join(name);
    let set = |name: &str, key: &str, value: &[u8]| {
        rustix::fs::lsetxattr(at(name), key, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    set("x", "user.long", &[7; 3_000]);
    set("x", "trusted.t", b"");
    set("x", "security.capability", CAPABILITY);
    set("x", "system.posix_acl_access", ACL);
    set("d", "system.posix_acl_default", ACL);
    set("l", "trusted.on-a-link", b"1");
    let flagged = std::fs::File::open(at("d")).unwrap();
    let before = rustix::fs::ioctl_getflags(&flagged).unwrap();
    rustix::fs::ioctl_setflags(&flagged, before | rustix::fs::IFlags::NODUMP | rustix::fs::IFlags::NOATIME).unwrap();
    let dir = std::fs::File::open(home.path()).unwrap();
    let number = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(&dir, "null", rustix::fs::FileType::CharacterDevice, rustix::fs::Mode::RWXU, number).unwrap();
    let seen = walked(home.path(), Options::default());
    let names = |path: &str| seen.metadata(path).xattrs.into_iter().map(|xattr| String::from_utf8(xattr.name).unwrap()).collect::<Vec<_>>();
    assert_eq!(names("x"), ["security.capability", "system.posix_acl_access", "trusted.t", "user.long"]);
    assert_eq!(seen.metadata("x").xattrs[3].value, [7; 3_000]);
    assert_eq!(seen.metadata("x").xattrs[1].value, ACL);
    assert_eq!(names("d"), ["system.posix_acl_default"]);
    assert_eq!(names("l"), ["trusted.on-a-link"]);
    assert_eq!(seen.metadata("d").flags, 0xC0, "nodump and noatime, and nothing of the file system's own");
    let null = seen.metadata("null");
    assert_eq!((null.node_type, null.device, null.user.as_slice()), (NodeType::CharDevice, (1, 3), &b"root"[..]));
}

/// `cap_net_bind_service=ep` as the kernel stores it, revision 2.
const CAPABILITY: &[u8] = &[1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// user::rw-, user:1:r--, group::r--, mask::r--, other::---
const ACL: &[u8] = &[
    2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 1, 0, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255,
    255, 255,
];
