//! Chapter 11: packs, read from either end by ranged reads.

use crate::cbor;
use crate::fault::{Fault, Result, Rule, fail};
use crate::keys::{Bytes16, Bytes32, Class, Keys, Purpose, Wrapped, h, kh, le, part};
use crate::parity::Shards;
use crate::seal;
use std::cell::RefCell;
use std::collections::HashMap;

/// The longest pack.
pub const MAX_LEN: u64 = 256 << 20;
/// The longest table box.
pub const MAX_TABLE: u64 = 16 << 20;
/// The longest plaintext of a block, and of a chunk.
pub const MAX_PLAIN: u64 = 16 << 20;
/// What a block's box may be longer than its plaintext.
pub const MAX_BOX_MORE: u64 = 4096;
/// The most chunks in a pack.
pub const MAX_CHUNKS: usize = 65_535;
/// The most wrapped keys in a pack.
pub const MAX_KEYS: u64 = 1024;

/// Bytes that can be read by ranges: a file or a slice.
pub trait Source {
    /// The number of bytes.
    fn length(&self) -> u64;
    /// `length` bytes at an offset. Callers have compared the range with `length()` and the limits.
    fn range(&self, offset: u64, length: u64) -> Result<Vec<u8>>;
}

impl Source for &[u8] {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn range(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        let end = offset.checked_add(length);
        let (Ok(start), Some(Ok(end))) = (usize::try_from(offset), end.map(usize::try_from)) else {
            return fail(Rule::Truncated, "a range beyond the end");
        };
        match self.get(start..end) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => fail(Rule::Truncated, "a range beyond the end"),
        }
    }
}

/// A pack's header, which its footer repeats.
struct Head {
    raw: [u8; 128],
    cipher: u8,
    epoch: u32,
    table_offset: u64,
    table_length: u64,
}

/// One block.
#[derive(Clone, Debug)]
pub struct Block {
    /// Where its box begins.
    pub offset: u64,
    /// The box's length.
    pub sealed: u32,
    /// The plaintext's length.
    pub plain: u32,
    /// The ordinal of its first chunk.
    pub first: u32,
    /// The number of its chunks.
    pub chunks: u32,
    /// The number of its wrapped key.
    pub key: u16,
    /// The method of compression.
    pub method: u8,
    /// The cipher.
    pub cipher: u8,
}

/// One chunk.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// Its name.
    pub name: Bytes32,
    /// Its plaintext's length.
    pub plain: u32,
}

/// A pack whose table has been read.
#[derive(Debug)]
pub struct Pack {
    /// What it holds.
    pub class: Class,
    /// The session that made it.
    pub session: Bytes16,
    /// The wrapped keys.
    pub keys: Vec<Vec<u8>>,
    /// The blocks.
    pub blocks: Vec<Block>,
    /// The chunks, by ordinal.
    pub chunks: Vec<Chunk>,
    /// What was wrong at the end that was not used.
    pub problems: Vec<Fault>,
    /// Keys that were opened, or not: with algorithm 1 that takes a millisecond, and a pack may have 65,535 blocks.
    opened: RefCell<HashMap<u16, Result<Bytes32>>>,
}

fn head(bytes: &[u8], magic: [u8; 8], length: u64, class: Class, id: &Bytes16) -> Result<Head> {
    let raw: [u8; 128] = part(bytes, 0)?;
    if raw[..8] != magic {
        return fail(Rule::BadStructure, "no pack's magic");
    }
    if raw[8] != 1 {
        return fail(Rule::Unsupported, format!("pack version {}", raw[8]));
    }
    if h(&raw[..96]) != raw[96..] {
        return fail(Rule::WrongHash, "the hash of a pack's header or footer");
    }
    match Class::from_number(raw[9]) {
        Some(found) if found == class => {}
        Some(_) => return fail(Rule::BadStructure, "a pack of the other kind at this place"),
        None => return fail(Rule::Unsupported, format!("pack of kind {}", raw[9])),
    }
    if raw[16..32] != *id {
        return fail(Rule::BadStructure, "a pack of another repository");
    }
    if le(&raw, 44, 4) != 0 || le(&raw, 88, 8) != 0 {
        return fail(Rule::BadStructure, "a pack's reserved field is not zero");
    }
    let (table_offset, table_length) = (le(&raw, 32, 8), le(&raw, 40, 4));
    let (parity_offset, parity_length) = (le(&raw, 48, 8), le(&raw, 56, 8));
    let (shard_offset, shard_length) = (le(&raw, 64, 8), le(&raw, 72, 8));
    if raw[11] == 0 && (parity_length != 0 || shard_length != 0) {
        return fail(Rule::BadStructure, "parity without a parity scheme");
    }
    if raw[11] == 1 {
        let shards = Shards::of(parity_offset.clamp(1, MAX_LEN));
        if (parity_length, shard_length) != (shards.parity(), shards.table()) {
            return fail(Rule::BadStructure, "parity of another length than it must have");
        }
    }
    if table_length > MAX_TABLE {
        return fail(Rule::TooLarge, "a pack's table above 16 MiB");
    }
    let fits = le(&raw, 80, 8) == length
        && table_offset >= 128
        && table_length >= seal::OVERHEAD as u64
        && table_offset.checked_add(table_length) == Some(parity_offset)
        && parity_offset.checked_add(parity_length) == Some(shard_offset)
        && shard_length.checked_mul(2).and_then(|copies| copies.checked_add(shard_offset)) == length.checked_sub(128);
    if !fits {
        return fail(Rule::BadStructure, "a pack's regions do not fit");
    }
    Ok(Head { raw, cipher: raw[10], epoch: le(&raw, 12, 4) as u32, table_offset, table_length })
}

