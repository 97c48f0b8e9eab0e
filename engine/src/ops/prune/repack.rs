//! Moves what is needed into new packs. Most blocks go as they are: not taken apart, not sealed again, only their seals checked, so that no damage is
//! copied for good. Those of which little is needed are taken apart.

use super::ground::{Bits, Ground};
use super::plan::{Moved, Use};
use super::reblock::{FreshKeys, Reblock};
use crate::format::id::ObjectId;
use crate::format::index::IndexedPack;
use crate::format::pack::{PackBuilder, PackKind};
use crate::ops::monitor::{Cancel, Monitor, Progress};
use crate::ops::parallel::{lock, parallel};
use crate::store::error::{RepositoryError, Result};
use crate::store::healed::get_checked;
use crate::store::load::{PackTable, pack_name};
use crate::store::repository::{Repository, object_id};
use crate::store::{StoreError, StoreErrorKind};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Neighbours are read together up to this many bytes.
const RUN_BYTES: u64 = 4 << 20;

/// What a round of moving did.
#[derive(Default)]
pub struct Repacked {
    /// The new packs.
    pub put: Vec<IndexedPack>,
    /// Old packs that a block could not be taken out of: they stay.
    pub bad: BTreeSet<ObjectId>,
}

/// Counts what was moved, for whoever watches.
pub struct Counter<'a> {
    pub monitor: &'a dyn Monitor,
    pub cancel: &'a Cancel,
    pub moved: AtomicU64,
    pub total: u64,
}

impl Counter<'_> {
    fn add(&self, bytes: u64) {
        let bytes_done = self.moved.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.monitor.progress(&Progress { bytes_done, bytes_total: self.total, total_known: true, ..Progress::default() });
    }
}

/// What the blocks come from.
pub struct Old<'a> {
    pub repository: &'a Repository,
    pub ground: &'a Ground,
    pub uses: &'a [Use],
    pub needed: &'a Bits,
    pub keys: &'a FreshKeys,
    pub kind: PackKind,
}

/// Makes and puts the packs, a few at a time.
pub fn repack(old: &Old<'_>, packs: &[Vec<Moved>], threads: usize, counter: &Counter<'_>, out: &mut Repacked) -> Result<()> {
    let found = Mutex::new(std::mem::take(out));
    let done = parallel(threads, packs.len(), Scratch::default, |scratch, at| {
        if counter.cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        let last = at + 1 == packs.len();
        let (bytes, bad) = old.build(&packs[at], last, scratch, counter)?;
        let mut pack = None;
        if let Some(bytes) = bytes {
            let (length, id) = (bytes.len() as u64, object_id(&bytes));
            scratch.pack = old.repository.store.put_pack(&pack_name(old.kind, id), bytes)?;
            pack = Some(IndexedPack { id, kind: old.kind, length });
        }
        let mut found = lock(&found);
        found.put.extend(pack);
        found.bad.extend(bad);
        Ok(())
    });
    *out = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done
}

/// Some bytes of a pack that is damaged or gone, if it can be mended.
fn sound_range(repository: &Repository, table: &PackTable, range: &Range<u64>) -> Option<Vec<u8>> {
    let bytes = repository.loader.sound_pack(repository, &table.name())?;
    Some(bytes.get(range.start as usize..range.end as usize)?.to_vec())
}

/// Buffers of one thread.
#[derive(Default)]
struct Scratch {
    boxed: Vec<u8>,
    plain: Vec<u8>,
    pack: Vec<u8>,
    /// The pack that was read whole last, since its blocks cannot be opened.
    sealed: Option<(ObjectId, Arc<Vec<u8>>)>,
}

type Built = (Option<Vec<u8>>, Vec<ObjectId>);

