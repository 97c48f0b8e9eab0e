//! Key slots: the root keys locked by one password, key file or recovery key (SPEC chapter 7).

use super::cbor::{self, Decoder, MapWriter};
use super::error::{FormatError, Result};
use super::id::RepositoryId;
use super::keys::{Bundle, Key, KeyRing, Role, equal_in_constant_time, key_and_commitment};
use super::node::Time;
use super::seal::{Cipher, SealKey, Sealed};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

const MAGIC: &[u8; 8] = b"VAULTKY1";
/// Longest slot in bytes.
pub const SLOT_LENGTH_MAX: usize = 64 * 1024;
/// Most slots that are looked at.
pub const SLOTS_MAX: usize = 64;

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SlotKind {
    /// A password.
    Password = 1,
    /// A key file.
    KeyFile = 2,
    /// A recovery key.
    Recovery = 3,
}

/// Cost of guessing a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Argon2Cost {
    /// 64 MiB, 3 passes, 4 lanes: RFC 9106's second choice, about 0.1 s here.
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 }
    }
}

impl Argon2Cost {
    /// Refuses what would keep a reader busy or fill its memory.
    fn check(self) -> Result<()> {
        const GIB_IN_KIB: u64 = 1024 * 1024;
        let memory = u64::from(self.memory_kib);
        if memory > GIB_IN_KIB || self.passes > 16 || self.lanes > 16 || memory * u64::from(self.passes) > 4 * GIB_IN_KIB {
            return Err(FormatError::TooLarge("cost of a password slot"));
        }
        if self.passes == 0 || self.lanes == 0 || memory < 8 * u64::from(self.lanes) {
            return Err(FormatError::BadStructure("a password slot of no passes, no lanes or too little memory"));
        }
        Ok(())
    }
}

/// The secret that somebody brings.
#[derive(Clone)]
pub enum Secret {
    /// A password, as bytes.
    Password(Zeroizing<Vec<u8>>),
    /// The key in a key file.
    KeyFile(Key),
    /// The recovery key.
    Recovery(Key),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({:?})", self.kind())
    }
}

impl Secret {
    /// The kind of slot it opens.
    pub fn kind(&self) -> SlotKind {
        match self {
            Self::Password(_) => SlotKind::Password,
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Recovery(_) => SlotKind::Recovery,
        }
    }
}

/// What people see of a slot; sealed under the repository's control key.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SlotLabel {
    /// A name somebody gave it.
    pub label: String,
    /// When it was made.
    pub created: Time,
    /// On which host.
    pub host: String,
    /// The role of its bundle, for people: what counts is the bundle, which only its holder sees.
    pub role: Role,
}

/// A slot as it lies in the store, not yet opened.
#[derive(Clone, Debug)]
pub struct Slot {
    /// The repository it belongs to.
    pub repository: RepositoryId,
    /// What opens it.
    pub kind: SlotKind,
    cost: Option<Argon2Cost>,
    salt: [u8; 32],
    commitment: [u8; 32],
    /// What the bundle is bound to: pairs 1 to 5 as they are, as a map.
    bundle_extra: Vec<u8>,
    bundle: Vec<u8>,
    label_epoch: u32,
    /// What the label is bound to: pairs 1 to 7 as they are, as a map.
    label_extra: Vec<u8>,
    label: Vec<u8>,
}

/// Fresh random bytes that making a slot needs.
pub struct SlotRandom {
    /// Salt of the slot.
    pub salt: [u8; 32],
    /// For the bundle's nonce.
    pub bundle: [u8; 32],
    /// For the label's nonce.
    pub label: [u8; 32],
}

