//! Looking into snapshots and at their history: selectors, ls, find, dump, cat, diff, stats, tag, rewrite.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use vault_tests::call::{number, text};
use vault_tests::clean_room::{CleanRoom, inside, selector};
use vault_tests::compare::assert_same;
use vault_tests::tree;

/// Three snapshots: `f` holds 1, 2, 3; `old` only in the first, `new` only in the last.
fn three() -> (CleanRoom, PathBuf) {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::file("f", "1"), tree::file("old", "old"), tree::dir("d"), tree::file("d/Inner.txt", "inner")]);
    room.backup(&source);
    fs::remove_file(source.join("old")).unwrap();
    fs::write(source.join("f"), "2").unwrap();
    room.backup(&source);
    fs::write(source.join("f"), "3").unwrap();
    fs::write(source.join("new"), "new").unwrap();
    room.backup(&source);
    (room, source)
}

#[test]
fn selectors_name_snapshots() {
    let (room, source) = three();
    let ids = room.snapshots();
    assert_eq!(ids.len(), 3);
    let f = source.join("f");
    let dump = |snapshot: &str| room.vault([OsStr::new("dump"), &selector(snapshot, &f)]).run();
    assert_eq!(dump("latest").ok().text(), "3");
    assert_eq!(dump("latest~1").ok().text(), "2");
    assert_eq!(dump("latest~2").ok().text(), "1");
    assert_eq!(dump(&ids[0]).ok().text(), "1");
    assert_eq!(dump(&ids[1][..8]).ok().text(), "2");
    for wrong in ["latest~3", "latest~x", "g", "zzzz", "", "latest~-1"] {
        assert!(matches!(dump(wrong).code, Some(1 | 2)), "{wrong:?} names nothing");
    }
    assert!(matches!(room.vault([OsStr::new("dump"), &selector("latest", &source.join("missing"))]).run().code, Some(1)));
    assert!(matches!(room.vault([OsStr::new("dump"), &selector("latest", &source.join("../source/f"))]).run().code, Some(1 | 2)));
}

#[test]
fn filters_narrow_snapshots_down() {
    let room = CleanRoom::with_repository();
    let (one, two) = (room.path("one"), room.path("two"));
    for (place, flags) in [
        (&one, ["--host", "alpha", "--tag", "a,b", "--source", "first"]),
        (&two, ["--host", "beta", "--tag", "b", "--source", "second"]),
        (&one, ["--host", "beta", "--tag", "c", "--source", "third"]),
    ] {
        tree::write(place, &[]);
        fs::write(place.join("f"), flags[1]).unwrap();
        room.vault([OsStr::new("backup"), place.as_os_str()].into_iter().chain(flags.map(OsStr::new))).run().ok();
    }
    let count = |flags: &[&str]| {
        let listed = room.vault(["snapshots", "--json"].iter().chain(flags)).run().ok();
        listed.events().iter().map(|event| event.as_array().map_or(usize::from(event["message_type"] == "snapshot"), Vec::len)).sum::<usize>()
    };
    assert_eq!(count(&[]), 3);
    assert_eq!(count(&["--host", "beta"]), 2);
    assert_eq!(count(&["--path", one.to_str().unwrap()]), 2);
    assert_eq!(count(&["--tag", "b"]), 2);
    assert_eq!(count(&["--tag", "a,b"]), 1);
    assert_eq!(count(&["--tag", "a", "--tag", "c"]), 2);
    assert_eq!(count(&["--source", "second"]), 1);
    assert_eq!(count(&["--time", "2001-01-01"]), 0);
    assert_eq!(count(&["--latest", "1"]), 3, "one of each group, and all three differ");
    let dump = |flags: &[&str], place: &PathBuf| {
        room.vault([OsStr::new("dump"), &selector("latest", &place.join("f"))].into_iter().chain(flags.iter().map(OsStr::new))).run().ok().text()
    };
    assert_eq!(dump(&["--host", "alpha"], &one), "alpha");
    assert_eq!(dump(&["--tag", "b"], &two), "beta");
}

#[test]
fn an_explicit_source_outlives_host_and_path() {
    let room = CleanRoom::with_repository();
    for place in ["here", "there"] {
        let source = room.path(place);
        tree::write(&source, &[tree::file("f", "same")]);
        room.vault([OsStr::new("backup"), source.as_os_str(), OsStr::new("--source"), OsStr::new("name"), OsStr::new("--host"), OsStr::new(place)]).run().ok();
    }
    let parents: Vec<bool> =
        room.vault(["snapshots", "--json"]).run().ok().events_of("snapshot").iter().map(|snapshot| snapshot["parent"].is_string()).collect();
    assert_eq!(parents, [false, true]);
}

#[test]
fn ls_and_find_see_what_is_there() {
    let (room, source) = three();
    let listed = room.vault(["ls", "latest~2", "--json"]).run().ok();
    let paths: Vec<String> = listed.events_of("node").iter().map(|node| text(node, "path")).collect();
    for name in ["f", "old", "d/Inner.txt"] {
        assert!(paths.contains(&source.join(name).to_str().unwrap().to_owned()), "{name} in {paths:?}");
    }
    let direct = room.vault([OsStr::new("ls"), OsStr::new("latest"), source.as_os_str()]).run().ok().text();
    assert!(direct.contains("/f") && !direct.contains("Inner.txt"), "only what lies directly in it: {direct}");
    let found = |flags: &[&str]| room.vault(["find", "--json"].iter().chain(flags)).run().ok().events_of("node").len();
    assert_eq!(found(&["old"]), 1);
    assert_eq!(found(&["f"]), 3);
    assert_eq!(found(&["inner*"]), 0);
    assert_eq!(found(&["-i", "inner*"]), 3);
    assert_eq!(found(&["f", "--snapshot", "latest"]), 1);
}

