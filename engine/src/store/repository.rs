//! A repository: made, opened with a secret, and its control objects listed, read and put.

use super::cache::{Cache, Cached};
use super::error::{RepositoryError, Result};
use super::host::Host;
use super::load::Loader;
use super::lookup::Lookup;
use super::{Store, StoreErrorKind};
use crate::format::FormatError;
use crate::format::config::Config;
use crate::format::control::{self, SealedBy};
use crate::format::id::{ObjectId, RepositoryId};
use crate::format::keys::{Key, KeyRing};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::node::Time;
use crate::format::seal::{Cipher, Sealed};
use crate::format::slot::{self, Argon2Cost, SLOTS_MAX, Secret, Slot, SlotKind, SlotLabel, SlotRandom};
use crate::format::snapshot::{Forget, Snapshot};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// What decides about a new repository.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Cipher for blocks.
    pub cipher: Cipher,
    /// Size of data packs in bytes.
    pub pack_size_bytes: u64,
    /// Host name, for the labels of key slots.
    pub host: String,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self { cipher: Cipher::default(), pack_size_bytes: 16 << 20, host: String::new() }
    }
}

/// A key slot as people see it.
#[derive(Clone, Debug)]
pub struct SlotInfo {
    /// Name of the slot.
    pub id: ObjectId,
    /// What opens it.
    pub kind: SlotKind,
    /// Its label; `None` if it does not open under the repository's keys.
    pub label: Option<SlotLabel>,
    /// This session was opened with it.
    pub current: bool,
}

/// A snapshot with its name.
#[derive(Clone, Debug)]
pub struct StoredSnapshot {
    /// Name of the object.
    pub id: ObjectId,
    /// The record.
    pub snapshot: Snapshot,
    /// Its confirmation is there: everything it needs was seen to exist.
    pub confirmed: bool,
}

/// All that a listing of snapshots gives.
#[derive(Debug, Default)]
pub struct SnapshotList {
    /// Those that could be read, oldest first.
    pub snapshots: Vec<StoredSnapshot>,
    /// Those that could not, and why.
    pub damaged: Vec<(ObjectId, RepositoryError)>,
}

/// An open repository.
pub struct Repository {
    /// The store below.
    pub store: Arc<dyn Store>,
    /// The keys.
    pub keys: Arc<KeyRing>,
    /// What the repository decided once.
    pub config: Config,
    /// Clock and dice.
    pub host: Arc<dyn Host>,
    pub(crate) cache: Cache,
    pub(crate) lookup: Lookup,
    pub(crate) loader: Loader,
    slot: ObjectId,
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({})", self.store.location())
    }
}

fn object_id(bytes: &[u8]) -> ObjectId {
    ObjectId(*blake3::hash(bytes).as_bytes())
}

/// Puts an object under the hash of its bytes.
pub(crate) fn put_named(store: &dyn Store, kind: ObjectKind, bytes: Vec<u8>) -> Result<ObjectId> {
    let id = object_id(&bytes);
    store.put(&ObjectName::new(kind, id), bytes)?;
    Ok(id)
}

/// Reads a whole object and checks it against its name; a healed copy beside it is the readers' second try (SPEC chapter 2).
pub(crate) fn get_checked(store: &dyn Store, name: &ObjectName) -> Result<Vec<u8>> {
    let bytes = store.get(name)?;
    if object_id(&bytes) == name.id { Ok(bytes) } else { Err(RepositoryError::format(name, FormatError::WrongName)) }
}

fn put_slot(store: &dyn Store, keys: &KeyRing, host: &dyn Host, host_name: &str, secret: &Secret, cost: Argon2Cost, label: &str) -> Result<ObjectId> {
    let label = SlotLabel { label: label.to_owned(), created: host.now(), host: host_name.to_owned() };
    let random = SlotRandom { salt: host.random(), bundle: host.random(), label: host.random() };
    let bytes = slot::create(keys, secret, cost, &label, &random).map_err(|error| RepositoryError::format("new key slot", error))?;
    // Two copies: a slot that is lost or damaged takes the whole repository with it.
    put_named(store, ObjectKind::KeyCopy, bytes.clone())?;
    put_named(store, ObjectKind::Key, bytes)
}

