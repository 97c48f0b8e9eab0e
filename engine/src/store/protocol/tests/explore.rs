//! Every reachable state of a few writers and sweepers over a model of a store, one call at a time; a crash is a process that makes no further call.
//!
//! One chunk, which every pack holds and every snapshot needs: chunks are independent, since a pack goes only if the rules hold for each chunk in it.
//! Lost is: a snapshot is acknowledged, there and not forgotten, and no pack is.

use crate::store::protocol::{NameSet, Rule, Rules, Sweeper, SweeperAnswer, SweeperCall, SweepsSeen, Writer, WriterAnswer, WriterCall};
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Names 0 to 15 as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Bits(u16);

impl Bits {
    fn of(name: u8) -> Self {
        Self(1 << name)
    }

    fn names(mut self) -> impl Iterator<Item = u8> {
        std::iter::from_fn(move || self.pop())
    }
}

impl NameSet for Bits {
    type Name = u8;
    fn has(&self, name: u8) -> bool {
        self.0 >> name & 1 == 1
    }
    fn add(&mut self, name: u8) {
        self.0 |= 1 << name;
    }
    fn first(&self) -> Option<u8> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as u8)
    }
    fn pop(&mut self) -> Option<u8> {
        let first = self.first()?;
        self.0 &= self.0 - 1;
        Some(first)
    }
    fn join(&mut self, other: &Self) {
        self.0 |= other.0;
    }
    fn keep(&mut self, keep: impl Fn(u8) -> bool) {
        self.0 = self.names().filter(|name| keep(*name)).fold(0, |bits, name| bits | 1 << name);
    }
    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

/// What is tried.
#[derive(Clone, Copy, Debug)]
struct Config {
    writers: usize,
    sweepers: usize,
    /// Packs at the start; all of them are indexed.
    packs: u8,
    /// There is a confirmed snapshot at the start.
    first: bool,
    /// It may be forgotten at any time.
    forget: bool,
    /// Writers take its chunks without a look.
    cover: bool,
    /// Sweepers may move the chunk to a new pack.
    repack: bool,
    /// Sweepers condemn first.
    condemn: bool,
    /// Writers put a checkpoint before they go on.
    checkpoint: bool,
    /// The last writer puts the forgotten snapshot again instead of making one from a source.
    undelete: bool,
    /// How often a writer stores at most, each time under a fresh name.
    stores: u8,
}

const PLAIN: Config = Config {
    writers: 1,
    sweepers: 1,
    packs: 1,
    first: false,
    forget: false,
    cover: false,
    repack: false,
    condemn: false,
    checkpoint: false,
    undelete: false,
    stores: 3,
};

const WRITERS: usize = 2;
const SWEEPERS: usize = 2;
/// Snapshots: the first, one of each writer, one checkpoint of each.
const FIRST: u8 = 0;
/// Packs: up to three at the start, three of each writer, one of each sweeper.
fn pack_of_writer(writer: usize, attempt: u8) -> u8 {
    3 + 3 * writer as u8 + attempt
}

