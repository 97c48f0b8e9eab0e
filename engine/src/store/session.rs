//! A writing session: blocks become packs, packs an index, the index a snapshot: in this order and no other.

mod block;
mod chain;
mod left;

pub use block::OpenBlock;

use super::error::{RepositoryError, Result};
use super::host::Host;
use super::load::pack_name;
use super::needs::packs_needed;
use super::own::session_id;
use super::post_check::{self, PackWriter};
use super::protocol::{Rules, WriterAnswer};
use super::repository::{Repository, StoredSnapshot, object_id, put_named};
use super::stages::{Stage, Stages};
use crate::format::compress::Compression;
use crate::format::control::{self, SealedBy};
use crate::format::id::{ObjectId, TreeId};
use crate::format::index::{IndexRow, IndexedPack, ROWS_MAX, Segment};
use crate::format::keys::{KeyClass, SessionKey, SessionRandom};
use crate::format::layout::ObjectKind;
use crate::format::pack::{CHUNKS_MAX, ChunkRow, CompressedBlock, PackBuilder, PackKind};
use crate::format::seal::Sealed;
use crate::format::snapshot::Snapshot;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

/// Size in bytes of packs of trees: small, since they are read at random.
pub(crate) const META_PACK_BYTES: usize = 4 << 20;
/// Room reserved for a pack under construction, mostly never touched. Above 32 MiB the C library always maps such a buffer by itself
/// and gives it back as soon as the pack is put; smaller ones it may keep in its heap.
const PACK_RESERVE_BYTES: usize = 33 << 20;
/// Size in bytes that blocks of trees are filled to.
pub const TREE_BLOCK_BYTES: usize = 256 << 10;
/// Size in bytes that blocks of small files are filled to, where memory allows. Kernel sources take 1.5 % less room in blocks of 2 MiB than of
/// 1 MiB; 4 MiB would save one per cent more (zstd level 3), for seven buffers of twice the size and twice the work to read one small file.
pub const DATA_BLOCK_BYTES: usize = 2 << 20;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The box that this thread made last, to be used again.
    static BOX: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One run that writes. What it put but did not [`Session::finish`] is found again by later runs, chunk by chunk.
pub struct Session<'r> {
    repository: &'r Repository,
    id: [u8; 16],
    writer: String,
    compression: Compression,
    dry_run: bool,
    /// None of contents for a role that stores none.
    keys: [Option<SessionKey>; 2],
    claims: [Mutex<HashSet<[u8; 32]>>; 2],
    packers: [Mutex<Option<PackBuilder>>; 2],
    puts: [Mutex<()>; 2],
    /// Held by whoever has taken trees out of `trees` and not yet brought them into a pack.
    trees_on_their_way: RwLock<()>,
    spare_pack: Mutex<Option<Vec<u8>>>,
    trees: Mutex<OpenBlock>,
    index: Mutex<Segment>,
    relied: Mutex<HashMap<ObjectId, IndexedPack>>,
    writer_rules: Mutex<PackWriter>,
    /// What the rules refuse to rely on, for the many threads that ask.
    refused: RwLock<HashSet<ObjectId>>,
    /// The root of the snapshot that was put last, and its name.
    put: Mutex<Option<(TreeId, ObjectId)>>,
    stored_bytes: AtomicU64,
    new_bytes: AtomicU64,
    incompressible_bytes: AtomicU64,
    pack_bytes_max: usize,
    stages: Stages,
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

/// Padding that looks random.
pub(crate) fn fill_padding(padding: &mut [u8], random: &[u8; 32]) {
    blake3::Hasher::new_keyed(random).finalize_xof().fill(padding);
}

