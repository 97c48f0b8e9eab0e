//! Marking: every chunk that a snapshot needs, in all its copies, by one walk in the order of the entries, the newest snapshot first.

use super::ground::{Bits, Copy, Ground};
use super::refs::BlockRefs;
use crate::format::id::{ObjectId, hex};
use crate::format::pack::PackKind;
use crate::ops::monitor::Cancel;
use crate::store::error::{RepositoryError, Result};
use crate::store::load::{PackTable, Recent};
use crate::store::repository::{Repository, StoredSnapshot};
use std::collections::HashSet;
use std::sync::Arc;

/// References held in memory, in bytes.
const REFS_BYTES: usize = 16 << 20;
/// Blocks whose references wait to be remembered.
const FRESH_MAX: usize = 64;

/// What is marked so far.
pub struct Marks {
    /// A bit for each copy of each chunk that a snapshot needs.
    pub live: Bits,
    /// For each pack and block when it was first needed: newer snapshots first, within one the order of its entries.
    pub order: Vec<Box<[u32]>>,
    /// Chunks with more than one copy; one of the copies.
    pub doubled: Vec<Copy>,
    /// Snapshots that were walked.
    pub walked: HashSet<ObjectId>,
    /// Trees that were missing below snapshots that were not confirmed.
    pub missing: Vec<(ObjectId, [u8; 16])>,
    /// The same by name: whoever meets one again looks again.
    unfound: HashSet<[u8; 16]>,
    /// Chunks of contents that confirmed snapshots need and that are nowhere: damage, for `verify`.
    pub lost: u64,
    /// One of them.
    pub first_lost: Option<[u8; 16]>,
    /// Blocks of trees that were read from the store, and those that the cache knew.
    pub read: (u64, u64),
    clock: u32,
    refs: Recent<(u32, usize), Arc<BlockRefs>>,
    fresh: Vec<([u8; 32], Vec<u8>)>,
    /// Blocks that were used, for the cache to keep.
    used: HashSet<[u8; 32]>,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            live: Bits::default(),
            order: Vec::new(),
            doubled: Vec::new(),
            walked: HashSet::new(),
            missing: Vec::new(),
            unfound: HashSet::new(),
            lost: 0,
            first_lost: None,
            read: (0, 0),
            clock: 0,
            refs: Recent::new(REFS_BYTES),
            fresh: Vec::new(),
            used: HashSet::new(),
        }
    }
}

/// Whom and what a walk may ask.
pub struct Walk<'a> {
    pub repository: &'a Repository,
    pub ground: &'a Ground,
    pub cancel: &'a Cancel,
}

impl Marks {
    /// Makes room for what was added to the ground.
    pub fn grow(&mut self, ground: &Ground) {
        self.live.grow(ground.bits());
        for pack in &ground.packs[self.order.len()..] {
            self.order.push(vec![u32::MAX; pack.blocks.len()].into_boxed_slice());
        }
    }

    /// Walks those of the snapshots that were not walked yet, confirmed ones first, newest first.
    ///
    /// # Errors
    /// [`RepositoryError::MissingChunk`] for a tree that is missing or damaged below a confirmed snapshot: what is below it cannot be known.
    pub fn walk(&mut self, walk: &Walk<'_>, snapshots: &[StoredSnapshot]) -> Result<()> {
        self.grow(walk.ground);
        // What was missing may have been stored again; and whose snapshot was not confirmed may be so now.
        let missing = std::mem::take(&mut self.missing);
        self.unfound.extend(missing.iter().map(|(_, prefix)| *prefix));
        for (snapshot, prefix) in missing {
            if let Some(stored) = snapshots.iter().find(|stored| stored.id == snapshot) {
                self.tree(walk, stored, prefix)?;
            }
        }
        let mut waiting: Vec<&StoredSnapshot> = snapshots.iter().filter(|stored| !self.walked.contains(&stored.id)).collect();
        // They come oldest first. Confirmed ones before the others: what is found missing below these is an error.
        waiting.sort_by_key(|stored| !stored.confirmed || stored.forgotten);
        let others = waiting.partition_point(|stored| stored.confirmed && !stored.forgotten);
        let (good, rest) = waiting.split_at(others);
        for stored in good.iter().rev().chain(rest.iter().rev()) {
            self.tree(walk, stored, stored.snapshot.root.0[..16].try_into().expect("sixteen bytes"))?;
            self.walked.insert(stored.id);
        }
        self.remember(walk.repository);
        // What comes next needs the room.
        self.refs = Recent::new(REFS_BYTES);
        Ok(())
    }

