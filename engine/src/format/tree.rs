//! Tree chunks: directories, split where they are large, and long lists of extents (SPEC chapter 12).

use super::cbor::{self, Decoder, MapWriter};
use super::error::{FormatError, Result};
use super::id::{ChunkId, TreeId};
use super::node::{Content, Extent, LinkGroup, Metadata, Node, NodeType, Xattr};
use super::pack::PLAIN_LENGTH_MAX;

/// Longest name of an entry in bytes.
pub const NAME_LENGTH_MAX: usize = 4096;
/// Longest target of a symbolic link in bytes.
pub const TARGET_LENGTH_MAX: usize = 4096;
/// Longest name of an extended attribute, and longest value, in bytes.
pub const XATTR_LENGTHS_MAX: (usize, usize) = (255, 65_536);
/// Largest size of a file in bytes.
pub const SIZE_MAX: u64 = i64::MAX as u64;
/// Most extents that stay in their entry.
pub const EXTENTS_INLINE_MAX: usize = 1024;
/// Most levels of split directories, and of lists.
pub const LEVELS_MAX: usize = 8;

const LEAF_LENGTH_MIN: usize = 32 * 1024;
const LEAF_LENGTH_MAX: usize = 256 * 1024;
const PARTS: (usize, usize) = (64, 1024);
const SPLIT_MASK: u32 = 63;

/// A part of a split directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Name of its first entry.
    pub first_name: Vec<u8>,
    /// Its node.
    pub id: TreeId,
    /// How many entries it holds.
    pub entries: u64,
}

/// A part of a long list of extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListPart {
    /// Its node.
    pub id: TreeId,
    /// Sum of its extents' lengths in bytes.
    pub length: u64,
}

/// A tree chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeNode {
    /// Entries of a directory, all of them or one part's.
    Directory(Vec<Node>),
    /// A directory in parts.
    Split(Vec<Part>),
    /// Extents of a file, all of them or one part's.
    List(Vec<Extent>),
    /// Extents of a file in parts.
    Lists(Vec<ListPart>),
}

/// Whether `name` may be an entry's.
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.len() <= NAME_LENGTH_MAX && name != b"." && name != b".." && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

fn put_extent(out: &mut Vec<u8>, extent: &Extent) {
    match extent {
        Extent::Chunk { id, length } => {
            cbor::put_array(out, 2);
            cbor::put_bytes(out, &id.0);
            cbor::put_uint(out, u64::from(*length));
        }
        Extent::Hole { length } => cbor::put_uint(out, *length),
    }
}

/// Appends an entry.
pub fn encode_entry(node: &Node, out: &mut Vec<u8>) {
    let m = &node.metadata;
    let mut map = MapWriter::new();
    cbor::put_bytes(map.key(1), &node.name);
    cbor::put_uint(map.key(2), m.node_type as u64);
    cbor::put_uint(map.key(3), u64::from(m.mode));
    cbor::put_uint(map.key(4), u64::from(m.uid));
    cbor::put_uint(map.key(5), u64::from(m.gid));
    if !m.user.is_empty() {
        cbor::put_bytes(map.key(6), &m.user);
    }
    if !m.group.is_empty() {
        cbor::put_bytes(map.key(7), &m.group);
    }
    cbor::put_time(map.key(8), m.mtime);
    cbor::put_time(map.key(9), m.ctime);
    cbor::put_uint(map.key(10), m.inode);
    if m.node_type == NodeType::File && m.size > 0 {
        cbor::put_uint(map.key(11), m.size);
    }
    if m.node_type == NodeType::Symlink {
        cbor::put_bytes(map.key(12), &m.link_target);
    }
    if matches!(m.node_type, NodeType::CharDevice | NodeType::BlockDevice) {
        let out = map.key(13);
        cbor::put_array(out, 2);
        cbor::put_uint(out, u64::from(m.device.0));
        cbor::put_uint(out, u64::from(m.device.1));
    }
    if let Some(group) = m.link_group {
        let out = map.key(14);
        cbor::put_array(out, 2);
        cbor::put_uint(out, u64::from(group.device));
        cbor::put_uint(out, group.inode);
    }
    if !m.xattrs.is_empty() {
        let out = map.key(15);
        cbor::put_array(out, m.xattrs.len());
        for xattr in &m.xattrs {
            cbor::put_array(out, 2);
            cbor::put_bytes(out, &xattr.name);
            cbor::put_bytes(out, &xattr.value);
        }
    }
    if m.flags != 0 {
        cbor::put_uint(map.key(16), u64::from(m.flags));
    }
    match &node.content {
        Content::None => {}
        Content::Extents(extents) => {
            let out = map.key(17);
            cbor::put_array(out, extents.len());
            for extent in extents {
                put_extent(out, extent);
            }
        }
        Content::List(id) => cbor::put_bytes(map.key(18), &id.0),
        Content::Directory(id) => cbor::put_bytes(map.key(19), &id.0),
    }
    if node.changed_while_read {
        cbor::put_uint(map.key(20), 1);
    }
    if node.lost {
        cbor::put_uint(map.key(21), 1);
    }
    for (key, value) in &node.unknown {
        map.key(*key).extend_from_slice(value);
    }
    map.finish_into(out);
}

