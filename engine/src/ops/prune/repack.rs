//! Moves blocks as they are into new packs: not taken apart, not sealed again, only their seals checked, so that no damage is copied for good.
//! Only a block of which more than a quarter is not needed is opened, and its needed chunks share new blocks.

use super::ground::{Bits, Ground};
use super::plan::{Moved, Use};
use crate::format::compress::Compression;
use crate::format::id::ObjectId;
use crate::format::index::IndexedPack;
use crate::format::keys::{KeyClass, SessionKey};
use crate::format::layout::ObjectKind;
use crate::format::pack::{PackBuilder, PackKind, seal_block};
use crate::format::seal::padded_length;
use crate::ops::monitor::{Cancel, Monitor, Progress};
use crate::ops::parallel::{lock, parallel};
use crate::store::error::{RepositoryError, Result};
use crate::store::load::{PackTable, pack_name};
use crate::store::repository::{Repository, put_named};
use crate::store::session::{DATA_BLOCK_BYTES, OpenBlock, TREE_BLOCK_BYTES};
use std::collections::BTreeSet;
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

/// Moves blocks; what all of it needs.
pub struct Mover<'a> {
    pub repository: &'a Repository,
    pub ground: &'a Ground,
    pub uses: &'a [Use],
    pub needed: &'a Bits,
    /// Seal new blocks of data, and of trees.
    pub keys: [SessionKey; 2],
    pub counter: Counter<'a>,
}

/// Fresh keys for new blocks.
pub fn fresh_keys(repository: &Repository, host: &str) -> [SessionKey; 2] {
    let dice = &*repository.host;
    let session = dice.random();
    [KeyClass::Data, KeyClass::Tree].map(|class| repository.keys.session_key(class, &session, host, &dice.random(), &dice.random()))
}

