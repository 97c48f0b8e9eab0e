//! What runs hold, merge and refuse.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn rows(count: u32) -> Vec<IndexRow> {
    let mut rows: Vec<IndexRow> =
        (0..count).map(|n| IndexRow { prefix: blake3::hash(&n.to_le_bytes()).as_bytes()[..16].try_into().unwrap(), pack: n % 3, ordinal: n as u16 }).collect();
    rows.sort_unstable();
    rows
}

fn packs() -> Vec<IndexedPack> {
    (0..3).map(|n| IndexedPack { id: ObjectId([n; 32]), kind: PackKind::Data, length: u64::from(n) + 7 }).collect()
}

#[test]
fn a_run_finds_what_it_holds_and_nothing_else() {
    for count in [0, 1, 15, 5000] {
        let run = Run::in_memory(&packs(), &rows(count));
        for row in rows(count) {
            let mut found = Vec::new();
            run.find(&row.prefix, &mut found);
            assert_eq!(found, [(packs()[row.pack as usize], row.ordinal)]);
        }
        let mut found = Vec::new();
        (0..5000u32).for_each(|n| run.find(&blake3::hash(&(n + 9_000_000).to_le_bytes()).as_bytes()[..16].try_into().unwrap(), &mut found));
        assert_eq!(found, []);
    }
}

#[test]
fn a_damaged_file_is_refused_or_answers_without_harm() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run");
    drop(Run::create(&path, &packs(), &rows(300)).unwrap());
    let bytes = fs::read(&path).unwrap();
    for cut in [0, 1, HEAD, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert!(Run::open(&path).is_err());
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0xff;
        if at % 97 == 0 {
            fs::write(&path, &changed).unwrap();
            assert!(Run::open(&path).is_err(), "byte {at}");
        }
        if let Some(run) = Run::check(Bytes::Owned(changed)) {
            rows(300).iter().for_each(|row| run.find(&row.prefix, &mut Vec::new()));
        }
    }
}

fn all(run: &Run) -> Vec<(IndexRow, Option<IndexedPack>)> {
    (0..run.rows()).map(|number| (run.row(number), run.pack(run.row(number).pack as usize))).collect()
}

fn found(run: &Run, prefix: &[u8; 16]) -> Vec<(IndexedPack, u16)> {
    let mut found = Vec::new();
    run.find(prefix, &mut found);
    found
}

#[test]
fn large_runs_have_filters_of_the_promised_size() {
    let rows = rows(700_000);
    let run = Run::in_memory(&packs(), &rows);
    assert_eq!(run.shape.part_bits, 3);
    let each = run.filter_bytes() as f64 / rows.len() as f64;
    assert!((1.0..1.3).contains(&each), "{each} bytes a chunk");
    rows.iter().step_by(97).for_each(|row| assert_eq!(found(&run, &row.prefix), [(packs()[row.pack as usize], row.ordinal)]));
    let wrong = (0..100_000u32)
        .filter(|n| {
            let prefix = blake3::hash(&(n + 9_000_000).to_le_bytes()).as_bytes()[..16].try_into().unwrap();
            let (descriptor, start, length) = run.part(leading_bits(&prefix, 3)).unwrap();
            BinaryFuse8Ref::from_dma(descriptor, &run.bytes[start..start + length]).contains(&filter_key(&prefix))
        })
        .count();
    assert!((200..700).contains(&wrong), "one in 256 passes the filter by chance: {wrong} of 100,000");
}

#[test]
fn a_merged_run_holds_what_the_runs_held_once() {
    let dir = tempfile::tempdir().unwrap();
    let all_rows = rows(40_000);
    let part = |from: usize, every: usize| -> Vec<IndexRow> { all_rows.iter().skip(from).step_by(every).copied().collect() };
    let other: Vec<IndexedPack> = (0..2).map(|n| IndexedPack { id: ObjectId([n + 50; 32]), kind: PackKind::Meta, length: 9 }).collect();
    let moved: Vec<IndexRow> = part(5, 1000).into_iter().map(|row| IndexRow { pack: row.pack % 2, ..row }).collect();
    // The first two overlap, the third tells of other places, the fourth names packs that do not exist.
    let lost: Vec<IndexRow> = part(6, 5000).into_iter().map(|row| IndexRow { pack: 77, ..row }).collect();
    let runs = [
        Run::create_unnamed(&dir.path().join("a"), &packs(), &part(0, 2)).unwrap(),
        Run::create_unnamed(&dir.path().join("b"), &packs(), &part(0, 3)).unwrap(),
        Run::in_memory(&other, &moved),
        Run::in_memory(&packs(), &lost),
        Run::in_memory(&[], &[]),
    ];
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "unnamed means unnamed");
    assert_eq!((runs[0].filter_bytes(), runs[0].rows()), (0, 20_000));
    let inputs: Vec<&Run> = runs.iter().collect();
    let path = dir.path().join("merged");
    for merged in [Run::merge(&path, &inputs).unwrap(), Run::open(&path).unwrap(), Run::merge_in_memory(&inputs)] {
        let kept = (0..all_rows.len()).filter(|index| index.is_multiple_of(2) || index.is_multiple_of(3)).count();
        assert_eq!(merged.rows(), kept + moved.len());
        assert!(all(&merged).is_sorted_by_key(|(row, _)| *row));
        for (index, row) in all_rows.iter().enumerate() {
            let mut expected = Vec::new();
            if index >= 5 && (index - 5).is_multiple_of(1000) {
                expected.push((other[row.pack as usize % 2], row.ordinal));
            }
            if index.is_multiple_of(2) || index.is_multiple_of(3) {
                expected.push((packs()[row.pack as usize], row.ordinal));
            }
            assert_eq!(found(&merged, &row.prefix), expected, "newest first");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Prefixes that are no hashes at all: crowded at one end, equal, or spread.
    #[test]
    fn any_prefixes_are_found(
        seeds in proptest::collection::vec((0..4u8, any::<u32>()), 0..600),
        strangers in proptest::collection::vec(any::<u32>(), 0..50),
    ) {
        let prefix = |(kind, n): (u8, u32)| -> [u8; 16] {
            let mut prefix = [0; 16];
            match kind {
                0 => prefix[12..].copy_from_slice(&n.to_be_bytes()),
                1 => prefix[..4].copy_from_slice(&n.to_be_bytes()),
                2 => prefix[5..9].copy_from_slice(&(n % 7).to_be_bytes()),
                _ => prefix = blake3::hash(&n.to_le_bytes()).as_bytes()[..16].try_into().unwrap(),
            }
            prefix
        };
        let mut rows: Vec<IndexRow> = seeds.iter().enumerate().map(|(n, seed)| IndexRow { prefix: prefix(*seed), pack: n as u32 % 3, ordinal: n as u16 }).collect();
        rows.sort_unstable();
        let run = Run::in_memory(&packs(), &rows);
        let halves = [Run::in_memory(&packs(), &rows[..rows.len() / 2]), Run::in_memory(&packs(), &rows[rows.len() / 2..])];
        let merged = Run::merge_in_memory(&[&halves[0], &halves[1]]);
        for wanted in rows.iter().map(|row| row.prefix).chain(strangers.iter().map(|n| prefix((3, *n)))) {
            let expected: Vec<_> = rows.iter().filter(|row| row.prefix == wanted).map(|row| (packs()[row.pack as usize], row.ordinal)).collect();
            prop_assert_eq!(&found(&run, &wanted), &expected);
            let mut places = found(&merged, &wanted);
            places.sort_by_key(|(pack, ordinal)| (pack.id, *ordinal));
            prop_assert_eq!(places, expected);
        }
    }
}
