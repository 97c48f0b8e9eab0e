//! A model of a store with a few writers and sweepers on it: what each call of each of them can lead to.
//!
//! One chunk, which every pack holds and every snapshot needs: chunks are independent, since a pack goes only if the rules hold for each chunk in it.
//! Lost is: a snapshot is acknowledged, there and not forgotten, and no pack is.

use crate::store::protocol::{NameSet, Rule, Rules, Sweeper, SweeperAnswer, SweeperCall, SweepsSeen, Writer, WriterAnswer, WriterCall};

/// Names 0 to 15 as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bits(u16);

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
pub struct Config {
    pub writers: usize,
    pub sweepers: usize,
    /// Packs at the start; all of them are indexed.
    pub packs: u8,
    /// There is a confirmed snapshot at the start.
    pub first: bool,
    /// It may be forgotten at any time.
    pub forget: bool,
    /// Writers take its chunks without a look.
    pub cover: bool,
    /// Sweepers may move the chunk to a new pack.
    pub repack: bool,
    /// Sweepers condemn first.
    pub condemn: bool,
    /// Writers put a checkpoint before they go on.
    pub checkpoint: bool,
    /// The last writer puts the forgotten snapshot again instead of making one from a source.
    pub undelete: bool,
    /// How often a writer stores at most, each time under a fresh name.
    pub stores: u8,
}

pub const PLAIN: Config = Config {
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
pub struct WriterState {
    pub rules: Writer<Bits>,
    /// Within a call that takes several steps.
    pub step: u8,
    /// How often it has stored.
    pub attempt: u8,
    pub given_up: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SweeperState {
    pub rules: Sweeper<Bits, u8>,
    pub step: u8,
    pub is_live: bool,
    pub victims: Bits,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub packs: Bits,
    pub index: Bits,
    pub snapshots: Bits,
    pub confirmed: Bits,
    pub forgotten: Bits,
    pub condemned: [Bits; SWEEPERS],
    /// Active sweeps; what is over leaves nothing.
    pub sweeps: [Bits; SWEEPERS],
    pub writers: [WriterState; WRITERS],
    pub sweepers: [SweeperState; SWEEPERS],
}

impl World {
    pub fn new(config: &Config, rules: Rules) -> Self {
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

    pub fn has_lost(&self) -> bool {
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
                4 => out.push(step(&|next| next.writers[who].rules.answer(WriterAnswer::Sweeps(world.seen(None))), 5)),
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

pub fn successors(world: &World, config: &Config, rules: Rules, out: &mut Vec<World>) {
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
