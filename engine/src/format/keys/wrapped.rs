//! Session keys and the form they travel in: wrapped by who can unwrap them, or to a public key (SPEC chapter 5).

use super::recipient::{ENCAPSULATION_LENGTH, decapsulate};
use super::{KeyClass, KeyRing, PublicKey, Wrapping, derive, equal_in_constant_time, key_and_commitment};
use crate::format::error::{FormatError, Result};
use crate::format::id::RepositoryId;
use crate::format::seal::{Cipher, SealKey, Sealed};
use zeroize::Zeroizing;

const SYMMETRIC: u8 = 0;
const TO_PUBLIC: u8 = 1;
/// Algorithm, class, reserved, epoch, session.
const HEAD: usize = 24;
const COMMITMENT_END: usize = HEAD + 32;
const BOX_LENGTH: usize = 72;

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

/// Fresh random bytes that making a session's key needs.
#[derive(Clone, Copy)]
pub struct SessionRandom {
    /// For the key.
    pub key: [u8; 32],
    /// For the nonce of its box.
    pub nonce: [u8; 32],
    /// For its encapsulation, where it is wrapped to a public key.
    pub encapsulation: [u8; 32],
}

/// Checks the outside of a wrapped key of `class`; one of another algorithm is told as such, and nothing of it examined.
pub fn check_wrapped(class: KeyClass, wrapped: &[u8]) -> Result<()> {
    let length = COMMITMENT_END
        + BOX_LENGTH
        + match wrapped.first() {
            Some(&SYMMETRIC) => 0,
            Some(&TO_PUBLIC) => ENCAPSULATION_LENGTH,
            Some(other) => return Err(FormatError::Unsupported { what: "key wrapping", number: u64::from(*other) }),
            None => return Err(FormatError::Truncated),
        };
    if wrapped.len() < length {
        return Err(FormatError::Truncated);
    }
    if wrapped.len() > length {
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

type KeyAndCommitment = (Zeroizing<[u8; 32]>, [u8; 32]);

/// What wraps a session's key, from a wrap key and no encapsulation, or from what was encapsulated.
fn wrapping_key(key: &[u8; 32], class: KeyClass, session: &[u8], encapsulation: &[u8]) -> KeyAndCommitment {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(&[class as u8]);
    hasher.update(session);
    hasher.update(encapsulation);
    key_and_commitment(&hasher)
}

fn of_shared(shared: &[u8; 32]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(blake3::derive_key("vault v1 wrap to public", shared))
}

/// What a wrapped key is bound to.
#[derive(Clone, Copy, Debug)]
pub struct WrapPlace {
    /// The repository.
    pub repository: RepositoryId,
    /// What the key seals.
    pub class: KeyClass,
    /// The epoch of the key that unwraps it.
    pub epoch: u32,
    /// The session whose key it is.
    pub session: [u8; 16],
}

impl WrapPlace {
    fn wrap(&self, algorithm: u8, (wrapping, commitment): KeyAndCommitment, encapsulation: &[u8], key: &[u8; 32], nonce: &[u8; 32]) -> WrappedKey {
        let head = [algorithm, self.class as u8, 0, 0];
        let mut wrapped = [&head[..], &self.epoch.to_le_bytes(), &self.session, &commitment, encapsulation].concat();
        let boxed = SealKey::new(&wrapping).seal(self.repository, Sealed::WrappedKey, Cipher::XChaCha20Poly1305, &wrapped, nonce, key);
        wrapped.extend_from_slice(&boxed);
        wrapped
    }

    /// Wraps `key` to a public key. `random` are the 64 bytes of the encapsulation: whoever knows them has the key, and they must never come twice;
    /// [`KeyRing::session_key`] makes them as they should be.
    pub fn wrap_to(&self, public: &PublicKey, random: &[u8; 64], key: &[u8; 32], nonce: &[u8; 32]) -> WrappedKey {
        let (encapsulation, shared) = public.encapsulate(random);
        self.wrap(TO_PUBLIC, wrapping_key(&of_shared(&shared), self.class, &self.session, &encapsulation), &encapsulation, key, nonce)
    }
}

impl KeyRing {
    fn wrapping(&self, class: KeyClass) -> &Wrapping {
        match class {
            KeyClass::Data => &self.data,
            KeyClass::Tree => &self.tree,
        }
    }

    /// Makes a session's key.
    ///
    /// # Errors
    /// [`FormatError::NotAllowed`] for a role that stores nothing of this class.
    pub fn session_key(&self, class: KeyClass, session: &[u8; 16], host: &str, random: &SessionRandom) -> Result<SessionKey> {
        let hedged = |hasher: &mut blake3::Hasher, random: &[u8; 32]| {
            hasher.update(random);
            hasher.update(&(host.len() as u32).to_le_bytes());
            hasher.update(host.as_bytes());
            hasher.update(session);
            hasher.update(&[class as u8]);
        };
        let mut hasher = blake3::Hasher::new_keyed(&self.hedge.0);
        hedged(&mut hasher, &random.key);
        let key = Zeroizing::new(*hasher.finalize().as_bytes());

        let place = WrapPlace { repository: self.repository, class, epoch: self.epoch(), session: *session };
        let wrapped = match self.wrapping(class) {
            Wrapping::Both(keys) => place.wrap(SYMMETRIC, wrapping_key(&keys[place.epoch as usize].0, class, session, &[]), &[], &key, &random.nonce),
            Wrapping::Wrap(public) => {
                let mut hasher = blake3::Hasher::new_keyed(&derive("vault v1 encapsulate", &self.hedge).0);
                hedged(&mut hasher, &random.encapsulation);
                let mut seed = Zeroizing::new([0; 64]);
                hasher.finalize_xof().fill(&mut seed[..]);
                place.wrap_to(public, &seed, &key, &random.nonce)
            }
            Wrapping::Neither => return Err(self.not_allowed("store contents")),
        };
        Ok(SessionKey { seal: SealKey::new(&key), wrapped })
    }

    /// Opens a wrapped key, which must be of `class`.
    ///
    /// # Errors
    /// [`FormatError::NotAllowed`] for a role that reads nothing of this class.
    pub fn unwrap(&self, class: KeyClass, wrapped: &[u8]) -> Result<SealKey> {
        check_wrapped(class, wrapped)?;
        let epoch = u32::from_le_bytes(wrapped[4..8].try_into().expect("four bytes"));
        self.at(epoch)?;
        let Wrapping::Both(keys) = self.wrapping(class) else {
            return Err(self.not_allowed(match class {
                KeyClass::Data => "read contents",
                KeyClass::Tree => "read snapshots and trees",
            }));
        };
        let wrap = &keys[epoch as usize];
        let session = &wrapped[8..HEAD];
        let (head, boxed) = wrapped.split_at(wrapped.len() - BOX_LENGTH);
        let (wrapping, commitment) = match head[COMMITMENT_END..] {
            [] => wrapping_key(&wrap.0, class, session, &[]),
            ref encapsulation => wrapping_key(&of_shared(&*decapsulate(wrap, encapsulation)?), class, session, encapsulation),
        };
        if !equal_in_constant_time(&commitment, &head[HEAD..COMMITMENT_END]) {
            return Err(FormatError::WrongKey);
        }
        let key = Zeroizing::new(SealKey::new(&wrapping).open(self.repository, Sealed::WrappedKey, Cipher::XChaCha20Poly1305, head, boxed)?);
        let key: Zeroizing<[u8; 32]> = Zeroizing::new(key[..].try_into().map_err(|_| FormatError::BadStructure("a session key that is not 32 bytes"))?);
        Ok(SealKey::new(&key))
    }
}