    /// Marks a tree and all below it.
    fn tree(&mut self, walk: &Walk<'_>, stored: &StoredSnapshot, root: [u8; 16]) -> Result<()> {
        let mut stack: Vec<(Arc<BlockRefs>, std::ops::Range<usize>)> = Vec::new();
        let mut copies = Vec::new();
        stack.extend(self.enter(walk, stored, &root, &mut copies)?);
        while let Some((refs, range)) = stack.last_mut() {
            let Some(at) = range.next() else {
                stack.pop();
                if walk.cancel.is_cancelled() {
                    return Err(RepositoryError::Cancelled);
                }
                continue;
            };
            let (kind, prefix) = refs.get(at);
            if kind == PackKind::Meta {
                let prefix = *prefix;
                if let Some(below) = self.enter(walk, stored, &prefix, &mut copies)? {
                    stack.push(below);
                }
                continue;
            }
            walk.ground.copies(kind, prefix, &mut copies);
            if copies.is_empty() && stored.confirmed && !stored.forgotten {
                self.lost += 1;
                self.first_lost = Some(*prefix);
            }
            self.set(walk.ground, &copies);
        }
        Ok(())
    }

    /// Sets all copies; whether none of them was set.
    fn set(&mut self, ground: &Ground, copies: &[Copy]) -> bool {
        let mut is_new = true;
        self.clock = self.clock.saturating_add(1);
        for copy in copies {
            let bit = ground.bit(*copy);
            is_new &= !self.live.has(bit);
            self.live.set(bit);
            let block = ground.packs[copy.0 as usize].block_of(copy.1);
            let order = &mut self.order[copy.0 as usize][block];
            *order = (*order).min(self.clock);
        }
        if is_new && copies.len() > 1 {
            self.doubled.push(copies[0]);
        }
        is_new
    }

    fn enter(
        &mut self,
        walk: &Walk<'_>,
        stored: &StoredSnapshot,
        prefix: &[u8; 16],
        copies: &mut Vec<Copy>,
    ) -> Result<Option<(Arc<BlockRefs>, std::ops::Range<usize>)>> {
        walk.ground.copies(PackKind::Meta, prefix, copies);
        if !copies.is_empty() && !self.set(walk.ground, copies) && !self.unfound.contains(prefix) {
            return Ok(None);
        }
        for copy in copies.iter() {
            match self.refs_of(walk, *copy) {
                Ok(Some(found)) => {
                    self.unfound.remove(prefix);
                    return Ok(Some(found));
                }
                Ok(None) => {}
                Err(error) if error.concerns_one_object() => {}
                Err(error) => return Err(error),
            }
        }
        if stored.confirmed && !stored.forgotten {
            return Err(RepositoryError::MissingChunk(hex(&prefix[..8])));
        }
        self.unfound.insert(*prefix);
        if !self.missing.contains(&(stored.id, *prefix)) {
            self.missing.push((stored.id, *prefix));
        }
        Ok(None)
    }

    /// The references of the tree at `copy`, from memory, cache or store.
    fn refs_of(&mut self, walk: &Walk<'_>, (pack, ordinal): Copy) -> Result<Option<(Arc<BlockRefs>, std::ops::Range<usize>)>> {
        let place = &walk.ground.packs[pack as usize];
        let block = place.block_of(ordinal);
        let within = usize::from(ordinal - place.blocks[block]);
        let refs = match self.refs.get(&(pack, block)) {
            Some(refs) => refs,
            None => {
                let table = walk.ground.table(walk.repository, pack)?;
                let refs = Arc::new(self.load(walk.repository, &table, block)?);
                self.refs.put((pack, block), refs.clone(), refs.bytes());
                refs
            }
        };
        Ok(refs.range(within).map(|range| (refs, range)))
    }

    fn load(&mut self, repository: &Repository, table: &PackTable, block: usize) -> Result<BlockRefs> {
        let chunks = table.table.chunks_of(block);
        let key = hash_of(chunks.iter().map(|chunk| &chunk.id.0));
        self.used.insert(key);
        if let Some(refs) = repository.cache.marks(&repository.keys, &key).and_then(|bytes| BlockRefs::decode(&bytes, chunks.len())) {
            self.read.1 += 1;
            return Ok(refs);
        }
        let plain = repository.loader.block(repository, table, block)?;
        self.read.0 += 1;
        let refs = BlockRefs::of(chunks, &plain).map_err(|error| RepositoryError::format(table.name(), error))?;
        self.fresh.push((key, refs.encode()));
        if self.fresh.len() >= FRESH_MAX {
            self.remember(repository);
        }
        Ok(refs)
    }

    fn remember(&mut self, repository: &Repository) {
        if !self.fresh.is_empty() {
            repository.cache.put_marks(&repository.keys, &self.fresh);
            self.fresh.clear();
        }
    }

    /// Lets the cache forget what no snapshot needs any more.
    pub fn tidy_cache(&self, repository: &Repository) {
        repository.cache.keep_marks(&self.used);
    }
}

fn hash_of<'a>(names: impl Iterator<Item = &'a [u8; 32]>) -> [u8; 32] {
    let mut hasher = crate::format::id::ObjectHasher::default();
    names.for_each(|name| hasher.update(name));
    hasher.finish().0
}