fn extents(d: &mut Decoder<'_>, count: usize) -> Result<Vec<Extent>> {
    let mut extents = Vec::new();
    for _ in 0..count {
        let mut ahead = d.clone();
        let extent = if let Ok(length) = ahead.uint("extent") {
            *d = ahead;
            if matches!(extents.last(), Some(Extent::Hole { .. })) {
                return Err(FormatError::BadStructure("two holes side by side"));
            }
            Extent::Hole { length }
        } else {
            d.array_exact(2, "extent")?;
            let id = ChunkId(d.bytes_exact("name of a chunk")?);
            let length = d.uint("length of a chunk")?;
            if length > PLAIN_LENGTH_MAX as u64 {
                return Err(FormatError::TooLarge("chunk"));
            }
            Extent::Chunk { id, length: length as u32 }
        };
        if extent.length() == 0 {
            return Err(FormatError::WrongField("an extent of no bytes"));
        }
        extents.push(extent);
    }
    Ok(extents)
}

fn sum_of(lengths: impl Iterator<Item = u64>) -> Result<u64> {
    lengths.into_iter().try_fold(0u64, u64::checked_add).ok_or(FormatError::BadStructure("lengths whose sum is beyond 64 bits"))
}

#[derive(Default)]
struct Fields<'a> {
    name: Option<&'a [u8]>,
    node_type: Option<NodeType>,
    mode: Option<u32>,
    ids: (Option<u32>, Option<u32>),
    times: (Option<super::node::Time>, Option<super::node::Time>),
    inode: Option<u64>,
    link_target: Option<&'a [u8]>,
    device: Option<(u32, u32)>,
    content: Content,
    directory: Option<TreeId>,
}

