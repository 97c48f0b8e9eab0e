//! Real faults under the real program: full disks of every size, a disk that dies, calls that fail or fall short. Nothing acknowledged is lost, and
//! the program says what is wrong.
//!
//! `VAULT_TESTS_CUTS=all` makes the steps finer: every call, every size.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use vault_tests::call::{Call, Done, number, text};
use vault_tests::can::{self, Can};
use vault_tests::clean_room::{CleanRoom, files_below};
use vault_tests::mount::{FailingDisk, Mount};
use vault_tests::plain::Plain;
use vault_tests::tree;

fn is_thorough() -> bool {
    std::env::var("VAULT_TESTS_CUTS").is_ok_and(|value| value == "all")
}

fn copy(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Bytes that a folder takes on a file system in memory: whole pages, and one for each folder.
fn pages_bytes(folder: &Path) -> u64 {
    files_below(folder).iter().map(|file| file.metadata().unwrap().len().div_ceil(4096) * 4096).sum()
}

fn back_up(room: &CleanRoom, source: &Path) -> Call {
    room.vault([OsStr::new("backup"), OsStr::new("--json"), source.as_os_str()])
}

/// What was acknowledged, and what its source was like.
#[derive(Default)]
struct Acknowledged(Vec<(String, Plain)>);

impl Acknowledged {
    /// Takes up what a backup says, if it says that all is well.
    fn note(&mut self, done: &Done, source: &Path) {
        if done.code == Some(0) {
            let summary = done.summary();
            assert_eq!(summary["confirmed"], true, "{done}");
            self.0.push((text(&summary, "snapshot_id"), Plain::read(source)));
        }
    }

    /// Everything is there and verifies.
    fn check(&self, room: &CleanRoom, source: &Path, when: &str) {
        room.verify();
        for (id, state) in &self.0 {
            let target = room.restore(id, source, &format!("restored-{when}-{id}"));
            assert_eq!(state.differences(&Plain::read(&target)), "", "{id} {when}");
            fs::remove_dir_all(target).unwrap();
        }
    }
}

/// A refusal that names the disk.
fn assert_says_full(done: &Done, disk: &Path) {
    assert_eq!(done.code, Some(13), "{done}");
    assert!(done.all().contains("no space is left") && done.all().contains(disk.to_str().unwrap()), "names the disk: {done}");
}

#[test]
fn a_backup_on_a_disk_of_any_size() {
    if !can::or_skip(Can::Mount) {
        return;
    }
    let mut room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::noise("old", 500_000, 1), tree::file("words", "words")]);
    let mut acknowledged = Acknowledged::default();
    acknowledged.note(&back_up(&room, &source).run().ok(), &source);
    fs::remove_file(room.repository().join("reserve")).unwrap();
    tree::write(&source, &[vec![tree::noise("new", 1_500_000, 2)], tree::drawn(3, 40)].concat());
    let (used, template) = (pages_bytes(&room.repository()), room.repository());
    let (mut refused, mut sizes) = (0, 0);
    let step = if is_thorough() { 4096 } else { 160 << 10 };
    for extra in (0..2_400_000).step_by(step) {
        let disk = room.path("disk");
        let mount = Mount::tmpfs(&disk, &format!("size={}", used + 4096 + extra));
        copy(&template, &disk.join("repo"));
        room.set("VAULT_REPOSITORY", disk.join("repo"));
        let _ = fs::remove_dir_all(room.cache());
        let done = back_up(&room, &source).run();
        let mut now = Acknowledged(acknowledged.0.clone());
        if done.code == Some(0) {
            now.note(&done, &source);
        } else {
            refused += 1;
            assert_says_full(&done, &disk);
        }
        assert_eq!(files_below(&disk.join("repo/tmp")), Vec::<PathBuf>::new(), "nothing half written goes on filling the disk");
        now.check(&room, &source, "full");
        mount.remount(&format!("size={}", used + 16_000_000));
        now.note(&back_up(&room, &source).run().ok(), &source);
        now.check(&room, &source, "with-room");
        sizes += 1;
    }
    eprintln!("{sizes} sizes of disk, {refused} of them too small");
    assert!(refused > 2 && refused < sizes, "{refused} of {sizes}");
}

/// Three snapshots, of which the first two are forgotten: packs of no use, and packs of which some is needed.
fn forgotten(room: &CleanRoom, source: &Path) -> Acknowledged {
    let mut last = Acknowledged::default();
    for round in 0..3 {
        let files: Vec<_> = (0..16).map(|n| tree::noise(format!("file-{n}"), 60_000, if n % 4 == 0 { n } else { 100 * (round + 1) + n })).collect();
        let _ = fs::remove_dir_all(source);
        tree::write(source, &files);
        last = Acknowledged::default();
        last.note(&back_up(room, source).run().ok(), source);
    }
    last
}

