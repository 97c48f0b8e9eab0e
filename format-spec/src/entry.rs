//! Chapter 12: entries of directories.

use crate::cbor::{Item, Map, Time};
use crate::fault::{Result, Rule, fail};
use crate::keys::Bytes32;
use crate::tree::{Extent, extents};

/// The longest name, and the longest target.
pub const MAX_NAME: usize = 4096;
/// The largest size of a file.
pub const MAX_SIZE: u64 = (1 << 63) - 1;
/// The most extents inside an entry.
pub const MAX_EXTENTS: u64 = 1024;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// 1
    File,
    /// 2
    Directory,
    /// 3
    Link,
    /// 4
    CharacterDevice,
    /// 5
    BlockDevice,
    /// 6
    Fifo,
    /// 7
    Socket,
}

impl Type {
    fn parse(item: Item<'_>) -> Result<Type> {
        match item.unsigned()? {
            1 => Ok(Type::File),
            2 => Ok(Type::Directory),
            3 => Ok(Type::Link),
            4 => Ok(Type::CharacterDevice),
            5 => Ok(Type::BlockDevice),
            6 => Ok(Type::Fifo),
            7 => Ok(Type::Socket),
            number => fail(Rule::Unsupported, format!("entry of type {number}")),
        }
    }

    /// One letter, as `ls` and `find` write it.
    pub fn letter(self) -> char {
        match self {
            Type::File => 'f',
            Type::Directory => 'd',
            Type::Link => 'l',
            Type::CharacterDevice => 'c',
            Type::BlockDevice => 'b',
            Type::Fifo => 'p',
            Type::Socket => 's',
        }
    }

    /// Whether it is a character or block device.
    pub fn is_device(self) -> bool {
        matches!(self, Type::CharacterDevice | Type::BlockDevice)
    }
}

/// Where a file's contents are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// An empty file, or no file.
    None,
    /// Key 17.
    Extents(Vec<Extent>),
    /// Key 18.
    List(Bytes32),
}

/// An extended attribute: name and value.
pub type Attribute = (Vec<u8>, Vec<u8>);

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Key 1.
    pub name: Vec<u8>,
    /// Key 2.
    pub kind: Type,
    /// Key 3.
    pub mode: u32,
    /// Key 4.
    pub uid: u32,
    /// Key 5.
    pub gid: u32,
    /// Key 6.
    pub user: Option<Vec<u8>>,
    /// Key 7.
    pub group: Option<Vec<u8>>,
    /// Key 8.
    pub mtime: Time,
    /// Key 9.
    pub ctime: Time,
    /// Key 10.
    pub inode: u64,
    /// Key 11; 0 where it is absent.
    pub size: u64,
    /// Key 12.
    pub target: Vec<u8>,
    /// Key 13.
    pub device: Option<(u32, u32)>,
    /// Key 14.
    pub links: Option<(u32, u64)>,
    /// Key 15.
    pub attributes: Vec<Attribute>,
    /// Key 16.
    pub flags: u32,
    /// Keys 17 and 18.
    pub contents: Contents,
    /// Key 19.
    pub node: Option<Bytes32>,
    /// Key 20.
    pub changed: bool,
    /// Key 21.
    pub lost: bool,
}

/// Reads a name and checks it.
pub fn name(item: Item<'_>) -> Result<&[u8]> {
    let name = item.bytes()?;
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0) {
        return fail(Rule::BadStructure, "a name that no entry can have");
    }
    if name.len() > MAX_NAME {
        return fail(Rule::TooLarge, "a name above 4,096 bytes");
    }
    Ok(name)
}

fn nonzero(value: u64, what: &str) -> Result<u64> {
    if value == 0 {
        return fail(Rule::WrongType, format!("{what} that is zero, which would be absent"));
    }
    Ok(value)
}

fn owner(map: Map<'_>, key: u64) -> Result<Option<Vec<u8>>> {
    match map.get(key) {
        None => Ok(None),
        Some(item) => {
            let name = item.bytes()?;
            if name.is_empty() {
                return fail(Rule::WrongType, "an owner's name that is empty");
            }
            Ok(Some(name.to_vec()))
        }
    }
}

fn attributes(map: Map<'_>) -> Result<Vec<Attribute>> {
    let Some(item) = map.get(15) else { return Ok(Vec::new()) };
    let mut attributes: Vec<Attribute> = Vec::new();
    for item in item.array()?.items() {
        let (name, value) = item.array()?.two()?;
        let (name, value) = (name.bytes()?, value.bytes()?);
        if name.is_empty() || name.contains(&0) {
            return fail(Rule::BadStructure, "an attribute's name that no attribute can have");
        }
        if name.len() > 255 || value.len() > 65_536 {
            return fail(Rule::TooLarge, "an extended attribute");
        }
        if attributes.last().is_some_and(|(last, _)| last.as_slice() >= name) {
            return fail(Rule::BadStructure, "attributes that are not ascending");
        }
        attributes.push((name.to_vec(), value.to_vec()));
    }
    if attributes.is_empty() {
        return fail(Rule::WrongType, "a list of no attributes, which would be absent");
    }
    Ok(attributes)
}

