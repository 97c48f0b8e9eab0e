//! Chapter 7: what a slot's bundle holds: the owner's root keys, or what a role has of the keys that follow from them.

use crate::cbor::{self, Item, Map};
use crate::fault::{Result, Rule, fail};
use crate::keys::{Bytes32, Class, Keys, Purpose, Roots};
use crate::wrapped::{PUBLIC_KEY_LEN, is_public_key};

/// The most root keys in an owner's bundle.
pub const MAX_ROOTS: u64 = 1024;
/// The most epochs in one of another role.
pub const MAX_EPOCHS: u64 = 256;

/// What the holder of a slot can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// 0: everything.
    Owner,
    /// 1: stores chunks and puts snapshots.
    Backup,
    /// 2: opens snapshots and trees, and no contents.
    Prune,
}

impl Role {
    /// Its number.
    pub fn number(self) -> u64 {
        self as u64
    }

    /// What the key is called, and what it can and cannot do.
    pub fn words(self) -> &'static str {
        match self {
            Role::Owner => "an owner's key: it opens everything",
            Role::Backup => {
                "a backup key: it stores chunks and puts snapshots, and opens neither snapshots nor trees nor contents; it can restore nothing"
            }
            Role::Prune => {
                "a prune key: it opens snapshots and trees, and no contents of files; it can list everything and restore nothing"
            }
        }
    }
}

/// A bundle. What a role does not have is empty.
pub struct Bundle {
    /// The role.
    pub role: Role,
    roots: Option<Roots>,
    epochs: u32,
    /// `K_control` of every epoch.
    pub control: Vec<Bytes32>,
    /// `K_confirm` of every epoch.
    pub confirm: Vec<Bytes32>,
    /// `K_hedge` of the last epoch.
    pub hedge: Option<Bytes32>,
    /// `K_tree_name`
    pub tree_name: Option<Bytes32>,
    /// `K_split`
    pub split: Option<Bytes32>,
    /// `K_data_name`
    pub data_name: Option<Bytes32>,
    /// `K_chunker`
    pub chunker: Option<Bytes32>,
    /// `P_data` of the last epoch.
    pub data_public: Option<Vec<u8>>,
    /// `P_tree` of the last epoch.
    pub tree_public: Option<Vec<u8>>,
    /// `K_wrap_tree` of every epoch.
    pub wrap_tree: Vec<Bytes32>,
    /// Random bytes of the slot's own.
    pub own: Option<Bytes32>,
}

/// The keys of the table, and who has them: owner, backup, prune.
const HAS: [(u64, [bool; 3]); 12] = [
    (2, [true, false, false]),
    (3, [false, true, true]),
    (4, [false, true, true]),
    (5, [false, true, true]),
    (6, [false, true, true]),
    (7, [false, true, true]),
    (8, [false, true, false]),
    (9, [false, true, false]),
    (10, [false, true, false]),
    (11, [false, true, false]),
    (12, [false, false, true]),
    (13, [false, true, true]),
];

fn list(item: Item<'_>, most: u64) -> Result<Vec<Bytes32>> {
    let array = item.array()?;
    if array.len() > most {
        return fail(Rule::TooLarge, format!("a bundle of more than {most} epochs"));
    }
    array.items().map(Item::fixed).collect()
}

fn lists(map: Map<'_>, key: u64) -> Result<Vec<Bytes32>> {
    map.get(key).map_or(Ok(Vec::new()), |item| list(item, MAX_EPOCHS))
}

fn one(map: Map<'_>, key: u64) -> Result<Option<Bytes32>> {
    map.get(key).map(Item::fixed).transpose()
}

fn public(map: Map<'_>, key: u64) -> Result<Option<Vec<u8>>> {
    let Some(bytes) = map.get(key).map(Item::fixed::<PUBLIC_KEY_LEN>).transpose()? else { return Ok(None) };
    if !is_public_key(&bytes) {
        return fail(Rule::WrongType, format!("key {key} is no public key"));
    }
    Ok(Some(bytes.to_vec()))
}

impl Bundle {
    /// Reads a bundle's message.
    pub fn parse(message: &[u8]) -> Result<Bundle> {
        let map = cbor::decode(message)?.map(&[])?;
        let role = match map.need(1)?.unsigned()? {
            0 => Role::Owner,
            1 => Role::Backup,
            2 => Role::Prune,
            other => return fail(Rule::Unsupported, format!("role {other}")),
        };
        for (key, has) in HAS {
            if map.get(key).is_some() != has[role as usize] {
                return fail(Rule::BadStructure, format!("key {key} and role {} do not go together", role.number()));
            }
        }
        let roots = map.get(2).map(|item| Roots::new(list(item, MAX_ROOTS)?)).transpose()?;
        let mut bundle = Bundle {
            role,
            epochs: roots.as_ref().map_or(0, Keys::epochs),
            roots,
            control: lists(map, 3)?,
            confirm: lists(map, 4)?,
            hedge: one(map, 5)?,
            tree_name: one(map, 6)?,
            split: one(map, 7)?,
            data_name: one(map, 8)?,
            chunker: one(map, 9)?,
            data_public: public(map, 10)?,
            tree_public: public(map, 11)?,
            wrap_tree: lists(map, 12)?,
            own: one(map, 13)?,
        };
        if role != Role::Owner {
            let wrap_tree = if role == Role::Prune { bundle.wrap_tree.len() } else { bundle.control.len() };
            if bundle.control.is_empty() || bundle.confirm.len() != bundle.control.len() || wrap_tree != bundle.control.len() {
                return fail(Rule::BadStructure, "a bundle's arrays are empty or not of one length");
            }
            bundle.epochs = bundle.control.len() as u32;
        }
        Ok(bundle)
    }

    /// The root keys, by epoch: an owner's.
    pub fn all(&self) -> &[Bytes32] {
        self.roots.as_ref().map_or(&[], Roots::all)
    }

    fn none<T>(&self, what: &str) -> Result<T> {
        fail(Rule::NoKey, format!("role {} has no key for {what}", self.role.number()))
    }
}

impl Keys for Bundle {
    fn epochs(&self) -> u32 {
        self.epochs
    }

    fn held(&self, purpose: Purpose, epoch: u32) -> Result<Bytes32> {
        if let Some(roots) = &self.roots {
            return roots.held(purpose, epoch);
        }
        if epoch >= self.epochs {
            return fail(Rule::UnknownEpoch, format!("no key for epoch {epoch}: the keys were rotated"));
        }
        let keys = match purpose {
            Purpose::Control => &self.control,
            Purpose::Confirm => &self.confirm,
            Purpose::WrapTree => &self.wrap_tree,
            Purpose::WrapData => &[][..],
        };
        match (keys.get(epoch as usize), purpose) {
            (Some(key), _) => Ok(*key),
            (None, Purpose::WrapData) => self.none("contents"),
            (None, _) => self.none("snapshots and trees"),
        }
    }

    fn name_key(&self, class: Class) -> Result<Bytes32> {
        if let Some(roots) = &self.roots {
            return roots.name_key(class);
        }
        let key = match class {
            Class::Data => self.data_name,
            Class::Tree => self.tree_name,
        };
        key.map_or_else(|| self.none("the names of contents"), Ok)
    }
}
