//! Snapshots, the root records, and forget records (SPEC chapter 13).

use super::cbor::{self, Decoder, MapWriter};
use super::control;
use super::error::{FormatError, Result};
use super::id::{ObjectId, TreeId};
use super::keys::KeyRing;
use super::node::Time;
use super::seal::Sealed;

/// Most paths of a snapshot.
pub const PATHS_MAX: usize = 1 << 20;
/// Most tags of a snapshot.
pub const TAGS_MAX: usize = 1 << 16;

/// How far a snapshot got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Everything is in it.
    Complete = 0,
    /// Some source data are missing; they were listed.
    Incomplete = 1,
    /// Made before the run's end.
    Partial = 2,
}

/// What a run counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Entries that are no directories and were not in the parent.
    pub files_new: u64,
    /// … that were different in the parent.
    pub files_changed: u64,
    /// … that were the same in the parent.
    pub files_unmodified: u64,
    /// Directories, likewise.
    pub dirs_new: u64,
    /// Directories, likewise.
    pub dirs_changed: u64,
    /// Directories, likewise.
    pub dirs_unmodified: u64,
    /// All entries.
    pub entries: u64,
    /// Bytes of contents in the snapshot.
    pub content_bytes: u64,
    /// Plain bytes of chunks that were new.
    pub new_bytes: u64,
    /// Bytes added to the store.
    pub stored_bytes: u64,
    /// Of `new_bytes`, those in blocks of contents that did not compress; `None` where nothing was to be compressed, or nobody counted.
    pub incompressible_bytes: Option<u64>,
    /// Entries of the parent that are no directories and are not there any more; `None` without a parent, or where nobody counted.
    pub files_gone: Option<u64>,
    /// Of `files_changed`, those with other contents; `None` as above.
    pub files_rewritten: Option<u64>,
}

impl Summary {
    /// Entries of the snapshot that are no directories.
    pub fn files(&self) -> u64 {
        self.files_new + self.files_changed + self.files_unmodified
    }

    fn fields(&mut self) -> [&mut u64; 10] {
        [
            &mut self.files_new,
            &mut self.files_changed,
            &mut self.files_unmodified,
            &mut self.dirs_new,
            &mut self.dirs_changed,
            &mut self.dirs_unmodified,
            &mut self.entries,
            &mut self.content_bytes,
            &mut self.new_bytes,
            &mut self.stored_bytes,
        ]
    }
}

/// Why a policy must not forget a snapshot, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Why.
    pub reason: String,
    /// Until this time; without one for good.
    pub until: Option<Time>,
}

/// A snapshot's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// When the run began.
    pub begun: Time,
    /// When it ended.
    pub ended: Time,
    /// The host that was backed up.
    pub host: String,
    /// Who ran it.
    pub user: String,
    /// An explicit name of what is backed up.
    pub source: Option<String>,
    /// What was backed up, absolute paths.
    pub paths: Vec<Vec<u8>>,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// Node of the root directory.
    pub root: TreeId,
    /// The snapshot that unchanged entries were taken from.
    pub parent: Option<ObjectId>,
    /// Host of the program that wrote this record.
    pub writer: String,
    /// Number of this record among its writer's, from 1.
    pub sequence: u64,
    /// The writer's previous record.
    pub predecessor: Option<ObjectId>,
    /// The snapshot this one replaces.
    pub original: Option<ObjectId>,
    /// What the run counted.
    pub summary: Summary,
    /// How far it got.
    pub status: Status,
    /// Entries that could not be read.
    pub missing: u64,
    /// Program and version.
    pub program: String,
    /// Kept from policies.
    pub pinned: Option<Pin>,
}

