//! Which chunk may lie where: all index segments as mapped runs, kept up to date with the store. Answers are hints.

mod gather;
mod held;

use super::error::{RepositoryError, Result};
use super::load::PackTable;
use super::parallel::{lock, parallel};
use super::repository::Repository;
use crate::format::id::ObjectId;
use crate::format::index::{IndexRow, IndexedPack, ROW, Segment};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::seal::Sealed;
use gather::Gathered;
use held::Held;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError, RwLock};

#[derive(Default)]
struct State {
    loaded: bool,
    /// The segments there were when packs were asked, and which packs that was.
    scanned: Option<(BTreeSet<ObjectId>, Scan)>,
    /// Packs that only a scan knows.
    unspoken: HashSet<ObjectId>,
    /// Longest first.
    runs: Vec<Held>,
}

/// Which packs are asked themselves when the index does not know a chunk that must exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scan {
    /// Those that no segment speaks of: nearly always enough.
    Unspoken,
    /// All: a segment may leave out chunks of a pack that it speaks of, or lie about them.
    Every,
}

impl Scan {
    /// From cheap to dear.
    pub const STEPS: [Self; 2] = [Self::Unspoken, Self::Every];
}

/// Tables that a scan reads at the same time: mostly it waits for the store.
const SCAN_THREADS: usize = 8;

/// The index of a repository.
#[derive(Default)]
pub struct Lookup {
    state: RwLock<State>,
    /// Held by whoever changes the runs for as long as that takes; questions are answered meanwhile.
    changing: Mutex<()>,
}

impl Lookup {
    /// Asks the runs, which are loaded first if they are not.
    fn with_runs<T>(&self, repository: &Repository, ask: impl Fn(&[Held]) -> T) -> Result<T> {
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if state.loaded {
                return Ok(ask(&state.runs));
            }
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if !state.loaded {
            state.runs = load(repository)?;
            state.loaded = true;
        }
        Ok(ask(&state.runs))
    }

    /// Every place where a chunk with this name may lie, shortest run first: it tells of the newest packs.
    pub fn find(&self, repository: &Repository, name: &[u8; 32]) -> Result<Vec<(IndexedPack, u16)>> {
        let prefix = name.first_chunk().expect("sixteen bytes");
        self.with_runs(repository, |runs| {
            let mut found = Vec::new();
            runs.iter().rev().for_each(|held| held.run.find(prefix, &mut found));
            found
        })
    }

    /// Whether only a scan knows this pack: it may be what a killed run left, and nobody has read it yet.
    pub fn is_unspoken(&self, pack: &ObjectId) -> bool {
        self.state.read().unwrap_or_else(PoisonError::into_inner).unspoken.contains(pack)
    }

    /// Every pack that the index speaks of.
    pub fn packs(&self, repository: &Repository) -> Result<HashMap<ObjectId, IndexedPack>> {
        let mut packs: HashMap<ObjectId, IndexedPack> = self.with_runs(repository, |runs| {
            runs.iter().flat_map(|held| (0..held.run.packs()).filter_map(|number| held.run.pack(number))).map(|pack| (pack.id, pack)).collect()
        })?;
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        packs.retain(|pack, _| !state.unspoken.contains(pack));
        Ok(packs)
    }

    /// How many chunks of a pack it has no row for.
    pub fn left_out(&self, repository: &Repository, pack: &PackTable) -> Result<u64> {
        let mut left_out = 0;
        for (ordinal, chunk) in pack.table.chunks.iter().enumerate() {
            let places = self.find(repository, &chunk.id.0)?;
            left_out += u64::from(places.iter().all(|(found, number)| (found.id, found.kind, usize::from(*number)) != (pack.id, pack.kind, ordinal)));
        }
        Ok(left_out)
    }

    /// How many rows the index has in how many runs, and how many bytes their filters take.
    pub fn size(&self, repository: &Repository) -> Result<IndexSize> {
        self.with_runs(repository, |runs| IndexSize {
            runs: runs.len(),
            rows: runs.iter().map(|held| held.run.rows()).sum(),
            filter_bytes: runs.iter().map(|held| held.run.filter_bytes()).sum(),
        })
    }

