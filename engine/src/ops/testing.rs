//! What tests of operations need: a repository in memory, and snapshots built entry by entry.
#![allow(clippy::unwrap_used)]

pub mod memory_target;

use crate::format::compress::Compression;
use crate::format::contents::store_extents;
use crate::format::id::{ObjectId, TreeId};
use crate::format::keys::Key;
use crate::format::node::{Content, Extent, Metadata, Node, NodeType, Time};
use crate::format::pack::PackKind;
use crate::format::slot::Secret;
use crate::format::snapshot::{Snapshot, Status, Summary};
use crate::format::tree::DirectoryBuilder;
use crate::store::error::Result;
use crate::store::host::SystemHost;
use crate::store::memory::MemoryStore;
use crate::store::repository::{InitOptions, Repository};
use crate::store::session::{OpenBlock, Session};
use std::path::Path;
use std::sync::Arc;

/// A new repository and its store.
pub fn repository() -> (Repository, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::default());
    let options = InitOptions { pack_size_bytes: 1 << 20, ..InitOptions::default() };
    let secrets = [(Secret::KeyFile(Key([9; 32])), "test")];
    (Repository::init(store.clone(), Arc::new(SystemHost::default()), &secrets, &options, None).unwrap(), store)
}

/// The same repository, opened again: nothing in memory.
pub fn reopened(store: &Arc<MemoryStore>) -> Repository {
    Repository::open(store.clone(), Arc::new(SystemHost::default()), &[Secret::KeyFile(Key([9; 32]))], None::<&Path>).unwrap()
}

/// A piece of a file's contents.
pub enum Piece<'a> {
    Data(&'a [u8]),
    Hole(u64),
}

/// Builds trees in one session; each file's data pieces are one block each.
pub struct Builder<'r> {
    pub session: Session<'r>,
}

impl<'r> Builder<'r> {
    pub fn new(repository: &'r Repository) -> Self {
        Self { session: Session::begin(repository, "here", Compression::default()).unwrap() }
    }

    /// Stores chunks together in one block.
    pub fn chunks(&self, plains: &[&[u8]]) -> Vec<Extent> {
        let mut block = OpenBlock::default();
        let keys = &self.session.repository().keys;
        let extents = plains.iter().map(|plain| {
            let id = keys.data_names().unwrap().name(plain);
            if self.session.claim(PackKind::Data, &id.0).unwrap() {
                block.push(id.0, plain);
            }
            Extent::Chunk { id, length: plain.len() as u32 }
        });
        let extents = extents.collect();
        self.session.store_block(PackKind::Data, &mut block).unwrap();
        extents
    }

    /// A file with these extents.
    pub fn with_extents(&self, name: &str, extents: Vec<Extent>) -> Node {
        let mut metadata = Metadata::plain(NodeType::File, 0o640);
        metadata.mtime = Time { seconds: 1_000_000, nanoseconds: 5 };
        metadata.size = extents.iter().map(Extent::length).sum();
        let content = store_extents(&extents, &mut |bytes: Vec<u8>| self.session.store_tree(&bytes)).unwrap();
        Node { name: name.as_bytes().to_vec(), metadata, content, changed_while_read: false, lost: false, unknown: Vec::new() }
    }

    /// A file of pieces.
    pub fn pieces(&self, name: &str, pieces: &[Piece<'_>]) -> Node {
        let extents = pieces.iter().map(|piece| match piece {
            Piece::Data(plain) => self.chunks(&[plain])[0],
            Piece::Hole(length) => Extent::Hole { length: *length },
        });
        self.with_extents(name, extents.collect())
    }

    /// A file of one chunk, or an empty one.
    pub fn file(&self, name: &str, plain: &[u8]) -> Node {
        if plain.is_empty() { self.with_extents(name, Vec::new()) } else { self.pieces(name, &[Piece::Data(plain)]) }
    }

    /// The node of a directory with these entries.
    pub fn tree(&self, mut nodes: Vec<Node>) -> TreeId {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let keys = &self.session.repository().keys;
        let split = |name: &[u8]| keys.split_number(name);
        let mut sink = |bytes: Vec<u8>| -> Result<TreeId> { self.session.store_tree(&bytes) };
        let mut builder = DirectoryBuilder::new();
        for node in &nodes {
            builder.push(node, &split, &mut sink).unwrap();
        }
        builder.finish(&split, &mut sink).unwrap()
    }

    /// A directory.
    pub fn directory(&self, name: &str, nodes: Vec<Node>) -> Node {
        Self::directory_of(name, self.tree(nodes))
    }

    /// A directory with a node that stands already.
    pub fn directory_of(name: &str, tree: TreeId) -> Node {
        let mut metadata = Metadata::plain(NodeType::Directory, 0o750);
        metadata.mtime = Time { seconds: 2_000_000, nanoseconds: 6 };
        Node { name: name.as_bytes().to_vec(), metadata, content: Content::Directory(tree), changed_while_read: false, lost: false, unknown: Vec::new() }
    }

    /// A symbolic link.
    pub fn symlink(name: &str, target: &str) -> Node {
        let mut metadata = Metadata::plain(NodeType::Symlink, 0o777);
        metadata.link_target = target.as_bytes().to_vec();
        Node { name: name.as_bytes().to_vec(), metadata, content: Content::None, changed_while_read: false, lost: false, unknown: Vec::new() }
    }

    /// Ends the session with a snapshot of `root`.
    pub fn commit(self, root: TreeId) -> ObjectId {
        self.session.finish().unwrap();
        let (sequence, predecessor) = self.session.chain().unwrap();
        let snapshot = Snapshot {
            begun: Time { seconds: sequence as i64, nanoseconds: 0 },
            ended: Time { seconds: sequence as i64, nanoseconds: 1 },
            host: "here".into(),
            user: "me".into(),
            source: None,
            paths: vec![b"/".to_vec()],
            tags: Vec::new(),
            root,
            parent: None,
            writer: "here".into(),
            sequence,
            predecessor,
            original: None,
            summary: Summary::default(),
            status: Status::Complete,
            missing: 0,
            program: "test".into(),
            pinned: None,
        };
        let committed = self.session.commit(&snapshot, None).unwrap();
        assert!(committed.unconfirmed.is_none());
        committed.id
    }
}

/// Bytes that no two seeds share and that do not compress.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}
