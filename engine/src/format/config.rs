//! What a repository decided once: chunker, cipher, pack size, and the features one must know (SPEC chapter 9).

use super::cbor::{self, Decoder, MapWriter};
use super::error::{FormatError, Result};
use super::id::RepositoryId;
use super::node::Time;
use super::parity::ParityScheme;
use super::seal::Cipher;

/// The version of the format that this program reads and writes.
pub const FORMAT_VERSION: u64 = 1;
/// Smallest and largest size of a data pack in bytes that a configuration may ask for.
pub const PACK_SIZE_BYTES: std::ops::RangeInclusive<u64> = 64 * 1024..=128 * 1024 * 1024;

/// Stands among the features a writer must know for a chunker, cipher or parity scheme that this program does not know.
pub const UNKNOWN_NUMBERS: u64 = u64::MAX;

/// A repository's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The repository.
    pub repository: RepositoryId,
    /// When it was made.
    pub created: Time,
    /// Features a writer must know; this program knows none, so it only writes where this is empty.
    pub write_features: Vec<u64>,
    /// Cipher for new blocks.
    pub cipher: Cipher,
    /// Parity of new packs.
    pub parity: ParityScheme,
    /// Size of new data packs in bytes.
    pub pack_size_bytes: u64,
    /// Of several configurations the highest counts.
    pub sequence: u64,
}

impl Config {
    /// The record; `grease` is an optional field with no meaning, to keep readers in the habit of skipping.
    pub fn encode(&self, grease: Option<[u8; 4]>) -> Vec<u8> {
        let mut map = MapWriter::new();
        cbor::put_bytes(map.key(1), &self.repository.0);
        cbor::put_uint(map.key(2), FORMAT_VERSION);
        cbor::put_time(map.key(3), self.created);
        cbor::put_array(map.key(4), 0);
        let features = map.key(5);
        cbor::put_array(features, self.write_features.len());
        for feature in &self.write_features {
            cbor::put_uint(features, *feature);
        }
        cbor::put_uint(map.key(6), 1);
        cbor::put_uint(map.key(7), self.cipher as u64);
        cbor::put_uint(map.key(8), self.parity as u64);
        cbor::put_uint(map.key(9), self.pack_size_bytes);
        cbor::put_uint(map.key(10), self.sequence);
        if let Some(grease) = grease {
            cbor::put_bytes(map.key(100 + u64::from(grease[0]) % 28), &grease);
        }
        map.finish()
    }

    /// Reads the record. What this program must know to read the repository and does not is refused here.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut d = Decoder::new(bytes);
        let mut map = d.map(1, "configuration")?;
        let (mut repository, mut version, mut created, mut read_features, mut write_features) = (None, None, None, None, None);
        let (mut chunker, mut cipher, mut parity, mut pack_size_bytes, mut sequence) = (None, None, None, None, None);
        let mut unsupported = None;
        while let Some(key) = map.key(&mut d)? {
            match key {
                1 => repository = Some(RepositoryId(d.bytes_exact("repository id")?)),
                2 => version = Some(d.uint("format version")?),
                3 => created = Some(d.time("time made")?),
                4 => read_features = Some(features(&mut d)?),
                5 => write_features = Some(features(&mut d)?),
                6 => chunker = Some(d.uint("chunker")?),
                7 => cipher = Some(d.uint("cipher")?),
                8 => parity = Some(d.uint("parity scheme")?),
                9 => pack_size_bytes = Some(d.uint("pack size")?),
                10 => sequence = Some(d.uint("sequence")?),
                11 => {
                    let mut found = d.map(2, "findings about the store")?;
                    while let Some(key) = found.key(&mut d)? {
                        found.unknown(key, &mut d)?;
                    }
                }
                _ => drop(map.unknown(key, &mut d)?),
            }
        }
        d.finish()?;
        let missing = FormatError::MissingField("configuration");
        let mut need = |what, number: u64, known: bool| {
            if !known && unsupported.is_none() {
                unsupported = Some(FormatError::Unsupported { what, number });
            }
        };
        let version = version.ok_or(missing.clone())?;
        need("format version", version, version == FORMAT_VERSION);
        for feature in read_features.ok_or(missing.clone())? {
            need("required feature", feature, false);
        }
        let mut write_features = write_features.ok_or(missing.clone())?;
        let (chunker, parity, cipher) = (chunker.ok_or(missing.clone())?, parity.ok_or(missing.clone())?, cipher.ok_or(missing.clone())?);
        // A chunker, cipher or parity scheme for new data that is not known stops writing, not reading.
        let known_parity = ParityScheme::from_code(parity);
        if chunker != 1 || known_parity.is_none() || !matches!(cipher, 1 | 2) {
            write_features.push(UNKNOWN_NUMBERS);
        }
        if let Some(unsupported) = unsupported {
            return Err(unsupported);
        }
        let pack_size_bytes = pack_size_bytes.ok_or(missing.clone())?;
        Ok(Self {
            repository: repository.ok_or(missing.clone())?,
            created: created.ok_or(missing.clone())?,
            write_features,
            cipher: if cipher == 2 { Cipher::Aes256Gcm } else { Cipher::XChaCha20Poly1305 },
            parity: known_parity.unwrap_or_default(),
            pack_size_bytes: pack_size_bytes.clamp(*PACK_SIZE_BYTES.start(), *PACK_SIZE_BYTES.end()),
            sequence: sequence.ok_or(missing)?,
        })
    }
}

fn features(d: &mut Decoder<'_>) -> Result<Vec<u64>> {
    let mut features = Vec::new();
    for _ in 0..d.array("features")? {
        features.push(d.uint("features")?);
    }
    if features.is_sorted_by(|a, b| a < b) { Ok(features) } else { Err(FormatError::BadStructure("features out of order")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            repository: RepositoryId([1; 16]),
            created: Time { seconds: 2, nanoseconds: 3 },
            write_features: Vec::new(),
            cipher: Cipher::Aes256Gcm,
            parity: ParityScheme::ReedSolomon,
            pack_size_bytes: 32 << 20,
            sequence: 1,
        }
    }

    #[test]
    fn configurations_go_there_and_back_with_and_without_grease() {
        for grease in [None, Some([0; 4]), Some([255; 4])] {
            assert_eq!(Config::decode(&config().encode(grease)), Ok(config()));
        }
    }

    #[test]
    fn an_unknown_required_feature_is_refused() {
        let bytes = config().encode(None);
        let at = bytes.windows(2).position(|pair| pair == [4, 0x80]).unwrap();
        let mut newer = bytes.clone();
        newer.splice(at + 1..at + 2, [0x81, 7]);
        assert_eq!(Config::decode(&newer), Err(FormatError::Unsupported { what: "required feature", number: 7 }));
    }
}