    /// Takes up what this session has indexed itself.
    pub fn add_segment(&self, repository: &Repository, id: ObjectId, segment: &Segment) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let held = self.with_runs(repository, <[Held]>::to_vec)?;
        let mut gathered = Gathered::new(&repository.cache, segment.rows.len());
        gathered.segment(id, segment);
        let runs = gathered.finish(held);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.runs = runs;
        for pack in &segment.packs {
            state.unspoken.remove(&pack.id);
        }
        Ok(())
    }

    /// Forgets what was loaded, so that the next question lists the index again.
    pub fn refresh(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// The index did not know a chunk that must exist: reads the tables of packs, and checks the cached runs against the segments by reading
    /// these again. Done once for each state of the index, since a prune may move what is looked for under our feet.
    pub fn scan(&self, repository: &Repository, scan: Scan) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.with_runs(repository, |_| ())?;
        let segments = repository.store.list(ObjectKind::Index)?;
        let names: BTreeSet<ObjectId> = segments.iter().map(|(id, _)| *id).collect();
        let done = |state: &State| state.scanned.as_ref().is_some_and(|(seen, done)| *seen == names && *done >= scan);
        if done(&self.state.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let gathered = Mutex::new(Gathered::unlisted(&repository.cache, rows_of(&segments)));
        let mut opened = match scan {
            Scan::Unspoken => HashSet::new(),
            Scan::Every => gather_tables(repository, &HashSet::new(), &gathered)?,
        };
        let mut spoken_of = HashSet::new();
        for (id, _) in segments {
            if let Ok(mut segment) = read_segment(repository, id) {
                spoken_of.extend(segment.packs.iter().map(|pack| pack.id));
                // Of a pack whose own table was read no hint is wanted.
                segment.rows.retain(|row| !opened.contains(&segment.packs[row.pack as usize].id));
                lock(&gathered).segment(id, &segment);
            }
        }
        if scan == Scan::Unspoken {
            opened = gather_tables(repository, &spoken_of, &gathered)?;
        }
        opened.retain(|pack| !spoken_of.contains(pack));
        let runs = gathered.into_inner().unwrap_or_else(PoisonError::into_inner).finish(Vec::new());
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { loaded: true, scanned: Some((names, scan)), unspoken: opened, runs };
        Ok(())
    }
}

/// Takes the rows of all packs but some from the packs' own tables; returns the packs whose tables could be read.
fn gather_tables(repository: &Repository, but: &HashSet<ObjectId>, gathered: &Mutex<Gathered<'_>>) -> Result<HashSet<ObjectId>> {
    let mut packs = repository.packs_in_store()?;
    packs.retain(|pack| !but.contains(&pack.id));
    let opened = Mutex::new(HashSet::new());
    parallel(
        SCAN_THREADS,
        packs.len(),
        || (),
        |(), at| {
            let pack = packs[at];
            if let Ok(table) = repository.loader.table(repository, &pack) {
                let row = |(ordinal, chunk): (usize, &crate::format::pack::ChunkRow)| IndexRow {
                    prefix: *chunk.id.0.first_chunk().expect("sixteen bytes"),
                    pack: 0,
                    ordinal: ordinal as u16,
                };
                lock(gathered).pack(pack, table.table.chunks.iter().enumerate().map(row));
                lock(&opened).insert(pack.id);
            }
            Ok(())
        },
    )?;
    Ok(opened.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// How large an index is on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexSize {
    /// Runs that each question is put to.
    pub runs: usize,
    /// Rows in all of them.
    pub rows: usize,
    /// Bytes of their filters.
    pub filter_bytes: usize,
}

/// About how many rows are in segments of these lengths.
fn rows_of(segments: &[(ObjectId, u64)]) -> usize {
    segments.iter().map(|(_, length)| *length as usize / ROW).sum()
}

fn read_segment(repository: &Repository, id: ObjectId) -> Result<Segment> {
    let record = repository.control(ObjectKind::Index, Sealed::Index, id)?;
    Segment::decode(&record).map_err(RepositoryError::of(&ObjectName::new(ObjectKind::Index, id)))
}

/// Brings the cached runs up to date with the segments in the store.
fn load(repository: &Repository) -> Result<Vec<Held>> {
    let listed = repository.store.list(ObjectKind::Index)?;
    let mut missing: HashMap<ObjectId, u64> = listed.into_iter().collect();
    let held = held::cached(&repository.cache, &mut missing);
    let mut missing: Vec<(ObjectId, u64)> = missing.into_iter().collect();
    missing.sort_unstable();
    let mut gathered = Gathered::new(&repository.cache, rows_of(&missing));
    for (id, _) in missing {
        // A damaged segment costs nothing but time: it is a hint, and `verify` tells of it.
        match read_segment(repository, id) {
            Ok(segment) => gathered.segment(id, &segment),
            Err(error) if error.is_damage() => {}
            Err(error @ RepositoryError::Format { .. }) => drop(error),
            Err(error) => return Err(error),
        }
    }
    Ok(gathered.finish(held))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
