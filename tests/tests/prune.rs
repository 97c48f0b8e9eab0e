//! Forget, pin, undelete and prune through the command; and writers and pruners that are killed at random on one repository.

use rustix::process::Signal;
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use vault_tests::call::{Call, number, text};
use vault_tests::clean_room::CleanRoom;
use vault_tests::plain::Plain;
use vault_tests::tree::{self, Random};

/// Seconds that the killing goes on; `VAULT_TESTS_KILL_SECONDS` for more.
fn seconds() -> u64 {
    std::env::var("VAULT_TESTS_KILL_SECONDS").map_or(20, |count| count.parse().unwrap())
}

fn bytes_below(path: &Path) -> u64 {
    vault_tests::clean_room::files_below(path).iter().map(|file| file.metadata().unwrap().len()).sum()
}

/// Four snapshots of a folder of which half changes each time.
fn four(room: &CleanRoom) -> std::path::PathBuf {
    let source = room.path("source");
    for round in 0..4 {
        let files: Vec<_> = (0..20).map(|n| tree::noise(format!("file-{n}"), 100_000, if n % 2 == 0 { n } else { 100 * round + n })).collect();
        let _ = fs::remove_dir_all(&source);
        tree::write(&source, &files);
        room.backup(&source);
    }
    source
}

#[test]
fn a_policy_forgets_and_prune_frees_exactly_what_was_said() {
    let room = CleanRoom::with_repository();
    let source = four(&room);
    let before = bytes_below(&room.repository());

    let dry = room.vault(["forget", "--keep-last", "1", "--prune", "--max-unused", "0", "--dry-run", "--json"]).run().ok();
    assert_eq!(room.snapshots().len(), 4);
    assert_eq!(bytes_below(&room.repository()), before, "a dry run changes nothing");
    let summaries = |done: &vault_tests::call::Done| -> Vec<Value> {
        let mut events = done.events_of("summary");
        for event in &mut events {
            let map = event.as_object_mut().unwrap();
            for key in ["dry_run", "total_duration", "trees_read"] {
                map.remove(key).unwrap_or_default();
            }
        }
        events
    };
    let done = room.vault(["forget", "--keep-last", "1", "--prune", "--max-unused", "0", "--json"]).run().ok();
    assert_eq!(summaries(&dry), summaries(&done), "the dry run was exact");
    let verdicts = done.events_of("verdict");
    let actions: Vec<String> = verdicts.iter().map(|event| text(event, "action")).collect();
    assert_eq!(actions, ["forget", "forget", "forget", "keep"]);
    assert_eq!(verdicts[3]["reasons"], serde_json::json!(["last"]));
    let pruned = done.summary();
    assert!(number(&pruned, "bytes_freed") > 2_500_000, "{pruned}");
    assert!(bytes_below(&room.repository()) + 2_500_000 < before);
    assert_eq!(room.snapshots().len(), 1);
    room.verify();
    let target = room.restore("latest", &source, "target");
    assert_eq!(Plain::read(&source).differences(&Plain::read(&target)), "");
    let again = room.vault(["prune", "--json"]).run().ok().summary();
    assert_eq!((number(&again, "packs_deleted"), number(&again, "trees_read")), (0, 0), "nothing is left to do, and every tree is known");
    room.rescue(["--repo", room.repository().to_str().unwrap(), "--key-file", room.key_file().to_str().unwrap(), "check"]).run().ok();
}

#[test]
fn the_last_good_snapshot_and_pinned_ones_stay() {
    let room = CleanRoom::with_repository();
    four(&room);
    let ids = room.snapshots();
    room.vault(["pin", &ids[0], "--reason", "the first"]).run().ok();
    room.vault(["forget", "--keep-last", "1"]).run().ok().says("pinned: the first");
    assert_eq!(room.snapshots().len(), 2);
    let pinned = room.snapshots().remove(0);
    room.vault(["forget", &pinned]).run().code(2).says("pinned");
    room.vault(["unpin", &pinned]).run().ok();
    let unpinned = room.snapshots().remove(0);
    room.vault(["forget", &unpinned]).run().ok();
    let last = room.snapshots().remove(0);
    room.vault(["forget", &last]).run().code(2).says("last good one");
    room.vault(["forget", "--keep-last", "0"]).run().ok().says("last good one");
    assert_eq!(room.snapshots(), std::slice::from_ref(&last));
    room.vault(["forget"]).run().code(2);
    room.vault(["forget", "--force", &last]).run().ok();
    assert_eq!(room.snapshots().len(), 0);
    room.vault(["verify"]).run().ok();
}

#[test]
fn what_was_forgotten_comes_back_until_it_is_pruned() {
    let room = CleanRoom::with_repository();
    let source = four(&room);
    let last = room.snapshots().remove(3);
    room.vault(["forget", &last]).run().ok();
    room.vault(["undelete"]).run().ok().says(&last[..8]);
    let event = room.vault(["undelete", "--json", &last[..12]]).run().ok().events_of("tagged").remove(0);
    let back = text(&event, "new_snapshot_id");
    let target = room.restore(&back, &source, "target");
    assert_eq!(Plain::read(&source).differences(&Plain::read(&target)), "");
    room.vault(["forget", &back]).run().ok();
    room.vault(["prune"]).run().ok();
    room.vault(["undelete", &back]).run().code(1).says("was swept");
    room.verify();
}

