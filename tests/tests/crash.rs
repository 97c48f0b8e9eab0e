//! SIGKILL at random times: the repository opens, verifies, old snapshots restore, the next backup works.

use rustix::process::Signal;
use std::ffi::OsStr;
use std::fs;
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
