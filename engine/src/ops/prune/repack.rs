//! Moves blocks as they are into new packs: not taken apart, not sealed again, only their seals checked, so that no damage is copied for good.

use super::ground::Ground;
use super::plan::{Moved, Use};
use crate::format::id::ObjectId;
use crate::format::index::IndexedPack;
use crate::format::layout::ObjectKind;
use crate::format::pack::{PackBuilder, PackKind};
use crate::format::seal::padded_length;
use crate::ops::monitor::{Cancel, Monitor, Progress};
use crate::ops::parallel::{lock, parallel};
use crate::store::error::{RepositoryError, Result};
use crate::store::load::PackTable;
use crate::store::repository::{Repository, put_named};
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

/// Makes and puts the packs, a few at a time.
pub fn repack(
    repository: &Repository,
    ground: &Ground,
    uses: &[Use],
    kind: PackKind,
    packs: &[Vec<Moved>],
    threads: usize,
    counter: &Counter<'_>,
    out: &mut Repacked,
) -> Result<()> {
    let found = Mutex::new(std::mem::take(out));
    let done = parallel(threads, packs.len(), Vec::new, |scratch, at| {
        if counter.cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        let last = at + 1 == packs.len();
        let Some((bytes, bad)) = build(repository, ground, uses, kind, &packs[at], last, scratch, counter)? else { return Ok(()) };
        let mut pack = None;
        if let Some(bytes) = bytes {
            let object = if kind == PackKind::Data { ObjectKind::DataPack } else { ObjectKind::MetaPack };
            let length = bytes.len() as u64;
            pack = Some(IndexedPack { id: put_named(&*repository.store, object, bytes)?, kind, length });
        }
        let mut found = lock(&found);
        found.put.extend(pack);
        found.bad.extend(bad);
        Ok(())
    });
    *out = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done
}

type Built = (Option<Vec<u8>>, Vec<ObjectId>);

#[allow(clippy::too_many_arguments)] // one call, its parts named
fn build(
    repository: &Repository,
    ground: &Ground,
    uses: &[Use],
    kind: PackKind,
    blocks: &[Moved],
    last: bool,
    scratch: &mut Vec<u8>,
    counter: &Counter<'_>,
) -> Result<Option<Built>> {
    let capacity: usize = blocks.iter().map(|(_, block)| block.box_bytes as usize + 36 * block.chunks as usize + 32).sum::<usize>() + (64 << 10);
    let mut builder = PackBuilder::for_moved(kind, capacity);
    let mut bad = Vec::new();
    let mut at = 0;
    while at < blocks.len() {
        let (number, first) = blocks[at];
        let table = ground.table(repository, number as u32)?;
        let start = table.table.blocks[first.block as usize].offset;
        let mut end = at + 1;
        let end_of = |moved: &Moved| {
            let row = &table.table.blocks[moved.1.block as usize];
            row.offset + u64::from(row.box_length)
        };
        while end < blocks.len() && blocks[end].0 == number && blocks[end].1.block == blocks[end - 1].1.block + 1 && end_of(&blocks[end]) - start <= RUN_BYTES {
            end += 1;
        }
        let run = &blocks[at..end];
        at = end;
        match take(repository, &table, run, start..end_of(&run[run.len() - 1]), scratch, &mut builder) {
            Ok(bytes) => counter.add(bytes),
            Err(error) if error.concerns_one_object() => {
                counter.monitor.problem(table.name().path().as_bytes(), &error.to_string());
                bad.push(uses[number].pack.id);
            }
            Err(error) => return Err(error),
        }
    }
    if builder.chunks() == 0 {
        return Ok(Some((None, bad)));
    }
    let host = &*repository.host;
    let mut padding = Vec::new();
    if last {
        let length = (builder.length() + builder.closing_length()) as u64;
        padding.resize((padded_length(length) - length) as usize, 0);
        crate::store::session::fill_padding(&mut padding, &host.random());
    }
    let (bytes, _) = builder.close(&repository.keys, &host.random(), &padding).map_err(|error| RepositoryError::format("new pack", error))?;
    Ok(Some((Some(bytes), bad)))
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
