//! The envelope of control objects: configuration, snapshots, forget records, index segments, sweep records (SPEC chapter 8).

use super::compress::{self, Compression, Method};
use super::error::{FormatError, Result};
use super::id::RepositoryId;
use super::keys::{KeyClass, KeyRing, SessionKey, check_wrapped};
use super::seal::{Cipher, NONCE_LENGTH, OVERHEAD, Sealed, padded_length};

const MAGIC: &[u8; 8] = b"VAULTOB1";
const HEAD: usize = 34;
/// Longest control object, stored and plain, in bytes.
pub const CONTROL_LENGTH_MAX: usize = 64 * 1024 * 1024;

/// What seals a new control object.
pub enum SealedBy<'a> {
    /// The repository's control key.
    Control,
    /// A session's tree key, which travels along: snapshots.
    Session(&'a SessionKey),
}

/// Makes a control object of `record`; `random` are fresh random bytes.
pub fn create(ring: &KeyRing, sealed: Sealed, by: &SealedBy<'_>, record: &[u8], random: &[u8; 32]) -> Result<Vec<u8>> {
    let cipher = Cipher::XChaCha20Poly1305;
    let epoch = ring.epoch();
    let mut stored = Vec::new();
    let method = compress::compress(record, Compression::default(), &mut stored);
    let wrapped: &[u8] = match by {
        SealedBy::Control => &[],
        SealedBy::Session(key) => &key.wrapped,
    };
    let mut out = Vec::with_capacity(HEAD + wrapped.len() + OVERHEAD + stored.len() + stored.len() / 8 + 32);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[sealed as u8, cipher as u8, method as u8, 0]);
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&ring.repository.0);
    out.extend_from_slice(&(wrapped.len() as u16).to_le_bytes());
    out.extend_from_slice(wrapped);

    let mut message = vec![0; NONCE_LENGTH];
    message.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    message.extend_from_slice(&(record.len() as u32).to_le_bytes());
    message.extend_from_slice(&stored);
    let padded = padded_length((message.len() - NONCE_LENGTH) as u64) as usize;
    message.resize(NONCE_LENGTH + padded, 0);
    if out.len() + message.len() > CONTROL_LENGTH_MAX || record.len() > CONTROL_LENGTH_MAX {
        return Err(FormatError::TooLarge("control object"));
    }
    let key = match by {
        SealedBy::Control => ring.control(epoch)?,
        SealedBy::Session(key) => &key.seal,
    };
    key.seal_in_place(ring.repository, sealed, cipher, &out, random, &mut message);
    out.extend_from_slice(&message);
    Ok(out)
}

/// The epoch that a control object's head names; nothing of it is authenticated.
pub fn stated_epoch(bytes: &[u8]) -> Result<u32> {
    bytes.get(12..16).map(|epoch| u32_at(epoch, 0)).ok_or(FormatError::Truncated)
}

/// Which of the three kinds of sweep records an object of `gc/` says it is. Whatever is none of them is refused as what it is not.
pub fn sweep_kind(bytes: &[u8]) -> Sealed {
    match bytes.get(8) {
        Some(21) => Sealed::Sweep,
        Some(22) => Sealed::SweepDone,
        _ => Sealed::Condemn,
    }
}

/// The sweep record that lies in `gc/`, opened (SPEC chapter 8).
pub fn open_sweep(ring: &KeyRing, bytes: &[u8]) -> Result<Vec<u8>> {
    open(ring, sweep_kind(bytes), bytes)
}

/// The id of the session whose key a snapshot carries.
pub fn session_of(bytes: &[u8]) -> Option<[u8; 16]> {
    bytes.get(HEAD + 8..HEAD + 24)?.try_into().ok()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

/// Opens a control object of the kind that is expected where it lay; returns its record.
pub fn open(ring: &KeyRing, sealed: Sealed, bytes: &[u8]) -> Result<Vec<u8>> {
    if bytes.len() > CONTROL_LENGTH_MAX {
        return Err(FormatError::TooLarge("control object"));
    }
    let head = bytes.get(..HEAD).ok_or(FormatError::Truncated)?;
    if &head[..8] != MAGIC {
        return Err(FormatError::BadStructure("not a control object"));
    }
    if head[8] != sealed as u8 {
        return Err(match head[8] {
            16..=22 => FormatError::BadStructure("another kind of object than belongs here"),
            number => FormatError::Unsupported { what: "kind of object", number: u64::from(number) },
        });
    }
    let (cipher, method) = (Cipher::from_code(head[9])?, Method::from_code(head[10])?);
    if head[11] != 0 {
        return Err(FormatError::BadStructure("a reserved field is not zero"));
    }
    let epoch = u32_at(head, 12);
    if RepositoryId(head[16..32].try_into().expect("sixteen bytes")) != ring.repository {
        return Err(FormatError::WrongRepository);
    }
    let wrapped_length = usize::from(u16::from_le_bytes([head[32], head[33]]));
    let wrapped = bytes.get(HEAD..HEAD + wrapped_length).ok_or(FormatError::Truncated)?;
    let (extra, boxed) = bytes.split_at(HEAD + wrapped_length);
    if check_wrapped(KeyClass::Tree, wrapped).is_ok() && wrapped[4..8] != head[12..16] {
        return Err(FormatError::BadStructure("an envelope of another epoch than its key"));
    }
    let message = match (sealed, wrapped) {
        (Sealed::Snapshot, []) => return Err(FormatError::BadStructure("a snapshot without its key")),
        (Sealed::Snapshot, wrapped) => ring.unwrap(KeyClass::Tree, wrapped)?.open(ring.repository, sealed, cipher, extra, boxed)?,
        (_, []) => ring.control(epoch)?.open(ring.repository, sealed, cipher, extra, boxed)?,
        _ => return Err(FormatError::BadStructure("a key where none belongs")),
    };
    if message.len() < 8 {
        return Err(FormatError::Truncated);
    }
    let (stored_length, plain_length) = (u32_at(&message, 0) as usize, u32_at(&message, 4) as usize);
    if plain_length > CONTROL_LENGTH_MAX {
        return Err(FormatError::TooLarge("control object"));
    }
    let (stored, zeros) = message[8..].split_at_checked(stored_length).ok_or(FormatError::Truncated)?;
    if 8 * zeros.len() >= message.len() + 128 || zeros.iter().any(|byte| *byte != 0) {
        return Err(FormatError::BadStructure("bad padding"));
    }
    let mut record = Vec::new();
    compress::decompress(stored, method, plain_length, &mut record)?;
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::keys::{Key, SessionRandom};

    #[test]
    fn every_changed_byte_is_noticed() {
        let ring = KeyRing::new(RepositoryId([1; 16]), vec![Key([2; 32])]);
        let session = ring.session_key(KeyClass::Tree, &[3; 16], "h", &SessionRandom { key: [4; 32], nonce: [5; 32], encapsulation: [7; 32] }).unwrap();
        for (sealed, by) in [(Sealed::Config, SealedBy::Control), (Sealed::Snapshot, SealedBy::Session(&session))] {
            let record = vec![7; 300];
            let bytes = create(&ring, sealed, &by, &record, &[6; 32]).unwrap();
            assert_eq!(open(&ring, sealed, &bytes).unwrap(), record);
            assert!(open(&ring, Sealed::Index, &bytes).is_err());
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                assert!(open(&ring, sealed, &changed).is_err(), "byte {at}");
                assert!(open(&ring, sealed, &bytes[..at]).is_err());
            }
        }
    }
}
