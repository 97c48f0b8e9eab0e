//! Chapter 4: deterministic CBOR, read as views of the bytes; nothing is allocated.

use crate::fault::{Result, Rule, fail};

/// Deepest nesting; the outermost item has depth 1.
pub const MAX_DEPTH: usize = 16;

/// One item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// Major type 0.
    Unsigned(u64),
    /// Major type 1: the value is −1 − n.
    Negative(u64),
    /// Major type 2.
    Bytes(&'a [u8]),
    /// Major type 3.
    Text(&'a str),
    /// Major type 4.
    Array(Array<'a>),
    /// Major type 5.
    Map(Map<'a>),
}

/// An array: the number of its items and their bytes, which are well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    len: u64,
    body: &'a [u8],
}

/// A map: the number of its pairs and their bytes, which are well-formed and in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map<'a> {
    len: u64,
    body: &'a [u8],
}

/// One pair of a map.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The key.
    pub key: u64,
    /// The value.
    pub value: Item<'a>,
    /// The encoding of key and value.
    pub raw: &'a [u8],
}

/// Reads the one item that `bytes` must be, and checks everything in it.
pub fn decode(bytes: &[u8]) -> Result<Item<'_>> {
    let mut rest = bytes;
    let item = read(&mut rest, 1)?;
    if !rest.is_empty() {
        return fail(Rule::NotCanonical, "bytes follow the outermost item");
    }
    Ok(item)
}

/// Reads one item at the start of `rest` and moves `rest` behind it.
pub fn read_next<'a>(rest: &mut &'a [u8]) -> Result<Item<'a>> {
    read(rest, 1)
}

fn take<'a>(rest: &mut &'a [u8], count: u64) -> Result<&'a [u8]> {
    let Ok(count) = usize::try_from(count) else {
        return fail(Rule::Truncated, "a length is beyond the end");
    };
    if count > rest.len() {
        return fail(Rule::Truncated, "a length is beyond the end");
    }
    let (front, back) = rest.split_at(count);
    *rest = back;
    Ok(front)
}

fn head(rest: &mut &[u8]) -> Result<(u8, u64)> {
    let first = take(rest, 1)?[0];
    let (major, info) = (first >> 5, first & 31);
    if major > 5 {
        return fail(Rule::NotCanonical, "tags, simple values and floats do not occur");
    }
    let (argument, least) = match info {
        0..=23 => (u64::from(info), 0),
        24..=27 => {
            let width = 1u64 << (info - 24);
            let mut value = 0u64;
            for byte in take(rest, width)? {
                value = (value << 8) | u64::from(*byte);
            }
            let least = match info {
                24 => 24,
                25 => 1 << 8,
                26 => 1 << 16,
                _ => 1u64 << 32,
            };
            (value, least)
        }
        _ => return fail(Rule::NotCanonical, "indefinite or reserved length"),
    };
    if argument < least {
        return fail(Rule::NotCanonical, "a head is not in its shortest form");
    }
    Ok((major, argument))
}

fn read<'a>(rest: &mut &'a [u8], depth: usize) -> Result<Item<'a>> {
    if depth > MAX_DEPTH {
        return fail(Rule::NotCanonical, "nested deeper than 16");
    }
    let (major, argument) = head(rest)?;
    match major {
        0 => Ok(Item::Unsigned(argument)),
        1 => Ok(Item::Negative(argument)),
        2 => Ok(Item::Bytes(take(rest, argument)?)),
        3 => match std::str::from_utf8(take(rest, argument)?) {
            Ok(text) => Ok(Item::Text(text)),
            Err(_) => fail(Rule::NotCanonical, "text is not UTF-8"),
        },
        4 => {
            let start = *rest;
            for _ in 0..argument {
                read(rest, depth + 1)?;
            }
            let body = &start[..start.len() - rest.len()];
            Ok(Item::Array(Array { len: argument, body }))
        }
        _ => {
            let start = *rest;
            let mut last = None;
            for _ in 0..argument {
                let Item::Unsigned(key) = read(rest, depth + 1)? else {
                    return fail(Rule::NotCanonical, "a map's key is not an unsigned integer");
                };
                if last.is_some_and(|last| key <= last) {
                    return fail(Rule::NotCanonical, "a map's keys are not strictly ascending");
                }
                last = Some(key);
                read(rest, depth + 1)?;
            }
            let body = &start[..start.len() - rest.len()];
            Ok(Item::Map(Map { len: argument, body }))
        }
    }
}

impl<'a> Array<'a> {
    /// The number of items.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no item.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The encodings of the items, back to back.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The items.
    pub fn items(&self) -> Items<'a> {
        Items { rest: self.body }
    }

    /// The items of an array of exactly two.
    pub fn two(&self) -> Result<(Item<'a>, Item<'a>)> {
        let mut items = self.items();
        match (self.len, items.next(), items.next()) {
            (2, Some(first), Some(second)) => Ok((first, second)),
            _ => fail(Rule::WrongType, "an array that must have two items has not"),
        }
    }
}

