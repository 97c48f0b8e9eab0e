//! The trees that every test may want: sizes, odd names, types, times, holes, attributes, what only root can make, and drawn ones.

use super::{Content, Entry, Kind, Random, dir, entry, file, link, noise, symlink};

/// Files of the sizes at which something changes: empty, one byte, the solid limit and its neighbours, several chunks.
pub fn sizes() -> Vec<Entry> {
    const KIB: usize = 1024;
    let sizes = [0, 1, 4096, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 1024 * KIB, 4096 * KIB + 1, 9 * 1024 * KIB + 7];
    let mut entries = vec![dir("sizes")];
    for (seed, size) in sizes.into_iter().enumerate() {
        entries.push(noise(format!("sizes/noise-{size}"), size, seed as u64));
        let words = Random(seed as u64).words(size);
        entries.push(file(format!("sizes/words-{size}"), words));
    }
    entries.push(file("sizes/zeros", vec![0; 3 * 1024 * KIB]));
    entries
}

/// Names that break careless programs.
pub fn odd_names() -> Vec<Entry> {
    let mut names: Vec<Vec<u8>> = [
        "-rf",
        "--help",
        "new\nline",
        " lead",
        "trail ",
        "tab\there",
        "quote'\"",
        "back\\slash",
        "*?[x]",
        "$(id)",
        "#hash",
        "~",
        "...",
        "a:b",
        "\u{1f980}",
        "e\u{301}",
        "\u{e9}",
        "\u{202e}txt",
        "CON",
        "a%41",
        "\u{7f}",
        "\u{1b}[31mred",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(b"\xff\xfe not utf-8 \x80".to_vec());
    names.push(vec![0x01, 0x02, 0xc3]);
    names.push(vec![b'n'; 255]);
    let mut entries = vec![dir("odd")];
    for name in names {
        let path = [b"odd/", name.as_slice()].concat();
        entries.push(file(&path, &name));
    }
    let below = [b"odd/dir \xff".as_slice(), b"odd/dir \xff/inner\n"];
    entries.push(dir(below[0]));
    entries.push(file(below[1], "inner"));
    entries
}

/// Every type that needs no rights: links that lead somewhere, nowhere, to themselves; pipes, sockets; hard links across directories.
pub fn types() -> Vec<Entry> {
    vec![
        dir("types"),
        dir("types/empty"),
        dir("types/sub"),
        file("types/plain", "plain"),
        symlink("types/to-file", "plain"),
        symlink("types/to-dir", "sub"),
        symlink("types/broken", "no/such/thing"),
        symlink("types/loop", "loop"),
        symlink("types/absolute", "/etc/hostname"),
        symlink("types/raw", b"\xff\xfe\n"),
        symlink("types/long", vec![b'l'; 4000]),
        entry("types/pipe", Kind::Fifo).mode(0o640),
        entry("types/socket", Kind::Socket).mode(0o711),
        noise("types/first", 300_000, 77),
        link("types/second", "types/first"),
        link("types/sub/third", "types/first"),
        link("types/pipe-too", "types/pipe"),
        link("types/to-file-too", "types/to-file"),
        file("types/empty-a", ""),
        link("types/empty-b", "types/empty-a"),
    ]
}

/// Modes, special bits, times.
pub fn modes_and_times() -> Vec<Entry> {
    let mut entries = vec![dir("modes").mtime(1_000_000_000, 1)];
    for mode in [0o000, 0o400, 0o200, 0o777, 0o4755, 0o2755, 0o6711, 0o1644, 0o7777] {
        entries.push(file(format!("modes/f{mode:04o}"), format!("{mode:o}")).mode(mode));
        entries.push(dir(format!("modes/d{mode:04o}")).mode(mode));
    }
    let times = [(0, 0), (0, 1), (-1, 999_999_999), (-86_400 * 365 * 20, 5), (1_700_000_000, 123_456_789), (4_000_000_000, 1), (9_999_999_999, 999_999_999)];
    for (number, (seconds, nanoseconds)) in times.into_iter().enumerate() {
        entries.push(file(format!("modes/t{number}"), "t").mtime(seconds, nanoseconds));
        entries.push(symlink(format!("modes/s{number}"), "t").mtime(seconds, nanoseconds));
        entries.push(dir(format!("modes/D{number}")).mtime(seconds, nanoseconds));
    }
    entries
}

/// Sparse files: all hole, hole first, hole last, many holes, huge.
pub fn sparse() -> Vec<Entry> {
    const MIB: u64 = 1 << 20;
    let make = |name: &str, length, data| entry(format!("sparse/{name}"), Kind::File(Content::Sparse { length, data }));
    vec![
        dir("sparse"),
        make("all-hole", 5 * MIB, vec![]),
        make("hole-first", 4 * MIB, vec![(3 * MIB, 100)]),
        make("hole-last", 4 * MIB, vec![(0, 70_000)]),
        make("small", 65_536, vec![(32_768, 4096)]),
        make("many", 32 * MIB, (0..32).map(|i| (i * MIB, 5000)).collect()),
        make("odd-end", 3 * MIB + 13, vec![(2 * MIB, 65_536)]),
    ]
}

/// A file of one TiB that is nearly all hole; not for judges that read holes.
pub fn huge() -> Vec<Entry> {
    let end = 1 << 40;
    let data = vec![(0, 10), (end / 2, 4096), (end - 4096, 4096)];
    vec![entry("huge", Kind::File(Content::Sparse { length: end, data }))]
}

/// User attributes: on files and directories, empty, binary, large.
pub fn user_xattrs() -> Vec<Entry> {
    vec![
        dir("xattrs").xattr("user.dir", b"on a directory"),
        file("xattrs/one", "1").xattr("user.comment", b"hello"),
        file("xattrs/empty", "2").xattr("user.empty", b""),
        file("xattrs/binary", "3").xattr("user.binary", &[0, 255, 10, 13, 0]).xattr("user.second", b"2"),
        file("xattrs/large", "4").xattr("user.large", &Random(9).bytes(2000)),
        file("xattrs/utf8", "5").xattr("user.gr\u{fc}n", b"x"),
        file("xattrs/shared", "6").xattr("user.shared", b"one inode"),
        link("xattrs/shared-too", "xattrs/shared"),
    ]
}

/// What only root can make: devices, owners (also such that no account has), trusted attributes, attributes on links.
pub fn privileged() -> Vec<Entry> {
    vec![
        dir("root").owner(65_534, 65_534).mode(0o2775),
        entry("root/null", Kind::Character(1, 3)).mode(0o666),
        entry("root/tty", Kind::Character(4, 64)).mode(0o620).owner(0, 5),
        entry("root/loop", Kind::Block(7, 200)).mode(0o660).owner(0, 6),
        entry("root/big", Kind::Character(511, 70_000)),
        link("root/null-too", "root/null"),
        file("root/nobody", "n").owner(65_534, 65_534),
        file("root/stranger", "s").owner(1_234_567, 7_654_321),
        file("root/suid", "s").owner(1000, 1000).mode(0o6755),
        symlink("root/link", "stranger").owner(4242, 4343).mtime(1_111_111_111, 222),
        file("root/trusted", "t").xattr("trusted.secret", b"for root").xattr("user.plain", b"for all"),
        symlink("root/attributed", "x").xattr("trusted.onlink", b"kept"),
        entry("root/pipe", Kind::Fifo).xattr("trusted.onpipe", b"kept").owner(12, 34),
    ]
}

/// A tree drawn from a seed: `count` files of mixed sizes in a few directories, with some links.
pub fn drawn(seed: u64, count: usize) -> Vec<Entry> {
    let mut random = Random(seed);
    let mut directories = vec![b"drawn".to_vec()];
    let mut entries = vec![dir("drawn")];
    let mut files: Vec<Vec<u8>> = Vec::new();
    for number in 0..count {
        let parent = directories[random.below(directories.len() as u64) as usize].clone();
        let path = [parent, format!("/{number:05}").into_bytes()].concat();
        match random.below(20) {
            0 => {
                entries.push(dir(&path));
                directories.push(path);
            }
            1 if !files.is_empty() => entries.push(link(&path, &files[random.below(files.len() as u64) as usize])),
            2 => entries.push(symlink(&path, format!("target-{number}"))),
            3 => entries.push(noise(&path, 200_000 + random.below(2_000_000) as usize, number as u64)),
            _ => {
                let length = random.below(20_000) as usize;
                let time = 1_600_000_000 + random.below(100_000_000) as i64;
                entries.push(file(&path, random.words(length)).mtime(time, random.below(1_000_000_000) as i64));
                files.push(path);
            }
        }
    }
    entries
}
