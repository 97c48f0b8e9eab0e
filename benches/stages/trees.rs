//! Trees: entries to nodes and back.

use super::{group, ring};
use criterion::{Criterion, Throughput};
use std::convert::Infallible;
use vault_engine::format::id::{ChunkId, TreeId};
use vault_engine::format::node::{Content, Extent, Metadata, Node, NodeType, Time};
use vault_engine::format::tree::{DirectoryBuilder, TreeNode};

const ENTRIES: u32 = 10_000;

fn entries() -> Vec<Node> {
    let entry = |number: u32| {
        let hash = *blake3::hash(&number.to_le_bytes()).as_bytes();
        let length = 1000 + number % 50_000;
        let mut metadata = Metadata::plain(NodeType::File, 0o644);
        metadata.uid = 1000;
        metadata.gid = 1000;
        metadata.user = b"me".to_vec();
        metadata.group = b"me".to_vec();
        metadata.mtime = Time { seconds: 1_700_000_000 + i64::from(number), nanoseconds: u32::from(hash[0]) << 16 };
        metadata.ctime = metadata.mtime;
        metadata.inode = 1_000_000 + u64::from(number);
        metadata.size = u64::from(length);
        let content = Content::Extents(vec![Extent::Chunk { id: ChunkId(hash), length }]);
        Node { name: format!("entry-{number:06}.txt").into_bytes(), metadata, content, changed_while_read: false, lost: false, unknown: Vec::new() }
    };
    (0..ENTRIES).map(entry).collect()
}

/// Builds the directory, hands its nodes to `keep`.
fn build(entries: &[Node], mut keep: impl FnMut(Vec<u8>)) {
    let ring = ring();
    let split = |name: &[u8]| ring.split_number(name);
    let mut sink = |node: Vec<u8>| -> Result<TreeId, Infallible> {
        let id = ring.name_tree(&node);
        keep(node);
        Ok(id)
    };
    let mut builder = DirectoryBuilder::new();
    for entry in entries {
        let Ok(()) = builder.push(entry, &split, &mut sink);
    }
    let Ok(_) = builder.finish(&split, &mut sink);
}

pub fn encode(c: &mut Criterion) {
    let entries = entries();
    let mut group = group(c, "tree");
    group.throughput(Throughput::Elements(u64::from(ENTRIES)));
    group.bench_function("encode", |b| b.iter(|| build(&entries, drop)));
    group.finish();
}

pub fn decode(c: &mut Criterion) {
    let mut nodes = Vec::new();
    build(&entries(), |node| nodes.push(node));
    let mut group = group(c, "tree");
    group.throughput(Throughput::Elements(u64::from(ENTRIES)));
    group.bench_function("decode", |b| {
        b.iter(|| {
            let count = |node: &Vec<u8>| match TreeNode::decode(node).unwrap() {
                TreeNode::Directory(entries) => entries.len(),
                _ => 0,
            };
            assert_eq!(nodes.iter().map(count).sum::<usize>(), ENTRIES as usize);
        });
    });
    group.finish();
}
