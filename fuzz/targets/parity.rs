//! Chapter 11: mending. Even first byte: any bytes under any name. Odd: an honest pack, damaged as the rest says.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use vault_engine::format::compress::Compression;
use vault_engine::format::id::ObjectId;
use vault_engine::format::pack::{self, ChunkRow, CompressedBlock, END_LENGTH, Geometry, PackBuilder, PackKind};
use vault_engine::format::parity::{self, ParityScheme};
use vault_engine::format::seal::Cipher;
use vault_fuzz::{heap, world};
use vault_rescue::keys::h;

/// A pack of some 20 shards.
fn honest() -> &'static [u8] {
    static PACK: OnceLock<Vec<u8>> = OnceLock::new();
    PACK.get_or_init(|| {
        let (ring, key) = (world::ring(), world::session(PackKind::Data.key_class()));
        let mut builder = PackBuilder::new(PackKind::Data, [3; 16], key, Vec::new()).with_parity(ParityScheme::ReedSolomon);
        let plain: Vec<u8> = (0..20_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let rows = vec![ChunkRow { id: pack::name(ring, PackKind::Data, &plain).unwrap(), length: plain.len() as u32 }];
        builder.push(&CompressedBlock::new(&plain, Compression::Off, Vec::new()).seal(
            ring.repository,
            PackKind::Data,
            &key.seal,
            Cipher::default(),
            &[6; 32],
            rows,
        ));
        builder.close(ring, &[7; 32], &[]).expect("far below every limit").0
    })
}

fn mend(bytes: &[u8], name: ObjectId) -> Option<Vec<u8>> {
    let found = heap::bounded(16 * bytes.len() + (1 << 20), || parity::mend(bytes, name)).ok()?;
    assert_eq!(h(&found.bytes), name.0, "other bytes under this name");
    Some(found.bytes)
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    if mode & 1 == 0 {
        mend(rest, ObjectId(h(rest)));
        assert_eq!(mend(rest, ObjectId([0; 32])), None);
        return;
    }
    let whole = honest();
    let name = ObjectId(h(whole));
    let layout = Geometry::decode(&whole[..END_LENGTH]).expect("a header").parity_layout().expect("parity");
    let covered = whole.len() - END_LENGTH - 2 * layout.table_length() - layout.parity_length();
    let mut spoiled = whole.to_vec();
    // Shards that were touched, and whether anything behind them was.
    let (mut shards, mut behind) = (BTreeSet::new(), false);
    for change in rest.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % whole.len();
        let length = usize::from(change[3] & 63) + 1;
        for (offset, byte) in spoiled[at..].iter_mut().enumerate().take(length) {
            *byte = byte.wrapping_add(change[2] | 1);
            let at = at + offset;
            let shard = if at < covered { at / layout.shard_length() } else { layout.data_shards() + (at - covered) / layout.shard_length() };
            if shard < layout.data_shards() + 4 * layout.groups() {
                shards.insert(shard);
            } else {
                behind = true;
            }
        }
    }
    let mended = mend(&spoiled, name);
    if shards.len() <= 4 && !behind {
        assert!(mended.is_some_and(|bytes| bytes == whole), "{} shards", shards.len());
    }
});
