//! Packs: made here from SPEC chapter 11, by a third hand, so that every number in them can be wrong under a good seal.

use crate::heap;
use crate::judge::agree;
use crate::world;
use vault_engine::format::FormatError;
use vault_engine::format::pack::{self, END_LENGTH, Geometry, PackKind, Table};
use vault_engine::format::seal::{Cipher, Sealed};
use vault_rescue as rescue;
use vault_rescue::keys::Class;

/// Header or footer of a pack.
#[derive(Clone)]
pub struct End(pub [u8; 128]);

impl End {
    /// An end whose regions fit.
    pub fn new(kind: u8, cipher: u8, epoch: u32, table: (u64, u32), parity: (u8, u64, u64)) -> Self {
        let mut out = [0; 128];
        out[..8].copy_from_slice(b"VAULTPK1");
        out[8..12].copy_from_slice(&[1, kind, cipher, parity.0]);
        out[12..16].copy_from_slice(&epoch.to_le_bytes());
        out[16..32].copy_from_slice(&world::ID);
        let parity_at = table.0 + u64::from(table.1);
        out[32..40].copy_from_slice(&table.0.to_le_bytes());
        out[40..44].copy_from_slice(&table.1.to_le_bytes());
        out[48..56].copy_from_slice(&parity_at.to_le_bytes());
        out[56..64].copy_from_slice(&parity.1.to_le_bytes());
        out[64..72].copy_from_slice(&(parity_at + parity.1).to_le_bytes());
        out[72..80].copy_from_slice(&parity.2.to_le_bytes());
        out[80..88].copy_from_slice(&(parity_at + parity.1 + 2 * parity.2 + 128).to_le_bytes());
        Self(out).hashed()
    }

    /// The same with its hash put right.
    pub fn hashed(mut self) -> Self {
        let hash = rescue::keys::h(&self.0[..96]);
        self.0[96..].copy_from_slice(&hash);
        self
    }

    /// The same as a footer.
    pub fn footer(mut self) -> Self {
        self.0[..8].copy_from_slice(b"VAULTPF1");
        self.hashed()
    }
}

/// Seals a table's message for a pack that begins with `end`.
pub fn seal_table(end: &End, message: &[u8]) -> Vec<u8> {
    let ring = world::ring();
    let epoch = u32::from_le_bytes(end.0[12..16].try_into().expect("four bytes")).min(1);
    let cipher = Cipher::from_code(end.0[10]).unwrap_or_default();
    ring.control(epoch).expect("two epochs").seal(ring.repository, Sealed::PackTable, cipher, &end.0[8..96], &[7; 32], message)
}

/// Header or footer: what decodes encodes back.
pub fn geometry(bytes: &[u8]) {
    let Ok(geometry) = Geometry::decode(bytes) else { return };
    let end = End(bytes.try_into().expect("it decoded"));
    assert_eq!(geometry.footer(), end.footer().0);
    assert!(geometry.table_end() <= geometry.pack_length && geometry.pack_length <= pack::PACK_LENGTH_MAX);
}

/// Reads a pack's table as the engine's loader does: by the footer, or where the pack does not open by that by the header.
pub fn engine_table(kind: PackKind, bytes: &[u8]) -> Result<(Geometry, Table), FormatError> {
    let length = bytes.len() as u64;
    if length < pack::PACK_LENGTH_MIN {
        return Err(FormatError::Truncated);
    }
    let by = |end: pack::End| -> Result<(Geometry, Table), FormatError> {
        let at = if end == pack::End::Header { 0 } else { bytes.len() - END_LENGTH };
        let geometry = Geometry::decode_end(&bytes[at..at + END_LENGTH], end, kind, length)?;
        let boxed = &bytes[geometry.table_offset as usize..geometry.table_end() as usize];
        Ok((geometry, pack::open_table(world::ring(), &geometry, boxed)?))
    };
    by(pack::End::Footer).or_else(|error| by(pack::End::Header).map_err(|_| error))
}

fn engine_blocks(geometry: &Geometry, table: &Table, bytes: &[u8]) -> Vec<Result<Vec<u8>, FormatError>> {
    let ring = world::ring();
    let read = |(at, row): (usize, &pack::BlockRow)| {
        let key = ring.unwrap(geometry.kind.key_class(), &table.keys[usize::from(row.key)])?;
        let mut boxed = bytes[row.offset as usize..][..row.box_length as usize].to_vec();
        let mut out = Vec::new();
        let most = boxed.len() + row.plain_length as usize + (64 << 10);
        heap::bounded(most, || pack::open_block(ring.repository, geometry.kind, &key, row, &mut boxed, &mut out))?;
        pack::check_names(ring, geometry.kind, table.chunks_of(at), &out)?;
        Ok(out)
    };
    table.blocks.iter().enumerate().take(64).map(read).collect()
}

/// Reads a whole pack with both readers; gives the blocks' plaintexts where both read all of it.
pub fn whole(kind: PackKind, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let class = match kind {
        PackKind::Data => Class::Data,
        PackKind::Meta => Class::Tree,
    };
    // A row of 16 or 36 bytes becomes one of 48 or 40.
    let engine = heap::bounded(heap::for_record(bytes.len()), || engine_table(kind, bytes));
    let second = rescue::pack::Pack::open(&bytes, class, world::roots(), &world::ID);
    if !agree(bytes, &engine, &second) {
        return None;
    }
    let ((geometry, table), second) = (engine.expect("both accept"), second.expect("both accept"));
    assert_eq!((table.session, &table.keys), (second.session, &second.keys));
    let blocks: Vec<_> =
        table.blocks.iter().map(|row| (row.offset, row.box_length, row.plain_length, row.first_chunk, row.chunks, row.key, row.method, row.cipher)).collect();
    let others: Vec<_> = second.blocks.iter().map(|row| (row.offset, row.sealed, row.plain, row.first, row.chunks, row.key, row.method, row.cipher)).collect();
    assert_eq!(blocks, others);
    assert!(table.chunks.iter().map(|chunk| (chunk.id.0, chunk.length)).eq(second.chunks.iter().map(|chunk| (chunk.name, chunk.plain))));
    for ordinal in 0..table.chunks.len() {
        let (block, offset) = table.locate(ordinal).expect("every chunk lies in a block");
        assert!(offset + table.chunks[ordinal].length as usize <= table.blocks[block].plain_length as usize);
    }
    assert_eq!(table.locate(table.chunks.len()), None);
    let mut plains = Vec::new();
    for (at, plain) in engine_blocks(&geometry, &table, bytes).into_iter().enumerate() {
        let other = second.block(&bytes, at, world::roots(), &world::ID).and_then(|plain| second.compare(at, &plain, world::roots()).map(|()| plain));
        if agree(bytes, &plain, &other) {
            let plain = plain.expect("both accept");
            assert_eq!(Ok(&plain), other.as_ref());
            plains.push(plain);
        }
    }
    (plains.len() == table.blocks.len()).then_some(plains)
}
