//! Drives the rules of a sweeper over the store: one phase of the plan.

use super::ground::Copy;
use super::mark::Walk;
use super::repack::{Counter, Old, Repacked, repack};
use super::{Prune, plan, roots, segments, usage};
use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::pack::PackKind;
use crate::format::sweep::{SweepRecord, Victims};
use crate::store::error::Result;
use crate::store::healed::get_checked;
use crate::store::load::pack_name;
use crate::store::protocol::{Rules, Sweeper, SweeperAnswer, SweeperCall};
use crate::store::repository::Repository;
use crate::store::sweeps::Sweeps;
use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

/// The kinds of packs.
pub const KINDS: [PackKind; 2] = [PackKind::Meta, PackKind::Data];
/// Moving more than this takes a while: writers are told first which packs will go.
const CONDEMN_BYTES: u64 = 64 << 20;

/// The size that packs of a kind are filled to, their parity apart.
pub fn size_of(repository: &Repository, kind: PackKind) -> u64 {
    let size_bytes = match kind {
        PackKind::Data => repository.config.pack_size_bytes,
        PackKind::Meta => crate::store::session::META_PACK_BYTES as u64,
    };
    size_bytes - repository.config.parity.added_bytes(size_bytes)
}

type Rule = Sweeper<BTreeSet<ObjectId>, ObjectId>;

fn put(repository: &Repository, record: &SweepRecord) -> Result<ObjectId> {
    repository.put_control(ObjectKind::Sweep, record.sealed(), &record.encode())
}

fn delete(repository: &Repository, id: ObjectId) -> Result<()> {
    repository.delete(&ObjectName::new(ObjectKind::Sweep, id))
}

/// Learns whether this client may delete, before a sweep is begun that it could not end: a record that says nothing is put and taken away.
///
/// # Errors
/// [`crate::store::error::RepositoryError::NoDeletion`].
pub fn try_to_delete(repository: &Repository) -> Result<()> {
    let record = SweepRecord::Done { sweep: ObjectId([0; 32]), made: repository.host.now() };
    delete(repository, put(repository, &record)?)
}

