//! Packs: geometry at both ends, blocks back to back, a sealed table that says which chunk lies where (SPEC chapter 11).

use super::cbor::{self, Decoder, MapWriter};
use super::compress::{self, Compression, Method};
use super::error::{FormatError, Result};
use super::id::{ChunkId, RepositoryId};
use super::keys::{self, KeyClass, KeyRing, SessionKey, WrappedKey};
use super::parity::{self, Layout, ParityScheme};
use super::seal::{Cipher, NONCE_LENGTH, OVERHEAD, SealKey, Sealed, padded_length};

/// Length of header and of footer in bytes.
pub const END_LENGTH: usize = 128;
/// Shortest pack in bytes: two ends and an empty box.
pub const PACK_LENGTH_MIN: u64 = (2 * END_LENGTH + OVERHEAD) as u64;
/// Most chunks in a pack.
pub const CHUNKS_MAX: usize = 65_535;
/// Longest plaintext of a chunk or a block in bytes.
pub const PLAIN_LENGTH_MAX: usize = 16 << 20;
/// Longest pack in bytes.
pub const PACK_LENGTH_MAX: u64 = 256 << 20;
/// Longest table box in bytes.
pub const TABLE_LENGTH_MAX: usize = 16 << 20;
/// Most wrapped keys in a pack.
pub const KEYS_MAX: usize = 1024;

/// Stands for the session of packs that a sweeper filled with blocks of others.
pub const MOVED_SESSION: [u8; 16] = [0; 16];

const HEADER_MAGIC: &[u8; 8] = b"VAULTPK1";
const FOOTER_MAGIC: &[u8; 8] = b"VAULTPF1";
const BLOCK_ROW: usize = 16;
const CHUNK_ROW: usize = 36;

/// What a pack holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum PackKind {
    /// File contents.
    Data = 1,
    /// Trees.
    Meta = 2,
}

impl PackKind {
    /// The kind behind a number of the format.
    pub fn from_code(code: u64) -> Result<Self> {
        match code {
            1 => Ok(Self::Data),
            2 => Ok(Self::Meta),
            _ => Err(FormatError::Unsupported { what: "kind of pack", number: code }),
        }
    }

    /// The class of session key that seals its blocks.
    pub fn key_class(self) -> KeyClass {
        match self {
            Self::Data => KeyClass::Data,
            Self::Meta => KeyClass::Tree,
        }
    }

    fn sealed_block(self) -> Sealed {
        match self {
            Self::Data => Sealed::DataBlock,
            Self::Meta => Sealed::TreeBlock,
        }
    }
}

/// Where the regions of a pack lie; written at both its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// What the pack holds.
    pub kind: PackKind,
    cipher: Cipher,
    epoch: u32,
    repository: RepositoryId,
    /// Where the table box begins.
    pub table_offset: u64,
    /// Its length in bytes.
    pub table_length: u32,
    parity_scheme: u8,
    parity_length: u64,
    shard_table_length: u64,
    /// Length of the whole object in bytes.
    pub pack_length: u64,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// The two places where a pack's geometry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first 128 bytes.
    Header,
    /// The last 128 bytes.
    Footer,
}

impl End {
    fn magic(self) -> [u8; 8] {
        match self {
            Self::Header => *HEADER_MAGIC,
            Self::Footer => *FOOTER_MAGIC,
        }
    }
}