impl Snapshot {
    /// The record; `grease` is an optional field with no meaning, to keep readers in the habit of skipping.
    pub fn encode(&self, grease: Option<[u8; 4]>) -> Vec<u8> {
        let mut map = MapWriter::new();
        cbor::put_time(map.key(1), self.begun);
        cbor::put_time(map.key(2), self.ended);
        cbor::put_text(map.key(3), &self.host);
        cbor::put_text(map.key(4), &self.user);
        if let Some(source) = &self.source {
            cbor::put_text(map.key(5), source);
        }
        let paths = map.key(6);
        cbor::put_array(paths, self.paths.len());
        for path in &self.paths {
            cbor::put_bytes(paths, path);
        }
        if !self.tags.is_empty() {
            let tags = map.key(7);
            cbor::put_array(tags, self.tags.len());
            for tag in &self.tags {
                cbor::put_text(tags, tag);
            }
        }
        cbor::put_bytes(map.key(8), &self.root.0);
        if let Some(parent) = self.parent {
            cbor::put_bytes(map.key(9), &parent.0);
        }
        cbor::put_text(map.key(10), &self.writer);
        cbor::put_uint(map.key(11), self.sequence);
        if let Some(predecessor) = self.predecessor {
            cbor::put_bytes(map.key(12), &predecessor.0);
        }
        if let Some(original) = self.original {
            cbor::put_bytes(map.key(13), &original.0);
        }
        let mut counts = self.summary;
        let mut summary = MapWriter::new();
        for (key, count) in (1..).zip(counts.fields()) {
            cbor::put_uint(summary.key(key), *count);
        }
        for (key, count) in [(11, counts.incompressible_bytes), (12, counts.files_gone), (13, counts.files_rewritten)] {
            if let Some(count) = count {
                cbor::put_uint(summary.key(key), count);
            }
        }
        summary.finish_into(map.key(14));
        cbor::put_uint(map.key(15), self.status as u64);
        if self.missing > 0 {
            cbor::put_uint(map.key(16), self.missing);
        }
        cbor::put_text(map.key(17), &self.program);
        if let Some(pin) = &self.pinned {
            let mut inner = MapWriter::new();
            cbor::put_text(inner.key(1), &pin.reason);
            if let Some(until) = pin.until {
                cbor::put_time(inner.key(2), until);
            }
            inner.finish_into(map.key(18));
        }
        if let Some(grease) = grease {
            cbor::put_bytes(map.key(100 + u64::from(grease[0]) % 28), &grease);
        }
        map.finish()
    }

    /// Reads the record.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut d = Decoder::new(bytes);
        let mut map = d.map(1, "snapshot")?;
        let (mut begun, mut ended, mut host, mut user, mut source, mut paths) = (None, None, None, None, None, None);
        let (mut tags, mut root, mut parent, mut writer, mut sequence, mut predecessor) = (Vec::new(), None, None, None, None, None);
        let (mut original, mut summary, mut status, mut missing, mut program, mut pinned) = (None, Summary::default(), None, 0, None, None);
        while let Some(key) = map.key(&mut d)? {
            match key {
                1 => begun = Some(d.time("time begun")?),
                2 => ended = Some(d.time("time ended")?),
                3 => host = Some(d.text("host")?.to_owned()),
                4 => user = Some(d.text("user")?.to_owned()),
                5 => source = Some(d.text("source")?.to_owned()),
                6 => {
                    let count = d.array("paths")?;
                    if count > PATHS_MAX {
                        return Err(FormatError::TooLarge("paths of a snapshot"));
                    }
                    paths = Some((0..count).map(|_| d.bytes("path").map(<[u8]>::to_vec)).collect::<Result<Vec<_>>>()?);
                }
                7 => {
                    let count = d.array("tags")?;
                    if count > TAGS_MAX {
                        return Err(FormatError::TooLarge("tags of a snapshot"));
                    }
                    for _ in 0..count {
                        tags.push(d.text("tag")?.to_owned());
                    }
                    if tags.is_empty() {
                        return Err(FormatError::WrongField("tags"));
                    }
                    if !tags.is_sorted_by(|a, b| a < b) {
                        return Err(FormatError::BadStructure("tags out of order"));
                    }
                }
                8 => root = Some(TreeId(d.bytes_exact("root")?)),
                9 => parent = Some(ObjectId(d.bytes_exact("parent")?)),
                10 => writer = Some(d.text("writer")?.to_owned()),
                11 => sequence = Some(Some(d.uint("sequence")?).filter(|sequence| *sequence > 0).ok_or(FormatError::WrongField("sequence"))?),
                12 => predecessor = Some(ObjectId(d.bytes_exact("predecessor")?)),
                13 => original = Some(ObjectId(d.bytes_exact("original")?)),
                14 => summary = decode_summary(&mut d)?,
                15 => {
                    status = Some(match d.uint("status")? {
                        0 => Status::Complete,
                        1 => Status::Incomplete,
                        2 => Status::Partial,
                        _ => return Err(FormatError::WrongField("status of a snapshot")),
                    });
                }
                16 => missing = Some(d.uint("missing entries")?).filter(|n| *n > 0).ok_or(FormatError::WrongField("missing entries"))?,
                17 => program = Some(d.text("program")?.to_owned()),
                18 => pinned = Some(decode_pin(&mut d)?),
                96 => drop(d.bytes("signature")?),
                _ => drop(map.unknown(key, &mut d)?),
            }
        }
        d.finish()?;
        let absent = FormatError::MissingField("snapshot");
        if sequence.is_some_and(|sequence| (sequence == 1) != predecessor.is_none()) {
            return Err(FormatError::BadStructure("a predecessor that does not fit the sequence"));
        }
        Ok(Self {
            begun: begun.ok_or(absent.clone())?,
            ended: ended.ok_or(absent.clone())?,
            host: host.ok_or(absent.clone())?,
            user: user.ok_or(absent.clone())?,
            source,
            paths: paths.ok_or(absent.clone())?,
            tags,
            root: root.ok_or(absent.clone())?,
            parent,
            writer: writer.ok_or(absent.clone())?,
            sequence: sequence.ok_or(absent.clone())?,
            predecessor,
            original,
            summary,
            status: status.ok_or(absent.clone())?,
            missing,
            program: program.ok_or(absent)?,
            pinned,
        })
    }
}

