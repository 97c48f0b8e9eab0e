//! Chapter 7: key slots, and secrets as text.

use crate::bundle::{Bundle, Role};
use crate::cbor::{self, Map, Time};
use crate::fault::{Fault, Result, Rule, fail};
use crate::keys::{Bytes16, Bytes32, Keys, Purpose, dk, kx, same};
use crate::seal;
use bech32::Bech32m;
use bech32::primitives::decode::CheckedHrpstring;

/// The longest slot.
pub const MAX_LEN: u64 = 65_536;
/// The most slots that are read.
pub const MAX_SLOTS: usize = 64;

/// What somebody has to open a slot with.
pub enum Secret {
    /// Kind 1: a password.
    Password(Vec<u8>),
    /// Kind 2: the bytes of a key file.
    KeyFile(Bytes32),
    /// Kind 3: the bytes of a recovery key.
    Recovery(Bytes32),
}

impl Secret {
    fn kind(&self) -> u64 {
        match self {
            Secret::Password(_) => 1,
            Secret::KeyFile(_) => 2,
            Secret::Recovery(_) => 3,
        }
    }
}

/// The cost of a password slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Memory in KiB.
    pub memory: u32,
    /// Passes.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// A slot, parsed; nothing in it is authenticated yet.
#[derive(Debug)]
pub struct Slot {
    /// The repository it says it belongs to.
    pub id: Bytes16,
    /// 1 password, 2 key file, 3 recovery key.
    pub kind: u64,
    /// Present for passwords.
    pub cost: Option<Cost>,
    salt: Bytes32,
    commitment: Bytes32,
    extra: Vec<u8>,
    bundle: Vec<u8>,
    label_epoch: u32,
    label_extra: Vec<u8>,
    label: Vec<u8>,
}

/// A slot's label.
#[derive(Debug, PartialEq, Eq)]
pub struct Label {
    /// What the user called the slot.
    pub text: String,
    /// When it was made.
    pub made: Time,
    /// Where it was made.
    pub host: String,
    /// What it says the role of the bundle is. Who has the control keys can have written it.
    pub role: Role,
}

fn cost(kdf: Map<'_>, kind: u64) -> Result<Option<Cost>> {
    let algorithm = kdf.need(1)?.unsigned()?;
    let mut numbers = [None; 3];
    for (number, key) in numbers.iter_mut().zip([2, 3, 4]) {
        *number = match kdf.get(key) {
            Some(item) => Some(item.unsigned()?),
            None => None,
        };
    }
    match algorithm {
        0 => {
            if numbers != [None; 3] {
                return fail(Rule::BadStructure, "a kdf of algorithm 0 has parameters");
            }
            if kind == 1 {
                return fail(Rule::BadStructure, "a password slot without a kdf");
            }
            Ok(None)
        }
        1 => {
            let [Some(memory), Some(passes), Some(lanes)] = numbers else {
                return fail(Rule::BadStructure, "a kdf's parameter is missing");
            };
            if kind != 1 {
                return fail(Rule::BadStructure, "a key slot with a kdf for passwords");
            }
            if memory > 1_048_576 || passes > 16 || lanes > 16 {
                return fail(Rule::TooLarge, "memory, passes or lanes of a kdf");
            }
            if memory * passes > 4_194_304 {
                return fail(Rule::TooLarge, "memory times passes of a kdf");
            }
            if lanes == 0 || passes == 0 || memory < 8 * lanes {
                return fail(Rule::BadStructure, "a kdf with no lanes or passes or too little memory");
            }
            Ok(Some(Cost { memory: memory as u32, passes: passes as u32, lanes: lanes as u32 }))
        }
        _ => fail(Rule::Unsupported, format!("kdf {algorithm}")),
    }
}

impl Slot {
    /// Reads a slot's bytes.
    pub fn parse(bytes: &[u8]) -> Result<Slot> {
        if bytes.len() as u64 > MAX_LEN {
            return fail(Rule::TooLarge, "a key slot above 64 KiB");
        }
        let Some(body) = bytes.strip_prefix(b"VAULTKY1") else {
            let rule = if bytes.len() < 8 { Rule::Truncated } else { Rule::BadStructure };
            return fail(rule, "no key slot's magic");
        };
        let map = cbor::decode(body)?.map(&[])?;
        let kind = map.need(2)?.unsigned()?;
        if !(1..=3).contains(&kind) {
            return fail(Rule::Unsupported, format!("key slot of kind {kind}"));
        }
        // The map cut down to keys 1 to 5 (7): the head of a map of five (seven) pairs, and the pairs as they are.
        let (mut extra, mut label_extra) = (vec![0xa5], vec![0xa7]);
        for pair in map.pairs() {
            if (1..=5).contains(&pair.key) {
                extra.extend_from_slice(pair.raw);
            }
            if (1..=7).contains(&pair.key) {
                label_extra.extend_from_slice(pair.raw);
            }
        }
        let slot = Slot {
            id: map.need(1)?.fixed()?,
            kind,
            cost: cost(map.need(3)?.map(&[])?, kind)?,
            salt: map.need(4)?.fixed()?,
            commitment: map.need(5)?.fixed()?,
            extra,
            bundle: map.need(6)?.bytes()?.to_vec(),
            label_epoch: map.need(7)?.small()?,
            label_extra,
            label: map.need(8)?.bytes()?.to_vec(),
        };
        Ok(slot)
    }

