//! The operations that vectors call by name, done by the engine. Keys that the engine never shows are proved by what they do.

use super::{objects, whole};
use vault_engine::format::FormatError;
use vault_engine::format::cbor::Decoder;
use vault_engine::format::chunker::{ChunkClass, Chunker};
use vault_engine::format::compress::{self, Method};
use vault_engine::format::id::{ObjectId, RepositoryId};
use vault_engine::format::keys::{Bundle, Key, KeyClass, KeyRing, PublicKey, Role, SessionRandom, WrapPlace};
use vault_engine::format::node::Time;
use vault_engine::format::seal::{Cipher, SealKey, Sealed, padded_length};
use vault_engine::format::secret::{read_key_file, read_recovery_key};
use vault_engine::store::error::RepositoryError;
use vault_rescue::fault::Fault;
use vault_rescue::keys::{h, hex, kh, kx, le};
use vault_rescue::vectors::Vector;

/// Why there is no outcome.
#[derive(Debug)]
pub enum Refusal {
    /// The input is refused: the word for it, and the engine's own reason.
    Word(&'static str, String),
    /// The vector itself cannot be run.
    Vector(String),
}

/// Names (without `out-`) and values.
pub type Outputs = Vec<(&'static str, String)>;
pub type Outcome = Result<Outputs, Refusal>;

fn word_of(error: &FormatError) -> &'static str {
    match error {
        FormatError::Truncated => "truncated",
        FormatError::NotCanonical(_) => "not-canonical",
        FormatError::UnknownCritical(_) => "unknown-critical",
        FormatError::WrongField(_) => "wrong-type",
        FormatError::TooLarge(_) => "too-large",
        FormatError::MissingField(_) | FormatError::BadStructure(_) | FormatError::WrongRepository => "bad-structure",
        FormatError::Unsupported { .. } => "unsupported",
        FormatError::NotAuthentic => "not-authentic",
        FormatError::WrongKey => "wrong-key",
        FormatError::UnknownEpoch(_) => "unknown-epoch",
        FormatError::WrongHash => "wrong-hash",
        FormatError::WrongName => "wrong-name",
        FormatError::NotAllowed { .. } => "not-allowed",
    }
}

impl From<FormatError> for Refusal {
    fn from(error: FormatError) -> Self {
        Self::Word(word_of(&error), error.to_string())
    }
}

impl From<RepositoryError> for Refusal {
    fn from(error: RepositoryError) -> Self {
        let word = match &error {
            RepositoryError::Format { error, .. } => word_of(error),
            RepositoryError::MissingChunk(_) | RepositoryError::NoRepository(_) => "missing",
            RepositoryError::WrongKey { .. } => "wrong-key",
            _ => return Self::Vector(error.to_string()),
        };
        Self::Word(word, error.to_string())
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Vector(fault.to_string())
    }
}

pub fn join<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

pub fn time(time: Time) -> String {
    format!("{}.{:09}", time.seconds, time.nanoseconds)
}

pub fn optional(name: Option<ObjectId>) -> String {
    name.map_or("-".to_owned(), |name| name.to_hex())
}

pub fn repository(v: &Vector) -> Result<RepositoryId, Refusal> {
    Ok(RepositoryId(v.id()?))
}

/// The keys of a vector; those of the first `epochs` epochs only.
fn ring_of(v: &Vector, epochs: usize) -> Result<KeyRing, Refusal> {
    let id = if v.fields.contains_key("repository") { repository(v)? } else { RepositoryId([0; 16]) };
    Ok(KeyRing::new(id, v.roots()?.all().iter().take(epochs).map(|root| Key(*root)).collect()))
}

pub fn ring(v: &Vector) -> Result<KeyRing, Refusal> {
    ring_of(v, usize::MAX)
}

/// What a slot of the role backup holds in an epoch.
fn backup_bundle(v: &Vector, epoch: u64) -> Result<Bundle, Refusal> {
    let roots: Vec<Key> = v.roots()?.all().iter().take(epoch as usize + 1).map(|root| Key(*root)).collect();
    Ok(Bundle::of_role(Role::Backup, &roots, Key([0; 32]))?)
}

fn public_key(v: &Vector, epoch: u64, class: KeyClass) -> Result<PublicKey, Refusal> {
    match (backup_bundle(v, epoch)?, class) {
        (Bundle::Backup { data, .. }, KeyClass::Data) => Ok(*data),
        (Bundle::Backup { tree, .. }, KeyClass::Tree) => Ok(*tree),
        _ => Err(Refusal::Vector("another role".to_owned())),
    }
}

fn class(v: &Vector) -> Result<KeyClass, Refusal> {
    match v.byte("class")? {
        1 => Ok(KeyClass::Data),
        2 => Ok(KeyClass::Tree),
        _ => Err(Refusal::Vector("class is 1 or 2".to_owned())),
    }
}

pub fn sealed(number: u8) -> Result<Sealed, Refusal> {
    Ok(match number {
        1 => Sealed::DataBlock,
        2 => Sealed::TreeBlock,
        3 => Sealed::PackTable,
        4 => Sealed::SlotBundle,
        5 => Sealed::SlotLabel,
        6 => Sealed::WrappedKey,
        16 => Sealed::Config,
        17 => Sealed::Snapshot,
        18 => Sealed::Forget,
        19 => Sealed::Index,
        20 => Sealed::Condemn,
        21 => Sealed::Sweep,
        22 => Sealed::SweepDone,
        _ => return Err(Refusal::Vector(format!("kind {number}"))),
    })
}

/// The stated key, if the engine's does what that one would.
fn proved(v: &Vector, name: &'static str, holds: impl FnOnce(&[u8; 32]) -> bool) -> Result<(&'static str, String), Refusal> {
    let stated = v.fixed(&format!("out-{name}"))?;
    Ok((name, if holds(&stated) { hex(&stated) } else { "another key".to_owned() }))
}

/// What a key makes of a message.
fn mark(key: &SealKey) -> Vec<u8> {
    key.seal(RepositoryId([1; 16]), Sealed::Index, Cipher::XChaCha20Poly1305, b"extra", &[2; 32], b"message")
}

/// Runs the vector's operation.
pub fn run(v: &Vector) -> Outcome {
    match v.text("op")? {
        "cbor" | "cbor-record" | "cbor-time" => cbor(v),
        "derive" => derive(v),
        "session-key" => {
            let (session, random) = (v.fixed("session")?, v.fixed("random")?);
            let key = ring_of(v, v.number("epoch")? as usize + 1)?
                .session_key(class(v)?, &session, v.text("host")?, &SessionRandom { key: random, nonce: [0; 32], encapsulation: [7; 32] })
                .unwrap();
            Ok(vec![proved(v, "key", |stated| mark(&SealKey::new(stated)) == mark(&key.seal))?])
        }
        "encapsulation-bytes" => {
            let (session, random, class, epoch) = (v.fixed("session")?, v.fixed("random")?, class(v)?, v.number("epoch")?);
            ring(v)?.control(epoch as u32)?;
            let (backup, host) = (KeyRing::of(RepositoryId([0; 16]), backup_bundle(v, epoch)?), v.text("host")?);
            let made = backup.session_key(class, &session, host, &SessionRandom { key: [1; 32], nonce: [0; 32], encapsulation: random })?.wrapped;
            let place = WrapPlace { repository: backup.repository, class, epoch: epoch as u32, session };
            let stated = v.fixed("out-bytes")?;
            // What the engine encapsulates with these bytes is what it encapsulated.
            let same = place.wrap_to(&public_key(v, epoch, class)?, &stated, &[1; 32], &[0; 32])[56..1176] == made[56..1176];
            Ok(vec![("bytes", if same { hex(&stated) } else { "others".to_owned() })])
        }
        "wrap-to-public" => {
            let (class, epoch) = (class(v)?, v.number("epoch")?);
            let place = WrapPlace { repository: repository(v)?, class, epoch: epoch as u32, session: v.fixed("session")? };
            let public = public_key(v, epoch, class)?;
            let record = place.wrap_to(&public, &v.fixed("encapsulation-bytes")?, &v.fixed("key")?, &v.fixed("random")?);
            Ok(vec![("record", hex(&record))])
        }
        "wrapped-key" => {
            let class = if v.input.get(1) == Some(&2) { KeyClass::Tree } else { KeyClass::Data };
            let key = ring(v)?.unwrap(class, &v.input)?;
            Ok(vec![
                ("class", (class as u8).to_string()),
                ("epoch", le(&v.input, 4, 4).to_string()),
                ("session", hex(&v.input[8..24])),
                proved(v, "key", |stated| mark(&SealKey::new(stated)) == mark(&key))?,
            ])
        }
        "chunk-name" => {
            let ring = ring(v)?;
            let name = match class(v)? {
                KeyClass::Data => ring.data_names().unwrap().name(&v.input).to_hex(),
                KeyClass::Tree => ring.name_tree(&v.input).to_hex(),
            };
            Ok(vec![("name", name)])
        }
        "key-text" => {
            let text = std::str::from_utf8(&v.input).map_err(|_| FormatError::BadStructure("not UTF-8"))?;
            let key = if v.text("part")? == "vaultkey" { read_key_file(text) } else { read_recovery_key(text) };
            Ok(vec![("secret", hex(&key.ok_or(FormatError::BadStructure("no key"))?.0))])
        }
        "open-box" => {
            let (key, extra) = (SealKey::new(&v.fixed("key")?), v.hex("extra")?);
            let message = key.open(repository(v)?, sealed(v.byte("kind")?)?, Cipher::from_code(v.byte("cipher")?)?, &extra, &v.input)?;
            Ok(vec![("message", hex(&message))])
        }
        "seal-box" => {
            let (key, extra, random) = (SealKey::new(&v.fixed("key")?), v.hex("extra")?, v.fixed("random")?);
            let made = key.seal(repository(v)?, sealed(v.byte("kind")?)?, Cipher::from_code(v.byte("cipher")?)?, &extra, &random, &v.input);
            Ok(vec![("box", hex(&made))])
        }
        "decompress" => {
            let mut plain = Vec::new();
            compress::decompress(&v.input, Method::from_code(v.byte("method")?)?, v.number("plain")? as usize, &mut plain)?;
            Ok(vec![("hash", hex(&h(&plain)))])
        }
        "padme" => Ok(vec![("length", padded_length(v.number("length")?).to_string())]),
        "gear" => {
            let bytes: Vec<u8> = ring(v)?.data_names().unwrap().gear().iter().flat_map(|entry| entry.to_le_bytes()).collect();
            Ok(vec![("hash", hex(&h(&bytes)))])
        }
        "cut" => cut(v),
        "make-confirmation" => {
            let bytes = ring(v)?.confirmation(v.number("epoch")? as u32, ObjectId(v.fixed("snapshot")?))?;
            Ok(vec![("bytes", hex(&bytes)), ("name", hex(&h(&bytes)))])
        }
        "confirmation" => Ok(vec![("snapshot", ring(v)?.read_confirmation(&v.input)?.0.to_hex())]),
        "slot" => objects::slot(v),
        "control" => objects::control(v),
        "config" => objects::config(v),
        "snapshot" => objects::snapshot(v),
        "forget" => objects::forget(v),
        "forget-kept" => objects::forget_kept(v),
        "index" => objects::index(v),
        "sweep" | "sweep-done" => objects::sweep(v),
        "node" => objects::node(v),
        "pack" => objects::pack(v, true),
        "pack-read" => objects::pack(v, false),
        "parity" => objects::parity(v),
        "walk" => whole::walk(v),
        "repository" => whole::repository(v),
        op => Err(Refusal::Vector(format!("unknown operation {op}"))),
    }
}

fn cbor(v: &Vector) -> Outcome {
    let mut d = Decoder::new(&v.input);
    let mut outputs = Vec::new();
    match v.text("op")? {
        "cbor" => drop(d.skip(1)?),
        "cbor-record" => {
            let mut map = d.map(1, "record")?;
            let mut pairs = 0;
            while let Some(key) = map.key(&mut d)? {
                map.unknown(key, &mut d)?;
                pairs += 1;
            }
            outputs.push(("pairs", pairs.to_string()));
        }
        _ => outputs.push(("time", time(d.time("time")?))),
    }
    d.finish()?;
    Ok(outputs)
}

fn derive(v: &Vector) -> Outcome {
    let (all, epoch) = (ring(v)?, v.number("epoch")? as u32);
    let control = all.control(epoch)?;
    // Writers use the newest epoch: as if this one were.
    let newest = ring_of(v, epoch as usize + 1)?;
    let id = v.id()?;
    let (session, random, host) = ([3; 16], [4; 32], "host");
    let wrapped = |class, stated: &[u8; 32]| {
        let key = newest.session_key(class, &session, host, &SessionRandom { key: random, nonce: [5; 32], encapsulation: [7; 32] }).unwrap();
        kx(stated, &[&[class as u8], &session]).1 == key.wrapped[24..56]
    };
    let hedged = |stated: &[u8; 32]| {
        let key = kh(stated, &[&random, &4u32.to_le_bytes(), host.as_bytes(), &session, &[1]]);
        mark(&SealKey::new(&key))
            == mark(&newest.session_key(KeyClass::Data, &session, host, &SessionRandom { key: random, nonce: [5; 32], encapsulation: [7; 32] }).unwrap().seal)
    };
    let confirmation = all.confirmation(epoch, ObjectId([6; 32]))?;
    let gear: Vec<u8> = all.data_names().unwrap().gear().iter().flat_map(|entry| entry.to_le_bytes()).collect();
    Ok(vec![
        proved(v, "name-data", |key| all.data_names().unwrap().name(b"x").0 == kh(key, &[b"x"]))?,
        proved(v, "name-tree", |key| all.name_tree(b"x").0 == kh(key, &[b"x"]))?,
        proved(v, "chunker", |key| vault_rescue::chunker::Gear::new(key).bytes()[..] == gear[..])?,
        proved(v, "split", |key| u64::from(all.split_number(b"x")) == le(&kh(key, &[b"x"]), 0, 4))?,
        proved(v, "control", |key| mark(&SealKey::new(key)) == mark(control))?,
        proved(v, "confirm", |key| kh(key, &[&id, &[6; 32]]) == confirmation[60..92])?,
        proved(v, "wrap-data", |key| wrapped(KeyClass::Data, key))?,
        proved(v, "wrap-tree", |key| wrapped(KeyClass::Tree, key))?,
        proved(v, "hedge", hedged)?,
        ("public-data", hex(&h(&public_key(v, u64::from(epoch), KeyClass::Data)?.encode()))),
        ("public-tree", hex(&h(&public_key(v, u64::from(epoch), KeyClass::Tree)?.encode()))),
    ])
}

fn cut(v: &Vector) -> Outcome {
    let class = match v.byte("class")? {
        1 => ChunkClass::Files,
        2 => ChunkClass::Dumps,
        3 => ChunkClass::Images,
        number => return Err(FormatError::Unsupported { what: "chunker class", number: u64::from(number) }.into()),
    };
    let chunker = Chunker::new(ring(v)?.data_names().unwrap().gear());
    let (mut rest, mut lengths) = (&v.input[..], Vec::new());
    while !rest.is_empty() {
        let length = chunker.cut_in_file(class, v.input.len() as u64, rest);
        lengths.push(length);
        rest = &rest[length..];
    }
    Ok(vec![("lengths", join(lengths))])
}