impl Pack {
    /// Reads a pack's table.
    pub fn open(source: &dyn Source, class: Class, keys: &dyn Keys, id: &Bytes16) -> Result<Pack> {
        let length = source.length();
        if length > MAX_LEN {
            return fail(Rule::TooLarge, "a pack above 256 MiB");
        }
        if length < 256 + seal::OVERHEAD as u64 {
            return fail(Rule::Truncated, "too short for a pack");
        }
        let header = head(&source.range(0, 128)?, *b"VAULTPK1", length, class, id);
        let footer = head(&source.range(length - 128, 128)?, *b"VAULTPF1", length, class, id);
        let first = header.as_ref().map_err(Clone::clone).and_then(|head| table(source, head, class, keys, id));
        match first {
            Ok(mut pack) => {
                match (&header, footer) {
                    (Ok(header), Ok(footer)) => {
                        if header.raw[8..96] != footer.raw[8..96] {
                            pack.problems.push(Fault::new(Rule::BadStructure, "a pack's header and footer differ"));
                        }
                    }
                    (_, Err(fault)) => pack.problems.push(fault),
                    (Err(_), Ok(_)) => {}
                }
                Ok(pack)
            }
            Err(fault) => {
                let second = footer.and_then(|head| table(source, &head, class, keys, id));
                let Ok(mut pack) = second else { return Err(fault) };
                pack.problems.push(fault);
                Ok(pack)
            }
        }
    }

    /// Opens a block and returns its plaintext; the chunks' names are not yet compared.
    /// Keys are opened once: `keys` and `id` are those that the pack was opened with.
    pub fn block(&self, source: &dyn Source, number: usize, keys: &dyn Keys, id: &Bytes16) -> Result<Vec<u8>> {
        let Some(block) = self.blocks.get(number) else {
            return fail(Rule::Missing, "no such block");
        };
        let Some(wrapped) = self.keys.get(usize::from(block.key)) else {
            return fail(Rule::BadStructure, "no such wrapped key");
        };
        if block.method > 1 {
            return fail(Rule::Unsupported, format!("method {}", block.method));
        }
        let mut opened = self.opened.borrow_mut();
        let key = opened.entry(block.key).or_insert_with(|| Wrapped::parse(wrapped)?.open(keys, id)).clone()?;
        let sealed = source.range(block.offset, u64::from(block.sealed))?;
        let mut extra = vec![block.method];
        extra.extend_from_slice(&block.plain.to_le_bytes());
        let stored = seal::open(&key, block.cipher, self.class.number(), id, &extra, &sealed)?;
        seal::decompress(block.method, stored, block.plain as usize)
    }

    /// Compares the names of a block's chunks with its plaintext.
    pub fn compare(&self, number: usize, plain: &[u8], keys: &dyn Keys) -> Result<()> {
        let Some(block) = self.blocks.get(number) else {
            return fail(Rule::Missing, "no such block");
        };
        let naming = keys.name_key(self.class)?;
        let mut rest = plain;
        for ordinal in block.first..block.first + block.chunks {
            let Some(chunk) = self.chunks.get(ordinal as usize) else {
                return fail(Rule::Missing, "no such chunk row");
            };
            let Some((bytes, back)) = rest.split_at_checked(chunk.plain as usize) else {
                return fail(Rule::BadStructure, "a block shorter than its chunks");
            };
            if kh(&naming, &[bytes]) != chunk.name {
                return fail(Rule::WrongName, format!("chunk {ordinal} is not what its name says"));
            }
            rest = back;
        }
        Ok(())
    }
}

