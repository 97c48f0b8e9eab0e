//! Records in the clear: each is read by both readers, field by field the same, and what the engine read it writes back.

use crate::heap;
use crate::judge::agree;
use crate::world;
use vault_engine::format::FormatError;
use vault_engine::format::cbor::{self, MapWriter};
use vault_engine::format::config::{Config, PACK_SIZE_BYTES};
use vault_engine::format::id::ObjectId;
use vault_engine::format::index::Segment;
use vault_engine::format::node::{Content, Extent, Node, Time};
use vault_engine::format::snapshot::{Forget, Snapshot};
use vault_engine::format::tree::{self, DirectoryBuilder, TreeNode};
use vault_rescue as rescue;
use vault_rescue::cbor::Item;
use vault_rescue::entry::{Contents, Entry};

/// The engine's reading, with its memory bounded by the record's length.
pub fn read<T>(bytes: &[u8], decode: impl FnOnce(&[u8]) -> Result<T, FormatError>) -> Result<T, FormatError> {
    heap::bounded(heap::for_record(bytes.len()), || decode(bytes))
}

fn time(time: Time) -> rescue::cbor::Time {
    rescue::cbor::Time { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

fn keys(map: rescue::cbor::Map<'_>) -> Vec<u64> {
    map.pairs().map(|pair| pair.key).collect()
}

/// The outermost map's keys. The bytes have been accepted.
fn outer_keys(bytes: &[u8]) -> Vec<u64> {
    keys(rescue::cbor::decode(bytes).and_then(|item| item.map(&[])).expect("both have read it"))
}

/// Writes an item that the second reader read with the engine's writer.
pub fn rewrite(item: Item<'_>, out: &mut Vec<u8>) {
    match item {
        Item::Unsigned(value) => cbor::put_uint(out, value),
        // The writer has 64 bits with a sign, the form one more: the head is made of an unsigned one.
        Item::Negative(value) => {
            let start = out.len();
            cbor::put_uint(out, value);
            out[start] |= 1 << 5;
            if let Ok(value) = i64::try_from(value) {
                let mut signed = Vec::new();
                cbor::put_int(&mut signed, !value);
                assert_eq!(signed, out[start..]);
            }
        }
        Item::Bytes(bytes) => cbor::put_bytes(out, bytes),
        Item::Text(text) => cbor::put_text(out, text),
        Item::Array(array) => {
            cbor::put_array(out, usize::try_from(array.len()).expect("read from memory"));
            array.items().for_each(|item| rewrite(item, out));
        }
        Item::Map(map) => {
            let mut writer = MapWriter::new();
            map.pairs().for_each(|pair| rewrite(pair.value, writer.key(pair.key)));
            writer.finish_into(out);
        }
    }
}

/// What decodes encodes to bytes that decode to the same and encode to the same; at once to the same bytes where `exact`.
fn goes_back<T: PartialEq + std::fmt::Debug>(
    bytes: &[u8],
    value: &T,
    exact: bool,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, FormatError>,
) {
    let first = encode(value);
    let again = decode(&first);
    assert_eq!(again.as_ref(), Ok(value), "the second reading differs");
    assert_eq!(encode(again.as_ref().expect("just compared")), first, "the second encoding differs");
    if exact {
        assert_eq!(first, bytes, "the encoding differs");
    }
}

/// A configuration (chapter 9).
pub fn config(bytes: &[u8]) {
    let engine = read(bytes, Config::decode);
    // The second reader compares with the slot's id; here that is always the record's own.
    let id = match rescue::cbor::decode(bytes) {
        Ok(Item::Map(map)) => map.get(1).and_then(|item| item.fixed().ok()).unwrap_or(world::ID),
        _ => world::ID,
    };
    let second = rescue::config::Config::parse(bytes, &id);
    if !agree(bytes, &engine, &second) {
        return;
    }
    let (config, second) = (engine.expect("both accept"), second.expect("both accept"));
    assert_eq!((time(config.created), config.sequence), (second.made, second.sequence));
    let plain = second.writing[0] == 1 && matches!(second.writing[1], 1 | 2) && matches!(second.writing[2], 0 | 1);
    if plain {
        assert_eq!(config.write_features, second.writer_features);
        assert_eq!((config.cipher as u64, config.parity as u64), (second.writing[1], second.writing[2]));
    } else {
        assert!(!config.write_features.is_empty(), "what it does not know forbids writing");
    }
    let exact = plain && PACK_SIZE_BYTES.contains(&second.writing[3]) && outer_keys(bytes) == (1..=10).collect::<Vec<_>>();
    goes_back(bytes, &config, exact, |config| config.encode(None), Config::decode);
    for grease in [[0; 4], [27, 1, 2, 3], [255; 4]] {
        assert_eq!(Config::decode(&config.encode(Some(grease))).as_ref(), Ok(&config));
    }
}

/// A snapshot (chapter 13).
pub fn snapshot(bytes: &[u8]) {
    let engine = read(bytes, Snapshot::decode);
    let second = rescue::snapshot::Snapshot::parse(bytes);
    if !agree(bytes, &engine, &second) {
        return;
    }
    let (a, b) = (engine.expect("both accept"), second.expect("both accept"));
    assert_eq!((time(a.begun), time(a.ended)), (b.begun, b.ended));
    assert_eq!((&a.host, &a.user, &a.source, &a.paths, &a.tags), (&b.host, &b.user, &b.source, &b.paths, &b.tags));
    assert_eq!((a.root.0, a.parent.map(|id| id.0)), (b.root, b.parent));
    assert_eq!((&a.writer, a.sequence, a.predecessor.map(|id| id.0), a.original.map(|id| id.0)), (&b.writer, b.sequence, b.predecessor, b.original));
    assert_eq!((a.status as u64, a.missing, &a.program), (b.status, b.unread, &b.program));
    let s = &a.summary;
    let counts = [
        s.files_new,
        s.files_changed,
        s.files_unmodified,
        s.dirs_new,
        s.dirs_changed,
        s.dirs_unmodified,
        s.entries,
        s.content_bytes,
        s.new_bytes,
        s.stored_bytes,
    ];
    let second_counts = b.summary.unwrap_or_default();
    assert_eq!(counts, std::array::from_fn(|at| second_counts[at].unwrap_or_default()));
    assert_eq!([s.incompressible_bytes, s.files_gone, s.files_rewritten], second_counts[10..]);
    let summary = match rescue::cbor::decode(bytes).and_then(|item| item.map(&[])) {
        Ok(map) => map.get(14).and_then(|item| item.map(&[]).ok()).map(keys),
        Err(_) => None,
    };
    let exact = outer_keys(bytes).iter().all(|key| (1..=17).contains(key))
        && summary
            .is_some_and(|keys| keys.len() >= 10 && keys.iter().zip(1..).all(|(key, at)| *key == at || at > 10) && keys[10..].iter().all(|key| *key <= 13));
    goes_back(bytes, &a, exact, |snapshot| snapshot.encode(None), Snapshot::decode);
    for grease in [[0; 4], [27, 1, 2, 3], [255; 4]] {
        assert_eq!(Snapshot::decode(&a.encode(Some(grease))).as_ref(), Ok(&a));
    }
}

/// A forget record (chapter 13).
pub fn forget(bytes: &[u8]) {
    let engine = read(bytes, Forget::decode);
    let second = rescue::snapshot::Forget::parse(bytes);
    if !agree(bytes, &engine, &second) {
        return;
    }
    let (a, b) = (engine.expect("both accept"), second.expect("both accept"));
    assert_eq!((a.snapshot.0, &a.writer, a.sequence, time(a.forgotten)), (b.snapshot, &b.writer, b.sequence, b.time));
    assert_eq!(a.replaced_by.map(|id| id.0), b.replacement);
    let exact = outer_keys(bytes).iter().all(|key| (1..=8).contains(key));
    goes_back(bytes, &a, exact, Forget::encode, Forget::decode);
}

/// A confirmation (chapter 13), read and made.
pub fn confirmation(bytes: &[u8]) {
    let engine = world::ring().read_confirmation(bytes);
    let second = rescue::snapshot::read_confirmation(bytes, world::roots(), &world::ID);
    if agree(bytes, &engine, &second) {
        let (snapshot, epoch) = engine.expect("both accept");
        assert_eq!(Ok(snapshot.0), second);
        assert_eq!(world::ring().confirmation(epoch, snapshot).as_deref(), Ok(bytes));
    }
    if let Some(snapshot) = bytes.get(..32).and_then(|bytes| bytes.try_into().ok()).map(ObjectId) {
        for epoch in 0..3 {
            let made = world::ring().confirmation(epoch, snapshot);
            let second = rescue::snapshot::confirmation(world::roots(), epoch, &world::ID, &snapshot.0);
            assert_eq!(made.as_ref().ok(), second.as_ref().ok());
            if let Ok(made) = made {
                assert_eq!(rescue::snapshot::read_confirmation(&made, world::roots(), &world::ID), Ok(snapshot.0));
                assert_eq!(world::ring().read_confirmation(&made), Ok((snapshot, epoch)));
            }
        }
    }
}

/// An index segment (chapter 14).
pub fn index(bytes: &[u8]) {
    let engine = read(bytes, Segment::decode);
    let second = rescue::index::Segment::parse(bytes);
    if !agree(bytes, &engine, &second) {
        return;
    }
    let (a, b) = (engine.expect("both accept"), second.expect("both accept"));
    let packs: Vec<_> = a.packs.iter().map(|pack| (pack.id.0, pack.kind as u8, pack.length)).collect();
    assert_eq!(packs, b.packs.iter().map(|(id, class, length)| (*id, class.number(), *length)).collect::<Vec<_>>());
    let rows: Vec<_> = a.rows.iter().map(|row| (row.prefix, row.pack, row.ordinal)).collect();
    assert_eq!(rows, b.rows.iter().map(|row| (row.prefix, row.pack, row.ordinal)).collect::<Vec<_>>());
    assert_eq!(a.replaces.iter().map(|id| id.0).collect::<Vec<_>>(), b.replaces);
    let keys = outer_keys(bytes);
    let exact = keys.iter().all(|key| (1..=3).contains(key)) && keys.contains(&3) != a.replaces.is_empty();
    goes_back(bytes, &a, exact, |segment| segment.clone().encode(), Segment::decode);
}

fn same_extents(a: &[Extent], b: &[rescue::tree::Extent]) {
    let plain: Vec<_> = a
        .iter()
        .map(|extent| match extent {
            Extent::Chunk { id, length } => rescue::tree::Extent::Chunk(id.0, u64::from(*length)),
            Extent::Hole { length } => rescue::tree::Extent::Hole(*length),
        })
        .collect();
    assert_eq!(plain, b);
}

fn same_entry(a: &Node, b: &Entry) {
    let m = &a.metadata;
    assert_eq!(a.name, b.name);
    assert_eq!((m.node_type as u8, m.mode, m.uid, m.gid), (b.kind as u8 + 1, b.mode, b.uid, b.gid));
    assert_eq!((&m.user, &m.group), (b.user.as_ref().unwrap_or(&Vec::new()), b.group.as_ref().unwrap_or(&Vec::new())));
    assert_eq!((time(m.mtime), time(m.ctime), m.inode, m.size), (b.mtime, b.ctime, b.inode, b.size));
    assert_eq!((&m.link_target, m.device), (&b.target, b.device.unwrap_or_default()));
    assert_eq!(m.link_group.map(|group| (group.device, group.inode)), b.links);
    assert!(m.xattrs.iter().map(|xattr| (&xattr.name, &xattr.value)).eq(b.attributes.iter().map(|(name, value)| (name, value))));
    assert_eq!((m.flags, a.changed_while_read, a.lost), (b.flags, b.changed, b.lost));
    match (&a.content, &b.contents) {
        (Content::None, Contents::None) => assert_eq!(b.node, None),
        (Content::Directory(id), Contents::None) => assert_eq!(Some(id.0), b.node),
        (Content::List(id), Contents::List(other)) => assert_eq!(id.0, *other),
        (Content::Extents(extents), Contents::Extents(others)) => same_extents(extents, others),
        (one, other) => panic!("contents differ: {one:?} {other:?}"),
    }
}

/// A tree chunk (chapter 12).
pub fn tree(bytes: &[u8]) {
    let engine = read(bytes, TreeNode::decode);
    let second = rescue::tree::Node::parse(bytes);
    if !agree(bytes, &engine, &second) {
        return;
    }
    let (a, b) = (engine.expect("both accept"), second.expect("both accept"));
    let items = b.items.items();
    match &a {
        TreeNode::Directory(entries) => {
            let others: Vec<Entry> = items.map(|item| Entry::parse(item).expect("read before")).collect();
            assert_eq!(entries.len(), others.len());
            entries.iter().zip(&others).for_each(|(a, b)| same_entry(a, b));
        }
        TreeNode::Split(parts) => {
            let others = items.map(|item| rescue::tree::Part::parse(item).expect("read before"));
            assert!(parts.iter().map(|part| (part.first_name.clone(), part.id.0, part.entries)).eq(others.map(|part| (part.first, part.node, part.entries))));
        }
        TreeNode::List(extents) => same_extents(extents, &rescue::tree::extents(b.items).expect("read before")),
        TreeNode::Lists(parts) => {
            let others = items.map(|item| rescue::tree::Piece::parse(item).expect("read before"));
            assert!(parts.iter().map(|part| (part.id.0, part.length)).eq(others.map(|piece| (piece.node, piece.length))));
        }
    }
    goes_back(bytes, &a, outer_keys(bytes) == [1, 2], TreeNode::encode, TreeNode::decode);
    if let TreeNode::Directory(entries) = &a {
        built(entries);
    }
}

/// The writer's own way to a directory ends in nodes that hold the same entries.
fn built(entries: &[Node]) {
    let mut nodes: Vec<Vec<u8>> = Vec::new();
    let mut sink = |node: Vec<u8>| -> Result<_, std::convert::Infallible> {
        let id = vault_engine::format::id::TreeId(rescue::keys::h(&node));
        nodes.push(node);
        Ok(id)
    };
    let split = |_: &[u8]| 0;
    let mut builder = DirectoryBuilder::new();
    for entry in entries {
        let Ok(()) = builder.push(entry, &split, &mut sink);
    }
    let Ok(_) = builder.finish(&split, &mut sink);
    let mut found = Vec::new();
    for node in &nodes {
        if let TreeNode::Directory(entries) = TreeNode::decode(node).expect("what is written is read") {
            found.extend(entries);
        }
    }
    assert_eq!(found, entries);
    assert!(entries.iter().all(|entry| tree::is_valid_name(&entry.name)));
}
