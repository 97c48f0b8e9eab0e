//! Packs: their ends and tables, and all their bytes.

use super::choose::{Candidate, Clock, PackChoice, Plan, choose};
use super::ground::Ground;
use super::report::{Damage, DamageKind, Lost};
use super::sample::{self, Share};
use crate::format::id::{ObjectHasher, ObjectId, TreeId};
use crate::format::index::IndexedPack;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::pack::{self, BlockRow, END_LENGTH, End, Geometry, PackKind, Table};
use crate::format::parity::ParityScheme;
use crate::ops::monitor::Progress;
use crate::ops::parallel::{lock, parallel};
use crate::store::error::{RepositoryError, Result};
use crate::store::ledger::Ledger;
use crate::store::load::{PackTable, pack_name};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes read at a time.
const WINDOW: u64 = 1 << 20;
/// Most packs that are read at the same time; each takes a window, a block and an opened block.
const PACKS_MAX: usize = 6;
/// Bytes from the end of a pack that are read at once: footer and table of most packs.
const SUFFIX: u64 = 64 << 10;

/// Reads some bytes of a pack; `None` if they cannot be had, which is then reported.
fn get(ground: &Ground<'_>, pack: &IndexedPack, range: std::ops::Range<u64>) -> Result<Option<Vec<u8>>> {
    let name = pack_name(pack.kind, pack.id);
    match ground.repository.store.get_range(&name, range).map_err(RepositoryError::from) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.concerns_one_object() => {
            ground.report.fault(DamageKind::Pack, &name, &error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Looks at both ends of a pack and opens its table, from the store and no cache. `None` if the pack cannot be read at all, not even mended.
pub fn ends(ground: &Ground<'_>, pack: &IndexedPack) -> Result<Option<Table>> {
    let name = pack_name(pack.kind, pack.id);
    let table = ends_as_they_are(ground, pack)?;
    if !is_mendable(ground, &name) || table.is_some() {
        return Ok(table);
    }
    match ground.repository.loader.table(ground.repository, pack) {
        Ok(pack) => Ok(Some(pack.table.clone())),
        Err(error) if error.concerns_one_object() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a pack that something was found wrong with can be mended; that is reported then.
fn is_mendable(ground: &Ground<'_>, name: &ObjectName) -> bool {
    let loader = &ground.repository.loader;
    if !ground.report.blames(name) || loader.sound_pack(ground.repository, name).is_none() {
        return false;
    }
    let remedy = loader.remedy(name);
    if let Some(remedy) = remedy {
        ground.report.remedy(name, remedy);
    }
    remedy.is_some()
}

fn ends_as_they_are(ground: &Ground<'_>, pack: &IndexedPack) -> Result<Option<Table>> {
    let name = pack_name(pack.kind, pack.id);
    let blame = |what: &str| {
        ground.report.blame(DamageKind::Pack, &name, &what);
    };
    if pack.length < 2 * END_LENGTH as u64 {
        blame("it is cut short");
        return Ok(None);
    }
    let start = pack.length.saturating_sub(if ground.repository.config.parity == ParityScheme::None { SUFFIX } else { END_LENGTH as u64 });
    let Some(suffix) = get(ground, pack, start..pack.length)? else { return Ok(None) };
    let Some(header) = get(ground, pack, 0..END_LENGTH as u64)? else { return Ok(None) };
    let footer = &suffix[suffix.len() - END_LENGTH..];
    let read = |bytes: &[u8], end: End| Geometry::decode_end(bytes, end, pack.kind, pack.length);
    let geometry = match (read(&header, End::Header), read(footer, End::Footer)) {
        (Ok(header), Ok(footer)) => {
            if header != footer {
                blame("its header and footer contradict each other");
            }
            footer
        }
        (Ok(header), Err(_)) => {
            blame("its footer is damaged (the header still serves)");
            header
        }
        (Err(_), Ok(footer)) => {
            blame("its header is damaged (the footer still serves)");
            footer
        }
        (Err(_), Err(error)) => {
            ground.report.fault(DamageKind::Pack, &name, &RepositoryError::format(name, error));
            return Ok(None);
        }
    };
    let boxed = match geometry.table_offset.checked_sub(start) {
        Some(offset) => suffix[offset as usize..(geometry.table_end() - start) as usize].to_vec(),
        None => match get(ground, pack, geometry.table_offset..geometry.table_end())? {
            Some(boxed) => boxed,
            None => return Ok(None),
        },
    };
    match pack::open_table(&ground.repository.keys, &geometry, &boxed) {
        Ok(table) => Ok(Some(table)),
        Err(error) => {
            ground.report.fault(DamageKind::Pack, &name, &RepositoryError::format("its table", error));
            Ok(None)
        }
    }
}

/// What is said about the repository after a sample of its packs was found good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// At most so many of the packs are damaged …
    pub bad_most: u64,
    /// … with this confidence.
    pub confidence: Share,
}

/// Packs that were read whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOutcome {
    /// Number and bytes of the packs that were to choose from.
    pub of: (u64, u64),
    /// Number and bytes of those that were read; each of these bytes was hashed, opened and named, or is told as damage.
    pub read: (u64, u64),
    /// Bytes that the time did not suffice for.
    pub out_of_time_bytes: u64,
    /// Bytes that are due for the promised window, and that the budget leaves out.
    pub left_out_bytes: u64,
    /// What a sample tells about all packs; `None` if it was none, or if some of it is damaged.
    pub sampled: Option<Sampled>,
}

/// Confidence of what is said about a sample whose size was given.
const CONFIDENCE: Share = Share(950_000);

/// Reads packs whole: all, or those that something relies on, or a choice of them. What is good is written into the ledger at once.
pub fn read(ground: &Ground<'_>, choice: Option<PackChoice>, only_relied: bool, started: Duration) -> Result<ReadOutcome> {
    let (host, ledger) = (&*ground.repository.host, Ledger::open(ground.repository));
    let (relied, proofs) = (ground.relied(), ledger.meet(ground.present.values()));
    let candidates: Vec<Candidate> = ground
        .present
        .values()
        .filter(|pack| !only_relied || relied.contains_key(&pack.id))
        .filter_map(|pack| Some(Candidate { pack: *pack, proof: *proofs.get(&pack.id)? }))
        .collect();
    let of = (candidates.len() as u64, candidates.iter().map(|candidate| candidate.pack.length).sum());
    let clock = Clock { now: host.now().seconds, last_run: ledger.last_run() };
    let mut dice = |below: u64| ((u128::from(u64::from_le_bytes(host.random())) * u128::from(below)) >> 64) as u64;
    let Plan { packs, time_max, left_out_bytes } = choose(candidates, choice, clock, &mut dice);
    if matches!(choice, Some(PackChoice::Oldest { within: Some(_), .. })) && !only_relied {
        ledger.ran();
    }
    let is_over = || time_max.is_some_and(|most| host.elapsed().saturating_sub(started) >= most);
    let (done, bytes, skipped, good) = <(AtomicU64, AtomicU64, AtomicU64, AtomicU64)>::default();
    let bytes_total = packs.iter().map(|pack| pack.length).sum();
    let tell = |more: u64, packs_more: u64| {
        let bytes_done = bytes.fetch_add(more, Ordering::Relaxed) + more;
        let files_done = done.fetch_add(packs_more, Ordering::Relaxed) + packs_more;
        ground.monitor.progress(&Progress { files_done, files_total: packs.len() as u64, bytes_done, bytes_total, total_known: true });
    };
    // One for each core, since reading is the least of it; and a second to read while the first computes.
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).clamp(2, PACKS_MAX);
    parallel(threads, packs.len(), Desk::default, |desk, at| {
        let pack = &packs[at];
        // One at least: else a small budget would never get anywhere.
        if at > 0 && is_over() {
            skipped.fetch_add(pack.length, Ordering::Relaxed);
            return Ok(());
        }
        if read_pack(ground, pack, desk, &|more| tell(more, 0))? {
            ledger.proved(pack);
            good.fetch_add(1, Ordering::Relaxed);
        } else {
            ledger.doubted(pack);
        }
        tell(0, 1);
        Ok(())
    })?;
    lose_what_lay_in_bad_blocks(ground)?;
    let read = (done.into_inner(), bytes.into_inner());
    let confidence = match choice {
        Some(PackChoice::Share(_)) => Some(CONFIDENCE),
        Some(PackChoice::Confidence { confidence, .. }) => Some(confidence),
        _ => None,
    };
    let confidence = confidence.filter(|_| good.into_inner() == read.0);
    let sampled = confidence.map(|confidence| Sampled { bad_most: sample::bad_most(of.0, read.0, confidence), confidence });
    Ok(ReadOutcome { of, read, out_of_time_bytes: skipped.into_inner(), left_out_bytes, sampled })
}

/// Packs that are damaged are not proved, whatever the ledger says.
pub fn doubt(ground: &Ground<'_>, damage: &[Damage]) {
    let named = damage.iter().filter(|damage| damage.kind == DamageKind::Pack).filter_map(|damage| ObjectId::from_hex(damage.object.rsplit('/').next()?));
    let bad: Vec<&IndexedPack> = named.filter_map(|pack| ground.present.get(&pack)).collect();
    if !bad.is_empty() {
        let ledger = Ledger::open(ground.repository);
        bad.into_iter().for_each(|pack| ledger.doubted(pack));
    }
}

/// Looks at both ends and the table of every pack that was not looked at yet, and holds the index against all tables.
pub fn tables(ground: &Ground<'_>) -> Result<()> {
    let relied = ground.relied();
    let mut packs: Vec<&IndexedPack> = ground.present.values().collect();
    packs.sort_unstable_by_key(|pack| (pack.kind, pack.id));
    let unknown = AtomicU64::new(0);
    let repository = ground.repository;
    let indexed = repository.lookup.packs(repository)?;
    parallel(
        ground.threads,
        packs.len(),
        || (),
        |(), at| {
            ground.check()?;
            let pack = packs[at];
            let is_usable = match relied.get(&pack.id) {
                Some(is_usable) => *is_usable,
                None => ends(ground, pack)?.is_some(),
            };
            if !is_usable || !indexed.contains_key(&pack.id) {
                return Ok(());
            }
            let table = match repository.loader.table(repository, pack) {
                Ok(table) => table,
                Err(error) if error.concerns_one_object() => return Ok(()),
                Err(error) => return Err(error),
            };
            unknown.fetch_add(repository.lookup.left_out(repository, &table)?, Ordering::Relaxed);
            Ok(())
        },
    )?;
    let unknown = unknown.into_inner();
    if unknown > 0 {
        ground.report.note(&ObjectKind::Index.folder(), &format!("{unknown} chunks of packs that it speaks of are not in it; it is only a hint"));
    }
    Ok(())
}

/// What a thread reads packs with.
#[derive(Default)]
struct Desk {
    /// Bytes of the pack from somewhere on: first those of a block that is not there in full, then what was read last.
    bytes: Vec<u8>,
    plain: Vec<u8>,
}

/// Whether the pack is good, every byte of it.
fn read_pack(ground: &Ground<'_>, indexed: &IndexedPack, desk: &mut Desk, tell: &dyn Fn(u64)) -> Result<bool> {
    let mut bad = Vec::new();
    let is_good = read_as_it_is(ground, indexed, desk, tell, &mut bad)?;
    // What can be mended can be restored: nothing is lost by it.
    if !is_mendable(ground, &pack_name(indexed.kind, indexed.id)) {
        lock(&ground.bad).extend(bad.into_iter().map(|block| (indexed.id, block)));
    }
    Ok(is_good)
}

/// Reads and opens all of a pack. The numbers of blocks that do not open go to `bad`.
fn read_as_it_is(ground: &Ground<'_>, indexed: &IndexedPack, desk: &mut Desk, tell: &dyn Fn(u64), bad: &mut Vec<usize>) -> Result<bool> {
    let name = pack_name(indexed.kind, indexed.id);
    let table = ends(ground, indexed)?;
    let pack = table.map(|table| PackTable { id: indexed.id, kind: indexed.kind, length: indexed.length, table });
    let mut is_good = pack.is_some();
    let mut rows: &[BlockRow] = pack.as_ref().map(|pack| &*pack.table.blocks).unwrap_or_default();
    let mut hasher = ObjectHasher::default();
    // The bytes of the pack that the desk holds.
    let (mut base, mut at) = (0, 0);
    while at < indexed.length {
        ground.check()?;
        let (held, end) = ((at - base) as usize, (at + WINDOW).min(indexed.length));
        let filled = (end - base) as usize;
        if desk.bytes.len() < filled {
            desk.bytes.resize(filled, 0);
        }
        let window = &mut desk.bytes[held..filled];
        match ground.repository.store.read_into(&name, at, window).map_err(RepositoryError::from) {
            Ok(()) => {}
            Err(error) if error.concerns_one_object() => {
                ground.report.fault(DamageKind::Pack, &name, &error);
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        hasher.update(window);
        tell(end - at);
        at = end;
        // Blocks that are there in full.
        let complete = rows.partition_point(|row| row.offset + u64::from(row.box_length) <= at);
        let (ready, later) = rows.split_at(complete);
        if let Some(pack) = &pack {
            let first = pack.table.blocks.len() - rows.len();
            for (number, row) in ready.iter().enumerate() {
                let start = (row.offset - base) as usize;
                let boxed = &mut desk.bytes[start..start + row.box_length as usize];
                desk.plain.clear();
                if let Err(error) = ground.repository.loader.open_block(ground.repository, pack, first + number, boxed, &mut desk.plain) {
                    if matches!(error, RepositoryError::NotAllowed { .. }) {
                        return Err(error);
                    }
                    ground.report.fault(DamageKind::Pack, &name, &error);
                    bad.push(first + number);
                    is_good = false;
                }
            }
        }
        rows = later;
        let keep_from = rows.first().map_or(at, |row| row.offset.min(at));
        desk.bytes.copy_within((keep_from - base) as usize..filled, 0);
        base = keep_from;
    }
    if hasher.finish() != indexed.id {
        ground.report.blame(DamageKind::Pack, &name, &"its bytes do not have the hash that is its name");
        is_good = false;
    }
    Ok(is_good)
}

/// What lies in bad blocks and in no good one is lost.
fn lose_what_lay_in_bad_blocks(ground: &Ground<'_>) -> Result<()> {
    let mut bad: Vec<_> = lock(&ground.bad).iter().copied().collect();
    bad.sort_unstable();
    for (id, block) in bad {
        let Some(pack) = ground.present.get(&id) else { continue };
        let table = match ground.repository.loader.table(ground.repository, pack) {
            Ok(table) => table,
            Err(error) if error.concerns_one_object() => continue,
            Err(error) => return Err(error),
        };
        for chunk in table.table.chunks_of(block) {
            if let Err(damage) = ground.place(pack.kind, &chunk.id.0)? {
                let lost = match pack.kind {
                    PackKind::Data => Lost::Chunk(chunk.id, chunk.length),
                    PackKind::Meta => Lost::Tree(TreeId(chunk.id.0)),
                };
                ground.report.lose(lost, damage);
            }
        }
    }
    Ok(())
}
