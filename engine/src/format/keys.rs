//! The tree of keys: root keys by epoch, what is derived from them, and session keys with their wrapping (SPEC chapter 5).

mod bundle;
mod recipient;
mod wrapped;

pub use bundle::{Bundle, EPOCHS_MAX, ROOTS_MAX, RoleKeys};
pub use recipient::PublicKey;
pub use wrapped::{SessionKey, SessionRandom, WrapPlace, WrappedKey, check_wrapped};

use super::error::{FormatError, Result};
use super::id::{ChunkId, ObjectId, RepositoryId, TreeId};
use super::seal::SealKey;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// 32 secret bytes, wiped on drop, never shown.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key(pub [u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What a session key seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KeyClass {
    /// File contents.
    Data = 1,
    /// Trees and snapshots.
    Tree = 2,
}

/// What the holder of a key slot can do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Role {
    /// Everything.
    #[default]
    Owner = 0,
    /// Finds and stores every chunk, puts snapshots; reads neither trees nor contents.
    Backup = 1,
    /// Reads snapshots and trees, forgets and sweeps; reads no contents.
    Prune = 2,
}

impl Role {
    /// The role that a bundle or label names.
    pub fn from_number(number: u64) -> Result<Self> {
        match number {
            0 => Ok(Self::Owner),
            1 => Ok(Self::Backup),
            2 => Ok(Self::Prune),
            number => Err(FormatError::Unsupported { what: "role", number }),
        }
    }

    /// Whether it opens chunks of contents.
    pub fn reads_contents(self) -> bool {
        self == Self::Owner
    }

    /// Whether it opens snapshots and trees.
    pub fn reads_trees(self) -> bool {
        self != Self::Backup
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner",
            Self::Backup => "backup",
            Self::Prune => "prune",
        })
    }
}

struct Epoch {
    control: SealKey,
    confirm: Key,
}

/// Names and cuts contents.
pub struct DataNames {
    name: Key,
    chunker: Key,
}

impl DataNames {
    /// The name of a chunk of contents.
    pub fn name(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.name.0, plain).as_bytes())
    }

    /// The secret table that decides cut points.
    pub fn gear(&self) -> Box<[u64; 256]> {
        super::chunker::gear(&self.chunker.0)
    }
}

/// What a role can do with session keys of one class.
enum Wrapping {
    /// Wrap and unwrap, by epoch.
    Both(Vec<Key>),
    /// Wrap to the public key of the last epoch.
    Wrap(Box<PublicKey>),
    Neither,
}

/// All keys of a repository that a slot's holder has.
pub struct KeyRing {
    /// The repository the keys belong to.
    pub repository: RepositoryId,
    bundle: Bundle,
    epochs: Vec<Epoch>,
    hedge: Key,
    data_names: Option<DataNames>,
    data: Wrapping,
    tree: Wrapping,
    tree_name: Key,
    split: Key,
    cache: Key,
    local: SealKey,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({:?}, {} epochs)", self.repository, self.epochs.len())
    }
}

/// Length in bytes of a confirmation.
pub const CONFIRMATION_LENGTH: usize = 124;

impl KeyRing {
    /// An owner's keys, from the root keys, oldest first; there must be at least one.
    pub fn new(repository: RepositoryId, roots: Vec<Key>) -> Self {
        Self::of(repository, Bundle::Owner(roots))
    }

    /// The keys that follow from what a slot holds.
    pub fn of(repository: RepositoryId, bundle: Bundle) -> Self {
        let (held, data, tree, own) = match &bundle {
            Bundle::Owner(roots) => {
                let first = roots.first().expect("a bundle holds at least one root key");
                let all = |context| Wrapping::Both(roots.iter().map(|root| derive(context, root)).collect());
                let own = [derive("vault v1 cache", first), derive("vault v1 local", first)];
                (RoleKeys::of_owner(roots, Key([0; 32])), all(WRAP_DATA), all(WRAP_TREE), own)
            }
            Bundle::Backup { held, data, tree } => (held.clone(), Wrapping::Wrap(data.clone()), Wrapping::Wrap(tree.clone()), own_keys(held)),
            Bundle::Prune { held, wrap_tree } => (held.clone(), Wrapping::Neither, Wrapping::Both(wrap_tree.clone()), own_keys(held)),
        };
        let [cache, local] = own;
        let RoleKeys { control, confirm, hedge, tree_name, split, data_names, .. } = held;
        let epochs = control.iter().zip(confirm).map(|(control, confirm)| Epoch { control: SealKey::new(&control.0), confirm }).collect();
        let data_names = data_names.map(|[name, chunker]| DataNames { name, chunker });
        Self { repository, bundle, epochs, hedge, data_names, data, tree, tree_name, split, cache, local: SealKey::new(&local.0) }
    }

    /// What a slot of the same rights holds.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// What the holder can do.
    pub fn role(&self) -> Role {
        self.bundle.role()
    }

    /// The root keys, oldest first.
    ///
    /// # Errors
    /// [`FormatError::NotAllowed`] for all but owners.
    pub fn roots(&self) -> Result<&[Key]> {
        match &self.bundle {
            Bundle::Owner(roots) => Ok(roots),
            _ => Err(self.not_allowed("have the root keys")),
        }
    }

    fn not_allowed(&self, what: &'static str) -> FormatError {
        FormatError::NotAllowed { role: self.role(), what }
    }