/// Reads one entry, an item of nesting 3.
fn decode_entry(d: &mut Decoder<'_>) -> Result<Node> {
    let mut map = d.map(3, "entry")?;
    let mut f = Fields::default();
    let mut m = Metadata::plain(NodeType::File, 0);
    let (mut changed_while_read, mut lost) = (false, false);
    let mut unknown = Vec::new();
    while let Some(key) = map.key(d)? {
        match key {
            1 => f.name = Some(d.bytes("name")?),
            2 => {
                let number = d.uint("type of entry")?;
                f.node_type = Some(NodeType::from_code(number).ok_or(FormatError::Unsupported { what: "type of entry", number })?);
            }
            3 => f.mode = Some(Some(d.uint32("mode")?).filter(|mode| *mode <= 0o7777).ok_or(FormatError::WrongField("mode"))?),
            4 => f.ids.0 = Some(d.uint32("owner")?),
            5 => f.ids.1 = Some(d.uint32("group")?),
            6 => m.user = not_empty(d.bytes("name of the owner")?)?,
            7 => m.group = not_empty(d.bytes("name of the group")?)?,
            8 => f.times.0 = Some(d.time("mtime")?),
            9 => f.times.1 = Some(d.time("ctime")?),
            10 => f.inode = Some(d.uint("inode")?),
            11 => {
                m.size = Some(d.uint("size")?).filter(|size| *size > 0).ok_or(FormatError::WrongField("size"))?;
                if m.size > SIZE_MAX {
                    return Err(FormatError::TooLarge("size of a file"));
                }
            }
            12 => f.link_target = Some(target(d.bytes("target of a link")?)?),
            13 => {
                d.array_exact(2, "device")?;
                f.device = Some((d.uint32("device")?, d.uint32("device")?));
            }
            14 => {
                d.array_exact(2, "link group")?;
                m.link_group = Some(LinkGroup { device: d.uint32("link group")?, inode: d.uint("link group")? });
            }
            15 => m.xattrs = xattrs(d)?,
            16 => m.flags = Some(d.uint32("flags")?).filter(|flags| *flags > 0).ok_or(FormatError::WrongField("flags"))?,
            17 => {
                let count = d.array("contents")?;
                if count == 0 {
                    return Err(FormatError::WrongField("contents"));
                }
                if count > EXTENTS_INLINE_MAX {
                    return Err(FormatError::TooLarge("extents of an entry"));
                }
                f.content = Content::Extents(extents(d, count)?);
            }
            18 if f.content != Content::None => return Err(FormatError::BadStructure("two lists of contents")),
            18 => f.content = Content::List(TreeId(d.bytes_exact("list of contents")?)),
            19 => f.directory = Some(TreeId(d.bytes_exact("node of a directory")?)),
            20 => changed_while_read = mark(d, "changed while read")?,
            21 => lost = mark(d, "lost")?,
            _ => unknown.push((key, map.unknown(key, d)?.to_vec())),
        }
    }
    let missing = FormatError::MissingField("entry");
    let name = f.name.ok_or(missing.clone())?;
    check_name(name)?;
    m.node_type = f.node_type.ok_or(missing.clone())?;
    m.mode = f.mode.ok_or(missing.clone())?;
    m.uid = f.ids.0.ok_or(missing.clone())?;
    m.gid = f.ids.1.ok_or(missing.clone())?;
    m.mtime = f.times.0.ok_or(missing.clone())?;
    m.ctime = f.times.1.ok_or(missing.clone())?;
    m.inode = f.inode.ok_or(missing)?;

    let (file, directory) = (m.node_type == NodeType::File, m.node_type == NodeType::Directory);
    let device = matches!(m.node_type, NodeType::CharDevice | NodeType::BlockDevice);
    let sum = match &f.content {
        Content::Extents(extents) => Some(sum_of(extents.iter().map(Extent::length))?),
        Content::List(_) => None,
        _ => Some(0),
    };
    if f.link_target.is_some() != (m.node_type == NodeType::Symlink)
        || f.device.is_some() != device
        || f.directory.is_some() != directory
        || (!file && (m.size > 0 || f.content != Content::None || changed_while_read))
        || (!file && !directory && lost)
        || (directory && m.link_group.is_some())
        || (m.flags != 0 && !file && !directory)
        || sum.is_some_and(|sum| sum != m.size)
        || (sum.is_none() && m.size == 0)
    {
        return Err(FormatError::BadStructure("an entry whose fields do not fit its type"));
    }
    m.link_target = f.link_target.unwrap_or_default().to_vec();
    m.device = f.device.unwrap_or_default();
    let content = f.directory.map_or(f.content, Content::Directory);
    Ok(Node { name: name.to_vec(), metadata: m, content, changed_while_read, lost, unknown })
}

/// A field that says yes by being there.
fn mark(d: &mut Decoder<'_>, what: &'static str) -> Result<bool> {
    if d.uint(what)? == 1 { Ok(true) } else { Err(FormatError::WrongField(what)) }
}

fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_LENGTH_MAX {
        Err(FormatError::TooLarge("name"))
    } else if is_valid_name(name) {
        Ok(())
    } else {
        Err(FormatError::BadStructure("a name that no entry may have"))
    }
}