#[test]
fn a_prune_on_a_disk_of_any_size() {
    if !can::or_skip(Can::Mount) {
        return;
    }
    let mut room = CleanRoom::with_repository();
    let source = room.path("source");
    let last = forgotten(&room, &source);
    room.vault(["forget", "--keep-last", "1"]).run().ok();
    let (used, template) = (pages_bytes(&room.repository()), room.repository());
    let step = if is_thorough() { 4096 } else { 200 << 10 };
    for extra in (0..1_400_000).step_by(step) {
        let disk = room.path("disk");
        let mount = Mount::tmpfs(&disk, &format!("size={}", used + 4096 + extra));
        copy(&template, &disk.join("repo"));
        room.set("VAULT_REPOSITORY", disk.join("repo"));
        let _ = fs::remove_dir_all(room.cache());
        let filler = mount.fill();
        assert_eq!(mount.free_bytes(), 0);
        if extra > 0 {
            // All sizes of room between none and enough.
            fs::OpenOptions::new().write(true).open(&filler).unwrap().set_len(filler.metadata().unwrap().len().saturating_sub(extra)).unwrap();
        }
        let done = room.vault(["prune", "--json", "--max-unused", "0", "--grace", "0"]).run().ok();
        assert!(number(&done.summary(), "bytes_freed") > 1_000_000, "{extra}: {done}");
        last.check(&room, &source, "pruned");
        fs::remove_file(filler).unwrap();
        room.vault(["prune", "--max-unused", "0", "--grace", "0"]).run().ok();
        last.check(&room, &source, "pruned-again");
        assert_eq!(files_below(&disk.join("repo/gc")), Vec::<PathBuf>::new());
        drop(mount);
    }
}

#[test]
fn forget_and_prune_make_room_on_a_full_disk() {
    if !can::or_skip(Can::Mount) {
        return;
    }
    let mut room = CleanRoom::new();
    let disk = room.path("disk");
    let mount = Mount::tmpfs(&disk, "size=96m");
    room.set("VAULT_REPOSITORY", disk.join("repo"));
    room.vault(["init"]).run().ok();
    let reserve = disk.join("repo/reserve");
    assert!(reserve.metadata().unwrap().len() >= 4 << 20, "init sets room aside");
    let source = room.path("source");
    let last = forgotten(&room, &source);
    let filler = mount.fill();
    tree::write(&source, &[tree::noise("more", 3_000_000, 9)]);
    assert_says_full(&back_up(&room, &source).run(), &disk);
    assert_eq!(mount.free_bytes(), 0);
    let done = room.vault(["forget", "--keep-last", "1", "--prune", "--max-unused", "0", "--grace", "0", "--json"]).run().ok();
    assert!(number(&done.events_of("summary").pop().unwrap(), "bytes_freed") > 1_000_000, "{done}");
    assert!(mount.free_bytes() > 1_000_000);
    fs::remove_file(source.join("more")).unwrap();
    last.check(&room, &source, "pruned");
    fs::remove_file(filler).unwrap();
    back_up(&room, &source).run().ok();
    room.vault(["prune"]).run().ok();
    assert!(reserve.metadata().unwrap().len() >= 4 << 20, "set aside again");

    // Without the reserve and without any room it ends in words, and harms nothing.
    fs::remove_file(&reserve).unwrap();
    tree::write(&source, &[tree::noise("file-1", 60_000, 77)]);
    back_up(&room, &source).run().ok();
    let filler = mount.fill();
    let done = room.vault(["forget", "--keep-last", "1"]).run();
    assert_says_full(&done, &disk);
    fs::remove_file(filler).unwrap();
    room.verify();
}

/// The cache is on the full disk: everything works as without one.
#[test]
fn a_full_disk_under_the_cache_costs_time_only() {
    if !can::or_skip(Can::Mount) {
        return;
    }
    for size in ["16k", "64k", "120k", "256k", "1m"] {
        let mut room = CleanRoom::new();
        let place = room.path("cache");
        let mount = Mount::tmpfs(&place, &format!("size={size}"));
        room.set("VAULT_REPOSITORY", room.path("repo"));
        room.set("VAULT_CACHE_DIR", &place);
        room.vault(["init"]).run().ok();
        let source = room.path("source");
        let last = forgotten(&room, &source);
        mount.fill();
        room.vault(["forget", "--keep-last", "1", "--prune", "--max-unused", "0", "--grace", "0"]).run().ok();
        last.check(&room, &source, size);
        back_up(&room, &source).run().ok();
    }
}

#[test]
fn a_disk_that_dies_and_comes_back() {
    if !can::or_skip(Can::FailingDisk) {
        return;
    }
    let mut disk = FailingDisk::new(96).unwrap();
    let mut room = CleanRoom::new();
    room.set("VAULT_REPOSITORY", disk.path().join("repo"));
    room.vault(["init"]).run().ok();
    let source = room.path("source");
    let mut acknowledged = Acknowledged::default();
    for round in 0..4 {
        tree::write(&source, &[tree::noise(format!("file-{round}"), 2_000_000, round), tree::file(format!("small-{round}"), "small")]);
        acknowledged.note(&back_up(&room, &source).run().ok(), &source);
        tree::write(&source, &[tree::noise(format!("more-{round}"), 2_000_000, 50 + round)]);
        disk.fail(true);
        let done = back_up(&room, &source).run();
        assert!(matches!(done.code, Some(1 | 13)), "{done}");
        assert!(!done.complaint().trim().is_empty(), "says why");
        // Nothing can be promised of an answer now, but that it is none of success.
        assert_ne!(room.vault(["prune"]).run().code, Some(0));
        disk.fail(false);
        disk.repair();
        acknowledged.check(&room, &source, &format!("repaired-{round}"));
    }
    acknowledged.note(&back_up(&room, &source).run().ok(), &source);
    acknowledged.check(&room, &source, "end");
}

