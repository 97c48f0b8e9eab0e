//! Where the time of a backup goes: seconds per stage, added up over all threads.

use super::host::Host;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A stage of a backup, in the order that a byte passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Listing directories, asking for the state of entries, comparing them with the parent's.
    Walk,
    /// Opening and reading files, or the stream.
    Read,
    /// Finding cut points.
    Cut,
    /// Naming chunks and looking the names up.
    Name,
    /// Compressing blocks.
    Compress,
    /// Sealing blocks and closing packs.
    Seal,
    /// Waiting for the store.
    StoreWait,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [Self::Walk, Self::Read, Self::Cut, Self::Name, Self::Compress, Self::Seal, Self::StoreWait];

    /// What it is called in machine-readable output.
    pub fn key(self) -> &'static str {
        if self == Self::StoreWait { "store_wait" } else { self.name() }
    }

    /// What it is called on screens.
    pub fn name(self) -> &'static str {
        match self {
            Self::Walk => "walk",
            Self::Read => "read",
            Self::Cut => "cut",
            Self::Name => "name",
            Self::Compress => "compress",
            Self::Seal => "seal",
            Self::StoreWait => "store wait",
        }
    }
}

/// How long each stage took so far.
#[derive(Debug, Default)]
pub struct Stages {
    nanoseconds: [AtomicU64; Stage::ALL.len()],
}

impl Stages {
    /// Adds to a stage.
    pub fn add(&self, stage: Stage, time: Duration) {
        self.nanoseconds[stage as usize].fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Does `work` and adds what it took to `stage`.
    pub fn time<T>(&self, host: &dyn Host, stage: Stage, work: impl FnOnce() -> T) -> T {
        let started = host.elapsed();
        let done = work();
        self.add(stage, host.elapsed().saturating_sub(started));
        done
    }

    /// Each stage with its time, in order.
    pub fn totals(&self) -> [(Stage, Duration); Stage::ALL.len()] {
        Stage::ALL.map(|stage| (stage, Duration::from_nanos(self.nanoseconds[stage as usize].load(Ordering::Relaxed))))
    }
}
