//! Index runs from a hostile cache. With an even first byte the rest is the file; with an odd one a run is built of it, asked, changed and asked again.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use vault_engine::format::id::ObjectId;
use vault_engine::format::index::{IndexRow, IndexedPack};
use vault_engine::format::pack::PackKind;
use vault_engine::store::run::Run;
use vault_fuzz::feed::Feed;
use vault_fuzz::heap;

fn place() -> &'static Path {
    static PLACE: OnceLock<PathBuf> = OnceLock::new();
    PLACE.get_or_init(|| {
        // In memory where there is such a place: the file is written anew for every input.
        let base = Path::new("/dev/shm");
        let base = if base.is_dir() { base.to_owned() } else { std::env::temp_dir() };
        base.join(format!("vault-fuzz-run-{}", std::process::id()))
    })
}

/// Asks a run everything that can be asked.
fn ask(run: &Run, length: usize, prefixes: &[[u8; 16]]) {
    for number in (0..run.packs().min(1000)).chain([run.packs(), usize::MAX]) {
        let pack = run.pack(number);
        assert!(pack.is_none() || number < run.packs());
    }
    let own = (0..run.rows().min(1000)).map(|number| run.row(number).prefix);
    for prefix in own.chain(prefixes.iter().copied()) {
        let mut found = Vec::new();
        run.find(&prefix, &mut found);
        assert!(found.len() <= run.rows() && found.len() * 22 <= length);
    }
}

fn open(bytes: &[u8], prefixes: &[[u8; 16]]) {
    std::fs::write(place(), bytes).expect("a place for a file");
    let run = Run::open(place());
    std::fs::remove_file(place()).expect("the file was there");
    if let Ok(run) = run {
        heap::bounded(heap::for_record(bytes.len()), || ask(&run, bytes.len(), prefixes));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut feed = Feed(data);
    let mode = feed.byte();
    let prefixes: Vec<[u8; 16]> = (0..mode >> 1 & 3).map(|_| feed.array()).collect();
    if mode & 1 == 0 {
        return open(feed.0, &prefixes);
    }
    let changes: Vec<[u8; 3]> = (0..mode >> 3 & 7).map(|_| feed.array()).collect();
    let packs: Vec<IndexedPack> = (0..feed.byte() % 4)
        .map(|n| IndexedPack { id: ObjectId([n; 32]), kind: if n % 2 == 0 { PackKind::Data } else { PackKind::Meta }, length: u64::from(n) })
        .collect();
    let spread = feed.byte();
    let mut rows: Vec<IndexRow> = feed
        .0
        .chunks(if spread & 1 == 0 { 4 } else { 20 })
        .map(|bytes| {
            let mut feed = Feed(bytes);
            let (pack, ordinal) = (u32::from(feed.byte()) % 5, u16::from(feed.byte()));
            let prefix = if spread & 2 == 0 { feed.array() } else { *vault_rescue::keys::h(feed.0).first_chunk().expect("32 bytes") };
            IndexRow { prefix, pack, ordinal }
        })
        .collect();
    rows.sort_unstable();
    rows.dedup();
    let run = Run::create(place(), &packs, &rows).expect("what is built is sound");
    let bytes = std::fs::read(place()).expect("just written");
    assert_eq!((run.packs(), run.rows()), (packs.len(), rows.len()));
    for row in &rows {
        let mut found = Vec::new();
        run.find(&row.prefix, &mut found);
        let expected: Vec<_> =
            rows.iter().filter(|other| other.prefix == row.prefix).filter_map(|row| Some((*packs.get(row.pack as usize)?, row.ordinal))).collect();
        assert_eq!(found, expected);
    }
    for prefix in &prefixes {
        let mut found = Vec::new();
        run.find(prefix, &mut found);
        assert!(found.is_empty() || rows.iter().any(|row| row.prefix == *prefix));
    }
    drop(run);
    let mut changed = bytes;
    for [low, high, xor] in changes {
        let at = usize::from(low) | usize::from(high) << 8;
        let length = changed.len();
        // Half of all changes go to the head, which is where the numbers are.
        changed[if at & 1 == 0 { at / 2 % 128 } else { at / 2 % length }] ^= xor;
    }
    open(&changed, &prefixes);
});
