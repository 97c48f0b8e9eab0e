//! Sealing and opening: two ciphers, a nonce that a dead random source cannot repeat, and what is bound in (SPEC chapter 6).

use super::error::{FormatError, Result};
use super::id::RepositoryId;
use aes_gcm::Aes256Gcm;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length of a nonce in bytes, at the front of a box.
pub const NONCE_LENGTH: usize = 24;
/// Length of a tag in bytes, at the end of a box.
pub const TAG_LENGTH: usize = 16;
/// What sealing adds to a message.
pub const OVERHEAD: usize = NONCE_LENGTH + TAG_LENGTH;

/// An authenticated cipher of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Cipher {
    /// XChaCha20-Poly1305.
    #[default]
    XChaCha20Poly1305 = 1,
    /// AES-256-GCM with a key of its own for each box.
    Aes256Gcm = 2,
}

impl Cipher {
    /// The cipher behind a number of the format.
    pub fn from_code(code: u8) -> Result<Self> {
        match code {
            1 => Ok(Self::XChaCha20Poly1305),
            2 => Ok(Self::Aes256Gcm),
            _ => Err(FormatError::Unsupported { what: "cipher", number: u64::from(code) }),
        }
    }
}

/// What is sealed: bound into the seal so that nothing can pass for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sealed {
    /// A block of data chunks.
    DataBlock = 1,
    /// A block of tree chunks.
    TreeBlock = 2,
    /// A pack's table.
    PackTable = 3,
    /// A key slot's bundle.
    SlotBundle = 4,
    /// A key slot's label.
    SlotLabel = 5,
    /// A session key.
    WrappedKey = 6,
    /// A configuration.
    Config = 16,
    /// A snapshot.
    Snapshot = 17,
    /// A forget record.
    Forget = 18,
    /// An index segment.
    Index = 19,
    /// A sweep record: packs are condemned.
    Condemn = 20,
    /// A sweep record: packs are deleted.
    Sweep = 21,
    /// A sweep record: the packs are gone.
    SweepDone = 22,
    /// What a program keeps on its own machine; no part of the format, and never in a store.
    Local = 255,
}

fn associated_data(repository: RepositoryId, sealed: Sealed, cipher: Cipher, extra: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(24 + extra.len());
    data.extend_from_slice(b"vault1");
    data.extend_from_slice(&repository.0);
    data.extend_from_slice(&[sealed as u8, cipher as u8]);
    data.extend_from_slice(extra);
    data
}

/// A key that boxes are sealed under; holds a separate key for each cipher and for nonces. Wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SealKey {
    nonce: [u8; 32],
    xchacha: [u8; 32],
    aes: [u8; 32],
}

impl SealKey {
    /// Derives the parts from one key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            nonce: blake3::derive_key("vault v1 nonce", key),
            xchacha: blake3::derive_key("vault v1 cipher 1", key),
            aes: blake3::derive_key("vault v1 cipher 2", key),
        }
    }

    fn nonce_for(&self, random: &[u8; 32], data: &[u8], message: &[u8]) -> [u8; NONCE_LENGTH] {
        let mut hasher = blake3::Hasher::new_keyed(&self.nonce);
        hasher.update(random);
        hasher.update(&(data.len() as u64).to_le_bytes());
        hasher.update(data);
        hasher.update(&(message.len() as u64).to_le_bytes());
        hasher.update(message);
        let mut nonce = [0; NONCE_LENGTH];
        hasher.finalize_xof().fill(&mut nonce);
        nonce
    }

    fn aes_cipher(&self, nonce: &[u8; NONCE_LENGTH]) -> Aes256Gcm {
        Aes256Gcm::new(blake3::keyed_hash(&self.aes, nonce).as_bytes().into())
    }

    /// Makes a box of `buffer[NONCE_LENGTH..]` in place: fills in the nonce before it, appends the tag.
    /// `random` are fresh random bytes.
    pub fn seal_in_place(&self, repository: RepositoryId, sealed: Sealed, cipher: Cipher, extra: &[u8], random: &[u8; 32], buffer: &mut Vec<u8>) {
        let data = associated_data(repository, sealed, cipher, extra);
        let (room, message) = buffer.split_at_mut(NONCE_LENGTH);
        let nonce = self.nonce_for(random, &data, message);
        room.copy_from_slice(&nonce);
        let tag: Tag = match cipher {
            Cipher::XChaCha20Poly1305 => XChaCha20Poly1305::new((&self.xchacha).into()).encrypt_inout_detached((&nonce).into(), &data, message.into()),
            Cipher::Aes256Gcm => self.aes_cipher(&nonce).encrypt_inout_detached((&[0; 12]).into(), &data, message.into()),
        }
        .expect("messages are far below the ciphers' limits");
        buffer.extend_from_slice(&tag);
    }

    /// A box of `message`.
    pub fn seal(&self, repository: RepositoryId, sealed: Sealed, cipher: Cipher, extra: &[u8], random: &[u8; 32], message: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::with_capacity(message.len() + OVERHEAD);
        buffer.resize(NONCE_LENGTH, 0);
        buffer.extend_from_slice(message);
        self.seal_in_place(repository, sealed, cipher, extra, random, &mut buffer);
        buffer
    }

    /// Opens a box in place and returns its message. On failure the bytes are of no use.
    pub fn open_in_place<'a>(&self, repository: RepositoryId, sealed: Sealed, cipher: Cipher, extra: &[u8], boxed: &'a mut [u8]) -> Result<&'a mut [u8]> {
        if boxed.len() < OVERHEAD {
            return Err(FormatError::Truncated);
        }
        let data = associated_data(repository, sealed, cipher, extra);
        let (nonce, rest) = boxed.split_at_mut(NONCE_LENGTH);
        let nonce: &[u8; NONCE_LENGTH] = (&*nonce).try_into().expect("split at its length");
        let (message, tag) = rest.split_at_mut(rest.len() - TAG_LENGTH);
        let tag: &[u8; TAG_LENGTH] = (&*tag).try_into().expect("split at its length");
        match cipher {
            Cipher::XChaCha20Poly1305 => {
                XChaCha20Poly1305::new((&self.xchacha).into()).decrypt_inout_detached(nonce.into(), &data, (&mut *message).into(), tag.into())
            }
            Cipher::Aes256Gcm => self.aes_cipher(nonce).decrypt_inout_detached((&[0; 12]).into(), &data, (&mut *message).into(), tag.into()),
        }
        .map_err(|_| FormatError::NotAuthentic)?;
        Ok(message)
    }

    /// Opens a box.
    pub fn open(&self, repository: RepositoryId, sealed: Sealed, cipher: Cipher, extra: &[u8], boxed: &[u8]) -> Result<Vec<u8>> {
        let mut buffer = boxed.to_vec();
        self.open_in_place(repository, sealed, cipher, extra, &mut buffer)?;
        buffer.truncate(buffer.len() - TAG_LENGTH);
        buffer.drain(..NONCE_LENGTH);
        Ok(buffer)
    }
}

