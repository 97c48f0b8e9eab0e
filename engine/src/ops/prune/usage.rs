//! What is used of each pack: from what is marked to what the plan decides by.

use super::Damaged;
use super::ground::{Bits, Copy, Ground};
use super::mark::Marks;
use super::plan::{Needed, Use};
use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::pack::{MOVED_SESSION, PackKind};
use crate::ops::parallel::{lock, parallel};
use crate::store::StoreError;
use crate::store::error::Result;
use crate::store::load::pack_name;
use crate::store::repository::Repository;
use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;

/// Of several copies of a chunk only one is needed: that in the pack of which most is needed, but in none that is being swept, or damaged, if there is another.
pub fn choose_copies(marks: &Marks, ground: &Ground, repository: &Repository, swept: &BTreeSet<ObjectId>, damaged: &Damaged) -> Result<Bits> {
    let mut needed = marks.live.clone();
    if marks.doubled.is_empty() {
        return Ok(needed);
    }
    let share: Vec<u64> = ground
        .packs
        .iter()
        .map(|pack| {
            let live = (0..u64::from(pack.chunks)).filter(|at| marks.live.has(pack.first_bit + at)).count() as u64;
            1000 * live / u64::from(pack.chunks.max(1))
        })
        .collect();
    let rank = |(pack, ordinal): &Copy| {
        let place = &ground.packs[*pack as usize];
        let pack_at = &place.pack;
        let opens = !damaged.packs.contains(&pack_at.id) || !damaged.blocks.contains(&(pack_at.id, place.block_of(*ordinal)));
        (opens, !swept.contains(&pack_at.id), share[*pack as usize], pack_at.length, pack_at.id, *ordinal)
    };
    let mut copies = Vec::new();
    for (pack, ordinal) in &marks.doubled {
        let table = ground.table(repository, *pack)?;
        let name = table.table.chunks[usize::from(*ordinal)].id;
        ground.copies(table.kind, &name.0[..16].try_into().expect("sixteen bytes"), &mut copies);
        // Only copies of the same name are copies; half a name that is the same proves nothing.
        let mut same = Vec::with_capacity(copies.len());
        for copy in &copies {
            if ground.table(repository, copy.0)?.table.chunks[usize::from(copy.1)].id == name {
                same.push(*copy);
            }
        }
        if let Some(best) = same.iter().max_by_key(|copy| rank(copy)).copied() {
            same.iter().filter(|copy| **copy != best).for_each(|copy| needed.clear(ground.bit(*copy)));
        }
    }
    Ok(needed)
}

/// The uses of all packs that the ground knows, in its order.
pub fn uses(repository: &Repository, ground: &Ground, marks: &Marks, needed: &Bits, swept: &BTreeSet<ObjectId>, threads: usize) -> Result<Vec<Use>> {
    let may_open_contents = repository.keys.role().reads_contents();
    let found: Mutex<Vec<Option<Use>>> = Mutex::new(vec![None; ground.packs.len()]);
    parallel(
        threads,
        ground.packs.len(),
        || (),
        |(), number| {
            let place = &ground.packs[number];
            let any = (0..u64::from(place.chunks)).any(|at| needed.has(place.first_bit + at));
            let is_swept = swept.contains(&place.pack.id);
            let mut used = Use { pack: place.pack, unused_bytes: place.pack.length, idle_bytes: place.pack.length, needed: Vec::new(), stays: false, is_swept };
            if any {
                (used.unused_bytes, used.idle_bytes) = (0, 0);
                let table = ground.table(repository, number as u32)?;
                for (block, row) in table.table.blocks.iter().enumerate() {
                    let is_needed = |at: &u32| needed.has(place.first_bit + u64::from(*at));
                    let lengths = (row.first_chunk..row.first_chunk + row.chunks).filter(is_needed).map(|at| u64::from(table.table.chunks[at as usize].length));
                    let (live_chunks, plain) = lengths.fold((0, 0), |(count, sum), length| (count + 1, sum + length));
                    let mut idle = u64::from(row.box_length);
                    let mut live_bytes = 0;
                    if plain > 0 {
                        live_bytes = (u64::from(row.box_length) * plain / u64::from(row.plain_length)) as u32;
                        let (box_bytes, order) = (row.box_length, marks.order[number][block]);
                        let is_sealed = place.pack.kind == PackKind::Data && !may_open_contents;
                        let block = Needed { block: block as u32, box_bytes, live_bytes, chunks: row.chunks, live_chunks, order, is_sealed };
                        idle -= block.moved_bytes();
                        used.needed.push(block);
                    }
                    used.idle_bytes += idle;
                    used.unused_bytes += u64::from(row.box_length - live_bytes);
                }
            }
            lock(&found)[number] = Some(used);
            Ok(())
        },
    )?;
    Ok(found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).into_iter().flatten().collect())
}

/// Lets packs stay that no snapshot needs because their run may go on: of sessions that are not known to have ended, as long as the newest pack of
/// the session is young by the store's own clock. To delete them would be safe, and would only make that run store everything again.
pub fn spare_running(repository: &Repository, ground: &Ground, uses: &mut [Use], snapshots: &[[u8; 16]], grace_seconds: u64) -> Result<()> {
    let mut ended: HashSet<[u8; 16]> = snapshots.iter().copied().collect();
    ended.extend(repository.forgotten()?.iter().filter_map(|forget| forget.session));
    ended.insert(MOVED_SESSION);
    let is_open = |number: usize, used: &Use| used.needed.is_empty() && !used.is_swept && !ended.contains(&ground.packs[number].session);
    let open: HashSet<[u8; 16]> =
        uses.iter().enumerate().filter(|(number, used)| is_open(*number, used)).map(|(number, _)| ground.packs[number].session).collect();
    if open.is_empty() || grace_seconds == 0 {
        return Ok(());
    }
    let put_at = |used: &Use| repository.store.put_at(&pack_name(used.pack.kind, used.pack.id));
    let mut now = None;
    for kind in [ObjectKind::Snapshot, ObjectKind::Forget, ObjectKind::Index] {
        for (id, _) in repository.store.list(kind)? {
            now = now.max(repository.store.put_at(&ObjectName::new(kind, id))?);
        }
    }
    for session in open {
        let of_session: Vec<usize> = (0..uses.len()).filter(|number| ground.packs[*number].session == session).collect();
        let newest = of_session.iter().map(|number| put_at(&uses[*number])).collect::<std::result::Result<Vec<_>, StoreError>>()?.into_iter().max().flatten();
        // A store that cannot tell times has nothing to spare by.
        let is_young = newest.is_some_and(|newest| u64::try_from(now.unwrap_or(newest).max(newest) - newest).unwrap_or(0) < grace_seconds);
        if is_young {
            of_session
                .iter()
                .filter(|number| uses[**number].needed.is_empty())
                .copied()
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|number| uses[number].stays = true);
        }
    }
    Ok(())
}

/// Packs of use that no index segment speaks of.
pub fn unindexed<'a>(uses: &'a [Use], indexed: &'a HashSet<ObjectId>) -> impl Iterator<Item = u32> + 'a {
    uses.iter().enumerate().filter(|(_, used)| !used.needed.is_empty() && !indexed.contains(&used.pack.id)).map(|(number, _)| number as u32)
}
