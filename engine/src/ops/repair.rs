//! The story of a repair: a repository that lost objects becomes whole again as far as its packs go, and what is lost for good is marked.
//!
//! In this order, each step resting on those before: folders and configuration, index, lost snapshots, damaged snapshots, damaged packs. Nothing is deleted
//! before what takes its place is durable; packs go by a sweep, like all packs.

mod index;
mod mend;
mod records;
mod roots;

use super::monitor::{Cancel, Monitor};
use super::prune::{Damaged, PruneOptions, prune};
use crate::format::compress::Compression;
use crate::format::id::ObjectId;
use crate::format::layout::ObjectKind;
use crate::format::node::Time;
use crate::format::snapshot::{Snapshot, Status, Summary};
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::{Repository, StoredSnapshot};
use crate::store::session::Session;
use index::Survey;
use mend::{Mended, Mender};
use roots::LostRoot;
use std::collections::HashSet;

/// The tag of snapshots that were found again by their trees.
pub const RECOVERED_TAG: &str = "recovered";

/// What decides about a repair.
#[derive(Clone, Debug)]
pub struct RepairOptions {
    /// The host this program runs on.
    pub writer: String,
    /// The host that recovered snapshots are said to be of: which it was is lost with their records.
    pub host: String,
    /// Read every block, to find those that are damaged; otherwise only what is missing, and tables, are looked at.
    pub read_data: bool,
    /// Trees that no snapshot needs become snapshots even if no snapshot seems to be missing.
    pub orphans: bool,
    /// Look, and change nothing.
    pub dry_run: bool,
    /// Packs that are read at the same time.
    pub threads: usize,
    /// Program and version, for the record.
    pub program: String,
}

/// A snapshot that became another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MendedSnapshot {
    /// The damaged one.
    pub old: ObjectId,
    /// The one in its place; nothing in a dry run, or if nothing of it is left.
    pub new: Option<ObjectId>,
    /// Files that lost contents, and directories that lost entries: they are marked.
    pub marked: u64,
    /// Nothing of it is left: it was forgotten.
    pub is_gone: bool,
}

/// A snapshot that was found by its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredSnapshot {
    /// The snapshot; nothing in a dry run.
    pub id: Option<ObjectId>,
    /// The newest change it knows: about when it was made.
    pub time: Time,
    /// What was backed up, as far as the tree tells.
    pub paths: Vec<Vec<u8>>,
    /// Its entries.
    pub entries: u64,
    /// Those of them that lost something, and are marked.
    pub marked: u64,
}

/// What came of a repair; of a dry run, what would.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairOutcome {
    /// A configuration was put, since none opened.
    pub config: bool,
    /// The index was made anew, and of how many packs it speaks.
    pub index: Option<u64>,
    /// Snapshots whose records were missing or damaged.
    pub recovered: Vec<RecoveredSnapshot>,
    /// Snapshots that need something lost.
    pub mended: Vec<MendedSnapshot>,
    /// Packs that hold damage, and those of them that are gone now.
    pub packs_damaged: u64,
    /// Those of them that were deleted, after what is good in them was moved.
    pub packs_deleted: u64,
    /// Damaged records, and confirmations of nothing, that were deleted.
    pub records_deleted: u64,
}

impl RepairOutcome {
    /// Whether there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something is lost for good.
    pub fn has_losses(&self) -> bool {
        !self.mended.is_empty() || self.recovered.iter().any(|found| found.marked > 0)
    }
}

/// Makes the index anew from the packs' own tables. Returns how many packs it speaks of.
pub fn repair_index(repository: &Repository, threads: usize, monitor: &dyn Monitor, cancel: &Cancel) -> Result<u64> {
    repository.check_writable()?;
    index::rebuild(repository, &Survey::tables(repository, threads, monitor, cancel)?)
}

/// How often a repair begins again because a prune moved what it looks at.
const TRIES_MAX: u32 = 5;

