//! The story of a prune: mark what snapshots need, plan, move what is still needed out of packs that go, sweep them by the rules.

mod doubt;
mod ground;
mod mark;
pub mod plan;
mod reblock;
mod refs;
mod repack;
mod segments;
mod sweep;
mod usage;

use super::monitor::{Cancel, Monitor};
use crate::format::id::{ObjectId, hex};
use crate::format::index::IndexedPack;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::store::error::{RepositoryError, Result};
use crate::store::load::BadBlocks;
use crate::store::repository::{Repository, StoredSnapshot};
use crate::store::reserve::RESERVE_BYTES;
use crate::store::sweeps;
use ground::{Bits, Ground};
use mark::{Marks, Walk};
use plan::{Limits, Plan, Use};
use reblock::FreshKeys;
pub(super) use segments::put as put_segments;
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

/// What is known to be damaged: it goes, and what is good in it is moved.
#[derive(Clone, Debug, Default)]
pub struct Damaged {
    /// Packs. What is in one whose table cannot be read is lost.
    pub packs: HashSet<ObjectId>,
    /// Blocks of them that do not open.
    pub blocks: BadBlocks,
}

/// What decides about a prune.
#[derive(Clone, Debug)]
pub struct PruneOptions {
    /// Of all bytes in packs, so many in a hundred may stay unused.
    pub unused_percent_max: f64,
    /// So many bytes may be moved.
    pub repack_bytes_max: u64,
    /// After this time no further round of moving begins.
    pub time_max: Option<Duration>,
    /// Packs of runs that have not ended are left alone until they are this old, by the store's own clock; likewise what killed puts left.
    pub grace: Duration,
    /// Snapshots that count as gone: what a dry run of forgetting would take away.
    pub gone: Vec<ObjectId>,
    /// What is damaged.
    pub damaged: Damaged,
    /// Plan, and change nothing.
    pub dry_run: bool,
    /// How many packs are read or written at the same time.
    pub threads: usize,
    /// The host this program runs on, for the records.
    pub host: String,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            unused_percent_max: 10.0,
            repack_bytes_max: u64::MAX,
            time_max: None,
            grace: Duration::from_hours(24),
            gone: Vec::new(),
            damaged: Damaged::default(),
            dry_run: false,
            threads: std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4),
            host: String::new(),
        }
    }
}

/// What came of a prune.
#[derive(Debug, Default)]
pub struct PruneOutcome {
    /// What was planned; in a dry run all there is.
    pub plan: Plan,
    /// Packs before.
    pub packs: u64,
    /// Packs that were (in a dry run: would be) deleted, and their bytes.
    pub deleted: (u64, u64),
    /// New packs, and their bytes; in a dry run the bytes that would be moved.
    pub put: (u64, u64),
    /// Packs that were to be deleted and stayed, since a snapshot came up that needs them.
    pub spared: u64,
    /// Bytes of leftovers of killed puts.
    pub temporary_bytes: u64,
    /// Packs that belong to runs that may go on.
    pub running: u64,
    /// Blocks of trees that were read from the store, and those that the cache knew.
    pub trees: (u64, u64),
    /// Chunks of contents that snapshots need and that are in no pack: damage, found in passing.
    pub lost: u64,
    /// The time was up, and not all was done.
    pub out_of_time: bool,
    /// The store had no room for all that was to be moved, and not all was done.
    pub out_of_room: bool,
}

/// What a prune works on.
struct Prune<'a> {
    repository: &'a Repository,
    options: &'a PruneOptions,
    monitor: &'a dyn Monitor,
    cancel: &'a Cancel,
    ground: Ground,
    marks: Marks,
    /// The copies of chunks that are to be kept.
    needed: Bits,
    /// Packs that a killed run left and that are not what their names say.
    doubtful: BTreeSet<ObjectId>,
    keys: FreshKeys,
    uses: Vec<Use>,
    outcome: PruneOutcome,
    /// The store is full: what frees most at the price of least comes first.
    is_tight: bool,
}

/// The snapshots that are roots: all that are listed. One that cannot be read is passed over only if it was never confirmed.
fn roots(repository: &Repository, monitor: &dyn Monitor) -> Result<Vec<StoredSnapshot>> {
    let list = repository.snapshots()?;
    for (id, error) in list.damaged {
        if repository.store.stat(&ObjectName::new(ObjectKind::Snapshot, id))?.is_none() {
            continue;
        }
        let mut confirmed = false;
        for name in repository.keys.confirmation_names(id, 0) {
            confirmed |= repository.store.stat(&ObjectName::new(ObjectKind::Confirmation, name))?.is_some();
        }
        if confirmed || !error.is_damage() {
            // Nobody can say what it needs.
            return Err(error);
        }
        monitor.note(&format!("snapshot {} cannot be read, and was never confirmed: passed over", id.short()));
    }
    Ok(list.snapshots)
}

