//! Verifications that remember: budgets, windows, killed runs, damage, and a clock that a test sets.

use super::*;
use crate::format::keys::Key;
use crate::format::slot::Secret;
use crate::ops::monitor::Progress;
use crate::ops::stats::{OldestByte, proof_stats};
use crate::store::host::{Host, SystemHost};
use crate::store::repository::InitOptions;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};

const DAY: i64 = 86_400;
const MONTH: Duration = Duration::from_hours(30 * 24);

/// The machine, but for its clock.
struct Machine {
    now: AtomicI64,
    dice: SystemHost,
}

impl Host for Machine {
    fn now(&self) -> Time {
        Time { seconds: self.now.load(Ordering::SeqCst), nanoseconds: 0 }
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    fn fill_random(&self, out: &mut [u8]) {
        self.dice.fill_random(out);
    }
}

struct Room {
    base: tempfile::TempDir,
    store: Arc<MemoryStore>,
    host: Arc<Machine>,
}

impl Room {
    /// A repository of `sessions` data packs and as many of trees.
    fn new(sessions: u64) -> Self {
        let host = Arc::new(Machine { now: AtomicI64::new(1_000 * DAY), dice: SystemHost::default() });
        let (base, store) = (tempfile::tempdir().unwrap(), Arc::new(MemoryStore::default()));
        let secrets = [(Secret::KeyFile(Key([9; 32])), "test")];
        let repository = Repository::init(store.clone(), host.clone(), &secrets, &InitOptions::default(), Some(base.path())).unwrap();
        for session in 0..sessions {
            let builder = Builder::new(&repository);
            let root = builder.tree(vec![builder.file("own", &noise(session, 2000))]);
            builder.commit(root);
        }
        Self { base, store, host }
    }

    fn open(&self) -> Repository {
        Repository::open(self.store.clone(), self.host.clone(), &[Secret::KeyFile(Key([9; 32]))], Some(self.base.path())).unwrap()
    }

    fn later(&self, seconds: i64) {
        self.host.now.fetch_add(seconds, Ordering::SeqCst);
    }

    fn verify(&self, choice: PackChoice) -> VerifyOutcome {
        let options = VerifyOptions { read_data: true, choice: Some(choice), ..VerifyOptions::default() };
        verify(&self.open(), &options, &Quiet, &Cancel::default()).unwrap()
    }

    fn read(&self, choice: PackChoice) -> ReadOutcome {
        self.verify(choice).read.unwrap()
    }

    fn read_all(&self) {
        let options = VerifyOptions { read_data: true, ..VerifyOptions::default() };
        assert_eq!(verify(&self.open(), &options, &Quiet, &Cancel::default()).unwrap().damage, []);
    }

    fn unproved(&self) -> (u64, u64) {
        let stats = proof_stats(&self.open(), MONTH).unwrap();
        (stats.unproved_bytes, stats.never_proved_bytes)
    }

    fn oldest(&self) -> OldestByte {
        proof_stats(&self.open(), MONTH).unwrap().oldest.unwrap()
    }

