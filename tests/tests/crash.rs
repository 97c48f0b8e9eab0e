//! SIGKILL at random times: the repository opens, verifies, old snapshots restore, the next backup works.

use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use vault_tests::clean_room::CleanRoom;
use vault_tests::plain::Plain;
use vault_tests::tree::{self, Random};

/// How many kills; `VAULT_TESTS_KILLS` for more.
fn kills() -> u64 {
    std::env::var("VAULT_TESTS_KILLS").map_or(24, |count| count.parse().unwrap())
}

#[test]
fn a_killed_backup_harms_nothing() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::types(), tree::drawn(3, 200)].concat());
    room.backup(&source);
    let first = (room.snapshots().remove(0), Plain::read(&source));
    // How long a whole run takes here decides when to kill.
    tree::write(&source, &[tree::noise("noise", 24 << 20, 0)]);
    let start = Instant::now();
    room.backup(&source);
    let whole = start.elapsed();
    let mut random = Random(1);
    let mut killed = 0;
    for round in 1..=kills() {
        tree::write(&source, &[tree::noise("noise", 24 << 20, round), tree::file(format!("small-{round}"), "small")]);
        let running = room.vault([OsStr::new("backup"), source.as_os_str()]).start();
        std::thread::sleep(whole.mul_f64(random.below(1000) as f64 / 900.0));
        running.signal(Signal::KILL);
        killed += u64::from(running.wait().signal == Some(9));
        if round % 6 == 0 {
            let verified = room.vault(["verify", "--read-data"]).run();
            assert_eq!(verified.code, Some(0), "after {round} kills: {verified}");
        }
        if round % 60 == 0 {
            // A thousand rounds would fill the disk with what killed runs left.
            room.vault(["prune", "--grace", "0"]).run().ok();
        }
    }
    assert!(killed * 3 >= kills(), "too few runs were hit: {killed}");
    room.verify();
    room.backup(&source);
    for (snapshot, state) in [first, ("latest".to_owned(), Plain::read(&source))] {
        let target = room.restore(&snapshot, &source, &snapshot);
        assert_eq!(state.differences(&Plain::read(&target)), "", "{snapshot}");
    }
    room.verify();
}

/// A source that changes with each round, and leaves packs of use, of no use, and of some.
fn change(source: &Path, round: u64) {
    let mut entries = vec![tree::noise("large", 3 << 20, round / 4), tree::file("round", format!("{round}"))];
    entries.extend((0..6).map(|n| tree::noise(format!("file-{n}"), 90_000, (round + n) / 3)));
    let _ = fs::remove_dir_all(source);
    tree::write(source, &entries);
}

/// Backups, tags, and forgetting with pruning, each killed at a random moment of its life. A snapshot that was acknowledged is there as long as
/// nobody began to forget it, under whatever name its tags gave it: the tag of its round says which it is.
#[test]
fn whatever_is_killed_costs_nothing_acknowledged() {
    const KEPT: usize = 3;
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    let mut random = Random(7);
    let mut known: BTreeMap<String, Plain> = BTreeMap::new();
    // How long each takes here, as it was seen last.
    let mut lengths = [Duration::from_millis(300); 3];
    let mut killed = [0u64; 3];
    let mut runs = [0u64; 3];
    let mut checked = 0;
    for round in 0..kills() {
        let kind = if round < 4 { 0 } else { [0, 1, 0, 2, 2][(round % 5) as usize] };
        let tag = format!("round-{round}");
        let words: Vec<&OsStr> = match kind {
            0 => {
                change(&source, round);
                ["backup", "--json", "--tag", &tag].into_iter().map(OsStr::new).chain([source.as_os_str()]).collect()
            }
            1 => ["tag", "--add", &tag, "latest"].map(OsStr::new).to_vec(),
            _ => {
                // What this run may forget, killed or not: all but the newest good ones.
                let listed = room.vault(["snapshots", "--json"]).run().ok().events_of("snapshot");
                let good: Vec<&Value> = listed.iter().filter(|event| event["confirmed"] == true).collect();
                let kept = &good[good.len().saturating_sub(KEPT)..];
                known.retain(|tag, _| kept.iter().any(|event| event["tags"].as_array().unwrap().iter().any(|own| own == tag.as_str())));
                ["forget", "--keep-last", "3", "--prune", "--max-unused", "0", "--grace", "0"].map(OsStr::new).to_vec()
            }
        };
        let state = Plain::read(&source);
        let (start, until) = (Instant::now(), lengths[kind].mul_f64(random.below(1200) as f64 / 1000.0));
        let mut running = room.vault(words).start();
        while start.elapsed() < until && !running.ended() {
            std::thread::sleep(Duration::from_micros(300));
        }
        let length = start.elapsed();
        running.signal(Signal::KILL);
        let done = running.wait();
        runs[kind] += 1;
        if done.signal == Some(9) {
            killed[kind] += 1;
        } else {
            assert_eq!(done.code, Some(0), "{done}");
            lengths[kind] = (lengths[kind] + length) / 2;
            if kind == 0 {
                known.insert(tag, state);
            }
        }
        if round % 20 == 19 || round + 1 == kills() {
            room.verify();
            let listed = room.vault(["snapshots", "--json"]).run().ok().events_of("snapshot");
            for (tag, state) in &known {
                let found: Vec<&Value> = listed.iter().filter(|event| event["tags"].as_array().unwrap().iter().any(|own| own == tag.as_str())).collect();
                assert!(!found.is_empty(), "{tag} is lost after {round} runs");
                let id = found[0]["id"].as_str().unwrap();
                let target = room.restore(id, &source, &format!("target-{round}-{tag}"));
                assert_eq!(state.differences(&Plain::read(&target)), "", "{tag} after {round} runs");
                fs::remove_dir_all(target).unwrap();
                checked += 1;
            }
        }
    }
    eprintln!(
        "killed: {} of {} backups, {} of {} tags, {} of {} prunes; {checked} restores compared, 0 lost",
        killed[0], runs[0], killed[1], runs[1], killed[2], runs[2]
    );
    assert!(killed.iter().sum::<u64>() * 3 >= kills(), "too few runs were hit: {killed:?}");
    room.backup(&source);
    room.vault(["prune", "--max-unused", "0", "--grace", "0"]).run().ok();
    room.verify();
}