fn pack_of_sweeper(sweeper: usize) -> u8 {
    9 + sweeper as u8
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct WriterState {
    rules: Writer<Bits>,
    /// Within a call that takes several steps.
    step: u8,
    /// How often it has stored.
    attempt: u8,
    given_up: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SweeperState {
    rules: Sweeper<Bits, u8>,
    step: u8,
    is_live: bool,
    victims: Bits,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    packs: Bits,
    index: Bits,
    snapshots: Bits,
    confirmed: Bits,
    forgotten: Bits,
    condemned: [Bits; SWEEPERS],
    /// Active sweeps; what is over leaves nothing.
    sweeps: [Bits; SWEEPERS],
    writers: [WriterState; WRITERS],
    sweepers: [SweeperState; SWEEPERS],
}

impl World {
    fn new(config: &Config, rules: Rules) -> Self {
        let packs = Bits((1 << config.packs) - 1);
        let first = if config.first { Bits::of(FIRST) } else { Bits::default() };
        Self {
            packs,
            index: packs,
            snapshots: first,
            confirmed: first,
            forgotten: Bits::default(),
            condemned: Default::default(),
            sweeps: Default::default(),
            writers: std::array::from_fn(|_| WriterState { rules: Writer::begin(rules, false), step: 0, attempt: 0, given_up: false }),
            sweepers: std::array::from_fn(|_| SweeperState { rules: Sweeper::begin(rules, false), step: 0, is_live: false, victims: Bits::default() }),
        }
    }

    fn has_lost(&self) -> bool {
        let promised = self.snapshots.0 & self.confirmed.0 & !self.forgotten.0;
        promised != 0 && self.packs.0 == 0
    }

    /// The sweeps that are active, but for one's own.
    fn active(&self, own: Option<usize>) -> impl Iterator<Item = usize> + '_ {
        (0..SWEEPERS).filter(move |sweep| Some(*sweep) != own && self.sweeps[*sweep].0 != 0)
    }

    fn seen(&self, own: Option<usize>) -> SweepsSeen<Bits> {
        let condemned = Bits(self.condemned.iter().fold(0, |all, set| all | set.0));
        SweepsSeen { condemned, active: Bits(self.active(own).fold(0, |all, sweep| all | self.sweeps[sweep].0)) }
    }
}

fn name_of(writer: usize) -> u8 {
    1 + writer as u8
}

fn checkpoint_of(writer: usize) -> u8 {
    1 + (WRITERS + writer) as u8
}

/// Every state that the next call of a writer can lead to.
fn step_writer(world: &World, who: usize, config: &Config, rules: Rules, out: &mut Vec<World>) {
    let state = &world.writers[who];
    if state.given_up {
        return;
    }
    let undeletes = config.undelete && who + 1 == config.writers;
    let answer = |change: &dyn Fn(&mut World), answer: WriterAnswer<Bits>| {
        let mut next = world.clone();
        change(&mut next);
        next.writers[who].rules.answer(answer);
        next.writers[who].step = 0;
        next
    };
    let relied = |name| WriterAnswer::Stored { relied: Bits::of(name), by_parent: false };
    let hits = world.index.names().filter(|pack| state.rules.may_rely(*pack));
    match state.rules.next() {
        WriterCall::ListSweeps => out.push(answer(&|_| {}, WriterAnswer::Sweeps(world.seen(None)))),
        WriterCall::Store | WriterCall::StoreAgain(_) => {
            let again = matches!(state.rules.next(), WriterCall::StoreAgain(_));
            let covered = config.cover && !again && world.snapshots.has(FIRST) && !world.forgotten.has(FIRST);
            let step = |change: &dyn Fn(&mut World), to: u8| {
                let mut next = world.clone();
                next.writers[who].step = to;
                change(&mut next);
                next
            };
            let fresh = if rules.hold(Rule::FreshName) { state.attempt } else { 0 };
            let own = pack_of_writer(who, fresh);
            match state.step {
                _ if undeletes && !world.forgotten.has(FIRST) => {}
                // Each pack that the index gives may be the one; a parent may cover it; else the chunk is stored.
                0 if covered => out.push(answer(&|_| {}, WriterAnswer::Stored { relied: Bits::default(), by_parent: true })),
                0 => {
                    let hits: Vec<u8> = hits.collect();
                    hits.iter().for_each(|pack| out.push(answer(&|_| {}, relied(*pack))));
                    if hits.is_empty() && !undeletes {
                        let out_of_names = state.attempt == config.stores;
                        out.push(step(&|next| next.writers[who].given_up = out_of_names, 1));
                    } else if hits.is_empty() {
                        out.push(step(&|next| next.writers[who].given_up = true, 1));
                    }
                }
                1 => out.push(step(&|next| next.packs.add(own), 2)),
                2 => out.push(step(&|next| next.index.add(own), 3)),
                3 if config.checkpoint && !again => out.push(step(&|next| next.snapshots.add(checkpoint_of(who)), 4)),
                _ => out.push(answer(&|next| next.writers[who].attempt += 1, relied(own))),
            }
        }
        WriterCall::PutSnapshot => out.push(answer(&|next| next.snapshots.add(name_of(who)), WriterAnswer::Put)),
        WriterCall::LookAtParent => out.push(answer(&|_| {}, WriterAnswer::There(world.snapshots.has(FIRST) && !world.forgotten.has(FIRST)))),
        WriterCall::NameEveryPack => {
            let hits: Vec<u8> = hits.collect();
            hits.iter().for_each(|pack| out.push(answer(&|_| {}, relied(*pack))));
            if hits.is_empty() {
                let mut next = world.clone();
                next.writers[who].given_up = true;
                out.push(next);
            }
        }
        WriterCall::LookAtPack(pack) => out.push(answer(&|_| {}, WriterAnswer::There(world.packs.has(pack)))),
        WriterCall::LookInIndex(pack) => out.push(answer(&|_| {}, WriterAnswer::There(world.index.has(pack)))),
        WriterCall::PutConfirmation => out.push(answer(&|next| next.confirmed.add(name_of(who)), WriterAnswer::Put)),
        WriterCall::Acknowledged => {
            if world.snapshots.has(checkpoint_of(who)) {
                let mut next = world.clone();
                next.snapshots.keep(|name| name != checkpoint_of(who));
                out.push(next);
            }
        }
    }
}

/// The judgement of a sweeper, which follows from what it has seen.
fn judged(mut world: World, who: usize) -> World {
    let state = &mut world.sweepers[who];
    let has_copy = Bits(u16::MAX).names().any(|pack| state.rules.is_copy(pack));
    let spared = if state.is_live && !has_copy { *state.rules.victims() } else { Bits::default() };
    state.rules.answer(SweeperAnswer::Spared(spared));
    (state.is_live, state.victims) = (false, Bits::default());
    world
}

/// Every state that the next call of a sweeper can lead to.
fn step_sweeper(world: &World, who: usize, config: &Config, rules: Rules, out: &mut Vec<World>) {
    let state = &world.sweepers[who];
    let answer = |change: &dyn Fn(&mut World), answer: SweeperAnswer<Bits, u8>| {
        let mut next = world.clone();
        next.sweepers[who].step = 0;
        change(&mut next);
        next.sweepers[who].rules.answer(answer);
        next
    };
    let done = SweeperAnswer::Done;
    let own = pack_of_sweeper(who);
    match state.rules.next() {
        SweeperCall::ListSweeps => {
            let sweeps = world.active(Some(who)).map(|sweep| sweep as u8).collect();
            out.push(answer(&|_| {}, SweeperAnswer::Sweeps(world.seen(Some(who)), sweeps)));
        }
        SweeperCall::Plan => {
            let planned = |victims| SweeperAnswer::Planned { victims, condemn: config.condemn };
            match state.step {
                0 => {
                    let mut next = world.clone();
                    next.sweepers[who].is_live = world.snapshots.0 != 0;
                    next.sweepers[who].step = 1;
                    out.push(next);
                }
                // Any set will do that leaves a copy; if none does, the chunk moves first.
                1 => {
                    for set in (1..=world.packs.0).filter(|set| set & !world.packs.0 == 0) {
                        let set = Bits(set);
                        let left = world.packs.0 & !set.0 & !state.rules.others().0;
                        if !state.is_live || left != 0 {
                            out.push(answer(&|_| {}, planned(set)));
                        } else if config.repack {
                            let mut next = world.clone();
                            (next.sweepers[who].step, next.sweepers[who].victims) = (2, set);
                            out.push(next);
                        }
                    }
                }
                // With the rule switched off, the old pack goes first and the new one comes later.
                2 if !rules.hold(Rule::NewBeforeOld) => out.push(answer(&|_| {}, planned(state.victims))),
                2 => {
                    let mut next = world.clone();
                    next.packs.add(own);
                    next.sweepers[who].step = 3;
                    out.push(next);
                }
                _ => out.push(answer(&|next| next.index.add(own), planned(state.victims))),
            }
        }
        SweeperCall::PutCondemn => out.push(answer(&|next| next.condemned[who] = *state.rules.victims(), done)),
        SweeperCall::PutSweep => out.push(answer(&|next| next.sweeps[who] = *state.rules.victims(), done)),
        SweeperCall::Wait => unreachable!("listings are never late here"),
        // Only what this listing shows: less than a real sweeper, which remembers the first one too.
        SweeperCall::ListSnapshots => out.push(answer(&|next| next.sweepers[who].is_live = world.snapshots.0 != 0, done)),
        SweeperCall::SeePacks => {
            let trusts_the_plan = !rules.hold(Rule::NewBeforeOld) && state.victims.0 != 0;
            let there = if trusts_the_plan { world.packs.0 | Bits::of(own).0 } else { world.packs.0 };
            out.push(judged(answer(&|_| {}, SweeperAnswer::Packs(Bits(there))), who));
        }
        SweeperCall::AskIndex => out.push(judged(answer(&|_| {}, SweeperAnswer::Packs(world.index)), who)),
        SweeperCall::Judge => unreachable!("judged at once: it asks nothing of the store"),
        SweeperCall::PutIndex => out.push(answer(&|next| next.index.0 &= !state.rules.victims().0, done)),
        SweeperCall::Delete(pack) => out.push(answer(&|next| next.packs.keep(|name| name != pack), done)),
        SweeperCall::PutDone => out.push(answer(&|next| next.sweeps[who] = Bits::default(), done)),
        SweeperCall::SeeSweep(sweep) => {
            let gone = world.packs.0 & world.sweeps[usize::from(sweep)].0 == 0;
            out.push(answer(&|_| {}, SweeperAnswer::Gone(gone)));
        }
        SweeperCall::PutDoneOf(sweep) => out.push(answer(&|next| next.sweeps[usize::from(sweep)] = Bits::default(), done)),
        SweeperCall::Finished => {
            if world.condemned[who].0 != 0 {
                let mut next = world.clone();
                next.condemned[who] = Bits::default();
                out.push(next);
            }
        }
    }
}

fn successors(world: &World, config: &Config, rules: Rules, out: &mut Vec<World>) {
    if config.forget && world.snapshots.has(FIRST) {
        // The record first, then the snapshot.
        let mut next = world.clone();
        if world.forgotten.has(FIRST) {
            next.snapshots.keep(|name| name != FIRST);
        } else {
            next.forgotten.add(FIRST);
        }
        out.push(next);
    }
    (0..config.writers).for_each(|who| step_writer(world, who, config, rules, out));
    (0..config.sweepers).for_each(|who| step_sweeper(world, who, config, rules, out));
}

/// Hashes well enough for 2¹²⁸ places, and fast.
#[derive(Default)]
struct Mix(u64, u64);

impl Mix {
    fn fold(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        self.1 = (self.1.rotate_left(17) ^ value).wrapping_mul(0xd6e8_feb8_6659_fd93) ^ (self.1 >> 31);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ self.1
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.fold(u64::from(*byte)));
    }
    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }
    fn write_u16(&mut self, value: u16) {
        self.fold(u64::from(value));
    }
    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }
    fn write_isize(&mut self, value: isize) {
        self.fold(value as u64);
    }
    fn write_u128(&mut self, value: u128) {
        self.fold(value as u64);
        self.fold((value >> 64) as u64);
    }
}