/// Repairs a repository.
///
/// # Errors
/// Store errors, [`RepositoryError::Cancelled`], a repository that may not be written, [`RepositoryError::Invalid`] where prunes keep moving what it looks at.
/// Whatever ends a repair, the next one goes on.
pub fn repair(repository: &mut Repository, options: &RepairOptions, monitor: &dyn Monitor, cancel: &Cancel) -> Result<RepairOutcome> {
    repository.require_contents()?;
    let mut outcome = RepairOutcome::default();
    for _ in 0..TRIES_MAX {
        match repair_once(repository, options, &mut outcome, monitor, cancel) {
            // What was there when the packs were looked at lies elsewhere now: it is not lost.
            Err(RepositoryError::Swept(_)) => {
                monitor.note("packs were pruned meanwhile: looking again");
                repository.lookup.refresh();
            }
            done => return done.map(|()| outcome),
        }
    }
    Err(RepositoryError::Invalid("other programs keep pruning what this repair looks at; try again when none runs".to_owned()))
}

/// One look at everything, and what follows from it.
///
/// # Errors
/// [`RepositoryError::Swept`] before anything is marked or given up, if packs that were there went meanwhile.
fn repair_once(repository: &mut Repository, options: &RepairOptions, outcome: &mut RepairOutcome, monitor: &dyn Monitor, cancel: &Cancel) -> Result<()> {
    if !options.dry_run {
        repository.store.make_folders()?;
    }
    outcome.config |= repository.put_missing_config(options.dry_run)?;
    let repository = &*repository;
    if !options.dry_run {
        repository.check_writable()?;
    }
    // Packs are looked at after the snapshots: what one that is listed here needs was put before it. Else a backup that ends meanwhile would seem to lack its packs.
    let snapshots = repository.snapshots()?;
    let mut survey = Survey::tables(repository, options.threads, monitor, cancel)?;
    if !index::is_right(repository, &survey)? {
        outcome.index = Some(if options.dry_run { survey.packs.len() as u64 } else { index::rebuild(repository, &survey)? });
    }
    if options.read_data {
        survey.read(repository, options.threads, monitor, cancel)?;
    }
    outcome.packs_damaged = survey.damaged().len() as u64;

    let mut session =
        if options.dry_run { Session::begin_dry(repository, &options.writer)? } else { Session::begin(repository, &options.writer, Compression::default())? };
    // A tree that is written anew shall not be taken for stored because its damaged copy is there.
    session.refuse(survey.damaged());
    let session = session;
    let lost_records = records::lost(repository, &snapshots)?;
    let roots = if options.orphans || lost_records.are_there() || snapshots.snapshots.is_empty() {
        roots::find(repository, &survey, &snapshots.snapshots, monitor, cancel)?
    } else {
        Vec::new()
    };
    // Whoever lost nothing need not walk everything.
    if outcome.index.is_some() || outcome.packs_damaged > 0 || !roots.is_empty() {
        let mut mender = Mender::new(repository, &session, &survey, cancel);
        let putting = Putting { repository, survey: &survey, options, cancel };
        for root in roots {
            outcome.recovered.extend(putting.recover(&mut mender, root)?);
        }
        // Unconfirmed ones were never promised, and stop nobody.
        for stored in snapshots.snapshots.iter().filter(|stored| stored.confirmed && !stored.forgotten) {
            outcome.mended.extend(putting.mend(&mut mender, stored)?);
        }
    }
    outcome.records_deleted = lost_records.settle(repository, &snapshots.snapshots, options.dry_run)?;
    if !options.dry_run {
        session.finish()?;
        outcome.packs_deleted = sweep_damaged(repository, &survey, options, monitor, cancel)?;
    }
    Ok(())
}

/// How snapshots are put.
struct Putting<'a> {
    repository: &'a Repository,
    survey: &'a Survey,
    options: &'a RepairOptions,
    cancel: &'a Cancel,
}

