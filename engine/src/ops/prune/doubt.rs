//! Packs that no index segment speaks of and no ended run vouches for: read whole before a prune counts on what their tables say (SPEC chapter 11).

use super::Damaged;
use super::ground::{Bits, Ground};
use crate::format::id::ObjectId;
use crate::ops::parallel::{lock, parallel};
use crate::store::error::Result;
use crate::store::healed::is_whole;
use crate::store::load::pack_name;
use crate::store::repository::Repository;
use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

/// Those of these packs with something in them that a snapshot needs whose bytes do not have the hash that is their name. `ended`: sessions whose puts all returned.
pub fn doubtful(repository: &Repository, ground: &Ground, live: &Bits, ended: &HashSet<[u8; 16]>, threads: usize) -> Result<BTreeSet<ObjectId>> {
    let indexed = repository.lookup.packs(repository)?;
    let is_left = |number: &usize| {
        let place = &ground.packs[*number];
        let is_needed = || (0..u64::from(place.chunks)).any(|at| live.has(place.first_bit + at));
        !indexed.contains_key(&place.pack.id) && !ended.contains(&place.session) && is_needed()
    };
    let left: Vec<usize> = (0..ground.packs.len()).filter(is_left).collect();
    let doubtful = Mutex::new(BTreeSet::new());
    parallel(
        threads,
        left.len(),
        || (),
        |(), at| {
            let pack = &ground.packs[left[at]].pack;
            if !is_whole(&*repository.store, &pack_name(pack.kind, pack.id), pack.length)? {
                lock(&doubtful).insert(pack.id);
            }
            Ok(())
        },
    )?;
    Ok(doubtful.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// What is damaged, and all blocks of doubtful packs: another copy of what lies in them is the one to keep, if there is one.
pub fn with_doubtful(damaged: &Damaged, doubtful: &BTreeSet<ObjectId>, ground: &Ground) -> Damaged {
    let mut all = damaged.clone();
    for pack in doubtful {
        let blocks = ground.numbers.get(pack).map_or(0, |number| ground.packs[*number as usize].blocks.len());
        all.packs.insert(*pack);
        all.blocks.extend((0..blocks).map(|block| (*pack, block)));
    }
    all
}

/// Sessions that put a snapshot, which they do when all their packs are durable.
pub fn ended(repository: &Repository, snapshots: &[[u8; 16]]) -> Result<HashSet<[u8; 16]>> {
    let mut ended: HashSet<[u8; 16]> = snapshots.iter().copied().collect();
    ended.extend(repository.forgotten()?.iter().filter_map(|forget| forget.session));
    Ok(ended)
}