/// The slots of a repository, each from whichever copy is good.
fn slots(store: &dyn Store) -> Result<(BTreeMap<ObjectId, Slot>, usize)> {
    let mut found = BTreeMap::new();
    let mut bad = HashSet::new();
    for kind in [ObjectKind::Key, ObjectKind::KeyCopy] {
        let mut names = store.list(kind)?;
        names.sort_unstable();
        for (id, length) in names {
            if found.contains_key(&id) || found.len() >= SLOTS_MAX {
                continue;
            }
            let name = ObjectName::new(kind, id);
            let slot = if length > slot::SLOT_LENGTH_MAX as u64 {
                Err(RepositoryError::format(name, FormatError::TooLarge("key slot")))
            } else {
                get_checked(store, &name).and_then(|bytes| Slot::decode(&bytes).map_err(RepositoryError::of(&name)))
            };
            match slot {
                Ok(slot) => {
                    bad.remove(&id);
                    found.insert(id, slot);
                }
                Err(RepositoryError::Store(error)) if error.kind != StoreErrorKind::Missing && error.kind != StoreErrorKind::Corrupt => {
                    return Err(error.into());
                }
                Err(_) => drop(bad.insert(id)),
            }
        }
    }
    Ok((found, bad.len()))
}

/// The configuration that counts. One that this program may not read under forbids reading, whatever its sequence:
/// otherwise hiding the newest would be a way back to an older one.
fn read_config(store: &dyn Store, keys: &KeyRing) -> Result<Config> {
    let mut best: Option<(u64, ObjectId, Config)> = None;
    let mut damaged = None;
    for (id, _) in store.list(ObjectKind::Config)? {
        let name = ObjectName::new(ObjectKind::Config, id);
        let record = get_checked(store, &name).and_then(|bytes| control::open(keys, Sealed::Config, &bytes).map_err(RepositoryError::of(&name)));
        match record {
            Ok(record) => {
                let config = Config::decode(&record).map_err(RepositoryError::of(&name))?;
                if best.as_ref().is_none_or(|(sequence, best_id, _)| (*sequence, *best_id) < (config.sequence, id)) {
                    best = Some((config.sequence, id, config));
                }
            }
            Err(RepositoryError::Store(error)) if error.kind != StoreErrorKind::Missing && error.kind != StoreErrorKind::Corrupt => return Err(error.into()),
            Err(error) => damaged = Some(error),
        }
    }
    match (best, damaged) {
        (Some((.., config)), _) if config.repository == keys.repository => Ok(config),
        (Some((_, id, _)), _) => Err(RepositoryError::format(ObjectName::new(ObjectKind::Config, id), FormatError::WrongRepository)),
        (None, Some(error)) => Err(error),
        // Reading needs no configuration; writing is refused (SPEC chapter 9).
        (None, None) => Ok(Config {
            repository: keys.repository,
            created: Time::default(),
            write_features: vec![0],
            cipher: Cipher::default(),
            pack_size_bytes: InitOptions::default().pack_size_bytes,
            sequence: 0,
        }),
    }
}

impl Repository {
    /// Makes a repository in an empty place and opens it; each secret gets a key slot with its label.
    pub fn init(store: Arc<dyn Store>, host: Arc<dyn Host>, secrets: &[(Secret, &str)], options: &InitOptions, cache_base: Option<&Path>) -> Result<Self> {
        if secrets.is_empty() {
            return Err(RepositoryError::Invalid("a repository needs at least one key".to_owned()));
        }
        if !store.list(ObjectKind::Key)?.is_empty() || !store.list(ObjectKind::Config)?.is_empty() {
            return Err(RepositoryError::AlreadyExists(store.location()));
        }
        store.prepare()?;
        let repository = RepositoryId(host.random());
        let keys = KeyRing::new(repository, vec![Key(host.random())]);
        let config = Config {
            repository,
            created: host.now(),
            write_features: Vec::new(),
            cipher: options.cipher,
            pack_size_bytes: options.pack_size_bytes,
            sequence: 1,
        };
        let record = config.encode(Some(host.random()));
        let bytes = control::create(&keys, Sealed::Config, &SealedBy::Control, &record, &host.random())
            .map_err(|error| RepositoryError::format("new configuration", error))?;
        put_named(&*store, ObjectKind::Config, bytes)?;
        store.barrier()?;
        // The slots come last: a repository without them is none, and can be made again.
        let mut slot = None;
        for (secret, label) in secrets {
            let id = put_slot(&*store, &keys, &*host, &options.host, secret, Argon2Cost::default(), label)?;
            slot = slot.or(Some(id));
        }
        store.barrier()?;
        Ok(Self::assemble(store, host, keys, config, slot.expect("there is a secret"), cache_base))
    }