impl Putting<'_> {
    /// Refuses to call anything lost if packs went since they were looked at: whoever deleted them moved what was needed first.
    fn nothing_was_moved(&self) -> Result<()> {
        let there: HashSet<ObjectId> = self.repository.packs_in_store()?.into_iter().map(|pack| pack.id).collect();
        match self.survey.listed.iter().filter(|id| !there.contains(id)).count() {
            0 => Ok(()),
            gone => Err(RepositoryError::Swept(gone)),
        }
    }

    /// Puts a snapshot whose trees `mender` stored, or that were there; all it needs is looked at.
    fn put(&self, mender: &Mender<'_>, mut snapshot: Snapshot) -> Result<ObjectId> {
        mender.session.finish()?;
        let session = Session::begin(self.repository, &self.options.writer, Compression::default())?;
        session.rely_on_tree(snapshot.root, &|| self.cancel.is_cancelled())?;
        (snapshot.sequence, snapshot.predecessor) = session.chain()?;
        session.writer().clone_into(&mut snapshot.writer);
        session.finish()?;
        let committed = session.commit(&snapshot, None)?;
        committed.unconfirmed.map_or(Ok(committed.id), Err)
    }

    fn mend(&self, mender: &mut Mender<'_>, stored: &StoredSnapshot) -> Result<Option<MendedSnapshot>> {
        let mended = |new, marked, is_gone| Some(MendedSnapshot { old: stored.id, new, marked, is_gone });
        let whole = mender.mend(stored.snapshot.root)?;
        if !matches!(whole, Mended::Whole) {
            self.nothing_was_moved()?;
        }
        Ok(match whole {
            Mended::Whole => None,
            Mended::Gone if self.options.dry_run => mended(None, 1, true),
            Mended::Gone => {
                super::forget::forget(self.repository, &[stored])?;
                mended(None, 1, true)
            }
            Mended::Marked { marked, .. } if self.options.dry_run => mended(None, marked, false),
            Mended::Marked { root, marked } => {
                let old = &stored.snapshot;
                let original = Some(old.original.unwrap_or(stored.id));
                let new =
                    self.put(mender, Snapshot { root, original, status: Status::Incomplete, missing: old.missing.saturating_add(marked), ..old.clone() })?;
                super::forget::replace(self.repository, &[stored], Some(new))?;
                mended(Some(new), marked, false)
            }
        })
    }

    fn recover(&self, mender: &mut Mender<'_>, root: LostRoot) -> Result<Option<RecoveredSnapshot>> {
        let (tree, marked) = match mender.mend(root.id)? {
            Mended::Whole => (root.id, 0),
            Mended::Marked { root, marked } => {
                self.nothing_was_moved()?;
                (root, marked)
            }
            Mended::Gone => return Ok(None),
        };
        let snapshot = Snapshot {
            begun: root.time,
            ended: self.repository.host.now(),
            host: self.options.host.clone(),
            user: String::new(),
            source: None,
            paths: root.paths.clone(),
            tags: vec![RECOVERED_TAG.to_owned()],
            root: tree,
            parent: None,
            writer: self.options.writer.clone(),
            sequence: 1,
            predecessor: None,
            original: None,
            summary: Summary { entries: root.entries, content_bytes: root.content_bytes, ..Summary::default() },
            status: if marked > 0 { Status::Incomplete } else { Status::Complete },
            missing: marked,
            program: self.options.program.clone(),
            pinned: None,
        };
        let id = if self.options.dry_run { None } else { Some(self.put(mender, snapshot)?) };
        Ok(Some(RecoveredSnapshot { id, time: root.time, paths: root.paths, entries: root.entries, marked }))
    }
}

/// Moves what is good out of damaged packs and deletes them, so that nobody takes what is lost for stored. Returns how many went.
fn sweep_damaged(repository: &Repository, survey: &Survey, options: &RepairOptions, monitor: &dyn Monitor, cancel: &Cancel) -> Result<u64> {
    let packs = survey.damaged();
    if packs.is_empty() {
        return Ok(0);
    }
    repository.lookup.refresh();
    let pruning = PruneOptions {
        unused_percent_max: 100.0,
        damaged: Damaged { packs: packs.clone(), blocks: survey.bad.clone() },
        threads: options.threads,
        host: options.writer.clone(),
        ..PruneOptions::default()
    };
    prune(repository, &pruning, monitor, cancel)?;
    let kinds = [ObjectKind::DataPack, ObjectKind::MetaPack];
    let mut left = 0;
    for kind in kinds {
        left += repository.store.list(kind)?.iter().filter(|(id, _)| packs.contains(id)).count();
    }
    Ok((packs.len() - left) as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