#[test]
fn dump_writes_the_bytes_and_nothing_else() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::noise("big", 9_000_000, 8), tree::file("empty", ""), tree::sparse().remove(0), tree::sparse().remove(2)]);
    room.backup(&source);
    for name in ["big", "empty", "sparse/hole-first"] {
        let dumped = room.vault([OsStr::new("dump"), &selector("latest", &source.join(name))]).run().ok();
        assert!(dumped.stdout == fs::read(source.join(name)).unwrap(), "{name}");
    }
    assert_ne!(room.vault([OsStr::new("dump"), &selector("latest", &source)]).run().code, Some(0), "a directory is no file");
}

#[test]
fn diff_names_every_change() {
    let (room, source) = three();
    let done = room.vault(["diff", "latest~2", "latest", "--json"]).run().ok();
    let mut changes: Vec<(String, String)> = done.events_of("change").iter().map(|change| (text(change, "modifier"), text(change, "path"))).collect();
    changes.sort();
    let path = |name: &str| source.join(name).to_str().unwrap().to_owned();
    let expected = [("+", path("new")), ("-", path("old")), ("M", path("f"))].map(|(modifier, path)| (modifier.to_owned(), path));
    assert_eq!(changes, expected);
    assert!(room.vault(["diff", "latest", "latest", "--json"]).run().ok().events_of("change").is_empty());
}

#[test]
fn stats_add_up() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::noise("a", 1_000_000, 1), tree::noise("b", 1_000_000, 1), tree::file("c", "c")]);
    room.backup(&source);
    let stats = |flags: &[&str]| room.vault(["stats", "--json"].iter().chain(flags)).run().ok().events_of("stats").remove(0);
    assert_eq!(number(&stats(&[]), "total_size"), 2_000_001);
    let raw = number(&stats(&["--mode", "raw-data"]), "total_size");
    assert!((1_000_000..1_300_000).contains(&raw), "each chunk once: {raw}");
    let stats = stats(&["--mode", "raw-data"]);
    let (parity, packed) = (number(&stats, "parity_bytes"), number(&stats, "packed_bytes"));
    assert!((packed / 40..packed / 10).contains(&parity), "four shards to at most 128: {stats}");
    let bare = CleanRoom::without_parity();
    bare.backup(&source);
    let without = bare.vault(["stats", "--json", "--mode", "raw-data"]).run().ok().events_of("stats").remove(0);
    assert_eq!(number(&without, "parity_bytes"), 0);
    assert!(number(&without, "packed_bytes").abs_diff(packed - parity) < packed / 50, "what is left is the same: {stats} {without}");
}

#[test]
fn tags_are_set_added_and_removed() {
    let (room, source) = three();
    let tags = || -> Vec<Vec<String>> {
        let listed = room.vault(["snapshots", "--json"]).run().ok();
        let of = |snapshot: &serde_json::Value| snapshot["tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
        listed.events_of("snapshot").iter().map(of).collect()
    };
    room.vault(["tag", "--add", "x,y", "latest"]).run().ok();
    room.vault(["tag", "--remove", "y", "latest"]).run().ok();
    let now: Vec<_> = tags().into_iter().filter(|tags| !tags.is_empty()).collect();
    assert_eq!(now, [["x"]]);
    room.vault(["tag", "--set", "z", "latest~2"]).run().ok();
    assert_eq!(room.snapshots().len(), 3, "a record takes the other's place");
    room.verify();
    let target = room.restore("latest", &source, "target");
    assert_same(&source, &target);
    // The next backup still has a parent.
    let summary = room.backup(&source);
    assert_eq!(number(&summary, "files_new"), 0, "{summary}");
}

#[test]
fn rewrite_drops_a_path_from_history() {
    let (room, source) = three();
    room.vault(["rewrite", "--exclude", "d", "--dry-run"]).run().ok();
    assert_eq!(room.vault(["find", "--json", "Inner.txt"]).run().ok().events_of("node").len(), 3, "a dry run changes nothing");
    room.vault(["rewrite", "--exclude", "d", "--forget"]).run().ok();
    assert_eq!(room.snapshots().len(), 3);
    assert_eq!(room.vault(["find", "--json", "Inner.txt"]).run().ok().events_of("node").len(), 0);
    room.verify();
    let target = room.path("target");
    room.vault(["restore".as_ref(), "latest~2".as_ref(), "--target".as_ref(), target.as_os_str()]).run().ok();
    assert_eq!(fs::read_to_string(target.join(inside(&source)).join("old")).unwrap(), "old");
}

#[test]
fn cat_prints_objects_as_json() {
    let (room, source) = three();
    for words in [vec!["cat", "config"], vec!["cat", "snapshot", "latest"]] {
        let done = room.vault(&words).run().ok();
        assert!(serde_json::from_slice::<serde_json::Value>(&done.stdout).is_ok(), "{done}");
    }
    let folder = selector("latest", &source);
    let done = room.vault([OsStr::new("cat"), OsStr::new("tree"), &folder]).run().ok();
    assert!(serde_json::from_slice::<serde_json::Value>(&done.stdout).is_ok(), "{done}");
}
