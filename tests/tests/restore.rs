//! Restoring: a part of a snapshot, in place, as a plain user, and into a destination that means harm.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use vault_tests::call::{Call, number, text};
use vault_tests::can::{self, Can};
use vault_tests::clean_room::{CleanRoom, selector};
use vault_tests::compare::{Lenient, assert_same, assert_same_but};
use vault_tests::plain::Plain;
use vault_tests::tree;

/// A room with a backup of these entries.
fn backed_up(entries: &[tree::Entry]) -> (CleanRoom, PathBuf) {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, entries);
    room.backup(&source);
    (room, source)
}

/// `vault restore latest:SOURCE --target TARGET …`
fn restore(room: &CleanRoom, source: &Path, target: &Path, flags: &[&str]) -> Call {
    let words = [OsStr::new("restore"), &selector("latest", source), OsStr::new("--target"), target.as_os_str()].map(OsStr::to_owned);
    room.vault(words.into_iter().chain(flags.iter().map(Into::into)))
}

#[test]
fn one_name_of_a_link_group_has_its_contents() {
    let (room, source) = backed_up(&tree::types());
    for (number, name) in ["types/first", "types/second", "types/sub/third"].iter().enumerate() {
        let target = room.path(format!("target{number}"));
        restore(&room, &source, &target, &["--include", &format!("/{name}")]).run().ok();
        let whole = fs::read(source.join(name)).unwrap();
        assert!(fs::read(target.join(name)).unwrap() == whole, "{name} alone");
        assert_eq!(fs::metadata(target.join(name)).unwrap().nlink(), 1, "{name}: alone is alone");
    }
    let target = room.path("sub-only");
    restore(&room, &source.join("types/sub"), &target, &[]).run().ok();
    assert!(fs::read(target.join("third")).unwrap() == fs::read(source.join("types/first")).unwrap());
}

#[test]
fn include_and_exclude_choose() {
    let (room, source) = backed_up(&[tree::dir("a"), tree::file("a/x.rs", "1"), tree::file("a/x.txt", "2"), tree::dir("b"), tree::file("b/y.rs", "3")]);
    let names = |target: &Path| -> Vec<String> {
        let plain = Plain::read(target);
        plain.0.iter().filter(|(_, state)| state.kind == 'f').map(|(path, _)| String::from_utf8(path.clone()).unwrap()).collect()
    };
    let cases: [(&[&str], &[&str]); 5] = [
        (&["--include", "*.rs"], &["a/x.rs", "b/y.rs"]),
        (&["--include", "/a"], &["a/x.rs", "a/x.txt"]),
        (&["--exclude", "*.rs"], &["a/x.txt"]),
        (&["--exclude", "/b"], &["a/x.rs", "a/x.txt"]),
        (&["--iinclude", "*.RS"], &["a/x.rs", "b/y.rs"]),
    ];
    for (number, (flags, expected)) in cases.into_iter().enumerate() {
        let target = room.path(format!("target{number}"));
        restore(&room, &source, &target, flags).run().ok();
        assert_eq!(names(&target), expected, "{flags:?}");
    }
}

#[test]
fn in_place_only_what_differs_is_written() {
    let (room, source) = backed_up(&[tree::noise("big", 6 << 20, 1), tree::noise("same", 3 << 20, 2), tree::file("gone", "gone")]);
    let target = room.restore("latest", &source, "target");
    let inode = fs::metadata(target.join("same")).unwrap().ino();
    let mut bytes = fs::read(target.join("big")).unwrap();
    bytes[5_000_000] ^= 1;
    fs::write(target.join("big"), &bytes).unwrap();
    fs::remove_file(target.join("gone")).unwrap();
    let summary = restore(&room, &source, &target, &["--json"]).run().ok().summary();
    assert_same(&source, &target);
    assert_eq!(fs::metadata(target.join("same")).unwrap().ino(), inode);
    assert!(number(&summary, "bytes_restored") < 6 << 20, "not the whole file: {summary}");
    let again = restore(&room, &source, &target, &["--json"]).run().ok().summary();
    assert_eq!(number(&again, "bytes_restored"), 0, "{again}");
}

