//! Random lives of many writers and sweepers: pauses of any length, crashes, answers that are lost, changes that arrive long after whoever sent
//! them died, and listings that show what was before.

use super::late_store::{Change, Dice, Name, Names, Object, Store, Stored};
use crate::store::protocol::{NameSet, Rule, Rules, Sweeper, SweeperAnswer, SweeperCall, SweepsSeen, Writer, WriterAnswer, WriterCall};
use std::collections::BTreeMap;

struct WriterRun {
    rules: Writer<Names>,
    chunks: u8,
    /// The parent, and the chunks that it covers.
    parent: Option<(Name, u8)>,
    snapshot: Option<Name>,
    step: u8,
    relied: Names,
    to_store: u8,
    pack: Name,
}

struct SweeperRun {
    rules: Sweeper<Names, Name>,
    step: u8,
    live: u8,
    victims: Names,
    to_move: u8,
    own: Option<Name>,
    condemned: Option<Name>,
    pack: Name,
}

enum Run {
    Writer(WriterRun),
    Sweeper(SweeperRun),
}

/// What a step leads to.
enum Next {
    On,
    /// Wait so long.
    Sleep(u64),
    /// Over, or given up.
    End,
}

struct Life {
    store: Store,
    dice: Dice,
    rules: Rules,
}

impl Life {
    /// Puts or deletes; seldom whoever does it dies, and the change arrives, or arrives much later.
    fn change(&mut self, change: Change) -> Next {
        if self.dice.one_in(60) {
            let delay = self.dice.below(2) * self.dice.below(300);
            self.store.travelling.push((self.store.now + delay, change));
            return Next::End;
        }
        self.store.apply(change);
        Next::On
    }

    fn writer(&mut self) -> Run {
        let late = self.store.late > 0;
        // Now and then the check of an unconfirmed snapshot is taken up.
        let listed = self.store.list(&mut self.dice);
        let forgotten: Names = listed.iter().filter_map(|(_, object)| if let Object::Forget(name) = object { Some(*name) } else { None }).collect();
        let snapshots = || listed.iter().filter_map(|(name, object)| if let Object::Snapshot { chunks } = object { Some((*name, *chunks)) } else { None });
        let good: Vec<(Name, u8)> = snapshots().filter(|(name, _)| self.store.acknowledged.contains_key(name) && !forgotten.contains(name)).collect();
        let mut run = WriterRun {
            rules: Writer::begin(self.rules, late),
            chunks: 1 + self.dice.below(63) as u8,
            parent: None,
            snapshot: None,
            step: 0,
            relied: Names::new(),
            to_store: 0,
            pack: 0,
        };
        let open = snapshots().find(|(name, _)| !self.store.acknowledged.contains_key(name) && !forgotten.contains(name));
        if let Some((name, chunks)) = open.filter(|_| self.dice.one_in(3)) {
            (run.rules, run.snapshot, run.chunks) = (Writer::resume(self.rules, late), Some(name), chunks);
        } else if !good.is_empty() && self.dice.one_in(2) {
            let (name, chunks) = good[self.dice.below(good.len() as u64) as usize];
            run.parent = Some((name, chunks & run.chunks)).filter(|(_, covered)| *covered != 0);
        }
        Run::Writer(run)
    }

    /// The packs that the index gives for chunks, of those that may be relied on, and the chunks that it gives none for.
    fn place(&mut self, rules: &Writer<Names>, chunks: u8) -> (Names, u8) {
        let hints = self.store.hints(&mut self.dice);
        let (mut packs, mut missing) = (Names::new(), 0);
        for chunk in (0..8).map(|bit| 1u8 << bit).filter(|chunk| chunks & chunk != 0) {
            let found: Vec<Name> = hints.iter().filter(|(pack, held)| held & chunk != 0 && rules.may_rely(*pack)).map(|(pack, _)| *pack).collect();
            if found.is_empty() {
                missing |= chunk;
            } else {
                packs.insert(found[self.dice.below(found.len() as u64) as usize]);
            }
        }
        (packs, missing)
    }