fn decode_pin(d: &mut Decoder<'_>) -> Result<Pin> {
    let (mut reason, mut until) = (None, None);
    let mut map = d.map(2, "pin")?;
    while let Some(key) = map.key(d)? {
        match key {
            1 => reason = Some(d.text("reason of a pin")?.to_owned()),
            2 => until = Some(d.time("end of a pin")?),
            _ => drop(map.unknown(key, d)?),
        }
    }
    Ok(Pin { reason: reason.ok_or(FormatError::MissingField("pin"))?, until })
}

fn decode_summary(d: &mut Decoder<'_>) -> Result<Summary> {
    let mut summary = Summary::default();
    let mut map = d.map(2, "summary")?;
    while let Some(key) = map.key(d)? {
        match key {
            11 => summary.incompressible_bytes = Some(d.uint("summary")?),
            12 => summary.files_gone = Some(d.uint("summary")?),
            13 => summary.files_rewritten = Some(d.uint("summary")?),
            _ => match summary.fields().into_iter().nth((key as usize).wrapping_sub(1)) {
                Some(count) => *count = d.uint("summary")?,
                None => drop(map.unknown(key, d)?),
            },
        }
    }
    Ok(summary)
}

/// Says that a snapshot was removed on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forget {
    /// The snapshot.
    pub snapshot: ObjectId,
    /// Its writer.
    pub writer: String,
    /// Its sequence.
    pub sequence: u64,
    /// When it was forgotten.
    pub forgotten: Time,
    /// The snapshot that takes its place.
    pub replaced_by: Option<ObjectId>,
    /// The snapshot's own record, as earlier programs put it: for all to read who have the control key.
    pub record: Option<Vec<u8>>,
    /// The session that put the snapshot, which has ended.
    pub session: Option<[u8; 16]>,
    /// The snapshot's object as it was stored: its record for those who may open it.
    pub object: Option<Vec<u8>>,
}