fn target(bytes: &[u8]) -> Result<&[u8]> {
    if bytes.len() > TARGET_LENGTH_MAX {
        Err(FormatError::TooLarge("target of a link"))
    } else if bytes.is_empty() || bytes.contains(&0) {
        Err(FormatError::BadStructure("a target that no link may have"))
    } else {
        Ok(bytes)
    }
}

fn not_empty(bytes: &[u8]) -> Result<Vec<u8>> {
    if bytes.is_empty() { Err(FormatError::WrongField("an empty name of an owner")) } else { Ok(bytes.to_vec()) }
}

fn xattrs(d: &mut Decoder<'_>) -> Result<Vec<Xattr>> {
    let mut xattrs: Vec<Xattr> = Vec::new();
    for _ in 0..d.array("attributes")? {
        d.array_exact(2, "attribute")?;
        let (name, value) = (d.bytes("name of an attribute")?.to_vec(), d.bytes("attribute")?.to_vec());
        if name.len() > XATTR_LENGTHS_MAX.0 || value.len() > XATTR_LENGTHS_MAX.1 {
            return Err(FormatError::TooLarge("extended attribute"));
        }
        if name.is_empty() || name.contains(&0) {
            return Err(FormatError::BadStructure("a name that no attribute may have"));
        }
        if xattrs.last().is_some_and(|last| last.name >= name) {
            return Err(FormatError::BadStructure("attributes out of order"));
        }
        xattrs.push(Xattr { name, value });
    }
    if xattrs.is_empty() { Err(FormatError::WrongField("attributes")) } else { Ok(xattrs) }
}

impl TreeNode {
    /// The tree chunk's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut items = Vec::new();
        let (kind, count) = match self {
            Self::Directory(entries) => {
                entries.iter().for_each(|entry| encode_entry(entry, &mut items));
                (1, entries.len())
            }
            Self::Split(parts) => {
                for part in parts {
                    cbor::put_array(&mut items, 3);
                    cbor::put_bytes(&mut items, &part.first_name);
                    cbor::put_bytes(&mut items, &part.id.0);
                    cbor::put_uint(&mut items, part.entries);
                }
                (2, parts.len())
            }
            Self::List(extents) => {
                extents.iter().for_each(|extent| put_extent(&mut items, extent));
                (3, extents.len())
            }
            Self::Lists(parts) => {
                for part in parts {
                    cbor::put_array(&mut items, 2);
                    cbor::put_bytes(&mut items, &part.id.0);
                    cbor::put_uint(&mut items, part.length);
                }
                (4, parts.len())
            }
        };
        wrap(kind, count, &items)
    }

    /// Reads a tree chunk.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut d = Decoder::new(bytes);
        let mut map = d.map(1, "tree node")?;
        let mut kind = None;
        let mut node = None;
        while let Some(key) = map.key(&mut d)? {
            match (key, kind) {
                (1, _) => kind = Some(d.uint("kind of node")?),
                (2, Some(1)) => node = Some(Self::Directory(directory(&mut d)?)),
                (2, Some(2)) => node = Some(Self::Split(parts(&mut d)?)),
                (2, Some(3)) => {
                    let count = d.array("extents")?;
                    node = Some(Self::List(extents(&mut d, count)?));
                }
                (2, Some(4)) => node = Some(Self::Lists(list_parts(&mut d)?)),
                (2, Some(number)) => return Err(FormatError::Unsupported { what: "kind of tree node", number }),
                (2, None) => return Err(FormatError::MissingField("kind of node")),
                _ => drop(map.unknown(key, &mut d)?),
            }
        }
        d.finish()?;
        let node = node.ok_or(FormatError::MissingField("tree node"))?;
        match &node {
            Self::Split(parts) if parts.len() < 2 => Err(FormatError::BadStructure("a split directory of fewer than two parts")),
            Self::List(extents) if extents.is_empty() => Err(FormatError::BadStructure("a list without extents")),
            Self::Lists(parts) if parts.is_empty() => Err(FormatError::BadStructure("a list without parts")),
            _ => Ok(node),
        }
    }
}