/// Moves what is needed of the packs of `round`, then deletes these and the `dead` ones. `known` is what was just read of `gc/`.
pub fn sweep(prune: &mut Prune<'_>, dead: &[usize], round: &[usize], total_bytes: u64, known: Option<Sweeps>) -> Result<()> {
    let repository = prune.repository;
    let mut rules = Rule::begin(Rules::default(), repository.store.listings_are_late());
    let mut known = known;
    let mut others: Vec<(ObjectId, Victims)> = Vec::new();
    let (mut own, mut condemned) = (None, None);
    loop {
        let answer = match rules.next() {
            SweeperCall::ListSweeps => {
                let mut seen = match known.take() {
                    Some(seen) => seen,
                    None => repository.sweeps()?,
                };
                seen.active.retain(|(id, _)| Some(*id) != own);
                others.clone_from(&seen.active);
                SweeperAnswer::Sweeps(seen.seen(), seen.active.iter().map(|(id, _)| *id).collect())
            }
            SweeperCall::Plan => {
                let going: Vec<usize> = dead.iter().chain(round).copied().collect();
                if total_bytes > CONDEMN_BYTES && !round.is_empty() {
                    condemned = Some(put(repository, &SweepRecord::Condemn(record(prune, plan::victims(&prune.uses, &going))))?);
                }
                let bad = move_round(prune, round, total_bytes)?;
                let victims = plan::victims(&prune.uses, &going).filter(|pack| !bad.contains(pack)).collect();
                SweeperAnswer::Planned { victims, condemn: false }
            }
            // This driver warns writers before it moves anything.
            SweeperCall::PutCondemn => SweeperAnswer::Done,
            SweeperCall::PutSweep => {
                let put = put(repository, &SweepRecord::Sweep(record(prune, rules.victims().iter().copied())))?;
                repository.store.barrier()?;
                // Writers rely on finding it: that the store says so is not enough.
                get_checked(&*repository.store, &ObjectName::new(ObjectKind::Sweep, put))?;
                own = Some(put);
                SweeperAnswer::Done
            }
            SweeperCall::Wait => {
                std::thread::sleep(2 * repository.store.listings_late_by());
                SweeperAnswer::Done
            }
            SweeperCall::ListSnapshots => {
                // Packs after snapshots: what a snapshot seen here needs is there by now.
                let snapshots = roots(repository, prune.monitor)?;
                if snapshots.iter().any(|stored| !prune.marks.walked.contains(&stored.id)) || !prune.marks.missing.is_empty() {
                    prune.ground.add(repository, &repository.packs_in_store()?, prune.options.threads)?;
                    let walk = Walk { repository, ground: &prune.ground, cancel: prune.cancel };
                    prune.marks.walk(&walk, &snapshots)?;
                }
                SweeperAnswer::Done
            }
            SweeperCall::SeePacks => SweeperAnswer::Packs(see_packs(prune)?),
            SweeperCall::Judge => {
                let spared = judge(prune, &rules)?;
                prune.outcome.spared += spared.len() as u64;
                SweeperAnswer::Spared(spared)
            }
            SweeperCall::PutIndex => {
                segments::rewrite(repository, &mut prune.ground, prune.options.threads, prune.is_tight, &|pack| rules.victims().contains(pack))?;
                // The copies that are relied on must outlive a power cut, too.
                repository.store.barrier()?;
                SweeperAnswer::Done
            }
            SweeperCall::Delete(pack) => {
                let place = &prune.ground.packs[prune.ground.numbers[&pack] as usize].pack;
                repository.delete(&pack_name(place.kind, pack))?;
                repository.cache.forget(&[pack_name(place.kind, pack)]);
                prune.outcome.deleted.0 += 1;
                prune.outcome.deleted.1 += place.length;
                SweeperAnswer::Done
            }
            SweeperCall::PutDone => {
                end(prune, own)?;
                SweeperAnswer::Done
            }
            SweeperCall::SeeSweep(sweep) => {
                let mut gone = true;
                for (_, victims) in others.iter().filter(|(id, _)| *id == sweep) {
                    for (packs, kind) in [(&victims.data, PackKind::Data), (&victims.meta, PackKind::Meta)] {
                        for pack in packs {
                            gone = gone && repository.store.stat(&pack_name(kind, *pack))?.is_none();
                        }
                    }
                }
                SweeperAnswer::Gone(gone)
            }
            SweeperCall::PutDoneOf(sweep) => {
                end(prune, Some(sweep))?;
                SweeperAnswer::Done
            }
            SweeperCall::Finished => {
                condemned.map_or(Ok(()), |id| delete(repository, id))?;
                return Ok(repository.store.barrier()?);
            }
            #[cfg(test)]
            SweeperCall::AskIndex => unreachable!("all rules hold here"),
        };
        rules.answer(answer);
    }
}

/// Puts the record that a sweep is over; then neither says anything more, and they go, the sweep's record first.
fn end(prune: &Prune<'_>, sweep: Option<ObjectId>) -> Result<()> {
    let (repository, Some(sweep)) = (prune.repository, sweep) else { return Ok(()) };
    repository.store.barrier()?;
    let done = put(repository, &SweepRecord::Done { sweep, made: repository.host.now() })?;
    repository.store.barrier()?;
    delete(repository, sweep)?;
    delete(repository, done)
}

fn record(prune: &Prune<'_>, packs: impl Iterator<Item = ObjectId>) -> Victims {
    let mut victims = Victims { made: prune.repository.host.now(), host: prune.options.host.clone(), ..Victims::default() };
    for pack in packs {
        match prune.ground.packs[prune.ground.numbers[&pack] as usize].pack.kind {
            PackKind::Data => victims.data.push(pack),
            PackKind::Meta => victims.meta.push(pack),
        }
    }
    victims.data.sort_unstable();
    victims.meta.sort_unstable();
    victims
}

