//! The event of `bench`.

use serde::Serialize;

/// What the stages of a backup cost, and what follows.
#[derive(Debug, Serialize)]
pub struct Bench {
    pub paths: Vec<String>,
    pub store: String,
    pub cores: u64,
    pub read_concurrency: u64,
    pub entries: u64,
    pub walked_bytes: u64,
    pub walk_cut_short: bool,
    pub unreadable: u64,
    pub sample_bytes: u64,
    pub unique_bytes: u64,
    pub compressed_bytes: u64,
    pub read_from_memory: bool,
    pub stages: Vec<BenchStage>,
    pub bottleneck: BenchBottleneck,
    pub levels: Vec<BenchLevel>,
    pub ciphers: Vec<BenchCipher>,
    pub pack_sizes: Vec<BenchPackSize>,
    pub recommended: BenchRecommended,
}

/// One stage.
#[derive(Debug, Serialize)]
pub struct BenchStage {
    pub stage: &'static str,
    pub bytes: u64,
    pub mb_per_second: f64,
    pub seconds_per_gb: f64,
    pub share: f64,
}

/// What holds a backup up.
#[derive(Debug, Serialize)]
pub struct BenchBottleneck {
    pub limit: &'static str,
    pub stage: &'static str,
    pub seconds_per_gb: f64,
}

/// One level of compression.
#[derive(Debug, Serialize)]
pub struct BenchLevel {
    pub level: i32,
    pub mb_per_second: f64,
    pub ratio: f64,
    pub seconds_per_gb: f64,
}

/// One cipher.
#[derive(Debug, Serialize)]
pub struct BenchCipher {
    pub cipher: &'static str,
    pub mb_per_second: f64,
}

/// One size of packs.
#[derive(Debug, Serialize)]
pub struct BenchPackSize {
    pub pack_size: u64,
    pub mb_per_second: f64,
}

/// What to use.
#[derive(Debug, Serialize)]
pub struct BenchRecommended {
    pub compression: String,
    pub cipher: &'static str,
    pub pack_size: u64,
}
