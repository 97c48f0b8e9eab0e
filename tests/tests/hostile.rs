//! Whole lives on a store that misbehaves: no panic, no wrong bytes, no acknowledged snapshot lost, and every failure told.
//!
//! What is promised against which fault stands in `PROMISES`. `VAULT_TESTS_LIVES` sets the number of lives for each.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use vault_engine::format::id::ObjectId;
use vault_engine::ops::edit::{TagChange, tag};
use vault_engine::ops::forget::forget;
use vault_engine::store::error::{RepositoryError, Result};
use vault_engine::store::repository::Repository;
use vault_tests::disk::{Disk, ModelStore};
use vault_tests::files::Files;
use vault_tests::hostile::{ERRORS, Fault, HostileStore, LIES, READS};
use vault_tests::lab;
use vault_tests::tree::Random;

/// What a kind of store does, and whether a verification must find nothing at all afterwards. Else nothing that a confirmed snapshot needs may be
/// damaged: a lie leaves objects cut short that nobody needs, and an unconfirmed snapshot that could not be read is no root for a prune.
const PROMISES: [(&str, &[&[Fault]], Duration, bool); 5] = [
    ("errors, delays, repetitions", &[&ERRORS], Duration::ZERO, true),
    ("late listings", &[&ERRORS], Duration::from_millis(2), true),
    ("wrong reads", &[&READS], Duration::ZERO, false),
    ("writes that are lies", &[&LIES], Duration::ZERO, false),
    ("all of it", &[&ERRORS, &READS, &LIES], Duration::ZERO, false),
];

fn lives() -> u64 {
    std::env::var("VAULT_TESTS_LIVES").map_or(12, |count| count.parse().unwrap())
}

/// What is known of a snapshot that was acknowledged.
struct Known {
    files: Files,
    /// Somebody began to remove or replace it: it may be there or not, under its own or another name.
    may_go: bool,
}

struct Life {
    store: Arc<HostileStore>,
    random: Random,
    files: [Files; 2],
    known: BTreeMap<ObjectId, Known>,
    /// Operations that succeeded, and that failed.
    ended: (u64, u64),
}

const LABELS: [&str; 2] = ["/one", "/two"];

impl Life {
    fn begin(seed: u64, faults: &[Fault], late_by: Duration) -> Self {
        let one_in = [12, 40, 120][(seed % 3) as usize];
        let store = HostileStore::new(ModelStore::new(Disk::default()), seed, faults, one_in, late_by);
        store.arm(false);
        lab::init(store.clone(), &[1], None).unwrap();
        store.arm(true);
        let files = [Files::drawn(seed * 2, 6, 12_000), Files::drawn(seed * 2 + 1, 4, 30_000)];
        Self { store, random: Random(seed), files, known: BTreeMap::new(), ended: (0, 0) }
    }

    fn open(&self) -> Result<Repository> {
        lab::open(self.store.clone(), 1, None)
    }

    /// One of the snapshots that were acknowledged and are not under way out.
    fn draw(&mut self) -> Option<ObjectId> {
        let standing: Vec<ObjectId> = self.known.iter().filter(|(_, known)| !known.may_go).map(|(id, _)| *id).collect();
        let at = self.random.below(standing.len().max(1) as u64);
        standing.get(at as usize).copied()
    }

    fn change(&mut self, which: usize) {
        for _ in 0..=self.random.below(3) {
            let path = format!("{}file-{}", if self.random.below(2) == 0 { "" } else { "folder/" }, self.random.below(8));
            if self.random.below(4) == 0 {
                self.files[which].0.remove(&path);
            } else {
                let length = 1 + self.random.below(40_000) as usize;
                // Contents that both sources come to hold, so that each relies on packs of the other.
                let seed = self.random.below(30);
                self.files[which].put(&path, Random(seed).bytes(length));
            }
        }
    }