/// The padded length of `length` bytes: at most 12 % more, so that lengths tell little (Padmé; Nikitin et al., "Reducing metadata
/// leakage from encrypted files and communication with PURBs", 2019).
pub fn padded_length(length: u64) -> u64 {
    if length < 2 {
        return length;
    }
    let exponent = length.ilog2();
    let kept = exponent.max(1).ilog2() + 1;
    let mask = (1u64 << (exponent.saturating_sub(kept))) - 1;
    (length + mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOSITORY: RepositoryId = RepositoryId([3; 16]);

    #[test]
    fn boxes_open_only_for_what_they_were_sealed_as() {
        let key = SealKey::new(&[1; 32]);
        for cipher in [Cipher::XChaCha20Poly1305, Cipher::Aes256Gcm] {
            let boxed = key.seal(REPOSITORY, Sealed::Config, cipher, b"x", &[9; 32], b"message");
            assert_eq!(boxed.len(), 7 + OVERHEAD);
            assert_eq!(key.open(REPOSITORY, Sealed::Config, cipher, b"x", &boxed).unwrap(), b"message");
            assert!(key.open(RepositoryId([4; 16]), Sealed::Config, cipher, b"x", &boxed).is_err());
            assert!(key.open(REPOSITORY, Sealed::Forget, cipher, b"x", &boxed).is_err());
            assert!(key.open(REPOSITORY, Sealed::Config, cipher, b"y", &boxed).is_err());
            assert!(SealKey::new(&[2; 32]).open(REPOSITORY, Sealed::Config, cipher, b"x", &boxed).is_err());
            for at in 0..boxed.len() {
                let mut changed = boxed.clone();
                changed[at] ^= 1;
                assert!(key.open(REPOSITORY, Sealed::Config, cipher, b"x", &changed).is_err());
            }
            assert!(key.open(REPOSITORY, Sealed::Config, cipher, b"x", &boxed[..20]).is_err());
        }
    }

    #[test]
    fn a_dead_random_source_repeats_a_nonce_only_for_the_same_message() {
        let key = SealKey::new(&[1; 32]);
        let seal = |message: &[u8], extra: &[u8]| key.seal(REPOSITORY, Sealed::DataBlock, Cipher::default(), extra, &[0; 32], message);
        assert_eq!(seal(b"one", b""), seal(b"one", b""));
        assert_ne!(seal(b"one", b"")[..24], seal(b"two", b"")[..24]);
        assert_ne!(seal(b"one", b"")[..24], seal(b"one", b"e")[..24]);
    }

    #[test]
    fn padded_lengths() {
        for (length, padded) in [(0, 0), (1, 1), (2, 2), (9, 10), (100, 104), (1000, 1024), (1_000_000, 1_015_808), (33_554_433, 34_603_008)] {
            assert_eq!(padded_length(length), padded, "{length}");
        }
    }
}