#[test]
fn a_killed_init_can_be_repeated_or_refused_with_words() {
    for wait in [0, 1, 2, 4, 8, 16, 32, 64] {
        let mut room = CleanRoom::new();
        room.set("VAULT_REPOSITORY", room.path("repo"));
        let running = room.vault(["init"]).start();
        std::thread::sleep(Duration::from_millis(wait));
        running.signal(Signal::KILL);
        running.wait();
        let source = room.path("source");
        tree::write(&source, &[tree::file("f", "f")]);
        // Either it was complete, or init goes again; never a repository that no key opens.
        let backup = [OsStr::new("backup"), source.as_os_str()];
        if room.vault(backup).run().code != Some(0) {
            let again = room.vault(["init"]).run();
            assert_eq!(again.code, Some(0), "killed after {wait} ms, init again: {again}");
            room.vault(backup).run().ok();
        }
    }
}

#[test]
fn a_killed_restore_is_finished_by_the_next() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::types(), tree::drawn(4, 300), tree::sizes()].concat());
    room.backup(&source);
    let target = room.path("target");
    let selector = vault_tests::clean_room::selector("latest", &source);
    let words = [OsStr::new("restore"), &selector, OsStr::new("--target"), target.as_os_str()];
    for wait in [5, 20, 40, 80, 120] {
        let running = room.vault(words).start();
        std::thread::sleep(Duration::from_millis(wait));
        running.signal(Signal::KILL);
        running.wait();
    }
    room.vault(words).arg("--delete").run().ok();
    vault_tests::compare::assert_same(&source, &target);
}

#[test]
fn two_backups_at_once_both_succeed() {
    let room = CleanRoom::with_repository();
    let (one, two) = (room.path("one"), room.path("two"));
    for (place, seed) in [(&one, 1), (&two, 2)] {
        tree::write(place, &[tree::noise("own", 8 << 20, seed), tree::noise("shared", 8 << 20, 99)]);
    }
    let running: Vec<_> = [&one, &two].map(|place| room.vault([OsStr::new("backup"), place.as_os_str()]).start()).into_iter().collect();
    for run in running {
        run.wait().ok();
    }
    room.verify();
    assert_eq!(room.snapshots().len(), 2);
    for (number, place) in [&one, &two].into_iter().enumerate() {
        let target = room.path(format!("target{number}"));
        room.vault([OsStr::new("restore"), OsStr::new("latest"), OsStr::new("--path"), place.as_os_str(), OsStr::new("--target"), target.as_os_str()])
            .run()
            .ok();
        assert!(fs::read(target.join(vault_tests::clean_room::inside(place)).join("own")).unwrap() == fs::read(place.join("own")).unwrap());
    }
}
