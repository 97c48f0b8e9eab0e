//! Cut and name.

use super::{BLOCK, group, ring};
use criterion::{BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use vault_engine::format::chunker::{ChunkClass, Chunker};
use vault_engine::ops::bench::made::{DataKind, data};

pub fn cut(c: &mut Criterion) {
    let chunker = Chunker::new(ring().data_names().unwrap().gear());
    let mut group = group(c, "cut");
    for kind in [DataKind::Text, DataKind::Noise] {
        let bytes = data(kind, 1, 16 * BLOCK);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        for (class, word) in [(ChunkClass::Files, "files"), (ChunkClass::Dumps, "dumps")] {
            group.bench_with_input(BenchmarkId::new(word, kind.word()), &bytes, |b, bytes| {
                b.iter(|| {
                    let (mut rest, mut chunks) = (&bytes[..], 0);
                    while !rest.is_empty() {
                        rest = &rest[chunker.cut(class, rest)..];
                        chunks += 1;
                    }
                    chunks
                });
            });
        }
    }
    group.finish();
}

pub fn name(c: &mut Criterion) {
    let ring = ring();
    let mut group = group(c, "name");
    for (length, word) in [(4 << 10, "4 KiB"), (64 << 10, "64 KiB"), (BLOCK, "1 MiB")] {
        let bytes = data(DataKind::Noise, 1, BLOCK);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("keyed", word), |b| {
            b.iter(|| {
                for chunk in bytes.chunks(length) {
                    black_box(ring.data_names().unwrap().name(chunk));
                }
            });
        });
    }
    group.finish();
}
