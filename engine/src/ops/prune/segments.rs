//! Index segments of a prune: some for what it put, others in place of those that speak of what it deletes.

use super::ground::Ground;
use crate::format::id::ObjectId;
use crate::format::index::{IndexRow, ROWS_MAX, Segment};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::pack::CHUNKS_MAX;
use crate::format::seal::Sealed;
use crate::store::error::{RepositoryError, Result};
use crate::store::load::PackTable;
use crate::store::repository::Repository;
use std::collections::HashMap;

/// Segments with fewer packs than this are worth merging when there are many.
const SMALL_ROWS: u64 = 32_768;
const SMALL_MAX: usize = 16;

/// The packs that each segment in the store speaks of, and the rows of it.
pub struct Segments(pub HashMap<ObjectId, (Vec<ObjectId>, u64)>);

/// Reads all segments. One that is damaged speaks of nothing: it is a hint, and goes when the prune writes the index.
pub fn read(repository: &Repository) -> Result<Segments> {
    let mut segments = HashMap::new();
    for (id, _) in repository.store.list(ObjectKind::Index)? {
        let name = ObjectName::new(ObjectKind::Index, id);
        let segment = repository.control(ObjectKind::Index, Sealed::Index, id).and_then(|record| Segment::decode(&record).map_err(RepositoryError::of(&name)));
        match segment {
            Ok(segment) => drop(segments.insert(id, (segment.packs.iter().map(|pack| pack.id).collect(), segment.rows.len() as u64))),
            Err(error) if error.concerns_one_object() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Segments(segments))
}

/// Puts segments for packs, durably.
pub fn put(repository: &Repository, packs: impl IntoIterator<Item = Result<std::sync::Arc<PackTable>>>, replaces: &[ObjectId]) -> Result<Vec<ObjectId>> {
    let mut put = Vec::new();
    let mut segment = Segment { replaces: replaces.to_vec(), ..Segment::default() };
    let mut close = |segment: &mut Segment| -> Result<()> {
        if !segment.rows.is_empty() {
            let mut full = std::mem::take(segment);
            put.push(repository.put_control(ObjectKind::Index, Sealed::Index, &full.encode())?);
        }
        Ok(())
    };
    for table in packs {
        let table = match table {
            // Swept by somebody meanwhile: there is nothing to speak of.
            Err(error) if error.is_gone() => continue,
            table => table?,
        };
        if segment.rows.len() + CHUNKS_MAX >= ROWS_MAX {
            close(&mut segment)?;
        }
        let number = segment.packs.len() as u32;
        segment.packs.push(table.indexed());
        segment.rows.extend(table.table.chunks.iter().enumerate().map(|(ordinal, chunk)| IndexRow {
            prefix: chunk.id.0[..16].try_into().expect("sixteen bytes"),
            pack: number,
            ordinal: ordinal as u16,
        }));
    }
    close(&mut segment)?;
    repository.store.barrier()?;
    Ok(put)
}

/// Puts segments for the packs that stay in place of all segments that speak of packs that go; then deletes these. When there are many small
/// segments, they become one on the way. On a full store (`is_tight`) each gets its own in its place, the shortest first, so that room for one is enough.
pub fn rewrite(repository: &Repository, ground: &mut Ground, threads: usize, is_tight: bool, goes: &dyn Fn(&ObjectId) -> bool) -> Result<()> {
    let segments = read(repository)?.0;
    let small = !is_tight && segments.values().filter(|(_, rows)| *rows < SMALL_ROWS).count() > SMALL_MAX;
    let mut replaced: Vec<ObjectId> =
        segments.iter().filter(|(_, (packs, rows))| packs.iter().any(goes) || (small && *rows < SMALL_ROWS)).map(|(id, _)| *id).collect();
    if replaced.is_empty() {
        return Ok(());
    }
    replaced.sort_unstable_by_key(|id| (segments[id].0.iter().filter(|pack| !goes(pack)).count(), *id));
    if replaced.iter().flat_map(|id| &segments[id].0).any(|pack| !goes(pack) && !ground.numbers.contains_key(pack)) {
        // Packs that a writer put since the packs were listed.
        ground.add(repository, &repository.packs_in_store()?, threads)?;
    }
    for replaced in replaced.chunks_mut(if is_tight { 1 } else { usize::MAX }) {
        replaced.sort_unstable();
        let staying = replaced.iter().flat_map(|id| &segments[id].0).filter(|pack| !goes(pack));
        let mut packs: Vec<u32> = staying.filter_map(|pack| ground.numbers.get(pack).copied()).collect();
        packs.sort_unstable();
        packs.dedup();
        put(repository, packs.into_iter().map(|number| ground.table(repository, number)), replaced)?;
        for id in replaced {
            repository.delete(&ObjectName::new(ObjectKind::Index, *id))?;
        }
    }
    repository.store.barrier()?;
    repository.lookup.refresh();
    Ok(())
}