fn directory(d: &mut Decoder<'_>) -> Result<Vec<Node>> {
    let mut entries: Vec<Node> = Vec::new();
    for _ in 0..d.array("entries")? {
        let entry = decode_entry(d)?;
        if entries.last().is_some_and(|last| last.name >= entry.name) {
            return Err(FormatError::BadStructure("names out of order"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

fn parts(d: &mut Decoder<'_>) -> Result<Vec<Part>> {
    let mut parts: Vec<Part> = Vec::new();
    for _ in 0..d.array("parts")? {
        d.array_exact(3, "part")?;
        let part = Part { first_name: d.bytes("first name")?.to_vec(), id: TreeId(d.bytes_exact("part")?), entries: d.uint("number of entries")? };
        check_name(&part.first_name)?;
        if part.entries == 0 || parts.last().is_some_and(|last| last.first_name >= part.first_name) {
            return Err(FormatError::BadStructure("parts of a directory out of order"));
        }
        parts.push(part);
    }
    Ok(parts)
}

fn list_parts(d: &mut Decoder<'_>) -> Result<Vec<ListPart>> {
    let mut parts = Vec::new();
    for _ in 0..d.array("parts of a list")? {
        d.array_exact(2, "part of a list")?;
        let part = ListPart { id: TreeId(d.bytes_exact("part of a list")?), length: d.uint("length of a part")? };
        if part.length == 0 {
            return Err(FormatError::WrongField("a part of a list of no bytes"));
        }
        parts.push(part);
    }
    sum_of(parts.iter().map(|part: &ListPart| part.length))?;
    Ok(parts)
}

fn wrap(kind: u64, count: usize, items: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(items.len() + 12);
    // A map of two keys: 1 is the kind, 2 the array.
    out.extend_from_slice(&[0xa2, 1]);
    cbor::put_uint(&mut out, kind);
    out.push(2);
    cbor::put_array(&mut out, count);
    out.extend_from_slice(items);
    out
}

/// Builds a directory from entries in order and hands finished nodes to a sink, so that only one leaf is ever held.
#[derive(Clone, Default)]
pub struct DirectoryBuilder {
    leaf: Vec<u8>,
    leaf_entries: u64,
    first_name: Vec<u8>,
    last_name: Vec<u8>,
    levels: Vec<Vec<Part>>,
}

impl DirectoryBuilder {
    /// An empty directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry, whose name must come after the last one's. `split` is the repository's number of a name
    /// ([`super::keys::KeyRing::split_number`]), `sink` stores a node and returns its name.
    pub fn push<E>(
        &mut self,
        entry: &Node,
        split: &dyn Fn(&[u8]) -> u32,
        sink: &mut dyn FnMut(Vec<u8>) -> std::result::Result<TreeId, E>,
    ) -> std::result::Result<(), E> {
        assert!(self.last_name < entry.name, "entries come in byte order of their names");
        self.last_name.clone_from(&entry.name);
        if self.leaf_entries == 0 {
            self.first_name.clone_from(&entry.name);
        }
        encode_entry(entry, &mut self.leaf);
        self.leaf_entries += 1;
        if self.leaf.len() >= LEAF_LENGTH_MAX || (self.leaf.len() >= LEAF_LENGTH_MIN && split(&entry.name) & SPLIT_MASK == 0) {
            self.close_leaf(split, sink)?;
        }
        Ok(())
    }

    fn close_leaf<E>(&mut self, split: &dyn Fn(&[u8]) -> u32, sink: &mut dyn FnMut(Vec<u8>) -> std::result::Result<TreeId, E>) -> std::result::Result<(), E> {
        let id = sink(wrap(1, self.leaf_entries as usize, &self.leaf))?;
        let mut part = Part { first_name: std::mem::take(&mut self.first_name), id, entries: self.leaf_entries };
        self.leaf.clear();
        self.leaf_entries = 0;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let parts = &mut self.levels[level];
            let closes = split(&part.first_name) & SPLIT_MASK == 0;
            parts.push(part);
            if parts.len() < PARTS.1 && !(parts.len() >= PARTS.0 && closes) {
                break;
            }
            part = close_parts(std::mem::take(parts), sink)?;
        }
        Ok(())
    }

    /// Completes the directory and returns the name of its node.
    pub fn finish<E>(
        mut self,
        split: &dyn Fn(&[u8]) -> u32,
        sink: &mut dyn FnMut(Vec<u8>) -> std::result::Result<TreeId, E>,
    ) -> std::result::Result<TreeId, E> {
        if self.levels.is_empty() {
            return sink(wrap(1, self.leaf_entries as usize, &self.leaf));
        }
        if self.leaf_entries > 0 {
            self.close_leaf(split, sink)?;
        }
        let mut carried: Option<Part> = None;
        for mut parts in self.levels {
            parts.extend(carried.take());
            carried = match parts.len() {
                0 => None,
                1 => parts.pop(),
                _ => Some(close_parts(parts, sink)?),
            };
        }
        Ok(carried.expect("at least one leaf was closed").id)
    }
}

fn close_parts<E>(parts: Vec<Part>, sink: &mut dyn FnMut(Vec<u8>) -> std::result::Result<TreeId, E>) -> std::result::Result<Part, E> {
    let (first_name, entries) = (parts[0].first_name.clone(), parts.iter().map(|part| part.entries).sum());
    Ok(Part { first_name, id: sink(TreeNode::Split(parts).encode())?, entries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::contents::store_extents;
    use crate::format::node::Time;
    use std::collections::HashMap;

    fn name(bytes: &[u8]) -> TreeId {
        TreeId(*blake3::hash(bytes).as_bytes())
    }

    fn number(name: &[u8]) -> u32 {
        u32::from_le_bytes(blake3::hash(name).as_bytes()[..4].try_into().unwrap())
    }

    fn file(name: &[u8], extents: Vec<Extent>) -> Node {
        let mut metadata = Metadata::plain(NodeType::File, 0o644);
        metadata.size = extents.iter().map(Extent::length).sum();
        metadata.mtime = Time { seconds: -5, nanoseconds: 7 };
        let content = if extents.is_empty() { Content::None } else { Content::Extents(extents) };
        Node { name: name.to_vec(), metadata, content, changed_while_read: false, lost: false, unknown: Vec::new() }
    }

    #[test]
    fn entries_of_every_type_go_there_and_back() {
        let chunk = Extent::Chunk { id: ChunkId([1; 32]), length: 9 };
        let mut full = file(b"a\xff", vec![chunk, Extent::Hole { length: 1 << 40 }, chunk]);
        full.metadata.xattrs = vec![Xattr { name: b"user.a".to_vec(), value: vec![0, 255] }];
        full.metadata.user = b"me".to_vec();
        full.metadata.flags = 0x40;
        full.metadata.link_group = Some(LinkGroup { device: 1, inode: 2 });
        full.changed_while_read = true;
        full.lost = true;
        full.unknown = vec![(77, vec![0x81, 0x05])];
        let special = |name: &[u8], node_type| Node { metadata: Metadata::plain(node_type, 0), ..file(name, Vec::new()) };
        let mut entries = vec![full, special(b"b", NodeType::CharDevice), special(b"c", NodeType::Directory)];
        entries[1].metadata.device = (5, 1);
        entries[2].content = Content::Directory(TreeId([3; 32]));
        entries.extend([special(b"d", NodeType::Symlink), special(b"e", NodeType::Fifo), special(b"f", NodeType::Socket)]);
        entries[3].metadata.link_target = b"../\xfe".to_vec();
        let node = TreeNode::Directory(entries);
        let bytes = node.encode();
        assert_eq!(TreeNode::decode(&bytes), Ok(node.clone()));
        assert_eq!(TreeNode::decode(&bytes).unwrap().encode(), bytes);
        for at in 0..bytes.len() {
            assert!(TreeNode::decode(&bytes[..at]).is_err());
        }
    }

    #[test]
    fn hostile_entries_are_refused() {
        for bad in [&b"."[..], b"..", b"", b"a/b", b"a\0"] {
            assert!(TreeNode::decode(&TreeNode::Directory(vec![file(bad, Vec::new())]).encode()).is_err());
        }
        let twice = TreeNode::Directory(vec![file(b"a", Vec::new()), file(b"a", Vec::new())]);
        assert!(TreeNode::decode(&twice.encode()).is_err());
        let mut lies = file(b"a", vec![Extent::Hole { length: 5 }]);
        lies.metadata.size = 6;
        assert!(TreeNode::decode(&TreeNode::Directory(vec![lies]).encode()).is_err());
        let overflow = file(b"a", Vec::new());
        let overflow =
            Node { content: Content::Extents(vec![Extent::Hole { length: u64::MAX }, Extent::Chunk { id: ChunkId([0; 32]), length: 1 }]), ..overflow };
        assert!(TreeNode::decode(&TreeNode::Directory(vec![overflow]).encode()).is_err());
    }

    fn build(names: &[Vec<u8>]) -> (TreeId, HashMap<TreeId, Vec<u8>>) {
        let mut nodes = HashMap::new();
        let mut sink = |bytes: Vec<u8>| -> std::result::Result<TreeId, ()> {
            let id = name(&bytes);
            nodes.insert(id, bytes);
            Ok(id)
        };
        let mut builder = DirectoryBuilder::new();
        for name in names {
            builder.push(&file(name, Vec::new()), &number, &mut sink).unwrap();
        }
        let root = builder.finish(&number, &mut sink).unwrap();
        (root, nodes)
    }

    fn names_below(id: TreeId, nodes: &HashMap<TreeId, Vec<u8>>, out: &mut Vec<Vec<u8>>) {
        match TreeNode::decode(&nodes[&id]).unwrap() {
            TreeNode::Directory(entries) => out.extend(entries.into_iter().map(|entry| entry.name)),
            TreeNode::Split(parts) => {
                for part in parts {
                    let before = out.len();
                    names_below(part.id, nodes, out);
                    assert_eq!(out[before], part.first_name);
                    assert_eq!((out.len() - before) as u64, part.entries);
                }
            }
            _ => panic!("a list in a directory"),
        }
    }

    #[test]
    fn large_directories_split_and_a_new_entry_rewrites_little() {
        for count in [0, 1, 500, 60_000] {
            let mut names: Vec<Vec<u8>> = (0..count).map(|n| format!("file-{n:08}").into_bytes()).collect();
            let (root, before) = build(&names);
            let mut found = Vec::new();
            names_below(root, &before, &mut found);
            assert_eq!(found, names);
            names.insert(count / 2, format!("file-{:08}-new", (count / 2).saturating_sub(1)).into_bytes());
            names.sort();
            let (_, after) = build(&names);
            let rewritten: usize = after.iter().filter(|(id, _)| !before.contains_key(id)).map(|(_, bytes)| bytes.len()).sum();
            assert!(rewritten < 400_000, "{rewritten} bytes for one new name among {count}");
            assert!(before.values().all(|bytes| bytes.len() < 300_000));
        }
    }

    #[test]
    fn long_lists_become_trees() {
        let extents: Vec<Extent> = (0..40_000u32).map(|n| Extent::Chunk { id: ChunkId(*blake3::hash(&n.to_le_bytes()).as_bytes()), length: 65_536 }).collect();
        let mut nodes: HashMap<TreeId, Vec<u8>> = HashMap::new();
        let mut sink = |bytes: Vec<u8>| -> std::result::Result<TreeId, ()> {
            let id = name(&bytes);
            nodes.insert(id, bytes);
            Ok(id)
        };
        let Content::List(root) = store_extents(&extents, &mut sink).unwrap() else { panic!("a list") };
        let mut found = Vec::new();
        let mut stack = vec![root];
        while let Some(id) = stack.pop() {
            match TreeNode::decode(&nodes[&id]).unwrap() {
                TreeNode::List(extents) => found.extend(extents),
                TreeNode::Lists(parts) => stack.extend(parts.iter().rev().map(|part| part.id)),
                _ => panic!("a directory in a list"),
            }
        }
        assert_eq!(found, extents);
    }
}
