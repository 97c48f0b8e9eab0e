//! What parity makes up for: any four shards of a group, either end, either copy of the shard table; and that it never makes up anything else.

use super::*;
use crate::format::compress::Compression;
use crate::format::id::RepositoryId;
use crate::format::keys::{Key, KeyClass, KeyRing, SessionRandom};
use crate::format::pack::{ChunkRow, CompressedBlock, PackBuilder, PackKind};
use crate::format::seal::Cipher;
use proptest::prelude::*;

fn noise(length: usize, seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut bytes);
    bytes
}

fn name(bytes: &[u8]) -> ObjectId {
    ObjectId(*blake3::hash(bytes).as_bytes())
}

/// A pack with one block of noise.
fn pack(length: usize, parity: ParityScheme) -> Vec<u8> {
    let ring = KeyRing::new(RepositoryId([1; 16]), vec![Key([2; 32])]);
    let key = ring.session_key(KeyClass::Data, &[3; 16], "h", &SessionRandom { key: [4; 32], nonce: [5; 32], encapsulation: [7; 32] }).unwrap();
    let mut builder = PackBuilder::new(PackKind::Data, [3; 16], &key, Vec::new()).with_parity(parity);
    for plain in noise(length, 7).chunks(1 << 20) {
        let chunks = vec![ChunkRow { id: ring.data_names().unwrap().name(plain), length: plain.len() as u32 }];
        let block = CompressedBlock::new(plain, Compression::Off, Vec::new());
        builder.push(&block.seal(ring.repository, PackKind::Data, &key.seal, Cipher::default(), &[6; 32], chunks));
    }
    builder.close(&ring, &[8; 32], &[]).unwrap().0
}

fn layout(pack: &[u8]) -> Layout {
    Geometry::decode(&pack[..END_LENGTH]).unwrap().parity_layout().unwrap()
}

/// Other bytes at some places of a range.
fn spoil(pack: &mut [u8], range: Range<usize>) {
    let middle = range.start + range.len() / 2;
    pack[range.start] ^= 0x40;
    pack[middle] = pack[middle].wrapping_add(1);
    pack[range.end - 1] ^= 1;
}

fn mended(spoiled: &[u8], whole: &[u8]) {
    let found = mend(spoiled, name(whole)).unwrap_or_else(|error| panic!("{error}"));
    assert!(found.bytes == whole, "other bytes under the same hash");
}

#[test]
fn all_of_it_follows_from_the_length() {
    let lengths = (1..5000).chain((5000..140_000).step_by(97)).chain([131_072, 131_073, 8 << 20, (8 << 20) + 1, (16 << 20) + 1, 200 << 20]);
    let mut last = 0;
    for covered in lengths {
        let layout = Layout::new(covered);
        assert!(layout.data_shards <= layout.groups * DATA_SHARDS_MAX && layout.data_shards > (layout.groups - 1) * DATA_SHARDS_MAX, "{covered}");
        assert_eq!(Layout::of_object(layout.object_length()), Some(layout), "{covered}");
        let mut shards: Vec<usize> =
            (0..layout.groups).flat_map(|group| (0..layout.positions(group)).map(move |at| (group, at))).map(|(g, at)| layout.shard_at(g, at)).collect();
        shards.sort_unstable();
        assert!(shards.iter().enumerate().all(|(number, shard)| number == *shard) && shards.len() == layout.shards(), "{covered}");
        assert!((0..layout.shards()).all(|shard| layout.shard_at(layout.place(shard).0, layout.place(shard).1) == shard), "{covered}");
        if covered < 5000 {
            assert!(layout.object_length() > last, "{covered}");
            last = layout.object_length();
        }
    }
    assert_eq!(Layout::of_object(100), None);
    assert_eq!(Layout::of_object(Layout::new(1024).object_length() + 1), None, "one byte more needs a shard more");
    let share = |covered: u64| Layout::new(covered).added_bytes() as f64 / covered as f64;
    assert!(share(15 << 20) < 0.035 && share(4 << 20) < 0.035 && share(30_000) < 0.18, "{} {} {}", share(15 << 20), share(4 << 20), share(30_000));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn any_four_shards_come_back_and_five_do_not(length in 1usize..200_000, picks in prop::collection::vec(any::<prop::sample::Index>(), 5), also in 0usize..5) {
        let whole = pack(length, ParityScheme::ReedSolomon);
        let layout = layout(&whole);
        let mut bad: Vec<usize> = picks.iter().map(|pick| pick.index(layout.shards())).collect();
        bad.sort_unstable();
        bad.dedup();
        let mut spoiled = whole.clone();
        bad.iter().for_each(|shard| spoil(&mut spoiled, layout.range(*shard)));
        let behind = layout.covered + layout.parity_length();
        let table = layout.table_length();
        // One of the two copies of whatever there are two of; of the ends, one must tell how long the pack was.
        match also {
            1 => spoil(&mut spoiled, behind..behind + table),
            2 => spoil(&mut spoiled, behind + table..behind + 2 * table),
            3 => spoil(&mut spoiled, behind + 2 * table..whole.len()),
            4 if bad[0] != 0 => { spoiled.pop(); }
            _ => {}
        }
        if bad.len() <= PARITY_SHARDS {
            let found = mend(&spoiled, name(&whole)).unwrap();
            prop_assert_eq!(found.bad_shards, bad.len() as u64);
            prop_assert!(found.bytes == whole);
        } else if bad.iter().any(|shard| *shard < layout.data_shards) {
            prop_assert_eq!(mend(&spoiled, name(&whole)), Err(Beyond::TooMuch { bad_shards: 5 }));
        }
    }

    #[test]
    fn no_bytes_break_it(mut bytes in prop::collection::vec(any::<u8>(), 0..3000), header in any::<bool>()) {
        if header && bytes.len() > 200 {
            let whole = pack(500, ParityScheme::ReedSolomon);
            bytes[..END_LENGTH].copy_from_slice(&whole[..END_LENGTH]);
        }
        prop_assert!(mend(&bytes, ObjectId([0; 32])).is_err());
    }
}

