//! The tree of keys: root keys by epoch, what is derived from them, and session keys with their wrapping (SPEC chapter 5).

use super::error::{FormatError, Result};
use super::id::{ChunkId, ObjectId, RepositoryId, TreeId};
use super::seal::{Cipher, SealKey, Sealed};
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

struct Epoch {
    control: SealKey,
    confirm: Key,
    wrap_data: Key,
    wrap_tree: Key,
    hedge: Key,
}

/// All keys of a repository, derived from its root keys.
pub struct KeyRing {
    /// The repository the keys belong to.
    pub repository: RepositoryId,
    roots: Vec<Key>,
    epochs: Vec<Epoch>,
    data_name: Key,
    tree_name: Key,
    chunker: Key,
    split: Key,
    cache: Key,
    local: SealKey,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyRing({:?}, {} epochs)", self.repository, self.epochs.len())
    }
}

/// Length in bytes of a wrapped key of algorithm 0.
pub const WRAPPED_LENGTH: usize = 128;
const WRAPPED_HEAD: usize = 56;
/// Length in bytes of a confirmation.
pub const CONFIRMATION_LENGTH: usize = 124;

/// Checks the outside of a wrapped key of `class`; one of another algorithm is told as such, and nothing of it examined.
pub fn check_wrapped(class: KeyClass, wrapped: &[u8]) -> Result<()> {
    match wrapped.first() {
        Some(0) => {}
        Some(other) => return Err(FormatError::Unsupported { what: "key wrapping", number: u64::from(*other) }),
        None => return Err(FormatError::Truncated),
    }
    if wrapped.len() < WRAPPED_LENGTH {
        return Err(FormatError::Truncated);
    }
    if wrapped.len() > WRAPPED_LENGTH {
        return Err(FormatError::BadStructure("bytes after a wrapped key"));
    }
    if wrapped[1] != class as u8 {
        return Err(FormatError::BadStructure("a wrapped key of the wrong class"));
    }
    if wrapped[2..4] != [0, 0] {
        return Err(FormatError::BadStructure("a reserved field is not zero"));
    }
    Ok(())
}

/// A session key as it travels in packs and snapshots; any algorithm, not yet understood.
pub type WrappedKey = Vec<u8>;

/// A session's key of one class, with the form it travels in.
#[derive(Clone)]
pub struct SessionKey {
    /// Seals blocks and snapshots.
    pub seal: SealKey,
    /// What goes into packs and snapshots.
    pub wrapped: WrappedKey,
}

impl KeyRing {
    /// Derives everything from the root keys, oldest first; there must be at least one.
    pub fn new(repository: RepositoryId, roots: Vec<Key>) -> Self {
        let derive = |context: &str, root: &Key| Key(blake3::derive_key(context, &root.0));
        let first = roots.first().expect("a bundle holds at least one root key");
        let epochs = roots
            .iter()
            .map(|root| Epoch {
                control: SealKey::new(&derive("vault v1 control", root).0),
                confirm: derive("vault v1 confirm", root),
                wrap_data: derive("vault v1 wrap data", root),
                wrap_tree: derive("vault v1 wrap tree", root),
                hedge: derive("vault v1 hedge", root),
            })
            .collect();
        Self {
            repository,
            data_name: derive("vault v1 name of data chunks", first),
            tree_name: derive("vault v1 name of tree chunks", first),
            chunker: derive("vault v1 chunker", first),
            split: derive("vault v1 tree split", first),
            cache: derive("vault v1 cache", first),
            local: SealKey::new(&derive("vault v1 local", first).0),
            epochs,
            roots,
        }
    }