impl Mover<'_> {
    /// Makes and puts packs of a kind, a few at a time.
    pub fn repack(&self, kind: PackKind, packs: &[Vec<Moved>], threads: usize, out: &mut Repacked) -> Result<()> {
        let found = Mutex::new(std::mem::take(out));
        let done = parallel(threads, packs.len(), Vec::new, |scratch, at| {
            if self.counter.cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            let (bytes, bad) = self.build(kind, &packs[at], at + 1 == packs.len(), scratch)?;
            let mut pack = None;
            if let Some(bytes) = bytes {
                let object = if kind == PackKind::Data { ObjectKind::DataPack } else { ObjectKind::MetaPack };
                let length = bytes.len() as u64;
                pack = Some(IndexedPack { id: put_named(&*self.repository.store, object, bytes)?, kind, length });
            }
            let mut found = lock(&found);
            found.put.extend(pack);
            found.bad.extend(bad);
            Ok(())
        });
        *out = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        done
    }

    /// A pack of these blocks, unless none of them is whole; and the packs of those that are not.
    fn build(&self, kind: PackKind, blocks: &[Moved], last: bool, scratch: &mut Vec<u8>) -> Result<(Option<Vec<u8>>, Vec<ObjectId>)> {
        let capacity: usize = blocks.iter().map(|(_, block)| block.box_bytes as usize + 36 * block.chunks as usize + 32).sum::<usize>() + (64 << 10);
        let mut builder = PackBuilder::for_moved(kind, capacity);
        let mut bad = Vec::new();
        let mut open = OpenBlock::default();
        let mut at = 0;
        while at < blocks.len() {
            let (number, first) = blocks[at];
            let table = match self.ground.table(self.repository, number as u32) {
                Err(error) if error.is_gone() => {
                    self.blame(&error, number, &mut bad);
                    at += 1;
                    continue;
                }
                table => table?,
            };
            if first.is_thin() {
                at += 1;
                match self.thin(&table, number, first.block as usize, &mut open) {
                    Ok(()) => self.counter.add(first.moved_bytes()),
                    Err(error) if error.concerns_one_object() => self.blame(&error, number, &mut bad),
                    Err(error) => return Err(error),
                }
                if open.length() >= if kind == PackKind::Data { DATA_BLOCK_BYTES } else { TREE_BLOCK_BYTES } {
                    self.seal(kind, std::mem::take(&mut open), &mut builder);
                }
                continue;
            }
            let start = table.table.blocks[first.block as usize].offset;
            let end_of = |moved: &Moved| {
                let row = &table.table.blocks[moved.1.block as usize];
                row.offset + u64::from(row.box_length)
            };
            let follows = |end: usize| blocks[end].0 == number && blocks[end].1.block == blocks[end - 1].1.block + 1 && !blocks[end].1.is_thin();
            let mut end = at + 1;
            while end < blocks.len() && follows(end) && end_of(&blocks[end]) - start <= RUN_BYTES {
                end += 1;
            }
            let run = &blocks[at..end];
            at = end;
            match take(self.repository, &table, run, start..end_of(&run[run.len() - 1]), scratch, &mut builder) {
                Ok(bytes) => self.counter.add(bytes),
                Err(error) if error.concerns_one_object() => self.blame(&error, number, &mut bad),
                Err(error) => return Err(error),
            }
        }
        self.seal(kind, open, &mut builder);
        if builder.chunks() == 0 {
            return Ok((None, bad));
        }
        let host = &*self.repository.host;
        let mut padding = Vec::new();
        if last {
            let length = (builder.length() + builder.closing_length()) as u64;
            padding.resize((padded_length(length) - length) as usize, 0);
            crate::store::session::fill_padding(&mut padding, &host.random());
        }
        let (bytes, _) = builder.close(&self.repository.keys, &host.random(), &padding).map_err(|error| RepositoryError::format("new pack", error))?;
        Ok((Some(bytes), bad))
    }

    fn blame(&self, error: &RepositoryError, number: usize, bad: &mut Vec<ObjectId>) {
        let pack = self.uses[number].pack;
        // One that another sweeper took is no problem.
        if !error.is_gone() {
            self.counter.monitor.problem(pack_name(pack.kind, pack.id).path().as_bytes(), &error.to_string());
        }
        bad.push(pack.id);
    }

    /// Takes the needed chunks out of a block.
    fn thin(&self, table: &PackTable, number: usize, block: usize, open: &mut OpenBlock) -> Result<()> {
        let plain = self.repository.loader.block(self.repository, table, block)?;
        let first_bit = self.ground.packs[number].first_bit + u64::from(table.table.blocks[block].first_chunk);
        let mut start = 0;
        for (at, chunk) in table.table.chunks_of(block).iter().enumerate() {
            let end = start + chunk.length as usize;
            if self.needed.has(first_bit + at as u64) {
                open.push(chunk.id.0, &plain[start..end]);
            }
            start = end;
        }
        Ok(())
    }

    fn seal(&self, kind: PackKind, block: OpenBlock, builder: &mut PackBuilder) {
        if block.is_empty() {
            return;
        }
        let repository = self.repository;
        let [data, trees] = &self.keys;
        let key = if kind == PackKind::Data { data } else { trees };
        let (plain, chunks) = block.into_parts();
        let cipher = repository.config.cipher;
        let sealed = seal_block(repository.keys.repository, kind, &key.seal, cipher, Compression::default(), &repository.host.random(), &plain, chunks);
        builder.push_under(&sealed, &key.wrapped);
    }
}

/// Reads neighbouring blocks and appends those whose seals are right.
fn take(
    repository: &Repository,
    table: &Arc<PackTable>,
    run: &[Moved],
    range: std::ops::Range<u64>,
    scratch: &mut Vec<u8>,
    builder: &mut PackBuilder,
) -> Result<u64> {
    let bytes = repository.store.get_range(&table.name(), range.clone())?;
    for (_, block) in run {
        let row = &table.table.blocks[block.block as usize];
        let boxed = &bytes[(row.offset - range.start) as usize..][..row.box_length as usize];
        scratch.clear();
        scratch.extend_from_slice(boxed);
        repository.loader.check_seal(repository, table, block.block as usize, scratch)?;
        builder.push_moved(row, &table.table.keys[usize::from(row.key)], table.table.chunks_of(block.block as usize), boxed);
    }
    Ok(bytes.len() as u64)
}
