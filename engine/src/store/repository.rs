//! A repository: made, opened with a secret, and its control objects listed, read and put.

use super::cache::{Cache, Cached};
use super::error::{Older, RepositoryError, Result};
use super::healed::get_checked;
use super::host::Host;
use super::key_slots::put_slot;
use super::last_seen::{Head, LastSeen};
use super::load::Loader;
use super::lookup::Lookup;
use super::opening::{Unwritable, read_configs, slots};
use super::own::{Own, is_own_session};
use super::{Store, StoreErrorKind};
use crate::format::FormatError;
use crate::format::config::Config;
use crate::format::control::{self, CONTROL_LENGTH_MAX, SealedBy};
use crate::format::id::{ObjectId, RepositoryId};
use crate::format::index::Segment;
use crate::format::keys::{Key, KeyRing};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::parity::ParityScheme;
use crate::format::seal::{Cipher, Sealed};
use crate::format::slot::Secret;
use crate::format::snapshot::{Forget, Snapshot};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What decides about a new repository.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Cipher for blocks.
    pub cipher: Cipher,
    /// Parity of packs; `None`: where the store is a disk, which may rot.
    pub parity: Option<ParityScheme>,
    /// Size of data packs in bytes.
    pub pack_size_bytes: u64,
    /// Host name, for the labels of key slots.
    pub host: String,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self { cipher: Cipher::default(), parity: None, pack_size_bytes: 16 << 20, host: String::new() }
    }
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
    /// A forget record names it: it was removed on purpose, and is no good backup, no parent and never `latest`.
    pub forgotten: bool,
    /// The session that put it.
    pub session: Option<[u8; 16]>,
}

/// All that a listing of snapshots gives.
#[derive(Debug, Default)]
pub struct SnapshotList {
    /// Those that could be read, oldest first.
    pub snapshots: Vec<StoredSnapshot>,
    /// Those that could not, and why; forget records too.
    pub damaged: Vec<(ObjectId, RepositoryError)>,
    /// What this machine saw before, and is neither there nor forgotten now.
    pub older: Vec<Older>,
    /// Some were made with this client's key, which cannot read them, and it does not remember them.
    pub has_unknown_own: bool,
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
    pub(super) slot: ObjectId,
    pub(super) last_seen: LastSeen,
    pub(super) own: Own,
    /// The keys or the configuration are older than what this machine saw.
    older: Option<Older>,
    left_out: Mutex<Vec<RepositoryError>>,
    unwritable: Mutex<Option<Unwritable>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({})", self.store.location())
    }
}

pub(crate) fn object_id(bytes: &[u8]) -> ObjectId {
    ObjectId(*blake3::hash(bytes).as_bytes())
}

/// Puts an object under the hash of its bytes.
pub(crate) fn put_named(store: &dyn Store, kind: ObjectKind, bytes: Vec<u8>) -> Result<ObjectId> {
    let id = object_id(&bytes);
    store.put(&ObjectName::new(kind, id), bytes)?;
    Ok(id)
}

impl Repository {
    /// Makes a repository in an empty place and opens it; each secret gets a key slot with its label.
    pub fn init(store: Arc<dyn Store>, host: Arc<dyn Host>, secrets: &[(Secret, &str)], options: &InitOptions, cache_base: Option<&Path>) -> Result<Self> {
        if secrets.is_empty() {
            return Err(RepositoryError::Invalid("a repository needs at least one key".to_owned()));
        }
        // A configuration without any key is what an interrupted `init` leaves: nobody can ever open it. Everything else is somebody's.
        let abandoned = store.list(ObjectKind::Config)?;
        for kind in ObjectKind::ALL.into_iter().filter(|kind| *kind != ObjectKind::Config) {
            if !store.list(kind)?.is_empty() {
                return Err(RepositoryError::AlreadyExists(store.location()));
            }
        }
        store.prepare()?;
        for (id, _) in abandoned {
            store.delete(&ObjectName::new(ObjectKind::Config, id))?;
        }
        let repository = RepositoryId(host.random());
        let keys = KeyRing::new(repository, vec![Key(host.random())]);
        let config = Config {
            repository,
            created: host.now(),
            write_features: Vec::new(),
            cipher: options.cipher,
            parity: options.parity.unwrap_or(if store.is_disk() { ParityScheme::ReedSolomon } else { ParityScheme::None }),
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
            let id = put_slot(&*store, &keys, keys.bundle(), &*host, &options.host, secret, label)?;
            slot = slot.or(Some(id));
        }
        store.barrier()?;
        Ok(Self::assemble(store, host, keys, config, slot.expect("there is a secret"), cache_base))
    }

