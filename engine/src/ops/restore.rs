//! The story of a restore: walk the snapshot, make directories, gather files into batches, bring their contents back in the order packs hold
//! them, and give everything its metadata when nothing below it will change any more.
//!
//! Memory: three batches ([`RestoreOptions::memory_bytes`] with their chunk references): one is restored, one prepared, one gathered; one run of
//! blocks and one opened block for each thread; what the directories on the way to the current entry need; and about a hundred bytes for each group
//! of hard links.

mod batch;
mod dir;
mod fetch;
mod job;
mod plan;
mod tell;
mod walker;

use super::browse::Place;
use super::monitor::{Cancel, Monitor};
use super::target::{Loss, TargetDir};
use crate::store::error::Result;
use crate::store::repository::Repository;
use std::sync::Arc;
use tell::Shared;

/// What happens to a file that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// It is compared with the snapshot, and what differs is written.
    #[default]
    Always,
    /// It is kept if its size and mtime are the snapshot's, else as with [`Overwrite::Always`].
    IfChanged,
    /// It is kept unless the snapshot's mtime is newer.
    IfNewer,
    /// It is kept.
    Never,
}

/// What decides about a restore.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// What happens to what is there already.
    pub overwrite: Overwrite,
    /// Entries of the destination that the snapshot does not have are removed from directories that are selected, once all else of these
    /// stands. It also allows a directory with entries to give way to something that is no directory.
    pub delete: bool,
    /// What was backed up, as the snapshot says. Nothing is removed from directories above these, since nobody asked then what lies beside.
    /// Empty: everything.
    pub sources: Vec<Vec<u8>>,
    /// Nothing is changed; what would happen is told. A file whose size and mtime are right counts as kept.
    pub dry_run: bool,
    /// Holes become holes; else zeros are written.
    pub sparse: bool,
    /// Every file is read back and compared when it is written.
    pub verify: bool,
    /// Bytes that a batch of files may take, without contents; there are three.
    pub memory_bytes: usize,
    /// Threads that read, open and write; each holds a run of blocks (1 MiB) and an opened block.
    pub threads: usize,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Self {
            overwrite: Overwrite::Always,
            delete: false,
            sources: Vec::new(),
            dry_run: false,
            sparse: true,
            verify: false,
            memory_bytes: 6 << 20,
            threads: (cores + 1).clamp(3, 8),
        }
    }
}

/// Whether an entry is to be restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It is. What lies in a directory is asked for one by one all the same.
    Yes,
    /// Neither it nor anything below it.
    No,
    /// Not itself, but perhaps something below it. For anything but directories the same as [`Wanted::No`].
    Descend,
}

/// What of a snapshot is to be restored.
pub trait Select: Sync {
    /// Whether the entry at `path` is; the path is that in the snapshot, raw bytes, like `/home/me/x`.
    fn wants(&self, path: &[u8], is_dir: bool) -> Wanted;
}

/// All of it.
pub struct Everything;

impl Select for Everything {
    fn wants(&self, _path: &[u8], _is_dir: bool) -> Wanted {
        Wanted::Yes
    }
}

/// What came of a restore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreOutcome {
    /// Entries that are no directories and were made or corrected.
    pub files_restored: u64,
    /// Entries that are no directories and were right already, or were to be kept.
    pub files_kept: u64,
    /// Directories.
    pub dirs: u64,
    /// Bytes of contents written.
    pub bytes_written: u64,
    /// Bytes of contents of all files that were selected.
    pub bytes_total: u64,
    /// Entries removed, a directory with all in it counted once.
    pub removed: u64,
    /// What the destination could not keep, path and loss; the first thousand.
    pub losses: Vec<(Vec<u8>, Loss)>,
    /// How many there were.
    pub losses_total: u64,
    /// What failed; each was told to the monitor. A file that failed is not left behind half written if it was not there before.
    pub problems: u64,
}

/// Restores `start`: a directory's entries into `target`, anything else as an entry of `target`. The metadata of a directory that `start` is go to
/// `target` itself, unless it is the snapshot's root, which has none.
///
/// Damage of the repository costs the files it touches, each told as a problem, and the restore goes on. An `Err` is an end before that: the store
/// failed, or somebody asked to stop; files under way are then removed, directories stay with mode 0700.
pub fn restore(
    repository: &Repository,
    start: &Place,
    target: &Arc<dyn TargetDir>,
    options: &RestoreOptions,
    select: &dyn Select,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<RestoreOutcome> {
    repository.require_contents()?;
    let shared = Shared::new(repository, options, select, monitor, cancel);
    walker::run(&shared, start, target)?;
    shared.progress(true);
    Ok(shared.outcome())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