impl Geometry {
    fn encode(&self, magic: [u8; 8]) -> [u8; END_LENGTH] {
        let mut out = [0; END_LENGTH];
        out[..8].copy_from_slice(&magic);
        out[8..12].copy_from_slice(&[1, self.kind as u8, self.cipher as u8, self.parity_scheme]);
        out[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        out[16..32].copy_from_slice(&self.repository.0);
        let parity_offset = self.table_offset + u64::from(self.table_length);
        out[32..40].copy_from_slice(&self.table_offset.to_le_bytes());
        out[40..44].copy_from_slice(&self.table_length.to_le_bytes());
        out[48..56].copy_from_slice(&parity_offset.to_le_bytes());
        out[56..64].copy_from_slice(&self.parity_length.to_le_bytes());
        out[64..72].copy_from_slice(&(parity_offset + self.parity_length).to_le_bytes());
        out[72..80].copy_from_slice(&self.shard_table_length.to_le_bytes());
        out[80..88].copy_from_slice(&self.pack_length.to_le_bytes());
        let check = blake3::hash(&out[..96]);
        out[96..].copy_from_slice(check.as_bytes());
        out
    }

    /// Reads a header or a footer.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; END_LENGTH] = bytes.try_into().map_err(|_| FormatError::Truncated)?;
        if &bytes[..8] != HEADER_MAGIC && &bytes[..8] != FOOTER_MAGIC {
            return Err(FormatError::BadStructure("not a pack"));
        }
        if bytes[8] != 1 {
            return Err(FormatError::Unsupported { what: "pack version", number: u64::from(bytes[8]) });
        }
        if blake3::hash(&bytes[..96]).as_bytes() != &bytes[96..] {
            return Err(FormatError::WrongHash);
        }
        if u32_at(bytes, 44) != 0 || u64_at(bytes, 88) != 0 {
            return Err(FormatError::BadStructure("a reserved field is not zero"));
        }
        let geometry = Self {
            kind: PackKind::from_code(u64::from(bytes[9]))?,
            cipher: Cipher::from_code(bytes[10])?,
            parity_scheme: bytes[11],
            epoch: u32_at(bytes, 12),
            repository: RepositoryId(bytes[16..32].try_into().expect("sixteen bytes")),
            table_offset: u64_at(bytes, 32),
            table_length: u32_at(bytes, 40),
            parity_length: u64_at(bytes, 56),
            shard_table_length: u64_at(bytes, 72),
            pack_length: u64_at(bytes, 80),
        };
        if geometry.pack_length > PACK_LENGTH_MAX || geometry.table_length as usize > TABLE_LENGTH_MAX {
            return Err(FormatError::TooLarge("pack"));
        }
        let fits = || {
            let parity_offset = geometry.table_offset.checked_add(u64::from(geometry.table_length))?;
            let shard_table_offset = parity_offset.checked_add(geometry.parity_length)?;
            let footer_offset = shard_table_offset.checked_add(geometry.shard_table_length.checked_mul(2)?)?;
            let regions_right = match ParityScheme::from_code(u64::from(geometry.parity_scheme)) {
                None => true,
                Some(ParityScheme::None) => geometry.parity_length == 0 && geometry.shard_table_length == 0,
                Some(ParityScheme::ReedSolomon) => {
                    let layout = Layout::new(parity_offset);
                    geometry.parity_length == layout.parity_length() as u64 && geometry.shard_table_length == layout.table_length() as u64
                }
            };
            Some(
                geometry.table_offset >= END_LENGTH as u64
                    && geometry.table_length as usize >= OVERHEAD
                    && u64_at(bytes, 48) == parity_offset
                    && u64_at(bytes, 64) == shard_table_offset
                    && footer_offset.checked_add(END_LENGTH as u64)? == geometry.pack_length
                    && regions_right,
            )
        };
        if fits() == Some(true) { Ok(geometry) } else { Err(FormatError::BadStructure("regions of a pack that do not fit together")) }
    }

    /// Reads the header or the footer of an object of `length` bytes that lies where packs of `kind` do.
    pub fn decode_end(bytes: &[u8], end: End, kind: PackKind, length: u64) -> Result<Self> {
        let geometry = Self::decode(bytes)?;
        if bytes[..8] != end.magic() {
            return Err(FormatError::BadStructure("a footer for a header, or a header for a footer"));
        }
        if geometry.kind != kind {
            return Err(FormatError::BadStructure("another kind of pack than belongs here"));
        }
        if geometry.pack_length != length {
            return Err(FormatError::BadStructure("the pack is not as long as it says"));
        }
        Ok(geometry)
    }

    /// The header's bytes.
    pub fn header(&self) -> [u8; END_LENGTH] {
        self.encode(*HEADER_MAGIC)
    }