#[test]
fn overwrite_always_sees_changes_behind_equal_times() {
    let (room, source) = backed_up(&[tree::file("f", "right").mtime(1000, 1)]);
    for (number, (flag, expected)) in [("always", "right"), ("if-changed", "wrong"), ("never", "wrong")].into_iter().enumerate() {
        let target = room.restore("latest", &source, &format!("target{number}"));
        fs::write(target.join("f"), "wrong").unwrap();
        tree::set_mtime(&target.join("f"), 1000, 1).unwrap();
        restore(&room, &source, &target, &["--overwrite", flag]).run().ok();
        assert_eq!(fs::read_to_string(target.join("f")).unwrap(), expected, "--overwrite {flag}");
    }
}

#[test]
fn overwrite_if_newer_and_never_keep_what_is_there() {
    let (room, source) =
        backed_up(&[tree::file("older", "snapshot").mtime(1000, 0), tree::file("newer", "snapshot").mtime(3000, 0), tree::file("missing", "snapshot")]);
    for (flag, newer) in [("if-newer", "snapshot"), ("never", "here")] {
        let target = room.path(flag);
        fs::create_dir(&target).unwrap();
        for name in ["older", "newer"] {
            fs::write(target.join(name), "here").unwrap();
            tree::set_mtime(&target.join(name), 2000, 0).unwrap();
        }
        restore(&room, &source, &target, &["--overwrite", flag]).run().ok();
        let read = |name: &str| fs::read_to_string(target.join(name)).unwrap();
        assert_eq!((read("older"), read("newer"), read("missing")), ("here".into(), newer.into(), "snapshot".into()), "--overwrite {flag}");
    }
}

#[test]
fn what_stands_in_the_way_is_replaced_by_the_right_type() {
    let (room, source) = backed_up(&tree::types());
    let target = room.path("target");
    fs::create_dir_all(target.join("types/plain")).unwrap();
    fs::write(target.join("types/sub"), "a file where a directory goes").unwrap();
    fs::create_dir(target.join("types/to-file")).unwrap();
    fs::write(target.join("types/pipe"), "a file where a pipe goes").unwrap();
    symlink("/nowhere", target.join("types/first")).unwrap();
    restore(&room, &source, &target, &[]).run().ok();
    assert_same(&source, &target);
    // A directory with something in it is somebody's: it goes only with --delete.
    fs::remove_file(target.join("types/plain")).unwrap();
    fs::create_dir(target.join("types/plain")).unwrap();
    fs::write(target.join("types/plain/inner"), "somebody's").unwrap();
    let refused = restore(&room, &source, &target, &[]).run().says("types/plain");
    assert!(matches!(refused.code, Some(1 | 3)), "{refused}");
    assert_eq!(fs::read_to_string(target.join("types/plain/inner")).unwrap(), "somebody's");
    restore(&room, &source, &target, &["--delete"]).run().ok();
    assert_same(&source, &target);
}

#[test]
fn delete_does_exactly_what_the_dry_run_lists() {
    let (room, source) = backed_up(&tree::types());
    let target = room.restore("latest", &source, "target");
    tree::write(
        &target,
        &[
            tree::file("types/extra", "x"),
            tree::dir("types/extra-dir"),
            tree::file("types/extra-dir/a\nb", "x"),
            tree::symlink("types/extra-link", "/etc"),
            tree::dir("more"),
        ],
    );
    let outside = room.path("outside");
    tree::write(&outside, &[tree::file("kept", "kept")]);
    symlink(&outside, target.join("types/to-outside")).unwrap();
    let before = Plain::read(&target);
    let removed = |flags: &[&str]| -> BTreeSet<String> {
        let done = restore(&room, &source, &target, flags).run().ok();
        let gone = |event: &serde_json::Value| event["action"].as_str().is_some_and(|action| action == "removed" || action == "deleted");
        done.events_of("verbose_status").iter().filter(|event| gone(event)).map(|event| text(event, "item")).collect()
    };
    let announced = removed(&["--delete", "--dry-run", "-vv", "--json"]);
    assert_eq!(before.differences(&Plain::read(&target)), "", "a dry run changes nothing");
    assert!(announced.iter().any(|item| item.ends_with("types/extra")), "{announced:?}");
    assert!(!announced.iter().any(|item| item.contains("outside/kept")), "{announced:?}");
    let performed = removed(&["--delete", "-vv", "--json"]);
    assert_eq!(announced, performed);
    assert_same(&source, &target);
    assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
}

#[test]
fn without_delete_nothing_is_removed() {
    let (room, source) = backed_up(&[tree::file("f", "f")]);
    let target = room.restore("latest", &source, "target");
    fs::write(target.join("mine"), "mine").unwrap();
    restore(&room, &source, &target, &[]).run().ok();
    assert_eq!(fs::read_to_string(target.join("mine")).unwrap(), "mine");
}

