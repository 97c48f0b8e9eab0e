//! What lies in the store: every pack by its own table, every chunk by the first half of its name. No index is asked: it is a hint.

use crate::format::id::ObjectId;
use crate::format::index::{IndexRow, IndexedPack};
use crate::format::pack::{MOVED_SESSION, PackKind};
use crate::ops::parallel::{lock, parallel};
use crate::store::error::{RepositoryError, Result};
use crate::store::load::PackTable;
use crate::store::repository::Repository;
use crate::store::run::Run;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

/// Rows of a run, and how many stay in memory altogether; more go to mapped files where there is a cache.
const RUN_ROWS: usize = 1 << 20;

/// A pack and where its chunks stand among the bits.
pub struct Place {
    /// The pack.
    pub pack: IndexedPack,
    /// The session that made it.
    pub session: [u8; 16],
    /// The bit of its first chunk.
    pub first_bit: u64,
    /// How many chunks it has.
    pub chunks: u32,
    /// The first chunk of each block.
    pub blocks: Box<[u16]>,
}

impl Place {
    /// The block that a chunk lies in.
    pub fn block_of(&self, ordinal: u16) -> usize {
        self.blocks.partition_point(|first| *first <= ordinal).saturating_sub(1)
    }
}

/// A copy of a chunk: number of the pack and of the chunk in it.
pub type Copy = (u32, u16);

/// All packs whose tables can be read.
#[derive(Default)]
pub struct Ground {
    pub packs: Vec<Place>,
    pub numbers: HashMap<ObjectId, u32>,
    /// Packs whose tables cannot be read, with the reason: nobody can say what is in them, so they stay.
    pub unreadable: Vec<(IndexedPack, RepositoryError)>,
    runs: Vec<Run>,
    rows: Vec<IndexRow>,
    bits: u64,
}

impl Ground {
    /// Takes up the packs that it does not know yet.
    pub fn add(&mut self, repository: &Repository, packs: &[IndexedPack], threads: usize) -> Result<()> {
        let mut new: Vec<IndexedPack> = packs.iter().filter(|pack| !self.numbers.contains_key(&pack.id)).copied().collect();
        new.retain(|pack| self.unreadable.iter().all(|(known, _)| known.id != pack.id));
        new.sort_unstable_by_key(|pack| (pack.kind, pack.id));
        let found = Mutex::new(std::mem::take(self));
        let done = parallel(
            threads,
            new.len(),
            || (),
            |(), at| {
                let pack = new[at];
                match repository.loader.table(repository, &pack) {
                    Ok(table) => lock(&found).take(repository, &table),
                    // Swept by somebody since it was listed.
                    Err(RepositoryError::Store(error)) if error.kind == crate::store::StoreErrorKind::Missing => {}
                    Err(error) if error.concerns_one_object() => lock(&found).unreadable.push((pack, error)),
                    Err(error) => return Err(error),
                }
                Ok(())
            },
        );
        *self = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.close_run(repository);
        done
    }

    /// Takes packs that cannot be read for empty ones: what is in them is lost, so they may go.
    pub fn take_unreadable(&mut self, packs: &HashSet<ObjectId>) {
        let (taken, left): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unreadable).into_iter().partition(|(pack, _)| packs.contains(&pack.id));
        self.unreadable = left;
        for (pack, _) in taken {
            self.numbers.insert(pack.id, self.packs.len() as u32);
            self.packs.push(Place { pack, session: MOVED_SESSION, first_bit: self.bits, chunks: 0, blocks: Box::default() });
        }
    }

    fn take(&mut self, repository: &Repository, table: &PackTable) {
        let number = self.packs.len() as u32;
        let chunks = &table.table.chunks;
        self.rows.extend(chunks.iter().enumerate().map(|(ordinal, chunk)| IndexRow {
            prefix: chunk.id.0[..16].try_into().expect("sixteen bytes"),
            pack: number,
            ordinal: ordinal as u16,
        }));
        self.numbers.insert(table.id, number);
        self.packs.push(Place {
            pack: table.indexed(),
            session: table.table.session,
            first_bit: self.bits,
            chunks: chunks.len() as u32,
            blocks: table.table.blocks.iter().map(|block| block.first_chunk as u16).collect(),
        });
        self.bits += chunks.len() as u64;
        if self.rows.len() >= RUN_ROWS {
            self.close_run(repository);
        }
    }

    fn close_run(&mut self, repository: &Repository) {
        let mut rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return;
        }
        rows.sort_unstable();
        let file = || {
            let path = repository.cache.folder()?.join(format!("prune-{}-{}", std::process::id(), self.runs.len()));
            let run = Run::create(&path, &[], &rows).ok();
            // The mapping outlives the name.
            let _ = std::fs::remove_file(path);
            run
        };
        let mapped = if rows.len() >= RUN_ROWS || !self.runs.is_empty() { file() } else { None };
        self.runs.push(mapped.unwrap_or_else(|| Run::in_memory(&[], &rows)));
    }

    /// Every copy of the chunks of a kind whose names begin so.
    pub fn copies(&self, kind: PackKind, prefix: &[u8; 16], found: &mut Vec<Copy>) {
        found.clear();
        for run in &self.runs {
            run.each_row(prefix, |row| {
                if self.packs[row.pack as usize].pack.kind == kind {
                    found.push((row.pack, row.ordinal));
                }
            });
        }
    }

    /// How many chunks there are, copies among them.
    pub fn bits(&self) -> u64 {
        self.bits
    }

    /// The bit of a copy.
    pub fn bit(&self, (pack, ordinal): Copy) -> u64 {
        self.packs[pack as usize].first_bit + u64::from(ordinal)
    }

    /// The table of a pack.
    pub fn table(&self, repository: &Repository, pack: u32) -> Result<Arc<PackTable>> {
        repository.loader.table(repository, &self.packs[pack as usize].pack)
    }
}

/// A bit for each copy of each chunk.
#[derive(Clone, Default)]
pub struct Bits(Vec<u64>);

impl Bits {
    /// Makes room for so many.
    pub fn grow(&mut self, bits: u64) {
        self.0.resize(bits.div_ceil(64) as usize, 0);
    }

    /// Whether a bit is set.
    pub fn has(&self, bit: u64) -> bool {
        self.0[(bit / 64) as usize] >> (bit % 64) & 1 == 1
    }

    /// Sets a bit.
    pub fn set(&mut self, bit: u64) {
        self.0[(bit / 64) as usize] |= 1 << (bit % 64);
    }

    /// Clears a bit.
    pub fn clear(&mut self, bit: u64) {
        self.0[(bit / 64) as usize] &= !(1 << (bit % 64));
    }
}