/// Where a world stands among all. Of who makes no further call nothing counts.
fn place(world: &World) -> u128 {
    let mut mix = Mix::default();
    (world.packs, world.index, world.snapshots, world.confirmed, world.forgotten, world.condemned, world.sweeps).hash(&mut mix);
    for writer in &world.writers {
        match writer.rules.next() {
            _ if writer.given_up => mix.fold(1),
            WriterCall::Acknowledged => mix.fold(2),
            _ => writer.hash(&mut mix),
        }
    }
    for sweeper in &world.sweepers {
        if sweeper.rules.next() == SweeperCall::Finished { mix.fold(1) } else { sweeper.hash(&mut mix) }
    }
    u128::from(mix.0) << 64 | u128::from(mix.1)
}

/// Tries everything. `Ok`: safe, with the number of states; `Err`: the calls that led to a loss.
fn explore(config: &Config, rules: Rules) -> Result<usize, usize> {
    let start = World::new(config, rules);
    let mut seen: HashSet<u128, BuildHasherDefault<Mix>> = HashSet::default();
    seen.insert(place(&start));
    let mut waiting = vec![(start, 0)];
    let mut out = Vec::new();
    while let Some((world, depth)) = waiting.pop() {
        if world.has_lost() {
            return Err(depth);
        }
        successors(&world, config, rules, &mut out);
        for next in out.drain(..) {
            if seen.insert(place(&next)) {
                waiting.push((next, depth + 1));
            }
        }
    }
    Ok(seen.len())
}