#[test]
fn a_burst_is_spread_over_the_groups() {
    let whole = pack(9 << 20, ParityScheme::ReedSolomon);
    let layout = layout(&whole);
    assert_eq!(layout.groups, 2);
    for (start, length) in [(0, 8 * 65_536), (65_536 * 20 + 5, 7 * 65_536), (layout.covered - 65_536 * 3, 65_536 * 6), (layout.covered, layout.parity_length())]
    {
        let mut spoiled = whole.clone();
        spoiled[start..start + length].fill(0);
        mended(&spoiled, &whole);
    }
    let mut spoiled = whole.clone();
    spoiled[70_000..70_000 + 9 * 65_536].fill(0);
    assert_eq!(mend(&spoiled, name(&whole)), Err(Beyond::TooMuch { bad_shards: 10 }));
}

#[test]
fn every_single_byte_comes_back() {
    let whole = pack(700, ParityScheme::ReedSolomon);
    for at in 0..whole.len() {
        let mut spoiled = whole.clone();
        spoiled[at] ^= 0x81;
        mended(&spoiled, &whole);
    }
}

#[test]
fn the_ends_the_tables_and_what_was_cut_off_come_back() {
    let whole = pack(30_000, ParityScheme::ReedSolomon);
    let layout = layout(&whole);
    let behind = layout.covered + layout.parity_length();
    let mut both_ends = whole.clone();
    both_ends[..END_LENGTH].fill(0);
    let last = whole.len() - END_LENGTH;
    both_ends[last..].fill(0);
    mended(&both_ends, &whole);
    // Both shard tables, parity and footer, while all data is well; zeroed, and cut off.
    let mut tail = whole.clone();
    tail[layout.covered..].fill(0);
    mended(&tail, &whole);
    mended(&whole[..layout.covered], &whole);
    mended(&whole[..behind - 5], &whole);
    mended(&[&whole[..], b"something more"].concat(), &whole);
    // The same row damaged in both tables, and another shard really bad.
    let mut rows = whole.clone();
    rows[behind + 3 * ROW] ^= 1;
    rows[behind + layout.table_length() + 3 * ROW] ^= 1;
    spoil(&mut rows, layout.range(9));
    mended(&rows, &whole);
    // A sector is four shards.
    for sector in 0..layout.covered / 4096 {
        let mut lost = whole.clone();
        lost[sector * 4096..(sector + 1) * 4096].fill(0);
        mended(&lost, &whole);
    }
}

#[test]
fn what_is_beyond_it_is_said_to_be() {
    let plain = pack(30_000, ParityScheme::None);
    let mut spoiled = plain.clone();
    spoiled[5000] ^= 1;
    assert_eq!(mend(&spoiled, name(&plain)), Err(Beyond::NoParity));
    assert_eq!(mend(&[], name(&plain)), Err(Beyond::NoParity));
    let whole = pack(30_000, ParityScheme::ReedSolomon);
    assert!(matches!(mend(&whole[..whole.len() / 2], name(&whole)), Err(Beyond::TooMuch { .. })));
    assert!(mend(&whole, name(&plain)).is_err(), "another object under this name");
    // A header that promises the longest pack of all makes nobody allocate one.
    let mut liar = pack(30_000, ParityScheme::ReedSolomon);
    let far = (PACK_LENGTH_MAX - 20_000_000).to_le_bytes();
    liar[32..40].copy_from_slice(&far);
    let hash = blake3::hash(&liar[..96]);
    liar[96..END_LENGTH].copy_from_slice(hash.as_bytes());
    assert!(mend(&liar, name(&plain)).is_err());
}
