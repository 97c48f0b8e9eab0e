//! What lies where, as far as it can be relied on: only packs that exist, have the length they say and a table that opens.

use super::packs;
use super::report::{DamageKind, Lost, Report};
use crate::format::id::{ChunkId, ObjectId, TreeId};
use crate::format::index::IndexedPack;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::pack::PackKind;
use crate::format::tree::TreeNode;
use crate::ops::monitor::{Cancel, Monitor};
use crate::ops::parallel::{lock, parallel};
use crate::store::error::{RepositoryError, Result};
use crate::store::load::{BadBlocks, PackTable, Place, pack_name};
use crate::store::lookup::Scan;
use crate::store::repository::Repository;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Chunks that one thread asks the index for at a time.
const CHUNKS_FOUND: usize = 4096;

/// A chunk that a file needs, and where the index first says that it lies.
struct Hinted {
    hint: Option<(ObjectId, u16)>,
    id: ChunkId,
    length: u32,
}

/// Why something has no place.
enum Why {
    Gone(ObjectName),
    Unusable(ObjectName),
}

fn listed(repository: &Repository) -> Result<HashMap<ObjectId, IndexedPack>> {
    Ok(repository.packs_in_store()?.into_iter().map(|pack| (pack.id, pack)).collect())
}

/// A repository as its store really is.
pub struct Ground<'a> {
    pub repository: &'a Repository,
    pub threads: usize,
    pub report: &'a Report,
    pub monitor: &'a dyn Monitor,
    pub cancel: &'a Cancel,
    /// Every pack there is.
    pub present: HashMap<ObjectId, IndexedPack>,
    /// Packs that something relied on was looked for in, and whether they can be read.
    relied: Mutex<HashMap<ObjectId, bool>>,
    /// Blocks that cannot be opened.
    pub bad: Mutex<BadBlocks>,
    contradictions: AtomicU64,
    /// Something was found only by reading the tables of packs that the index speaks of.
    leaves_out: AtomicBool,
}

impl<'a> Ground<'a> {
    /// Lists the packs.
    pub fn list(repository: &'a Repository, threads: usize, report: &'a Report, monitor: &'a dyn Monitor, cancel: &'a Cancel) -> Result<Self> {
        let present = listed(repository)?;
        let (relied, bad) = (Mutex::default(), Mutex::default());
        let (contradictions, leaves_out) = Default::default();
        Ok(Self { repository, threads, report, monitor, cancel, present, relied, bad, contradictions, leaves_out })
    }

    /// Whether there are other packs by now than there were in the beginning.
    pub fn has_changed(&self) -> Result<bool> {
        let now = listed(self.repository)?;
        Ok(now.len() != self.present.len() || self.present.keys().any(|pack| !now.contains_key(pack)))
    }