/// What fits into every run of the tests; together they have each process and each event beside each other.
fn configs() -> Vec<Config> {
    let pair = Config { first: true, forget: true, repack: true, ..PLAIN };
    vec![
        PLAIN,
        Config { sweepers: 2, packs: 0, ..PLAIN },
        Config { sweepers: 2, ..PLAIN },
        Config { sweepers: 2, packs: 2, first: true, ..PLAIN },
        Config { writers: 2, packs: 2, ..PLAIN },
        pair,
        Config { condemn: true, ..pair },
        Config { cover: true, ..pair },
        Config { undelete: true, ..pair },
        Config { checkpoint: true, packs: 2, ..pair },
        Config { sweepers: 2, ..pair },
        Config { sweepers: 2, cover: true, ..pair },
        Config { sweepers: 2, undelete: true, ..pair },
        Config { writers: 2, ..pair },
        Config { writers: 2, cover: true, ..pair },
        Config { writers: 2, undelete: true, ..pair },
        Config { writers: 2, sweepers: 2, packs: 0, stores: 1, ..PLAIN },
        Config { writers: 2, sweepers: 2, stores: 0, ..PLAIN },
    ]
}

#[test]
fn nothing_acknowledged_is_lost_in_any_order() {
    for config in configs() {
        let states = explore(&config, Rules::default());
        eprintln!("{states:?} {config:?}");
        assert!(states.is_ok(), "{config:?}");
    }
}

