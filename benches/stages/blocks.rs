//! Compress and seal, and back.

use super::{BLOCK, group, ring, session};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use vault_engine::format::compress::{self, Compression};
use vault_engine::format::keys::KeyClass;
use vault_engine::format::pack::{BlockRow, ChunkRow, CompressedBlock, PackKind, check_names, open_block};
use vault_engine::format::seal::{Cipher, NONCE_LENGTH, Sealed, TAG_LENGTH};
use vault_engine::ops::bench::LEVELS;
use vault_engine::ops::bench::made::{DataKind, data};

const CIPHERS: [(Cipher, &str); 2] = [(Cipher::XChaCha20Poly1305, "xchacha20-poly1305"), (Cipher::Aes256Gcm, "aes-256-gcm")];

pub fn compress(c: &mut Criterion) {
    let mut group = group(c, "compress");
    group.throughput(Throughput::Bytes(BLOCK as u64));
    for kind in DataKind::ALL {
        let plain = data(kind, 1, BLOCK);
        for level in LEVELS {
            let mut out = Vec::with_capacity(BLOCK);
            group.bench_function(BenchmarkId::new(format!("level {level}"), kind.word()), |b| {
                b.iter(|| {
                    out.clear();
                    compress::compress(&plain, Compression::Level(level), &mut out)
                });
            });
        }
    }
    group.finish();
}

pub fn seal(c: &mut Criterion) {
    let ring = ring();
    let key = session(&ring, KeyClass::Data);
    let mut group = group(c, "seal");
    for (length, size) in [(16 << 10, "16 KiB"), (BLOCK, "1 MiB")] {
        group.throughput(Throughput::Bytes(length as u64));
        for (cipher, word) in CIPHERS {
            let mut buffer = vec![7; NONCE_LENGTH + length];
            buffer.reserve(TAG_LENGTH);
            group.bench_function(BenchmarkId::new(word, size), |b| {
                b.iter(|| {
                    key.seal.seal_in_place(ring.repository, Sealed::DataBlock, cipher, &[0; 5], &[6; 32], &mut buffer);
                    buffer.truncate(NONCE_LENGTH + length);
                });
            });
        }
    }
    group.finish();
}

/// What a restore does with each block: open, decompress, check the names.
pub fn unseal_and_decompress(c: &mut Criterion) {
    let ring = ring();
    let key = session(&ring, KeyClass::Data).seal;
    let mut group = group(c, "unseal and decompress");
    group.throughput(Throughput::Bytes(BLOCK as u64));
    for kind in DataKind::ALL {
        let plain = data(kind, 1, BLOCK);
        let chunks: Vec<ChunkRow> =
            plain.chunks(64 << 10).map(|chunk| ChunkRow { id: ring.data_names().unwrap().name(chunk), length: chunk.len() as u32 }).collect();
        for (cipher, word) in CIPHERS {
            let block =
                CompressedBlock::new(&plain, Compression::default(), Vec::new()).seal(ring.repository, PackKind::Data, &key, cipher, &[6; 32], chunks.clone());
            let row = BlockRow {
                offset: 0,
                box_length: block.bytes.len() as u32,
                plain_length: block.plain_length,
                first_chunk: 0,
                chunks: chunks.len() as u32,
                key: 0,
                method: block.method as u8,
                cipher: cipher as u8,
            };
            let mut out = Vec::with_capacity(BLOCK);
            group.bench_function(BenchmarkId::new(word, kind.word()), |b| {
                b.iter_batched_ref(
                    || block.bytes.clone(),
                    |boxed| {
                        out.clear();
                        open_block(ring.repository, PackKind::Data, &key, &row, boxed, &mut out).unwrap();
                        check_names(&ring, PackKind::Data, &chunks, &out).unwrap();
                        black_box(out.len())
                    },
                    BatchSize::LargeInput,
                );
            });
        }
    }
    group.finish();
}
