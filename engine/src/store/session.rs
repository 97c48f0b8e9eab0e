//! A writing session: blocks become packs, packs an index, the index a snapshot: in this order and no other.

use super::error::{RepositoryError, Result};
use super::load::pack_name;
use super::repository::{Repository, get_checked, put_named};
use super::{StoreError, StoreErrorKind};
use crate::format::FormatError;
use crate::format::compress::Compression;
use crate::format::control::{self, SealedBy};
use crate::format::id::{ObjectId, TreeId};
use crate::format::index::{IndexRow, IndexedPack, ROWS_MAX, Segment};
use crate::format::keys::{KeyClass, SessionKey};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::pack::{self, CHUNKS_MAX, ChunkRow, PackBuilder, PackKind};
use crate::format::seal::{Sealed, padded_length};
use crate::format::snapshot::Snapshot;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Size in bytes of packs of trees: small, since they are read at random.
const META_PACK_BYTES: usize = 4 << 20;
/// Room reserved for a pack under construction, mostly never touched. Above 32 MiB the C library always maps such a buffer by itself
/// and gives it back as soon as the pack is put; smaller ones it may keep in its heap.
const PACK_RESERVE_BYTES: usize = 33 << 20;
/// Size in bytes that blocks of trees are filled to.
pub const TREE_BLOCK_BYTES: usize = 256 << 10;
/// Size in bytes that blocks of small files are filled to.
pub const DATA_BLOCK_BYTES: usize = 1 << 20;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Chunks on their way into one block.
#[derive(Default)]
pub struct OpenBlock {
    plain: Vec<u8>,
    chunks: Vec<ChunkRow>,
}

impl OpenBlock {
    /// Appends a chunk.
    pub fn push(&mut self, name: [u8; 32], plain: &[u8]) {
        self.plain.extend_from_slice(plain);
        self.chunks.push(ChunkRow { id: crate::format::id::ChunkId(name), length: plain.len() as u32 });
    }

    /// Length of the plaintext in bytes.
    pub fn length(&self) -> usize {
        self.plain.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// One run that writes. What it put but did not [`Session::finish`] is found again by later runs, chunk by chunk.
pub struct Session<'r> {
    repository: &'r Repository,
    id: [u8; 16],
    writer: String,
    compression: Compression,
    dry_run: bool,
    keys: [SessionKey; 2],
    claims: [Mutex<HashSet<[u8; 32]>>; 2],
    packers: [Mutex<Option<PackBuilder>>; 2],
    puts: [Mutex<()>; 2],
    trees: Mutex<OpenBlock>,
    index: Mutex<Segment>,
    relied: Mutex<HashMap<ObjectId, IndexedPack>>,
    stored_bytes: AtomicU64,
    new_bytes: AtomicU64,
}

/// What became of a snapshot that was put.
#[derive(Debug)]
pub struct Committed {
    /// Its name.
    pub id: ObjectId,
    /// Why it could not be confirmed; `None`: it is acknowledged.
    pub unconfirmed: Option<RepositoryError>,
}

/// Adds a pack and all its chunks to a segment.
fn add_rows(segment: &mut Segment, pack: IndexedPack, chunks: &[ChunkRow]) {
    let number = segment.packs.len() as u32;
    segment.packs.push(pack);
    segment.rows.extend(chunks.iter().enumerate().map(|(ordinal, chunk)| IndexRow {
        prefix: chunk.id.0[..16].try_into().expect("sixteen bytes"),
        pack: number,
        ordinal: ordinal as u16,
    }));
}

fn side(kind: PackKind) -> usize {
    match kind {
        PackKind::Data => 0,
        PackKind::Meta => 1,
    }
}

impl<'r> Session<'r> {
    /// Begins a session for the host `writer`.
    pub fn begin(repository: &'r Repository, writer: &str, compression: Compression) -> Result<Self> {
        repository.check_writable()?;
        let host = &*repository.host;
        let id = host.random();
        let key = |class| repository.keys.session_key(class, &id, writer, &host.random(), &host.random());
        Ok(Self {
            repository,
            id,
            writer: writer.to_owned(),
            compression,
            dry_run: false,
            keys: [key(KeyClass::Data), key(KeyClass::Tree)],
            claims: Default::default(),
            packers: Default::default(),
            puts: Default::default(),
            trees: Mutex::default(),
            index: Mutex::default(),
            relied: Mutex::default(),
            stored_bytes: AtomicU64::new(0),
            new_bytes: AtomicU64::new(0),
        })
    }

