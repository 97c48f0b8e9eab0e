//! Look up: names in a mapped run, there and not there.

use super::group;
use criterion::{BatchSize, Criterion, Throughput};
use vault_engine::format::id::ObjectId;
use vault_engine::format::index::{IndexRow, IndexedPack};
use vault_engine::format::pack::PackKind;
use vault_engine::store::run::Run;

const ROWS: u32 = 1_000_000;
const PACKS: u32 = 1000;
/// Names asked for in one iteration.
const QUESTIONS: u32 = 1000;

fn prefix(number: u32) -> [u8; 16] {
    blake3::hash(&number.to_le_bytes()).as_bytes()[..16].try_into().unwrap()
}

pub fn look_up(c: &mut Criterion) {
    let packs: Vec<IndexedPack> = (0..PACKS).map(|n| IndexedPack { id: ObjectId([n as u8; 32]), kind: PackKind::Data, length: 1 << 24 }).collect();
    let mut rows: Vec<IndexRow> = (0..ROWS).map(|n| IndexRow { prefix: prefix(n), pack: n % PACKS, ordinal: (n / PACKS) as u16 }).collect();
    rows.sort_unstable();
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("run"), &packs, &rows).unwrap();
    let mut group = group(c, "look up");
    group.throughput(Throughput::Elements(u64::from(QUESTIONS)));
    for (word, first, expected) in [("hit", 0, QUESTIONS as usize), ("miss", ROWS, 0)] {
        let mut round = 0;
        group.bench_function(word, |b| {
            b.iter_batched_ref(
                || {
                    // Other names each time, so that not all of what they touch is in the processor's cache.
                    round = (round + 1) % (ROWS / QUESTIONS);
                    (0..QUESTIONS).map(|n| prefix(first + round * QUESTIONS + n)).collect::<Vec<_>>()
                },
                |questions| {
                    let mut found = Vec::new();
                    questions.iter().for_each(|prefix| run.find(prefix, &mut found));
                    assert_eq!(found.len(), expected);
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}
