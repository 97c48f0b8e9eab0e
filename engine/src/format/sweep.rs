//! What sweepers leave in `gc/`: which packs are condemned, which are being deleted, and that a sweep is over (SPEC chapter 8).

use super::cbor::{self, Decoder, MapWriter};
use super::error::{FormatError, Result};
use super::id::ObjectId;
use super::node::Time;
use super::seal::Sealed;

/// Packs that somebody condemned or sweeps, and who that was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Victims {
    /// Packs of file contents, in ascending order of their names.
    pub data: Vec<ObjectId>,
    /// Packs of trees, likewise.
    pub meta: Vec<ObjectId>,
    /// When the record was made.
    pub made: Time,
    /// The host of the program that made it.
    pub host: String,
}

/// A record in `gc/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SweepRecord {
    /// These packs will probably be swept: advice to writers, and nothing more.
    Condemn(Victims),
    /// These packs are being deleted, until a [`SweepRecord::Done`] says that it is over.
    Sweep(Victims),
    /// A sweep is over: what was not spared is gone.
    Done {
        /// Name of the sweep's record.
        sweep: ObjectId,
        /// When this record was made.
        made: Time,
    },
}

fn put_names(out: &mut Vec<u8>, names: &[ObjectId]) {
    let bytes: Vec<u8> = names.iter().flat_map(|name| name.0).collect();
    cbor::put_bytes(out, &bytes);
}

fn names(bytes: &[u8]) -> Result<Vec<ObjectId>> {
    let (names, rest) = bytes.as_chunks::<32>();
    if !rest.is_empty() {
        return Err(FormatError::BadStructure("names of a broken length"));
    }
    let names: Vec<ObjectId> = names.iter().map(|name| ObjectId(*name)).collect();
    if names.is_sorted_by(|a, b| a < b) { Ok(names) } else { Err(FormatError::BadStructure("packs out of order")) }
}

impl Victims {
    fn encode(&self) -> Vec<u8> {
        let mut map = MapWriter::new();
        put_names(map.key(1), &self.data);
        put_names(map.key(2), &self.meta);
        cbor::put_time(map.key(3), self.made);
        cbor::put_text(map.key(4), &self.host);
        map.finish()
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut d = Decoder::new(bytes);
        let mut map = d.map(1, "sweep record")?;
        let (mut data, mut meta, mut made, mut host) = (None, None, None, None);
        while let Some(key) = map.key(&mut d)? {
            match key {
                1 => data = Some(names(d.bytes("data packs")?)?),
                2 => meta = Some(names(d.bytes("meta packs")?)?),
                3 => made = Some(d.time("time made")?),
                4 => host = Some(d.text("host")?.to_owned()),
                _ => drop(map.unknown(key, &mut d)?),
            }
        }
        d.finish()?;
        let absent = FormatError::MissingField("sweep record");
        let victims =
            Self { data: data.ok_or(absent.clone())?, meta: meta.ok_or(absent.clone())?, made: made.ok_or(absent.clone())?, host: host.ok_or(absent)? };
        if victims.data.is_empty() && victims.meta.is_empty() { Err(FormatError::BadStructure("a sweep record without packs")) } else { Ok(victims) }
    }
}

impl SweepRecord {
    /// The kind of control object it is sealed as.
    pub fn sealed(&self) -> Sealed {
        match self {
            Self::Condemn(_) => Sealed::Condemn,
            Self::Sweep(_) => Sealed::Sweep,
            Self::Done { .. } => Sealed::SweepDone,
        }
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Condemn(victims) | Self::Sweep(victims) => victims.encode(),
            Self::Done { sweep, made } => {
                let mut map = MapWriter::new();
                cbor::put_bytes(map.key(1), &sweep.0);
                cbor::put_time(map.key(2), *made);
                map.finish()
            }
        }
    }

    /// Reads the record of an object of the kind `sealed`.
    pub fn decode(sealed: Sealed, bytes: &[u8]) -> Result<Self> {
        match sealed {
            Sealed::Condemn => Ok(Self::Condemn(Victims::decode(bytes)?)),
            Sealed::Sweep => Ok(Self::Sweep(Victims::decode(bytes)?)),
            Sealed::SweepDone => {
                let mut d = Decoder::new(bytes);
                let mut map = d.map(1, "end of a sweep")?;
                let (mut sweep, mut made) = (None, None);
                while let Some(key) = map.key(&mut d)? {
                    match key {
                        1 => sweep = Some(ObjectId(d.bytes_exact("name of a sweep")?)),
                        2 => made = Some(d.time("time made")?),
                        _ => drop(map.unknown(key, &mut d)?),
                    }
                }
                d.finish()?;
                let absent = FormatError::MissingField("end of a sweep");
                Ok(Self::Done { sweep: sweep.ok_or(absent.clone())?, made: made.ok_or(absent)? })
            }
            _ => Err(FormatError::BadStructure("no sweep record")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_go_there_and_back_and_not_as_another_kind() {
        let victims = Victims { data: vec![ObjectId([1; 32]), ObjectId([2; 32])], meta: vec![ObjectId([3; 32])], made: Time::default(), host: "h".into() };
        let done = SweepRecord::Done { sweep: ObjectId([4; 32]), made: Time { seconds: 5, nanoseconds: 6 } };
        for record in [SweepRecord::Condemn(victims.clone()), SweepRecord::Sweep(victims), done] {
            let bytes = record.encode();
            assert_eq!(SweepRecord::decode(record.sealed(), &bytes), Ok(record.clone()));
            let other = if record.sealed() == Sealed::SweepDone { Sealed::Sweep } else { Sealed::SweepDone };
            assert!(SweepRecord::decode(other, &bytes).is_err());
            for at in 0..bytes.len() {
                assert!(SweepRecord::decode(record.sealed(), &bytes[..at]).is_err());
            }
        }
    }

    #[test]
    fn a_set_is_ordered_whole_and_not_empty() {
        let of = |data: &[u8]| {
            let mut map = MapWriter::new();
            cbor::put_bytes(map.key(1), data);
            cbor::put_bytes(map.key(2), &[]);
            cbor::put_time(map.key(3), Time::default());
            cbor::put_text(map.key(4), "");
            SweepRecord::decode(Sealed::Sweep, &map.finish())
        };
        assert!(of(&[0; 32]).is_ok());
        assert!(of(&[]).is_err());
        assert!(of(&[0; 31]).is_err());
        assert!(of(&[[2; 32], [1; 32]].concat()).is_err());
        assert!(of(&[[1; 32], [1; 32]].concat()).is_err());
    }
}