    fn step_writer(&mut self, run: &mut WriterRun) -> Next {
        let answer = match run.rules.next() {
            WriterCall::ListSweeps => WriterAnswer::Sweeps(self.store.sweeps(&mut self.dice, None).0),
            WriterCall::Store | WriterCall::StoreAgain(_) => {
                let again = run.snapshot.is_some();
                match run.step {
                    0 => {
                        let covered = if again { 0 } else { run.parent.map_or(0, |(_, covered)| covered) };
                        (run.relied, run.to_store) = self.place(&run.rules, run.chunks & !covered);
                        run.step = if run.to_store == 0 { 3 } else { 1 };
                        return Next::On;
                    }
                    1 => {
                        run.pack = self.store.name();
                        run.step = 2;
                        return self.change(Change::Put(run.pack, Object::Pack(run.to_store)));
                    }
                    2 => {
                        let name = self.store.name();
                        run.relied.insert(run.pack);
                        run.step = 3;
                        return self.change(Change::Put(name, Object::Segment { pack: run.pack, chunks: run.to_store }));
                    }
                    _ => {
                        run.step = 0;
                        WriterAnswer::Stored { relied: run.relied.clone(), by_parent: run.parent.is_some() && !again }
                    }
                }
            }
            WriterCall::PutSnapshot => {
                if run.snapshot.is_none() {
                    let name = self.store.name();
                    run.snapshot = Some(name);
                    if matches!(self.change(Change::Put(name, Object::Snapshot { chunks: run.chunks })), Next::End) {
                        return Next::End;
                    }
                }
                WriterAnswer::Put
            }
            WriterCall::LookAtParent => {
                let Some((parent, _)) = run.parent else { return Next::End };
                let forgotten = self.store.list(&mut self.dice).into_iter().any(|(_, object)| matches!(object, Object::Forget(name) if name == parent));
                WriterAnswer::There(self.store.there(parent) && !forgotten)
            }
            WriterCall::NameEveryPack => {
                let (relied, missing) = self.place(&run.rules, run.chunks);
                if missing != 0 {
                    return Next::End;
                }
                WriterAnswer::Stored { relied, by_parent: false }
            }
            WriterCall::LookAtPack(pack) => WriterAnswer::There(self.store.there(pack)),
            WriterCall::LookInIndex(pack) => WriterAnswer::There(self.store.hints(&mut self.dice).iter().any(|(known, _)| *known == pack)),
            WriterCall::PutConfirmation => WriterAnswer::Put,
            WriterCall::Acknowledged => {
                if let Some(name) = run.snapshot.filter(|name| self.store.there(*name)) {
                    self.store.acknowledged.insert(name, run.chunks);
                }
                return Next::End;
            }
        };
        run.rules.answer(answer);
        Next::On
    }

    fn sweeper(&mut self) -> Run {
        let rules = Sweeper::begin(self.rules, self.store.late > 0);
        Run::Sweeper(SweeperRun { rules, step: 0, live: 0, victims: Names::new(), to_move: 0, own: None, condemned: None, pack: 0 })
    }

    fn live(&mut self) -> u8 {
        let listed = self.store.list(&mut self.dice).into_iter();
        listed.fold(0, |live, (_, object)| if let Object::Snapshot { chunks } = object { live | chunks } else { live })
    }

    /// Chooses some packs, and what has to move out of them.
    fn plan(&mut self, run: &mut SweeperRun) {
        run.live = self.live();
        let is_pack = |object: &Object| matches!(object, Object::Pack(_));
        let listed: Vec<Name> = self.store.list(&mut self.dice).into_iter().filter(|(_, object)| is_pack(object)).map(|(name, _)| name).collect();
        let others = run.rules.others().clone();
        let seldom = 2 + self.dice.below(3);
        run.victims = listed.iter().copied().filter(|pack| others.contains(pack) || self.dice.one_in(seldom)).collect();
        let kept = |pack: &&Name| !run.victims.contains(pack) && !others.contains(pack);
        let held = listed.iter().filter(kept).fold(0, |held, pack| held | self.store.chunks_of(*pack));
        let going = run.victims.iter().fold(0, |going, pack| going | self.store.chunks_of(*pack));
        run.to_move = run.live & going & !held;
    }

