//! What this machine saw last of a repository, so that a store which shows an older state is noticed (SPEC chapter 5). Sealed, and no part of the format:
//! losing it loses the warning and nothing else.

use super::error::{Older, Result};
use super::repository::Repository;
use crate::format::FormatError;
use crate::format::cbor::{self, Decoder, MapWriter};
use crate::format::id::ObjectId;
use crate::format::keys::KeyRing;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::seal::{Cipher, Sealed};
use crate::format::snapshot::Forget;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The newest record of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Head {
    /// Its number among the writer's.
    pub sequence: u64,
    /// Which snapshot.
    pub id: ObjectId,
    /// The epoch of its envelope.
    pub epoch: u32,
}

/// The newest of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// The highest epoch of keys.
    epoch: u32,
    /// Epoch and sequence of the configuration that ranked highest.
    config: (u32, u64),
    writers: BTreeMap<String, Head>,
}

impl Seen {
    fn encode(&self) -> Vec<u8> {
        let mut map = MapWriter::new();
        cbor::put_uint(map.key(1), u64::from(self.epoch));
        cbor::put_uint(map.key(2), u64::from(self.config.0));
        cbor::put_uint(map.key(3), self.config.1);
        let writers = map.key(4);
        cbor::put_array(writers, self.writers.len());
        for (writer, head) in &self.writers {
            cbor::put_array(writers, 4);
            cbor::put_text(writers, writer);
            cbor::put_uint(writers, head.sequence);
            cbor::put_bytes(writers, &head.id.0);
            cbor::put_uint(writers, u64::from(head.epoch));
        }
        map.finish()
    }

    fn decode(bytes: &[u8]) -> std::result::Result<Self, FormatError> {
        let mut d = Decoder::new(bytes);
        let mut map = d.map(1, "what was seen")?;
        let mut seen = Self::default();
        while let Some(key) = map.key(&mut d)? {
            match key {
                1 => seen.epoch = d.uint32("epoch")?,
                2 => seen.config.0 = d.uint32("epoch")?,
                3 => seen.config.1 = d.uint("sequence")?,
                4 => {
                    for _ in 0..d.array("writers")? {
                        d.array_exact(4, "writer")?;
                        let writer = d.text("writer")?.to_owned();
                        let head = Head { sequence: d.uint("sequence")?, id: ObjectId(d.bytes_exact("snapshot")?), epoch: d.uint32("epoch")? };
                        seen.writers.insert(writer, head);
                    }
                }
                _ => drop(map.unknown(key, &mut d)?),
            }
        }
        d.finish()?;
        Ok(seen)
    }

    /// Takes over what is newer in `other`, apart from writers whose last record is `gone`: they stay as they are until a person settled it.
    fn merge(&mut self, other: &Self, gone: &HashSet<ObjectId>) {
        self.epoch = self.epoch.max(other.epoch);
        self.config = self.config.max(other.config);
        for (writer, head) in &other.writers {
            match self.writers.get_mut(writer) {
                None => drop(self.writers.insert(writer.clone(), *head)),
                Some(known) if gone.contains(&known.id) => {}
                Some(known) if head.sequence > known.sequence => *known = *head,
                Some(_) => {}
            }
        }
    }
}

/// The records that a listing shows; begun with [`LastSeen::begin_listing`].
#[derive(Debug, Default)]
pub struct Shown {
    /// What was seen before the listing was made.
    before: BTreeMap<String, Head>,
    /// Writers and their snapshots that can be read.
    pub snapshots: Vec<(String, Head)>,
    /// All names of snapshots that are listed, those that cannot be read among them.
    pub listed: HashSet<ObjectId>,
    /// Writers and snapshots that forget records name, with the records' epochs.
    pub forgotten: Vec<(String, Head)>,
}

/// What was seen before, of one repository at one place.
pub struct LastSeen {
    file: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Seen,
    /// What the last listing lacked.
    gone: HashSet<ObjectId>,
}

fn seal_label(location: &str) -> Vec<u8> {
    [b"last seen ", location.as_bytes()].concat()
}

