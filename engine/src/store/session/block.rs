//! Chunks on their way into one block.

use super::{DATA_BLOCK_BYTES, TREE_BLOCK_BYTES};
use crate::format::chunker::SINGLE_CHUNK_MAX;
use crate::format::id::ChunkId;
use crate::format::pack::ChunkRow;

/// A block that is full, with the file that went beyond.
const FULL_BLOCK_BYTES: usize = DATA_BLOCK_BYTES + SINGLE_CHUNK_MAX + 1;

/// Chunks on their way into one block. Its buffer is kept when the block is emptied, so that a few blocks serve a whole run.
#[derive(Default)]
pub struct OpenBlock {
    /// The first `length` bytes are the plaintext; what is behind was used before, or never.
    pub(super) buffer: Vec<u8>,
    pub(super) length: usize,
    pub(super) chunks: Vec<ChunkRow>,
}

impl OpenBlock {
    /// Appends a chunk.
    pub fn push(&mut self, name: [u8; 32], plain: &[u8]) {
        self.room(plain.len())[..plain.len()].copy_from_slice(plain);
        self.keep(name, plain.len());
    }

    /// Room for `most` bytes behind the chunks, to be read into; what is not kept is overwritten later.
    pub fn room(&mut self, most: usize) -> &mut [u8] {
        let end = self.length + most;
        if self.buffer.len() < end {
            // Few sizes, none larger than needed: the allocator does not always give memory that is still untouched.
            let length = [TREE_BLOCK_BYTES, FULL_BLOCK_BYTES].into_iter().find(|length| end <= *length).unwrap_or(end);
            let mut longer = vec![0; length];
            longer[..self.length].copy_from_slice(&self.buffer[..self.length]);
            self.buffer = longer;
        }
        &mut self.buffer[self.length..end]
    }

    /// Makes the first `length` bytes of the room the next chunk.
    pub fn keep(&mut self, name: [u8; 32], length: usize) {
        self.length += length;
        debug_assert!(self.length <= self.buffer.len());
        self.chunks.push(ChunkRow { id: ChunkId(name), length: length as u32 });
    }

    /// Length of the plaintext in bytes.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}