    /// From now on everything is counted and nothing written.
    pub fn set_dry_run(&mut self) {
        self.dry_run = true;
    }

    /// The host that writes.
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// The repository it writes to.
    pub fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// Bytes added to the store so far, and plain bytes of the chunks in them.
    pub fn written(&self) -> (u64, u64) {
        (self.stored_bytes.load(Ordering::Relaxed), self.new_bytes.load(Ordering::Relaxed))
    }

    /// Takes up what interrupted runs of this machine left: packs that no index speaks of get an index segment, so that what is in them
    /// is not stored again. Looks only if a run began here and did not end. Returns how many packs were found.
    pub fn take_up_interrupted(&self) -> Result<usize> {
        let repository = self.repository;
        let interrupted = repository.cache.unfinished_sessions();
        repository.cache.session_began(&self.id);
        if interrupted.is_empty() {
            return Ok(0);
        }
        let indexed = repository.lookup.packs(repository)?;
        let mut segment = Segment::default();
        for (kind, object_kind) in [(PackKind::Data, ObjectKind::DataPack), (PackKind::Meta, ObjectKind::MetaPack)] {
            for (id, length) in repository.store.list(object_kind)? {
                let pack = IndexedPack { id, kind, length };
                if indexed.contains_key(&id) {
                    continue;
                }
                match repository.loader.table(repository, &pack) {
                    Ok(table) => {
                        repository.store.adopt(&pack_name(kind, id));
                        add_rows(&mut segment, pack, &table.table.chunks);
                    }
                    Err(error) if error.concerns_one_object() => {}
                    Err(error) => return Err(error),
                }
                if segment.rows.len() + CHUNKS_MAX >= ROWS_MAX {
                    self.put_segment(std::mem::take(&mut segment))?;
                }
            }
        }
        let found = segment.packs.len();
        if found > 0 {
            self.put_segment(segment)?;
        }
        repository.cache.sessions_ended(&interrupted);
        Ok(found)
    }

    /// Whether the caller must store this chunk: `true` once for each chunk that neither the repository nor this session has.
    pub fn claim(&self, kind: PackKind, name: &[u8; 32]) -> Result<bool> {
        if lock(&self.claims[side(kind)]).contains(name) {
            return Ok(false);
        }
        if let Some(place) = self.repository.loader.known(self.repository, kind, name)? {
            let pack = &place.pack;
            lock(&self.relied).entry(pack.id).or_insert(IndexedPack { id: pack.id, kind, length: pack.length });
            return Ok(false);
        }
        Ok(lock(&self.claims[side(kind)]).insert(*name))
    }

    /// Seals a block of claimed chunks and puts it into a pack; may put the pack.
    pub fn store_block(&self, kind: PackKind, block: OpenBlock) -> Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        self.new_bytes.fetch_add(block.plain.len() as u64, Ordering::Relaxed);
        if self.dry_run {
            return Ok(());
        }
        let repository = self.repository;
        let key = &self.keys[side(kind)];
        let sealed = pack::seal_block(
            repository.keys.repository,
            kind,
            &key.seal,
            repository.config.cipher,
            self.compression,
            &repository.host.random(),
            &block.plain,
            block.chunks,
        );
        drop(block.plain);
        let target = match kind {
            PackKind::Data => repository.config.pack_size_bytes as usize,
            PackKind::Meta => META_PACK_BYTES,
        };
        let full = {
            let mut packer = lock(&self.packers[side(kind)]);
            let is_full = |open: &mut PackBuilder| open.estimated_length() + sealed.bytes.len() > target || open.chunks() + sealed.chunks.len() > CHUNKS_MAX;
            // The right to put is taken while the packer is held: at most one pack is on its way and one is being filled.
            let full = packer.take_if(is_full).map(|open| (open, lock(&self.puts[side(kind)])));
            packer.get_or_insert_with(|| PackBuilder::new(kind, self.id, key, target.max(PACK_RESERVE_BYTES))).push(&sealed);
            full
        };
        if let Some((open, _right)) = full {
            self.put_pack(kind, open, false)?;
        }
        Ok(())
    }

