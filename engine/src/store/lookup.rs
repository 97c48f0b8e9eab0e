//! Which chunk may lie where: all index segments as mapped runs, kept up to date with the store. Answers are hints.

use super::cache::Cache;
use super::error::{RepositoryError, Result};
use super::repository::Repository;
use super::run::Run;
use crate::format::id::{ObjectId, hex};
use crate::format::index::{IndexRow, IndexedPack, Segment};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::pack::PackKind;
use crate::format::seal::Sealed;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

/// More runs than this are merged into one.
const RUNS_MAX: usize = 8;
/// Rows are gathered up to this many before they become a run.
const RUN_ROWS: usize = 4 << 20;

#[derive(Default)]
struct State {
    loaded: bool,
    scanned: bool,
    runs: Arc<[Arc<Run>]>,
}

/// The index of a repository.
#[derive(Default)]
pub struct Lookup {
    state: RwLock<State>,
}

/// Rows of several segments, with one numbering of packs.
#[derive(Default)]
struct Gathered {
    packs: Vec<IndexedPack>,
    numbers: HashMap<ObjectId, u32>,
    rows: Vec<IndexRow>,
}

impl Gathered {
    fn pack(&mut self, pack: IndexedPack) -> u32 {
        *self.numbers.entry(pack.id).or_insert_with(|| {
            self.packs.push(pack);
            self.packs.len() as u32 - 1
        })
    }

    fn segment(&mut self, segment: &Segment) {
        let numbers: Vec<u32> = segment.packs.iter().map(|pack| self.pack(*pack)).collect();
        self.rows.extend(segment.rows.iter().map(|row| IndexRow { pack: numbers[row.pack as usize], ..*row }));
    }

    fn run(&mut self, run: &Run) {
        let numbers: Vec<Option<u32>> = (0..run.packs()).map(|n| run.pack(n).map(|pack| self.pack(pack))).collect();
        self.rows.extend((0..run.rows()).filter_map(|n| {
            let row = run.row(n);
            let pack = *numbers.get(row.pack as usize)?;
            Some(IndexRow { pack: pack?, ..row })
        }));
    }

    /// Makes the rows a run, in the cache's folder if there is one.
    fn finish(mut self, cache: &Cache, segments: &[ObjectId], instead_of: &[String]) -> Arc<Run> {
        self.rows.sort_unstable();
        self.rows.dedup();
        let written = cache.folder().and_then(|folder| {
            let mut hasher = blake3::Hasher::new();
            for segment in segments {
                hasher.update(&segment.0);
            }
            let file = format!("run-{}", hex(&hasher.finalize().as_bytes()[..16]));
            let run = Run::create(&folder.join(&file), &self.packs, &self.rows).ok()?;
            cache.replace_runs(Some((&file, self.rows.len() as u64, segments)), instead_of);
            for old in instead_of.iter().filter(|old| **old != file) {
                let _ = std::fs::remove_file(folder.join(old));
            }
            Some(run)
        });
        Arc::new(written.unwrap_or_else(|| Run::in_memory(&self.packs, &self.rows)))
    }
}

