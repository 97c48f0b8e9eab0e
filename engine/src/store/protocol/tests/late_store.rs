//! A model of a store that shows old listings, and on which changes arrive long after they were sent.

use crate::store::protocol::SweepsSeen;
use std::collections::{BTreeMap, BTreeSet};

pub type Name = u32;
pub type Names = BTreeSet<Name>;

/// A small repeatable generator (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// What is put. Sets of chunks are bits.
#[derive(Clone, Debug)]
pub enum Object {
    Pack(u8),
    Segment { pack: Name, chunks: u8 },
    Snapshot { chunks: u8 },
    Forget(Name),
    Condemn(Names),
    Sweep(Names),
    Done(Name),
}

#[derive(Clone, Debug)]
pub struct Stored {
    pub object: Object,
    pub put: u64,
    pub deleted: Option<u64>,
}

#[derive(Clone, Debug)]
pub enum Change {
    Put(Name, Object),
    Delete(Name),
}

pub struct Store {
    pub now: u64,
    /// Listings are late by at most this.
    pub late: u64,
    pub objects: BTreeMap<Name, Stored>,
    /// Changes on their way, with the time they arrive.
    pub travelling: Vec<(u64, Change)>,
    pub names: Name,
    pub acknowledged: BTreeMap<Name, u8>,
}

impl Store {
    pub fn name(&mut self) -> Name {
        self.names += 1;
        self.names
    }

    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Put(name, object) => drop(self.objects.entry(name).or_insert(Stored { object, put: self.now, deleted: None })),
            Change::Delete(name) => {
                if let Some(stored) = self.objects.get_mut(&name) {
                    stored.deleted.get_or_insert(self.now);
                }
            }
        }
    }

    /// Whether the object is there, exactly.
    pub fn there(&self, name: Name) -> bool {
        self.objects.get(&name).is_some_and(|stored| stored.deleted.is_none())
    }

    /// A listing: what changed within the last while may be shown as it was.
    pub fn list(&self, dice: &mut Dice) -> Vec<(Name, Object)> {
        let mut found = Vec::new();
        for (name, stored) in &self.objects {
            let is_old = stored.put + self.late <= self.now;
            let shown = match stored.deleted {
                None => is_old || dice.one_in(2),
                Some(deleted) => deleted + self.late > self.now && dice.one_in(2),
            };
            if shown {
                found.push((*name, stored.object.clone()));
            }
        }
        found
    }

    /// The records in `gc/`, read: one that is gone is over.
    pub fn sweeps(&self, dice: &mut Dice, own: Option<Name>) -> (SweepsSeen<Names>, Vec<Name>) {
        let mut seen: SweepsSeen<Names> = SweepsSeen::default();
        let listed: Vec<(Name, Object)> = self.list(dice).into_iter().filter(|(name, _)| self.there(*name) && Some(*name) != own).collect();
        let over: Names = listed.iter().filter_map(|(_, object)| if let Object::Done(sweep) = object { Some(*sweep) } else { None }).collect();
        let mut sweeps = Vec::new();
        for (name, object) in listed {
            match object {
                Object::Condemn(packs) => seen.condemned.extend(packs),
                Object::Sweep(packs) if !over.contains(&name) => {
                    seen.active.extend(packs);
                    sweeps.push(name);
                }
                _ => {}
            }
        }
        (seen, sweeps)
    }

    /// Which packs the index says hold each chunk.
    pub fn hints(&self, dice: &mut Dice) -> Vec<(Name, u8)> {
        let segments = self.list(dice).into_iter();
        segments.filter_map(|(_, object)| if let Object::Segment { pack, chunks } = object { Some((pack, chunks)) } else { None }).collect()
    }

    pub fn chunks_of(&self, pack: Name) -> u8 {
        match self.objects.get(&pack).map(|stored| &stored.object) {
            Some(Object::Pack(chunks)) => *chunks,
            _ => 0,
        }
    }

    /// A chunk that an acknowledged snapshot needs and no pack has.
    pub fn lost(&self) -> Option<(Name, u8)> {
        let there = self.objects.values().filter(|stored| stored.deleted.is_none());
        let (mut held, mut forgotten) = (0, Names::new());
        for stored in there {
            match stored.object {
                Object::Pack(chunks) => held |= chunks,
                Object::Forget(snapshot) => drop(forgotten.insert(snapshot)),
                _ => {}
            }
        }
        let promised = self.acknowledged.iter().filter(|(name, _)| self.there(**name) && !forgotten.contains(name));
        promised.map(|(name, chunks)| (*name, chunks & !held)).find(|(_, missing)| *missing != 0)
    }
}
