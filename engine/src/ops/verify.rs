//! The story of a verification, in levels, each with all that comes before it: the structure (every control object, every writer's chain of snapshots, every
//! tree, the place of every chunk that a snapshot needs, both ends and the table of every pack that these lie in); the tables of all packs; packs
//! read whole, a sample, those longest unproved, or all. Beside these stand a restore to nowhere ([`restored`]) and a comparison with the source ([`against`]).
//!
//! Memory follows the number of trees (about 50 bytes each, since each is visited once) and of packs (about 200 bytes), not the number of chunks.

pub mod affected;
pub mod against;
mod choose;
mod control;
mod ground;
mod nowhere;
mod packs;
mod report;
pub mod restored;
mod sample;
mod touched;
mod trees;

use super::monitor::{Cancel, Monitor};
use crate::format::id::ObjectId;
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::Repository;
use affected::AffectedSource;
pub use choose::{Budget, PackChoice};
use ground::Ground;
pub use packs::{ReadOutcome, Sampled};
pub use report::{Damage, DamageKind, Note, Touched};
pub use sample::Share;
use std::time::Duration;

/// What decides about a verification.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The ends and the table of every pack are looked at, also of those that nothing needs, and the index is held against them.
    pub tables: bool,
    /// Packs are read whole: their hash, both their ends, every block and the name of every chunk. What is good is written into the ledger.
    pub read_data: bool,
    /// Of the packs only this part is read.
    pub choice: Option<PackChoice>,
    /// Only these snapshots and what they need; `None`: all, and all packs.
    pub snapshots: Option<Vec<ObjectId>>,
    /// Threads that wait for the store.
    pub threads: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self { tables: false, read_data: false, choice: None, snapshots: None, threads: 4 }
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
    /// Which packs were read, if any were to be.
    pub read: Option<ReadOutcome>,
    /// What is wrong, by the objects to blame. Empty: nothing was found.
    pub damage: Vec<Damage>,
    /// What that means for files, by source and snapshot.
    pub affected: Vec<AffectedSource>,
    /// What is worth knowing, and no damage.
    pub notes: Vec<Note>,
}

/// How often a verification begins again because a prune deleted packs under it.
const TRIES_MAX: u32 = 3;

/// Verifies a repository. Damage is an outcome; an `Err` says that it could not be looked for: the store failed, or somebody asked to stop.
///
/// # Errors
/// [`RepositoryError::NotAllowed`] for a key whose role does not read what is to be looked at, before anything is: what cannot be opened is not damaged.
pub fn verify(repository: &Repository, options: &VerifyOptions, monitor: &dyn Monitor, cancel: &Cancel) -> Result<VerifyOutcome> {
    repository.require_trees()?;
    if options.read_data {
        repository.require_contents()?;
    }
    let started = repository.host.elapsed();
    for _ in 1..TRIES_MAX {
        if let Some(outcome) = verify_once(repository, options, started, false, monitor, cancel)? {
            return Ok(outcome);
        }
        monitor.note("packs were pruned meanwhile: looking again");
        repository.lookup.refresh();
    }
    Ok(verify_once(repository, options, started, true, monitor, cancel)?.unwrap_or_default())
}

/// What is found; `None` if something is damaged and there are other packs by now than in the beginning, unless that is the `last` try.
fn verify_once(
    repository: &Repository,
    options: &VerifyOptions,
    started: Duration,
    last: bool,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<Option<VerifyOutcome>> {
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
    if options.tables {
        packs::tables(&ground)?;
    }
    let read = if options.read_data { Some(packs::read(&ground, options.choice, options.snapshots.is_some(), started)?) } else { None };
    for (name, remedy) in repository.loader.mended() {
        if !report.blames(&name) {
            report.blame(DamageKind::Pack, &name, &"it is damaged");
        }
        report.remedy(&name, remedy);
    }
    if !last && report.has_damage() && ground.has_changed()? {
        return Ok(None);
    }
    if report.has_lost() {
        touched::find(&ground, &snapshots)?;
    }
    let all = options.tables || (options.read_data && options.snapshots.is_none());
    let packs = if all { ground.present.len() } else { ground.relied().len() };
    let bytes_read = read.map_or(0, |read| read.read.1);
    let (damage, notes, tallies) = report.take();
    packs::doubt(&ground, &damage);
    let affected = affected::group(&snapshots, tallies);
    Ok(Some(VerifyOutcome { snapshots: snapshots.len() as u64, trees, packs: packs as u64, bytes_read, read, damage, affected, notes }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
