//! Makes new blocks of what is still needed of old ones.

use crate::format::compress::Compression;
use crate::format::keys::SessionKey;
use crate::format::pack::{ChunkRow, CompressedBlock, MOVED_SESSION, PackBuilder, PackKind};
use crate::store::repository::Repository;
use crate::store::session::{DATA_BLOCK_BYTES, TREE_BLOCK_BYTES, session_random};

/// The keys that new blocks of one prune are sealed under; none of contents for a role that cannot open these.
pub struct FreshKeys([Option<SessionKey>; 2]);

impl FreshKeys {
    /// New ones.
    pub fn new(repository: &Repository, writer: &str) -> Self {
        let host = &*repository.host;
        let key = |kind: PackKind| repository.keys.session_key(kind.key_class(), &MOVED_SESSION, writer, &session_random(host)).ok();
        Self([key(PackKind::Data), key(PackKind::Meta)])
    }

    fn of(&self, kind: PackKind) -> Option<&SessionKey> {
        self.0[usize::from(kind == PackKind::Meta)].as_ref()
    }
}

/// A block that is being filled.
pub struct Reblock<'a> {
    repository: &'a Repository,
    kind: PackKind,
    /// None where no block is taken apart.
    key: Option<&'a SessionKey>,
    plain: Vec<u8>,
    chunks: Vec<ChunkRow>,
    buffer: Vec<u8>,
}

impl<'a> Reblock<'a> {
    /// An empty one.
    pub fn new(repository: &'a Repository, kind: PackKind, keys: &'a FreshKeys) -> Self {
        Self { repository, kind, key: keys.of(kind), plain: Vec::new(), chunks: Vec::new(), buffer: Vec::new() }
    }

    /// Appends a chunk; the block before goes into the pack if it is full. Blocks become no longer than the old one was, whose length had its reason.
    pub fn push(&mut self, chunk: ChunkRow, bytes: &[u8], old_length: usize, builder: &mut PackBuilder) {
        let most = if self.kind == PackKind::Meta { TREE_BLOCK_BYTES } else { old_length.clamp(TREE_BLOCK_BYTES, DATA_BLOCK_BYTES) };
        if self.plain.len() + bytes.len() > most {
            self.flush(builder);
        }
        self.plain.extend_from_slice(bytes);
        self.chunks.push(chunk);
    }

    /// Puts what there is into the pack.
    pub fn flush(&mut self, builder: &mut PackBuilder) {
        if self.chunks.is_empty() {
            return;
        }
        let Some(key) = self.key else { unreachable!("a block was taken apart, for which its key is needed") };
        let repository = self.repository;
        let compressed = CompressedBlock::new(&self.plain, Compression::default(), std::mem::take(&mut self.buffer));
        let chunks = std::mem::take(&mut self.chunks);
        let sealed = compressed.seal(repository.keys.repository, self.kind, &key.seal, repository.config.cipher, &repository.host.random(), chunks);
        builder.push_sealed(&sealed, &key.wrapped);
        self.buffer = sealed.bytes;
        self.plain.clear();
    }
}