    /// The footer's bytes.
    pub fn footer(&self) -> [u8; END_LENGTH] {
        self.encode(*FOOTER_MAGIC)
    }

    /// The end of the table box: parity and footer follow.
    pub fn table_end(&self) -> u64 {
        self.table_offset + u64::from(self.table_length)
    }

    /// Bytes of the pack that are parity and shard tables.
    pub fn parity_bytes(&self) -> u64 {
        self.parity_length + 2 * self.shard_table_length
    }

    /// How the pack is cut into shards, if it has parity of a scheme that this program knows.
    pub fn parity_layout(&self) -> Option<Layout> {
        (self.parity_scheme == ParityScheme::ReedSolomon as u8).then(|| Layout::new(self.table_end()))
    }
}

/// Where a block lies and how it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// Where its box begins in the pack.
    pub offset: u64,
    /// Length of its box in bytes.
    pub box_length: u32,
    /// Length of its plaintext in bytes.
    pub plain_length: u32,
    /// Ordinal of its first chunk.
    pub first_chunk: u32,
    /// How many chunks it holds.
    pub chunks: u32,
    /// Which of the pack's wrapped keys it is sealed under.
    pub key: u16,
    /// How it is compressed: a number that need not be known.
    pub method: u8,
    /// How it is sealed, likewise: an unknown number costs only this block.
    pub cipher: u8,
}

/// One chunk in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRow {
    /// Its name.
    pub id: ChunkId,
    /// Length of its plaintext in bytes.
    pub length: u32,
}

/// A pack's table: what the pack holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Session that made the pack.
    pub session: [u8; 16],
    /// Wrapped keys that its blocks need.
    pub keys: Vec<WrappedKey>,
    /// Blocks in the order they lie.
    pub blocks: Vec<BlockRow>,
    /// Chunks in the order they lie; a chunk's index here is its ordinal.
    pub chunks: Vec<ChunkRow>,
    /// Bytes of the pack that are parity and shard tables.
    pub parity_bytes: u64,
}

impl Table {
    fn encode(&self) -> Vec<u8> {
        let mut map = MapWriter::new();
        cbor::put_bytes(map.key(1), &self.session);
        let keys = map.key(2);
        cbor::put_array(keys, self.keys.len());
        for key in &self.keys {
            cbor::put_bytes(keys, key);
        }
        let mut rows = Vec::with_capacity(self.blocks.len() * BLOCK_ROW);
        for block in &self.blocks {
            rows.extend_from_slice(&block.box_length.to_le_bytes());
            rows.extend_from_slice(&block.plain_length.to_le_bytes());
            rows.extend_from_slice(&block.chunks.to_le_bytes());
            rows.extend_from_slice(&block.key.to_le_bytes());
            rows.extend_from_slice(&[block.method, block.cipher]);
        }
        cbor::put_bytes(map.key(3), &rows);
        rows.clear();
        for chunk in &self.chunks {
            rows.extend_from_slice(&chunk.id.0);
            rows.extend_from_slice(&chunk.length.to_le_bytes());
        }
        cbor::put_bytes(map.key(4), &rows);
        map.finish()
    }

