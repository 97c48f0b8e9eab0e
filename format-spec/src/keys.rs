//! Chapters 1, 3 and 5: hashes, root keys, and keys that travel wrapped.

use crate::fault::{Result, Rule, fail};
use crate::seal;

/// A name, a key or a hash.
pub type Bytes32 = [u8; 32];
/// A repository id or session id.
pub type Bytes16 = [u8; 16];

/// `H(x)`.
pub fn h(x: &[u8]) -> Bytes32 {
    blake3::hash(x).into()
}

/// `KH(k, x)`, with `x` given in parts.
pub fn kh(k: &Bytes32, parts: &[&[u8]]) -> Bytes32 {
    let mut hasher = blake3::Hasher::new_keyed(k);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// `KX(k, x)`, as its two halves.
pub fn kx(k: &Bytes32, parts: &[&[u8]]) -> (Bytes32, Bytes32) {
    let mut hasher = blake3::Hasher::new_keyed(k);
    for part in parts {
        hasher.update(part);
    }
    let mut reader = hasher.finalize_xof();
    let (mut first, mut second) = ([0; 32], [0; 32]);
    reader.fill(&mut first);
    reader.fill(&mut second);
    (first, second)
}

/// `DK("context", k)`.
pub fn dk(context: &str, k: &[u8]) -> Bytes32 {
    blake3::derive_key(context, k)
}

/// Compares in constant time.
pub fn same(a: &Bytes32, b: &Bytes32) -> bool {
    blake3::Hash::from_bytes(*a) == blake3::Hash::from_bytes(*b)
}

/// `hex(x)`.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

/// The bytes that lower-case hex digits mean.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 2);
    for pair in text.as_bytes().chunks(2) {
        bytes.push((digit(pair[0])? << 4) | digit(pair[1])?);
    }
    Some(bytes)
}

/// Little-endian integers at an offset; zero beyond the end, which callers have excluded.
pub fn le(bytes: &[u8], offset: usize, width: usize) -> u64 {
    let mut value = 0;
    for i in (0..width).rev() {
        value = (value << 8) | u64::from(bytes.get(offset + i).copied().unwrap_or(0));
    }
    value
}

/// A copy of `N` bytes at an offset.
pub fn part<const N: usize>(bytes: &[u8], offset: usize) -> Result<[u8; N]> {
    match bytes.get(offset..offset + N).map(<[u8; N]>::try_from) {
        Some(Ok(part)) => Ok(part),
        _ => fail(Rule::Truncated, "a fixed layout is cut off"),
    }
}

/// The two classes of chunks and of session keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 1: contents of files.
    Data,
    /// 2: trees (and snapshots).
    Tree,
}

impl Class {
    /// Its number.
    pub fn number(self) -> u8 {
        match self {
            Class::Data => 1,
            Class::Tree => 2,
        }
    }

    /// The class of a number.
    pub fn from_number(number: u8) -> Option<Class> {
        match number {
            1 => Some(Class::Data),
            2 => Some(Class::Tree),
            _ => None,
        }
    }
}

/// The root keys of a repository.
pub struct Roots {
    first: Bytes32,
    all: Vec<Bytes32>,
}

impl Roots {
    /// Takes the list, which must not be empty.
    pub fn new(all: Vec<Bytes32>) -> Result<Roots> {
        match all.first() {
            Some(first) => Ok(Roots { first: *first, all }),
            None => fail(Rule::BadStructure, "no root key"),
        }
    }

    /// The keys, by epoch.
    pub fn all(&self) -> &[Bytes32] {
        &self.all
    }

    /// A key of the whole repository: `name of data chunks`, `name of tree chunks`, `chunker`, `tree split`.
    pub fn lasting(&self, purpose: &str) -> Bytes32 {
        dk(&format!("vault v1 {purpose}"), &self.first)
    }

    /// A key of one epoch: `control`, `confirm`, `wrap data`, `wrap tree`, `hedge`.
    pub fn of_epoch(&self, purpose: &str, epoch: u32) -> Result<Bytes32> {
        match self.all.get(epoch as usize) {
            Some(root) => Ok(dk(&format!("vault v1 {purpose}"), root)),
            None => fail(Rule::UnknownEpoch, format!("no root key for epoch {epoch}: the keys were rotated")),
        }
    }

    /// The key that names chunks of a class.
    pub fn naming(&self, class: Class) -> Bytes32 {
        match class {
            Class::Data => self.lasting("name of data chunks"),
            Class::Tree => self.lasting("name of tree chunks"),
        }
    }
}

/// A wrapped key of algorithm 0, not yet opened.
pub struct Wrapped {
    /// Its class.
    pub class: Class,
    /// The epoch of the root key that wraps it.
    pub epoch: u32,
    /// The session that made the key.
    pub session: Bytes16,
    commitment: Bytes32,
    fixed: [u8; 56],
    sealed: [u8; 72],
}

/// Length of a wrapped key of algorithm 0.
pub const WRAPPED_LEN: usize = 128;

impl Wrapped {
    /// Reads the record.
    pub fn parse(bytes: &[u8]) -> Result<Wrapped> {
        let Some(algorithm) = bytes.first() else {
            return fail(Rule::Truncated, "an empty wrapped key");
        };
        if *algorithm != 0 {
            return fail(Rule::Unsupported, format!("wrapped key of algorithm {algorithm}"));
        }
        if bytes.len() < WRAPPED_LEN {
            return fail(Rule::Truncated, "a wrapped key is shorter than 128 bytes");
        }
        if bytes.len() > WRAPPED_LEN {
            return fail(Rule::BadStructure, "a wrapped key is longer than 128 bytes");
        }
        let Some(class) = Class::from_number(bytes[1]) else {
            return fail(Rule::BadStructure, format!("wrapped key of class {}", bytes[1]));
        };
        if le(bytes, 2, 2) != 0 {
            return fail(Rule::BadStructure, "a wrapped key's reserved field is not zero");
        }
        Ok(Wrapped {
            class,
            epoch: le(bytes, 4, 4) as u32,
            session: part(bytes, 8)?,
            commitment: part(bytes, 24)?,
            fixed: part(bytes, 0)?,
            sealed: part(bytes, 56)?,
        })
    }

    /// Opens the key.
    pub fn open(&self, roots: &Roots, id: &Bytes16) -> Result<Bytes32> {
        let purpose = match self.class {
            Class::Data => "wrap data",
            Class::Tree => "wrap tree",
        };
        let wrap = roots.of_epoch(purpose, self.epoch)?;
        let (kek, commitment) = kx(&wrap, &[&[self.class.number()], &self.session]);
        if !same(&commitment, &self.commitment) {
            return fail(Rule::WrongKey, "a wrapped key's commitment differs");
        }
        let message = seal::open(&kek, 1, 6, id, &self.fixed, &self.sealed)?;
        part(&message, 0)
    }
}

/// How a writer makes a session key (`random` and `session` are drawn by it).
pub fn session_key(roots: &Roots, epoch: u32, random: &Bytes32, host: &str, session: &Bytes16, class: Class) -> Result<Bytes32> {
    let hedge = roots.of_epoch("hedge", epoch)?;
    let length = u32::try_from(host.len()).unwrap_or(u32::MAX).to_le_bytes();
    Ok(kh(&hedge, &[random, &length, host.as_bytes(), session, &[class.number()]]))
}