    /// Names a tree chunk and stores it unless it is known.
    pub fn store_tree(&self, plain: &[u8]) -> Result<TreeId> {
        let id = self.repository.keys.name_tree(plain);
        if self.claim(PackKind::Meta, &id.0)? {
            let full = {
                let mut open = lock(&self.trees);
                open.push(id.0, plain);
                (open.length() >= TREE_BLOCK_BYTES).then(|| std::mem::take(&mut *open))
            };
            if let Some(block) = full {
                self.store_block(PackKind::Meta, block)?;
            }
        }
        Ok(id)
    }

    fn put_pack(&self, kind: PackKind, open: PackBuilder, last: bool) -> Result<()> {
        let host = &*self.repository.host;
        let mut padding = Vec::new();
        if last {
            let length = (open.length() + open.closing_length()) as u64;
            padding.resize((padded_length(length) - length) as usize, 0);
            blake3::Hasher::new_keyed(&host.random()).finalize_xof().fill(&mut padding);
        }
        let (bytes, table) = open.close(&self.repository.keys, &host.random(), &padding).map_err(|error| RepositoryError::format("new pack", error))?;
        let length = bytes.len() as u64;
        let kind_of_object = pack_name(kind, ObjectId([0; 32])).kind;
        let id = put_named(&*self.repository.store, kind_of_object, bytes)?;
        self.stored_bytes.fetch_add(length, Ordering::Relaxed);
        let pack = IndexedPack { id, kind, length };
        lock(&self.relied).insert(id, pack);
        let full = {
            let mut index = lock(&self.index);
            add_rows(&mut index, pack, &table.chunks);
            (index.rows.len() + CHUNKS_MAX >= ROWS_MAX).then(|| std::mem::take(&mut *index))
        };
        match full {
            Some(segment) => self.put_segment(segment),
            None => Ok(()),
        }
    }

    /// Puts an index segment, after its packs are durable. The index knows its chunks from then on, so the claims can go.
    fn put_segment(&self, mut segment: Segment) -> Result<()> {
        let repository = self.repository;
        repository.store.barrier()?;
        repository.put_segment(&mut segment)?;
        let prefixes: HashSet<[u8; 16]> = segment.rows.iter().map(|row| row.prefix).collect();
        for claims in &self.claims {
            lock(claims).retain(|name| !prefixes.contains(&name[..16]));
        }
        Ok(())
    }

    /// Puts whatever is still open, then the index; all of it is durable when this returns.
    pub fn finish(&self) -> Result<()> {
        let trees = std::mem::take(&mut *lock(&self.trees));
        self.store_block(PackKind::Meta, trees)?;
        for kind in [PackKind::Data, PackKind::Meta] {
            let open = lock(&self.packers[side(kind)]).take();
            if let Some(open) = open {
                self.put_pack(kind, open, true)?;
            }
        }
        let segment = std::mem::take(&mut *lock(&self.index));
        if !segment.rows.is_empty() {
            self.put_segment(segment)?;
        }
        self.repository.store.barrier()?;
        self.repository.cache.sessions_ended(&[self.id.to_vec()]);
        Ok(())
    }