    fn decode(bytes: &[u8], geometry: &Geometry) -> Result<Self> {
        let mut d = Decoder::new(bytes);
        let mut map = d.map(1, "pack table")?;
        let (mut session, mut keys, mut block_rows, mut chunk_rows) = (None, None, None, None);
        while let Some(key) = map.key(&mut d)? {
            match key {
                1 => session = Some(d.bytes_exact("session id")?),
                2 => {
                    let count = d.array("wrapped keys")?;
                    if count > KEYS_MAX {
                        return Err(FormatError::TooLarge("wrapped keys of a pack"));
                    }
                    keys = Some((0..count).map(|_| d.bytes("wrapped key").map(<[u8]>::to_vec)).collect::<Result<Vec<_>>>()?);
                    for key in keys.iter().flatten() {
                        match keys::check_wrapped(geometry.kind.key_class(), key) {
                            // Only the blocks under this key are lost to this program.
                            Ok(()) | Err(FormatError::Unsupported { .. }) => {}
                            Err(error) => return Err(error),
                        }
                    }
                }
                3 => block_rows = Some(d.bytes("block rows")?),
                4 => chunk_rows = Some(d.bytes("chunk rows")?),
                5 => drop(d.bytes("signature")?),
                _ => drop(map.unknown(key, &mut d)?),
            }
        }
        d.finish()?;
        let missing = FormatError::MissingField("pack table");
        let (session, keys) = (session.ok_or(missing.clone())?, keys.ok_or(missing.clone())?);
        let (block_rows, chunk_rows) = (block_rows.ok_or(missing.clone())?, chunk_rows.ok_or(missing)?);
        if block_rows.len() % BLOCK_ROW != 0 || chunk_rows.len() % CHUNK_ROW != 0 {
            return Err(FormatError::BadStructure("rows of a broken length"));
        }
        if chunk_rows.len() / CHUNK_ROW > CHUNKS_MAX {
            return Err(FormatError::TooLarge("chunks of a pack"));
        }
        let chunks: Vec<ChunkRow> =
            chunk_rows.chunks_exact(CHUNK_ROW).map(|row| ChunkRow { id: ChunkId(row[..32].try_into().expect("32 bytes")), length: u32_at(row, 32) }).collect();
        if chunks.iter().any(|chunk| chunk.length == 0) {
            return Err(FormatError::BadStructure("a chunk of no bytes"));
        }
        if chunks.iter().any(|chunk| chunk.length as usize > PLAIN_LENGTH_MAX) {
            return Err(FormatError::TooLarge("chunk"));
        }
        if block_rows.is_empty() {
            return Err(FormatError::BadStructure("a pack of no blocks"));
        }
        let blocks = decode_blocks(block_rows, &chunks, keys.len(), geometry)?;
        Ok(Self { session, keys, blocks, chunks, parity_bytes: geometry.parity_bytes() })
    }

    /// The block that holds the chunk `ordinal`, and where in its plaintext that chunk begins.
    pub fn locate(&self, ordinal: usize) -> Option<(usize, usize)> {
        let at = self.blocks.partition_point(|block| (block.first_chunk as usize) <= ordinal).checked_sub(1)?;
        let first = self.blocks[at].first_chunk as usize;
        let before = self.chunks.get(first..ordinal)?;
        self.chunks.get(ordinal)?;
        Some((at, before.iter().map(|chunk| chunk.length as usize).sum()))
    }

    /// The chunks of block `at`.
    pub fn chunks_of(&self, at: usize) -> &[ChunkRow] {
        let block = &self.blocks[at];
        &self.chunks[block.first_chunk as usize..(block.first_chunk + block.chunks) as usize]
    }
}