/// How often a prune begins again because others changed what it looks at.
const TRIES_MAX: u32 = 5;

/// Frees the space that no snapshot needs.
///
/// # Errors
/// [`RepositoryError::MissingChunk`] for a tree that is missing below a confirmed snapshot, any error of a confirmed snapshot that cannot be read:
/// what they need cannot be known, so nothing is deleted. [`RepositoryError::NoDeletion`], before anything is moved. Store errors; [`RepositoryError::Cancelled`]. Whatever ends a prune, the next one goes on.
///
/// A full store ends it only if nothing could be deleted: the packs of no use go first then, and what was set aside makes room for the record of it.
pub fn prune(repository: &Repository, options: &PruneOptions, monitor: &dyn Monitor, cancel: &Cancel) -> Result<PruneOutcome> {
    repository.require_trees()?;
    if !options.dry_run {
        repository.check_writable()?;
    }
    let started = repository.host.elapsed();
    let mut tries = 1;
    let mut is_tight = false;
    let outcome = loop {
        let mut listed = Vec::new();
        match prune_once(repository, options, monitor, cancel, started, is_tight, &mut listed) {
            Err(error) if error.is_full() && !is_tight => {
                is_tight = true;
                repository.store.use_reserve()?;
                monitor.note("the store is full: what no snapshot needs is deleted before anything is moved");
                repository.lookup.refresh();
            }
            // Others sweep too: what was listed is gone, or lies elsewhere by now. Only what is missing in a store that stands still is missing.
            // Where no pack was listed yet, a snapshot is damaged.
            Err(error) if error.is_damage() && !listed.is_empty() && has_changed(repository, &listed)? => {
                if tries == TRIES_MAX {
                    let what = format!("other prunes keep moving what this one looks at, {error} the last time; try again when fewer of them run");
                    return Err(RepositoryError::Invalid(what));
                }
                tries += 1;
                repository.lookup.refresh();
            }
            other => break other,
        }
    };
    if !options.dry_run {
        keep_reserve(repository, monitor);
    }
    outcome
}

/// Sets room aside for the next prune on a full store: for the record of all packs, and for the largest index segment. Best effort.
fn keep_reserve(repository: &Repository, monitor: &dyn Monitor) {
    let segments = repository.store.list(ObjectKind::Index).unwrap_or_default();
    let packs = repository.packs_in_store().unwrap_or_default().len() as u64;
    let bytes = segments.iter().map(|(_, length)| *length).max().unwrap_or_default() + packs * 64;
    if let Err(error) = repository.store.keep_reserve(bytes.max(RESERVE_BYTES)) {
        monitor.note(&format!("no room could be set aside for a prune on a full store: {error}"));
    }
}

fn has_changed(repository: &Repository, packs: &[IndexedPack]) -> Result<bool> {
    let names = |packs: &[IndexedPack]| packs.iter().map(|pack| pack.id).collect::<BTreeSet<ObjectId>>();
    Ok(names(packs) != names(&repository.packs_in_store()?))
}

