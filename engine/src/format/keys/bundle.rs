//! What a key slot holds: root keys, or for other roles than the owner's some of what follows from them (SPEC chapter 7).

use super::{Key, PublicKey, Role, WRAP_DATA, WRAP_TREE, derive};
use crate::format::cbor::{self, Decoder, MapWriter};
use crate::format::error::{FormatError, Result};

/// Most root keys in a bundle.
pub const ROOTS_MAX: usize = 1024;
/// Most epochs in a bundle of another role than the owner's.
pub const EPOCHS_MAX: usize = 256;

/// The message of a slot.
#[derive(Clone, PartialEq, Eq)]
pub enum Bundle {
    /// The root keys, oldest first; never empty.
    Owner(Vec<Key>),
    /// To write and not to read.
    Backup {
        /// What both other roles have.
        held: RoleKeys,
        /// The public key of contents of the last epoch.
        data: Box<PublicKey>,
        /// The public key of trees of the last epoch.
        tree: Box<PublicKey>,
    },
    /// To sweep and not to read contents.
    Prune {
        /// What both other roles have.
        held: RoleKeys,
        /// The keys that unwrap trees, by epoch.
        wrap_tree: Vec<Key>,
    },
}

/// Derived keys that roles other than the owner's hold.
#[derive(Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// Of control objects, by epoch.
    pub control: Vec<Key>,
    /// Of confirmations, by epoch.
    pub confirm: Vec<Key>,
    /// Of the last epoch.
    pub hedge: Key,
    /// Names trees.
    pub tree_name: Key,
    /// Splits directories.
    pub split: Key,
    /// Name contents and cut them; the backup role's.
    pub data_names: Option<[Key; 2]>,
    /// The slot's own.
    pub own: Key,
}

impl RoleKeys {
    /// What follows from root keys, all of it; `own` is the slot's.
    pub(super) fn of_owner(roots: &[Key], own: Key) -> Self {
        let (first, last) = (&roots[0], &roots[roots.len() - 1]);
        let all = |context| roots.iter().map(|root| derive(context, root)).collect();
        Self {
            control: all("vault v1 control"),
            confirm: all("vault v1 confirm"),
            hedge: derive("vault v1 hedge", last),
            tree_name: derive("vault v1 name of tree chunks", first),
            split: derive("vault v1 tree split", first),
            data_names: Some([derive("vault v1 name of data chunks", first), derive("vault v1 chunker", first)]),
            own,
        }
    }
}

impl Bundle {
    /// Whose it is.
    pub fn role(&self) -> Role {
        match self {
            Self::Owner(_) => Role::Owner,
            Self::Backup { .. } => Role::Backup,
            Self::Prune { .. } => Role::Prune,
        }
    }

    /// How many epochs it knows.
    pub fn epochs(&self) -> usize {
        match self {
            Self::Owner(roots) => roots.len(),
            Self::Backup { held, .. } | Self::Prune { held, .. } => held.control.len(),
        }
    }

    /// The bundle of a role, made by an owner with `roots`; `own` are fresh random bytes.
    pub fn of_role(role: Role, roots: &[Key], own: Key) -> Result<Self> {
        if role != Role::Owner && roots.len() > EPOCHS_MAX {
            return Err(FormatError::TooLarge("epochs of a bundle"));
        }
        let held = RoleKeys::of_owner(roots, own);
        let last = &roots[roots.len() - 1];
        let public = |context| Box::new(PublicKey::of(&derive(context, last)));
        Ok(match role {
            Role::Owner => Self::Owner(roots.to_vec()),
            Role::Backup => Self::Backup { held, data: public(WRAP_DATA), tree: public(WRAP_TREE) },
            Role::Prune => Self::Prune { held: RoleKeys { data_names: None, ..held }, wrap_tree: roots.iter().map(|root| derive(WRAP_TREE, root)).collect() },
        })
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        let mut map = MapWriter::new();
        cbor::put_uint(map.key(1), self.role() as u64);
        let put_all = |out: &mut Vec<u8>, keys: &[Key]| {
            cbor::put_array(out, keys.len());
            keys.iter().for_each(|key| cbor::put_bytes(out, &key.0));
        };
        let held = match self {
            Self::Owner(roots) => {
                put_all(map.key(2), roots);
                return map.finish();
            }
            Self::Backup { held, .. } | Self::Prune { held, .. } => held,
        };
        put_all(map.key(3), &held.control);
        put_all(map.key(4), &held.confirm);
        cbor::put_bytes(map.key(5), &held.hedge.0);
        cbor::put_bytes(map.key(6), &held.tree_name.0);
        cbor::put_bytes(map.key(7), &held.split.0);
        if let Some([name, chunker]) = &held.data_names {
            cbor::put_bytes(map.key(8), &name.0);
            cbor::put_bytes(map.key(9), &chunker.0);
        }
        match self {
            Self::Backup { data, tree, .. } => {
                cbor::put_bytes(map.key(10), &data.encode());
                cbor::put_bytes(map.key(11), &tree.encode());
            }
            Self::Prune { wrap_tree, .. } => put_all(map.key(12), wrap_tree),
            Self::Owner(_) => {}
        }
        cbor::put_bytes(map.key(13), &held.own.0);
        map.finish()
    }

