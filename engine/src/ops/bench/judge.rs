//! What the numbers mean: how long a backup takes with them, what holds it up, and what would be better. Pure.

use super::{LevelCost, PutCost, Stage, StageCost};
use crate::format::compress::Compression;
use crate::format::seal::Cipher;
use crate::store::repository::InitOptions;

/// A billion bytes.
pub const GB: f64 = 1e9;

/// What a backup has to work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Processors.
    pub cores: usize,
    /// Files read at the same time.
    pub readers: usize,
}

/// What can hold a backup up, since it works beside all the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// One thread walks.
    Walk,
    /// The readers read, cut and name, each one file.
    Readers,
    /// All processors do all the work there is.
    Processor,
    /// One data pack at a time is on its way to the store.
    Store,
}

impl Limit {
    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::Readers => "readers",
            Self::Processor => "processor",
            Self::Store => "store",
        }
    }
}

/// What holds a backup up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bottleneck {
    /// Where.
    pub limit: Limit,
    /// The stage that costs most there.
    pub stage: Stage,
    /// How long it takes for each GB of the source.
    pub seconds_per_gb: f64,
}

/// What each stage costs for each GB of the source: time that passes, and time that a processor works.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prices {
    elapsed: [f64; Stage::ALL.len()],
    busy: [f64; Stage::ALL.len()],
}

impl Prices {
    /// Of measured stages, one of each name.
    pub fn of(stages: &[StageCost; Stage::ALL.len()]) -> Self {
        Self { elapsed: stages.map(|stage| stage.seconds_per_gb()), busy: stages.map(|stage| stage.busy_per_gb()) }
    }

    fn scaled(mut self, stage: Stage, factor: f64) -> Self {
        self.elapsed[stage as usize] *= factor;
        self.busy[stage as usize] *= factor;
        self
    }

    /// The limit that is reached first.
    pub fn bottleneck(&self, machine: Machine) -> Bottleneck {
        use Stage::{Cut, Name, Read, StoreWait, Walk};
        let at_readers = [Read, Cut, Name];
        let dearest = |stages: &[Stage], prices: &[f64]| {
            let price = |stage: &&Stage| prices[**stage as usize];
            stages.iter().max_by(|a, b| price(a).total_cmp(&price(b))).copied().unwrap_or(Read)
        };
        let sum = |stages: &[Stage], prices: &[f64]| stages.iter().map(|stage| prices[*stage as usize]).sum::<f64>();
        let all = Stage::ALL;
        let limits = [
            (Limit::Walk, Walk, self.elapsed[Walk as usize]),
            (Limit::Readers, dearest(&at_readers, &self.elapsed), sum(&at_readers, &self.elapsed) / machine.readers.max(1) as f64),
            (Limit::Processor, dearest(&all, &self.busy), sum(&all, &self.busy) / machine.cores.max(1) as f64),
            (Limit::Store, StoreWait, self.elapsed[StoreWait as usize]),
        ];
        let (limit, stage, seconds_per_gb) = limits.into_iter().max_by(|a, b| a.2.total_cmp(&b.2)).expect("there are four");
        Bottleneck { limit, stage, seconds_per_gb }
    }
}

/// What a backup would take at one level of compression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prospect {
    /// zstd's level.
    pub level: i32,
    /// Bytes compressed a second and core.
    pub bytes_per_second: f64,
    /// Bytes stored for each byte that is new.
    pub ratio: f64,
    /// How long a backup takes for each GB of the source.
    pub seconds_per_gb: f64,
}

