//! Deterministic CBOR in one form only: what decodes encodes back to the same bytes (SPEC chapter 4).

use super::error::{FormatError, Result};
use super::node::Time;

/// Deepest nesting of items; the outermost has depth 1.
pub const DEPTH_MAX: usize = 16;

/// Keys from here on are critical: who does not know one refuses the record.
pub const FIRST_CRITICAL_KEY: u64 = 128;

fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.push(major | value as u8),
        24..=0xff => out.extend([major | 24, value as u8]),
        0x100..=0xffff => {
            out.push(major | 25);
            out.extend((value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend((value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 27);
            out.extend(value.to_be_bytes());
        }
    }
}

/// Appends an unsigned integer.
pub fn put_uint(out: &mut Vec<u8>, value: u64) {
    head(out, 0, value);
}

/// Appends an integer.
pub fn put_int(out: &mut Vec<u8>, value: i64) {
    match u64::try_from(value) {
        Ok(value) => head(out, 0, value),
        Err(_) => head(out, 1, !value as u64),
    }
}

/// Appends a byte string.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, 2, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a text string.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends the head of an array of `length` items, which must follow.
pub fn put_array(out: &mut Vec<u8>, length: usize) {
    head(out, 4, length as u64);
}

/// Appends a time.
pub fn put_time(out: &mut Vec<u8>, time: Time) {
    put_array(out, 2);
    put_int(out, time.seconds);
    put_uint(out, u64::from(time.nanoseconds));
}

/// Writes one map; the head is put in front when the number of keys is known.
pub struct MapWriter {
    body: Vec<u8>,
    count: u64,
    last_key: Option<u64>,
}

impl Default for MapWriter {
    fn default() -> Self {
        Self::new()
    }
}

impl MapWriter {
    /// An empty map.
    pub fn new() -> Self {
        Self { body: Vec::new(), count: 0, last_key: None }
    }

    /// Begins the entry `key`; exactly one item must be appended to what is returned. Keys must ascend.
    pub fn key(&mut self, key: u64) -> &mut Vec<u8> {
        assert!(self.last_key.is_none_or(|last| last < key), "map keys must ascend");
        self.last_key = Some(key);
        self.count += 1;
        head(&mut self.body, 0, key);
        &mut self.body
    }

    /// Appends the map to `out`.
    pub fn finish_into(self, out: &mut Vec<u8>) {
        head(out, 5, self.count);
        out.extend_from_slice(&self.body);
    }

    /// The map alone.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.body.len() + 9);
        self.finish_into(&mut out);
        out
    }
}