/// Block rows with their offsets; every sum that SPEC demands is checked.
fn decode_blocks(rows: &[u8], chunks: &[ChunkRow], keys: usize, geometry: &Geometry) -> Result<Vec<BlockRow>> {
    let mut blocks = Vec::with_capacity(rows.len() / BLOCK_ROW);
    let (mut offset, mut first_chunk) = (END_LENGTH as u64, 0usize);
    let mut key_used = vec![false; keys];
    for row in rows.chunks_exact(BLOCK_ROW) {
        let (box_length, plain_length, count) = (u32_at(row, 0), u32_at(row, 4), u32_at(row, 8) as usize);
        let key = u16::from_le_bytes([row[12], row[13]]);
        if plain_length as usize > PLAIN_LENGTH_MAX || box_length as usize > plain_length as usize + 4096 {
            return Err(FormatError::TooLarge("block"));
        }
        let least = OVERHEAD + if row[14] == Method::Stored as u8 { plain_length as usize } else { 0 };
        if (box_length as usize) < least || (row[14] == Method::Stored as u8 && box_length as usize != least) {
            return Err(FormatError::BadStructure("a block whose box is not as long as it must be"));
        }
        let of_block = first_chunk.checked_add(count).and_then(|end| chunks.get(first_chunk..end));
        let Some(of_block) = of_block.filter(|chunks| !chunks.is_empty()) else {
            return Err(FormatError::BadStructure("blocks and chunks that do not add up"));
        };
        let sum: u64 = of_block.iter().map(|chunk| u64::from(chunk.length)).sum();
        if sum != u64::from(plain_length) {
            return Err(FormatError::BadStructure("chunks that do not fill their block"));
        }
        match key_used.get_mut(usize::from(key)) {
            Some(used) => *used = true,
            None => return Err(FormatError::BadStructure("a block that names no key")),
        }
        blocks.push(BlockRow {
            offset,
            box_length,
            plain_length,
            first_chunk: first_chunk as u32,
            chunks: count as u32,
            key,
            method: row[14],
            cipher: row[15],
        });
        offset += u64::from(box_length);
        first_chunk += count;
    }
    if first_chunk != chunks.len() || offset > geometry.table_offset {
        return Err(FormatError::BadStructure("blocks and chunks that do not add up"));
    }
    if key_used.contains(&false) {
        return Err(FormatError::BadStructure("a wrapped key that no block needs"));
    }
    Ok(blocks)
}

/// A block, compressed and sealed, ready to go into a pack.
pub struct SealedBlock {
    /// The box.
    pub bytes: Vec<u8>,
    /// Length of the plaintext in bytes.
    pub plain_length: u32,
    /// Its chunks, in order.
    pub chunks: Vec<ChunkRow>,
    /// How it is compressed.
    pub method: Method,
    /// How it is sealed.
    pub cipher: Cipher,
}

impl SealedBlock {
    /// Its row, as far as the block itself decides it.
    fn row(&self) -> BlockRow {
        BlockRow {
            offset: 0,
            box_length: self.bytes.len() as u32,
            plain_length: self.plain_length,
            first_chunk: 0,
            chunks: self.chunks.len() as u32,
            key: 0,
            method: self.method as u8,
            cipher: self.cipher as u8,
        }
    }
}

fn block_extra(method: u8, plain_length: u32) -> [u8; 5] {
    let length = plain_length.to_le_bytes();
    [method, length[0], length[1], length[2], length[3]]
}

/// A block whose plaintext is compressed, or found not worth it; to be sealed.
pub struct CompressedBlock {
    /// Room for the nonce, then what is to be sealed.
    bytes: Vec<u8>,
    plain_length: u32,
    method: Method,
}

impl CompressedBlock {
    /// Compresses `plain`. `buffer` is used again for the box; what is in it is lost.
    pub fn new(plain: &[u8], compression: Compression, mut buffer: Vec<u8>) -> Self {
        let plain_length = u32::try_from(plain.len()).expect("a block is far below 4 GiB");
        buffer.clear();
        buffer.resize(NONCE_LENGTH, 0);
        let method = compress::compress(plain, compression, &mut buffer);
        Self { bytes: buffer, plain_length, method }
    }

    /// Whether it was worth compressing.
    pub fn is_compressed(&self) -> bool {
        self.method != Method::Stored
    }

    /// Seals it. `chunks` are those whose plaintexts lie back to back in it; `random` are fresh random bytes.
    pub fn seal(mut self, repository: RepositoryId, kind: PackKind, key: &SealKey, cipher: Cipher, random: &[u8; 32], chunks: Vec<ChunkRow>) -> SealedBlock {
        debug_assert_eq!(chunks.iter().map(|chunk| u64::from(chunk.length)).sum::<u64>(), u64::from(self.plain_length));
        key.seal_in_place(repository, kind.sealed_block(), cipher, &block_extra(self.method as u8, self.plain_length), random, &mut self.bytes);
        SealedBlock { bytes: self.bytes, plain_length: self.plain_length, chunks, method: self.method, cipher }
    }
}