    /// Sequence and predecessor that this writer's next record must carry.
    pub fn chain(&self) -> Result<(u64, Option<ObjectId>)> {
        let list = self.repository.snapshots()?;
        let stored = list.snapshots.iter().filter(|stored| stored.snapshot.writer == self.writer).map(|stored| (stored.snapshot.sequence, stored.id));
        let forgotten = self.repository.forgotten()?;
        let forgotten = forgotten.iter().filter(|forget| forget.writer == self.writer).map(|forget| (forget.sequence, forget.snapshot));
        let Some((last, id)) = stored.chain(forgotten).max() else { return Ok((1, None)) };
        let next =
            last.checked_add(1).ok_or_else(|| RepositoryError::Invalid(format!("the numbers of the snapshots of {:?} have come to their end", self.writer)))?;
        Ok((next, Some(id)))
    }

    /// Puts a snapshot, sees that everything it needs exists, and confirms it. [`Session::finish`] must have returned.
    /// `taken_from`: the snapshot whose chunks were taken without a look.
    pub fn commit(&self, snapshot: &Snapshot, taken_from: Option<ObjectId>) -> Result<Committed> {
        let repository = self.repository;
        // Objects of a higher epoch may have been met since the session began.
        repository.check_writable()?;
        let grease: [u8; 4] = repository.host.random();
        let record = snapshot.encode((grease[1] < 64).then_some(grease));
        let bytes =
            control::create(&repository.keys, Sealed::Snapshot, &SealedBy::Session(&self.keys[side(PackKind::Meta)]), &record, &repository.host.random())
                .map_err(|error| RepositoryError::format("new snapshot", error))?;
        self.stored_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let id = put_named(&*repository.store, ObjectKind::Snapshot, bytes)?;
        repository.store.barrier()?;
        let relied: Vec<IndexedPack> = lock(&self.relied).values().copied().collect();
        let unconfirmed = confirm(repository, id, &relied, taken_from).err();
        Ok(Committed { id, unconfirmed })
    }
}

/// The post-check. Its order is load-bearing: first the sweeps, then existence (SPEC chapter 15).
pub(crate) fn confirm(repository: &Repository, id: ObjectId, relied: &[IndexedPack], taken_from: Option<ObjectId>) -> Result<()> {
    for (sweep, _) in repository.store.list(ObjectKind::Sweep)? {
        let name = ObjectName::new(ObjectKind::Sweep, sweep);
        let opened = get_checked(&*repository.store, &name)
            .and_then(|bytes| control::open_sweep(&repository.keys, &bytes).map_err(RepositoryError::of(&name)))
            .inspect_err(|error| repository.note(error));
        match opened {
            // Somebody sweeps, and this program does not know what a sweep asks of it.
            Ok(_) => return Err(RepositoryError::format(name, FormatError::Unsupported { what: "sweep record", number: 0 })),
            Err(RepositoryError::Store(error)) if error.kind == StoreErrorKind::Missing => {}
            // Whoever can write to the store can put anything there: what does not open is no sweep.
            Err(error) if error.is_damage() => repository.leave_out(error),
            Err(error) => return Err(error),
        }
    }
    for pack in relied {
        repository.exists(pack)?;
        // A pack that was found and not put here may be a killed run's, seen but not yet durable.
        repository.store.adopt(&pack_name(pack.kind, pack.id));
    }
    repository.store.adopt(&ObjectName::new(ObjectKind::Snapshot, id));
    if let Some(parent) = taken_from {
        let name = ObjectName::new(ObjectKind::Snapshot, parent);
        if repository.store.stat(&name)?.is_none() {
            return Err(StoreError::new(StoreErrorKind::Missing, name, "the parent snapshot was removed while this one was made").into());
        }
    }
    repository.store.barrier()?;
    let confirmation = repository.keys.confirmation(repository.keys.epoch(), id).map_err(|error| RepositoryError::format("new confirmation", error))?;
    put_named(&*repository.store, ObjectKind::Confirmation, confirmation)?;
    repository.store.barrier()?;
    Ok(())
}