fn encode_head(map: &mut MapWriter, repository: RepositoryId, kind: SlotKind, cost: Option<Argon2Cost>, salt: &[u8; 32], commitment: &[u8; 32]) {
    cbor::put_bytes(map.key(1), &repository.0);
    cbor::put_uint(map.key(2), kind as u64);
    let mut kdf = MapWriter::new();
    cbor::put_uint(kdf.key(1), u64::from(cost.is_some()));
    if let Some(cost) = cost {
        cbor::put_uint(kdf.key(2), u64::from(cost.memory_kib));
        cbor::put_uint(kdf.key(3), u64::from(cost.passes));
        cbor::put_uint(kdf.key(4), u64::from(cost.lanes));
    }
    kdf.finish_into(map.key(3));
    cbor::put_bytes(map.key(4), salt);
    cbor::put_bytes(map.key(5), commitment);
}

fn slot_key(secret: &Secret, cost: Option<Argon2Cost>, salt: &[u8; 32], repository: RepositoryId) -> Result<(Zeroizing<[u8; 32]>, [u8; 32])> {
    let stretched = match (secret, cost) {
        (Secret::Password(password), Some(cost)) => {
            cost.check()?;
            if std::str::from_utf8(password).is_err() {
                return Err(FormatError::WrongField("a password that is not UTF-8"));
            }
            let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(|_| FormatError::WrongField("cost of a password slot"))?;
            let mut out = Zeroizing::new([0; 32]);
            Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
                .hash_password_into(password, salt, &mut out[..])
                .map_err(|_| FormatError::WrongField("cost of a password slot"))?;
            out
        }
        (Secret::KeyFile(key) | Secret::Recovery(key), None) => Zeroizing::new(key.0),
        _ => return Err(FormatError::WrongKey),
    };
    let mut hasher = blake3::Hasher::new_keyed(&blake3::derive_key("vault v1 slot", &stretched[..]));
    hasher.update(salt);
    hasher.update(&repository.0);
    Ok(key_and_commitment(&hasher))
}

/// Makes a slot with `bundle`, of the epochs that `ring` knows, which `secret` opens; `cost` counts for passwords only.
pub fn create(ring: &KeyRing, bundle: &Bundle, secret: &Secret, cost: Argon2Cost, label: &SlotLabel, random: &SlotRandom) -> Result<Vec<u8>> {
    let cost = matches!(secret, Secret::Password(_)).then_some(cost);
    let (key, commitment) = slot_key(secret, cost, &random.salt, ring.repository)?;
    // The map grows in three steps, and each step's box is bound to the map before it.
    let head = || {
        let mut map = MapWriter::new();
        encode_head(&mut map, ring.repository, secret.kind(), cost, &random.salt, &commitment);
        map
    };
    let message = Zeroizing::new(bundle.encode());
    let boxed = SealKey::new(&key).seal(ring.repository, Sealed::SlotBundle, Cipher::XChaCha20Poly1305, &head().finish(), &random.bundle, &message);
    let epoch = ring.epoch();
    let head = || {
        let mut map = head();
        cbor::put_bytes(map.key(6), &boxed);
        cbor::put_uint(map.key(7), u64::from(epoch));
        map
    };

    let mut record = MapWriter::new();
    cbor::put_text(record.key(1), &label.label);
    cbor::put_time(record.key(2), label.created);
    cbor::put_text(record.key(3), &label.host);
    if label.role != Role::Owner {
        cbor::put_uint(record.key(4), label.role as u64);
    }
    let label = ring.control(epoch)?.seal(ring.repository, Sealed::SlotLabel, Cipher::XChaCha20Poly1305, &head().finish(), &random.label, &record.finish());
    let mut map = head();
    cbor::put_bytes(map.key(8), &label);

    let mut out = MAGIC.to_vec();
    map.finish_into(&mut out);
    Ok(out)
}