/// What a session's key is drawn from.
pub(crate) fn session_random(host: &dyn Host) -> SessionRandom {
    SessionRandom { key: host.random(), nonce: host.random(), encapsulation: host.random() }
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
        Self::new(repository, writer, compression)
    }

    /// Begins a session that counts everything and writes nothing; for that the repository need not be writable.
    pub fn begin_dry(repository: &'r Repository, writer: &str) -> Result<Self> {
        Ok(Self { dry_run: true, ..Self::new(repository, writer, Compression::default())? })
    }

    fn new(repository: &'r Repository, writer: &str, compression: Compression) -> Result<Self> {
        let host = &*repository.host;
        let id = session_id(&repository.keys, host.random());
        let mut writer_rules = PackWriter::begin(Rules::default(), repository.store.listings_are_late());
        writer_rules.answer(WriterAnswer::Sweeps(repository.sweeps()?.seen()));
        let refused = writer_rules.refused().iter().copied().collect();
        let key = |class| repository.keys.session_key(class, &id, writer, &session_random(host)).ok();
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
            trees_on_their_way: RwLock::default(),
            spare_pack: Mutex::default(),
            trees: Mutex::default(),
            index: Mutex::default(),
            relied: Mutex::default(),
            writer_rules: Mutex::new(writer_rules),
            refused: RwLock::new(refused),
            put: Mutex::default(),
            stored_bytes: AtomicU64::new(0),
            new_bytes: AtomicU64::new(0),
            incompressible_bytes: AtomicU64::new(0),
            pack_bytes_max: usize::MAX,
            stages: Stages::default(),
        })
    }

    fn key(&self, kind: PackKind) -> Result<&SessionKey> {
        self.keys[side(kind)].as_ref().ok_or(RepositoryError::NotAllowed { role: self.repository.keys.role(), what: "store contents" })
    }

    /// From now on everything is counted and nothing written.
    pub fn set_dry_run(&mut self) {
        self.dry_run = true;
    }

    /// Data packs are closed at `bytes` at the latest, whatever the repository's configuration says: two of them are held in memory.
    pub fn limit_packs(&mut self, bytes: usize) {
        self.pack_bytes_max = bytes;
    }

    /// What lies in these packs counts as absent.
    pub fn refuse(&mut self, packs: impl IntoIterator<Item = ObjectId>) {
        self.refused.get_mut().unwrap_or_else(PoisonError::into_inner).extend(packs);
    }

    /// What the rules refuse only grows.
    fn refuse_too(&self, packs: &BTreeSet<ObjectId>) {
        self.refused.write().unwrap_or_else(PoisonError::into_inner).extend(packs);
    }

    /// Where the time went so far.
    pub fn stages(&self) -> &Stages {
        &self.stages
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

    /// Plain bytes of the blocks of contents that did not compress; `None` where nobody tried.
    pub fn incompressible_bytes(&self) -> Option<u64> {
        (self.compression != Compression::Off && !self.dry_run).then(|| self.incompressible_bytes.load(Ordering::Relaxed))
    }

    /// Takes up what interrupted runs of this machine left: packs that no index speaks of get an index segment, so that what is in them
    /// is not stored again. Looks only if a run began here and did not end. Returns how many packs were found.
    ///
    /// Nobody saw those puts return, and a table promises nothing about the blocks beside it (SPEC chapter 11): each pack is read, and one that does
    /// not have the hash that is its name is left alone. They are those of one run, since its last index segment.
    pub fn take_up_interrupted(&self) -> Result<usize> {
        let repository = self.repository;
        let interrupted = repository.cache.unfinished_sessions();
        repository.cache.session_began(&self.id);
        if interrupted.is_empty() {
            return Ok(0);
        }
        let (mut segment, mut found) = (Segment::default(), 0);
        // What is being swept shall not be found again.
        for pack in left::whole_packs(repository, &|pack| self.may_rely(pack))? {
            match repository.loader.table(repository, &pack) {
                Ok(table) => {
                    repository.store.adopt(&pack_name(pack.kind, pack.id));
                    add_rows(&mut segment, pack, &table.table.chunks);
                    found += 1;
                }
                Err(error) if error.concerns_one_object() => {}
                Err(error) => return Err(error),
            }
            if segment.rows.len() + CHUNKS_MAX >= ROWS_MAX {
                self.put_segment(std::mem::take(&mut segment))?;
            }
        }
        if !segment.packs.is_empty() {
            self.put_segment(segment)?;
        }
        repository.cache.sessions_ended(&interrupted);
        Ok(found)
    }

    fn may_rely(&self, pack: &ObjectId) -> bool {
        !self.refused.read().unwrap_or_else(PoisonError::into_inner).contains(pack)
    }

    /// Whether the caller must store this chunk: `true` once for each chunk that neither the repository nor this session has.
    pub fn claim(&self, kind: PackKind, name: &[u8; 32]) -> Result<bool> {
        if lock(&self.claims[side(kind)]).contains(name) {
            return Ok(false);
        }
        let known = self.repository.loader.known(self.repository, kind, name, &|pack| self.may_rely(pack))?;
        // What is damaged is no place to rely on, even if it can be mended: it is stored again.
        if let Some(place) = known.filter(|place| self.repository.loader.remedy(&place.pack.name()).is_none()) {
            let pack = &place.pack;
            lock(&self.relied).entry(pack.id).or_insert(IndexedPack { id: pack.id, kind, length: pack.length });
            return Ok(false);
        }
        Ok(lock(&self.claims[side(kind)]).insert(*name))
    }

    /// Seals a block of claimed chunks and puts it into a pack; may put the pack. The block is empty afterwards.
    pub fn store_block(&self, kind: PackKind, block: &mut OpenBlock) -> Result<()> {
        if block.is_empty() {
            return Ok(());
        }
        self.new_bytes.fetch_add(block.length as u64, Ordering::Relaxed);
        let chunks = std::mem::take(&mut block.chunks);
        let plain = &block.buffer[..std::mem::take(&mut block.length)];
        if self.dry_run {
            return Ok(());
        }
        let repository = self.repository;
        let host = &*repository.host;
        let key = self.key(kind)?;
        let compressed = self.stages.time(host, Stage::Compress, || CompressedBlock::new(plain, self.compression, BOX.take()));
        if kind == PackKind::Data && !compressed.is_compressed() {
            self.incompressible_bytes.fetch_add(plain.len() as u64, Ordering::Relaxed);
        }
        let seal = || compressed.seal(repository.keys.repository, kind, &key.seal, repository.config.cipher, &host.random(), chunks);
        let sealed = self.stages.time(host, Stage::Seal, seal);
        let target = match kind {
            PackKind::Data => self.pack_bytes_max.min(repository.config.pack_size_bytes as usize),
            PackKind::Meta => META_PACK_BYTES,
        };
        let full = {
            let mut packer = lock(&self.packers[side(kind)]);
            let is_full = |open: &mut PackBuilder| open.estimated_length(sealed.bytes.len()) > target || open.chunks() + sealed.chunks.len() > CHUNKS_MAX;
            // The right to put is taken while the packer is held: at most one pack is on its way and one is being filled.
            let full = packer.take_if(is_full).map(|open| (open, self.stages.time(host, Stage::StoreWait, || lock(&self.puts[side(kind)]))));
            packer
                .get_or_insert_with(|| PackBuilder::new(kind, self.id, key, self.pack_buffer(kind, target)).with_parity(repository.config.parity))
                .push(&sealed);
            full
        };
        BOX.set(sealed.bytes);
        if let Some((open, _right)) = full {
            self.put_pack(kind, open, false)?;
        }
        Ok(())
    }

    /// Names a tree chunk and stores it unless it is known.
    pub fn store_tree(&self, plain: &[u8]) -> Result<TreeId> {
        let id = self.repository.keys.name_tree(plain);
        if !self.dry_run {
            self.repository.keep_tree(id, plain);
        }
        if self.claim(PackKind::Meta, &id.0)? {
            let _on_their_way = self.trees_on_their_way.read().unwrap_or_else(PoisonError::into_inner);
            let full = {
                let mut open = lock(&self.trees);
                open.push(id.0, plain);
                (open.length() >= TREE_BLOCK_BYTES).then(|| std::mem::take(&mut *open))
            };
            if let Some(mut block) = full {
                self.store_block(PackKind::Meta, &mut block)?;
            }
        }
        Ok(id)
    }

    /// A buffer for the next pack: that of an earlier one, or new memory, which costs a page fault every 4 KiB.
    fn pack_buffer(&self, kind: PackKind, target: usize) -> Vec<u8> {
        let mut buffer = if kind == PackKind::Data { lock(&self.spare_pack).take().unwrap_or_default() } else { Vec::new() };
        buffer.reserve(target.max(PACK_RESERVE_BYTES));
        buffer
    }

    fn put_pack(&self, kind: PackKind, open: PackBuilder, last: bool) -> Result<()> {
        let host = &*self.repository.host;
        let mut padding = Vec::new();
        if last {
            padding.resize(open.padding_length(), 0);
            fill_padding(&mut padding, &host.random());
        }
        let close = || open.close(&self.repository.keys, &host.random(), &padding).map(|(bytes, table)| (object_id(&bytes), bytes, table));
        let (id, bytes, table) = self.stages.time(host, Stage::Seal, close).map_err(|error| RepositoryError::format("new pack", error))?;
        let length = bytes.len() as u64;
        let buffer = self.stages.time(host, Stage::StoreWait, || self.repository.store.put_pack(&pack_name(kind, id), bytes))?;
        // Packs of data that hardly shrink follow each other so fast that the page faults of new memory count; others leave room for something else.
        let plain_length: u64 = table.blocks.iter().map(|block| u64::from(block.plain_length)).sum();
        if kind == PackKind::Data && plain_length < 2 * length {
            lock(&self.spare_pack).replace(buffer);
        }
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
        self.put_open()?;
        self.repository.cache.sessions_ended(&[self.id.to_vec()]);
        Ok(())
    }

    /// All trees that were stored and all blocks whose storing has ended are in packs and in the index, durably, when this returns.
    fn put_open(&self) -> Result<()> {
        let mut trees = std::mem::take(&mut *lock(&self.trees));
        self.store_block(PackKind::Meta, &mut trees)?;
        drop(self.trees_on_their_way.write().unwrap_or_else(PoisonError::into_inner));
        for kind in [PackKind::Data, PackKind::Meta] {
            let open = {
                let mut packer = lock(&self.packers[side(kind)]);
                packer.take().map(|open| (open, lock(&self.puts[side(kind)])))
            };
            if let Some((open, _right)) = open {
                self.put_pack(kind, open, true)?;
            }
        }
        let segment = std::mem::take(&mut *lock(&self.index));
        if !segment.rows.is_empty() {
            self.put_segment(segment)?;
        }
        self.stages.time(&*self.repository.host, Stage::StoreWait, || self.repository.store.barrier()).map_err(Into::into)
    }

    /// Puts a snapshot of what is stored so far: a root for sweepers and, if the run is killed, something to restore. Sweeps are listed again, so that
    /// from now on no chunk is taken for stored that one of them took in the meantime.
    pub fn checkpoint(&self, snapshot: &Snapshot) -> Result<StoredSnapshot> {
        self.put_open()?;
        self.repository.check_writable()?;
        let mut rules = lock(&self.writer_rules);
        rules.answer(WriterAnswer::Sweeps(self.repository.sweeps()?.seen()));
        self.refuse_too(rules.refused());
        drop(rules);
        let id = self.put_snapshot(snapshot)?;
        Ok(StoredSnapshot { id, snapshot: snapshot.clone(), confirmed: false, forgotten: false, session: Some(self.id) })
    }

    /// Relies on every pack that a tree which is there already needs, before anything is put.
    pub fn rely_on_tree(&self, root: TreeId, cancelled: &dyn Fn() -> bool) -> Result<()> {
        let packs = packs_needed(self.repository, root, &|pack| self.may_rely(pack), cancelled)?;
        packs.values().try_for_each(|pack| self.repository.exists(pack))?;
        lock(&self.relied).extend(packs);
        Ok(())
    }

    /// Puts a snapshot, sees that everything it needs exists, and confirms it. [`Session::finish`] must have returned.
    /// `taken_from`: the snapshot whose chunks were taken without a look.
    ///
    /// If [`Committed::unconfirmed`] is [`RepositoryError::Swept`], what was lost counts as absent from now on: whoever can read the source again
    /// stores it again, and commits again.
    pub fn commit(&self, snapshot: &Snapshot, taken_from: Option<ObjectId>) -> Result<Committed> {
        let repository = self.repository;
        // Objects of a higher epoch may have been met since the session began.
        repository.check_writable()?;
        let mut rules = lock(&self.writer_rules);
        let mut relied = lock(&self.relied).clone();
        rules.answer(WriterAnswer::Stored { relied: relied.keys().copied().collect(), by_parent: taken_from.is_some() });
        let before = *lock(&self.put);
        let id = match before {
            // Stored again, and the same came out: the snapshot stands already.
            Some((root, id)) if root == snapshot.root => id,
            _ => self.put_snapshot(snapshot)?,
        };
        *lock(&self.put) = Some((snapshot.root, id));
        rules.answer(WriterAnswer::Put);
        let unconfirmed = post_check::run(repository, &mut rules, id, snapshot.root, &mut relied, taken_from, &|| false).err();
        let refused = rules.refused();
        lock(&self.relied).retain(|pack, _| !refused.contains(pack));
        self.refuse_too(refused);
        Ok(Committed { id, unconfirmed })
    }

    fn put_snapshot(&self, snapshot: &Snapshot) -> Result<ObjectId> {
        let repository = self.repository;
        let grease: [u8; 4] = repository.host.random();
        let record = snapshot.encode((grease[1] < 64).then_some(grease));
        let bytes = control::create(&repository.keys, Sealed::Snapshot, &SealedBy::Session(self.key(PackKind::Meta)?), &record, &repository.host.random())
            .map_err(|error| RepositoryError::format("new snapshot", error))?;
        self.stored_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        repository.keep_snapshot(object_id(&bytes), snapshot);
        let id = put_named(&*repository.store, ObjectKind::Snapshot, bytes)?;
        repository.store.barrier()?;
        self.remember(snapshot, id);
        Ok(id)
    }
}