    /// Reads the record: it must have what its role has, and nothing of another's.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut d = Decoder::new(bytes);
        let mut map = d.map(1, "key bundle")?;
        let (mut role, mut roots, mut wrap_tree) = (None, None, None);
        let (mut control, mut confirm) = (None, None);
        let (mut hedge, mut tree_name, mut split, mut data_name, mut chunker, mut own) = (None, None, None, None, None, None);
        let (mut data, mut tree) = (None, None);
        while let Some(key) = map.key(&mut d)? {
            match key {
                1 => role = Some(d.uint("role")?),
                2 => roots = Some(keys(&mut d, "root keys", ROOTS_MAX)?),
                3 => control = Some(keys(&mut d, "control keys", EPOCHS_MAX)?),
                4 => confirm = Some(keys(&mut d, "confirm keys", EPOCHS_MAX)?),
                5 => hedge = Some(Key(d.bytes_exact("hedge key")?)),
                6 => tree_name = Some(Key(d.bytes_exact("name key")?)),
                7 => split = Some(Key(d.bytes_exact("split key")?)),
                8 => data_name = Some(Key(d.bytes_exact("name key")?)),
                9 => chunker = Some(Key(d.bytes_exact("chunker key")?)),
                10 => data = Some(public(&mut d)?),
                11 => tree = Some(public(&mut d)?),
                12 => wrap_tree = Some(keys(&mut d, "wrap keys", EPOCHS_MAX)?),
                13 => own = Some(Key(d.bytes_exact("key of its own")?)),
                _ => drop(map.unknown(key, &mut d)?),
            }
        }
        d.finish()?;
        let missing = || FormatError::MissingField("key bundle");
        let foreign = |is_there: bool| if is_there { Err(FormatError::BadStructure("a key bundle with keys of another role")) } else { Ok(()) };
        let role = match Role::from_number(role.ok_or_else(missing)?)? {
            Role::Owner => {
                foreign([&control, &confirm, &wrap_tree].iter().any(|keys| keys.is_some()))?;
                foreign([&hedge, &tree_name, &split, &data_name, &chunker, &own].iter().any(|key| key.is_some()) || data.is_some() || tree.is_some())?;
                return Ok(Self::Owner(roots.ok_or_else(missing)?));
            }
            other => other,
        };
        foreign(roots.is_some())?;
        let held = RoleKeys {
            control: control.ok_or_else(missing)?,
            confirm: confirm.ok_or_else(missing)?,
            hedge: hedge.ok_or_else(missing)?,
            tree_name: tree_name.ok_or_else(missing)?,
            split: split.ok_or_else(missing)?,
            data_names: None,
            own: own.ok_or_else(missing)?,
        };
        let same_length =
            |keys: &[Key]| if keys.len() == held.control.len() { Ok(()) } else { Err(FormatError::BadStructure("a key bundle of unequal epochs")) };
        same_length(&held.confirm)?;
        if role == Role::Backup {
            foreign(wrap_tree.is_some())?;
            let names = [data_name.ok_or_else(missing)?, chunker.ok_or_else(missing)?];
            let (data, tree) = (data.ok_or_else(missing)?, tree.ok_or_else(missing)?);
            return Ok(Self::Backup { held: RoleKeys { data_names: Some(names), ..held }, data, tree });
        }
        foreign(data_name.is_some() || chunker.is_some() || data.is_some() || tree.is_some())?;
        let wrap_tree = wrap_tree.ok_or_else(missing)?;
        same_length(&wrap_tree)?;
        Ok(Self::Prune { held, wrap_tree })
    }
}

fn keys(d: &mut Decoder<'_>, what: &'static str, most: usize) -> Result<Vec<Key>> {
    let count = d.array(what)?;
    if count > most {
        return Err(FormatError::TooLarge("keys of a bundle"));
    }
    if count == 0 {
        return Err(FormatError::BadStructure("a key bundle without keys"));
    }
    (0..count).map(|_| Ok(Key(d.bytes_exact(what)?))).collect()
}

fn public(d: &mut Decoder<'_>) -> Result<Box<PublicKey>> {
    PublicKey::decode(d.bytes("public key")?).map(Box::new)
}
