//! Measures what each stage of a backup costs on this machine, with these data and this store, and says what holds it up.

pub mod judge;
pub mod made;
mod sample;
mod stages;

use super::monitor::Cancel;
use super::source::Source;
use crate::format::compress::Compression;
use crate::format::seal::Cipher;
use crate::store::host::Host;
use crate::store::repository::InitOptions;
pub use crate::store::stages::Stage;
use crate::store::{Store, StoreError};
use judge::{Bottleneck, GB, Line, Machine, Prices, Prospect};
use std::time::Duration;

/// What a stage did, and what it took on one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageCost {
    /// Which.
    pub name: Stage,
    /// Bytes that went into it: plain ones up to `compress`, compressed ones after.
    pub bytes: u64,
    /// Bytes of the source behind them.
    pub plain_bytes: u64,
    /// Time that passed; where nothing is waited for, that a processor worked.
    pub elapsed: Duration,
    /// Time of it that a processor worked, as far as this thread had it work.
    pub busy: Duration,
}

impl StageCost {
    /// Bytes of its own input a second.
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Seconds for each GB of the source.
    pub fn seconds_per_gb(&self) -> f64 {
        self.elapsed.as_secs_f64() * GB / self.plain_bytes.max(1) as f64
    }

    /// Seconds of a processor's work for each GB of the source.
    pub fn busy_per_gb(&self) -> f64 {
        self.busy.min(self.elapsed).as_secs_f64() * GB / self.plain_bytes.max(1) as f64
    }
}

/// What compressing some blocks at one level took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelCost {
    /// zstd's level.
    pub level: i32,
    /// Bytes before.
    pub plain_bytes: u64,
    /// Bytes after.
    pub stored_bytes: u64,
    /// Time that a processor worked.
    pub elapsed: Duration,
}

/// What putting took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PutCost {
    /// Bytes put.
    pub bytes: u64,
    /// Time until they were taken.
    pub elapsed: Duration,
}

impl Machine {
    /// This one.
    pub fn here(readers: usize) -> Self {
        Self { cores: std::thread::available_parallelism().map_or(1, usize::from), readers }
    }
}

/// Levels of compression that are compared.
pub const LEVELS: [i32; 5] = [1, 3, 6, 9, 19];

/// What to measure with.
#[derive(Clone, Copy, Debug)]
pub struct BenchOptions {
    /// How long all of it may take, about; the least that a stage needs is done in any case.
    pub span: Duration,
    /// What a backup would have.
    pub machine: Machine,
}

/// What was measured and what follows from it.
#[derive(Clone, Debug)]
pub struct BenchOutcome {
    /// What a backup would have.
    pub machine: Machine,
    /// Entries that the walk showed.
    pub entries: u64,
    /// Bytes of data in them.
    pub walked_bytes: u64,
    /// The walk ended before its end: there was more than it had time for.
    pub walk_cut_short: bool,
    /// Entries that could not be read.
    pub unreadable: u64,
    /// Bytes of the sample.
    pub sample_bytes: u64,
    /// Bytes of its chunks, each counted once.
    pub unique_bytes: u64,
    /// The same compressed at the default level.
    pub compressed_bytes: u64,
    /// Hardly anything was waited for while reading: the sample lay in memory.
    pub read_from_memory: bool,
    /// The stages, in order.
    pub stages: [StageCost; Stage::ALL.len()],
    /// What holds a backup up.
    pub bottleneck: Bottleneck,
    /// What a backup would take at each of [`LEVELS`].
    pub levels: Vec<Prospect>,
    /// Bytes sealed a second and core.
    pub ciphers: Vec<(Cipher, f64)>,
    /// Bytes put a second for each of [`judge::PACK_SIZES`].
    pub pack_sizes: Vec<(u64, f64)>,
    /// The level to use.
    pub level: Compression,
    /// The cipher to use for a new repository.
    pub cipher: Cipher,
    /// The size of data packs to use, in bytes.
    pub pack_size_bytes: u64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The source has no contents that could be read.
    #[error("there are no contents to measure with")]
    NoContents,
    /// Somebody asked.
    #[error("cancelled")]
    Cancelled,
    /// The store did not take what was put, or did not delete it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The clock, and whether to go on.
#[derive(Clone, Copy)]
struct Watch<'a> {
    host: &'a dyn Host,
    cancel: &'a Cancel,
}

