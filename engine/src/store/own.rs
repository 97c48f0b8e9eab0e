//! What a client that reads nothing back keeps of its own: the snapshots it made and their trees, so that the next backup finds what is unchanged.
//!
//! It lies in the cache, sealed under a key that only this client's slot has, and is as disposable as the rest of it: without it everything is read
//! again, found by its name, and not stored a second time. A tree that is kept here is believed only if it has the name it is asked for by.

use super::cache::OwnKind;
use super::error::{RepositoryError, Result};
use super::repository::{Repository, SnapshotList, StoredSnapshot};
use crate::format::compress::{self, Compression, Method};
use crate::format::id::{ObjectId, TreeId, hex};
use crate::format::keys::KeyRing;
use crate::format::node::Content;
use crate::format::seal::{Cipher, Sealed};
use crate::format::snapshot::Snapshot;
use crate::format::tree::TreeNode;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Trees that wait to be written, in bytes.
const WAITING_BYTES: usize = 2 << 20;
/// Trees of no use are looked for when there are twice as many as were of use the last time, and so many more.
const SLACK: u64 = 256;

/// Trees on their way into the cache.
#[derive(Default)]
pub(super) struct Own {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    boxes: HashMap<[u8; 32], Vec<u8>>,
    bytes: usize,
}

fn label(kind: OwnKind, name: &[u8]) -> Vec<u8> {
    [&b"own "[..], &[kind as u8], name].concat()
}

/// Half of it is random, the other half says so to this client alone: it knows its snapshots again that it has forgotten.
pub(super) fn session_id(keys: &KeyRing, mut random: [u8; 16]) -> [u8; 16] {
    if !keys.role().reads_trees() {
        let (first, second) = random.split_at_mut(8);
        second.copy_from_slice(&keys.cache_mac(b"own session", first)[..8]);
    }
    random
}

/// Whether a session was this client's.
pub(super) fn is_own_session(keys: &KeyRing, session: &[u8; 16]) -> bool {
    keys.cache_mac(b"own session", &session[..8])[..8] == session[8..]
}

impl Own {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Repository {
    /// Whether this client reads nothing back and remembers instead.
    fn remembers(&self) -> bool {
        !self.keys.role().reads_trees()
    }

    /// Refuses what needs snapshots and trees to be read.
    ///
    /// # Errors
    /// [`RepositoryError::NotAllowed`].
    pub fn require_trees(&self) -> Result<()> {
        if self.keys.role().reads_trees() { Ok(()) } else { Err(self.no_trees()) }
    }

    /// Refuses what needs contents to be read.
    ///
    /// # Errors
    /// [`RepositoryError::NotAllowed`].
    pub fn require_contents(&self) -> Result<()> {
        let role = self.keys.role();
        if role.reads_contents() { Ok(()) } else { Err(RepositoryError::NotAllowed { role, what: "read contents" }) }
    }

    fn no_trees(&self) -> RepositoryError {
        RepositoryError::NotAllowed { role: self.keys.role(), what: "read snapshots and trees" }
    }

    fn put_own(&self, kind: OwnKind, name: &[u8], plain: &[u8]) {
        self.cache.put_own(kind, &[(name, &self.seal_own(kind, name, plain)[..])]);
    }

    fn seal_own(&self, kind: OwnKind, name: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut stored = Vec::new();
        let method = compress::compress(plain, Compression::default(), &mut stored);
        let message = [&[method as u8][..], &(plain.len() as u32).to_le_bytes(), &stored].concat();
        self.keys.local().seal(self.keys.repository, Sealed::Local, Cipher::XChaCha20Poly1305, &label(kind, name), &self.host.random(), &message)
    }

    fn open_own(&self, kind: OwnKind, name: &[u8], boxed: &[u8]) -> Option<Vec<u8>> {
        let message = self.keys.local().open(self.keys.repository, Sealed::Local, Cipher::XChaCha20Poly1305, &label(kind, name), boxed).ok()?;
        let (head, stored) = message.split_at_checked(5)?;
        let length = u32::from_le_bytes(head[1..].try_into().ok()?) as usize;
        let mut plain = Vec::new();
        compress::decompress(stored, Method::from_code(head[0]).ok()?, length, &mut plain).ok()?;
        Some(plain)
    }

    /// A tree that this client made.
    ///
    /// # Errors
    /// [`RepositoryError::NotAllowed`] if it is not remembered: what is in the store cannot be read.
    pub(super) fn own_tree(&self, id: TreeId) -> Result<TreeNode> {
        let waiting = self.own.waiting().boxes.get(&id.0).cloned();
        waiting
            .or_else(|| self.cache.get_own(OwnKind::Tree, &id.0))
            .and_then(|boxed| self.open_own(OwnKind::Tree, &id.0, &boxed))
            .filter(|plain| self.keys.name_tree(plain) == id)
            .and_then(|plain| TreeNode::decode(&plain).ok())
            .ok_or_else(|| self.no_trees())
    }