#[test]
fn packs_of_a_run_that_may_go_on_are_left_alone() {
    let room = CleanRoom::with_repository();
    let source = four(&room);
    // A run that is killed before its snapshot leaves packs of an unfinished session.
    tree::write(&source, &[tree::noise("large", 64 << 20, 7)]);
    let start = Instant::now();
    let mut running = room.vault([OsStr::new("backup"), source.as_os_str()]).start();
    let packs = room.repository().join("data");
    let count = || vault_tests::clean_room::files_below(&packs).len();
    let before = count();
    while count() < before + 2 && !running.ended() && start.elapsed() < Duration::from_mins(2) {
        std::thread::sleep(Duration::from_millis(2));
    }
    running.signal(Signal::KILL);
    if running.wait().signal != Some(9) {
        eprintln!("the run was too fast to be killed");
        return;
    }
    let left = room.vault(["prune", "--json"]).run().ok().summary();
    assert!(number(&left, "packs_unfinished") >= 2, "{left}");
    let gone = room.vault(["prune", "--json", "--grace", "0"]).run().ok().summary();
    assert!(number(&gone, "packs_deleted") >= 2, "{gone}");
    room.backup(&source);
    room.verify();
}

/// What the sources held when their snapshots were acknowledged.
type States = Mutex<BTreeMap<String, (usize, Plain)>>;

fn write_for_a_while(room: &CleanRoom, who: usize, key: Option<&Path>, until: Instant, states: &States) {
    let source = room.path(format!("source-{who}"));
    let mut random = Random(who as u64 + 1);
    while Instant::now() < until {
        // Seeds that the writers share, so that each relies on packs of others, and on some that are just going.
        let entries: Vec<_> = (0..12).map(|n| tree::noise(format!("file-{n}"), 60_000 + 40_000 * (n % 3), random.below(20))).collect();
        let _ = fs::remove_dir_all(&source);
        tree::write(&source, &entries);
        let state = Plain::read(&source);
        let cache = room.path(format!("cache-{who}"));
        if key.is_some() && random.below(8) == 0 {
            // What it remembers may be lost.
            let _ = fs::remove_dir_all(&cache);
        }
        let call = room.vault([OsStr::new("backup"), OsStr::new("--json"), OsStr::new("--cache-dir"), cache.as_os_str(), source.as_os_str()]);
        let running = with_key(call, key).start();
        if random.below(3) == 0 {
            std::thread::sleep(Duration::from_millis(random.below(400)));
            running.signal(Signal::KILL);
        }
        let done = running.wait();
        if done.code == Some(0) {
            let summary = done.summary();
            assert_eq!(summary["confirmed"], true, "{summary}");
            states.lock().unwrap().insert(text(&summary, "snapshot_id"), (who, state));
        } else if done.signal.is_none() {
            // What keeps being swept three times is given up, in words.
            assert!(done.code == Some(1), "{done}");
        }
    }
}

fn with_key(call: Call, key: Option<&Path>) -> Call {
    match key {
        Some(key) => call.arg("--key-file").arg(key),
        None => call,
    }
}

fn prune_for_a_while(room: &CleanRoom, who: usize, key: Option<&Path>, until: Instant) {
    let mut random = Random(100 + who as u64);
    let cache = room.path(format!("cache-of-pruner-{who}"));
    while Instant::now() < until {
        let call = room.vault(["forget", "--keep-last", "2", "--prune", "--max-unused", "0", "--grace", "0", "--cache-dir"]).arg(&cache);
        let running = with_key(call, key).start();
        if random.below(2) == 0 {
            std::thread::sleep(Duration::from_millis(random.below(600)));
            running.signal(Signal::KILL);
        }
        let done = running.wait();
        assert!(done.signal == Some(9) || done.code == Some(0) || done.code == Some(1), "{done}");
    }
}

#[test]
fn no_acknowledged_snapshot_is_lost_to_killed_writers_and_pruners() {
    let room = CleanRoom::with_repository();
    kill_writers_and_pruners(&room);
    assert_eq!(vault_tests::clean_room::files_below(&room.repository().join("gc")), Vec::<std::path::PathBuf>::new());
}

/// Three writers and two pruners on one repository, killed at random; every snapshot that was acknowledged and not forgotten restores.
/// One writer has a key that reads nothing back, and one pruner a key that reads no contents.
pub fn kill_writers_and_pruners(room: &CleanRoom) {
    let [backup, prune] = ["backup", "prune"].map(|role| {
        let path = room.path(format!("key-of-role-{role}"));
        room.vault(["key", "add", "--role", role, "--new-key-file"]).arg(&path).run().ok();
        path
    });
    let states = States::default();
    let until = Instant::now() + Duration::from_secs(seconds());
    std::thread::scope(|scope| {
        for who in 0..3 {
            let (states, key) = (&states, (who == 2).then_some(&*backup));
            scope.spawn(move || write_for_a_while(room, who, key, until, states));
        }
        for who in 0..2 {
            let key = (who == 1).then_some(&*prune);
            scope.spawn(move || prune_for_a_while(room, who, key, until));
        }
    });
    let states = states.into_inner().unwrap();
    let check = |when: &str| {
        let mut checked = 0;
        for event in room.vault(["snapshots", "--json"]).run().ok().events_of("snapshot") {
            let id = text(&event, "id");
            let Some((who, state)) = states.get(&id) else { continue };
            room.vault(["verify", "--read-data", &id]).run().ok();
            let source = room.path(format!("source-{who}"));
            let target = room.restore(&id, &source, &format!("{when}-{id}"));
            assert_eq!(state.differences(&Plain::read(&target)), "", "{id} {when}");
            checked += 1;
        }
        checked
    };
    assert!(check("before") >= 3, "each writer has a snapshot left, of {}", states.len());
    eprintln!("{} snapshots were acknowledged", states.len());
    // What killed sweeps left is finished, and nothing of it stays.
    room.vault(["prune", "--grace", "0", "--max-unused", "0"]).run().ok();
    room.vault(["prune", "--grace", "0", "--max-unused", "0"]).run().ok();
    assert!(check("after") >= 3);
}