fn prune_once(
    repository: &Repository,
    options: &PruneOptions,
    monitor: &dyn Monitor,
    cancel: &Cancel,
    started: Duration,
    is_tight: bool,
    listed: &mut Vec<IndexedPack>,
) -> Result<PruneOutcome> {
    let left = repository.sweeps()?;
    if !options.dry_run {
        // Records of sweeps that are over say nothing more: the sweep's goes first, since without its end it would seem to go on. Advice of others is dropped.
        let names = left.over.iter().chain(left.condemned.iter().map(|(id, _)| id)).chain(&left.ends);
        names.copied().try_for_each(|id| repository.delete(&ObjectName::new(ObjectKind::Sweep, id)))?;
    }
    let swept: BTreeSet<ObjectId> = left.active.iter().flat_map(|(_, victims)| sweeps::packs(victims)).collect();

    let mut snapshots = roots(repository, monitor)?;
    let ended: Vec<[u8; 16]> = snapshots.iter().filter_map(|stored| stored.session).collect();
    snapshots.retain(|stored| !options.gone.contains(&stored.id));
    let mut ground = Ground::default();
    *listed = repository.packs_in_store()?;
    ground.add(repository, listed, options.threads)?;
    ground.take_unreadable(&options.damaged.packs);
    for (pack, error) in &ground.unreadable {
        monitor.problem(crate::store::load::pack_name(pack.kind, pack.id).path().as_bytes(), &error.to_string());
    }
    let mut marks = Marks::default();
    marks.walk(&Walk { repository, ground: &ground, cancel }, &snapshots)?;
    if let Some(lost) = marks.first_lost.filter(|_| has_changed(repository, listed).unwrap_or(true)) {
        return Err(RepositoryError::MissingChunk(hex(&lost[..8])));
    }
    let doubtful = doubt::doubtful(repository, &ground, &marks.live, &doubt::ended(repository, &ended)?, options.threads)?;
    for pack in &doubtful {
        monitor.note(&format!("pack {}, which an interrupted run left, is damaged: it counts only where there is no other copy", pack.short()));
    }
    let needed = usage::choose_copies(&marks, &ground, repository, &swept, &doubt::with_doubtful(&options.damaged, &doubtful, &ground))?;
    // What is damaged has no future, like what another sweeps.
    let doomed = swept.iter().chain(&options.damaged.packs).copied().collect();
    let mut uses = usage::uses(repository, &ground, &marks, &needed, &doomed, options.threads)?;
    usage::spare_running(repository, &ground, &mut uses, &ended, options.grace.as_secs())?;
    let limits = Limits {
        unused_percent_max: options.unused_percent_max,
        repack_bytes_max: options.repack_bytes_max,
        round_bytes_max: match (is_tight, options.time_max) {
            (true, _) => 2 * repository.config.pack_size_bytes,
            (false, Some(_)) => 128 << 20,
            (false, None) => 1 << 30,
        },
    };
    let plan = plan::plan(&uses, &limits);
    let outcome = PruneOutcome {
        packs: ground.packs.len() as u64,
        running: uses.iter().filter(|used| used.stays).count() as u64,
        lost: marks.lost,
        temporary_bytes: repository.store.sweep_temporary(options.grace.as_secs(), options.dry_run)?,
        ..PruneOutcome::default()
    };
    let keys = FreshKeys::new(repository, &options.host);
    let mut prune = Prune { repository, options, monitor, cancel, ground, marks, needed, doubtful, keys, uses, outcome, is_tight };
    if options.dry_run {
        let deleted = plan.dead.len() + plan.rounds.iter().map(Vec::len).sum::<usize>();
        prune.outcome.deleted = (deleted as u64, plan.freed_bytes);
        prune.outcome.put = (prune.new_packs(&plan), plan.moved_bytes);
    } else {
        prune.perform(&plan, left, started)?;
        prune.marks.tidy_cache(repository);
    }
    prune.outcome.trees = prune.marks.read;
    prune.outcome.plan = plan;
    Ok(prune.outcome)
}

/// Above this much to move, what is of no use is deleted before: a full disk gets room.
const SEPARATE_BYTES: u64 = 256 << 20;

impl Prune<'_> {
    fn new_packs(&self, plan: &Plan) -> u64 {
        let kinds = sweep::KINDS;
        let of = |round: &Vec<usize>| {
            kinds.iter().map(|kind| plan::new_packs(&self.uses, round, *kind, sweep::size_of(self.repository, *kind)).len()).sum::<usize>()
        };
        plan.rounds.iter().map(of).sum::<usize>() as u64
    }

    fn perform(&mut self, plan: &Plan, left: sweeps::Sweeps, started: Duration) -> Result<()> {
        sweep::try_to_delete(self.repository)?;
        let mut dead = plan.dead.clone();
        let mut first = Some(left);
        let nothing = Vec::new();
        let mut rounds: Vec<&Vec<usize>> = plan.rounds.iter().collect();
        if rounds.is_empty() || ((self.is_tight || plan.moved_bytes > SEPARATE_BYTES) && !dead.is_empty()) {
            rounds.insert(0, &nothing);
        }
        for (at, round) in rounds.into_iter().enumerate() {
            if at > 0 && self.options.time_max.is_some_and(|most| self.repository.host.elapsed().saturating_sub(started) > most) {
                self.outcome.out_of_time = true;
                break;
            }
            if self.cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            match sweep::sweep(self, &std::mem::take(&mut dead), round, plan.moved_bytes, first.take()) {
                Err(error) if error.is_full() && self.outcome.deleted.0 > 0 => {
                    self.outcome.out_of_room = true;
                    break;
                }
                done => done?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
