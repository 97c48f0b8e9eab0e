//! What each stage of the engine costs, through its public functions: `cargo bench -p vault-benches`. Run once through and untimed by `tests/run`.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros; nobody imports this

mod blocks;
mod chunks;
mod index;
mod packs;
mod trees;
mod walk;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main};
use std::time::Duration;
use vault_engine::format::id::RepositoryId;
use vault_engine::format::keys::{Key, KeyClass, KeyRing, SessionKey, SessionRandom};

/// Length in bytes of the block that most stages are given.
const BLOCK: usize = 1 << 20;

fn ring() -> KeyRing {
    KeyRing::new(RepositoryId([1; 16]), vec![Key([2; 32])])
}

fn session(ring: &KeyRing, class: KeyClass) -> SessionKey {
    ring.session_key(class, &[3; 16], "bench", &SessionRandom { key: [4; 32], nonce: [5; 32], encapsulation: [7; 32] }).unwrap()
}

/// A group whose samples are few and equally long: the work of one iteration is milliseconds, not nanoseconds.
fn group<'c>(c: &'c mut Criterion, name: &str) -> BenchmarkGroup<'c, WallTime> {
    let mut group = c.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat).sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}

criterion_group!(
    stages,
    chunks::cut,
    chunks::name,
    blocks::compress,
    blocks::seal,
    packs::pack,
    index::look_up,
    walk::walk,
    trees::encode,
    trees::decode,
    blocks::unseal_and_decompress,
    packs::parse_table
);
criterion_main!(stages);