/// Every other read or write does half of what it was asked for, which is its right.
#[test]
fn short_reads_and_writes_change_nothing() {
    if !can::or_skip(Can::ShortWrites) {
        return;
    }
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    let mut acknowledged = Acknowledged::default();
    for (round, point) in ["write/reduce", "pwrite/reduce", "writev/reduce", "pwritev/reduce", "read/reduce", "pread/reduce", "readv/reduce", "preadv/reduce"]
        .into_iter()
        .enumerate()
    {
        let round = round as u64;
        tree::write(&source, &[tree::noise(format!("large-{round}"), 3_000_000, round), tree::noise(format!("small-{round}"), 70_000, 50 + round)]);
        let fault = format!("enable_random name=posix/io/rw/{point},probability=0.5");
        let wrapper = ["fiu-run", "-x", "-c", &fault].map(OsStr::new);
        let done = back_up(&room, &source).under(&wrapper).run();
        assert!(matches!(done.code, Some(0 | 1)), "{point}: {done}");
        acknowledged.note(&done, &source);
        let done = room.vault(["verify", "--read-data"]).under(&wrapper).run();
        assert!(matches!(done.code, Some(0 | 1)), "{point}: {done}");
    }
    eprintln!("{} of 8 backups went through", acknowledged.0.len());
    acknowledged.note(&back_up(&room, &source).run().ok(), &source);
    acknowledged.check(&room, &source, "end");
}

/// Fails the call number `at` of each thread (`strace -e inject=…:when=`); whether any was.
fn with_fault(call: Call, room: &CleanRoom, calls: &str, error: &str, at: u32) -> (Done, bool) {
    let log = room.path("trace");
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:error={error}:when={at}"));
    let mut wrapper: Vec<&OsStr> = ["strace", "-f", "-qq", "-e", "signal=none", "-e", &trace, "-e", &inject, "-o"].map(OsStr::new).to_vec();
    wrapper.push(log.as_os_str());
    let done = call.under(&wrapper).run();
    let was_injected = fs::read_to_string(&log).unwrap_or_default().contains("(INJECTED)");
    (done, was_injected)
}

const CALLS: [(&str, &str); 9] = [
    ("fsync,fdatasync,syncfs", "EIO"),
    ("rename,renameat,renameat2", "EIO"),
    ("write,pwrite64,writev,pwritev,pwritev2", "EIO"),
    ("write,pwrite64,writev,pwritev,pwritev2", "ENOSPC"),
    ("openat", "EMFILE"),
    ("openat", "EIO"),
    ("unlink,unlinkat", "EIO"),
    ("read,pread64,preadv,preadv2", "EIO"),
    ("getdents64,statx,newfstatat", "EIO"),
];

#[test]
fn every_call_of_a_backup_that_fails() {
    if !can::or_skip(Can::Strace) {
        return;
    }
    for (number, (calls, error)) in CALLS.into_iter().enumerate() {
        fail_calls(calls, error, number as u64);
    }
}

fn fail_calls(calls: &str, error: &str, seed: u64) {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::drawn(seed, 30), vec![tree::noise("first", 1_300_000, seed)]].concat());
    let mut acknowledged = Acknowledged::default();
    acknowledged.note(&back_up(&room, &source).run().ok(), &source);
    let (mut at, mut faults, mut failed) = (1, 0, 0);
    loop {
        // Something new each time, large enough for a pack that is written past the page cache.
        tree::write(&source, &[tree::noise("changing", 1_200_000, 1000 * seed + u64::from(at)), tree::file(format!("small-{at}"), "small")]);
        let (done, was_injected) = with_fault(back_up(&room, &source), &room, calls, error, at);
        if !was_injected {
            acknowledged.note(&done.ok(), &source);
            break;
        }
        faults += 1;
        failed += u32::from(done.code != Some(0));
        assert!(done.signal.is_none() && done.code != Some(101), "{calls} {error} at {at}: {done}");
        assert!(done.code == Some(0) || !done.all().trim().is_empty(), "{calls} {error} at {at}: not a word: {done}");
        acknowledged.note(&done, &source);
        room.verify();
        at += if is_thorough() { 1 } else { 1 + at / 3 };
    }
    eprintln!("{calls} {error}: {faults} runs with faults, {failed} of them failed, {} snapshots acknowledged", acknowledged.0.len());
    assert!(faults > 0);
    acknowledged.check(&room, &source, "end");
}
