//! Stores that show an older state, or hide something: what this machine saw last is what tells.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vault_tests::call::{Done, text};
use vault_tests::clean_room::{CleanRoom, files_below};
use vault_tests::tree;

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Two backups; a copy of the repository from between them.
fn with_old_state() -> (CleanRoom, PathBuf, PathBuf) {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::file("a", "one")]);
    room.backup(&source);
    let old = room.path("old");
    copy(&room.repository(), &old);
    fs::write(source.join("a"), "two").unwrap();
    room.backup(&source);
    (room, source, old)
}

fn kinds(done: &Done) -> Vec<String> {
    done.events_of("alarm").iter().map(|event| text(event, "kind")).collect()
}

fn alarms(room: &CleanRoom, words: &[&str]) -> usize {
    let done = room.vault(words.iter().chain(&["--json"])).run().ok();
    assert!(kinds(&done).iter().all(|kind| kind == "older_state"));
    kinds(&done).len()
}

#[test]
fn an_old_state_of_the_repository_is_told_until_somebody_settles_it() {
    let (room, source, old) = with_old_state();
    assert_eq!(alarms(&room, &["snapshots"]), 0);
    copy(&old, &room.repository());
    room.vault(["snapshots"]).run().ok().says("neither there nor forgotten").says("last-seen-");
    room.vault(["-q", "snapshots"]).run().ok().says("neither there nor forgotten");
    room.vault([OsStr::new("ls"), OsStr::new("latest"), source.as_os_str()]).run().ok().says("neither there nor forgotten");
    let verified = room.vault(["verify", "--json"]).run().code(6);
    assert_eq!(verified.events_of("damage").iter().map(|event| text(event, "kind")).collect::<Vec<_>>(), ["hidden"]);
    // A backup goes on: one more is better than none. And the next one tells it again.
    let words = [OsStr::new("backup"), OsStr::new("--json"), source.as_os_str()];
    for _ in 0..2 {
        assert_eq!(kinds(&room.vault(words).run().ok()), ["older_state"]);
    }
    // Another machine has not seen anything.
    let elsewhere = room.path("elsewhere");
    let there = room.vault(["snapshots", "--json", "--cache-dir", elsewhere.to_str().unwrap()]).run().ok();
    assert!(kinds(&there).is_empty());
    assert!(kinds(&room.vault(["snapshots", "--json", "--no-cache"]).run().ok()).is_empty());

    for file in files_below(&room.cache()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("last-seen-") {
            fs::remove_file(file).unwrap();
        }
    }
    assert_eq!(alarms(&room, &["snapshots"]), 0);
    room.verify();
}

#[test]
fn what_others_forget_write_and_prune_is_no_alarm() {
    let (room, source, _) = with_old_state();
    let elsewhere = room.path("elsewhere");
    let other = |words: &[&str]| room.vault(words.iter().chain(&["--cache-dir", elsewhere.to_str().unwrap()])).run().ok();
    assert_eq!(alarms(&room, &["snapshots"]), 0);
    other(&["backup", source.to_str().unwrap(), "--force"]);
    other(&["tag", "--add", "t", "latest"]);
    other(&["forget", "--keep-last", "1", "--prune"]);
    assert_eq!(alarms(&room, &["snapshots"]), 0);
    other(&["forget", "latest", "--force"]);
    assert_eq!(alarms(&room, &["snapshots"]), 0);
    room.verify();
    room.backup(&source);
    assert_eq!(alarms(&room, &["snapshots"]), 0);
}

#[test]
fn a_hidden_newest_snapshot_is_told() {
    let (room, _, old) = with_old_state();
    // Nothing else in the store says that there was one: its confirmation is hidden too.
    for folder in ["snapshots", "confirmed"] {
        copy(&old.join(folder), &room.repository().join(folder));
    }
    assert_eq!(alarms(&room, &["snapshots"]), 1);
    room.vault(["verify"]).run().code(6);
}

#[test]
fn nothing_is_written_under_keys_that_are_older_than_those_seen() {
    let (mut room, source, _) = with_old_state();
    let old = room.path("old");
    copy(&room.repository(), &old);
    room.vault(["key", "rotate"]).run().ok();
    room.guard_key_files();
    room.backup(&source);
    copy(&old, &room.repository());
    let before = files_below(&room.repository());
    let told = room.vault(["snapshots", "--json"]).run().ok();
    assert_eq!(kinds(&told), ["older_state", "older_state"], "the keys, and the snapshot");
    room.vault([OsStr::new("backup"), source.as_os_str()]).run().code(1).says("keys of epoch 1 were seen");
    room.vault(["forget", "--keep-last", "1"]).run().code(1);
    assert_eq!(files_below(&room.repository()), before, "nothing was written");
    // What is there can be read.
    room.restore("latest", &source, "target");
}

#[test]
fn the_configuration_is_not_older_than_the_one_seen() {
    let (mut room, source, _) = with_old_state();
    let old = room.path("old");
    copy(&room.repository().join("config"), &old);
    room.vault(["key", "rotate"]).run().ok();
    room.guard_key_files();
    room.vault(["snapshots"]).run().ok();
    copy(&old, &room.repository().join("config"));
    assert_eq!(alarms(&room, &["snapshots"]), 1);
    room.vault([OsStr::new("backup"), source.as_os_str()]).run().code(1).says("configuration");
}