    fn step_sweeper(&mut self, run: &mut SweeperRun) -> Next {
        let put = |life: &mut Self, object: Object| {
            let name = life.store.name();
            (name, life.change(Change::Put(name, object)))
        };
        let mut next = Next::On;
        let answer = match run.rules.next() {
            SweeperCall::ListSweeps => {
                let (seen, sweeps) = self.store.sweeps(&mut self.dice, run.own);
                SweeperAnswer::Sweeps(seen, sweeps)
            }
            SweeperCall::Plan => match run.step {
                0 => {
                    self.plan(run);
                    run.step = if run.to_move == 0 { 3 } else { 1 };
                    return Next::On;
                }
                1 => {
                    let (pack, next) = put(self, Object::Pack(run.to_move));
                    (run.pack, run.step) = (pack, 2);
                    return next;
                }
                2 => {
                    run.step = 3;
                    return put(self, Object::Segment { pack: run.pack, chunks: run.to_move }).1;
                }
                _ => SweeperAnswer::Planned { victims: run.victims.clone(), condemn: self.dice.one_in(2) },
            },
            SweeperCall::PutCondemn => {
                let (name, after) = put(self, Object::Condemn(run.rules.victims().clone()));
                (run.condemned, next) = (Some(name), after);
                SweeperAnswer::Done
            }
            SweeperCall::PutSweep => {
                let (name, after) = put(self, Object::Sweep(run.rules.victims().clone()));
                (run.own, next) = (Some(name), after);
                SweeperAnswer::Done
            }
            SweeperCall::Wait => {
                next = Next::Sleep(2 * self.store.late + 1);
                SweeperAnswer::Done
            }
            SweeperCall::ListSnapshots => {
                run.live = self.live();
                SweeperAnswer::Done
            }
            SweeperCall::SeePacks => {
                let there = self.store.objects.iter().filter(|(_, stored)| stored.deleted.is_none() && matches!(stored.object, Object::Pack(_)));
                SweeperAnswer::Packs(there.map(|(name, _)| *name).collect())
            }
            SweeperCall::AskIndex => SweeperAnswer::Packs(self.store.hints(&mut self.dice).into_iter().map(|(pack, _)| pack).collect()),
            SweeperCall::Judge => {
                let copies: Vec<Name> = self.store.objects.keys().copied().filter(|pack| run.rules.is_copy(*pack)).collect();
                let has_copy = |victim: Name, chunk: u8| copies.iter().any(|pack| *pack != victim && self.store.chunks_of(*pack) & chunk != 0);
                let is_needed = |victim: &Name| {
                    let needed = run.live & self.store.chunks_of(*victim);
                    (0..8).map(|bit| 1u8 << bit).any(|chunk| needed & chunk != 0 && !has_copy(*victim, chunk))
                };
                SweeperAnswer::Spared(run.rules.victims().iter().copied().filter(is_needed).collect())
            }
            SweeperCall::PutIndex => {
                let victims = run.rules.victims().clone();
                let goes = |object: &Object| matches!(object, Object::Segment { pack, .. } if victims.has(*pack));
                let segments: Vec<Name> = self.store.objects.iter().filter(|(_, stored)| goes(&stored.object)).map(|(name, _)| *name).collect();
                segments.into_iter().for_each(|segment| self.store.apply(Change::Delete(segment)));
                SweeperAnswer::Done
            }
            SweeperCall::Delete(pack) => {
                next = self.change(Change::Delete(pack));
                SweeperAnswer::Done
            }
            SweeperCall::PutDone => {
                if let Some(sweep) = run.own {
                    next = put(self, Object::Done(sweep)).1;
                }
                SweeperAnswer::Done
            }
            SweeperCall::SeeSweep(sweep) => {
                let gone = match self.store.objects.get(&sweep).map(|stored| &stored.object) {
                    Some(Object::Sweep(packs)) => packs.iter().all(|pack| !self.store.there(*pack)),
                    _ => true,
                };
                SweeperAnswer::Gone(gone)
            }
            SweeperCall::PutDoneOf(sweep) => {
                next = put(self, Object::Done(sweep)).1;
                SweeperAnswer::Done
            }
            SweeperCall::Finished => {
                // Both records go, the sweep's first; the advice too.
                for name in [run.own, run.condemned].into_iter().flatten() {
                    self.store.apply(Change::Delete(name));
                }
                return Next::End;
            }
        };
        run.rules.answer(answer);
        next
    }

    fn forget_one(&mut self) {
        let there: Vec<Name> = self.store.acknowledged.keys().copied().filter(|name| self.store.there(*name)).collect();
        if there.len() > 2 {
            let name = there[self.dice.below(there.len() as u64) as usize];
            let record = self.store.name();
            self.store.apply(Change::Put(record, Object::Forget(name)));
            let at = self.store.now + self.dice.below(20);
            self.store.travelling.push((at, Change::Delete(name)));
        }
    }
}