impl Forget {
    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut map = MapWriter::new();
        cbor::put_bytes(map.key(1), &self.snapshot.0);
        cbor::put_text(map.key(2), &self.writer);
        cbor::put_uint(map.key(3), self.sequence);
        cbor::put_time(map.key(4), self.forgotten);
        if let Some(by) = self.replaced_by {
            cbor::put_bytes(map.key(5), &by.0);
        }
        if let Some(record) = &self.record {
            cbor::put_bytes(map.key(6), record);
        }
        if let Some(session) = &self.session {
            cbor::put_bytes(map.key(7), session);
        }
        if let Some(object) = &self.object {
            cbor::put_bytes(map.key(8), object);
        }
        map.finish()
    }

    /// The snapshot's record from which it can be put again, for who may open it: of its object if that is the one that is named, else as earlier programs put it.
    pub fn kept(&self, ring: &KeyRing) -> Option<Vec<u8>> {
        let object = self.object.as_ref().filter(|object| *blake3::hash(object).as_bytes() == self.snapshot.0);
        object.and_then(|object| control::open(ring, Sealed::Snapshot, object).ok()).or_else(|| self.record.clone())
    }

    /// Reads the record.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut d = Decoder::new(bytes);
        let mut map = d.map(1, "forget record")?;
        let (mut snapshot, mut writer, mut sequence, mut forgotten) = (None, None, None, None);
        let (mut replaced_by, mut record, mut session, mut object) = (None, None, None, None);
        while let Some(key) = map.key(&mut d)? {
            match key {
                1 => snapshot = Some(ObjectId(d.bytes_exact("snapshot")?)),
                2 => writer = Some(d.text("writer")?.to_owned()),
                3 => sequence = Some(d.uint("sequence")?),
                4 => forgotten = Some(d.time("time forgotten")?),
                5 => replaced_by = Some(ObjectId(d.bytes_exact("replacement")?)),
                6 => record = Some(d.bytes("record of a snapshot")?.to_vec()),
                7 => session = Some(d.bytes_exact("session id")?),
                8 => object = Some(d.bytes("object of a snapshot")?.to_vec()),
                _ => drop(map.unknown(key, &mut d)?),
            }
        }
        d.finish()?;
        let absent = FormatError::MissingField("forget record");
        Ok(Self {
            snapshot: snapshot.ok_or(absent.clone())?,
            writer: writer.ok_or(absent.clone())?,
            sequence: sequence.ok_or(absent.clone())?,
            forgotten: forgotten.ok_or(absent)?,
            replaced_by,
            record,
            session,
            object,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few kilobytes in a store are 64 MiB of record, and each empty path in it would take 24 bytes.
    #[test]
    fn more_paths_than_anybody_names_are_refused_before_they_are_held() {
        let mut map = MapWriter::new();
        let paths = map.key(6);
        cbor::put_array(paths, PATHS_MAX + 1);
        (0..=PATHS_MAX).for_each(|_| cbor::put_bytes(paths, b""));
        assert_eq!(Snapshot::decode(&map.finish()), Err(FormatError::TooLarge("paths of a snapshot")));
    }

    #[test]
    fn records_go_there_and_back() {
        let snapshot = Snapshot {
            begun: Time { seconds: 1, nanoseconds: 2 },
            ended: Time { seconds: 3, nanoseconds: 4 },
            host: "h".into(),
            user: "u".into(),
            source: Some("s".into()),
            paths: vec![b"/a\xff".to_vec()],
            tags: vec!["a".into(), "b".into()],
            root: TreeId([1; 32]),
            parent: Some(ObjectId([2; 32])),
            writer: "w".into(),
            sequence: 7,
            predecessor: Some(ObjectId([3; 32])),
            original: None,
            summary: Summary { files_new: 5, stored_bytes: 9, incompressible_bytes: Some(0), files_gone: Some(3), files_rewritten: None, ..Summary::default() },
            status: Status::Incomplete,
            missing: 2,
            program: "vault 0".into(),
            pinned: Some(Pin { reason: "why".into(), until: Some(Time { seconds: 8, nanoseconds: 0 }) }),
        };
        for grease in [None, Some([9, 1, 1, 1])] {
            let bytes = snapshot.encode(grease);
            assert_eq!(Snapshot::decode(&bytes), Ok(snapshot.clone()));
            for at in 0..bytes.len() {
                assert!(Snapshot::decode(&bytes[..at]).is_err());
            }
        }
        let forget = Forget {
            snapshot: ObjectId([1; 32]),
            writer: "w".into(),
            sequence: 3,
            forgotten: Time::default(),
            replaced_by: Some(ObjectId([4; 32])),
            record: Some(snapshot.encode(None)),
            session: Some([5; 16]),
            object: Some(vec![6; 7]),
        };
        assert_eq!(Forget::decode(&forget.encode()), Ok(forget));
    }
}