impl Watch<'_> {
    fn check(self) -> Result<(), BenchError> {
        if self.cancel.is_cancelled() { Err(BenchError::Cancelled) } else { Ok(()) }
    }
}

/// Objects put to learn what each one costs beside its bytes.
const SHORT_PUT_BYTES: usize = 1 << 20;

/// Measures. `source` is read only; `store` is filled and emptied, so it must be nobody's: a [`crate::store::scratch::Scratch`]'s.
pub fn bench(source: &dyn Source, store: &dyn Store, host: &dyn Host, options: &BenchOptions, cancel: &Cancel) -> Result<BenchOutcome, BenchError> {
    let watch = Watch { host, cancel };
    let part = |percent: u32| options.span * percent / 100;
    let walked = sample::walk(source, watch, part(10))?;
    let sample = sample::read(source, &walked, watch, part(20))?;
    if sample.bytes == 0 {
        return Err(BenchError::NoContents);
    }
    let of = |name, bytes, elapsed, busy| StageCost { name, bytes, plain_bytes: bytes, elapsed, busy };
    let walk = of(Stage::Walk, walked.bytes, walked.elapsed, walked.busy);
    let read = of(Stage::Read, sample.bytes, sample.elapsed, sample.busy);
    let bench = stages::Bench::new(watch, &sample);
    let (cut, cuts) = bench.cut(part(5))?;
    let (name, blocks) = bench.name(&cuts, part(5))?;
    let (compress, mut boxes) = bench.compress(&blocks, part(10))?;
    let level_costs = bench.levels(&blocks, &LEVELS, part(25))?;
    let seal = bench.seal(&mut boxes, Cipher::default(), part(5))?;
    let other = bench.seal(&mut boxes, Cipher::Aes256Gcm, part(5))?;
    drop(boxes);
    let usual_size = InitOptions::default().pack_size_bytes;
    let (puts, all_puts) = stages::put(store, watch, [SHORT_PUT_BYTES, usual_size as usize], part(15))?;

    let plain_bytes = (all_puts.bytes as f64 * sample.bytes as f64 / seal.bytes.max(1) as f64) as u64;
    // Whatever a put has a processor do is done by other threads, and little.
    let store_wait = StageCost { name: Stage::StoreWait, bytes: all_puts.bytes, plain_bytes, elapsed: all_puts.elapsed, busy: Duration::ZERO };
    let stages = [walk, read, cut, name, compress, seal, store_wait];
    let prices = Prices::of(&stages);
    let line = Line::through(&puts[0], &puts[1]);
    let levels = judge::prospects(&prices, &level_costs, seal.bytes as f64 / compress.bytes.max(1) as f64, options.machine);
    let ciphers = vec![(Cipher::default(), seal.bytes_per_second()), (Cipher::Aes256Gcm, other.bytes_per_second())];
    Ok(BenchOutcome {
        machine: options.machine,
        entries: walked.entries,
        walked_bytes: walked.bytes,
        walk_cut_short: walked.cut_short,
        unreadable: walked.unreadable + sample.unreadable,
        sample_bytes: sample.bytes,
        unique_bytes: compress.bytes,
        compressed_bytes: seal.bytes,
        read_from_memory: sample.busy * 10 >= sample.elapsed * 9,
        stages,
        bottleneck: prices.bottleneck(options.machine),
        level: judge::choose_level(&levels),
        cipher: judge::choose_cipher(&ciphers),
        pack_size_bytes: judge::choose_pack_size(&prices, &line, options.machine),
        levels,
        ciphers,
        pack_sizes: judge::PACK_SIZES.map(|size| (size, line.bytes_per_second(size))).to_vec(),
    })
}
