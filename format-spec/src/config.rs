//! Chapter 9: the configuration.

use crate::cbor::{self, Array, Time};
use crate::fault::{Result, Rule, fail};
use crate::keys::Bytes16;

/// A configuration that this reader can read by.
#[derive(Debug, PartialEq, Eq)]
pub struct Config {
    /// The repository id.
    pub id: Bytes16,
    /// When it was made.
    pub made: Time,
    /// Features a writer must know.
    pub writer_features: Vec<u64>,
    /// Chunker id, cipher for new blocks, parity scheme, size of new data packs: for writers.
    pub writing: [u64; 4],
    /// Of several configurations the one with the highest counts.
    pub sequence: u64,
}

fn features(list: Array<'_>) -> Result<Vec<u64>> {
    let mut features = Vec::new();
    for item in list.items() {
        let feature = item.unsigned()?;
        if features.last().is_some_and(|last| *last >= feature) {
            return fail(Rule::BadStructure, "features that are not ascending");
        }
        features.push(feature);
    }
    Ok(features)
}

impl Config {
    /// Reads a configuration's record.
    pub fn parse(record: &[u8], id: &Bytes16) -> Result<Config> {
        let map = cbor::decode(record)?.map(&[])?;
        let version = map.need(2)?.unsigned()?;
        if version != 1 {
            return fail(Rule::Unsupported, format!("format version {version}"));
        }
        let reading = features(map.need(4)?.array()?)?;
        if let Some(feature) = reading.first() {
            return fail(Rule::Unsupported, format!("feature {feature}, which readers must know"));
        }
        if let Some(found) = map.get(11) {
            found.map(&[])?;
        }
        let config = Config {
            id: map.need(1)?.fixed()?,
            made: map.need(3)?.time()?,
            writer_features: features(map.need(5)?.array()?)?,
            writing: [map.need(6)?.unsigned()?, map.need(7)?.unsigned()?, map.need(8)?.unsigned()?, map.need(9)?.unsigned()?],
            sequence: map.need(10)?.unsigned()?,
        };
        if config.id != *id {
            return fail(Rule::BadStructure, "a configuration of another repository");
        }
        Ok(config)
    }
}