impl Lookup {
    fn runs(&self, repository: &Repository) -> Result<Arc<[Arc<Run>]>> {
        {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if state.loaded {
                return Ok(Arc::clone(&state.runs));
            }
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if !state.loaded {
            state.runs = load(repository)?.into();
            state.loaded = true;
        }
        Ok(Arc::clone(&state.runs))
    }

    /// Every place where a chunk with this name may lie, newest run first.
    pub fn find(&self, repository: &Repository, name: &[u8; 32]) -> Result<Vec<(IndexedPack, u16)>> {
        let prefix = name[..16].try_into().expect("sixteen bytes");
        let mut found = Vec::new();
        let runs = self.runs(repository)?;
        runs.iter().rev().for_each(|run| run.find(prefix, &mut found));
        Ok(found)
    }

    /// Every pack that the index speaks of.
    pub fn packs(&self, repository: &Repository) -> Result<HashMap<ObjectId, IndexedPack>> {
        let runs = self.runs(repository)?;
        Ok(runs.iter().flat_map(|run| (0..run.packs()).filter_map(|n| run.pack(n))).map(|pack| (pack.id, pack)).collect())
    }

    /// Takes up what this session has indexed itself.
    pub fn add_segment(&self, repository: &Repository, id: ObjectId, segment: &Segment) -> Result<()> {
        self.runs(repository)?;
        let mut gathered = Gathered::default();
        gathered.segment(segment);
        let run = gathered.finish(&repository.cache, &[id], &[]);
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.runs = state.runs.iter().cloned().chain([run]).collect();
        Ok(())
    }

    /// Forgets what was loaded, so that the next question lists the index again.
    pub fn refresh(&self) {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State::default();
    }

    /// The index did not know a chunk that must exist: reads the tables of all packs that no segment speaks of, and checks the
    /// cached runs against the segments by reading these again. Done once; `false` if it was done before.
    pub fn scan(&self, repository: &Repository) -> Result<bool> {
        self.runs(repository)?;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.scanned {
            return Ok(false);
        }
        state.scanned = true;
        let mut gathered = Gathered::default();
        let mut covered = HashSet::new();
        for (id, _) in repository.store.list(ObjectKind::Index)? {
            if let Ok(segment) = read_segment(repository, id) {
                covered.extend(segment.packs.iter().map(|pack| pack.id));
                gathered.segment(&segment);
            }
        }
        for (kind, object_kind) in [(PackKind::Meta, ObjectKind::MetaPack), (PackKind::Data, ObjectKind::DataPack)] {
            for (id, length) in repository.store.list(object_kind)? {
                let pack = IndexedPack { id, kind, length };
                if covered.contains(&id) {
                    continue;
                }
                if let Ok(table) = repository.loader.table(repository, &pack) {
                    let number = gathered.pack(pack);
                    let row = |(ordinal, chunk): (usize, &crate::format::pack::ChunkRow)| IndexRow {
                        prefix: chunk.id.0[..16].try_into().expect("sixteen bytes"),
                        pack: number,
                        ordinal: ordinal as u16,
                    };
                    gathered.rows.extend(table.table.chunks.iter().enumerate().map(row));
                }
            }
        }
        gathered.rows.sort_unstable();
        gathered.rows.dedup();
        state.runs = [Arc::new(Run::in_memory(&gathered.packs, &gathered.rows))].into();
        Ok(true)
    }
}

fn read_segment(repository: &Repository, id: ObjectId) -> Result<Segment> {
    let record = repository.control(ObjectKind::Index, Sealed::Index, id)?;
    Segment::decode(&record).map_err(RepositoryError::of(&ObjectName::new(ObjectKind::Index, id)))
}

/// Brings the cached runs up to date with the segments in the store.
fn load(repository: &Repository) -> Result<Vec<Arc<Run>>> {
    let cache = &repository.cache;
    let mut wanted: HashSet<ObjectId> = repository.store.list(ObjectKind::Index)?.into_iter().map(|(id, _)| id).collect();
    let (mut files, mut covered, mut runs, mut stale) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    if let Some(folder) = cache.folder() {
        for (file, segments) in cache.runs() {
            // A run that speaks of a segment that is gone may speak of packs that are gone.
            let run = segments.iter().all(|segment| wanted.contains(segment)).then(|| Run::open(&folder.join(&file)).ok()).flatten();
            match run {
                Some(run) => {
                    wanted.retain(|segment| !segments.contains(segment));
                    covered.extend(segments);
                    files.push(file);
                    runs.push(Arc::new(run));
                }
                None => stale.push(file),
            }
        }
        if !stale.is_empty() {
            cache.replace_runs(None, &stale);
            stale.iter().for_each(|file| drop(std::fs::remove_file(folder.join(file))));
        }
    }
    let mut missing: Vec<ObjectId> = wanted.into_iter().collect();
    missing.sort_unstable();
    let mut gathered = Gathered::default();
    let mut segments = Vec::new();
    for id in missing {
        // A damaged segment costs nothing but time: it is a hint, and `verify` tells of it.
        match read_segment(repository, id) {
            Ok(segment) => {
                gathered.segment(&segment);
                segments.push(id);
            }
            Err(error) if error.is_damage() => {}
            Err(error @ RepositoryError::Format { .. }) => drop(error),
            Err(error) => return Err(error),
        }
        if gathered.rows.len() >= RUN_ROWS {
            runs.push(std::mem::take(&mut gathered).finish(cache, &std::mem::take(&mut segments), &[]));
        }
    }
    if !segments.is_empty() {
        if runs.len() >= RUNS_MAX {
            runs.iter().for_each(|run| gathered.run(run));
            segments.extend(covered);
            return Ok(vec![gathered.finish(cache, &segments, &files)]);
        }
        runs.push(gathered.finish(cache, &segments, &[]));
    }
    Ok(runs)
}
