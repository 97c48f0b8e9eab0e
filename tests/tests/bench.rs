//! `vault bench`: every stage is measured, what it says is plausible, and nothing is left behind.

use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vault_tests::clean_room::CleanRoom;
use vault_tests::tree;

const STAGES: [&str; 7] = ["walk", "read", "cut", "name", "compress", "seal", "store wait"];

/// Every file below a directory, with its contents.
fn contents(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut found, mut waiting) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { waiting.push(path) } else { found.push((path.clone(), fs::read(&path).unwrap())) }
        }
    }
    found.sort();
    found
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

fn float(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or_else(|| panic!("{field} is no number: {value}"))
}

fn words<'v>(list: &'v Value, field: &str) -> Vec<&'v str> {
    list.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
}

#[test]
fn every_stage_is_there_and_plausible() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    let text = "the same line over and over again, as in so many logs\n".repeat(20_000);
    tree::write(&source, &[tree::dir("sub"), tree::file("sub/log", &text), tree::noise("noise", 2 << 20, 1), tree::noise("again", 2 << 20, 1)]);
    room.backup(&source);
    let before = contents(&room.path("repo"));

    let done = room.vault([OsStr::new("bench"), OsStr::new("--seconds"), OsStr::new("1"), OsStr::new("--json"), source.as_os_str()]).run().ok();
    let events = done.events_of("bench");
    assert_eq!(events.len(), 1, "{done}");
    let bench = &events[0];

    assert_eq!(words(&bench["stages"], "stage"), STAGES, "{done}");
    for stage in bench["stages"].as_array().unwrap() {
        assert!(stage["bytes"].as_u64() > Some(0), "{stage}");
        // Between a floppy disk and the memory of a large machine.
        assert!((0.1..1e7).contains(&float(stage, "mb_per_second")), "{stage}");
        assert!((1e-4..1e4).contains(&float(stage, "seconds_per_gb")), "{stage}");
    }
    let shares: f64 = bench["stages"].as_array().unwrap().iter().map(|stage| float(stage, "share")).sum();
    assert!((shares - 1.0).abs() < 1e-6, "shares add up to {shares}");

    let bytes = |field: &str| bench[field].as_u64().unwrap();
    let length = text.len() as u64;
    assert_eq!(bytes("walked_bytes"), (4 << 20) + length, "{done}");
    assert_eq!(bytes("sample_bytes"), (4 << 20) + length, "a small tree is read whole: {done}");
    assert_eq!(bytes("unique_bytes"), (2 << 20) + length, "what is there twice is compressed once: {done}");
    assert!((2 << 20..(2 << 20) + length / 10).contains(&bytes("compressed_bytes")), "the log shrinks, the noise does not: {done}");

    let bottleneck = &bench["bottleneck"];
    assert!(STAGES.contains(&bottleneck["stage"].as_str().unwrap()), "{done}");
    let slowest = bench["stages"].as_array().unwrap().iter().map(|stage| float(stage, "seconds_per_gb")).sum::<f64>();
    assert!((1e-4..slowest * 1.001).contains(&float(bottleneck, "seconds_per_gb")), "never slower than one stage after the other: {done}");
    assert_eq!(bench["levels"].as_array().unwrap().len(), 5);
    assert_eq!(words(&bench["ciphers"], "cipher"), ["xchacha20-poly1305", "aes-256-gcm"]);
    let recommended = &bench["recommended"];
    assert!(words(&bench["ciphers"], "cipher").contains(&recommended["cipher"].as_str().unwrap()));
    assert!(bench["pack_sizes"].as_array().unwrap().iter().any(|size| size["pack_size"] == recommended["pack_size"]));
    assert!(["off", "1", "3", "6", "9", "19"].contains(&recommended["compression"].as_str().unwrap()), "{recommended}");

    assert!(bench["store"].as_str().unwrap().ends_with("repo/tmp"), "{done}");
    assert!(contents(&room.path("repo")) == before && is_empty(&room.path("repo/tmp")), "the repository is as it was");
    room.vault(["verify", "--read-data"]).run().ok();
}

#[test]
fn without_a_path_and_a_repository_made_data_are_measured_in_the_temporary_directory() {
    let mut room = CleanRoom::new();
    let temporary = room.path("temporary");
    fs::create_dir(&temporary).unwrap();
    room.set("TMPDIR", &temporary);
    let done = room.vault(["bench", "--seconds", "1"]).run().ok();
    let text = done.text();
    let told: Vec<&str> =
        text.lines().filter_map(|line| STAGES.into_iter().find(|stage| line.starts_with(&format!("{stage} ")) && line.ends_with('%'))).collect();
    assert_eq!(told, STAGES, "{done}");
    assert!(text.contains("made data") && text.contains("A first backup here is held up by "), "{done}");
    for setting in ["compression", "cipher", "pack size"] {
        assert!(text.lines().any(|line| line.starts_with(setting)), "{setting}: {done}");
    }
    assert!(is_empty(&temporary), "nothing is left");
    assert!(!room.path("home/data").exists(), "no repository was made");
}

#[test]
fn an_interrupt_leaves_nothing_behind() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::noise("noise", 1 << 20, 1)]);
    let temporary = room.path("repo/tmp");
    let mut running = room.vault([OsStr::new("bench"), OsStr::new("--seconds"), OsStr::new("600"), source.as_os_str()]).start();
    while is_empty(&temporary) {
        assert!(!running.ended(), "it ended before it began");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.signal(Signal::INT);
    running.wait().code(130);
    assert!(is_empty(&temporary));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let mut room = CleanRoom::new();
    let empty = room.path("empty");
    fs::create_dir(&empty).unwrap();
    let nothing = room.vault([OsStr::new("bench"), empty.as_os_str()]).run();
    assert_eq!(nothing.code, Some(1), "{nothing}");
    let missing = room.vault(["bench", "not-there"]).run();
    assert_eq!(missing.code, Some(1), "{missing}");
    room.set("VAULT_REPOSITORY", room.path("nowhere"));
    let nowhere = room.vault(["bench"]).run();
    assert_eq!(nowhere.code, Some(10), "a repository that is named has to be there: {nowhere}");
    assert!(!room.path("nowhere").exists());
}

#[test]
fn the_recommended_cipher_can_be_chosen() {
    let mut room = CleanRoom::new();
    room.set("VAULT_REPOSITORY", room.path("repo"));
    room.vault(["init", "--cipher", "aes-256-gcm"]).run().ok();
    let shown = room.vault(["cat", "config"]).run().ok();
    assert!(shown.text().contains("Aes256Gcm"), "{shown}");
    let refused = room.vault(["init", "-r", "elsewhere", "--cipher", "rot13"]).run();
    assert_eq!(refused.code, Some(2), "{refused}");
}