/// Opens the block described by `row`, whose box is `boxed` (its bytes are used up); appends the plaintext to `out`.
/// The names of its chunks are for the caller to check: [`check_names`].
pub fn open_block(repository: RepositoryId, kind: PackKind, key: &SealKey, row: &BlockRow, boxed: &mut [u8], out: &mut Vec<u8>) -> Result<()> {
    if boxed.len() != row.box_length as usize {
        return Err(FormatError::Truncated);
    }
    let (method, cipher) = (Method::from_code(row.method)?, Cipher::from_code(row.cipher)?);
    let stored = key.open_in_place(repository, kind.sealed_block(), cipher, &block_extra(row.method, row.plain_length), boxed)?;
    compress::decompress(stored, method, row.plain_length as usize, out)
}

/// Checks the seal of a block without taking it apart; uses up `boxed`.
pub fn check_seal(repository: RepositoryId, kind: PackKind, key: &SealKey, row: &BlockRow, boxed: &mut [u8]) -> Result<()> {
    let cipher = Cipher::from_code(row.cipher)?;
    key.open_in_place(repository, kind.sealed_block(), cipher, &block_extra(row.method, row.plain_length), boxed).map(drop)
}

/// Checks that the plaintext of a block is that of the chunks it should hold.
pub fn check_names(ring: &KeyRing, kind: PackKind, chunks: &[ChunkRow], plain: &[u8]) -> Result<()> {
    let mut rest = plain;
    for chunk in chunks {
        let (bytes, after) = rest.split_at_checked(chunk.length as usize).ok_or(FormatError::Truncated)?;
        if name(ring, kind, bytes)? != chunk.id {
            return Err(FormatError::WrongName);
        }
        rest = after;
    }
    Ok(())
}

/// The name of a chunk that lies in a pack of `kind`. Tree names and chunk names share one space of 32 bytes in tables and index.
///
/// # Errors
/// [`FormatError::NotAllowed`] for a role that cannot name contents.
pub fn name(ring: &KeyRing, kind: PackKind, plain: &[u8]) -> Result<ChunkId> {
    Ok(match kind {
        PackKind::Data => ring.data_names()?.name(plain),
        PackKind::Meta => ChunkId(ring.name_tree(plain).0),
    })
}

/// A pack under construction: blocks are appended, then it is closed.
pub struct PackBuilder {
    kind: PackKind,
    bytes: Vec<u8>,
    table: Table,
    offset: u64,
    parity: ParityScheme,
}

impl PackBuilder {
    /// An empty pack of a session, whose blocks are sealed under `key`. `buffer` is used again; what is in it is lost.
    pub fn new(kind: PackKind, session: [u8; 16], key: &SessionKey, buffer: Vec<u8>) -> Self {
        let mut bytes = buffer;
        bytes.clear();
        bytes.resize(END_LENGTH, 0);
        let table = Table { session, keys: vec![key.wrapped.clone()], blocks: Vec::new(), chunks: Vec::new(), parity_bytes: 0 };
        Self { kind, bytes, table, offset: END_LENGTH as u64, parity: ParityScheme::None }
    }

    /// The same with parity, or without, which is what a builder begins as.
    #[must_use]
    pub fn with_parity(self, parity: ParityScheme) -> Self {
        Self { parity, ..self }
    }

    /// Appends a block of the session's own and returns the ordinal of its first chunk.
    pub fn push(&mut self, block: &SealedBlock) -> u32 {
        self.append(&block.row(), 0, &block.chunks, &block.bytes)
    }

    fn append(&mut self, row: &BlockRow, key: u16, chunks: &[ChunkRow], boxed: &[u8]) -> u32 {
        let first_chunk = self.table.chunks.len() as u32;
        self.table.blocks.push(BlockRow { offset: self.offset, first_chunk, key, ..*row });
        self.offset += boxed.len() as u64;
        self.table.chunks.extend_from_slice(chunks);
        self.bytes.extend_from_slice(boxed);
        first_chunk
    }

