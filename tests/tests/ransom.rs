//! A source whose files are encrypted in place: the backup says so, and who wishes it forgets nothing until somebody looked.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vault_tests::call::{Done, text};
use vault_tests::clean_room::{CleanRoom, files_below};
use vault_tests::tree;

/// A tree of texts, like somebody's documents: 60 files of some 20 kB.
fn documents(room: &CleanRoom) -> PathBuf {
    let source = room.path("source");
    tree::write(&source, &[tree::dir("a"), tree::dir("b")]);
    for n in 0..60u32 {
        let text: String = (0..1500).map(|line| format!("{} {}\n", line * n, (line ^ n) * 7919)).collect();
        fs::write(source.join(["a", "b"][n as usize % 2]).join(format!("{n}.txt")), text).unwrap();
    }
    source
}

/// What ransomware does: each file encrypted by a tool that everybody has, under a new name or the old one.
fn encrypt(source: &Path, rename: bool) {
    let script = "find \"$1\" -type f | while read -r f; do openssl enc -aes-256-ctr -pbkdf2 -iter 1 -pass pass:x -in \"$f\" -out \"$f.locked\"; \
                  if [ \"$2\" = rename ]; then rm \"$f\"; else mv \"$f.locked\" \"$f\"; fi; done";
    assert!(Command::new("sh").args(["-euc", script, "sh"]).arg(source).arg(if rename { "rename" } else { "keep" }).status().unwrap().success());
}

fn back_up(room: &CleanRoom, source: &Path) -> Done {
    room.vault([OsStr::new("backup"), OsStr::new("--json"), source.as_os_str()]).run().ok()
}

fn alarms(done: &Done) -> Vec<String> {
    done.events_of("alarm").iter().map(|event| text(event, "kind")).collect()
}

fn tags(room: &CleanRoom) -> Vec<bool> {
    let listed = room.vault(["snapshots", "--json"]).run().ok().events_of("snapshot");
    listed.iter().map(|snapshot| snapshot["tags"].as_array().is_some_and(|tags| tags.iter().any(|tag| tag == "alarm"))).collect()
}

#[test]
fn encrypted_files_are_an_alarm_and_everyday_changes_are_none() {
    for rename in [false, true] {
        let room = CleanRoom::with_repository();
        let source = documents(&room);
        assert!(alarms(&back_up(&room, &source)).is_empty());
        // Everything touched and half of it rewritten, then new things that do not compress: all of it normal.
        for file in files_below(&source) {
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, if file.starts_with(source.join("a")) { text.replace('7', "8") } else { text }).unwrap();
        }
        assert!(alarms(&back_up(&room, &source)).is_empty());
        tree::write(&source, &[tree::noise("photo-1", 2 << 20, 1), tree::noise("photo-2", 2 << 20, 2)]);
        assert!(alarms(&back_up(&room, &source)).is_empty());
        fs::remove_file(source.join("photo-1")).unwrap();
        fs::remove_file(source.join("photo-2")).unwrap();
        assert!(alarms(&back_up(&room, &source)).is_empty());

        encrypt(&source, rename);
        let done = back_up(&room, &source);
        assert_eq!(alarms(&done), ["replaced"], "renamed: {rename}");
        assert_eq!(tags(&room), [false, false, false, false, true]);
        room.vault(["snapshots"]).run().ok().says("alarm");
        // It is told in words too, also where everything else is silenced.
        encrypt(&source, rename);
        room.vault([OsStr::new("-q"), OsStr::new("backup"), source.as_os_str()]).run().ok().says("ransomware");
    }
}

#[test]
fn nothing_is_forgotten_while_an_alarm_stands() {
    let room = CleanRoom::with_repository();
    let (source, other) = (documents(&room), room.path("other"));
    tree::write(&other, &[tree::file("f", "1")]);
    back_up(&room, &source);
    back_up(&room, &source);
    room.backup(&other);
    room.backup(&other);
    encrypt(&source, false);
    assert_eq!(alarms(&back_up(&room, &source)), ["replaced"]);
    let count = || room.snapshots().len();
    assert_eq!(count(), 5);
    let oldest = room.snapshots().remove(0);

    room.vault(["prune", "--stop-on-alarm"]).run().code(1).says("an alarm stands");
    room.vault(["forget", "--stop-on-alarm", &oldest]).run().code(1).says("an alarm stands");
    room.vault(["forget", "--stop-on-alarm", "--keep-last", "1"]).run().ok().says("an alarm stands").says("1 snapshot forgotten");
    assert_eq!(count(), 4, "only the other source's went");
    // The same from the configuration file.
    let config = room.path("config.toml");
    fs::write(&config, "[forget]\nstop-on-alarm = true\n").unwrap();
    let configured = |words: &[&str]| room.vault(words).env("VAULT_CONFIG", &config).run();
    configured(&["forget", "--keep-last", "1"]).ok().says("0 snapshots forgotten");
    configured(&["prune"]).code(1);
    configured(&["config"]).ok().says("forget.stop-on-alarm = yes");
    assert_eq!(count(), 4);

    // Somebody looked, and all was well.
    let alarming = room.vault(["snapshots", "--json", "--tag", "alarm"]).run().ok().events_of("snapshot");
    room.vault(["tag", "--remove", "alarm", alarming[0]["id"].as_str().unwrap()]).run().ok();
    configured(&["forget", "--keep-last", "1", "--prune"]).ok();
    assert_eq!(count(), 2);
    room.verify();
}
