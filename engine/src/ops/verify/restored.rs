//! A restore to nowhere: the very code of a restore, into a destination that keeps nothing.
//!
//! The format has no hash over a whole file. What stands for one is the file's list: the name (a keyed hash) and length of each of its chunks, in order, in a
//! tree that is sealed and itself named by its hash. Here every chunk of every file is read from the packs, opened and named anew, and handed over at
//! the place that the list gives it; and every byte of the file, holes among them, is seen to come exactly once, up to the size that the entry states.

use super::affected::{AffectedSource, Tally, group};
use super::nowhere::Nowhere;
use crate::format::id::ObjectId;
use crate::format::node::NodeType;
use crate::ops::browse::{Place, resolve, root_node};
use crate::ops::monitor::{Cancel, Fate, Monitor, Progress};
use crate::ops::parallel::lock;
use crate::ops::restore::{Everything, RestoreOptions, restore};
use crate::ops::target::TargetDir;
use crate::store::error::Result;
use crate::store::repository::{Repository, StoredSnapshot};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What came of restores to nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredOutcome {
    /// Snapshots that were restored.
    pub snapshots: u64,
    /// Entries that are no directories, of all these snapshots, and came back whole.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes of contents of all files, holes among them.
    pub bytes: u64,
    /// What could not be restored; each was told to the monitor, as a problem and as affected.
    pub problems: u64,
    /// The same by source and snapshot.
    pub affected: Vec<AffectedSource>,
}

/// Passes on what one restore tells, its numbers added to those of the restores before it.
struct Watcher<'a> {
    inner: &'a dyn Monitor,
    before: Progress,
    repository: &'a Repository,
    stored: &'a StoredSnapshot,
    tally: Mutex<Tally>,
}

impl Monitor for Watcher<'_> {
    fn progress(&self, progress: &Progress) {
        let before = &self.before;
        self.inner.progress(&Progress {
            files_done: before.files_done + progress.files_done,
            files_total: before.files_total + progress.files_total,
            bytes_done: before.bytes_done + progress.bytes_done,
            bytes_total: before.bytes_total + progress.bytes_total,
            total_known: false,
        });
    }

    fn wants_entries(&self) -> bool {
        false
    }

    fn entry(&self, _path: &[u8], _fate: Fate, _size_bytes: u64) {}

    fn problem(&self, path: &[u8], what: &str) {
        // Only what fails pays for looking it up once more. What cannot even be looked up is an entry of a directory that cannot be read.
        let found = resolve(self.repository, self.stored, path);
        let is_directory = found.is_ok_and(|place| place.node.metadata.node_type == NodeType::Directory);
        if lock(&self.tally).add(path, is_directory) {
            self.inner.affected(self.stored.id, path, is_directory);
        }
        self.inner.problem(path, what);
    }

    fn note(&self, text: &str) {
        self.inner.note(text);
    }
}

/// Restores snapshots to nowhere, one after the other. Damage is an outcome; an `Err` says that the store failed, or somebody asked to stop.
pub fn restore_to_nowhere(repository: &Repository, snapshots: &[StoredSnapshot], monitor: &dyn Monitor, cancel: &Cancel) -> Result<RestoredOutcome> {
    repository.require_contents()?;
    let mut outcome = RestoredOutcome::default();
    let mut tallies: HashMap<ObjectId, Tally> = HashMap::new();
    // Holes come as zeros: each byte of a file is to be seen coming.
    let options = RestoreOptions { sparse: false, ..RestoreOptions::default() };
    for stored in snapshots {
        let files = outcome.files;
        let before = Progress { files_done: files, files_total: files, bytes_done: outcome.bytes, bytes_total: outcome.bytes, total_known: false };
        let watcher = Watcher { inner: monitor, before, repository, stored, tally: Mutex::default() };
        let start = Place { path: b"/".to_vec(), node: root_node(stored.snapshot.root) };
        let target: Arc<dyn TargetDir> = Arc::new(Nowhere::default());
        let restored = restore(repository, &start, &target, &options, &Everything, &watcher, cancel)?;
        if restored.problems > 0 && is_gone(repository, stored)? {
            monitor.note(&format!("snapshot {} was forgotten meanwhile: what could not be restored of it is no damage", stored.id.short()));
            continue;
        }
        outcome.snapshots += 1;
        outcome.files += restored.files_restored;
        outcome.directories += restored.dirs;
        outcome.bytes += restored.bytes_total;
        outcome.problems += restored.problems;
        let tally = watcher.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        if tally != Tally::default() {
            tallies.insert(stored.id, tally);
        }
    }
    outcome.affected = group(snapshots, tallies);
    Ok(outcome)
}

/// Whether a snapshot is no more, so that a prune may have taken what it needs.
fn is_gone(repository: &Repository, stored: &StoredSnapshot) -> Result<bool> {
    let now = repository.snapshots()?.snapshots;
    Ok(now.iter().find(|other| other.id == stored.id).is_none_or(|now| now.forgotten && !stored.forgotten))
}