    /// The epoch that new objects are written in.
    pub fn epoch(&self) -> u32 {
        self.epochs.len() as u32 - 1
    }

    fn at(&self, epoch: u32) -> Result<&Epoch> {
        self.epochs.get(epoch as usize).ok_or(FormatError::UnknownEpoch(epoch))
    }

    /// The key of control objects and pack tables.
    pub fn control(&self, epoch: u32) -> Result<&SealKey> {
        Ok(&self.at(epoch)?.control)
    }

    /// What names and cuts contents.
    ///
    /// # Errors
    /// [`FormatError::NotAllowed`] for a role that has nothing to do with contents.
    pub fn data_names(&self) -> Result<&DataNames> {
        self.data_names.as_ref().ok_or_else(|| self.not_allowed("read or store contents"))
    }

    /// The name of a tree chunk.
    pub fn name_tree(&self, plain: &[u8]) -> TreeId {
        TreeId(*blake3::keyed_hash(&self.tree_name.0, plain).as_bytes())
    }

    /// The number that decides where a large directory is split.
    pub fn split_number(&self, name: &[u8]) -> u32 {
        let hash = blake3::keyed_hash(&self.split.0, name);
        u32::from_le_bytes(hash.as_bytes()[..4].try_into().expect("four bytes"))
    }

    /// Authenticates an entry of a local cache; no part of the format.
    pub fn cache_mac(&self, what: &[u8], value: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.cache.0);
        hasher.update(&(what.len() as u64).to_le_bytes());
        hasher.update(what);
        hasher.update(value);
        *hasher.finalize().as_bytes()
    }

    /// Seals what a program keeps on its own machine; no part of the format.
    pub fn local(&self) -> &SealKey {
        &self.local
    }

    /// The confirmation of a snapshot, as written in `epoch` (SPEC chapter 13).
    pub fn confirmation(&self, epoch: u32, snapshot: ObjectId) -> Result<Vec<u8>> {
        let key = &self.at(epoch)?.confirm.0;
        let first = blake3::keyed_hash(key, &[&self.repository.0[..], &snapshot.0].concat());
        let second = blake3::keyed_hash(key, &[&b"again"[..], &snapshot.0].concat());
        let epoch = epoch.to_le_bytes();
        Ok([&b"VAULTCF1"[..], &epoch, &self.repository.0, &snapshot.0, first.as_bytes(), second.as_bytes()].concat())
    }

    /// Checks a confirmation's bytes; returns the snapshot it confirms, and its epoch.
    pub fn read_confirmation(&self, bytes: &[u8]) -> Result<(ObjectId, u32)> {
        let bytes: &[u8; CONFIRMATION_LENGTH] = match bytes.len() {
            CONFIRMATION_LENGTH => bytes.try_into().map_err(|_| FormatError::Truncated)?,
            0..CONFIRMATION_LENGTH => return Err(FormatError::Truncated),
            _ => return Err(FormatError::BadStructure("bytes after a confirmation")),
        };
        if &bytes[..8] != b"VAULTCF1" {
            return Err(FormatError::BadStructure("not a confirmation"));
        }
        if bytes[12..28] != self.repository.0 {
            return Err(FormatError::WrongRepository);
        }
        let epoch = u32::from_le_bytes(bytes[8..12].try_into().expect("four bytes"));
        let snapshot = ObjectId(bytes[28..60].try_into().expect("32 bytes"));
        let right = self.confirmation(epoch, snapshot)?;
        let same = |at: usize| right[at..at + 32].try_into().is_ok_and(|right| equal_in_constant_time(right, &bytes[at..at + 32]));
        if same(60) && same(92) { Ok((snapshot, epoch)) } else { Err(FormatError::NotAuthentic) }
    }

    /// The names under which a confirmation of `snapshot` may lie that counts: of its own epoch or a later one, the newest first.
    pub fn confirmation_names(&self, snapshot: ObjectId, epoch: u32) -> impl Iterator<Item = ObjectId> + '_ {
        (epoch..=self.epoch()).rev().filter_map(move |epoch| Some(ObjectId(*blake3::hash(&self.confirmation(epoch, snapshot).ok()?).as_bytes())))
    }
}

const WRAP_DATA: &str = "vault v1 wrap data";
const WRAP_TREE: &str = "vault v1 wrap tree";

fn derive(context: &str, from: &Key) -> Key {
    Key(blake3::derive_key(context, &from.0))
}

/// For the caches of a role's holder: nobody else has them.
fn own_keys(held: &RoleKeys) -> [Key; 2] {
    [derive("vault v1 cache", &held.own), derive("vault v1 local", &held.own)]
}

/// 64 bytes of extended output, as a key and the commitment to it.
pub(super) fn key_and_commitment(hasher: &blake3::Hasher) -> (Zeroizing<[u8; 32]>, [u8; 32]) {
    let mut reader = hasher.finalize_xof();
    let mut key = Zeroizing::new([0; 32]);
    let mut commitment = [0; 32];
    reader.fill(&mut key[..]);
    reader.fill(&mut commitment);
    (key, commitment)
}

/// Compares without telling by its time where the first difference is.
pub(super) fn equal_in_constant_time(a: &[u8; 32], b: &[u8]) -> bool {
    <[u8; 32]>::try_from(b).is_ok_and(|b| blake3::Hash::from_bytes(*a) == blake3::Hash::from_bytes(b))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
