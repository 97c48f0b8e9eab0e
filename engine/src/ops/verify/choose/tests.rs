//! What is read when: budgets, windows, lots, seen over simulated months.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::id::ObjectId;
use crate::format::pack::PackKind;
use std::collections::BTreeMap;

const DAY: i64 = 86_400;
const MONTH: Duration = Duration::from_hours(30 * 24);

fn pack(number: u32, length: u64) -> IndexedPack {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    IndexedPack { id: ObjectId(id), kind: PackKind::Data, length }
}

fn candidate(number: u32, length: u64, seen: i64, proved: Option<i64>) -> Candidate {
    Candidate { pack: pack(number, length), proof: Proof { seen, proved } }
}

fn numbers(plan: &Plan) -> Vec<u32> {
    plan.packs.iter().map(|pack| u32::from_be_bytes(pack.id.0[..4].try_into().unwrap())).collect()
}

fn at(now: i64) -> Clock {
    Clock { now, last_run: None }
}

fn no_dice(_: u64) -> u64 {
    panic!("nothing is drawn by lot")
}

#[test]
fn the_longest_unproved_come_first_and_the_budget_ends_it() {
    let all = vec![candidate(1, 10, 5, Some(50)), candidate(2, 10, 9, None), candidate(3, 10, 5, Some(40)), candidate(4, 10, 7, None)];
    let plan = |choice| choose(all.clone(), choice, at(100), &mut no_dice);
    assert_eq!(numbers(&plan(None)), [4, 2, 3, 1]);
    let budget = |bytes| plan(Some(PackChoice::Oldest { budget: Some(Budget::Bytes(bytes)), within: None }));
    assert_eq!(numbers(&budget(29)), [4, 2]);
    assert_eq!(numbers(&budget(30)), [4, 2, 3]);
    assert_eq!(numbers(&budget(1)), [4], "one at least");
    assert_eq!(budget(1).left_out_bytes, 0, "nothing else was due");
    let time = Some(Duration::from_mins(20));
    let timed = plan(Some(PackChoice::Oldest { budget: time.map(Budget::Time), within: None }));
    assert_eq!((numbers(&timed), timed.time_max), (vec![4, 2, 3, 1], time));
    assert_eq!(choose(Vec::new(), None, at(0), &mut no_dice), Plan::default());
}

#[test]
fn lots_are_drawn_among_all() {
    let all: Vec<Candidate> = (0..240).map(|n| candidate(n, 10, 0, None)).collect();
    let mut asked = 0;
    let mut dice = |below: u64| {
        asked += 1;
        below - 1
    };
    assert_eq!(choose(all.clone(), Some(PackChoice::Share(Share(50_000))), at(0), &mut dice).packs.len(), 12);
    assert_eq!(asked, 12);
    let confidence = PackChoice::Confidence { bad: Share(10_000), confidence: Share(990_000) };
    let packs = choose(all, Some(confidence), at(0), &mut |_| 0).packs.len() as u64;
    assert_eq!(packs, sample::needed(240, Share(10_000), Share(990_000)));
}

/// A repository over months: packs come and go, runs are late, some do not happen.
struct Life {
    packs: BTreeMap<u32, Candidate>,
    clock: Clock,
    next: u32,
    state: u64,
}

impl Life {
    fn new(packs: u32) -> Self {
        let clock = at(1_000 * DAY);
        let mut life = Self { packs: BTreeMap::new(), clock, next: 0, state: 7 };
        (0..packs).for_each(|_| life.add());
        life
    }