    fn step(&mut self) -> Result<()> {
        match self.random.below(10) {
            0..=3 => {
                let which = self.random.below(2) as usize;
                self.change(which);
                let id = lab::back_up(&self.open()?, &self.files[which], LABELS[which])?;
                self.known.insert(id, Known { files: self.files[which].clone(), may_go: false });
                Ok(())
            }
            4 | 5 if self.known.values().filter(|known| !known.may_go).count() > 2 => {
                let Some(id) = self.draw() else { return Ok(()) };
                let repository = self.open()?;
                let stored = lab::stored(&repository, id)?;
                self.known.get_mut(&id).unwrap().may_go = true;
                forget(&repository, &[&stored]).map(drop)
            }
            6 => {
                let Some(id) = self.draw() else { return Ok(()) };
                let repository = self.open()?;
                let stored = lab::stored(&repository, id)?;
                let change = TagChange { add: vec![format!("tag-{}", self.random.below(1000))], ..TagChange::default() };
                let known = self.known.get_mut(&id).unwrap();
                known.may_go = true;
                let files = known.files.clone();
                if let Some(new) = tag(&repository, "localhost", &stored, &change)? {
                    self.known.insert(new, Known { files, may_go: false });
                }
                Ok(())
            }
            7 | 8 => lab::prune_all(&self.open()?),
            _ => {
                let Some(id) = self.draw() else { return Ok(()) };
                let repository = self.open()?;
                let found = Files::of(&repository, &lab::stored(&repository, id)?)?;
                assert!(found == self.known[&id].files, "wrong bytes were given out of {}", id.short());
                Ok(())
            }
        }
    }

    /// The store comes to its senses: everything acknowledged is there.
    fn end(&mut self, must_verify: bool) {
        self.store.arm(false);
        for round in 0..2 {
            let repository = self.open().unwrap();
            let list = repository.snapshots().unwrap();
            for (id, known) in &self.known {
                // A confirmation that was swallowed, though it was said to be put, leaves an unconfirmed snapshot: it is there and whole.
                let mut of_it =
                    list.snapshots.iter().filter(|stored| !stored.forgotten).filter(|stored| stored.id == *id || stored.snapshot.original == Some(*id));
                let found = of_it.next().map(|stored| Files::of(&repository, stored));
                match found {
                    Some(Ok(files)) => assert!(files == known.files, "{} holds something else", id.short()),
                    Some(Err(error)) if !known.may_go => panic!("{} cannot be read: {error}", id.short()),
                    None if !known.may_go => panic!("{} is lost", id.short()),
                    _ => {}
                }
            }
            let confirmed = list.snapshots.iter().filter(|stored| stored.confirmed && !stored.forgotten).map(|stored| stored.id).collect();
            let mut damage = lab::damage(&repository, if must_verify { None } else { Some(confirmed) }).unwrap();
            damage.retain(|one| must_verify || one.lost > 0);
            assert_eq!(damage, []);
            if round == 0 {
                let which = self.random.below(2) as usize;
                let id = lab::back_up(&repository, &self.files[which], LABELS[which]).unwrap();
                self.known.insert(id, Known { files: self.files[which].clone(), may_go: false });
                lab::prune_all(&self.open().unwrap()).unwrap();
            }
        }
    }
}

/// Whether people would understand it: a failure of the store, or one that follows from it.
fn is_honest(error: &RepositoryError) -> bool {
    !matches!(error, RepositoryError::Cancelled | RepositoryError::CannotWrite(_) | RepositoryError::EmptyStream)
}

#[test]
fn no_life_on_a_hostile_store_loses_what_was_acknowledged() {
    for (name, groups, late_by, must_verify) in PROMISES {
        let faults = groups.concat();
        let (mut injected, mut succeeded, mut failed, mut acknowledged) = (0, 0, 0, 0);
        for seed in 1..=lives() {
            let mut life = Life::begin(seed, &faults, late_by);
            let lived = catch_unwind(AssertUnwindSafe(|| {
                for _ in 0..14 {
                    match life.step() {
                        Ok(()) => life.ended.0 += 1,
                        Err(error) => {
                            assert!(is_honest(&error), "{error:?}");
                            life.ended.1 += 1;
                        }
                    }
                }
                life.end(must_verify);
            }));
            if let Err(panic) = lived {
                eprintln!("life {seed} with {name}, faults {:?}", life.store.injected());
                std::panic::resume_unwind(panic);
            }
            injected += life.store.injected().values().sum::<u64>();
            (succeeded, failed, acknowledged) = (succeeded + life.ended.0, failed + life.ended.1, acknowledged + life.known.len());
        }
        eprintln!(
            "{name}: {} lives, {succeeded} operations succeeded and {failed} failed, {injected} faults, {acknowledged} snapshots acknowledged, 0 lost",
            lives()
        );
        assert!(injected > 0 && succeeded > 0, "{name}: nothing was tested");
    }
}
