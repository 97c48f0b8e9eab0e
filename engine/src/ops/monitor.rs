//! Whom an operation tells: counts, errors that do not stop it, and what became of each entry.

use super::alarm::Alarm;
use crate::format::id::ObjectId;
use std::sync::atomic::{AtomicBool, Ordering};

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Not in the parent snapshot.
    New,
    /// In the parent, but different.
    Changed,
    /// As in the parent.
    Unchanged,
    /// Left out on purpose.
    Skipped,
    /// Written by a restore.
    Restored,
    /// Was right already at the destination.
    Kept,
    /// Removed at the destination, or to be removed in a dry run.
    Removed,
}

/// Progress counters; all are totals since the start. 0 for what is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries that are not directories and are done.
    pub files_done: u64,
    /// Entries known of so far.
    pub files_total: u64,
    /// Bytes of contents done.
    pub bytes_done: u64,
    /// Bytes of contents known of so far.
    pub bytes_total: u64,
    /// The totals are final.
    pub total_known: bool,
}

/// Whom an operation tells. Calls come from several threads. It never steers: that is [`Cancel`]'s.
pub trait Monitor: Send + Sync {
    /// The counters moved. Called often; draw seldom.
    fn progress(&self, _progress: &Progress) {}

    /// Whether [`Monitor::entry`] would do anything now: a path is not put together for nobody.
    fn wants_entries(&self) -> bool {
        true
    }

    /// One entry is done; `path` raw bytes.
    fn entry(&self, _path: &[u8], _fate: Fate, _size_bytes: u64) {}

    /// Something went wrong with one object, and the operation goes on.
    fn problem(&self, _path: &[u8], _what: &str) {}

    /// An entry of a snapshot cannot be restored whole; of a directory, some or all of what is in it. For whoever wants to know of each.
    fn affected(&self, _snapshot: ObjectId, _path: &[u8], _is_directory: bool) {}

    /// Something worth knowing that is no error.
    fn note(&self, _text: &str) {}

    /// Something that a person should look at today.
    fn alarm(&self, _alarm: &Alarm) {}
}

/// For whoever does not care.
pub struct Quiet;

impl Monitor for Quiet {
    fn wants_entries(&self) -> bool {
        false
    }
}

/// A flag that asks an operation to end soon; set from a signal handler or another thread.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Asks.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