    fn folder(&self) -> std::path::PathBuf {
        let mut folders = std::fs::read_dir(self.base.path()).unwrap();
        folders.next().unwrap().unwrap().path()
    }
}

fn budget(bytes: u64) -> PackChoice {
    PackChoice::Oldest { budget: Some(Budget::Bytes(bytes)), within: None }
}

fn within() -> PackChoice {
    PackChoice::Oldest { budget: None, within: Some(MONTH) }
}

#[test]
fn small_budgets_get_through_everything() {
    let room = Room::new(3);
    let all = room.read(budget(0)).of;
    assert_eq!(all.0, 6);
    for packs in 2..=6 {
        room.later(DAY);
        assert_eq!(room.read(budget(1)).read.0, 1);
        let (unproved, never) = room.unproved();
        assert_eq!(unproved, never);
        assert_eq!(never == 0, packs == 6, "each run reads a pack that no run before read");
    }
    assert_eq!(room.oldest(), OldestByte::Proved { at: Time { seconds: 1_000 * DAY, nanoseconds: 0 }, age: Duration::from_secs(5 * DAY as u64) });
    let read = room.read(budget(u64::MAX));
    assert_eq!((read.read, read.left_out_bytes, read.sampled), (all, 0, None));
    assert!(matches!(room.oldest(), OldestByte::Proved { age: Duration::ZERO, .. }));
}

#[test]
fn time_that_is_up_ends_it_after_one_pack() {
    let room = Room::new(3);
    let read = room.read(PackChoice::Oldest { budget: Some(Budget::Time(Duration::ZERO)), within: None });
    assert_eq!(read.read.0, 1);
    assert_eq!(read.out_of_time_bytes, read.of.1 - read.read.1);
    let read = room.read(PackChoice::Oldest { budget: Some(Budget::Time(MONTH)), within: None });
    assert_eq!((read.read, read.out_of_time_bytes), (read.of, 0));
}

#[test]
fn a_window_is_kept_by_daily_runs_and_seen_in_the_stats() {
    let room = Room::new(10);
    let mut runs_that_read = 0;
    for day in 0..120 {
        runs_that_read += u64::from(room.read(within()).read.0 > 0);
        assert_eq!(room.read(within()).read.0, 0, "the second run of a day");
        room.later(DAY);
        let age = match room.oldest() {
            OldestByte::Proved { age, .. } | OldestByte::NeverProved { age, .. } => age,
            OldestByte::Damaged => panic!(),
        };
        assert!(age <= MONTH, "day {day}: {age:?}");
        if day >= 30 {
            assert_eq!(room.unproved(), (0, 0));
        }
    }
    assert!(runs_that_read > 40, "spread over many days: {runs_that_read}");
}

/// Asks to stop when the first pack was read.
struct Killer(Arc<Cancel>);

impl Monitor for Killer {
    fn progress(&self, progress: &Progress) {
        if progress.total_known && progress.files_done >= 1 {
            self.0.cancel();
        }
    }
}

#[test]
fn a_killed_run_keeps_what_was_proved() {
    let room = Room::new(8);
    let cancel = Arc::new(Cancel::default());
    let options = VerifyOptions { read_data: true, ..VerifyOptions::default() };
    let killed = verify(&room.open(), &options, &Killer(cancel.clone()), &cancel);
    assert!(matches!(killed, Err(RepositoryError::Cancelled)));
    let (_, never) = room.unproved();
    let all = proof_stats(&room.open(), MONTH).unwrap().bytes;
    assert!(0 < never && never < all, "{never} of {all}");
    room.later(60);
    assert_eq!(room.read(budget(never)).read.1, never, "the next run begins with the others");
    assert_eq!(room.unproved(), (0, 0));
}

#[test]
fn damage_is_unproved_until_it_is_mended_and_read() {
    let room = Room::new(3);
    room.read_all();
    assert_eq!(room.unproved(), (0, 0));
    let data = names(&room.store, ObjectKind::DataPack)[0];
    for (read_data, at) in [(true, 130), (false, 5)] {
        room.store.objects().get_mut(&data).unwrap()[at] ^= 1;
        let options = VerifyOptions { read_data, ..VerifyOptions::default() };
        assert_eq!(verify(&room.open(), &options, &Quiet, &Cancel::default()).unwrap().damage.len(), 1);
        assert_eq!(room.oldest(), OldestByte::Damaged);
        room.store.objects().get_mut(&data).unwrap()[at] ^= 1;
        room.later(60);
        let read = room.read(within());
        assert_eq!((read.read.0, read.left_out_bytes), (1, 0), "it is due at once");
        assert_eq!(room.unproved(), (0, 0));
    }
}

#[test]
fn a_lost_ledger_and_a_clock_set_back_cost_work_only() {
    let room = Room::new(2);
    room.read_all();
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(room.folder().join(format!("ledger.sqlite{suffix}")));
    }
    let (unproved, never) = room.unproved();
    assert!(unproved > 0 && unproved == never);
    assert!(matches!(room.oldest(), OldestByte::NeverProved { age: Duration::ZERO, .. }));
    room.read_all();
    room.later(-5 * DAY);
    assert_eq!(room.unproved(), (never, never), "proofs from the future");
    assert!(matches!(room.oldest(), OldestByte::NeverProved { .. }));
    room.read_all();
    assert_eq!(room.unproved(), (0, 0));
    room.later(31 * DAY);
    assert_eq!(room.unproved(), (never, 0));
    assert!(Path::new(&room.folder().join("ledger.sqlite")).exists());
}

#[test]
fn samples_say_what_they_prove() {
    let room = Room::new(10);
    let lot = room.read(PackChoice::Share(Share(250_000)));
    assert_eq!((lot.of.0, lot.read.0), (20, 5));
    let sampled = lot.sampled.unwrap();
    assert_eq!((sampled.bad_most, sampled.confidence), (sample::bad_most(20, 5, Share(950_000)), Share(950_000)));
    let confident = PackChoice::Confidence { bad: Share(100_000), confidence: Share(900_000) };
    let read = room.read(confident);
    assert_eq!(read.read.0, sample::needed(20, Share(100_000), Share(900_000)));
    assert!(read.sampled.unwrap().bad_most < 2);
    // One bad pack in the sample, and nothing is said about the others.
    let data = names(&room.store, ObjectKind::DataPack)[0];
    room.store.objects().get_mut(&data).unwrap()[130] ^= 1;
    let outcome = room.verify(PackChoice::Share(Share::WHOLE));
    assert_eq!((outcome.damage.len(), outcome.read.unwrap().sampled), (1, None));
    // Snapshots by themselves: only what they need is to choose from.
    let id = room.open().snapshots().unwrap().snapshots[0].id;
    let options = VerifyOptions { read_data: true, choice: Some(budget(u64::MAX)), snapshots: Some(vec![id]), ..VerifyOptions::default() };
    assert_eq!(verify(&room.open(), &options, &Quiet, &Cancel::default()).unwrap().read.unwrap().of.0, 2);
}