    /// Opens a repository with whichever of the secrets fits a slot; they are tried in order.
    pub fn open(store: Arc<dyn Store>, host: Arc<dyn Host>, secrets: &[Secret], cache_base: Option<&Path>) -> Result<Self> {
        Self::open_slot(store, host, secrets, "", cache_base)
    }

    /// The same with those slots only whose names begin with `wanted`, in hex.
    pub fn open_slot(store: Arc<dyn Store>, host: Arc<dyn Host>, secrets: &[Secret], wanted: &str, cache_base: Option<&Path>) -> Result<Self> {
        let (slots, mut left_out) = slots(&*store)?;
        let damaged = left_out.len();
        if slots.is_empty() && damaged == 0 {
            return Err(RepositoryError::NoRepository(store.location()));
        }
        let mut failed = None;
        let mut opened = None;
        'search: for secret in secrets {
            for (id, slot) in slots.iter().filter(|(id, slot)| slot.kind == secret.kind() && id.to_hex().starts_with(wanted)) {
                match slot.open(secret) {
                    Ok(keys) => {
                        opened = Some((secret, *id, keys));
                        break 'search;
                    }
                    Err(FormatError::WrongKey) => {}
                    // Another slot may be whole.
                    Err(error) => drop(failed.get_or_insert(RepositoryError::format(ObjectName::new(ObjectKind::Key, *id), error))),
                }
            }
        }
        let Some((secret, mut id, mut keys)) = opened else {
            return Err(failed.unwrap_or(RepositoryError::WrongKey { location: store.location(), slots: slots.len(), damaged }));
        };
        left_out.extend(failed);
        let (own, foreign): (Vec<_>, Vec<_>) = slots.iter().partition(|(_, slot)| slot.repository == keys.repository);
        for (other, slot) in foreign {
            let error = RepositoryError::format(ObjectName::new(ObjectKind::Key, *other), FormatError::WrongRepository);
            if slot.open(secret).is_ok() {
                // Somebody mixed two repositories: whichever is read, it may be the wrong one.
                return Err(error);
            }
            left_out.push(error);
        }
        let mut configs = read_configs(&*store, &keys)?;
        let newest = own.iter().map(|(_, slot)| slot.label_epoch()).max().unwrap_or_default();
        if newest > keys.epoch() || matches!(configs.unwritable, Some((_, FormatError::UnknownEpoch(_)))) {
            // The slot is from before a rotation. The secret may open one from after it too.
            let first = id;
            for (other, slot) in own.into_iter().filter(|(other, _)| wanted.is_empty() && **other != first) {
                if let Ok(more) = slot.open(secret)
                    && more.epoch() > keys.epoch()
                {
                    (id, keys) = (*other, more);
                }
            }
            configs = read_configs(&*store, &keys)?;
            if newest > keys.epoch() {
                configs.unwritable.get_or_insert((ObjectKind::Key.folder().to_owned(), FormatError::UnknownEpoch(newest)));
            }
        }
        left_out.append(&mut configs.left_out);
        let mut repository = Self::assemble(store, host, keys, configs.config, id, cache_base);
        repository.older = repository.last_seen.check_opening(&repository.keys, &repository.store.location(), configs.rank);
        left_out.extend(repository.older.clone().map(RepositoryError::OlderState));
        *lock(&repository.left_out) = left_out;
        *lock(&repository.unwritable) = configs.unwritable;
        Ok(repository)
    }

    fn assemble(store: Arc<dyn Store>, host: Arc<dyn Host>, keys: KeyRing, config: Config, slot: ObjectId, cache_base: Option<&Path>) -> Self {
        let cache = cache_base.map_or_else(Cache::none, |base| Cache::open(base, &keys));
        let last_seen = LastSeen::load(cache.folder(), &keys, &store.location());
        Self {
            store,
            keys: Arc::new(keys),
            config,
            host,
            cache,
            lookup: Lookup::default(),
            loader: Loader::default(),
            slot,
            last_seen,
            own: Own::default(),
            older: None,
            left_out: Mutex::default(),
            unwritable: Mutex::default(),
        }
    }

    /// Puts a configuration where none opens; whether that was so. Ciphers and sizes are those of a new repository: they are no part of reading.
    ///
    /// # Errors
    /// If something else than a missing configuration keeps this program from writing.
    pub(crate) fn put_missing_config(&mut self, dry_run: bool) -> Result<bool> {
        if self.config.sequence != 0 {
            return Ok(false);
        }
        if dry_run {
            return Ok(true);
        }
        *lock(&self.unwritable) = None;
        self.config = Config { created: self.host.now(), sequence: 1, ..self.config.clone() };
        self.put_control(ObjectKind::Config, Sealed::Config, &self.config.encode(None))?;
        self.store.barrier()?;
        Ok(true)
    }

    /// Refuses to write where the repository asks of writers what this program does not know, and where keys were used that are newer than ours.
    pub fn check_writable(&self) -> Result<()> {
        if let Some((object, error)) = &*lock(&self.unwritable) {
            return Err(RepositoryError::format(object, error.clone()));
        }
        if let Some(older) = &self.older {
            return Err(RepositoryError::OlderState(older.clone()));
        }
        self.config.write_features.first().map_or(Ok(()), |feature| Err(RepositoryError::CannotWrite(*feature)))
    }

    /// What was ignored so far because it is damaged or foreign, and not needed; told once, to be shown to people.
    pub fn take_left_out(&self) -> Vec<RepositoryError> {
        std::mem::take(&mut lock(&self.left_out))
    }

    /// Remembers what is ignored, each thing once.
    pub(crate) fn leave_out(&self, error: RepositoryError) {
        let mut left_out = lock(&self.left_out);
        if left_out.iter().all(|known| known.to_string() != error.to_string()) {
            left_out.push(error);
        }
    }

    /// Remembers that an object is of a higher epoch than we have keys for: from then on nothing is written (SPEC chapter 5).
    pub(crate) fn note(&self, error: &RepositoryError) {
        if let RepositoryError::Format { object, error: error @ FormatError::UnknownEpoch(_) } = error {
            lock(&self.unwritable).get_or_insert((object.clone(), error.clone()));
        }
    }

    /// Reads a control object and opens it.
    pub(crate) fn control(&self, kind: ObjectKind, sealed: Sealed, id: ObjectId) -> Result<Vec<u8>> {
        let name = ObjectName::new(kind, id);
        let bytes = get_checked(&*self.store, &name)?;
        self.open_control(&name, sealed, &bytes)
    }

    fn open_control(&self, name: &ObjectName, sealed: Sealed, bytes: &[u8]) -> Result<Vec<u8>> {
        control::open(&self.keys, sealed, bytes).map_err(RepositoryError::of(name)).inspect_err(|error| self.note(error))
    }

    /// All objects of a small kind, in order of their names, from the cache where it holds them; those that are gone meanwhile are left out.
    fn all_of(&self, kind: ObjectKind) -> Result<Vec<(ObjectName, Result<Vec<u8>>)>> {
        let mut names: Vec<ObjectId> = self.store.list(kind)?.into_iter().map(|(id, _)| id).collect();
        names.sort_unstable();
        let mut cached = if names.is_empty() { HashMap::new() } else { self.cache.get_all(&self.keys, kind) };
        let (mut all, mut fresh) = (Vec::new(), Vec::new());
        for id in names {
            let name = ObjectName::new(kind, id);
            let bytes = match cached.remove(&id) {
                Some(bytes) => Ok(bytes),
                None => match get_checked(&*self.store, &name) {
                    // Gone since it was listed; but one that is there and said to be missing must not be passed over: a sweeper would take what it needs.
                    Err(RepositoryError::Store(error)) if error.kind == StoreErrorKind::Missing && self.store.stat(&name)?.is_none() => continue,
                    bytes => bytes.inspect(|_| fresh.push(all.len())),
                },
            };
            all.push((name, bytes));
        }
        let fresh: Vec<(ObjectName, &[u8])> =
            fresh.into_iter().filter_map(|at| all.get(at)).filter_map(|(name, bytes)| Some((*name, &bytes.as_ref().ok()?[..]))).collect();
        if !fresh.is_empty() {
            self.cache.put(&self.keys, Cached::Whole, &fresh);
        }
        let gone: Vec<ObjectName> = cached.into_keys().map(|id| ObjectName::new(kind, id)).collect();
        if !gone.is_empty() {
            self.cache.forget(&gone);
        }
        Ok(all)
    }

    /// Removes an object.
    ///
    /// # Errors
    /// [`RepositoryError::NoDeletion`] where the store takes objects and gives none away.
    pub(crate) fn delete(&self, name: &ObjectName) -> Result<()> {
        self.store.delete(name).map_err(|error| match error.kind {
            StoreErrorKind::Denied => RepositoryError::NoDeletion(name.to_string()),
            _ => error.into(),
        })
    }

    /// Seals a record under the control key and puts it.
    pub(crate) fn put_control(&self, kind: ObjectKind, sealed: Sealed, record: &[u8]) -> Result<ObjectId> {
        let bytes = control::create(&self.keys, sealed, &SealedBy::Control, record, &self.host.random())
            .map_err(|error| RepositoryError::format(format!("new object in {}", kind.folder()), error))?;
        put_named(&*self.store, kind, bytes)
    }

    /// Puts an index segment and makes it known to this machine's index. What it speaks of must be durable by then.
    pub fn put_segment(&self, segment: &mut Segment) -> Result<ObjectId> {
        let id = self.put_segment_unseen(segment)?;
        self.lookup.add_segment(self, id, segment)?;
        Ok(id)
    }

    /// The same as another machine would do it: ours learns of it when it lists the index next.
    pub fn put_segment_unseen(&self, segment: &mut Segment) -> Result<ObjectId> {
        self.put_control(ObjectKind::Index, Sealed::Index, &segment.encode())
    }

    /// The index of this machine: hints saying which chunk lies where.
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// All snapshots, oldest first; from the cache where it holds them.
    pub fn snapshots(&self) -> Result<SnapshotList> {
        // Confirmations are listed after the snapshots, so that every snapshot seen here that is confirmed by now counts as such;
        // forget records too, so that one which was just replaced is not shown as a good one beside its replacement.
        let mut shown = self.last_seen.begin_listing();
        let snapshots = self.all_of(ObjectKind::Snapshot)?;
        let confirmed: HashSet<ObjectId> = self.store.list(ObjectKind::Confirmation)?.into_iter().map(|(id, _)| id).collect();
        let mut list = SnapshotList::default();
        let forgotten = self.forget_records(&mut list.damaged)?;
        let mut forgotten_by: HashMap<ObjectId, u32> = HashMap::new();
        for (forget, by) in &forgotten {
            forgotten_by.entry(forget.snapshot).and_modify(|latest| *latest = (*latest).max(*by)).or_insert(*by);
        }
        shown.listed = snapshots.iter().map(|(name, _)| name.id).collect();
        for (name, bytes) in snapshots {
            let snapshot = bytes.and_then(|bytes| {
                let epoch = control::stated_epoch(&bytes).map_err(RepositoryError::of(&name))?;
                let session = control::session_of(&bytes);
                let snapshot = match self.open_control(&name, Sealed::Snapshot, &bytes) {
                    Err(error @ RepositoryError::NotAllowed { .. }) => {
                        let own = self.own_snapshot(name.id);
                        list.has_unknown_own |= own.is_none() && session.is_some_and(|session| is_own_session(&self.keys, &session));
                        own.ok_or(error)?
                    }
                    record => Snapshot::decode(&record?).map_err(RepositoryError::of(&name))?,
                };
                Ok((epoch, session, snapshot))
            });
            match snapshot {
                Ok((epoch, session, snapshot)) => {
                    shown.snapshots.push((snapshot.writer.clone(), Head { sequence: snapshot.sequence, id: name.id, epoch }));
                    let confirmed = self.keys.confirmation_names(name.id, epoch).any(|name| confirmed.contains(&name));
                    let forgotten = forgotten_by.get(&name.id).is_some_and(|by| *by >= epoch);
                    list.snapshots.push(StoredSnapshot { id: name.id, snapshot, confirmed, forgotten, session });
                }
                Err(error) => list.damaged.push((name.id, error)),
            }
        }
        list.snapshots.sort_by_key(|stored| (stored.snapshot.begun, stored.snapshot.sequence, stored.id));
        list.older = self.check_last_seen(shown, &forgotten)?;
        Ok(list)
    }

    /// Forget records with the epochs of their envelopes.
    fn forget_records(&self, damaged: &mut Vec<(ObjectId, RepositoryError)>) -> Result<Vec<(Forget, u32)>> {
        let mut records = Vec::new();
        for (name, bytes) in self.all_of(ObjectKind::Forget)? {
            let forget = bytes.and_then(|bytes| {
                let record = self.open_control(&name, Sealed::Forget, &bytes)?;
                let read = || Ok((Forget::decode(&record)?, control::stated_epoch(&bytes)?));
                read().map_err(RepositoryError::of(&name))
            });
            match forget {
                Ok(forget) => records.push(forget),
                Err(error) => damaged.push((name.id, error)),
            }
        }
        Ok(records)
    }

    /// All forget records that can be read; what is wrong with the others is in [`SnapshotList::damaged`].
    pub fn forgotten(&self) -> Result<Vec<Forget>> {
        Ok(self.forget_records(&mut Vec::new())?.into_iter().map(|(forget, _)| forget).collect())
    }

    /// A snapshot's object as it is stored, for the record of its removal; `None` if it cannot be had, or is too long for a record.
    pub(crate) fn snapshot_object(&self, id: ObjectId) -> Option<Vec<u8>> {
        let name = ObjectName::new(ObjectKind::Snapshot, id);
        let cached = self.cache.get(&self.keys, &name, Cached::Whole).filter(|bytes| object_id(bytes) == id);
        cached.or_else(|| get_checked(&*self.store, &name).ok()).filter(|object| object.len() <= CONTROL_LENGTH_MAX / 2)
    }

    /// The snapshot that a forget record keeps, for those who may read it.
    pub(crate) fn forgotten_snapshot(&self, forget: &Forget) -> Option<Snapshot> {
        Snapshot::decode(&forget.kept(&self.keys)?).ok()
    }

    /// Whether a forget record counts for a snapshot: one of the snapshot's epoch or a later one (SPEC chapter 13).
    pub(crate) fn is_forgotten(&self, id: ObjectId) -> Result<bool> {
        let named = self.forget_records(&mut Vec::new())?.into_iter().filter(|(forget, _)| forget.snapshot == id).map(|(_, epoch)| epoch).max();
        let Some(epoch) = named else { return Ok(false) };
        let name = ObjectName::new(ObjectKind::Snapshot, id);
        match get_checked(&*self.store, &name).and_then(|bytes| control::stated_epoch(&bytes).map_err(RepositoryError::of(&name))) {
            Ok(own) => Ok(epoch >= own),
            Err(error) if error.is_gone() => Ok(true),
            Err(error) => Err(error),
        }
    }
}
