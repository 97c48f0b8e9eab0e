//! Chapters 1, 3 and 5: hashes, root keys and what follows from them.

use crate::fault::{Result, Rule, fail};

pub use crate::wrapped::Wrapped;

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

/// What keys there are for, as their contexts say, and whether one of them is of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Tables of packs, and control objects but snapshots.
    Control,
    /// Confirmations.
    Confirm,
    /// Session keys of data.
    WrapData,
    /// Session keys of trees.
    WrapTree,
}

impl Purpose {
    /// Its words in the context.
    pub fn words(self) -> &'static str {
        match self {
            Purpose::Control => "control",
            Purpose::Confirm => "confirm",
            Purpose::WrapData => "wrap data",
            Purpose::WrapTree => "wrap tree",
        }
    }
}

/// The keys that somebody holds: the root keys, or what a role has of what follows from them.
pub trait Keys {
    /// The number of epochs.
    fn epochs(&self) -> u32;

    /// A key of an epoch; `NoKey` if this role has none for that purpose.
    fn held(&self, purpose: Purpose, epoch: u32) -> Result<Bytes32>;

    /// The key that names chunks of a class; `NoKey` likewise.
    fn name_key(&self, class: Class) -> Result<Bytes32>;
}

impl Keys for Roots {
    fn epochs(&self) -> u32 {
        self.all.len() as u32
    }

    fn held(&self, purpose: Purpose, epoch: u32) -> Result<Bytes32> {
        self.of_epoch(purpose.words(), epoch)
    }

    fn name_key(&self, class: Class) -> Result<Bytes32> {
        Ok(self.naming(class))
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
            None => fail(Rule::UnknownEpoch, format!("no key for epoch {epoch}: the keys were rotated")),
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

/// How a writer makes a session key (`random` and `session` are drawn by it).
pub fn session_key(roots: &Roots, epoch: u32, random: &Bytes32, host: &str, session: &Bytes16, class: Class) -> Result<Bytes32> {
    let hedge = roots.of_epoch("hedge", epoch)?;
    let length = u32::try_from(host.len()).unwrap_or(u32::MAX).to_le_bytes();
    Ok(kh(&hedge, &[random, &length, host.as_bytes(), session, &[class.number()]]))
}

/// How a writer makes the 64 random bytes of an encapsulation, likewise.
pub fn encapsulation_bytes(
    roots: &Roots,
    epoch: u32,
    random: &Bytes32,
    host: &str,
    session: &Bytes16,
    class: Class,
) -> Result<[u8; 64]> {
    let key = dk("vault v1 encapsulate", &roots.of_epoch("hedge", epoch)?);
    let length = u32::try_from(host.len()).unwrap_or(u32::MAX).to_le_bytes();
    let (first, second) = kx(&key, &[random, &length, host.as_bytes(), session, &[class.number()]]);
    let mut both = [0; 64];
    both[..32].copy_from_slice(&first);
    both[32..].copy_from_slice(&second);
    Ok(both)
}
