//! Chapter 5: keys that travel wrapped, by a key (algorithm 0) or to a public key (algorithm 1).

use crate::fault::{Fault, Result, Rule, fail};
use crate::keys::{Bytes16, Bytes32, Class, Keys, Purpose, dk, kx, le, part, same};
use crate::seal;
use x_wing::{Decapsulate, DecapsulationKey, Decapsulator, EncapsulationKey, KeyExport};

/// Length of a wrapped key of algorithm 0.
pub const SYMMETRIC_LEN: usize = 128;
/// Length of one of algorithm 1.
pub const PUBLIC_LEN: usize = 1248;
/// Length of a public key of X-Wing.
pub const PUBLIC_KEY_LEN: usize = 1216;

/// Whether bytes are a public key: every number in its first part is below 3,329 (FIPS 203, chapter 7.2).
pub fn is_public_key(bytes: &[u8; PUBLIC_KEY_LEN]) -> bool {
    EncapsulationKey::try_from(&bytes[..]).is_ok()
}
/// Where commitment and encapsulation begin.
const COMMITMENT: usize = 24;
const ENCAPSULATION: usize = 56;
/// Length of the box at the end.
const BOX_LEN: usize = 72;

/// A wrapped key, not yet opened.
#[derive(Debug)]
pub struct Wrapped {
    /// Its class.
    pub class: Class,
    /// The epoch of the key that wraps it.
    pub epoch: u32,
    /// The session that made the key.
    pub session: Bytes16,
    commitment: Bytes32,
    /// X-Wing's ciphertext, only with algorithm 1.
    encapsulation: Option<Box<[u8; 1120]>>,
    before_box: Vec<u8>,
    sealed: [u8; BOX_LEN],
}

/// The secret key of the pair that follows from a wrap key.
fn recipient(wrap: &Bytes32) -> DecapsulationKey {
    DecapsulationKey::from(dk("vault v1 recipient", wrap))
}

/// The public key of the pair that follows from a wrap key: pk_M and pk_X, 1,216 bytes.
pub fn public_key(wrap: &Bytes32) -> Vec<u8> {
    recipient(wrap).encapsulation_key().to_bytes().to_vec()
}

/// What the key is for that wraps session keys of a class.
pub fn wrap_purpose(class: Class) -> Purpose {
    match class {
        Class::Data => Purpose::WrapData,
        Class::Tree => Purpose::WrapTree,
    }
}

/// KEK and commitment of algorithm 1.
fn of_shared(shared: &[u8], class: Class, session: &Bytes16, encapsulation: &[u8]) -> (Bytes32, Bytes32) {
    kx(&dk("vault v1 wrap to public", shared), &[&[class.number()], session, encapsulation])
}

impl Wrapped {
    /// Reads the record.
    pub fn parse(bytes: &[u8]) -> Result<Wrapped> {
        let length = match bytes.first() {
            None => return fail(Rule::Truncated, "an empty wrapped key"),
            Some(0) => SYMMETRIC_LEN,
            Some(1) => PUBLIC_LEN,
            Some(algorithm) => return fail(Rule::Unsupported, format!("wrapped key of algorithm {algorithm}")),
        };
        if bytes.len() < length {
            return fail(Rule::Truncated, format!("a wrapped key is shorter than {length} bytes"));
        }
        if bytes.len() > length {
            return fail(Rule::BadStructure, format!("a wrapped key is longer than {length} bytes"));
        }
        let Some(class) = Class::from_number(bytes[1]) else {
            return fail(Rule::BadStructure, format!("wrapped key of class {}", bytes[1]));
        };
        if le(bytes, 2, 2) != 0 {
            return fail(Rule::BadStructure, "a wrapped key's reserved field is not zero");
        }
        let encapsulation = if length == PUBLIC_LEN { Some(Box::new(part(bytes, ENCAPSULATION)?)) } else { None };
        Ok(Wrapped {
            class,
            epoch: le(bytes, 4, 4) as u32,
            session: part(bytes, 8)?,
            commitment: part(bytes, COMMITMENT)?,
            encapsulation,
            before_box: bytes[..length - BOX_LEN].to_vec(),
            sealed: part(bytes, length - BOX_LEN)?,
        })
    }

    /// Opens the key.
    pub fn open(&self, keys: &dyn Keys, id: &Bytes16) -> Result<Bytes32> {
        let wrap = keys.held(wrap_purpose(self.class), self.epoch)?;
        let (kek, commitment) = match &self.encapsulation {
            None => kx(&wrap, &[&[self.class.number()], &self.session]),
            Some(encapsulation) => {
                // A ciphertext that fits nothing gives a shared key all the same; the commitment tells.
                let shared = recipient(&wrap).decapsulate(&(**encapsulation).into());
                of_shared(&shared, self.class, &self.session, &encapsulation[..])
            }
        };
        if !same(&commitment, &self.commitment) {
            return fail(Rule::WrongKey, "a wrapped key's commitment differs");
        }
        let message = seal::open(&kek, 1, 6, id, &self.before_box, &self.sealed)?;
        part(&message, 0)
    }
}

/// What a writer wraps to a public key.
pub struct ToPublic<'a> {
    /// The repository.
    pub id: &'a Bytes16,
    /// The class of the key.
    pub class: Class,
    /// The epoch of the public key.
    pub epoch: u32,
    /// The session.
    pub session: &'a Bytes16,
    /// The key that is wrapped.
    pub key: &'a Bytes32,
}

impl ToPublic<'_> {
    /// Wraps as a writer does, given the bytes of the encapsulation and 32 random ones for the box. Only the vectors need it.
    pub fn wrap(&self, public: &[u8], encapsulation: &[u8; 64], random: &Bytes32) -> Result<Vec<u8>> {
        let bad = |_| Fault::new(Rule::WrongType, "a public key that is none");
        let public = EncapsulationKey::try_from(public).map_err(bad)?;
        let (sent, shared) = public.encapsulate_deterministic(&(*encapsulation).into());
        let (kek, commitment) = of_shared(&shared, self.class, self.session, &sent);
        let mut record = vec![1, self.class.number(), 0, 0];
        record.extend_from_slice(&self.epoch.to_le_bytes());
        record.extend_from_slice(self.session);
        record.extend_from_slice(&commitment);
        record.extend_from_slice(&sent);
        let sealed = seal::seal(&kek, 1, 6, self.id, &record, random, self.key)?;
        record.extend_from_slice(&sealed);
        Ok(record)
    }
}
