//! Repair: what can be made anew is; what is lost is marked; all else restores, and the next backup brings the lost back.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use vault_tests::call::number;
use vault_tests::clean_room::{CleanRoom, files_below};
use vault_tests::compare::assert_same;
use vault_tests::damage::{Action, damage, objects};
use vault_tests::plain::Plain;
use vault_tests::tree;

/// A repository with two snapshots of a tree. Without parity: what rots is lost.
fn small() -> (CleanRoom, PathBuf) {
    let room = CleanRoom::without_parity();
    let source = room.path("source");
    tree::write(
        &source,
        &[tree::types(), tree::drawn(3, 60), vec![tree::noise("big", 5_000_000, 1), tree::file("words", tree::Random(1).words(300_000))]].concat(),
    );
    room.backup(&source);
    fs::write(source.join("words"), tree::Random(2).words(200_000)).unwrap();
    tree::write(&source, &[tree::noise("other", 700_000, 2)]);
    room.backup(&source);
    (room, source)
}

fn delete(room: &CleanRoom, folders: &[&str]) {
    for folder in folders {
        fs::remove_dir_all(room.repository().join(folder)).unwrap();
    }
}

fn repair(room: &CleanRoom, words: &[&str], code: i32) -> serde_json::Value {
    room.vault([&["repair", "--json"], words].concat()).run().code(code).summary()
}

/// Flips one bit in the middle of the largest data pack; what lies there is of `big`, which is no small part of it.
fn rot(room: &CleanRoom, kind: &str) -> PathBuf {
    let largest = objects(&room.repository(), kind).into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    damage(&largest, Action::Flip);
    largest
}

#[test]
fn packs_and_one_slot_are_enough() {
    let (room, source) = small();
    delete(&room, &["config", "index", "snapshots", "confirmed", "forget", "gc", "keys"]);
    let _ = fs::remove_dir_all(room.cache());
    // A look changes nothing.
    let planned = repair(&room, &["--dry-run"], 0);
    assert_eq!(planned["recovered"].as_array().unwrap().len(), 2, "{planned}");
    assert!(!room.repository().join("config").exists());
    let done = repair(&room, &["--host", "elsewhere"], 0);
    assert_eq!((&done["configuration"], done["recovered"].as_array().unwrap().len()), (&true.into(), 2), "{done}");
    let listed = room.vault(["snapshots", "--json"]).run().ok().events_of("snapshot");
    assert!(listed.iter().all(|snapshot| snapshot["hostname"] == "elsewhere" && snapshot["confirmed"] == true && snapshot["tags"][0] == "recovered"));
    assert_same(&source, &room.restore("latest", &source, "target"));
    room.verify();
    room.vault(["prune", "--grace", "0s"]).run().ok();
    room.verify();
    // All of it is found again by a backup.
    let again = room.backup(&source);
    assert!(number(&again, "data_added") < 20_000, "{again}");
    assert_eq!(repair(&room, &[], 0)["records_deleted"], 0);
}

#[test]
fn an_index_is_made_anew() {
    let (room, source) = small();
    let whole = fs::metadata(&objects(&room.repository(), "index")[0]).unwrap().len();
    for action in [Action::Delete, Action::Flip, Action::Truncate] {
        let victim = objects(&room.repository(), "index").remove(0);
        damage(&victim, action);
        let _ = fs::remove_dir_all(room.cache());
        assert!(number(&repair(&room, &["index"], 0), "index_packs") >= 4);
        room.verify();
    }
    assert!(objects(&room.repository(), "index").iter().map(|path| fs::metadata(path).unwrap().len()).sum::<u64>() < 10 * whole);
    assert_same(&source, &room.restore("latest", &source, "target"));
}

#[test]
fn one_lost_record_is_found_by_its_tree() {
    let (room, source) = small();
    let victim = objects(&room.repository(), "snapshots").remove(0);
    damage(&victim, Action::Flip);
    let _ = fs::remove_dir_all(room.cache());
    room.vault(["verify"]).run().code(6);
    let done = repair(&room, &[], 0);
    assert_eq!(done["recovered"].as_array().unwrap().len(), 1, "{done}");
    room.verify();
    assert_eq!(room.snapshots().len(), 2);
    room.vault(["prune", "--grace", "0s"]).run().ok();
    assert_same(&source, &room.restore("latest", &source, "target"));
}

/// What is restored is right, or was told of; returns the paths that were not whole.
fn restore_and_judge(room: &CleanRoom, state: &Plain, source: &Path, code: i32) -> Vec<String> {
    let target = room.path("judged");
    let _ = fs::remove_dir_all(&target);
    let selector = vault_tests::clean_room::selector("latest", source);
    let done = room.vault([OsStr::new("--json"), OsStr::new("restore"), &selector, OsStr::new("--target"), target.as_os_str()]).run().code(code);
    let told: Vec<String> = done.events_of("error").iter().map(|event| event["item"].as_str().unwrap_or_default().to_owned()).collect();
    for (path, found) in Plain::read(&target).0 {
        let right = &state.0[&path];
        if found.kind == 'f' && found.content != right.content {
            let name = String::from_utf8_lossy(&path).into_owned();
            assert!(told.iter().any(|told| told.ends_with(name.trim_start_matches('.'))), "wrong bytes in {name} and nobody told: {told:?}");
        }
    }
    told
}

#[test]
fn what_is_lost_is_marked_and_the_next_backup_brings_it_back() {
    for (kind, action) in [
        ("data", Action::Flip),
        ("data", Action::Delete),
        ("data", Action::Truncate),
        ("meta", Action::Flip),
        ("meta", Action::Delete),
        ("meta", Action::Empty),
    ] {
        let (room, source) = small();
        let state = Plain::read(&source);
        let victim = rot(&room, kind);
        if action != Action::Flip {
            damage(&victim, action);
        }
        let _ = fs::remove_dir_all(room.cache());
        room.vault(["verify", "--read-data"]).run().code(6);
        let planned = repair(&room, &["--read-data", "--dry-run"], 6);
        let done = repair(&room, &["--read-data"], 6);
        assert_eq!(planned["mended"].as_array().unwrap().len(), done["mended"].as_array().unwrap().len(), "{planned} {done}");
        assert!(!done["mended"].as_array().unwrap().is_empty(), "{action:?} {kind}: {done}");
        assert!(!victim.exists() || action == Action::Flip, "{action:?} {kind}: {done}");
        // Nothing is damaged any more: what is lost is marked, and told of by whoever restores it.
        room.verify();
        if room.snapshots().len() == 2 {
            let told = restore_and_judge(&room, &state, &source, 3);
            assert!(!told.is_empty());
        }
        // What is marked already is not lost once more, whatever breaks next.
        delete(&room, &["index"]);
        assert_eq!(repair(&room, &[], 0)["mended"], serde_json::json!([]));
        room.vault(["prune", "--grace", "0s", "--max-unused", "0"]).run().ok();
        assert_eq!(repair(&room, &["--read-data"], 0)["packs_damaged"], 0);
        // The source still has it.
        room.backup(&source);
        assert_same(&source, &room.restore("latest", &source, "target"));
        room.verify();
        let last = room.vault(["snapshots", "--json", "--latest", "1"]).run().ok().events_of("snapshot").remove(0);
        assert_eq!(last["complete"], true, "{last}");
    }
}

#[test]
fn a_whole_repository_is_left_alone() {
    let (room, _) = small();
    let before = files_below(&room.repository());
    room.vault(["repair", "--read-data"]).run().ok().says("Nothing is missing");
    assert_eq!(before, files_below(&room.repository()));
}