/// Moves the needed blocks of a round and puts the index of what was put; returns the packs that a block could not be taken out of.
fn move_round(prune: &mut Prune<'_>, round: &[usize], total_bytes: u64) -> Result<BTreeSet<ObjectId>> {
    let repository = prune.repository;
    let mut repacked = Repacked::default();
    let counter = Counter { monitor: prune.monitor, cancel: prune.cancel, moved: AtomicU64::new(prune.outcome.put.1), total: total_bytes };
    for kind in KINDS {
        let packs = plan::new_packs(&prune.uses, round, kind, size_of(repository, kind));
        let old = Old { repository, ground: &prune.ground, uses: &prune.uses, needed: &prune.needed, keys: &prune.keys, kind };
        repack(&old, &packs, prune.options.threads, &counter, &mut repacked)?;
    }
    prune.outcome.put = (prune.outcome.put.0 + repacked.put.len() as u64, counter.moved.load(Ordering::Relaxed));
    prune.ground.add(repository, &repacked.put, prune.options.threads)?;
    prune.marks.grow(&prune.ground);
    let new = repacked.put.iter().filter_map(|pack| prune.ground.numbers.get(&pack.id).copied());
    // Packs that a killed run or prune left without an index, and that are of use now, get theirs too.
    let indexed: HashSet<ObjectId> = repository.lookup.packs(repository)?.into_keys().collect();
    let mut numbers: Vec<u32> = new.chain(usage::unindexed(&prune.uses, &indexed)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let is_going = |number: &u32| round.contains(&(*number as usize));
    numbers.retain(|number| !is_going(number) && !prune.doubtful.contains(&prune.ground.packs[*number as usize].pack.id));
    if !numbers.is_empty() {
        for number in &numbers {
            let pack = &prune.ground.packs[*number as usize].pack;
            repository.store.adopt(&pack_name(pack.kind, pack.id));
        }
        // The packs first, for a power cut.
        repository.store.barrier()?;
        segments::put(repository, numbers.iter().map(|number| prune.ground.table(repository, *number)), &[])?;
        repository.lookup.refresh();
    }
    Ok(repacked.bad)
}

/// The packs that are there: by a listing, or, where listings are late, each by itself.
fn see_packs(prune: &Prune<'_>) -> Result<BTreeSet<ObjectId>> {
    let store = &*prune.repository.store;
    if !store.listings_are_late() {
        return Ok(prune.repository.packs_in_store()?.into_iter().map(|pack| pack.id).collect());
    }
    let mut there = BTreeSet::new();
    for place in &prune.ground.packs {
        if store.stat(&pack_name(place.pack.kind, place.pack.id))? == Some(place.pack.length) {
            there.insert(place.pack.id);
        }
    }
    Ok(there)
}

/// The packs of the set that hold a chunk which a snapshot needs and which has no copy that counts.
fn judge(prune: &Prune<'_>, rules: &Rule) -> Result<BTreeSet<ObjectId>> {
    let (repository, ground, marks) = (prune.repository, &prune.ground, &prune.marks);
    let mut spared = BTreeSet::new();
    let mut relied: HashSet<u32> = HashSet::new();
    let mut copies: Vec<Copy> = Vec::new();
    for id in rules.victims() {
        let number = ground.numbers[id];
        let place = &ground.packs[number as usize];
        if !(0..u64::from(place.chunks)).any(|at| marks.live.has(place.first_bit + at)) {
            continue;
        }
        let table = match ground.table(repository, number) {
            // Another sweeper was faster.
            Err(error) if error.is_gone() && repository.store.stat(&pack_name(place.pack.kind, *id))?.is_none() => continue,
            table => table?,
        };
        'chunks: for (ordinal, chunk) in table.table.chunks.iter().enumerate() {
            if !marks.live.has(place.first_bit + ordinal as u64) {
                continue;
            }
            ground.copies(table.kind, &chunk.id.0[..16].try_into().expect("sixteen bytes"), &mut copies);
            for (pack, at) in copies.iter().filter(|(pack, _)| rules.is_copy(ground.packs[*pack as usize].pack.id)) {
                // The whole name must stand in the other pack's own table.
                let other = ground.table(repository, *pack);
                if other.is_ok_and(|other| other.table.chunks.get(usize::from(*at)).is_some_and(|copy| copy.id == chunk.id)) {
                    relied.insert(*pack);
                    continue 'chunks;
                }
            }
            spared.insert(*id);
            break;
        }
    }
    for pack in relied {
        let pack = &ground.packs[pack as usize].pack;
        repository.store.adopt(&pack_name(pack.kind, pack.id));
    }
    Ok(spared)
}