    /// An empty pack for blocks that come from other packs, each under its own key.
    pub fn for_moved(kind: PackKind, buffer: Vec<u8>) -> Self {
        let mut bytes = buffer;
        bytes.clear();
        bytes.resize(END_LENGTH, 0);
        let table = Table { session: MOVED_SESSION, keys: Vec::new(), blocks: Vec::new(), chunks: Vec::new(), parity_bytes: 0 };
        Self { kind, bytes, table, offset: END_LENGTH as u64, parity: ParityScheme::None }
    }

    /// Appends a block of another pack as it is: its row, its wrapped key, its chunks and its box.
    pub fn push_moved(&mut self, row: &BlockRow, key: &WrappedKey, chunks: &[ChunkRow], boxed: &[u8]) {
        let number = self.table.keys.iter().position(|known| known == key).unwrap_or_else(|| {
            self.table.keys.push(key.clone());
            self.table.keys.len() - 1
        });
        self.append(row, number as u16, chunks, boxed);
    }

    /// Appends a new block that is sealed under `key`.
    pub fn push_sealed(&mut self, block: &SealedBlock, key: &WrappedKey) {
        self.push_moved(&block.row(), key, &block.chunks, &block.bytes);
    }

    /// What the whole pack would come to with `more` bytes of boxes, padding apart; a little more than exact.
    pub fn estimated_length(&self, more: usize) -> usize {
        let covered = self.bytes.len() + more + self.table.chunks.len() * CHUNK_ROW + self.table.blocks.len() * BLOCK_ROW + 512;
        covered + self.parity.added_bytes(covered as u64) as usize
    }

    /// How many bytes of padding a session's last pack gets (SPEC chapter 11).
    pub fn padding_length(&self) -> usize {
        let covered = (self.bytes.len() + self.table.encode().len() + OVERHEAD) as u64;
        let length = match self.parity {
            ParityScheme::None => covered + END_LENGTH as u64,
            ParityScheme::ReedSolomon => covered,
        };
        (padded_length(length) - length) as usize
    }

    /// How many chunks it holds.
    pub fn chunks(&self) -> usize {
        self.table.chunks.len()
    }

    /// Closes the pack: appends table, parity and footer, fills in the header. `padding` are random-looking bytes for
    /// the room between blocks and table; its length is the caller's choice.
    pub fn close(mut self, ring: &KeyRing, random: &[u8; 32], padding: &[u8]) -> Result<(Vec<u8>, Table)> {
        let epoch = ring.epoch();
        let message = self.table.encode();
        self.bytes.extend_from_slice(padding);
        let table_length = message.len() + OVERHEAD;
        if table_length > TABLE_LENGTH_MAX {
            return Err(FormatError::TooLarge("pack table"));
        }
        let covered = (self.bytes.len() + table_length) as u64;
        let (parity_length, shard_table_length) = match self.parity {
            ParityScheme::None => (0, 0),
            ParityScheme::ReedSolomon => {
                let layout = Layout::new(covered);
                (layout.parity_length() as u64, layout.table_length() as u64)
            }
        };
        let pack_length = covered + self.parity.added_bytes(covered) + END_LENGTH as u64;
        if pack_length > PACK_LENGTH_MAX {
            return Err(FormatError::TooLarge("pack"));
        }
        let geometry = Geometry {
            kind: self.kind,
            cipher: Cipher::XChaCha20Poly1305,
            epoch,
            repository: ring.repository,
            table_offset: self.bytes.len() as u64,
            table_length: table_length as u32,
            parity_scheme: self.parity as u8,
            parity_length,
            shard_table_length,
            pack_length,
        };
        let header = geometry.header();
        let table = ring.control(epoch)?.seal(ring.repository, Sealed::PackTable, geometry.cipher, &header[8..96], random, &message);
        self.bytes[..END_LENGTH].copy_from_slice(&header);
        self.bytes.extend_from_slice(&table);
        if self.parity == ParityScheme::ReedSolomon {
            parity::append(&mut self.bytes);
        }
        self.bytes.extend_from_slice(&geometry.footer());
        Ok((self.bytes, Table { parity_bytes: geometry.parity_bytes(), ..self.table }))
    }
}