/// The items of an array, one by one.
pub struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;
    fn next(&mut self) -> Option<Item<'a>> {
        // The bytes have been checked; `read` ends with the last item.
        read(&mut self.rest, 1).ok()
    }
}

/// The pairs of a map, one by one.
pub struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;
    fn next(&mut self) -> Option<Pair<'a>> {
        let start = self.rest;
        let Item::Unsigned(key) = read(&mut self.rest, 1).ok()? else { return None };
        let value = read(&mut self.rest, 1).ok()?;
        Some(Pair { key, value, raw: &start[..start.len() - self.rest.len()] })
    }
}

impl<'a> Map<'a> {
    /// The number of pairs.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pairs.
    pub fn pairs(&self) -> Pairs<'a> {
        Pairs { rest: self.body }
    }

    /// The value of a key, if there is one.
    pub fn get(&self, key: u64) -> Option<Item<'a>> {
        self.pairs().find(|pair| pair.key == key).map(|pair| pair.value)
    }

    /// The value of a key that must be present.
    pub fn need(&self, key: u64) -> Result<Item<'a>> {
        match self.get(key) {
            Some(value) => Ok(value),
            None => fail(Rule::BadStructure, format!("key {key} is missing")),
        }
    }

    /// Refuses unknown critical keys.
    pub fn known(&self, known: &[u64]) -> Result<()> {
        for pair in self.pairs() {
            if pair.key >= 128 && !known.contains(&pair.key) {
                return fail(Rule::UnknownCritical, format!("key {}", pair.key));
            }
        }
        Ok(())
    }
}

fn wrong<T>(what: &str) -> Result<T> {
    fail(Rule::WrongType, format!("expected {what}"))
}

impl<'a> Item<'a> {
    /// The item as an unsigned integer.
    pub fn unsigned(self) -> Result<u64> {
        if let Item::Unsigned(value) = self { Ok(value) } else { wrong("an unsigned integer") }
    }

    /// The item as an unsigned integer of at most `most`.
    pub fn at_most(self, most: u64) -> Result<u64> {
        match self {
            Item::Unsigned(value) if value <= most => Ok(value),
            _ => wrong(&format!("an unsigned integer of at most {most}")),
        }
    }

    /// The item as an unsigned integer of 32 bits.
    pub fn small(self) -> Result<u32> {
        match self {
            Item::Unsigned(value) => match u32::try_from(value) {
                Ok(value) => Ok(value),
                Err(_) => wrong("an unsigned integer of 32 bits"),
            },
            _ => wrong("an unsigned integer of 32 bits"),
        }
    }

    /// The item as a signed integer of 64 bits.
    pub fn signed(self) -> Result<i64> {
        let value = match self {
            Item::Unsigned(value) => i64::try_from(value).ok(),
            Item::Negative(value) => i64::try_from(value).ok().map(|value| -1 - value),
            _ => None,
        };
        if let Some(value) = value { Ok(value) } else { wrong("an integer of 64 bits") }
    }

    /// The item as a byte string.
    pub fn bytes(self) -> Result<&'a [u8]> {
        if let Item::Bytes(value) = self { Ok(value) } else { wrong("a byte string") }
    }

    /// The item as a byte string of exactly `N` bytes.
    pub fn fixed<const N: usize>(self) -> Result<[u8; N]> {
        match self {
            Item::Bytes(value) => match <[u8; N]>::try_from(value) {
                Ok(value) => Ok(value),
                Err(_) => wrong(&format!("a byte string of {N} bytes")),
            },
            _ => wrong(&format!("a byte string of {N} bytes")),
        }
    }

    /// The item as text.
    pub fn text(self) -> Result<&'a str> {
        if let Item::Text(value) = self { Ok(value) } else { wrong("text") }
    }

    /// The item as an array.
    pub fn array(self) -> Result<Array<'a>> {
        if let Item::Array(value) = self { Ok(value) } else { wrong("an array") }
    }

    /// The item as a map whose critical keys are all among `known`.
    pub fn map(self, known: &[u64]) -> Result<Map<'a>> {
        let Item::Map(value) = self else { return wrong("a map") };
        value.known(known)?;
        Ok(value)
    }

    /// The item as `[seconds, nanoseconds]`.
    pub fn time(self) -> Result<Time> {
        let (seconds, nanoseconds) = self.array()?.two()?;
        Ok(Time { seconds: seconds.signed()?, nanoseconds: nanoseconds.at_most(999_999_999)? as u32 })
    }
}

/// A time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970, UTC.
    pub seconds: i64,
    /// Nanoseconds, below 10⁹.
    pub nanoseconds: u32,
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:09}", self.seconds, self.nanoseconds)
    }
}