fn table(source: &dyn Source, head: &Head, class: Class, keys: &dyn Keys, id: &Bytes16) -> Result<Pack> {
    let key = keys.held(Purpose::Control, head.epoch)?;
    let sealed = source.range(head.table_offset, head.table_length)?;
    let message = seal::open(&key, head.cipher, 3, id, &head.raw[8..96], &sealed)?;
    let map = cbor::decode(&message)?.map(&[])?;
    let session = map.need(1)?.fixed()?;
    if let Some(signature) = map.get(5) {
        signature.bytes()?;
    }
    let list = map.need(2)?.array()?;
    if list.len() > MAX_KEYS {
        return fail(Rule::TooLarge, "more than 1,024 wrapped keys");
    }
    let mut keys = Vec::new();
    for item in list.items() {
        let key = item.bytes()?;
        match Wrapped::parse(key) {
            Ok(wrapped) if wrapped.class != class => return fail(Rule::BadStructure, "a wrapped key of the other class"),
            Err(fault) if fault.rule != Rule::Unsupported => return Err(fault),
            _ => keys.push(key.to_vec()),
        }
    }
    let (block_rows, chunk_rows) = (map.need(3)?.bytes()?, map.need(4)?.bytes()?);
    if block_rows.len() % 16 != 0 || chunk_rows.len() % 36 != 0 {
        return fail(Rule::BadStructure, "rows that are cut off");
    }
    if chunk_rows.len() / 36 > MAX_CHUNKS || block_rows.len() / 16 > MAX_CHUNKS {
        return fail(Rule::TooLarge, "more than 65,535 chunks");
    }
    let mut chunks = Vec::new();
    for row in chunk_rows.chunks(36) {
        let plain = le(row, 32, 4) as u32;
        if plain == 0 {
            return fail(Rule::BadStructure, "an empty chunk");
        }
        if u64::from(plain) > MAX_PLAIN {
            return fail(Rule::TooLarge, "a chunk above 16 MiB");
        }
        chunks.push(Chunk { name: part(row, 0)?, plain });
    }
    if block_rows.is_empty() {
        return fail(Rule::BadStructure, "a pack without blocks");
    }
    let blocks = blocks(block_rows, &chunks, keys.len(), head.table_offset)?;
    Ok(Pack { class, session, keys, blocks, chunks, problems: Vec::new(), opened: RefCell::default() })
}

fn blocks(rows: &[u8], chunks: &[Chunk], keys: usize, table_offset: u64) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut needed = vec![false; keys];
    let mut offset = 128u64;
    let mut first = 0usize;
    for row in rows.chunks(16) {
        let block = Block {
            offset,
            sealed: le(row, 0, 4) as u32,
            plain: le(row, 4, 4) as u32,
            first: first as u32,
            chunks: le(row, 8, 4) as u32,
            key: le(row, 12, 2) as u16,
            method: row[14],
            cipher: row[15],
        };
        let (sealed, plain) = (u64::from(block.sealed), u64::from(block.plain));
        if plain > MAX_PLAIN || sealed > plain + MAX_BOX_MORE {
            return fail(Rule::TooLarge, "a block above 16 MiB, or its box");
        }
        let least = seal::OVERHEAD as u64;
        if sealed < least || (block.method == 0 && sealed != plain + least) {
            return fail(Rule::BadStructure, "a block's lengths do not fit");
        }
        let Some(needed) = needed.get_mut(usize::from(block.key)) else {
            return fail(Rule::BadStructure, "a block with no wrapped key");
        };
        *needed = true;
        let end = first.saturating_add(block.chunks as usize);
        let Some(mine) = chunks.get(first..end).filter(|mine| !mine.is_empty()) else {
            return fail(Rule::BadStructure, "chunk counts do not add up");
        };
        if mine.iter().map(|chunk| u64::from(chunk.plain)).sum::<u64>() != plain {
            return fail(Rule::BadStructure, "plain lengths of a block's chunks do not add up");
        }
        first = end;
        offset += sealed;
        blocks.push(block);
    }
    if first != chunks.len() {
        return fail(Rule::BadStructure, "chunk counts do not add up");
    }
    if offset > table_offset {
        return fail(Rule::BadStructure, "blocks reach into the table");
    }
    if needed.contains(&false) {
        return fail(Rule::BadStructure, "a wrapped key that no block needs");
    }
    Ok(blocks)
}
