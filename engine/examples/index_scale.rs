//! Measures the index at scale: `index_scale REPOSITORY CACHE CHUNKS [grow|ask]`. Makes a repository of that many made-up chunks, loads its index as a
//! machine does that never saw it, opens it again, and asks it. With `grow` it grows segment by segment, as in one long backup; with `ask` the two folders
//! are those of an earlier call and are only opened and asked, otherwise they must be new.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vault_engine::format::id::ObjectId;
use vault_engine::format::index::{IndexRow, IndexedPack, ROWS_MAX, Segment};
use vault_engine::format::keys::Key;
use vault_engine::format::pack::PackKind;
use vault_engine::format::slot::Secret;
use vault_engine::store::host::SystemHost;
use vault_engine::store::location::Location;
use vault_engine::store::repository::{InitOptions, Repository};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const SECRET: Secret = Secret::KeyFile(Key([7; 32]));
/// As many as 16 MiB hold of chunks of 64 KiB.
const PACK_CHUNKS: u64 = 256;
const QUESTIONS: u64 = 2_000_000;

/// Spreads numbers like a hash (`splitmix64`).
fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn name(number: u64) -> [u8; 32] {
    let mut name = [0; 32];
    for (place, part) in name.chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&mixed(number.wrapping_mul(4).wrapping_add(place as u64)).to_le_bytes());
    }
    name
}

/// The segment of chunks `from..to`, each pack with its own.
fn segment(from: u64, to: u64) -> Segment {
    let packs = (from / PACK_CHUNKS..to.div_ceil(PACK_CHUNKS)).map(|pack| IndexedPack { id: ObjectId(name(!pack)), kind: PackKind::Data, length: 16 << 20 });
    let row = |number: u64| IndexRow {
        prefix: *name(number).first_chunk().expect("sixteen bytes"),
        pack: (number / PACK_CHUNKS - from / PACK_CHUNKS) as u32,
        ordinal: (number % PACK_CHUNKS) as u16,
    };
    Segment { packs: packs.collect(), rows: (from..to).map(row).collect(), replaces: Vec::new() }
}

/// A line of this process's `status`, in MB (10^6 bytes).
fn status_mb(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024 / 1_000_000
}

/// Runs `work` and says how long it took and the most anonymous memory seen, looked at every 2 ms.
fn measured<T>(what: &str, work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Duration)> {
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut peak = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                peak = peak.max(status_mb("RssAnon"));
                std::thread::sleep(Duration::from_millis(2));
            }
            peak
        });
        let start = Instant::now();
        let outcome = work();
        let took = start.elapsed();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let peak = watcher.join().unwrap_or_default();
        println!("{what}: {:.3} s, {peak} MB of anonymous memory at most, {} MB of mapped files now", took.as_secs_f64(), status_mb("RssFile"));
        Ok((outcome?, took))
    })
}

fn ask(repository: &Repository, what: &str, mut number: impl FnMut(u64) -> u64, expected: bool) -> Outcome<()> {
    let names: Vec<[u8; 32]> = (0..QUESTIONS).map(|question| name(number(mixed(question)))).collect();
    let mut best = f64::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        for name in &names {
            if repository.lookup().find(repository, name)?.is_empty() == expected {
                return Err(format!("{what}: a wrong answer").into());
            }
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / QUESTIONS as f64);
    }
    println!("{what}: {best:.0} ns a question, {} MB of mapped files", status_mb("RssFile"));
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, cache, chunks, mode) = match &arguments[..] {
        [folder, cache, chunks] => (folder, Path::new(cache), chunks.parse::<u64>()?, ""),
        [folder, cache, chunks, mode] if ["grow", "ask"].contains(&&**mode) => (folder, Path::new(cache), chunks.parse::<u64>()?, &**mode),
        _ => return Err("usage: index_scale REPOSITORY CACHE CHUNKS [grow|ask]".into()),
    };
    let location = Location::parse(folder)?;
    let host = || Arc::new(SystemHost::default());
    if mode != "ask" {
        std::fs::create_dir(cache)?;
        let grow = mode == "grow";
        let repository = Repository::init(location.create()?, host(), &[(SECRET, "example")], &InitOptions::default(), grow.then_some(cache))?;
        let each = ROWS_MAX as u64 / PACK_CHUNKS * PACK_CHUNKS;
        measured("segments put", || {
            for from in (0..chunks).step_by(each as usize) {
                let mut segment = segment(from, chunks.min(from + each));
                if grow {
                    repository.put_segment(&mut segment)?
                } else {
                    repository.put_segment_unseen(&mut segment)?
                };
            }
            Ok(())
        })?;
    }
    if mode.is_empty() {
        let repository = Repository::open(location.open()?, host(), &[SECRET], Some(cache))?;
        measured("index loaded for the first time", || Ok(repository.lookup().size(&repository)?))?;
    }
    let (repository, _) = measured("opened again", || {
        let repository = Repository::open(location.open()?, host(), &[SECRET], Some(cache))?;
        repository.lookup().size(&repository)?;
        Ok(repository)
    })?;
    let size = repository.lookup().size(&repository)?;
    println!("{} rows in {} runs, filters of {:.3} bytes a chunk", size.rows, size.runs, size.filter_bytes as f64 / size.rows as f64);
    ask(&repository, "hits", |random| random % chunks, true)?;
    ask(&repository, "misses", |random| chunks + random % (1 << 60), false)?;
    if mode == "ask" {
        return Ok(());
    }
    let mut small = segment(chunks.next_multiple_of(PACK_CHUNKS), chunks.next_multiple_of(PACK_CHUNKS) + 10_000);
    measured("a small segment more", || Ok(repository.put_segment(&mut small)?))?;
    Ok(())
}