/// Reads items off the front of bytes, strictly.
#[derive(Clone)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Reads from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Nothing may be left.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(FormatError::NotCanonical("bytes after the end")) }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(FormatError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<(u8, u64)> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 31);
        let (value, least) = match info {
            0..=23 => (u64::from(info), 0),
            24 => (u64::from(self.take(1)?[0]), 24),
            25 => (self.take(2)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)), 0x100),
            26 => (self.take(4)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)), 0x1_0000),
            27 => (self.take(8)?.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)), 0x1_0000_0000),
            _ => return Err(FormatError::NotCanonical("indefinite length or reserved head")),
        };
        if value < least {
            return Err(FormatError::NotCanonical("a head longer than needed"));
        }
        if major > 5 {
            return Err(FormatError::NotCanonical("a tag, float or simple value"));
        }
        Ok((major, value))
    }

    fn expect(&mut self, major: u8, field: &'static str) -> Result<u64> {
        match self.head()? {
            (found, value) if found == major => Ok(value),
            _ => Err(FormatError::WrongField(field)),
        }
    }

    /// An unsigned integer.
    pub fn uint(&mut self, field: &'static str) -> Result<u64> {
        self.expect(0, field)
    }

    /// An unsigned integer below 2^32.
    pub fn uint32(&mut self, field: &'static str) -> Result<u32> {
        u32::try_from(self.uint(field)?).map_err(|_| FormatError::WrongField(field))
    }

    /// An integer of 64 bits.
    pub fn int(&mut self, field: &'static str) -> Result<i64> {
        match self.head()? {
            (0, value) => i64::try_from(value).map_err(|_| FormatError::WrongField(field)),
            (1, value) => i64::try_from(value).map(|value| !value).map_err(|_| FormatError::WrongField(field)),
            _ => Err(FormatError::WrongField(field)),
        }
    }

    /// A byte string.
    pub fn bytes(&mut self, field: &'static str) -> Result<&'a [u8]> {
        let length = self.expect(2, field)?;
        self.take(usize::try_from(length).map_err(|_| FormatError::Truncated)?)
    }

    /// A byte string of exactly `N` bytes.
    pub fn bytes_exact<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N]> {
        self.bytes(field)?.try_into().map_err(|_| FormatError::WrongField(field))
    }

    /// A text string.
    pub fn text(&mut self, field: &'static str) -> Result<&'a str> {
        let length = self.expect(3, field)?;
        let bytes = self.take(usize::try_from(length).map_err(|_| FormatError::Truncated)?)?;
        std::str::from_utf8(bytes).map_err(|_| FormatError::NotCanonical("text that is not UTF-8"))
    }

    /// The head of an array: how many items follow. Never more than bytes are left, so it may size an allocation of bytes.
    pub fn array(&mut self, field: &'static str) -> Result<usize> {
        let length = self.expect(4, field)?;
        match usize::try_from(length) {
            Ok(length) if length <= self.rest.len() => Ok(length),
            _ => Err(FormatError::Truncated),
        }
    }

    /// The head of an array of exactly `length` items.
    pub fn array_exact(&mut self, length: usize, field: &'static str) -> Result<()> {
        if self.array(field)? == length { Ok(()) } else { Err(FormatError::WrongField(field)) }
    }

    /// A time.
    pub fn time(&mut self, field: &'static str) -> Result<Time> {
        self.array_exact(2, field)?;
        let seconds = self.int(field)?;
        let nanoseconds = self.uint32(field)?;
        if nanoseconds < 1_000_000_000 { Ok(Time { seconds, nanoseconds }) } else { Err(FormatError::WrongField(field)) }
    }

    /// The head of a map that is itself an item of nesting `depth` (1 for the outermost).
    pub fn map(&mut self, depth: usize, field: &'static str) -> Result<MapReader> {
        let count = self.expect(5, field)?;
        if count > self.rest.len() as u64 / 2 {
            return Err(FormatError::Truncated);
        }
        Ok(MapReader { left: count, last_key: None, depth })
    }

    /// Steps over one item of nesting `depth`, of any kind; returns its bytes, checked to be canonical.
    pub fn skip(&mut self, depth: usize) -> Result<&'a [u8]> {
        let start = self.rest;
        // One number a level: how many items it still has, and for maps the last key.
        let mut levels: Vec<(u64, Option<Option<u64>>)> = vec![(1, None)];
        while let Some((left, keys)) = levels.last_mut() {
            if *left == 0 {
                levels.pop();
                continue;
            }
            *left -= 1;
            if let Some(last_key) = keys {
                let key = self.map_key(*last_key)?;
                *last_key = Some(key);
            }
            if depth + levels.len() - 1 > DEPTH_MAX {
                return Err(FormatError::NotCanonical("nested too deep"));
            }
            match self.head()? {
                (0 | 1, _) => {}
                (2, length) => {
                    self.take(usize::try_from(length).map_err(|_| FormatError::Truncated)?)?;
                }
                (3, length) => {
                    let text = self.take(usize::try_from(length).map_err(|_| FormatError::Truncated)?)?;
                    std::str::from_utf8(text).map_err(|_| FormatError::NotCanonical("text that is not UTF-8"))?;
                }
                (4, length) => levels.push((length, None)),
                (_, length) => levels.push((length, Some(None))),
            }
        }
        Ok(&start[..start.len() - self.rest.len()])
    }

    fn map_key(&mut self, last_key: Option<u64>) -> Result<u64> {
        let (major, key) = self.head()?;
        if major != 0 {
            return Err(FormatError::NotCanonical("a map key that is not an unsigned integer"));
        }
        if last_key.is_some_and(|last| last >= key) {
            return Err(FormatError::NotCanonical("map keys not in ascending order"));
        }
        Ok(key)
    }
}

/// Walks over the keys of a map.
pub struct MapReader {
    left: u64,
    last_key: Option<u64>,
    depth: usize,
}

impl MapReader {
    /// The next key; its value must then be read. `None` at the end of the map.
    pub fn key(&mut self, decoder: &mut Decoder<'_>) -> Result<Option<u64>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let key = decoder.map_key(self.last_key)?;
        self.last_key = Some(key);
        Ok(Some(key))
    }

    /// Deals with a key that is not known: optional ones are stepped over and returned, critical ones refused.
    pub fn unknown<'a>(&self, key: u64, decoder: &mut Decoder<'a>) -> Result<&'a [u8]> {
        if key >= FIRST_CRITICAL_KEY {
            return Err(FormatError::UnknownCritical(key));
        }
        decoder.skip(self.depth + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(bytes: &[u8]) -> bool {
        let mut decoder = Decoder::new(bytes);
        decoder.skip(1).is_err() || decoder.finish().is_err()
    }

    #[test]
    fn every_other_form_is_refused() {
        for bytes in [
            &b"\x18\x17"[..],
            b"\x19\x00\xff",
            b"\x1a\x00\x00\xff\xff",
            b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
            b"\x5f\xff",
            b"\x9f\xff",
            b"\xc0\x00",
            b"\xf5",
            b"\xfb\x00\x00\x00\x00\x00\x00\x00\x00",
            b"\xa2\x01\x00\x01\x00",
            b"\xa2\x02\x00\x01\x00",
            b"\xa1\x41\x00\x00",
            b"\x61\xff",
            b"\x00\x00",
            b"\x82\x00",
            b"",
        ] {
            assert!(refused(bytes), "{bytes:02x?}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [vec![0x81; depth - 1], vec![0]].concat();
        assert!(!refused(&nested(16)));
        assert!(refused(&nested(17)));
        assert!(refused(&nested(1_000_000)));
    }

    proptest! {
        #[test]
        fn integers_go_there_and_back(value: i64, unsigned: u64) {
            let mut out = Vec::new();
            put_int(&mut out, value);
            put_uint(&mut out, unsigned);
            let mut decoder = Decoder::new(&out);
            prop_assert_eq!(decoder.int("a"), Ok(value));
            prop_assert_eq!(decoder.uint("b"), Ok(unsigned));
            prop_assert_eq!(decoder.finish(), Ok(()));
        }

        #[test]
        fn noise_never_panics(bytes: Vec<u8>) {
            let _ = Decoder::new(&bytes).skip(1);
        }
    }
}