impl Slot {
    /// Reads a slot's outside; every cost in it is within bounds afterwards.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > SLOT_LENGTH_MAX {
            return Err(FormatError::TooLarge("key slot"));
        }
        if bytes.len() < MAGIC.len() {
            return Err(FormatError::Truncated);
        }
        let body = bytes.strip_prefix(MAGIC).ok_or(FormatError::BadStructure("not a key slot"))?;
        let mut d = Decoder::new(body);
        let mut map = d.map(1, "key slot")?;
        let (mut repository, mut kind, mut kdf, mut salt, mut commitment, mut bundle, mut label_epoch, mut label) =
            (None, None, None, None, None, None, None, None);
        // Maps of five and of seven pairs; a head of one byte each.
        let (mut bundle_extra, mut label_extra) = (vec![0xa5], vec![0xa7]);
        let mut before = d.rest();
        while let Some(key) = map.key(&mut d)? {
            match key {
                1 => repository = Some(RepositoryId(d.bytes_exact("repository id")?)),
                2 => {
                    kind = Some(match d.uint("kind of slot")? {
                        1 => SlotKind::Password,
                        2 => SlotKind::KeyFile,
                        3 => SlotKind::Recovery,
                        number => return Err(FormatError::Unsupported { what: "kind of key slot", number }),
                    });
                }
                3 => kdf = Some(decode_kdf(&mut d)?),
                4 => salt = Some(d.bytes_exact("salt")?),
                5 => commitment = Some(d.bytes_exact("commitment")?),
                6 => bundle = Some(d.bytes("bundle")?.to_vec()),
                7 => label_epoch = Some(d.uint32("epoch of the label")?),
                8 => label = Some(d.bytes("label")?.to_vec()),
                _ => drop(map.unknown(key, &mut d)?),
            }
            let pair = &before[..before.len() - d.rest().len()];
            before = d.rest();
            if (1..=5).contains(&key) {
                bundle_extra.extend_from_slice(pair);
            }
            if (1..=7).contains(&key) {
                label_extra.extend_from_slice(pair);
            }
        }
        d.finish()?;
        let missing = FormatError::MissingField("key slot");
        let (kind, cost) = (kind.ok_or(missing.clone())?, kdf.ok_or(missing.clone())?);
        if (kind == SlotKind::Password) != cost.is_some() {
            return Err(FormatError::BadStructure("a key slot whose kind and derivation do not go together"));
        }
        Ok(Self {
            repository: repository.ok_or(missing.clone())?,
            kind,
            cost,
            salt: salt.ok_or(missing.clone())?,
            commitment: commitment.ok_or(missing.clone())?,
            bundle_extra,
            bundle: bundle.ok_or(missing.clone())?,
            label_extra,
            label_epoch: label_epoch.ok_or(missing.clone())?,
            label: label.ok_or(missing)?,
        })
    }

    /// Opens the slot; [`FormatError::WrongKey`] if it is another secret's.
    pub fn open(&self, secret: &Secret) -> Result<KeyRing> {
        if secret.kind() != self.kind {
            return Err(FormatError::WrongKey);
        }
        let (key, commitment) = slot_key(secret, self.cost, &self.salt, self.repository)?;
        if !equal_in_constant_time(&commitment, &self.commitment) {
            return Err(FormatError::WrongKey);
        }
        let seal = SealKey::new(&key);
        let bundle = Zeroizing::new(seal.open(self.repository, Sealed::SlotBundle, Cipher::XChaCha20Poly1305, &self.bundle_extra, &self.bundle)?);
        Ok(KeyRing::of(self.repository, Bundle::decode(&bundle)?))
    }

    /// The epoch that the label was sealed in: the last one known when the slot was made. Not authenticated before the label is.
    pub fn label_epoch(&self) -> u32 {
        self.label_epoch
    }

    /// The label, for whoever has the repository's keys.
    pub fn label(&self, ring: &KeyRing) -> Result<SlotLabel> {
        let key = ring.control(self.label_epoch)?;
        let record = key.open(self.repository, Sealed::SlotLabel, Cipher::XChaCha20Poly1305, &self.label_extra, &self.label)?;
        let mut d = Decoder::new(&record);
        let mut map = d.map(1, "label")?;
        let (mut label, mut created, mut host, mut role) = (None, None, None, Role::Owner);
        while let Some(key) = map.key(&mut d)? {
            match key {
                1 => label = Some(d.text("label")?.to_owned()),
                2 => created = Some(d.time("time made")?),
                3 => host = Some(d.text("host")?.to_owned()),
                4 => {
                    role = Role::from_number(d.uint("role")?)?;
                    if role == Role::Owner {
                        return Err(FormatError::WrongField("role of a label"));
                    }
                }
                _ => drop(map.unknown(key, &mut d)?),
            }
        }
        d.finish()?;
        let missing = FormatError::MissingField("label");
        Ok(SlotLabel { label: label.ok_or(missing.clone())?, created: created.ok_or(missing.clone())?, host: host.ok_or(missing)?, role })
    }
}