    /// The root keys, oldest first: what a key slot holds.
    pub fn roots(&self) -> &[Key] {
        &self.roots
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

    /// The name of a chunk of contents.
    pub fn name_data(&self, plain: &[u8]) -> ChunkId {
        ChunkId(*blake3::keyed_hash(&self.data_name.0, plain).as_bytes())
    }

    /// The name of a tree chunk.
    pub fn name_tree(&self, plain: &[u8]) -> TreeId {
        TreeId(*blake3::keyed_hash(&self.tree_name.0, plain).as_bytes())
    }

    /// The secret table that decides cut points.
    pub fn gear(&self) -> Box<[u64; 256]> {
        super::chunker::gear(&self.chunker.0)
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

    fn wrapping_key(&self, epoch: u32, class: KeyClass, session: &[u8]) -> Result<(Zeroizing<[u8; 32]>, [u8; 32])> {
        let at = self.at(epoch)?;
        let key = match class {
            KeyClass::Data => &at.wrap_data,
            KeyClass::Tree => &at.wrap_tree,
        };
        let mut hasher = blake3::Hasher::new_keyed(&key.0);
        hasher.update(&[class as u8]);
        hasher.update(session);
        Ok(key_and_commitment(&hasher))
    }

    /// Makes a session's key: `random` are 32 fresh random bytes for the key, `nonce_random` as many for its sealing.
    pub fn session_key(&self, class: KeyClass, session: &[u8; 16], host: &str, random: &[u8; 32], nonce_random: &[u8; 32]) -> SessionKey {
        let epoch = self.epoch();
        let at = &self.epochs[epoch as usize];
        let mut hasher = blake3::Hasher::new_keyed(&at.hedge.0);
        hasher.update(random);
        hasher.update(&(host.len() as u32).to_le_bytes());
        hasher.update(host.as_bytes());
        hasher.update(session);
        hasher.update(&[class as u8]);
        let key = Zeroizing::new(*hasher.finalize().as_bytes());

        let (wrapping, commitment) = self.wrapping_key(epoch, class, session).expect("the newest epoch is known");
        let mut wrapped = vec![0, class as u8, 0, 0];
        wrapped.extend_from_slice(&epoch.to_le_bytes());
        wrapped.extend_from_slice(session);
        wrapped.extend_from_slice(&commitment);
        let boxed = SealKey::new(&wrapping).seal(self.repository, Sealed::WrappedKey, Cipher::XChaCha20Poly1305, &wrapped, nonce_random, &key[..]);
        wrapped.extend_from_slice(&boxed);
        SessionKey { seal: SealKey::new(&key), wrapped }
    }

    /// Opens a wrapped key, which must be of `class`.
    pub fn unwrap(&self, class: KeyClass, wrapped: &[u8]) -> Result<SealKey> {
        check_wrapped(class, wrapped)?;
        let (head, boxed) = wrapped.split_at(WRAPPED_HEAD);
        let epoch = u32::from_le_bytes(head[4..8].try_into().expect("four bytes"));
        let (wrapping, commitment) = self.wrapping_key(epoch, class, &head[8..24])?;
        if !equal_in_constant_time(&commitment, &head[24..56]) {
            return Err(FormatError::WrongKey);
        }
        let key = Zeroizing::new(SealKey::new(&wrapping).open(self.repository, Sealed::WrappedKey, Cipher::XChaCha20Poly1305, head, boxed)?);
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(key[..].try_into().map_err(|_| FormatError::BadStructure("a session key that is not 32 bytes"))?);
        Ok(SealKey::new(&key))
    }
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
mod tests {
    use super::*;

    fn ring(roots: u8) -> KeyRing {
        KeyRing::new(RepositoryId([5; 16]), (0..roots).map(|n| Key([n; 32])).collect())
    }

    #[test]
    fn a_session_key_unwraps_only_whole_and_of_its_class() {
        let ring = ring(2);
        let key = ring.session_key(KeyClass::Data, &[7; 16], "host", &[8; 32], &[9; 32]);
        let boxed = key.seal.seal(ring.repository, Sealed::DataBlock, Cipher::default(), b"", &[0; 32], b"hello");
        let opened = ring.unwrap(KeyClass::Data, &key.wrapped).unwrap();
        assert_eq!(opened.open(ring.repository, Sealed::DataBlock, Cipher::default(), b"", &boxed).unwrap(), b"hello");
        assert!(ring.unwrap(KeyClass::Tree, &key.wrapped).is_err());
        for at in 0..key.wrapped.len() {
            let mut changed = key.wrapped.clone();
            changed[at] ^= 1;
            assert!(ring.unwrap(KeyClass::Data, &changed).is_err(), "byte {at}");
        }
    }

    #[test]
    fn keys_are_not_printed() {
        let secret = crate::format::slot::Secret::Password(Zeroizing::new(b"hunter2".to_vec()));
        let key = Key([0x5a; 32]);
        let shown =
            format!("{key:?} {:?} {secret:?} {:?}", KeyRing::new(RepositoryId([5; 16]), vec![key.clone()]), crate::format::slot::Secret::KeyFile(key.clone()));
        for told in ["90", "5a", "hunter", "104"] {
            assert!(!shown.contains(told), "{shown}");
        }
    }

    #[test]
    fn keys_from_before_a_rotation_do_not_open_what_came_after() {
        let (old, new) = (ring(1), ring(2));
        let key = new.session_key(KeyClass::Tree, &[7; 16], "host", &[8; 32], &[9; 32]);
        assert!(matches!(old.unwrap(KeyClass::Tree, &key.wrapped), Err(FormatError::UnknownEpoch(1))));
        let before = old.session_key(KeyClass::Tree, &[7; 16], "host", &[8; 32], &[9; 32]);
        assert!(new.unwrap(KeyClass::Tree, &before.wrapped).is_ok());
        assert_eq!(old.name_data(b"x"), new.name_data(b"x"));
    }
}
