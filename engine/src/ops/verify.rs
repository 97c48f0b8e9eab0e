//! The story of a verification: every control object, every writer's chain of snapshots, every tree and chunk that a snapshot needs, every pack that
//! these lie in; with `read_data` every byte.
//!
//! Memory follows the number of trees (about 50 bytes each, since each is visited once) and of packs, not the number of chunks.

mod control;
mod ground;
mod packs;
mod report;
mod touched;
mod trees;

use super::monitor::{Cancel, Monitor};
use crate::format::id::ObjectId;
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::Repository;
use ground::Ground;
pub use report::{Damage, DamageKind, Note, Touched};

/// What decides about a verification.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// Every pack is read whole: its hash, both its ends, every block and the name of every chunk.
    pub read_data: bool,
    /// Only these snapshots and what they need; `None`: all, and all packs.
    pub snapshots: Option<Vec<ObjectId>>,
    /// Threads that wait for the store.
    pub threads: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { read_data: false, snapshots: None, threads: 4 }
    }
}

/// What came of a verification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyOutcome {
    /// Snapshots whose trees were walked.
    pub snapshots: u64,
    /// Tree nodes that were read.
    pub trees: u64,
    /// Packs that were looked at.
    pub packs: u64,
    /// Bytes of packs that were read whole.
    pub bytes_read: u64,
    /// What is wrong. Empty: nothing was found.
    pub damage: Vec<Damage>,
    /// What is worth knowing, and no damage.
    pub notes: Vec<Note>,
}

/// How often a verification begins again because a prune deleted packs under it.
const TRIES_MAX: u32 = 3;

/// Verifies a repository. Damage is an outcome; an `Err` says that it could not be looked for: the store failed, or somebody asked to stop.
pub fn verify(repository: &Repository, options: &VerifyOptions, monitor: &dyn Monitor, cancel: &Cancel) -> Result<VerifyOutcome> {
    for _ in 1..TRIES_MAX {
        let (outcome, was_pruned) = verify_once(repository, options, monitor, cancel)?;
        if outcome.damage.is_empty() || !was_pruned {
            return Ok(outcome);
        }
        monitor.note("packs were pruned meanwhile: looking again");
        repository.lookup.refresh();
    }
    Ok(verify_once(repository, options, monitor, cancel)?.0)
}

/// What is found, and whether there are other packs by now than in the beginning.
fn verify_once(repository: &Repository, options: &VerifyOptions, monitor: &dyn Monitor, cancel: &Cancel) -> Result<(VerifyOutcome, bool)> {
    let report = report::Report::default();
    let mut snapshots = control::check(repository, &report, cancel)?;
    if let Some(wanted) = &options.snapshots {
        if let Some(missing) = wanted.iter().find(|id| snapshots.iter().all(|stored| stored.id != **id)) {
            return Err(RepositoryError::NoSnapshot(missing.short()));
        }
        snapshots.retain(|stored| wanted.contains(&stored.id));
    }
    // Packs are listed after the snapshots: whatever a snapshot needs was put before it.
    let ground = Ground::list(repository, options.threads, &report, monitor, cancel)?;
    let mut forest = trees::Forest::new(&ground);
    for stored in &snapshots {
        forest.walk(stored.snapshot.root)?;
    }
    let trees = forest.finish()?;
    ground.look_at_index(options.snapshots.is_none())?;
    let bytes_read = if options.read_data { packs::read(&ground, options.snapshots.is_some())? } else { 0 };
    if report.has_lost() {
        touched::find(&ground, &snapshots)?;
    }
    for (name, remedy) in repository.loader.mended() {
        if !report.blames(&name) {
            report.blame(DamageKind::Pack, &name, &"it is damaged");
        }
        report.remedy(&name, remedy);
    }
    let packs = if options.read_data && options.snapshots.is_none() { ground.present.len() } else { ground.relied().len() };
    let was_pruned = report.has_damage() && ground.has_changed()?;
    let (damage, notes) = report.finish();
    Ok((VerifyOutcome { snapshots: snapshots.len() as u64, trees, packs: packs as u64, bytes_read, damage, notes }, was_pruned))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