/// What a backup would take at each level; `levels` were measured on the same blocks and hold the default one, whose costs are in `prices`.
/// `ratio` is what the default level made of all of the sample.
pub fn prospects(prices: &Prices, levels: &[LevelCost], ratio: f64, machine: Machine) -> Vec<Prospect> {
    let Some(usual) = levels.iter().find(|cost| Compression::Level(cost.level) == Compression::default()) else { return Vec::new() };
    let per = |cost: &LevelCost, usual: &LevelCost| cost.elapsed.as_secs_f64() / usual.elapsed.as_secs_f64().max(1e-9);
    levels
        .iter()
        .map(|cost| {
            let shrunk = cost.stored_bytes as f64 / usual.stored_bytes.max(1) as f64;
            let prices = prices.scaled(Stage::Compress, per(cost, usual)).scaled(Stage::Seal, shrunk).scaled(Stage::StoreWait, shrunk);
            Prospect {
                level: cost.level,
                bytes_per_second: cost.plain_bytes as f64 / cost.elapsed.as_secs_f64().max(1e-9),
                ratio: (ratio * shrunk).min(1.0),
                seconds_per_gb: prices.bottleneck(machine).seconds_per_gb,
            }
        })
        .collect()
}

/// A result that is at least this part of the plaintext is not worth compressing for.
const WORTHLESS: f64 = 0.98;
/// More compression may cost this much more time …
const SLOWER: f64 = 1.1;
/// … if it stores at most this part.
const SMALLER: f64 = 0.98;
/// Less compression must save this much time …
const FASTER: f64 = 0.8;
/// … and may store this much more.
const LARGER: f64 = 1.08;

/// The default level; a higher one where that costs next to nothing and saves something, a lower one where that is much faster and costs next to nothing;
/// none at all where nothing saves anything.
pub fn choose_level(prospects: &[Prospect]) -> Compression {
    if !prospects.is_empty() && prospects.iter().all(|prospect| prospect.ratio > WORTHLESS) {
        return Compression::Off;
    }
    let Some(usual) = prospects.iter().find(|prospect| Compression::Level(prospect.level) == Compression::default()) else { return Compression::default() };
    let mut chosen = usual;
    for higher in prospects.iter().filter(|prospect| prospect.level > usual.level) {
        if higher.seconds_per_gb <= usual.seconds_per_gb * SLOWER && higher.ratio <= chosen.ratio * SMALLER {
            chosen = higher;
        }
    }
    if chosen.level == usual.level
        && let Some(lower) = prospects.iter().find(|prospect| prospect.level < usual.level)
        && lower.seconds_per_gb <= usual.seconds_per_gb * FASTER
        && lower.ratio <= usual.ratio * LARGER
    {
        chosen = lower;
    }
    Compression::Level(chosen.level)
}

/// A cipher must be this many times as fast as the default one to be worth leaving it.
const CIPHER_GAIN: f64 = 1.5;

/// The default cipher, or one that is much faster here.
pub fn choose_cipher(bytes_per_second: &[(Cipher, f64)]) -> Cipher {
    let of = |cipher| bytes_per_second.iter().find(|(other, _)| *other == cipher).map_or(0.0, |(_, speed)| *speed);
    let usual = Cipher::default();
    bytes_per_second.iter().filter(|(_, speed)| *speed >= of(usual) * CIPHER_GAIN).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(usual, |(cipher, _)| *cipher)
}

/// What a store takes: so long for each object, whatever its length, and so long for each byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Seconds for each object.
    pub seconds_per_object: f64,
    /// Seconds for each byte.
    pub seconds_per_byte: f64,
}

impl Line {
    /// Through objects of two lengths.
    pub fn through(short: &PutCost, long: &PutCost) -> Self {
        let seconds = |put: &PutCost| put.elapsed.as_secs_f64().max(1e-9);
        let (short_seconds, long_seconds) = (seconds(short), seconds(long));
        let apart = long.bytes.saturating_sub(short.bytes).max(1) as f64;
        // Whatever a measurement between two disturbances says: no byte is free, and no object takes less than no time.
        let whole = long_seconds / long.bytes.max(1) as f64;
        let seconds_per_byte = ((long_seconds - short_seconds) / apart).clamp(whole / 10.0, whole);
        Self { seconds_per_object: (long_seconds - seconds_per_byte * long.bytes as f64).max(0.0), seconds_per_byte }
    }