/// One life of so many calls. The error is the call after which a chunk was lost.
fn live(seed: u64, writers: usize, sweepers: usize, late: u64, calls: u64, rules: Rules) -> Result<usize, u64> {
    let store = Store { now: 0, late, objects: BTreeMap::new(), travelling: Vec::new(), names: 0, acknowledged: BTreeMap::new() };
    let mut life = Life { store, dice: Dice(seed), rules };
    let mut runs: Vec<(u64, Option<Run>)> = (0..writers + sweepers).map(|_| (0, None)).collect();
    for call in 0..calls {
        life.store.now += 1;
        let now = life.store.now;
        let arrived: Vec<Change> = life.store.travelling.extract_if(.., |(at, _)| *at <= now).map(|(_, change)| change).collect();
        arrived.into_iter().for_each(|change| life.store.apply(change));
        if life.dice.one_in(80) {
            life.forget_one();
        }
        let who = life.dice.below(runs.len() as u64) as usize;
        if runs[who].0 > life.store.now {
            continue;
        }
        let mut run = match runs[who].1.take() {
            Some(run) => run,
            None if who < writers => life.writer(),
            None => life.sweeper(),
        };
        let next = match &mut run {
            Run::Writer(run) => life.step_writer(run),
            Run::Sweeper(run) => life.step_sweeper(run),
        };
        let pause = if life.dice.one_in(40) { life.dice.below(400) } else { 0 };
        match next {
            Next::End => runs[who].0 = life.store.now + pause,
            Next::On => runs[who] = (life.store.now + pause, Some(run)),
            Next::Sleep(more) => runs[who] = (life.store.now + more, Some(run)),
        }
        if life.store.lost().is_some() {
            return Err(call);
        }
        // What nobody can see any more.
        if call % 500 == 0 {
            let gone = |stored: &Stored| stored.deleted.is_some_and(|deleted| deleted + late < now);
            life.store.objects.retain(|_, stored| !gone(stored) || matches!(stored.object, Object::Pack(_) | Object::Sweep(_)));
        }
    }
    Ok(life.store.acknowledged.len())
}

#[test]
fn random_lives_lose_nothing() {
    for late in [0, 25] {
        let mut acknowledged = 0;
        for seed in 0..30 {
            let lived = live(seed, 8, 4, late, 4000, Rules::default());
            assert!(lived.is_ok(), "seed {seed}, listings late by {late}: {lived:?}");
            acknowledged += lived.unwrap();
        }
        assert!(acknowledged > 300, "{acknowledged} snapshots were acknowledged: too few to show anything");
    }
}

/// A life in which a sweeper does not wait for its listings.
#[test]
fn without_waiting_for_late_listings_data_is_lost() {
    let found = (0..200).find_map(|seed| live(seed, 3, 3, 40, 3000, Rules::without(Rule::WaitForListings)).err());
    assert!(found.is_some(), "the rule changes nothing");
}

/// Listings late by 10. A sweep is put at 0. A snapshot whose chunk its parent covers is put at 15; its writer sees the sweep at 16 and the parent
/// at 17. The parent is forgotten at 18. The sweeper lists at 20: the parent is gone, the new snapshot not yet shown.
#[test]
fn a_parent_covers_nothing_while_late_listings_show_a_sweep() {
    let pack = 7;
    for rules in [Rules::default(), Rules::without(Rule::ParentOrSweeps)] {
        let sweeping = SweepsSeen { condemned: Names::new(), active: [pack].into() };
        let mut writer: Writer<Names> = Writer::begin(rules, true);
        writer.answer(WriterAnswer::Sweeps(SweepsSeen::default()));
        writer.answer(WriterAnswer::Stored { relied: Names::new(), by_parent: true });
        writer.answer(WriterAnswer::Put);
        writer.answer(WriterAnswer::Sweeps(sweeping));
        let acknowledged = match writer.next() {
            WriterCall::LookAtParent => {
                writer.answer(WriterAnswer::There(true));
                writer.answer(WriterAnswer::Put);
                writer.next() == WriterCall::Acknowledged
            }
            // The pack is in the sweep: it is refused, and the chunk stored again.
            WriterCall::NameEveryPack => writer.may_rely(pack),
            call => panic!("{call:?}"),
        };

        let mut sweeper: Sweeper<Names, Name> = Sweeper::begin(rules, true);
        sweeper.answer(SweeperAnswer::Sweeps(SweepsSeen::default(), Vec::new()));
        sweeper.answer(SweeperAnswer::Planned { victims: [pack].into(), condemn: false });
        for _ in ["the sweep is put", "waited"] {
            sweeper.answer(SweeperAnswer::Done);
        }
        sweeper.answer(SweeperAnswer::Sweeps(SweepsSeen::default(), Vec::new()));
        sweeper.answer(SweeperAnswer::Done);
        sweeper.answer(SweeperAnswer::Packs([pack].into()));
        // No snapshot that it was shown needs the chunk.
        sweeper.answer(SweeperAnswer::Spared(Names::new()));
        sweeper.answer(SweeperAnswer::Done);
        assert_eq!(sweeper.next(), SweeperCall::Delete(pack));
        assert_eq!(acknowledged, rules != Rules::default(), "lost without the rule, and only without it");
    }
}
