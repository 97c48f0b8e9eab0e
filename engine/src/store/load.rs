//! Loads what packs hold: tables, blocks, trees and chunks, each checked and opened, from a mended pack where need be; small caches in memory.

mod mend;

use super::StoreErrorKind;
use super::cache::Cached;
use super::error::{RepositoryError, Result, StoreError};
use super::healed::Remedy;
use super::lookup::Scan;
use super::repository::Repository;
use crate::format::FormatError;
use crate::format::error::Result as FormatResult;
use crate::format::id::{ChunkId, ObjectId, TreeId};
use crate::format::index::IndexedPack;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::pack::{self, END_LENGTH, End, Geometry, PackKind, Table};
use crate::format::seal::SealKey;
use crate::format::tree::TreeNode;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

/// Tables held in memory, in bytes.
const TABLES_BYTES: usize = 8 << 20;
/// Opened blocks of trees held in memory, in bytes.
const BLOCKS_BYTES: usize = 8 << 20;
/// Packs that had to be mended held in memory, in bytes; at least one.
const SOUND_BYTES: usize = 16 << 20;

/// A pack whose table was opened.
#[derive(Debug)]
pub struct PackTable {
    /// Which pack.
    pub id: ObjectId,
    /// What it holds.
    pub kind: PackKind,
    /// Length of the object in bytes.
    pub length: u64,
    /// Its table.
    pub table: Table,
}

impl PackTable {
    /// The pack's object.
    pub fn name(&self) -> ObjectName {
        pack_name(self.kind, self.id)
    }

    /// The pack without its table.
    pub fn indexed(&self) -> IndexedPack {
        IndexedPack { id: self.id, kind: self.kind, length: self.length }
    }
}

/// The object of a pack.
pub fn pack_name(kind: PackKind, id: ObjectId) -> ObjectName {
    let kind = match kind {
        PackKind::Data => ObjectKind::DataPack,
        PackKind::Meta => ObjectKind::MetaPack,
    };
    ObjectName::new(kind, id)
}

/// Where a chunk lies: confirmed in the pack's own table by its whole name.
#[derive(Clone, Debug)]
pub struct Place {
    /// The pack.
    pub pack: Arc<PackTable>,
    /// Number of the block.
    pub block: usize,
    /// Where in the block's plaintext the chunk begins.
    pub offset: usize,
    /// Length of the chunk in bytes.
    pub length: u32,
}

/// Blocks that could not be read or opened.
pub type BadBlocks = HashSet<(ObjectId, usize)>;

/// Keeps what was used last, up to a sum of bytes.
pub(crate) struct Recent<K, V> {
    entries: HashMap<K, (V, usize)>,
    order: VecDeque<K>,
    bytes: usize,
    bytes_max: usize,
}

impl<K: Copy + Eq + Hash, V: Clone> Recent<K, V> {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { entries: HashMap::new(), order: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.entries.get(key).map(|(value, _)| value.clone())
    }

    pub(crate) fn put(&mut self, key: K, value: V, bytes: usize) {
        if self.entries.insert(key, (value, bytes)).is_none() {
            self.order.push_back(key);
            self.bytes += bytes;
        }
        while self.bytes > self.bytes_max && self.order.len() > 1 {
            if let Some((_, bytes)) = self.order.pop_front().and_then(|key| self.entries.remove(&key)) {
                self.bytes -= bytes;
            }
        }
    }
}

/// Opened blocks by pack and number.
type OpenedBlocks = Recent<(ObjectId, usize), Arc<Vec<u8>>>;

/// Loads from packs; belongs to a repository.
pub struct Loader {
    tables: Mutex<Recent<ObjectId, Arc<PackTable>>>,
    blocks: Mutex<OpenedBlocks>,
    keys: Mutex<HashMap<Vec<u8>, SealKey>>,
    /// Packs that could not be read as they are: mended, or found beyond that.
    sound: Mutex<SoundPacks>,
    /// Those that were read only by some remedy.
    mended: Mutex<BTreeMap<ObjectName, Remedy>>,
}

type SoundPacks = Recent<ObjectId, Option<Arc<Vec<u8>>>>;

impl Default for Loader {
    fn default() -> Self {
        Self {
            tables: Mutex::new(Recent::new(TABLES_BYTES)),
            blocks: Mutex::new(Recent::new(BLOCKS_BYTES)),
            keys: Mutex::default(),
            sound: Mutex::new(Recent::new(SOUND_BYTES)),
            mended: Mutex::default(),
        }
    }
}