    /// An error if somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(RepositoryError::Cancelled) } else { Ok(()) }
    }

    /// Packs that something relies on, and whether they can be read.
    pub fn relied(&self) -> HashMap<ObjectId, bool> {
        lock(&self.relied).clone()
    }

    fn is_usable(&self, pack: &IndexedPack) -> Result<bool> {
        if let Some(usable) = lock(&self.relied).get(&pack.id) {
            return Ok(*usable);
        }
        let usable = packs::ends(self, pack)?.is_some();
        lock(&self.relied).insert(pack.id, usable);
        Ok(usable)
    }

    fn find(&self, kind: PackKind, name: &[u8; 32], why: &mut Option<Why>) -> Result<Option<Place>> {
        for (pack, ordinal) in self.repository.lookup.find(self.repository, name)?.into_iter().filter(|(pack, _)| pack.kind == kind) {
            let Some(present) = self.present.get(&pack.id).filter(|present| present.kind == kind) else {
                why.get_or_insert(Why::Gone(pack_name(kind, pack.id)));
                continue;
            };
            let unusable = || Why::Unusable(pack_name(kind, pack.id));
            if !self.is_usable(present)? {
                why.get_or_insert_with(unusable);
                continue;
            }
            let table = match self.repository.loader.table(self.repository, present) {
                Ok(table) => table,
                Err(error) if error.concerns_one_object() => {
                    self.report.fault(DamageKind::Pack, &pack_name(kind, pack.id), &error);
                    why.get_or_insert_with(unusable);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let ordinal = usize::from(ordinal);
            match (table.table.chunks.get(ordinal).filter(|row| row.id.0 == *name), table.table.locate(ordinal)) {
                (Some(row), Some((block, offset))) => {
                    if lock(&self.bad).contains(&(pack.id, block)) {
                        why.get_or_insert_with(unusable);
                        continue;
                    }
                    let length = row.length;
                    return Ok(Some(Place { pack: table, block, offset, length }));
                }
                _ => drop(self.contradictions.fetch_add(1, Ordering::Relaxed)),
            }
        }
        Ok(None)
    }

    /// The table of a pack of contents that is all right: there, usable, without a bad block.
    fn usual(&self, id: &ObjectId) -> Result<Option<Arc<PackTable>>> {
        let Some(pack) = self.present.get(id).filter(|pack| pack.kind == PackKind::Data) else { return Ok(None) };
        if !self.is_usable(pack)? || lock(&self.bad).iter().any(|(bad, _)| bad == id) {
            return Ok(None);
        }
        match self.repository.loader.table(self.repository, pack) {
            Ok(table) => Ok(Some(table)),
            Err(error) if error.concerns_one_object() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Where something lies that must exist, or the number of the damage that is to blame.
    pub fn place(&self, kind: PackKind, name: &[u8; 32]) -> Result<std::result::Result<Place, usize>> {
        let mut why = None;
        if let Some(place) = self.find(kind, name, &mut why)? {
            return Ok(Ok(place));
        }
        // The index does not lead to it. Perhaps the packs' tables do.
        for scan in Scan::STEPS {
            self.repository.lookup.scan(self.repository, scan)?;
            if let Some(place) = self.find(kind, name, &mut why)? {
                self.leaves_out.fetch_or(scan == Scan::Every, Ordering::Relaxed);
                return Ok(Ok(place));
            }
        }
        let short = crate::format::id::hex(&name[..8]);
        Ok(Err(match (why, kind) {
            (Some(Why::Gone(pack)), _) => self.report.blame(DamageKind::Pack, &pack, &"the pack is gone"),
            (Some(Why::Unusable(pack)), _) => self.report.blame(DamageKind::Pack, &pack, &"what lies in it cannot be read"),
            (None, PackKind::Data) => self.report.blame(DamageKind::Chunk, &format!("chunk {short}"), &"it is in no pack"),
            (None, PackKind::Meta) => self.report.blame(DamageKind::Tree, &format!("tree {short}"), &"it is in no pack"),
        }))
    }

    /// A tree node; `None` if it cannot be read, which was reported.
    pub fn tree(&self, id: TreeId) -> Result<Option<TreeNode>> {
        self.check()?;
        loop {
            let place = match self.place(PackKind::Meta, &id.0)? {
                Ok(place) => place,
                Err(damage) => {
                    self.report.lose(Lost::Tree(id), damage);
                    return Ok(None);
                }
            };
            let plain = match self.repository.loader.cached_block(self.repository, &place.pack, place.block) {
                Ok(plain) => plain,
                Err(error) if error.concerns_one_object() => {
                    self.report.fault(DamageKind::Pack, &place.pack.name(), &error);
                    lock(&self.bad).insert((place.pack.id, place.block));
                    continue;
                }
                Err(error) => return Err(error),
            };
            return match TreeNode::decode(&plain[place.offset..place.offset + place.length as usize]) {
                Ok(node) => Ok(Some(node)),
                Err(error) => {
                    let name = format!("tree {}", id.short());
                    let damage = self.report.fault(DamageKind::Tree, &name, &RepositoryError::format(&name, error));
                    self.report.lose(Lost::Tree(id), damage);
                    Ok(None)
                }
            };
        }
    }

    /// A tree node is not what it should be.
    pub fn lose_tree(&self, id: TreeId, what: &str) {
        let damage = self.report.blame(DamageKind::Tree, &format!("tree {}", id.short()), &what);
        self.report.lose(Lost::Tree(id), damage);
    }

    /// Sees that chunks have a place, and the length that files say. In the order of packs, so that each table is loaded once.
    pub fn place_chunks(&self, chunks: &mut Vec<(ChunkId, u32)>) -> Result<()> {
        // In the order of names, by which the index is sorted.
        chunks.sort_unstable_by_key(|(id, _)| id.0.first_chunk::<8>().map(|head| u64::from_be_bytes(*head)));
        chunks.dedup();
        let hinted = Mutex::new(Vec::with_capacity(chunks.len()));
        let pieces: Vec<_> = chunks.chunks(CHUNKS_FOUND).collect();
        parallel(
            self.threads,
            pieces.len(),
            || (),
            |(), at| {
                let mut found = Vec::with_capacity(pieces[at].len());
                for &(id, length) in pieces[at] {
                    let places = self.repository.lookup.find(self.repository, &id.0)?;
                    let hint = places.first().map(|&(pack, ordinal)| (pack.id, ordinal));
                    found.push(Hinted { hint, id, length });
                }
                lock(&hinted).extend(found);
                Ok(())
            },
        )?;
        chunks.clear();
        let mut hinted = hinted.into_inner().unwrap_or_else(PoisonError::into_inner);
        let order = |(pack, ordinal): (ObjectId, u16)| (pack.0.first_chunk::<8>().map(|head| u64::from_be_bytes(*head)), ordinal);
        hinted.sort_unstable_by_key(|chunk| chunk.hint.map(order));
        let pack_of = |chunk: &Hinted| chunk.hint.map(|(pack, _)| pack);
        let groups: Vec<_> = hinted.chunk_by(|a, b| pack_of(a) == pack_of(b)).collect();
        parallel(
            self.threads,
            groups.len(),
            || (),
            |(), at| {
                self.check()?;
                let usual = pack_of(&groups[at][0]).map(|pack| self.usual(&pack)).transpose()?.flatten();
                for Hinted { hint, id, length } in groups[at] {
                    // Nearly always the first hint is right, and nothing more need be asked.
                    let row = usual.as_ref().zip(*hint).and_then(|(pack, (_, ordinal))| pack.table.chunks.get(usize::from(ordinal)));
                    if row.is_some_and(|row| row.id == *id && row.length == *length) {
                        continue;
                    }
                    match self.place(PackKind::Data, &id.0)? {
                        Ok(place) if place.length == *length => {}
                        Ok(place) => {
                            let what = format!("it is {} bytes long, and a file says {length}", place.length);
                            let damage = self.report.blame(DamageKind::Chunk, &format!("chunk {}", crate::format::id::hex(&id.0[..8])), &what);
                            self.report.lose(Lost::Chunk(*id, *length), damage);
                        }
                        Err(damage) => self.report.lose(Lost::Chunk(*id, *length), damage),
                    }
                }
                Ok(())
            },
        )
    }

    /// What is to be said about the index; and of packs that nothing needs, if everything was looked at.
    pub fn look_at_index(&self, all: bool) -> Result<()> {
        // What was loaded may be what a scan found; this asks the index itself.
        self.repository.lookup.refresh();
        let indexed = self.repository.lookup.packs(self.repository)?;
        let gone = indexed.keys().filter(|id| !self.present.contains_key(id)).count();
        let unknown = self.present.keys().filter(|id| !indexed.contains_key(id)).count();
        let contradictions = self.contradictions.load(Ordering::Relaxed);
        let folder = ObjectKind::Index.folder();
        for (count, what) in [
            (gone as u64, "packs that are not there are spoken of"),
            (unknown as u64, "packs are not spoken of"),
            (contradictions, "rows lead to something else"),
        ] {
            if count > 0 {
                self.report.note(&folder, &format!("{count} {what}; it is only a hint"));
            }
        }
        if self.leaves_out.load(Ordering::Relaxed) {
            self.report.note(&folder, &"it leaves out chunks of packs that it speaks of; it is only a hint");
        }
        if all {
            let relied = self.relied();
            let orphans: Vec<u64> = self.present.values().filter(|pack| !relied.contains_key(&pack.id)).map(|pack| pack.length).collect();
            if !orphans.is_empty() {
                self.report.note(&"packs", &format!("{} packs of {} bytes are needed by no snapshot", orphans.len(), orphans.iter().sum::<u64>()));
            }
        }
        Ok(())
    }
}
