//! Random lives: trees change, are backed up, change again; every snapshot restores to what a plain copy of the state says.
//!
//! `VAULT_TESTS_CASES` sets the number of lives (few by default); a failing life is printed whole and shrunk.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use vault_tests::clean_room::CleanRoom;
use vault_tests::plain::Plain;
use vault_tests::tree::{Random, at, set_mtime};

/// One change. Places are numbers into [`NAMES`]; what does not apply to what lies there is no change.
#[derive(Clone, Debug)]
enum Change {
    Write { at: (u8, u8), length: usize, seed: u64 },
    Append { at: (u8, u8), length: usize },
    Patch { at: (u8, u8), offset: usize },
    Truncate { at: (u8, u8), length: u64 },
    Hole { at: (u8, u8), length: u64 },
    Remove { at: (u8, u8) },
    Directory { at: (u8, u8) },
    Rename { from: (u8, u8), to: (u8, u8) },
    Link { from: (u8, u8), to: (u8, u8) },
    Symlink { at: (u8, u8), seed: u64 },
    Mode { at: (u8, u8), mode: u32 },
    Time { at: (u8, u8), seconds: i64, nanoseconds: i64 },
    Attribute { at: (u8, u8), value: Vec<u8> },
    Backup,
}

const NAMES: [&[u8]; 8] = [b"a", b"b", b"c.txt", b"-d", b"e\n", b"\xff\xfe", b"g h", b"zz"];

fn place(root: &Path, (parent, name): (u8, u8)) -> PathBuf {
    let name = NAMES[usize::from(name) % NAMES.len()];
    match usize::from(parent) % 4 {
        0 => at(root, name),
        parent => at(&at(root, NAMES[parent]), name),
    }
}

fn spot() -> impl Strategy<Value = (u8, u8)> {
    (0..4u8, 0..8u8)
}

fn change() -> impl Strategy<Value = Change> {
    let length = prop_oneof![4 => 0..5000usize, 2 => 260_000..265_000usize, 1 => 1_000_000..6_000_000usize, 1 => Just(262_144usize)];
    prop_oneof![
        6 => (spot(), length.clone(), any::<u64>()).prop_map(|(at, length, seed)| Change::Write { at, length, seed }),
        2 => (spot(), length).prop_map(|(at, length)| Change::Append { at, length }),
        2 => (spot(), 0..3_000_000usize).prop_map(|(at, offset)| Change::Patch { at, offset }),
        1 => (spot(), 0..300_000u64).prop_map(|(at, length)| Change::Truncate { at, length }),
        1 => (spot(), 0..20_000_000u64).prop_map(|(at, length)| Change::Hole { at, length }),
        2 => spot().prop_map(|at| Change::Remove { at }),
        3 => spot().prop_map(|at| Change::Directory { at }),
        2 => (spot(), spot()).prop_map(|(from, to)| Change::Rename { from, to }),
        2 => (spot(), spot()).prop_map(|(from, to)| Change::Link { from, to }),
        1 => (spot(), any::<u64>()).prop_map(|(at, seed)| Change::Symlink { at, seed }),
        1 => (spot(), 0..0o10_000u32).prop_map(|(at, mode)| Change::Mode { at, mode: mode | 0o600 }),
        1 => (spot(), -100_000_000..5_000_000_000i64, 0..1_000_000_000i64).prop_map(|(at, seconds, nanoseconds)| Change::Time { at, seconds, nanoseconds }),
        1 => (spot(), prop::collection::vec(any::<u8>(), 0..50)).prop_map(|(at, value)| Change::Attribute { at, value }),
        3 => Just(Change::Backup),
    ]
}

/// Makes a change. A change that does not apply (no such file, a directory in the way) fails, and that is fine.
fn apply(root: &Path, change: &Change) -> std::io::Result<()> {
    match change {
        Change::Write { at, length, seed } => {
            let mut random = Random(*seed);
            let bytes = if seed % 2 == 0 { random.bytes(*length) } else { random.words(*length) };
            fs::write(place(root, *at), bytes)
        }
        Change::Append { at, length } => {
            let file = fs::OpenOptions::new().write(true).open(place(root, *at))?;
            file.write_all_at(&Random(7).bytes(*length), file.metadata()?.len())
        }
        Change::Patch { at, offset } => {
            let file = fs::OpenOptions::new().write(true).open(place(root, *at))?;
            file.write_all_at(b"patched", *offset as u64 % (file.metadata()?.len() + 1))
        }
        Change::Truncate { at, length } => fs::OpenOptions::new().write(true).open(place(root, *at))?.set_len(*length),
        Change::Hole { at, length } => {
            let file = fs::OpenOptions::new().write(true).open(place(root, *at))?;
            file.set_len(file.metadata()?.len() + length)
        }
        Change::Remove { at } => {
            let path = place(root, *at);
            if path.symlink_metadata()?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
        }
        Change::Directory { at } => fs::create_dir(place(root, *at)),
        Change::Rename { from, to } => fs::rename(place(root, *from), place(root, *to)),
        Change::Link { from, to } => fs::hard_link(place(root, *from), place(root, *to)),
        Change::Symlink { at, seed } => symlink(format!("target-{seed}"), place(root, *at)),
        Change::Mode { at, mode } => {
            let path = place(root, *at);
            let directory = path.symlink_metadata()?.is_dir();
            if path.symlink_metadata()?.is_symlink() {
                return Ok(());
            }
            fs::set_permissions(path, fs::Permissions::from_mode(if directory { mode | 0o700 } else { *mode }))
        }
        Change::Time { at, seconds, nanoseconds } => set_mtime(&place(root, *at), *seconds, *nanoseconds),
        Change::Attribute { at, value } => Ok(rustix::fs::lsetxattr(place(root, *at), "user.value", value, rustix::fs::XattrFlags::empty())?),
        Change::Backup => Ok(()),
    }
}

fn live(changes: &[Change]) -> Result<(), TestCaseError> {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    fs::create_dir(&source).unwrap();
    let mut models: Vec<(String, Plain)> = Vec::new();
    for change in changes.iter().chain([&Change::Backup]) {
        if matches!(change, Change::Backup) {
            let summary = room.backup(&source);
            models.push((summary["snapshot_id"].as_str().unwrap().to_owned(), Plain::read(&source)));
        } else {
            let _ = apply(&source, change);
        }
    }
    room.verify();
    // One target for all: restoring in place over another state must come to the same as restoring afresh.
    let reused = room.path("reused");
    for (number, (snapshot, model)) in models.iter().enumerate() {
        let fresh = room.restore(snapshot, &source, &format!("fresh{number}"));
        prop_assert_eq!(model.differences(&Plain::read(&fresh)), "", "snapshot {} of {}", number, models.len());
        let selector = vault_tests::clean_room::selector(snapshot, &source);
        room.vault(["restore".as_ref(), selector.as_os_str(), "--delete".as_ref(), "--target".as_ref(), reused.as_os_str()]).run().ok();
        prop_assert_eq!(model.differences(&Plain::read(&reused)), "", "snapshot {} in place", number);
    }
    Ok(())
}

#[test]
fn every_snapshot_of_a_random_life_restores_to_its_state() {
    let cases = std::env::var("VAULT_TESTS_CASES").map_or(12, |count| count.parse().unwrap());
    let config = Config { cases, max_shrink_iters: 60, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(&prop::collection::vec(change(), 1..60), |changes| live(&changes)).unwrap();
}