/// What is wrong with a block.
pub fn in_block(pack: &PackTable, block: usize, error: FormatError) -> RepositoryError {
    RepositoryError::format(format!("{} block {block}", pack.name()), error)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Loader {
    /// The table of a pack, from memory, cache or store.
    pub fn table(&self, repository: &Repository, pack: &IndexedPack) -> Result<Arc<PackTable>> {
        if let Some(table) = lock(&self.tables).get(&pack.id) {
            return Ok(table);
        }
        let name = pack_name(pack.kind, pack.id);
        let cached = repository.cache.get(&repository.keys, &name, Cached::Table).and_then(|bytes| {
            let (end, boxed) = bytes.split_at_checked(END_LENGTH)?;
            let geometry = Geometry::decode_end(end, End::Footer, pack.kind, pack.length).ok()?;
            pack::open_table(&repository.keys, &geometry, boxed).ok()
        });
        let mut length = pack.length;
        let table = match cached {
            Some(table) => table,
            None => {
                let (geometry, boxed, table) = self.sound_table(repository, &name, pack).inspect_err(|error| repository.note(error))?;
                length = geometry.pack_length;
                let entry = [&geometry.footer()[..], &boxed].concat();
                repository.cache.put(&repository.keys, Cached::Table, &[(name, &entry)]);
                table
            }
        };
        let bytes = table.chunks.len() * size_of::<pack::ChunkRow>() + table.blocks.len() * size_of::<pack::BlockRow>();
        let table = Arc::new(PackTable { id: pack.id, kind: pack.kind, length, table });
        lock(&self.tables).put(pack.id, table.clone(), bytes);
        Ok(table)
    }

    /// The table of a pack as it is in the store now, or is mended from what is there; whatever memory and cache know.
    pub fn table_in_store(&self, repository: &Repository, pack: &IndexedPack) -> Result<Table> {
        self.sound_table(repository, &pack_name(pack.kind, pack.id), pack).map(|(_, _, table)| table).inspect_err(|error| repository.note(error))
    }

    fn place(&self, repository: &Repository, kind: PackKind, name: &[u8; 32], usable: &dyn Fn(&ObjectId) -> bool, bad: &BadBlocks) -> Result<Option<Place>> {
        for (pack, ordinal) in repository.lookup.find(repository, name)? {
            if pack.kind != kind || !usable(&pack.id) {
                continue;
            }
            // A hint that leads nowhere (a pack gone, damaged or not understood) is no answer; another copy may do (SPEC chapter 11).
            let table = match self.table(repository, &pack) {
                Ok(table) => table,
                Err(error) if error.concerns_one_object() => continue,
                Err(error) => return Err(error),
            };
            let ordinal = usize::from(ordinal);
            if let Some(row) = table.table.chunks.get(ordinal).filter(|row| row.id.0 == *name)
                && let Some((block, offset)) = table.table.locate(ordinal)
                && !bad.contains(&(pack.id, block))
            {
                let length = row.length;
                return Ok(Some(Place { pack: table, block, offset, length }));
            }
        }
        Ok(None)
    }

    /// Whether the repository holds a chunk in a pack that is `usable`, and where: the index's word, confirmed in the pack's table. What no index speaks of is
    /// for those who look for what must be there, and nothing to rely on newly.
    pub fn known(&self, repository: &Repository, kind: PackKind, name: &[u8; 32], usable: &dyn Fn(&ObjectId) -> bool) -> Result<Option<Place>> {
        self.place(repository, kind, name, &|pack| usable(pack) && !repository.lookup.is_unspoken(pack), &BadBlocks::new())
    }

    /// Where a chunk lies that must exist; when the index does not know, all packs are asked.
    pub fn must_place(&self, repository: &Repository, kind: PackKind, name: &[u8; 32]) -> Result<Place> {
        self.must_place_except(repository, kind, name, &BadBlocks::new())
    }

    /// The same in a pack that is `usable`.
    pub fn must_place_in(&self, repository: &Repository, kind: PackKind, name: &[u8; 32], usable: &dyn Fn(&ObjectId) -> bool) -> Result<Place> {
        self.must_place_among(repository, kind, name, usable, &BadBlocks::new())
    }

    /// Where a chunk lies that must exist, apart from blocks that turned out damaged: another copy may do.
    pub fn must_place_except(&self, repository: &Repository, kind: PackKind, name: &[u8; 32], bad: &BadBlocks) -> Result<Place> {
        self.must_place_among(repository, kind, name, &|_| true, bad)
    }

    fn must_place_among(&self, repository: &Repository, kind: PackKind, name: &[u8; 32], usable: &dyn Fn(&ObjectId) -> bool, bad: &BadBlocks) -> Result<Place> {
        let place = self.place_among(repository, kind, name, usable, bad)?;
        place.ok_or_else(|| RepositoryError::MissingChunk(crate::format::id::hex(&name[..8])))
    }

    /// Where a chunk lies in a pack that is `usable`, apart from damaged blocks; when the index does not know, all packs are asked.
    pub(crate) fn place_among(
        &self,
        repository: &Repository,
        kind: PackKind,
        name: &[u8; 32],
        usable: &dyn Fn(&ObjectId) -> bool,
        bad: &BadBlocks,
    ) -> Result<Option<Place>> {
        if let Some(place) = self.place(repository, kind, name, usable, bad)? {
            return Ok(Some(place));
        }
        for scan in Scan::STEPS {
            repository.lookup.scan(repository, scan)?;
            if let Some(place) = self.place(repository, kind, name, usable, bad)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn key(&self, repository: &Repository, pack: &PackTable, number: u16) -> FormatResult<SealKey> {
        let wrapped = &pack.table.keys[usize::from(number)];
        if let Some(key) = lock(&self.keys).get(wrapped) {
            return Ok(key.clone());
        }
        let key = repository.keys.unwrap(pack.kind.key_class(), wrapped)?;
        lock(&self.keys).insert(wrapped.clone(), key.clone());
        Ok(key)
    }

    /// Opens a block whose box was read; the names of all its chunks are checked. Appends the plaintext to `out`.
    pub fn open_block(&self, repository: &Repository, pack: &PackTable, block: usize, boxed: &mut [u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        self.unseal_block(repository, pack, block, boxed, out)?;
        pack::check_names(&repository.keys, pack.kind, pack.table.chunks_of(block), &out[start..]).map_err(|error| in_block(pack, block, error))
    }

    /// The same without a look at names: for whoever takes some chunks of the block, and checks the names of these.
    pub fn unseal_block(&self, repository: &Repository, pack: &PackTable, block: usize, boxed: &mut [u8], out: &mut Vec<u8>) -> Result<()> {
        let row = &pack.table.blocks[block];
        self.key(repository, pack, row.key)
            .and_then(|key| pack::open_block(repository.keys.repository, pack.kind, &key, row, boxed, out))
            .map_err(|error| in_block(pack, block, error))
    }

    /// Checks the seal of a block whose box was read, without taking it apart; uses up `boxed`.
    pub(crate) fn check_seal(&self, repository: &Repository, pack: &PackTable, block: usize, boxed: &mut [u8]) -> Result<()> {
        let row = &pack.table.blocks[block];
        self.key(repository, pack, row.key)
            .and_then(|key| pack::check_seal(repository.keys.repository, pack.kind, &key, row, boxed))
            .map_err(|error| RepositoryError::format(format!("{} block {block}", pack.name()), error))
    }

    /// Reads and opens one block; if it is damaged, of the pack mended.
    pub fn block(&self, repository: &Repository, pack: &PackTable, block: usize) -> Result<Vec<u8>> {
        let row = &pack.table.blocks[block];
        let mut out = Vec::with_capacity(row.plain_length as usize);
        let read = repository.store.get_range(&pack.name(), row.offset..row.offset + u64::from(row.box_length)).map_err(RepositoryError::from);
        match read.and_then(|mut boxed| self.open_block(repository, pack, block, &mut boxed, &mut out)) {
            Err(error) if error.is_damage() => self.mended_block(repository, pack, block, &mut out).ok_or(error)?,
            opened => opened?,
        }
        Ok(out)
    }

    /// Reads and opens one block, or takes it from memory.
    pub(crate) fn cached_block(&self, repository: &Repository, pack: &PackTable, block: usize) -> Result<Arc<Vec<u8>>> {
        if let Some(plain) = lock(&self.blocks).get(&(pack.id, block)) {
            return Ok(plain);
        }
        let plain = Arc::new(self.block(repository, pack, block)?);
        lock(&self.blocks).put((pack.id, block), plain.clone(), plain.len());
        Ok(plain)
    }
}

impl Repository {
    /// The opened block that holds a chunk which must exist, and where in it; of several copies the first that opens (SPEC chapter 11).
    fn copy(&self, kind: PackKind, name: &[u8; 32]) -> Result<(Place, Arc<Vec<u8>>)> {
        let mut bad = BadBlocks::new();
        let mut first = None;
        loop {
            let place = match self.loader.must_place_except(self, kind, name, &bad) {
                Ok(place) => place,
                Err(error) => return Err(first.unwrap_or(error)),
            };
            match self.loader.cached_block(self, &place.pack, place.block) {
                Ok(plain) => return Ok((place, plain)),
                Err(error) if error.concerns_one_object() => {
                    bad.insert((place.pack.id, place.block));
                    first.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A tree node.
    pub fn tree(&self, id: TreeId) -> Result<TreeNode> {
        if !self.keys.role().reads_trees() {
            return self.own_tree(id);
        }
        let damaged = |error| RepositoryError::format(format!("tree {}", id.short()), error);
        let (place, plain) = self.copy(PackKind::Meta, &id.0)?;
        let bytes = plain.get(place.offset..place.offset + place.length as usize).ok_or_else(|| damaged(FormatError::Truncated))?;
        TreeNode::decode(bytes).map_err(damaged)
    }

    /// A chunk of contents, which must be `length` bytes long.
    pub fn chunk(&self, id: ChunkId, length: u32) -> Result<Vec<u8>> {
        let (place, plain) = self.copy(PackKind::Data, &id.0)?;
        if place.length != length {
            return Err(RepositoryError::format(format!("chunk {}", id.short()), FormatError::BadStructure("a chunk of another length than its file says")));
        }
        Ok(plain[place.offset..place.offset + length as usize].to_vec())
    }

    /// All packs that the store lists, those of trees first.
    pub(crate) fn packs_in_store(&self) -> Result<Vec<IndexedPack>> {
        let mut packs = Vec::new();
        for (kind, object_kind) in [(PackKind::Meta, ObjectKind::MetaPack), (PackKind::Data, ObjectKind::DataPack)] {
            packs.extend(self.store.list(object_kind)?.into_iter().map(|(id, length)| IndexedPack { id, kind, length }));
        }
        Ok(packs)
    }

    /// Whether an object exists in the store with this length.
    pub(crate) fn exists(&self, pack: &IndexedPack) -> Result<()> {
        let name = pack_name(pack.kind, pack.id);
        match self.store.stat(&name)? {
            Some(length) if length == pack.length => Ok(()),
            Some(_) => Err(StoreError::new(StoreErrorKind::Corrupt, name, "the object has another length than it was stored with").into()),
            None => Err(StoreError::new(StoreErrorKind::Missing, name, "the object is gone").into()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::format::compress::Compression;
    use crate::format::keys::Key;
    use crate::format::node::{Content, Metadata, Node, NodeType};
    use crate::format::slot::Secret;
    use crate::store::host::SystemHost;
    use crate::store::memory::MemoryStore;
    use crate::store::repository::InitOptions;
    use crate::store::session::Session;

    /// From the fuzz target `pack`: an end whose hash is right (no key is needed for that) and whose numbers belong to no pack of ours.
    #[test]
    fn either_end_is_enough_whatever_the_other_says() {
        let store = Arc::new(MemoryStore::default());
        let secrets = [(Secret::KeyFile(Key([9; 32])), "test")];
        let repository = Repository::init(store.clone(), Arc::new(SystemHost::default()), &secrets, &InitOptions::default(), None).unwrap();
        let session = Session::begin(&repository, "here", Compression::default()).unwrap();
        let entry = Node {
            name: b"a".to_vec(),
            metadata: Metadata::plain(NodeType::File, 0),
            content: Content::None,
            changed_while_read: false,
            lost: false,
            unknown: Vec::new(),
        };
        let node = TreeNode::Directory(vec![entry]);
        let tree = session.store_tree(&node.encode()).unwrap();
        session.finish().unwrap();

        let name = *store.objects().keys().find(|name| name.kind == ObjectKind::MetaPack).unwrap();
        let whole = store.objects()[&name].clone();
        for end in [0, whole.len() - END_LENGTH] {
            for (at, number) in [(8, 2), (9, 7), (10, 3), (12, 9)] {
                let mut changed = whole.clone();
                changed[end + at] = number;
                let hash = blake3::hash(&changed[end..end + 96]);
                changed[end + 96..end + END_LENGTH].copy_from_slice(hash.as_bytes());
                store.objects().insert(name, changed);
                let secrets = [Secret::KeyFile(Key([9; 32]))];
                let again = Repository::open(store.clone(), Arc::new(SystemHost::default()), &secrets, None).unwrap();
                assert_eq!(again.tree(tree).unwrap(), node, "byte {at} of the end at {end}");
            }
        }
    }
}