fn decode_kdf(d: &mut Decoder<'_>) -> Result<Option<Argon2Cost>> {
    let mut map = d.map(2, "key derivation")?;
    let (mut algorithm, mut memory_kib, mut passes, mut lanes) = (None, None, None, None);
    while let Some(key) = map.key(d)? {
        match key {
            1 => algorithm = Some(d.uint("key derivation")?),
            2 => memory_kib = Some(small(d.uint("memory")?)?),
            3 => passes = Some(small(d.uint("passes")?)?),
            4 => lanes = Some(small(d.uint("lanes")?)?),
            _ => drop(map.unknown(key, d)?),
        }
    }
    match (algorithm, memory_kib, passes, lanes) {
        (Some(0), None, None, None) => Ok(None),
        (Some(1), Some(memory_kib), Some(passes), Some(lanes)) => {
            let cost = Argon2Cost { memory_kib, passes, lanes };
            cost.check()?;
            Ok(Some(cost))
        }
        (Some(number), ..) if number > 1 => Err(FormatError::Unsupported { what: "key derivation", number }),
        (None, ..) => Err(FormatError::MissingField("key derivation")),
        _ => Err(FormatError::BadStructure("a key derivation with other parameters than it has")),
    }
}

/// A cost; one that needs more than 32 bits is far above every limit.
fn small(cost: u64) -> Result<u32> {
    u32::try_from(cost).map_err(|_| FormatError::TooLarge("cost of a password slot"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 64, passes: 1, lanes: 1 };

    #[test]
    fn a_slot_opens_for_its_secret_only() {
        let ring = KeyRing::new(RepositoryId([1; 16]), vec![Key([2; 32]), Key([3; 32])]);
        let label = SlotLabel { label: "laptop".into(), created: Time { seconds: 5, nanoseconds: 6 }, host: "h".into(), role: Role::Owner };
        let password = |text: &str| Secret::Password(Zeroizing::new(text.into()));
        for (secret, other) in [
            (password("one"), password("two")),
            (Secret::KeyFile(Key([9; 32])), Secret::KeyFile(Key([8; 32]))),
            (Secret::Recovery(Key([9; 32])), Secret::KeyFile(Key([9; 32]))),
        ] {
            let random = SlotRandom { salt: [4; 32], bundle: [5; 32], label: [6; 32] };
            let bytes = create(&ring, ring.bundle(), &secret, CHEAP, &label, &random).unwrap();
            let slot = Slot::decode(&bytes).unwrap();
            let opened = slot.open(&secret).unwrap();
            assert_eq!(opened.roots().unwrap(), ring.roots().unwrap());
            assert_eq!(slot.label(&opened).unwrap(), label);
            assert!(matches!(slot.open(&other), Err(FormatError::WrongKey)));
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 1;
                let refused = match Slot::decode(&changed) {
                    Ok(slot) => slot.open(&secret).is_err() || slot.label(&ring).is_err(),
                    Err(_) => true,
                };
                assert!(refused, "byte {at}");
            }
        }
    }

    #[test]
    fn absurd_costs_are_refused_before_any_work() {
        for (memory_kib, passes, lanes) in [(u32::MAX, 1, 1), (1 << 20, 16, 1), (8, u32::MAX, 1), (1 << 20, 5, 1), (7, 1, 1), (64, 1, 0)] {
            assert!(Argon2Cost { memory_kib, passes, lanes }.check().is_err());
        }
    }
}
