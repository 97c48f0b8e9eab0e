//! Checkpoints of long runs: what a killed run leaves restores, no prune takes it, and the next snapshot takes its place.

use rustix::process::Signal;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};
use vault_tests::call::{Running, text};
use vault_tests::clean_room::{CleanRoom, files_below};
use vault_tests::tree::{self, Random};

/// Starts a backup of standard input that a pipe with a name feeds, and hands out the feeding end.
fn feed(room: &CleanRoom, pipe: &Path) -> (Running, File) {
    rustix::fs::mkfifoat(rustix::fs::CWD, pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    let wrapper = ["sh", "-c", "f=$1; shift; exec \"$@\" <\"$f\"", "sh"].map(OsStr::new);
    let words = ["backup", "--stdin", "--stdin-filename", "dump", "--checkpoint-every", "1s"];
    let running = room.vault(words).under(&[&wrapper[..], &[pipe.as_os_str()]].concat()).start();
    (running, File::options().write(true).open(pipe).unwrap())
}

/// Pours as a dump does that takes its time, until all is poured or nobody drinks any more.
fn pour(mut end: File, bytes: &[u8]) {
    for piece in bytes.chunks(1 << 19) {
        if end.write_all(piece).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Waits until there is a partial snapshot; its name.
fn partial(room: &CleanRoom) -> String {
    let start = Instant::now();
    loop {
        let listed = room.vault(["snapshots", "--json"]).run().ok();
        if let Some(found) = listed.events_of("snapshot").iter().find(|snapshot| snapshot["partial"] == true) {
            return text(found, "id");
        }
        assert!(start.elapsed() < Duration::from_mins(2), "no checkpoint came: {listed}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn names(room: &CleanRoom) -> usize {
    room.vault(["snapshots", "--json"]).run().ok().events_of("snapshot").len()
}

#[test]
fn a_killed_stream_leaves_what_came_through() {
    let room = CleanRoom::with_repository();
    let bytes = Random(5).bytes(80 << 20);
    let (running, end) = feed(&room, &room.path("pipe"));
    let snapshot = std::thread::scope(|scope| {
        let feeder = scope.spawn(|| pour(end, &bytes));
        let snapshot = partial(&room);
        running.signal(Signal::KILL);
        running.wait();
        feeder.join().unwrap();
        snapshot
    });

    // Nobody else needs its packs, and still no prune takes them.
    room.vault(["prune", "--grace", "0s"]).run().ok();
    room.verify();
    let left = room.vault(["dump", &snapshot, "/dump"]).run().ok().stdout;
    assert!(left.len() > 4 << 20, "only {} bytes", left.len());
    assert!(bytes.starts_with(&left));

    // It never counts as a backup, and goes when there is one.
    let done = room.vault(["backup", "--stdin", "--stdin-filename", "dump", "--json"]).input(bytes.clone()).run().ok();
    assert!(vault_tests::call::number(&done.summary(), "data_added") as usize <= bytes.len() - left.len() + (4 << 20), "what was stored is used: {done}");
    assert_eq!(names(&room), 1);
    assert!(room.vault(["dump", "latest", "/dump"]).run().ok().stdout == bytes);
    room.verify();
}

#[test]
fn the_last_checkpoint_is_the_only_one_and_goes_at_the_end() {
    let room = CleanRoom::with_repository();
    let bytes = Random(6).bytes(100 << 20);
    let (mut running, end) = feed(&room, &room.path("pipe"));
    let mut seen = std::collections::BTreeSet::new();
    std::thread::scope(|scope| {
        scope.spawn(|| pour(end, &bytes));
        while !running.ended() {
            let listed = room.vault(["snapshots", "--json"]).run().ok().events_of("snapshot");
            // The next stands before the last one goes.
            assert!(listed.len() <= 2, "{listed:?}");
            seen.extend(listed.iter().filter(|snapshot| snapshot["partial"] == true).map(|snapshot| text(snapshot, "id")));
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    running.wait().ok();
    assert!(seen.len() >= 2, "{seen:?}");
    assert_eq!(names(&room), 1);
    let listed = room.vault(["snapshots", "--json"]).run().ok();
    assert_eq!(listed.events_of("snapshot")[0]["complete"], true);
    // Every number of the writer is accounted for.
    room.verify();
}

#[test]
fn a_killed_backup_of_files_leaves_what_was_read() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::drawn(8, 150), vec![tree::noise("a-large-one", 90 << 20, 1)]].concat());
    let words = [OsStr::new("backup"), OsStr::new("--checkpoint-every"), OsStr::new("1s"), source.as_os_str()];
    // Every write to the repository takes its time, so that the run lasts.
    let delay =
        ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:delay_enter=2000000"].map(OsStr::new);
    let running = room.vault(words).under(&delay).start();
    let snapshot = partial(&room);
    running.signal(Signal::KILL);
    running.wait();
    room.vault(["prune", "--grace", "0s"]).run().ok();
    room.verify();
    let target = room.restore(&snapshot, &source, "target");
    let restored = files_below(&target);
    assert!(!restored.is_empty());
    for path in restored {
        let (was, is) = (fs::read(source.join(path.strip_prefix(&target).unwrap())).unwrap(), fs::read(&path).unwrap());
        assert!(was.starts_with(&is), "{}", path.display());
    }
}
