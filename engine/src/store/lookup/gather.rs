//! Gathers the rows of segments and packs into sorted runs, a bounded number at a time.

use super::held::{self, Held};
use crate::format::id::ObjectId;
use crate::format::index::{IndexRow, IndexedPack, Segment};
use crate::store::cache::Cache;
use crate::store::run::Run;

/// Rows sorted in memory at a time, 24 bytes each. More go through files without a name; in tests, few are more.
const ROWS_MAX: usize = if cfg!(test) { 3000 } else { 1 << 19 };

/// Rows on their way into the index of this machine.
pub(super) struct Gathered<'c> {
    cache: &'c Cache,
    listed: bool,
    packs: Vec<IndexedPack>,
    rows: Vec<IndexRow>,
    runs: Vec<Run>,
    segments: Vec<ObjectId>,
}

impl<'c> Gathered<'c> {
    /// For about `expected` rows, which the cache is to remember.
    pub(super) fn new(cache: &'c Cache, expected: usize) -> Self {
        let rows = Vec::with_capacity(expected.min(ROWS_MAX));
        Self { cache, listed: true, packs: Vec::new(), rows, runs: Vec::new(), segments: Vec::new() }
    }

    /// The same for rows that are not the segments' own: the cache is not told.
    pub(super) fn unlisted(cache: &'c Cache, expected: usize) -> Self {
        Self { listed: false, ..Self::new(cache, expected) }
    }

    /// Takes a segment's rows.
    pub(super) fn segment(&mut self, id: ObjectId, segment: &Segment) {
        self.make_room(segment.rows.len());
        let first = self.packs.len() as u32;
        self.packs.extend(&segment.packs);
        self.rows.extend(segment.rows.iter().map(|row| IndexRow { pack: row.pack + first, ..*row }));
        self.segments.push(id);
    }

    /// Takes a pack's rows, whatever pack number they have.
    pub(super) fn pack(&mut self, pack: IndexedPack, rows: impl ExactSizeIterator<Item = IndexRow>) {
        self.make_room(rows.len());
        let number = self.packs.len() as u32;
        self.packs.push(pack);
        self.rows.extend(rows.map(|row| IndexRow { pack: number, ..row }));
    }

    fn make_room(&mut self, rows: usize) {
        if self.rows.len() + rows > ROWS_MAX {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.rows.is_empty() && self.packs.is_empty() {
            return;
        }
        self.rows.sort_unstable();
        let path = self.cache.folder().map(|folder| folder.join("run-part"));
        let run = path.and_then(|path| Run::create_unnamed(&path, &self.packs, &self.rows).ok());
        self.runs.push(run.unwrap_or_else(|| Run::in_memory(&self.packs, &self.rows)));
        self.packs.clear();
        self.rows.clear();
    }

    /// All runs, with what was gathered among them.
    pub(super) fn finish(mut self, held: Vec<Held>) -> Vec<Held> {
        self.flush();
        let Self { cache, listed, rows, runs, segments, .. } = self;
        drop(rows);
        if runs.is_empty() && segments.is_empty() { held } else { held::add(cache, listed, held, runs, segments) }
    }
}