    fn random(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.state) * u128::from(below)) >> 64) as u64
    }

    fn add(&mut self) {
        let length = 1 + self.random(16 << 20);
        self.packs.insert(self.next, candidate(self.next, length, self.clock.now, None));
        self.next += 1;
    }

    fn run(&mut self, budget: Option<Budget>) -> (u64, u64) {
        let choice = PackChoice::Oldest { budget, within: Some(MONTH) };
        let plan = choose(self.packs.values().copied().collect(), Some(choice), self.clock, &mut no_dice);
        for number in numbers(&plan) {
            self.packs.get_mut(&number).unwrap().proof.proved = Some(self.clock.now);
        }
        self.clock.last_run = Some(self.clock.now);
        (plan.packs.iter().map(|pack| pack.length).sum(), plan.left_out_bytes)
    }

    fn total(&self) -> u64 {
        self.packs.values().map(|candidate| candidate.pack.length).sum()
    }

    fn oldest(&self) -> i64 {
        self.packs.values().map(|candidate| self.clock.now - candidate.proof.since()).max().unwrap()
    }
}

#[test]
fn every_byte_is_read_again_within_the_window() {
    for (packs, every) in [(1, DAY), (3, DAY), (400, DAY), (400, DAY / 4), (400, 7 * DAY), (50, 12 * DAY)] {
        let mut life = Life::new(packs);
        let mut read = 0;
        let mut most = 0;
        let days = 400;
        let end = life.clock.now + days * DAY;
        while life.clock.now < end {
            let (bytes, left_out) = life.run(None);
            assert_eq!(left_out, 0);
            read += bytes;
            most = most.max(bytes);
            if life.random(5) == 0 && packs > 10 {
                life.add();
            }
            // Up to an hour late, so that nothing rests on exact times.
            life.clock.now += every + life.random(3600) as i64;
            assert!(life.oldest() <= 30 * DAY + 2 * 3600, "{packs} packs, every {every} s: {} s", life.oldest());
        }
        let window = (30 * DAY - every.max(DAY)) as f64;
        let rate = read as f64 / life.total() as f64 / (days * DAY) as f64 * window;
        assert!(rate < 1.35, "{packs} packs, every {every} s: read {rate} times as often as needed");
        if packs == 400 && every <= DAY {
            assert!(most < life.total() / 15, "spread evenly: {most} of {}", life.total());
        }
    }
}

#[test]
fn the_second_run_of_a_day_finds_nothing_due() {
    let mut life = Life::new(300);
    for _ in 0..40 {
        let (first, _) = life.run(None);
        assert!(first > 0);
        life.clock.now += 60;
        let (second, _) = life.run(None);
        assert!(second <= 16 << 20, "a pack at most: {second}");
        life.clock.now += DAY - 60;
    }
}

#[test]
fn a_seldom_run_reads_all_and_a_small_budget_is_told() {
    let mut life = Life::new(20);
    life.run(None);
    life.clock.now += 45 * DAY;
    assert_eq!(life.run(None).0, life.total(), "nothing less keeps the promise");
    life.clock.now += 20 * DAY;
    let (read, left_out) = life.run(Some(Budget::Bytes(1)));
    assert!(read > 0 && left_out > 0);
}

#[test]
fn what_was_doubted_is_due_at_once_and_a_wrong_clock_does_no_harm() {
    let now = 1_000 * DAY;
    let mut all: Vec<Candidate> = (0..100).map(|n| candidate(n, 10, now, Some(now))).collect();
    all[17].proof = Proof { seen: 0, proved: None };
    let choice = Some(PackChoice::Oldest { budget: None, within: Some(MONTH) });
    assert_eq!(numbers(&choose(all.clone(), choice, Clock { now, last_run: Some(now) }, &mut no_dice)), [17]);
    // The clock was set back, or to the end of time, or the window is nothing.
    for (now, last_run) in [(0, Some(now)), (i64::MIN, None), (i64::MAX, Some(i64::MIN)), (now, Some(i64::MAX))] {
        for within in [Duration::ZERO, MONTH, Duration::MAX] {
            let choice = Some(PackChoice::Oldest { budget: None, within: Some(within) });
            assert!(choose(all.clone(), choice, Clock { now, last_run }, &mut no_dice).packs.len() <= 100);
        }
    }
}