fn contents(map: Map<'_>) -> Result<Contents> {
    match (map.get(17), map.get(18)) {
        (None, None) => Ok(Contents::None),
        (Some(_), Some(_)) => fail(Rule::BadStructure, "an entry with keys 17 and 18"),
        (Some(item), None) => {
            let list = item.array()?;
            if list.len() > MAX_EXTENTS {
                return fail(Rule::TooLarge, "more than 1,024 extents in an entry");
            }
            let extents = extents(list)?;
            if extents.is_empty() {
                return fail(Rule::WrongType, "a list of no extents, which would be absent");
            }
            Ok(Contents::Extents(extents))
        }
        (None, Some(item)) => Ok(Contents::List(item.fixed()?)),
    }
}

fn pair(map: Map<'_>, key: u64) -> Result<Option<(Item<'_>, Item<'_>)>> {
    match map.get(key) {
        None => Ok(None),
        Some(item) => item.array()?.two().map(Some),
    }
}

/// A key that says yes by being there.
fn mark(map: Map<'_>, key: u64) -> Result<bool> {
    match map.get(key) {
        Some(Item::Unsigned(1)) => Ok(true),
        Some(_) => fail(Rule::WrongType, format!("key {key} is not 1")),
        None => Ok(false),
    }
}

/// Refuses keys that this type of entry does not have, and misses those that it must have.
fn presence(map: Map<'_>, kind: Type) -> Result<()> {
    let file = kind == Type::File;
    let directory = kind == Type::Directory;
    let allowed = [
        (11, file),
        (12, kind == Type::Link),
        (13, kind.is_device()),
        (14, !directory),
        (16, file || directory),
        (17, file),
        (18, file),
        (19, directory),
        (20, file),
        (21, file || directory),
    ];
    for (key, allowed) in allowed {
        let present = map.get(key).is_some();
        if present && !allowed {
            return fail(Rule::BadStructure, format!("key {key} at an entry of another type"));
        }
        if allowed && !present && matches!(key, 12 | 13 | 19) {
            return fail(Rule::BadStructure, format!("key {key} is missing"));
        }
    }
    Ok(())
}

impl Entry {
    /// Reads an entry.
    pub fn parse(item: Item<'_>) -> Result<Entry> {
        let map = item.map(&[])?;
        let kind = Type::parse(map.need(2)?)?;
        presence(map, kind)?;
        let size = match map.get(11) {
            Some(item) => nonzero(item.unsigned()?, "a size")?,
            None => 0,
        };
        if size > MAX_SIZE {
            return fail(Rule::TooLarge, "a file of 2^63 bytes or more");
        }
        let target = match map.get(12) {
            Some(item) => item.bytes()?,
            None => &[],
        };
        if kind == Type::Link && (target.is_empty() || target.contains(&0)) {
            return fail(Rule::BadStructure, "a target that no link can have");
        }
        if target.len() > MAX_NAME {
            return fail(Rule::TooLarge, "a target above 4,096 bytes");
        }
        let device = match pair(map, 13)? {
            Some((major, minor)) => Some((major.small()?, minor.small()?)),
            None => None,
        };
        let links = match pair(map, 14)? {
            Some((device, inode)) => Some((device.small()?, inode.unsigned()?)),
            None => None,
        };
        let flags = match map.get(16) {
            Some(item) => {
                let flags = item.small()?;
                nonzero(u64::from(flags), "flags")?;
                flags
            }
            None => 0,
        };
        let (changed, lost) = (mark(map, 20)?, mark(map, 21)?);
        let node = match map.get(19) {
            Some(item) => Some(item.fixed()?),
            None => None,
        };
        let entry = Entry {
            name: name(map.need(1)?)?.to_vec(),
            kind,
            mode: map.need(3)?.at_most(0o7777)? as u32,
            uid: map.need(4)?.small()?,
            gid: map.need(5)?.small()?,
            user: owner(map, 6)?,
            group: owner(map, 7)?,
            mtime: map.need(8)?.time()?,
            ctime: map.need(9)?.time()?,
            inode: map.need(10)?.unsigned()?,
            size,
            target: target.to_vec(),
            device,
            links,
            attributes: attributes(map)?,
            flags,
            contents: contents(map)?,
            node,
            changed,
            lost,
        };
        entry.check_size()?;
        Ok(entry)
    }

    fn check_size(&self) -> Result<()> {
        let sum = match &self.contents {
            Contents::None => Some(0),
            Contents::Extents(extents) => extents.iter().try_fold(0u64, |sum, extent| sum.checked_add(extent.length())),
            // Known when the list has been read.
            Contents::List(_) if self.size == 0 => Some(1),
            Contents::List(_) => return Ok(()),
        };
        if sum != Some(self.size) {
            return fail(Rule::BadStructure, "extents do not add up to the file's size");
        }
        Ok(())
    }
}