/// Links planted in the destination must not lead the restore out of it.
#[test]
fn planted_links_are_not_followed() {
    let (room, source) = backed_up(&[tree::dir("d"), tree::dir("d/e"), tree::file("d/e/f", "from the snapshot"), tree::file("g", "from the snapshot")]);
    let outside = room.path("outside");
    for (number, plant) in ["d", "d/e", "d/e/f", "g"].iter().enumerate() {
        let _ = fs::remove_dir_all(&outside);
        tree::write(&outside, &[tree::dir("e"), tree::file("e/f", "outside"), tree::file("f", "outside")]);
        fs::set_permissions(&outside, fs::Permissions::from_mode(0o751)).unwrap();
        let before = Plain::read(&outside);
        for (flags, kind) in [(&[][..], "plain"), (&["--delete"][..], "delete"), (&["--overwrite", "never"][..], "never")] {
            let target = room.path(format!("target{number}-{kind}"));
            let planted = target.join(plant);
            fs::create_dir_all(planted.parent().unwrap()).unwrap();
            let leads_to = if plant.ends_with('f') || *plant == "g" { outside.join("f") } else { outside.clone() };
            symlink(leads_to, &planted).unwrap();
            let done = restore(&room, &source, &target, flags).run();
            assert_eq!(before.differences(&Plain::read(&outside)), "", "led out through {plant}: {done}");
            // And what has nothing to do with the plant is there: a restore that does nothing is no safe restore.
            let other = if *plant == "g" { "d/e/f" } else { "g" };
            assert_eq!(fs::read_to_string(target.join(other)).unwrap(), "from the snapshot", "{done}");
            if done.code == Some(0) && kind != "never" {
                assert_same(&source, &target);
            }
        }
    }
}

#[test]
fn a_plain_user_gets_the_contents_and_a_list_of_the_rest() {
    if !can::or_skip(Can::PlainUser) || !can::or_skip(Can::Root) {
        return;
    }
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::types(), tree::sizes(), tree::user_xattrs(), tree::privileged()].concat());
    room.backup(&source);
    // The plain user may read the repository and the key, and owns a place to restore to.
    let shell = "chmod -R a+rX repo home; chmod a+r home/config/vault/key; mkdir mine cache; chown 65534:65534 mine cache";
    assert!(std::process::Command::new("sh").args(["-euc", shell]).current_dir(room.path("")).status().unwrap().success());
    let target = room.path("mine/target");
    let done = restore(&room, &source, &target, &["--json"]).env("VAULT_CACHE_DIR", room.path("cache")).as_plain_user().run().code(3);
    let told: Vec<String> = done.events_of("error").iter().map(|event| text(event, "item") + " " + &event["error"].to_string()).collect();
    for lost in ["root/null", "root/stranger", "root/trusted"] {
        assert!(told.iter().any(|line| line.contains(lost)), "{lost} is not in the list: {told:?}");
    }
    assert!(number(&done.summary(), "losses") > 0);
    for part in ["sizes", "xattrs"] {
        assert_same_but(&source.join(part), &target.join(part), Lenient { plain_user: true, ..Lenient::default() });
    }
    let (suid, owner) = (fs::metadata(target.join("root/suid")).unwrap(), fs::metadata(target.join("root/stranger")).unwrap());
    assert_eq!(owner.uid(), 65_534);
    assert_eq!(suid.mode() & 0o6000, 0, "a set-id bit that came from another owner must not be given to this one");
}

#[test]
fn restoring_one_file_and_verifying_it() {
    let (room, source) = backed_up(&tree::sizes());
    let target = room.path("target");
    restore(&room, &source, &target, &["--verify"]).run().ok();
    assert_same(&source, &target);
}

#[test]
fn owners_can_be_mapped() {
    if !can::or_skip(Can::Root) {
        return;
    }
    let (room, source) = backed_up(&[tree::file("f", "f").owner(1000, 1000), tree::file("g", "g").owner(2000, 2000)]);
    let target = room.path("target");
    restore(&room, &source, &target, &["--numeric-ids", "--map-owner", "1000:3000", "--map-owner", "@2000:@4000"]).run().ok();
    let owner = |name: &str| fs::metadata(target.join(name)).map(|metadata| (metadata.uid(), metadata.gid())).unwrap();
    assert_eq!((owner("f"), owner("g")), ((3000, 1000), (2000, 4000)));
}