/// Opens a pack's table.
pub fn open_table(ring: &KeyRing, geometry: &Geometry, boxed: &[u8]) -> Result<Table> {
    if geometry.repository != ring.repository {
        return Err(FormatError::WrongRepository);
    }
    if boxed.len() != geometry.table_length as usize {
        return Err(FormatError::Truncated);
    }
    let header = geometry.header();
    let message = ring.control(geometry.epoch)?.open(ring.repository, Sealed::PackTable, geometry.cipher, &header[8..96], boxed)?;
    Table::decode(&message, geometry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::keys::{Key, SessionRandom};

    fn ring() -> KeyRing {
        KeyRing::new(RepositoryId([1; 16]), vec![Key([2; 32])])
    }

    fn pack(ring: &KeyRing) -> (Vec<u8>, Table) {
        let key = ring.session_key(KeyClass::Data, &[3; 16], "h", &SessionRandom { key: [4; 32], nonce: [5; 32], encapsulation: [7; 32] }).unwrap();
        let mut builder = PackBuilder::new(PackKind::Data, [3; 16], &key, Vec::new());
        for plains in [vec![&b"one"[..], b"three"], vec![&[0; 5000][..]]] {
            let chunks = plains.iter().map(|plain| ChunkRow { id: ring.data_names().unwrap().name(plain), length: plain.len() as u32 }).collect();
            let block = CompressedBlock::new(&plains.concat(), Compression::default(), vec![1, 2, 3]);
            let block = block.seal(ring.repository, PackKind::Data, &key.seal, Cipher::Aes256Gcm, &[6; 32], chunks);
            builder.push(&block);
        }
        builder.close(ring, &[7; 32], &[9; 11]).unwrap()
    }

    fn read(ring: &KeyRing, bytes: &[u8], end: &[u8]) -> Result<Vec<u8>> {
        let geometry = Geometry::decode(end)?;
        if geometry.pack_length != bytes.len() as u64 {
            return Err(FormatError::Truncated);
        }
        let table = open_table(ring, &geometry, &bytes[geometry.table_offset as usize..geometry.table_end() as usize])?;
        let mut out = Vec::new();
        for (at, row) in table.blocks.iter().enumerate() {
            let key = ring.unwrap(geometry.kind.key_class(), &table.keys[usize::from(row.key)])?;
            let mut boxed = bytes[row.offset as usize..][..row.box_length as usize].to_vec();
            let start = out.len();
            open_block(ring.repository, geometry.kind, &key, row, &mut boxed, &mut out)?;
            check_names(ring, geometry.kind, table.chunks_of(at), &out[start..])?;
        }
        Ok(out)
    }

    #[test]
    fn a_pack_reads_from_either_end() {
        let ring = ring();
        let (bytes, table) = pack(&ring);
        let expected = [&b"onethree"[..], &[0; 5000]].concat();
        assert_eq!(read(&ring, &bytes, &bytes[..END_LENGTH]).unwrap(), expected);
        assert_eq!(read(&ring, &bytes, &bytes[bytes.len() - END_LENGTH..]).unwrap(), expected);
        assert_eq!(table.locate(0), Some((0, 0)));
        assert_eq!(table.locate(1), Some((0, 3)));
        assert_eq!(table.locate(2), Some((1, 0)));
        assert_eq!(table.locate(3), None);
    }

    #[test]
    fn every_changed_byte_is_noticed_at_one_end_or_the_other() {
        let ring = ring();
        let (bytes, table) = pack(&ring);
        let blocks_end = table.blocks.last().map(|row| row.offset as usize + row.box_length as usize).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let by_header = read(&ring, &changed, &changed[..END_LENGTH]);
            let by_footer = read(&ring, &changed, &changed[changed.len() - END_LENGTH..]);
            let padding = (blocks_end..blocks_end + 11).contains(&at);
            assert_eq!(by_header.is_ok(), padding || at >= bytes.len() - END_LENGTH, "byte {at}");
            assert_eq!(by_footer.is_ok(), padding || at < END_LENGTH, "byte {at}");
        }
    }
}
