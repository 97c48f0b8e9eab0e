//! What is backed up and what is left out: excludes, lists of files, file system borders, and vault's own things.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use vault_tests::can::{self, Can};
use vault_tests::clean_room::{CleanRoom, inside, raw};
use vault_tests::mount::Mount;
use vault_tests::plain::Plain;
use vault_tests::tree::{self, Entry};

fn room_with(entries: &[Entry]) -> (CleanRoom, PathBuf) {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, entries);
    (room, source)
}

/// The paths below `root` that the newest snapshot holds, without directories.
fn kept(room: &CleanRoom, root: &Path) -> Vec<String> {
    let target = tempfile::tempdir().unwrap();
    room.vault(["restore".as_ref(), "latest".as_ref(), "--target".as_ref(), target.path().as_os_str()]).run().ok();
    let plain = Plain::read(target.path()).below(raw(inside(root)));
    plain.0.iter().filter(|(_, state)| state.kind != 'd').map(|(path, _)| path.escape_ascii().to_string()).collect()
}

fn backup(room: &CleanRoom, source: &Path, flags: &[&str]) -> vault_tests::call::Done {
    let words = [OsStr::new("backup").to_owned(), source.as_os_str().to_owned()];
    room.vault(words.into_iter().chain(flags.iter().map(OsString::from))).run()
}

#[test]
fn excludes_choose_as_in_restic() {
    let entries = [
        tree::dir("src"),
        tree::file("src/main.rs", "m"),
        tree::file("src/main.o", "o"),
        tree::file("src/KEEP.O", "O"),
        tree::dir("src/node_modules"),
        tree::file("src/node_modules/x.js", "x"),
        tree::dir("cache"),
        tree::file("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n"),
        tree::file("cache/c", "c"),
        tree::dir("fake-cache"),
        tree::file("fake-cache/CACHEDIR.TAG", "no signature"),
        tree::dir("private"),
        tree::file("private/.nobackup", ""),
        tree::file("private/p", "p"),
        tree::noise("large", 100_000, 1),
    ];
    let (room, source) = room_with(&entries);
    let all = [
        "cache/CACHEDIR.TAG",
        "cache/c",
        "fake-cache/CACHEDIR.TAG",
        "large",
        "private/.nobackup",
        "private/p",
        "src/KEEP.O",
        "src/main.o",
        "src/main.rs",
        "src/node_modules/x.js",
    ];
    let patterns = room.path("patterns");
    fs::write(&patterns, "# a comment\n\n*.o\nnode_modules\n").unwrap();
    let patterns = patterns.to_str().unwrap();
    let absolute = format!("{}/private/p", source.display());
    let cases: [(&[&str], &[&str]); 10] = [
        (&[], &[]),
        (&["--exclude", "*.o"], &["src/main.o"]),
        (&["--iexclude", "*.o"], &["src/main.o", "src/KEEP.O"]),
        (&["--exclude", "node_modules"], &["src/node_modules/x.js"]),
        (&["--exclude", &absolute], &["private/p"]),
        (&["--exclude", "*.o", "--exclude", "src/**/x.js"], &["src/main.o", "src/node_modules/x.js"]),
        (&["--exclude-file", patterns], &["src/main.o", "src/node_modules/x.js"]),
        (&["--exclude-caches"], &["cache/c"]),
        (&["--exclude-if-present", ".nobackup"], &["private/p"]),
        (&["--exclude-larger-than", "64K"], &["large"]),
    ];
    for (flags, missing) in cases {
        backup(&room, &source, flags).ok();
        let mut expected: Vec<&str> = all.iter().filter(|path| !missing.contains(path)).copied().collect();
        // The mark itself may stay, as in restic, or go with its directory.
        let kept: Vec<String> = kept(&room, &source).into_iter().filter(|path| !path.ends_with(".nobackup") && path != "cache/CACHEDIR.TAG").collect();
        expected.retain(|path| !path.ends_with(".nobackup") && *path != "cache/CACHEDIR.TAG");
        assert_eq!(kept, expected, "{flags:?}");
    }
}

#[test]
fn an_excluded_file_comes_back_with_an_exception() {
    let (room, source) = room_with(&[tree::file("a.o", "a"), tree::file("keep.o", "k")]);
    backup(&room, &source, &["--exclude", "*.o", "--exclude", "!keep.o"]).ok();
    assert_eq!(kept(&room, &source), ["keep.o"]);
}

#[test]
fn lists_of_files_as_text_verbatim_and_raw() {
    let odd = OsString::from_vec(b"odd\n \xff".to_vec());
    let (room, source) = room_with(&[tree::file("one", "1"), tree::file("two", "2"), tree::file(" # three ", "3"), tree::file(odd.as_bytes(), "4")]);
    let list = room.path("list");
    let name = |name: &OsStr| raw(&source.join(name)).to_vec();
    let cases: [(&str, Vec<u8>, &[&str]); 3] = [
        ("--files-from", [b"# comment\n\n".to_vec(), name("o*".as_ref()), b"\n".to_vec()].concat(), &["odd\\n \\xff", "one"]),
        ("--files-from-verbatim", [name(" # three ".as_ref()), b"\n".to_vec()].concat(), &[" # three "]),
        ("--files-from-raw", [name(&odd), b"\0".to_vec(), name("two".as_ref()), b"\0".to_vec()].concat(), &["odd\\n \\xff", "two"]),
    ];
    for (flag, bytes, expected) in cases {
        fs::write(&list, &bytes).unwrap();
        room.vault(["backup".as_ref(), flag.as_ref(), list.as_os_str()]).run().ok();
        assert_eq!(kept(&room, &source), expected, "{flag}");
        room.vault(["backup", flag, "-"]).input(bytes).run().ok();
        assert_eq!(kept(&room, &source), expected, "{flag} -");
    }
    fs::write(&list, raw(&source.join("not-there"))).unwrap();
    let done = room.vault(["backup".as_ref(), "--files-from-verbatim".as_ref(), list.as_os_str()]).run();
    assert_ne!(done.code, Some(0), "a listed file that is not there is not silence: {done}");
}

