//! The second reader: `vault-rescue`, written from SPEC.md alone, lists and extracts what the engine wrote, for every kind of entry.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use vault_tests::call::Call;
use vault_tests::can::{self, Can};
use vault_tests::clean_room::{CleanRoom, inside};
use vault_tests::compare::assert_same;
use vault_tests::damage::{Action, damage, objects};
use vault_tests::tree;

fn rescue(room: &CleanRoom, words: &[&OsStr]) -> Call {
    let (repository, key) = (room.repository(), room.key_file());
    let options = [OsStr::new("--repo"), repository.as_os_str(), OsStr::new("--key-file"), key.as_os_str()];
    room.rescue(options.into_iter().chain(words.iter().copied()))
}

#[test]
fn it_extracts_every_kind_of_entry() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::types(), tree::sizes(), tree::odd_names(), tree::sparse(), tree::drawn(11, 400)].concat());
    if can::or_skip(Can::Xattrs) {
        tree::write(&source, &tree::user_xattrs());
        let acl = std::process::Command::new("setfacl").args(["-m", "u:33:rw", "xattrs/one"]).current_dir(&source).status();
        assert!(acl.unwrap().success());
    }
    if can::or_skip(Can::Root) {
        tree::write(&source, &[tree::privileged(), tree::modes_and_times()].concat());
    }
    let many: Vec<_> = (0..9000).map(|i| tree::file(format!("many/{i:06}"), "")).collect();
    tree::write(&source, &[vec![tree::dir("many")], many].concat());
    room.backup(&source);
    let target = room.path("target");
    rescue(&room, &["extract".as_ref(), "latest".as_ref(), target.as_os_str()]).run().ok();
    assert_same(&source, &target.join(inside(&source)));
    rescue(&room, &["check".as_ref()]).run().ok();
    let listed = rescue(&room, &["ls".as_ref(), "latest".as_ref()]).run().ok();
    assert!(listed.text().contains("types/second"), "{listed}");
}

#[test]
fn it_reads_every_snapshot_with_every_secret() {
    let mut room = CleanRoom::new();
    room.set("VAULT_REPOSITORY", room.path("repo"));
    room.set("VAULT_PASSWORD", "a password");
    room.vault(["init"]).run().ok();
    let source = room.path("source");
    tree::write(&source, &tree::types());
    room.backup(&source);
    let rotated = room.vault(["key", "rotate", "--json"]).run().ok();
    let recovery = PathBuf::from(vault_tests::call::text(&rotated.events_of("recovery_key")[0], "file"));
    fs::write(source.join("types/plain"), "after the rotation").unwrap();
    room.backup(&source);
    fs::write(room.path("password"), "a password\n").unwrap();
    let repository = room.repository();
    for (option, secret) in [("--password-file", room.path("password")), ("--recovery-key-file", recovery)] {
        let target = room.path(option);
        let words = [
            OsStr::new("--repo"),
            repository.as_os_str(),
            OsStr::new(option),
            secret.as_os_str(),
            OsStr::new("extract"),
            OsStr::new("latest"),
            target.as_os_str(),
        ];
        room.rescue(words).run().ok();
        assert_same(&source, &target.join(inside(&source)));
    }
}

#[test]
fn it_needs_no_index_and_no_confirmation() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &tree::types());
    room.backup(&source);
    for kind in ["index", "confirmed", "keys2"] {
        for object in objects(&room.repository(), kind) {
            damage(&object, Action::Delete);
        }
    }
    let target = room.path("target");
    rescue(&room, &["extract".as_ref(), "latest".as_ref(), target.as_os_str()]).run().ok();
    assert_same(&source, &target.join(inside(&source)));
}

#[test]
fn it_refuses_damage_as_the_engine_does() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::noise("f", 500_000, 1)]);
    room.backup(&source);
    for object in objects(&room.repository(), "data") {
        damage(&object, Action::Flip);
    }
    let target = room.path("target");
    let done = rescue(&room, &["extract".as_ref(), "latest".as_ref(), target.as_os_str()]).run();
    assert_ne!(done.code, Some(0), "{done}");
    assert!(done.complaint().contains("source/f"), "the file is named: {done}");
    // What is lost is a hole in the file, so that the rest can be saved; bytes that are neither right nor zero are never given out.
    let (right, restored) = (fs::read(source.join("f")).unwrap(), fs::read(target.join(inside(&source)).join("f")).unwrap_or_default());
    assert!(restored.iter().zip(&right).all(|(restored, right)| restored == right || *restored == 0));
}
