//! Packs: from sealed blocks to an object with its name, and its table back.

use super::{BLOCK, group, ring, session};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use vault_engine::format::compress::Compression;
use vault_engine::format::id::ObjectId;
use vault_engine::format::keys::{KeyClass, KeyRing, SessionKey};
use vault_engine::format::pack::{ChunkRow, CompressedBlock, END_LENGTH, Geometry, PackBuilder, PackKind, SealedBlock, open_table};
use vault_engine::format::parity::{self, ParityScheme};
use vault_engine::format::seal::Cipher;
use vault_engine::ops::bench::made::{DataKind, data};

const BLOCKS: usize = 15;

/// Blocks for a pack of about 16 MiB whose chunks are of `length` bytes.
fn blocks(ring: &KeyRing, key: &SessionKey, length: usize) -> Vec<SealedBlock> {
    let block = |number: usize| {
        let plain = data(DataKind::Noise, number as u64, BLOCK);
        let chunks = plain.chunks(length).map(|chunk| ChunkRow { id: ring.data_names().unwrap().name(chunk), length: chunk.len() as u32 }).collect();
        CompressedBlock::new(&plain, Compression::Off, Vec::new()).seal(ring.repository, PackKind::Data, &key.seal, Cipher::default(), &[6; 32], chunks)
    };
    (0..BLOCKS).map(block).collect()
}

fn build(ring: &KeyRing, key: &SessionKey, blocks: &[SealedBlock], parity: ParityScheme) -> Vec<u8> {
    let mut builder = PackBuilder::new(PackKind::Data, [3; 16], key, Vec::with_capacity(17 << 20)).with_parity(parity);
    for block in blocks {
        builder.push(block);
    }
    builder.close(ring, &[7; 32], &[]).unwrap().0
}

/// Chunks of a large file, and of small ones.
const CHUNKS: [(usize, &str); 2] = [(BLOCK, "chunks of 1 MiB"), (4 << 10, "chunks of 4 KiB")];

fn parity_start(bytes: &[u8]) -> usize {
    Geometry::decode(&bytes[..END_LENGTH]).unwrap().table_end() as usize
}

pub fn pack(c: &mut Criterion) {
    let ring = ring();
    let key = session(&ring, KeyClass::Data);
    let mut group = group(c, "pack");
    group.throughput(Throughput::Bytes((BLOCKS * BLOCK) as u64));
    for (length, word) in CHUNKS {
        let blocks = blocks(&ring, &key, length);
        group.bench_function(BenchmarkId::new("build and close", word), |b| b.iter_with_large_drop(|| build(&ring, &key, &blocks, ParityScheme::None)));
    }
    let large = blocks(&ring, &key, BLOCK);
    group.bench_function("build and close with parity", |b| b.iter_with_large_drop(|| build(&ring, &key, &large, ParityScheme::ReedSolomon)));
    let bytes = build(&ring, &key, &large, ParityScheme::ReedSolomon);
    group.bench_function("name of the object", |b| b.iter(|| blake3::hash(&bytes)));
    let end = parity_start(&bytes);
    let append = |covered: Vec<u8>| {
        let mut covered = covered;
        parity::append(&mut covered);
        covered
    };
    let room = || {
        let mut covered = Vec::with_capacity(17 << 20);
        covered.extend_from_slice(&bytes[..end]);
        covered
    };
    group.bench_function("parity and shard table", |b| b.iter_batched(room, append, BatchSize::LargeInput));
    let mut spoiled = bytes.clone();
    spoiled[1_000_000..1_000_000 + 7 * 65_536].fill(0);
    let name = ObjectId(*blake3::hash(&bytes).as_bytes());
    group.bench_function("mend seven shards", |b| b.iter(|| parity::mend(&spoiled, name).unwrap()));
    group.finish();
}

pub fn parse_table(c: &mut Criterion) {
    let ring = ring();
    let key = session(&ring, KeyClass::Data);
    let mut group = group(c, "parse a pack's table");
    for (length, word) in CHUNKS {
        let bytes = build(&ring, &key, &blocks(&ring, &key, length), ParityScheme::None);
        let chunks = BLOCKS * BLOCK / length;
        group.throughput(Throughput::Elements(chunks as u64));
        group.bench_function(BenchmarkId::from_parameter(word), |b| {
            b.iter_batched(
                || (),
                |()| {
                    let geometry = Geometry::decode(&bytes[bytes.len() - END_LENGTH..]).unwrap();
                    let table = open_table(&ring, &geometry, &bytes[geometry.table_offset as usize..geometry.table_end() as usize]).unwrap();
                    assert_eq!(table.chunks.len(), chunks);
                    black_box(table)
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}