#[test]
fn the_own_repository_and_cache_are_skipped_and_said() {
    let mut room = CleanRoom::new();
    let source = room.path("source");
    tree::write(&source, &[tree::file("f", "f"), tree::dir("backups"), tree::dir("cache")]);
    room.set("VAULT_REPOSITORY", source.join("backups/repo"));
    room.set("VAULT_CACHE_DIR", source.join("cache/vault"));
    room.vault(["init"]).run().ok();
    let done = backup(&room, &source, &["-v"]).ok();
    assert!(done.all().contains("backups/repo"), "said: {done}");
    assert_eq!(kept(&room, &source), ["f"]);
    // Under another name of the same directory, too.
    std::os::unix::fs::symlink(&source, room.path("alias")).unwrap();
    room.set("VAULT_REPOSITORY", room.path("alias/backups/repo"));
    backup(&room, &source, &[]).ok();
    assert_eq!(kept(&room, &source), ["f"]);
}

#[test]
fn other_file_systems_are_left_out_with_x() {
    if !can::or_skip(Can::Mount) {
        return;
    }
    let (room, source) = room_with(&[tree::file("f", "f"), tree::dir("mounted")]);
    let mount = Mount::tmpfs(&source.join("mounted"), "size=1m");
    fs::write(source.join("mounted/inner"), "i").unwrap();
    backup(&room, &source, &["-x"]).ok();
    for (flags, extra) in [(&[][..], 1), (&["-x"], 0)] {
        let compared = room.vault([&["verify", "--json", "--against", source.to_str().unwrap()], flags].concat()).run().ok();
        assert_eq!(vault_tests::call::number(&compared.summary(), "extra"), extra, "{compared}");
    }
    assert_eq!(kept(&room, &source), ["f"]);
    backup(&room, &source, &[]).ok();
    assert_eq!(kept(&room, &source), ["f", "mounted/inner"]);
    drop(mount);
}

#[test]
fn a_full_disk_fails_and_leaves_the_repository_whole() {
    if !can::or_skip(Can::Mount) {
        return;
    }
    let mut room = CleanRoom::new();
    let source = room.path("source");
    tree::write(&source, &[tree::noise("small", 100_000, 1)]);
    let disk = room.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = Mount::tmpfs(&disk, "size=4m");
    room.set("VAULT_REPOSITORY", disk.join("repo"));
    room.vault(["init"]).run().ok();
    room.backup(&source);
    tree::write(&source, &[tree::noise("large", 8 << 20, 2)]);
    let done = backup(&room, &source, &[]);
    assert!(matches!(done.code, Some(1 | 13)), "{done}");
    assert!(done.complaint().to_lowercase().contains("space"), "says why: {done}");
    let snapshots = room.snapshots();
    assert_eq!(snapshots.len(), 1, "nothing half was made");
    let left = fs::read_dir(disk.join("repo/tmp")).unwrap().count();
    assert_eq!(left, 0, "what a failed put wrote does not go on filling the disk");
    room.restore("latest", &source, "target");
    fs::remove_file(source.join("large")).unwrap();
    vault_tests::compare::assert_same_but(&source, &room.path("target"), vault_tests::compare::Lenient { not_the_root: true, ..Default::default() });
    drop(mount);
}

#[test]
fn nothing_to_back_up_is_a_mistake() {
    let (room, source) = room_with(&[tree::file("f", "f")]);
    room.vault(["backup"]).run().code(2);
    let done = room.vault(["backup".as_ref(), room.path("missing").as_os_str()]).run();
    assert_ne!(done.code, Some(0), "{done}");
    assert!(room.snapshots().is_empty(), "no snapshot of nothing");
    // One of two is missing: the other is kept, and the exit code says so.
    room.vault(["backup".as_ref(), source.as_os_str(), room.path("missing").as_os_str()]).run().code(3).says("missing");
    assert_eq!(kept(&room, &source), ["f"]);
}

#[test]
fn standard_input_and_commands_are_sources() {
    let room = CleanRoom::with_repository();
    let bytes = tree::Random(5).bytes(3_000_000);
    room.vault(["backup", "--stdin", "--stdin-filename", "db.sql"]).input(bytes.clone()).run().ok();
    assert!(room.vault(["dump", "latest", "/db.sql"]).run().ok().stdout == bytes);
    // A producer that gave nothing has failed, unless it may.
    let before = room.snapshots().len();
    room.vault(["backup", "--stdin", "--stdin-filename", "empty.sql"]).run().code(4).says("empty");
    assert_eq!(room.snapshots().len(), before);
    room.vault(["backup", "--stdin", "--stdin-filename", "may-be-empty", "--allow-empty"]).run().ok();
    room.vault(["backup", "--stdin-filename", "out", "--stdin-from-command", "--", "printf", "hello %s", "world"]).run().ok();
    assert_eq!(room.vault(["dump", "latest", "/out"]).run().ok().text(), "hello world");
    let before = room.snapshots();
    room.vault(["backup", "--stdin-from-command", "--", "sh", "-c", "echo half; exit 7"]).run().code(4);
    room.vault(["backup", "--stdin-from-command", "--", "/no/such/program"]).run().code(4);
    assert_eq!(room.snapshots(), before, "what failed is not committed");
}
