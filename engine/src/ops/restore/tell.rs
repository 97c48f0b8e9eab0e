//! What a restore counts and whom it tells; shared by all its threads.

use super::job::Pool;
use super::{RestoreOptions, RestoreOutcome, Select};
use crate::ops::monitor::{Cancel, Fate, Monitor, Progress};
use crate::ops::parallel::lock;
use crate::ops::target::Loss;
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::Repository;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Losses that are remembered one by one; the rest is only counted.
pub const LOSSES_MAX: usize = 1000;

/// Entries between two words about progress.
const PROGRESS_EVERY: u64 = 32;

/// Memory that a thread works in; made once, since the system takes its time to hand it out.
#[derive(Default)]
pub struct Buffers {
    /// Bytes of a pack.
    pub boxed: Vec<u8>,
    /// The contents of a block, or of a chunk.
    pub plain: Vec<u8>,
}

/// Buffers on loan.
pub struct Lent<'a> {
    /// The buffers.
    pub buffers: Buffers,
    pool: &'a Mutex<Vec<Buffers>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        lock(self.pool).push(std::mem::take(&mut self.buffers));
    }
}

#[derive(Default)]
pub struct Counters {
    pub files_restored: AtomicU64,
    pub files_kept: AtomicU64,
    pub files_done: AtomicU64,
    pub files_total: AtomicU64,
    pub dirs: AtomicU64,
    pub bytes_written: AtomicU64,
    pub bytes_done: AtomicU64,
    pub bytes_total: AtomicU64,
    pub removed: AtomicU64,
    pub problems: AtomicU64,
    pub losses: AtomicU64,
}

/// Adds to a counter.
pub fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// What all threads of a restore share.
pub struct Shared<'a> {
    pub repository: &'a Repository,
    pub options: &'a RestoreOptions,
    pub select: &'a dyn Select,
    pub monitor: &'a dyn Monitor,
    pub cancel: &'a Cancel,
    pub counters: Counters,
    pub pool: Pool,
    buffers: Mutex<Vec<Buffers>>,
    losses: Mutex<Vec<(Vec<u8>, Loss)>>,
}

impl<'a> Shared<'a> {
    pub fn new(repository: &'a Repository, options: &'a RestoreOptions, select: &'a dyn Select, monitor: &'a dyn Monitor, cancel: &'a Cancel) -> Self {
        let (counters, pool, buffers, losses) = Default::default();
        Self { repository, options, select, monitor, cancel, counters, pool, buffers, losses }
    }

    /// An error if somebody asked to stop.
    pub fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() { Err(RepositoryError::Cancelled) } else { Ok(()) }
    }

    pub fn problem(&self, path: &[u8], what: &str) {
        add(&self.counters.problems, 1);
        self.monitor.problem(path, what);
    }

    pub fn losses(&self, path: &[u8], losses: Vec<Loss>) {
        if losses.is_empty() {
            return;
        }
        add(&self.counters.losses, losses.len() as u64);
        let mut all = lock(&self.losses);
        let room = LOSSES_MAX.saturating_sub(all.len());
        all.extend(losses.into_iter().take(room).map(|loss| (path.to_vec(), loss)));
    }

    /// An entry that is no directory is done.
    pub fn entry(&self, path: impl FnOnce() -> Vec<u8>, fate: Fate, size: u64) {
        let counter = if fate == Fate::Kept { &self.counters.files_kept } else { &self.counters.files_restored };
        add(counter, 1);
        let done = self.counters.files_done.fetch_add(1, Ordering::Relaxed);
        if self.monitor.wants_entries() {
            self.monitor.entry(&path(), fate, size);
        }
        if done.is_multiple_of(PROGRESS_EVERY) {
            self.progress(false);
        }
    }

    /// Memory to read and open a run of blocks in.
    pub fn buffers(&self) -> Lent<'_> {
        Lent { buffers: lock(&self.buffers).pop().unwrap_or_default(), pool: &self.buffers }
    }

    pub fn progress(&self, total_known: bool) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let c = &self.counters;
        self.monitor.progress(&Progress {
            files_done: load(&c.files_done),
            files_total: load(&c.files_total),
            bytes_done: load(&c.bytes_done),
            bytes_total: load(&c.bytes_total),
            total_known,
        });
    }

    pub fn outcome(self) -> RestoreOutcome {
        let c = self.counters;
        RestoreOutcome {
            files_restored: c.files_restored.into_inner(),
            files_kept: c.files_kept.into_inner(),
            dirs: c.dirs.into_inner(),
            bytes_written: c.bytes_written.into_inner(),
            bytes_total: c.bytes_total.into_inner(),
            removed: c.removed.into_inner(),
            losses: self.losses.into_inner().unwrap_or_else(PoisonError::into_inner),
            losses_total: c.losses.into_inner(),
            problems: c.problems.into_inner(),
        }
    }
}