impl Old<'_> {
    fn build(&self, blocks: &[Moved], last: bool, scratch: &mut Scratch, counter: &Counter<'_>) -> Result<Built> {
        let repository = self.repository;
        let mut buffer = std::mem::take(&mut scratch.pack);
        // A buffer that grows by doubling holds up to three times the pack for a moment.
        let bytes: u64 = blocks.iter().map(|(_, block)| block.moved_bytes() + 36 * u64::from(block.moved_chunks()) + 32).sum();
        buffer.reserve((bytes + repository.config.parity.added_bytes(bytes)) as usize + (128 << 10));
        let mut builder = PackBuilder::for_moved(self.kind, buffer).with_parity(repository.config.parity);
        let mut fresh = Reblock::new(repository, self.kind, self.keys);
        let mut bad = Vec::new();
        let mut at = 0;
        while at < blocks.len() {
            let (number, first) = blocks[at];
            let table = match self.ground.table(repository, number as u32) {
                // Another sweeper took it, which is no problem.
                Err(error) if error.is_gone() => {
                    bad.push(self.uses[number].pack.id);
                    at += 1;
                    continue;
                }
                table => table?,
            };
            let start = table.table.blocks[first.block as usize].offset;
            let mut end = at + 1;
            let end_of = |moved: &Moved| {
                let row = &table.table.blocks[moved.1.block as usize];
                row.offset + u64::from(row.box_length)
            };
            while end < blocks.len()
                && blocks[end].0 == number
                && blocks[end].1.block == blocks[end - 1].1.block + 1
                && end_of(&blocks[end]) - start <= RUN_BYTES
            {
                end += 1;
            }
            let run = &blocks[at..end];
            at = end;
            match self.take(&table, run, start..end_of(&run[run.len() - 1]), scratch, &mut builder, &mut fresh) {
                Ok(()) => counter.add(run.iter().map(|(_, block)| block.moved_bytes()).sum()),
                Err(error) if error.concerns_one_object() => {
                    if !error.is_gone() {
                        counter.monitor.problem(table.name().path().as_bytes(), &error.to_string());
                    }
                    bad.push(self.uses[number].pack.id);
                }
                Err(error) => return Err(error),
            }
        }
        fresh.flush(&mut builder);
        if builder.chunks() == 0 {
            return Ok((None, bad));
        }
        let host = &*repository.host;
        let mut padding = Vec::new();
        if last {
            padding.resize(builder.padding_length(), 0);
            crate::store::session::fill_padding(&mut padding, &host.random());
        }
        let (bytes, _) = builder.close(&repository.keys, &host.random(), &padding).map_err(|error| RepositoryError::format("new pack", error))?;
        Ok((Some(bytes), bad))
    }

    /// Reads neighbouring blocks; appends those that are needed as they are if their seals are right, and what is needed of the others.
    fn take(
        &self,
        table: &Arc<PackTable>,
        run: &[Moved],
        range: Range<u64>,
        scratch: &mut Scratch,
        builder: &mut PackBuilder,
        fresh: &mut Reblock<'_>,
    ) -> Result<()> {
        let repository = self.repository;
        if self.kind == PackKind::Data && !repository.keys.role().reads_contents() {
            return self.take_sealed(table, run, scratch, builder);
        }
        let bytes = match repository.store.get_range(&table.name(), range.clone()).map_err(RepositoryError::from) {
            Err(error) if error.is_damage() => sound_range(repository, table, &range).ok_or(error)?,
            bytes => bytes?,
        };
        for (number, block) in run {
            let row = &table.table.blocks[block.block as usize];
            let boxed = &bytes[(row.offset - range.start) as usize..][..row.box_length as usize];
            let chunks = table.table.chunks_of(block.block as usize);
            scratch.boxed.clear();
            scratch.boxed.extend_from_slice(boxed);
            if !block.is_thin() {
                let mut mended = None;
                if let Err(error) = repository.loader.check_seal(repository, table, block.block as usize, &mut scratch.boxed) {
                    let again = sound_range(repository, table, &(row.offset..row.offset + u64::from(row.box_length))).ok_or(error)?;
                    scratch.boxed.clone_from(&again);
                    repository.loader.check_seal(repository, table, block.block as usize, &mut scratch.boxed)?;
                    mended = Some(again);
                }
                builder.push_moved(row, &table.table.keys[usize::from(row.key)], chunks, mended.as_deref().unwrap_or(boxed));
                continue;
            }
            scratch.plain.clear();
            if let Err(error) = repository.loader.open_block(repository, table, block.block as usize, &mut scratch.boxed, &mut scratch.plain) {
                repository.loader.mended_block(repository, table, block.block as usize, &mut scratch.plain).ok_or(error)?;
            }
            let first_bit = self.ground.packs[*number].first_bit + u64::from(row.first_chunk);
            let mut start = 0;
            for (at, chunk) in chunks.iter().enumerate() {
                let plain = &scratch.plain[start..start + chunk.length as usize];
                start += plain.len();
                if self.needed.has(first_bit + at as u64) {
                    fresh.push(*chunk, plain, row.plain_length as usize, builder);
                }
            }
        }
        Ok(())
    }

    /// Appends blocks that nobody here can open: instead of their seals the hash of the whole pack says that they are as they were put.
    fn take_sealed(&self, table: &Arc<PackTable>, run: &[Moved], scratch: &mut Scratch, builder: &mut PackBuilder) -> Result<()> {
        let name = table.name();
        let bytes = match scratch.sealed.take() {
            Some((id, bytes)) if id == name.id => bytes,
            _ => match get_checked(&*self.repository.store, &name) {
                Ok(bytes) => Arc::new(bytes),
                // One that is gone was taken by another sweeper, and nobody's loss.
                Err(error) if error.is_damage() && !error.is_gone() => self.repository.loader.sound_pack(self.repository, &name).ok_or(error)?,
                Err(error) => return Err(error),
            },
        };
        scratch.sealed = Some((name.id, bytes.clone()));
        for (_, block) in run {
            let row = &table.table.blocks[block.block as usize];
            let boxed = bytes.get(row.offset as usize..).and_then(|rest| rest.get(..row.box_length as usize));
            let boxed = boxed.ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt, name, "it is shorter than its table says"))?;
            builder.push_moved(row, &table.table.keys[usize::from(row.key)], table.table.chunks_of(block.block as usize), boxed);
        }
        Ok(())
    }
}