    /// Opens the bundle. `WrongKey` if the slot is another secret's.
    pub fn open(&self, secret: &Secret) -> Result<Bundle> {
        if secret.kind() != self.kind {
            return fail(Rule::WrongKey, "a slot for another kind of secret");
        }
        let secret = match secret {
            Secret::Password(password) => self.stretch(password)?,
            Secret::KeyFile(key) | Secret::Recovery(key) => *key,
        };
        let (kek, commitment) = kx(&dk("vault v1 slot", &secret), &[&self.salt, &self.id]);
        if !same(&commitment, &self.commitment) {
            return fail(Rule::WrongKey, "a slot's commitment differs");
        }
        let message = seal::open(&kek, 1, 4, &self.id, &self.extra, &self.bundle)?;
        Bundle::parse(&message)
    }

    fn stretch(&self, password: &[u8]) -> Result<Bytes32> {
        let Some(cost) = self.cost else {
            return fail(Rule::BadStructure, "a password slot without a kdf");
        };
        if std::str::from_utf8(password).is_err() {
            return fail(Rule::WrongType, "a password that is not UTF-8");
        }
        let bad = |error| Fault::new(Rule::BadStructure, format!("argon2: {error}"));
        let params = argon2::Params::new(cost.memory, cost.passes, cost.lanes, Some(32)).map_err(bad)?;
        let argon = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut output = [0; 32];
        argon.hash_password_into(password, &self.salt, &mut output).map_err(bad)?;
        Ok(output)
    }

    /// Opens the label.
    pub fn label(&self, keys: &dyn Keys) -> Result<Label> {
        let key = keys.held(Purpose::Control, self.label_epoch)?;
        let message = seal::open(&key, 1, 5, &self.id, &self.label_extra, &self.label)?;
        let map = cbor::decode(&message)?.map(&[])?;
        let role = match map.get(4) {
            None => Role::Owner,
            Some(item) => match item.unsigned()? {
                0 => return fail(Rule::WrongType, "a label of role 0, which would be absent"),
                1 => Role::Backup,
                2 => Role::Prune,
                other => return fail(Rule::Unsupported, format!("a label of role {other}")),
            },
        };
        let (text, host) = (map.need(1)?.text()?.to_owned(), map.need(3)?.text()?.to_owned());
        Ok(Label { text, made: map.need(2)?.time()?, host, role })
    }
}

/// The human-readable part of a key file.
pub const KEY_FILE: &str = "vaultkey";
/// The human-readable part of a recovery key.
pub const RECOVERY: &str = "vaultrecovery";

/// Reads a key file or a recovery key from text.
pub fn read_text(text: &[u8], part: &str) -> Result<Bytes32> {
    let Ok(text) = std::str::from_utf8(text) else {
        return fail(Rule::BadStructure, "a key file that is not UTF-8");
    };
    let mut key = String::new();
    for line in text.split('\n') {
        if line.starts_with('#') {
            continue;
        }
        for c in line.chars() {
            if c.is_ascii_whitespace() || c == '\x0b' || (c == '-' && part == RECOVERY) {
                continue;
            }
            key.push(c);
            if key.len() > 90 {
                return fail(Rule::BadStructure, "a key above 90 characters");
            }
        }
    }
    let bad = |error| Fault::new(Rule::BadStructure, format!("bech32m: {error}"));
    let checked = CheckedHrpstring::new::<Bech32m>(&key).map_err(bad)?;
    if checked.hrp().to_lowercase() != part {
        return fail(Rule::BadStructure, format!("this is no {part}"));
    }
    if checked.validate_segwit_padding().is_err() {
        return fail(Rule::BadStructure, "a key's last bits are not zero");
    }
    let bytes: Vec<u8> = checked.byte_iter().collect();
    match <Bytes32>::try_from(bytes) {
        Ok(bytes) => Ok(bytes),
        Err(_) => fail(Rule::BadStructure, "a key that does not have 32 bytes"),
    }
}