    /// Opens a repository with whichever of the secrets fits a slot; they are tried in order.
    pub fn open(store: Arc<dyn Store>, host: Arc<dyn Host>, secrets: &[Secret], cache_base: Option<&Path>) -> Result<Self> {
        let (slots, damaged) = slots(&*store)?;
        if slots.is_empty() && damaged == 0 {
            return Err(RepositoryError::NoRepository(store.location()));
        }
        for secret in secrets {
            for (id, slot) in slots.iter().filter(|(_, slot)| slot.kind == secret.kind()) {
                match slot.open(secret) {
                    Ok(keys) => {
                        if let Some((other, _)) = slots.iter().find(|(_, other)| other.repository != keys.repository) {
                            return Err(RepositoryError::format(ObjectName::new(ObjectKind::Key, *other), FormatError::WrongRepository));
                        }
                        let config = read_config(&*store, &keys)?;
                        return Ok(Self::assemble(store, host, keys, config, *id, cache_base));
                    }
                    Err(FormatError::WrongKey) => {}
                    Err(error) => return Err(RepositoryError::format(ObjectName::new(ObjectKind::Key, *id), error)),
                }
            }
        }
        Err(RepositoryError::WrongKey { location: store.location(), slots: slots.len(), damaged })
    }

    fn assemble(store: Arc<dyn Store>, host: Arc<dyn Host>, keys: KeyRing, config: Config, slot: ObjectId, cache_base: Option<&Path>) -> Self {
        let cache = cache_base.map_or_else(Cache::none, |base| Cache::open(base, keys.repository));
        Self { store, keys: Arc::new(keys), config, host, cache, lookup: Lookup::default(), loader: Loader::default(), slot }
    }

    /// Refuses to write where the repository asks of writers what this program does not know.
    pub fn check_writable(&self) -> Result<()> {
        self.config.write_features.first().map_or(Ok(()), |feature| Err(RepositoryError::CannotWrite(*feature)))
    }

    /// Reads a control object and opens it.
    pub(crate) fn control(&self, kind: ObjectKind, sealed: Sealed, id: ObjectId) -> Result<Vec<u8>> {
        let name = ObjectName::new(kind, id);
        let bytes = get_checked(&*self.store, &name)?;
        control::open(&self.keys, sealed, &bytes).map_err(RepositoryError::of(&name))
    }

    /// Seals a record under the control key and puts it.
    pub(crate) fn put_control(&self, kind: ObjectKind, sealed: Sealed, record: &[u8]) -> Result<ObjectId> {
        let bytes = control::create(&self.keys, sealed, &SealedBy::Control, record, &self.host.random())
            .map_err(|error| RepositoryError::format(format!("new object in {}", kind.folder()), error))?;
        put_named(&*self.store, kind, bytes)
    }

    /// All snapshots, oldest first; from the cache where it holds them.
    pub fn snapshots(&self) -> Result<SnapshotList> {
        // Confirmations are listed after the snapshots, so that every snapshot seen here that is confirmed by now counts as such.
        let mut names: Vec<ObjectId> = self.store.list(ObjectKind::Snapshot)?.into_iter().map(|(id, _)| id).collect();
        names.sort_unstable();
        let confirmed: HashSet<ObjectId> = self.store.list(ObjectKind::Confirmation)?.into_iter().map(|(id, _)| id).collect();
        let mut cached = self.cache.get_all(&self.keys, ObjectKind::Snapshot);
        let mut fresh: Vec<(ObjectName, Vec<u8>)> = Vec::new();
        let mut list = SnapshotList::default();
        for id in names {
            let name = ObjectName::new(ObjectKind::Snapshot, id);
            let bytes = match cached.remove(&id) {
                Some(bytes) => Ok(bytes),
                None => get_checked(&*self.store, &name).inspect(|bytes| fresh.push((name, bytes.clone()))),
            };
            let snapshot = bytes.and_then(|bytes| {
                let record = control::open(&self.keys, Sealed::Snapshot, &bytes).map_err(RepositoryError::of(&name))?;
                Snapshot::decode(&record).map_err(RepositoryError::of(&name))
            });
            match snapshot {
                Ok(snapshot) => {
                    let confirmed = self.keys.confirmation_names(id).any(|name| confirmed.contains(&name));
                    list.snapshots.push(StoredSnapshot { id, snapshot, confirmed });
                }
                // Removed between listing and reading.
                Err(RepositoryError::Store(error)) if error.kind == StoreErrorKind::Missing => {}
                Err(error) => list.damaged.push((id, error)),
            }
        }
        let fresh: Vec<(ObjectName, &[u8])> = fresh.iter().map(|(name, bytes)| (*name, &bytes[..])).collect();
        if !fresh.is_empty() {
            self.cache.put(&self.keys, Cached::Whole, &fresh);
        }
        let gone: Vec<ObjectName> = cached.into_keys().map(|id| ObjectName::new(ObjectKind::Snapshot, id)).collect();
        if !gone.is_empty() {
            self.cache.forget(&gone);
        }
        list.snapshots.sort_by_key(|stored| (stored.snapshot.begun, stored.snapshot.sequence, stored.id));
        Ok(list)
    }

