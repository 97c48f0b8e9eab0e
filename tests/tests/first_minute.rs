//! The first minute with vault: no configuration, no server, no prompt.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use vault_tests::call::number;
use vault_tests::can::{self, Can};
use vault_tests::clean_room::{CleanRoom, secret_words};
use vault_tests::tree;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

/// A room with a source of `count` files whose names and contents are easy to find again.
fn room_with_source(count: usize) -> (CleanRoom, PathBuf) {
    let room = CleanRoom::new();
    let source = room.path("source");
    let mut entries = vec![tree::dir("sub")];
    entries.extend((0..count).map(|i| tree::file(format!("sub/needle-{i}"), format!("contents of {i}"))));
    tree::write(&source, &entries);
    (room, source)
}

#[test]
fn one_command_makes_everything_and_says_so() {
    let (mut room, source) = room_with_source(20);
    let first = room.vault(["backup", "--init", "."]).within(&source).run().ok();

    let (key, repository) = (room.key_file(), room.path("home/data/vault/repository"));
    assert_eq!(mode(&key), 0o600, "the key file is its owner's alone");
    assert_eq!(secret_words(&fs::read_to_string(&key).unwrap()).len(), 1);
    assert!(repository.join("snapshots").is_dir());

    let recovery = room.path("home/config/vault/recovery-key");
    assert_eq!(mode(&recovery), 0o600, "without a terminal the recovery key goes to a file");
    assert_eq!(secret_words(&fs::read_to_string(&recovery).unwrap()).len(), 1);
    let said = first.all();
    assert!(said.contains(recovery.to_str().unwrap()), "its path is printed: {first}");
    assert!(secret_words(&said).is_empty(), "no key is printed where nobody looks: {first}");
    let is_command = |line: &&str| line.split_whitespace().next().is_some_and(|word| word.ends_with("vault"));
    let next: Vec<&str> = said.lines().filter(is_command).collect();
    assert!(next.len() >= 3, "three commands to try next: {first}");

    room.guard_key_files();
    let target = room.restore("latest", &source, "target");
    vault_tests::compare::assert_same(&source, &target);
}

#[test]
fn on_a_terminal_the_recovery_key_is_shown_once() {
    let (room, source) = room_with_source(3);
    let first = room.on_terminal(["backup", "--init", "."]).within(&source).run().ok();
    assert_eq!(secret_words(&first.text()).len(), 1, "{first}");
    assert!(!room.path("home/config/vault/recovery-key").exists(), "shown, so not written");
    let second = room.on_terminal(["backup", "."]).within(&source).run().ok();
    assert!(secret_words(&second.text()).is_empty(), "never again: {second}");
}

#[test]
fn a_terminal_alone_is_enough_to_make_the_default_repository() {
    let (room, source) = room_with_source(3);
    room.on_terminal(["backup", "."]).within(&source).run().ok();
    assert!(room.path("home/data/vault/repository/config").is_dir());
}

#[test]
fn the_second_run_takes_unchanged_files_without_reading_them() {
    let (room, source) = room_with_source(50);
    // A file as young as the last run is read again; let the clock pass it.
    std::thread::sleep(std::time::Duration::from_millis(200));
    room.vault(["backup", "--init", "."]).within(&source).run().ok();
    let summary = room.vault(["backup", "--json", "."]).within(&source).run().ok().summary();
    assert_eq!(number(&summary, "files_new"), 0);
    assert_eq!(number(&summary, "files_changed"), 0);
    assert_eq!(number(&summary, "files_unmodified"), 50);
    assert_eq!(number(&summary, "bytes_read"), 0);
    if !can::or_skip(Can::Strace) {
        return;
    }
    let trace = room.path("trace");
    let tracer = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o"].map(AsRef::as_ref);
    room.vault(["backup", "."]).within(&source).under(&[&tracer[..], &[trace.as_os_str()]].concat()).run().ok();
    let calls = fs::read_to_string(&trace).unwrap();
    assert!(calls.contains("\"sub\""), "the trace saw the walk: {calls}");
    assert!(!calls.contains("needle"), "an unchanged file was opened");
}

#[test]
fn nothing_is_made_by_accident() {
    let (room, source) = room_with_source(1);
    // In cron: no terminal, no --init, nothing named.
    room.vault(["backup", "."]).within(&source).run().code(10);
    // A repository that is named but not there is not made either, and nobody is asked.
    for command in [vec!["backup", "."], vec!["snapshots"], vec!["restore", "latest", "--target", "t"], vec!["verify"]] {
        room.vault(&command).env("VAULT_REPOSITORY", room.path("lost")).within(&source).run().code(10);
    }
    assert!(!room.path("lost").exists());
    assert!(!room.path("home/data/vault/repository").exists());
    assert!(!room.key_file().exists());
}

#[test]
fn init_does_not_touch_what_is_there() {
    let room = CleanRoom::with_repository();
    let before = vault_tests::plain::Plain::read(&room.repository());
    let key = fs::read(room.key_file()).unwrap();
    assert_ne!(room.vault(["init"]).run().code, Some(0));
    assert_eq!(before.differences(&vault_tests::plain::Plain::read(&room.repository())), "");
    assert_eq!(key, fs::read(room.key_file()).unwrap());
}

/// What an interrupted `init` leaves (empty folders, a configuration that no key opens) is in nobody's way; what is somebody's stays.
#[test]
fn init_takes_an_unfinished_place_and_no_other() {
    let mut room = CleanRoom::with_repository();
    let whole = room.repository();
    for kind in ["keys", "keys2"] {
        for slot in vault_tests::damage::objects(&whole, kind) {
            fs::remove_file(slot).unwrap();
        }
    }
    room.vault(["snapshots"]).run().code(10);
    room.vault(["init"]).run().ok();
    assert_eq!(vault_tests::damage::objects(&whole, "config").len(), 1, "the configuration that nobody can open is gone");
    let source = room.path("source");
    tree::write(&source, &[tree::file("f", "f")]);
    room.backup(&source);
    room.verify();
    // With a snapshot in it, keys that are lost are no reason to begin anew: they may come back.
    for kind in ["keys", "keys2"] {
        for slot in vault_tests::damage::objects(&whole, kind) {
            fs::remove_file(slot).unwrap();
        }
    }
    assert_ne!(room.vault(["init"]).run().code, Some(0));
    for (name, stranger) in [("other", "letter.txt"), ("alike", "data/mine"), ("nested", "data/00/mine"), ("index", "index/notes")] {
        let place = room.path(name);
        fs::create_dir_all(place.join(stranger).parent().unwrap()).unwrap();
        fs::write(place.join(stranger), "mine").unwrap();
        let names = |place: &Path| vault_tests::plain::Plain::read(place).0.into_keys().collect::<Vec<_>>();
        let before = names(&place);
        room.set("VAULT_REPOSITORY", &place);
        assert_ne!(room.vault(["init"]).run().code, Some(0), "{stranger} is somebody's");
        assert_eq!(before, names(&place));
    }
}