    /// Bytes a second in packs of `size_bytes`.
    pub fn bytes_per_second(&self, size_bytes: u64) -> f64 {
        size_bytes as f64 / (self.seconds_per_object + self.seconds_per_byte * size_bytes as f64)
    }
}

/// Sizes of data packs that are looked at, in bytes.
pub const PACK_SIZES: [u64; 6] = [4 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20, 128 << 20];
/// Twice the size, and so twice the memory, must make a backup this much faster.
const PACK_GAIN: f64 = 0.9;

/// The default size, or a larger one as long as twice the size makes a backup faster.
pub fn choose_pack_size(prices: &Prices, line: &Line, machine: Machine) -> u64 {
    let usual = InitOptions::default().pack_size_bytes;
    let seconds = |size| prices.scaled(Stage::StoreWait, line.bytes_per_second(usual) / line.bytes_per_second(size)).bottleneck(machine).seconds_per_gb;
    let mut chosen = usual;
    for size in PACK_SIZES.into_iter().filter(|size| *size > usual) {
        if seconds(size) > seconds(chosen) * PACK_GAIN {
            break;
        }
        chosen = size;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MACHINE: Machine = Machine { cores: 2, readers: 2 };

    /// Prices in seconds a GB, all of it work but the store's and a source's waiting.
    fn prices(walk: f64, read: f64, cut: f64, name: f64, compress: f64, seal: f64, store: f64) -> Prices {
        Prices { elapsed: [walk, read, cut, name, compress, seal, store], busy: [walk, read.min(0.2), cut, name, compress, seal, 0.0] }
    }

    fn usual() -> Prices {
        prices(0.05, 0.1, 0.3, 0.15, 2.0, 0.2, 0.4)
    }

    fn cost(level: i32, milliseconds: u64, stored: u64) -> LevelCost {
        LevelCost { level, plain_bytes: 1000, stored_bytes: stored, elapsed: Duration::from_millis(milliseconds) }
    }

    #[test]
    fn the_slowest_of_what_goes_on_side_by_side_is_the_bottleneck() {
        let of = |prices: Prices, machine| {
            let found = prices.bottleneck(machine);
            (found.limit, found.stage, (found.seconds_per_gb * 1000.0).round())
        };
        assert_eq!(of(usual(), MACHINE), (Limit::Processor, Stage::Compress, 1400.0));
        assert_eq!(of(usual(), Machine { cores: 64, readers: 2 }), (Limit::Store, Stage::StoreWait, 400.0));
        assert_eq!(of(prices(0.05, 0.1, 0.3, 0.15, 2.0, 0.2, 9.0), MACHINE), (Limit::Store, Stage::StoreWait, 9000.0));
        assert_eq!(of(prices(0.05, 8.0, 0.3, 0.15, 2.0, 0.2, 0.4), MACHINE), (Limit::Readers, Stage::Read, 4225.0));
        assert_eq!(of(prices(5.0, 0.1, 0.3, 0.15, 2.0, 0.2, 0.4), MACHINE), (Limit::Walk, Stage::Walk, 5000.0));
        assert_eq!(of(prices(0.0, 0.1, 0.9, 0.1, 2.0, 0.2, 0.0), Machine { cores: 64, readers: 2 }), (Limit::Readers, Stage::Cut, 550.0));
    }

    #[test]
    fn a_level_is_left_only_for_a_reason() {
        let choose = |prices: &Prices, levels: &[LevelCost], ratio| choose_level(&prospects(prices, levels, ratio, MACHINE));
        let normal = [cost(1, 80, 320), cost(3, 100, 300), cost(9, 600, 270), cost(19, 20_000, 250)];
        assert_eq!(choose(&usual(), &normal, 0.3), Compression::Level(3), "level 1 is faster, but not by enough");
        let quick = [cost(1, 50, 310), normal[1], normal[2], normal[3]];
        assert_eq!(choose(&usual(), &quick, 0.3), Compression::Level(1), "much faster, and hardly larger");
        let large = [cost(1, 50, 400), normal[1], normal[2], normal[3]];
        assert_eq!(choose(&usual(), &large, 0.3), Compression::Level(3), "much faster, and much larger");
        let slow_store = prices(0.05, 0.1, 0.3, 0.15, 2.0, 0.2, 20.0);
        assert_eq!(choose(&slow_store, &normal, 0.3), Compression::Level(9), "the store is waited for anyway");
        let noise = [cost(1, 10, 1000), cost(3, 10, 1000), cost(9, 10, 1000)];
        assert_eq!(choose(&usual(), &noise, 1.0), Compression::Off);
        assert_eq!(choose(&slow_store, &[cost(3, 10, 500), cost(9, 10, 499)], 0.5), Compression::Level(3), "nothing saved");
        assert_eq!(choose_level(&[]), Compression::default());
    }

    #[test]
    fn prospects_are_told_relative_to_the_default_level() {
        let found = prospects(&usual(), &[cost(3, 100, 300), cost(9, 300, 150)], 0.4, MACHINE);
        assert_eq!((found[0].level, found[1].level), (3, 9));
        assert!((found[0].seconds_per_gb - 1.4).abs() < 1e-9 && (found[0].ratio - 0.4).abs() < 1e-9);
        // Three times the work, half of it to seal.
        assert!((found[1].seconds_per_gb - (0.05 + 0.1 + 0.3 + 0.15 + 6.0 + 0.1) / 2.0).abs() < 1e-9 && (found[1].ratio - 0.2).abs() < 1e-9);
        assert!((found[0].bytes_per_second - 10_000.0).abs() < 1e-6);
    }

    #[test]
    fn the_default_cipher_stays_unless_another_is_much_faster() {
        let choose = |aes: f64| choose_cipher(&[(Cipher::XChaCha20Poly1305, 1e9), (Cipher::Aes256Gcm, aes)]);
        assert_eq!(choose(1.2e9), Cipher::XChaCha20Poly1305);
        assert_eq!(choose(5e9), Cipher::Aes256Gcm);
        assert_eq!(choose_cipher(&[]), Cipher::default());
    }

    #[test]
    fn packs_grow_where_each_object_takes_long_and_the_store_is_what_is_waited_for() {
        let line = |per_object, per_byte| Line { seconds_per_object: per_object, seconds_per_byte: per_byte };
        let waiting = prices(0.05, 0.1, 0.3, 0.15, 2.0, 0.2, 20.0);
        assert_eq!(choose_pack_size(&waiting, &line(0.001, 1e-8), MACHINE), 16 << 20);
        assert_eq!(choose_pack_size(&waiting, &line(0.1, 1e-8), MACHINE), 64 << 20);
        assert_eq!(choose_pack_size(&waiting, &line(10.0, 1e-8), MACHINE), 128 << 20);
        assert_eq!(choose_pack_size(&usual(), &line(0.1, 1e-8), MACHINE), 16 << 20, "the processor is what is waited for");
    }

    #[test]
    fn a_line_goes_through_two_points_and_stays_sane() {
        let put = |bytes, milliseconds| PutCost { bytes, elapsed: Duration::from_millis(milliseconds) };
        let line = Line::through(&put(1 << 20, 15), &put(16 << 20, 90));
        assert!((line.seconds_per_object - 0.010).abs() < 1e-9, "{line:?}");
        assert!((line.bytes_per_second(16 << 20) - f64::from(16 << 20) / 0.09).abs() < 1.0);
        for (short, long) in [(90, 15), (0, 0), (15, 15)] {
            let line = Line::through(&put(1 << 20, short), &put(16 << 20, long));
            assert!(line.seconds_per_object >= 0.0 && line.seconds_per_byte > 0.0 && line.bytes_per_second(4 << 20) > 0.0, "{line:?}");
        }
    }
}