    /// Remembers a tree that is stored, or about to be.
    pub(super) fn keep_tree(&self, id: TreeId, plain: &[u8]) {
        if !self.remembers() {
            return;
        }
        let boxed = self.seal_own(OwnKind::Tree, &id.0, plain);
        let mut waiting = self.own.waiting();
        waiting.bytes += boxed.len();
        waiting.boxes.insert(id.0, boxed);
        if waiting.bytes >= WAITING_BYTES {
            self.write_trees(&mut waiting);
        }
    }

    fn write_trees(&self, waiting: &mut Waiting) {
        let rows: Vec<(&[u8], &[u8])> = waiting.boxes.iter().map(|(name, boxed)| (&name[..], &boxed[..])).collect();
        self.cache.put_own(OwnKind::Tree, &rows);
        *waiting = Waiting::default();
    }

    /// Remembers a snapshot, which is about to be put, and its trees.
    pub(super) fn keep_snapshot(&self, id: ObjectId, snapshot: &Snapshot) {
        if self.remembers() {
            self.write_trees(&mut self.own.waiting());
            self.put_own(OwnKind::Snapshot, &id.0, &snapshot.encode(None));
        }
    }

    /// A snapshot that this client made.
    pub(super) fn own_snapshot(&self, id: ObjectId) -> Option<Snapshot> {
        let boxed = self.cache.get_own(OwnKind::Snapshot, &id.0)?;
        Snapshot::decode(&self.open_own(OwnKind::Snapshot, &id.0, &boxed)?).ok()
    }

    /// Under which name this client writes, on `host`. One that cannot read the records of others has a name of its own, and so a sequence of its own; a new
    /// one if `list` shows records that it made and does not remember: their numbers are not known, and none must come twice.
    pub fn writer_name(&self, host: &str, list: &SnapshotList) -> String {
        if !self.remembers() {
            return host.to_owned();
        }
        let known = || String::from_utf8(self.open_own(OwnKind::Writer, host.as_bytes(), &self.cache.get_own(OwnKind::Writer, host.as_bytes())?)?).ok();
        if let Some(name) = known().filter(|_| !list.has_unknown_own) {
            return name;
        }
        let name = format!("{host}+{}", hex(&self.host.random::<4>()));
        self.put_own(OwnKind::Writer, host.as_bytes(), name.as_bytes());
        name
    }

    /// Lets go of what no coming backup looks at, now and then: of each source the newest of `snapshots` and what it needs stays.
    pub fn tidy_own(&self, snapshots: &[StoredSnapshot]) {
        if !self.remembers() {
            return;
        }
        let listed: HashSet<[u8; 32]> = snapshots.iter().map(|stored| stored.id.0).collect();
        self.cache.keep_own(OwnKind::Snapshot, &listed);
        let before = self.cache.get_own(OwnKind::Count, b"").and_then(|boxed| self.open_own(OwnKind::Count, b"", &boxed));
        let before = before.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))).unwrap_or_default();
        if self.cache.count_own(OwnKind::Tree) < 2 * before + SLACK {
            return;
        }
        let mut sources = HashSet::new();
        let newest = snapshots.iter().rev().filter(|stored| {
            let snapshot = &stored.snapshot;
            sources.insert((&snapshot.host, &snapshot.source, &snapshot.paths))
        });
        let mut stack: Vec<TreeId> = newest.map(|stored| stored.snapshot.root).collect();
        let mut used: HashSet<[u8; 32]> = HashSet::new();
        while let Some(id) = stack.pop() {
            if !used.insert(id.0) {
                continue;
            }
            match self.own_tree(id) {
                Ok(TreeNode::Directory(entries)) => stack.extend(entries.into_iter().filter_map(|entry| match entry.content {
                    Content::Directory(id) | Content::List(id) => Some(id),
                    Content::Extents(_) | Content::None => None,
                })),
                Ok(TreeNode::Split(parts)) => stack.extend(parts.iter().map(|part| part.id)),
                Ok(TreeNode::Lists(parts)) => stack.extend(parts.iter().map(|part| part.id)),
                Ok(TreeNode::List(_)) | Err(_) => {}
            }
        }
        self.cache.keep_own(OwnKind::Tree, &used);
        self.put_own(OwnKind::Count, b"", &(used.len() as u64).to_le_bytes());
    }
}
