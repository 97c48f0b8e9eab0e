//! Names of things: 32-byte newtypes that cannot be mixed, and their hex form (SPEC chapter 3).

use std::fmt;

/// Lower-case hex digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

/// The 32 bytes that 64 lower-case hex digits stand for; `None` for anything else.
pub fn parse_hex32(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(out)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The name in hex, 64 digits.
            pub fn to_hex(&self) -> String {
                hex(&self.0)
            }

            /// The first eight hex digits, enough for people.
            pub fn short(&self) -> String {
                hex(&self.0[..4])
            }

            /// Reads 64 lower-case hex digits.
            pub fn from_hex(text: &str) -> Option<Self> {
                parse_hex32(text).map(Self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.short())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.to_hex())
            }
        }
    };
}

id!(
    /// Name of a chunk of file contents: keyed BLAKE3 of its plaintext.
    ChunkId
);
id!(
    /// Name of a chunk that holds a tree node: keyed BLAKE3 of its plaintext, under another key than contents.
    TreeId
);
/// Hashes an object that is too long to be held whole.
#[derive(Default)]
pub struct ObjectHasher(blake3::Hasher);

impl ObjectHasher {
    /// Takes up the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The name of the object that all bytes so far make.
    pub fn finish(&self) -> ObjectId {
        ObjectId(*self.0.finalize().as_bytes())
    }
}

id!(
    /// Name of an object in the store: BLAKE3 of its stored bytes.
    ObjectId
);

/// Sixteen random bytes that tell repositories apart; bound into everything sealed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepositoryId(pub [u8; 16]);

impl fmt::Debug for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepositoryId({})", hex(&self.0))
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_there_and_back() {
        let id = ChunkId(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(ChunkId::from_hex(&id.to_hex()), Some(id));
        assert_eq!(ChunkId::from_hex(&id.to_hex().to_uppercase()), None);
        assert_eq!(ChunkId::from_hex("00"), None);
    }
}
