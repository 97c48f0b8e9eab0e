//! Chapter 13: snapshots, confirmations and forget records.

use crate::cbor::{self, Array, Item, Map, Time};
use crate::control;
use crate::fault::{Result, Rule, fail};
use crate::keys::{Bytes16, Bytes32, Keys, Purpose, h, kh, le, part, same};

/// The status of a snapshot that was made before the run's end.
pub const PARTIAL: u64 = 2;

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When the run began.
    pub begun: Time,
    /// When it ended.
    pub ended: Time,
    /// The host whose files these are.
    pub host: String,
    /// The user.
    pub user: String,
    /// An explicit name of what is backed up.
    pub source: Option<String>,
    /// What was backed up.
    pub paths: Vec<Vec<u8>>,
    /// Tags.
    pub tags: Vec<String>,
    /// The root directory's node.
    pub root: Bytes32,
    /// The snapshot that unchanged entries were taken from.
    pub parent: Option<Bytes32>,
    /// The host that wrote this record.
    pub writer: String,
    /// The number of this record among its writer's.
    pub sequence: u64,
    /// The writer's previous record.
    pub predecessor: Option<Bytes32>,
    /// The snapshot that this one replaces.
    pub original: Option<Bytes32>,
    /// Counts 1 to 13 of the summary.
    pub summary: Option<[Option<u64>; 13]>,
    /// 0 complete, 1 incomplete, 2 partial.
    pub status: u64,
    /// Entries that could not be read.
    pub unread: u64,
    /// Program and version.
    pub program: String,
}

const PATHS_MAX: usize = 1 << 20;
const TAGS_MAX: usize = 1 << 16;

fn optional32(map: Map<'_>, key: u64) -> Result<Option<Bytes32>> {
    match map.get(key) {
        Some(item) => item.fixed().map(Some),
        None => Ok(None),
    }
}

fn tags(list: Array<'_>) -> Result<Vec<String>> {
    let mut tags: Vec<String> = Vec::new();
    for item in list.items() {
        let tag = item.text()?;
        if tags.last().is_some_and(|last| last.as_str() >= tag) {
            return fail(Rule::BadStructure, "tags that are not ascending");
        }
        if tags.len() == TAGS_MAX {
            return fail(Rule::TooLarge, "more than 65,536 tags");
        }
        tags.push(tag.to_owned());
    }
    if tags.is_empty() {
        return fail(Rule::WrongType, "a list of no tags, which would be absent");
    }
    Ok(tags)
}

fn summary(map: Map<'_>) -> Result<[Option<u64>; 13]> {
    let mut counts = [None; 13];
    for (count, key) in counts.iter_mut().zip(1..) {
        if let Some(item) = map.get(key) {
            *count = Some(item.unsigned()?);
        }
    }
    Ok(counts)
}

impl Snapshot {
    /// Reads a snapshot's record.
    pub fn parse(record: &[u8]) -> Result<Snapshot> {
        let map = cbor::decode(record)?.map(&[])?;
        let mut paths = Vec::new();
        for item in map.need(6)?.array()?.items() {
            if paths.len() == PATHS_MAX {
                return fail(Rule::TooLarge, "more than 1,048,576 paths");
            }
            paths.push(item.bytes()?.to_vec());
        }
        let source = match map.get(5) {
            Some(item) => Some(item.text()?.to_owned()),
            None => None,
        };
        let tags = match map.get(7) {
            Some(item) => tags(item.array()?)?,
            None => Vec::new(),
        };
        let summary = match map.get(14) {
            Some(item) => Some(summary(item.map(&[])?)?),
            None => None,
        };
        let unread = match map.get(16) {
            Some(item) => match item.unsigned()? {
                0 => return fail(Rule::WrongType, "key 16 is zero, which would be absent"),
                number => number,
            },
            None => 0,
        };
        if let Some(pin) = map.get(18) {
            let pin = pin.map(&[])?;
            pin.need(1)?.text()?;
            pin.get(2).map(Item::time).transpose()?;
        }
        if let Some(signature) = map.get(96) {
            signature.bytes()?;
        }
        let snapshot = Snapshot {
            begun: map.need(1)?.time()?,
            ended: map.need(2)?.time()?,
            host: map.need(3)?.text()?.to_owned(),
            user: map.need(4)?.text()?.to_owned(),
            source,
            paths,
            tags,
            root: map.need(8)?.fixed()?,
            parent: optional32(map, 9)?,
            writer: map.need(10)?.text()?.to_owned(),
            sequence: map.need(11)?.unsigned()?,
            predecessor: optional32(map, 12)?,
            original: optional32(map, 13)?,
            summary,
            status: map.need(15)?.at_most(2)?,
            unread,
            program: map.need(17)?.text()?.to_owned(),
        };
        if snapshot.sequence == 0 {
            return fail(Rule::WrongType, "a sequence of 0");
        }
        if (snapshot.sequence == 1) != snapshot.predecessor.is_none() {
            return fail(Rule::BadStructure, "a predecessor that does not fit the sequence");
        }
        Ok(snapshot)
    }