impl LastSeen {
    /// Reads what was seen at `location`; `folder` is the cache's of this repository. What cannot be read was not seen.
    pub fn load(folder: Option<&Path>, keys: &KeyRing, location: &str) -> Self {
        // Another place may hold a copy that lags behind, and rightly so.
        let name = || format!("last-seen-{}", &blake3::hash(location.as_bytes()).to_hex()[..16]);
        let file = folder.map(|folder| folder.join(name()));
        let seen = file.as_ref().and_then(|file| read(file, keys, location)).unwrap_or_default();
        Self { file, state: Mutex::new(State { seen, gone: HashSet::new() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called before anything is listed: what other threads and runs see meanwhile is not missed.
    pub fn begin_listing(&self) -> Shown {
        Shown { before: self.state().seen.writers.clone(), ..Shown::default() }
    }

    /// The file it is kept in.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Compares the epoch of the keys that a slot gave, and the rank of the configuration, with what was seen.
    pub fn check_opening(&self, keys: &KeyRing, location: &str, config: (u32, u64)) -> Option<Older> {
        let seen = self.state().seen.clone();
        if seen.epoch > keys.epoch() {
            return Some(Older::Keys { seen: seen.epoch, shown: keys.epoch() });
        }
        if seen.config > config {
            return Some(Older::Config { seen: seen.config, shown: config });
        }
        self.remember(keys, location, &Seen { epoch: keys.epoch(), config, writers: BTreeMap::new() });
        None
    }

    /// Remembers a snapshot that this program put.
    pub fn put(&self, keys: &KeyRing, location: &str, writer: &str, head: Head) {
        self.remember(keys, location, &Seen { writers: [(writer.to_owned(), head)].into(), ..Seen::default() });
    }

    /// Compares a listing with what was seen before it; remembers what is new. `is_there` is asked about a snapshot that
    /// should be listed and is not: where listings are late it may be there all the same.
    pub fn check_listing(&self, keys: &KeyRing, location: &str, shown: &Shown, is_there: &dyn Fn(ObjectId) -> Result<bool>) -> Result<Vec<Older>> {
        let mut older = Vec::new();
        let mut gone = HashSet::new();
        for (writer, head) in &shown.before {
            let is_forgotten = || shown.forgotten.iter().any(|(_, forgotten)| forgotten.id == head.id && forgotten.epoch >= head.epoch);
            if !shown.listed.contains(&head.id) && !is_forgotten() && !is_there(head.id)? {
                gone.insert(head.id);
                older.push(Older::Snapshot { writer: writer.clone(), sequence: head.sequence, id: head.id });
            }
        }
        let mut new = Seen::default();
        for (writer, head) in shown.snapshots.iter().chain(&shown.forgotten) {
            let newest = new.writers.entry(writer.clone()).or_insert(*head);
            *newest = (*newest).max(*head);
        }
        self.state().gone = gone;
        self.remember(keys, location, &new);
        Ok(older)
    }

    fn remember(&self, keys: &KeyRing, location: &str, new: &Seen) {
        let mut state = self.state();
        let mut merged = state.seen.clone();
        merged.merge(new, &state.gone);
        if merged == state.seen {
            return;
        }
        state.seen = merged.clone();
        let Some(file) = &self.file else { return };
        // Another run may have written meanwhile. What two runs write at the same moment may lose one's news, which the next listing brings again.
        if let Some(other) = read(file, keys, location) {
            merged.merge(&other, &state.gone);
        }
        let random = keys.cache_mac(b"last seen", &merged.encode());
        let boxed = keys.local().seal(keys.repository, Sealed::Local, Cipher::XChaCha20Poly1305, &seal_label(location), &random, &merged.encode());
        let temporary = file.with_extension(format!("{}", std::process::id()));
        let _ = fs::write(&temporary, boxed).and_then(|()| fs::rename(&temporary, file));
    }
}

impl Repository {
    /// What of `shown` and of the forget records (with their epochs) is older than what this machine saw before; it remembers what is newer.
    pub(crate) fn check_last_seen(&self, shown: Shown, forgotten: &[(Forget, u32)]) -> Result<Vec<Older>> {
        let head = |(forget, epoch): &(Forget, u32)| (forget.writer.clone(), Head { sequence: forget.sequence, id: forget.snapshot, epoch: *epoch });
        let shown = Shown { forgotten: forgotten.iter().map(head).collect(), ..shown };
        let is_late = self.store.listings_are_late();
        let is_there = |id| -> Result<bool> { Ok(is_late && self.store.stat(&ObjectName::new(ObjectKind::Snapshot, id))?.is_some()) };
        self.last_seen.check_listing(&self.keys, &self.store.location(), &shown, &is_there)
    }

    /// What a listing that begins now is compared with.
    pub(crate) fn begin_listing(&self) -> Shown {
        self.last_seen.begin_listing()
    }

    /// The file in which this machine keeps what it saw of the repository; `None` without a cache.
    pub fn last_seen_file(&self) -> Option<&Path> {
        self.last_seen.file()
    }
}

fn read(file: &Path, keys: &KeyRing, location: &str) -> Option<Seen> {
    let boxed = fs::read(file).ok()?;
    let plain = keys.local().open(keys.repository, Sealed::Local, Cipher::XChaCha20Poly1305, &seal_label(location), &boxed).ok()?;
    Seen::decode(&plain).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::format::id::RepositoryId;
    use crate::format::keys::Key;

    fn head(sequence: u64) -> Head {
        Head { sequence, id: ObjectId([sequence as u8; 32]), epoch: 1 }
    }

    fn shown(listed: &[u64], forgotten: &[(u64, u32)]) -> Shown {
        Shown {
            snapshots: listed.iter().map(|n| ("w".to_owned(), head(*n))).collect(),
            listed: listed.iter().map(|n| head(*n).id).collect(),
            forgotten: forgotten.iter().map(|(n, epoch)| ("w".to_owned(), Head { epoch: *epoch, ..head(*n) })).collect(),
            ..Shown::default()
        }
    }

    /// What is told about a listing after another one, by a program that was started anew.
    fn after(first: &Shown, second: &Shown, is_there: bool) -> usize {
        let room = tempfile::tempdir().unwrap();
        let keys = KeyRing::new(RepositoryId([1; 16]), vec![Key([2; 32]); 2]);
        let load = || LastSeen::load(Some(room.path()), &keys, "here");
        let check = |seen: LastSeen, shown: &Shown, is_there: &dyn Fn(ObjectId) -> Result<bool>| {
            let Shown { snapshots, listed, forgotten, .. } = shown;
            let shown = Shown { snapshots: snapshots.clone(), listed: listed.clone(), forgotten: forgotten.clone(), ..seen.begin_listing() };
            let told = seen.check_listing(&keys, "here", &shown, is_there);
            if told.as_ref().is_ok_and(|told| !told.is_empty()) {
                // What this program puts itself does not silence it.
                seen.put(&keys, "here", "w", head(8));
            }
            told
        };
        assert!(check(load(), first, &|_| Ok(false)).unwrap().is_empty());
        let told = check(load(), second, &|_| Ok(is_there)).unwrap();
        // It is told again and again, whatever was written meanwhile.
        let more = Shown { snapshots: vec![("w".to_owned(), head(9))], ..shown(&[9], &[]) };
        let again = check(load(), &more, &|_| Ok(is_there)).unwrap();
        assert!(told.is_empty() || again == told);
        // At another place, and with the file gone, nothing was seen.
        assert!(LastSeen::load(Some(room.path()), &keys, "there").state().seen.writers.is_empty());
        told.len()
    }

    #[test]
    fn an_older_listing_is_told_and_a_forgotten_snapshot_is_not() {
        assert_eq!(after(&shown(&[1, 2], &[]), &shown(&[1], &[]), false), 1);
        assert_eq!(after(&shown(&[1, 2], &[]), &shown(&[], &[]), false), 1);
        assert_eq!(after(&shown(&[1, 2], &[]), &shown(&[1, 2], &[]), false), 0);
        assert_eq!(after(&shown(&[1, 2], &[]), &shown(&[1, 2, 3], &[]), false), 0);
        assert_eq!(after(&shown(&[1, 2], &[]), &shown(&[1], &[(2, 1)]), false), 0, "forgotten");
        assert_eq!(after(&shown(&[1, 2], &[]), &shown(&[1], &[(2, 0)]), false), 1, "by somebody with old keys");
        assert_eq!(after(&shown(&[1, 2], &[]), &shown(&[1], &[]), true), 0, "the listing was late");
        assert_eq!(after(&shown(&[1], &[(2, 1)]), &shown(&[1], &[]), false), 1, "a forget record is hidden");
    }

    #[test]
    fn keys_and_configurations_that_are_older_are_told() {
        let room = tempfile::tempdir().unwrap();
        let keys = |epochs| KeyRing::new(RepositoryId([1; 16]), vec![Key([2; 32]); epochs]);
        let check = |epochs, config| LastSeen::load(Some(room.path()), &keys(epochs), "here").check_opening(&keys(epochs), "here", config);
        assert_eq!(check(2, (1, 5)), None);
        assert_eq!(check(2, (1, 6)), None);
        assert_eq!(check(2, (1, 5)), Some(Older::Config { seen: (1, 6), shown: (1, 5) }));
        assert_eq!(check(1, (1, 6)), Some(Older::Keys { seen: 1, shown: 0 }));
        assert_eq!(check(3, (2, 1)), None);
    }

    #[test]
    fn a_damaged_memory_is_none() {
        let room = tempfile::tempdir().unwrap();
        let keys = KeyRing::new(RepositoryId([1; 16]), vec![Key([2; 32])]);
        let load = || LastSeen::load(Some(room.path()), &keys, "here");
        load().check_listing(&keys, "here", &shown(&[1], &[]), &|_| Ok(false)).unwrap();
        let seen = || load().state().seen.clone();
        let (file, whole) = (load().file().unwrap().to_owned(), seen());
        assert_eq!(whole.writers.len(), 1);
        let bytes = fs::read(&file).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&file, changed).unwrap();
            assert_eq!(seen(), Seen::default(), "byte {at}");
        }
        fs::write(&file, bytes).unwrap();
        assert_eq!(seen(), whole);
    }
}