    /// All forget records that can be read.
    pub fn forgotten(&self) -> Result<Vec<Forget>> {
        let mut forgotten = Vec::new();
        for (id, _) in self.store.list(ObjectKind::Forget)? {
            let name = ObjectName::new(ObjectKind::Forget, id);
            let record = self.control(ObjectKind::Forget, Sealed::Forget, id)?;
            forgotten.push(Forget::decode(&record).map_err(RepositoryError::of(&name))?);
        }
        Ok(forgotten)
    }

    /// The key slots.
    pub fn key_slots(&self) -> Result<Vec<SlotInfo>> {
        let (slots, _) = slots(&*self.store)?;
        Ok(slots.into_iter().map(|(id, slot)| SlotInfo { id, kind: slot.kind, label: slot.label(&self.keys).ok(), current: id == self.slot }).collect())
    }

    /// Adds a key slot that `secret` opens.
    pub fn add_key(&self, secret: &Secret, label: &str, host_name: &str) -> Result<ObjectId> {
        self.check_writable()?;
        let id = put_slot(&*self.store, &self.keys, &*self.host, host_name, secret, Argon2Cost::default(), label)?;
        self.store.barrier()?;
        Ok(id)
    }

    /// Removes a key slot, both copies; never the last one that opens.
    pub fn remove_key(&self, id: ObjectId) -> Result<()> {
        let (slots, _) = slots(&*self.store)?;
        if !slots.contains_key(&id) {
            return Err(RepositoryError::Invalid(format!("there is no key slot {}", id.short())));
        }
        if slots.len() < 2 {
            return Err(RepositoryError::Invalid("this is the only key slot: without it nobody could open the repository again".to_owned()));
        }
        self.delete_slot(id)
    }

    fn delete_slot(&self, id: ObjectId) -> Result<()> {
        for kind in [ObjectKind::Key, ObjectKind::KeyCopy] {
            self.store.delete(&ObjectName::new(kind, id))?;
        }
        self.store.barrier()?;
        Ok(())
    }

    /// Puts a new slot for `secret` in place of the one this session was opened with (a changed password).
    pub fn replace_key(&self, secret: &Secret, label: &str, host_name: &str) -> Result<ObjectId> {
        let id = self.add_key(secret, label, host_name)?;
        if id != self.slot {
            self.delete_slot(self.slot)?;
        }
        Ok(id)
    }

    /// Starts a new epoch of keys: what is written from now on is out of reach of every key slot made before.
    /// All old slots are removed; `secrets` get new ones. Returns how many were removed.
    pub fn rotate_keys(&self, secrets: &[(Secret, &str)], host_name: &str) -> Result<usize> {
        self.check_writable()?;
        if secrets.is_empty() {
            return Err(RepositoryError::Invalid("a repository needs at least one key".to_owned()));
        }
        let (old, _) = slots(&*self.store)?;
        let mut roots = self.keys.roots().to_vec();
        roots.push(Key(self.host.random()));
        let keys = KeyRing::new(self.keys.repository, roots);
        // A configuration of the new epoch: whoever holds only old keys meets it and knows.
        let config = Config { sequence: self.config.sequence + 1, ..self.config.clone() };
        let mut new = Vec::new();
        for (secret, label) in secrets {
            new.push(put_slot(&*self.store, &keys, &*self.host, host_name, secret, Argon2Cost::default(), label)?);
        }
        let bytes = control::create(&keys, Sealed::Config, &SealedBy::Control, &config.encode(None), &self.host.random())
            .map_err(|error| RepositoryError::format("new configuration", error))?;
        put_named(&*self.store, ObjectKind::Config, bytes)?;
        self.store.barrier()?;
        let mut removed = 0;
        for id in old.into_keys().filter(|id| !new.contains(id)) {
            self.delete_slot(id)?;
            removed += 1;
        }
        Ok(removed)
    }
}