    /// The status in a word.
    pub fn status_word(&self) -> &'static str {
        match self.status {
            0 => "complete",
            1 => "incomplete",
            _ => "partial",
        }
    }
}

/// The bytes of the confirmation of a snapshot.
pub fn confirmation(keys: &dyn Keys, epoch: u32, id: &Bytes16, snapshot: &Bytes32) -> Result<Vec<u8>> {
    let key = keys.held(Purpose::Confirm, epoch)?;
    let mut bytes = b"VAULTCF1".to_vec();
    bytes.extend_from_slice(&epoch.to_le_bytes());
    bytes.extend_from_slice(id);
    bytes.extend_from_slice(snapshot);
    bytes.extend_from_slice(&kh(&key, &[id, snapshot]));
    bytes.extend_from_slice(&kh(&key, &[b"again", snapshot]));
    Ok(bytes)
}

/// The names under which confirmations of a snapshot can be that count: those of its own epoch and later ones.
pub fn confirmation_names(keys: &dyn Keys, id: &Bytes16, snapshot: &Bytes32, epoch: u32) -> Result<Vec<Bytes32>> {
    let mut names = Vec::new();
    for epoch in epoch..keys.epochs() {
        names.push(h(&confirmation(keys, epoch, id, snapshot)?));
    }
    Ok(names)
}

/// Checks a confirmation and returns the name of its snapshot.
pub fn read_confirmation(bytes: &[u8], keys: &dyn Keys, id: &Bytes16) -> Result<Bytes32> {
    if bytes.len() < 124 {
        return fail(Rule::Truncated, "a confirmation is shorter than 124 bytes");
    }
    if bytes.len() > 124 || !bytes.starts_with(b"VAULTCF1") {
        return fail(Rule::BadStructure, "no confirmation");
    }
    if bytes[12..28] != *id {
        return fail(Rule::BadStructure, "a confirmation of another repository");
    }
    let snapshot = part(bytes, 28)?;
    let right = confirmation(keys, le(bytes, 8, 4) as u32, id, &snapshot)?;
    if !same(&part(bytes, 60)?, &part(&right, 60)?) || !same(&part(bytes, 92)?, &part(&right, 92)?) {
        return fail(Rule::NotAuthentic, "a confirmation's hashes differ");
    }
    Ok(snapshot)
}

/// A record that a snapshot was removed on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forget {
    /// The removed snapshot.
    pub snapshot: Bytes32,
    /// Its writer.
    pub writer: String,
    /// Its sequence.
    pub sequence: u64,
    /// When it was forgotten.
    pub time: Time,
    /// The snapshot that replaces it.
    pub replacement: Option<Bytes32>,
}

impl Forget {
    /// Reads a forget record.
    pub fn parse(record: &[u8]) -> Result<Forget> {
        let map = cbor::decode(record)?.map(&[])?;
        // What is kept may be long and is not kept in memory; its types count.
        map.get(6).map(Item::bytes).transpose()?;
        map.get(7).map(Item::fixed::<16>).transpose()?;
        map.get(8).map(Item::bytes).transpose()?;
        Ok(Forget {
            snapshot: map.need(1)?.fixed()?,
            writer: map.need(2)?.text()?.to_owned(),
            sequence: map.need(3)?.unsigned()?,
            time: map.need(4)?.time()?,
            replacement: optional32(map, 5)?,
        })
    }

    /// Out of a forget record: the record from which the snapshot can be put again, if there is one; that of key 8 if it is
    /// the snapshot's object and opens, else key 6.
    pub fn kept(record: &[u8], keys: &dyn Keys, id: &Bytes16) -> Result<Option<Vec<u8>>> {
        let forget = Forget::parse(record)?;
        let map = cbor::decode(record)?.map(&[])?;
        let object = map.get(8).map(Item::bytes).transpose()?.filter(|object| h(object) == forget.snapshot);
        let opened = object.and_then(|object| control::open(object, &[control::SNAPSHOT], keys, id).ok());
        let plain = map.get(6).map(Item::bytes).transpose()?;
        Ok(opened.or_else(|| plain.map(<[u8]>::to_vec)))
    }
}