/// Large ones, by hand: `cargo test --release -p vault-engine everything_at_once -- --ignored --nocapture`.
#[test]
#[ignore = "by hand: takes minutes and gigabytes"]
fn everything_at_once() {
    let all = Config { writers: 2, sweepers: 2, first: true, forget: true, repack: true, ..PLAIN };
    for config in [
        Config { writers: 1, packs: 2, ..all },
        all,
        Config { cover: true, ..all },
        Config { undelete: true, ..all },
        Config { checkpoint: true, condemn: true, ..all },
    ] {
        let states = explore(&config, Rules::default());
        eprintln!("{states:?} {config:?}");
        assert!(states.is_ok());
    }
}

/// The rules that the explorer can show to be needed; the others need late listings ([`super::random`]).
const SHOWN: [Rule; 14] = [
    Rule::PostCheck,
    Rule::SweepsBeforePacks,
    Rule::PackSeen,
    Rule::PackNotSwept,
    Rule::ParentSeen,
    Rule::FreshName,
    Rule::NewBeforeOld,
    Rule::SnapshotsAfterFlag,
    Rule::OthersAfterFlag,
    Rule::CopyNotSwept,
    Rule::CopyOutsideSet,
    Rule::CopySeen,
    Rule::DoneAfterDeletes,
    Rule::OthersDoneWhenGone,
];

#[test]
fn each_rule_is_needed() {
    let mut idle = Vec::new();
    for rule in SHOWN {
        let found = configs().into_iter().find_map(|config| explore(&config, Rules::without(rule)).err().map(|calls| (calls, config)));
        match found {
            Some((calls, config)) => eprintln!("without {rule:?} data is lost after {calls} calls: {config:?}"),
            None => idle.push(rule),
        }
    }
    assert_eq!(idle, [], "rules that change nothing");
}
