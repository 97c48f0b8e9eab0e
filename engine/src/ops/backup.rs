//! The story of a backup: walk, compare with the parent, read what changed, fold into trees, commit.

mod budget;
mod checkpoint;
mod class;
mod compare;
mod fold;
mod lazy;
mod read;
mod walker;

pub use budget::MEMORY_LIMIT_BYTES_MIN;
pub(super) use compare::{is_settled, trusted_begin};

use super::alarm::{ALARM_TAG, Alarm, Replaced, has_alarm, judge};
use super::forget::policy::is_good;
use super::monitor::{Cancel, Monitor};
use super::source::Source;
use crate::format::chunker::ChunkClass;
use crate::format::compress::Compression;
use crate::format::id::{ObjectId, TreeId};
use crate::format::keys::DataNames;
use crate::format::node::Time;
use crate::format::snapshot::{PATHS_MAX, Snapshot, Status, Summary};
use crate::store::error::{RepositoryError, Result};
use crate::store::ledger::Ledger;
use crate::store::repository::{Repository, StoredSnapshot};
use crate::store::session::Session;
use crate::store::stages::Stage;
use budget::Budget;
use checkpoint::Checkpoints;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often the source is read when sweepers keep taking away what the snapshot relies on.
const TRIES_MAX: u32 = 3;

/// Where unchanged entries may be taken from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ParentChoice {
    /// The newest confirmed snapshot of the same source, or of the same host and paths.
    #[default]
    Auto,
    /// Nowhere: everything is read again.
    None,
    /// This snapshot.
    Snapshot(ObjectId),
}

/// What decides about a backup.
#[derive(Clone, Debug)]
pub struct BackupOptions {
    /// The host that is backed up.
    pub host: String,
    /// The host this program runs on.
    pub writer: String,
    /// Who runs it.
    pub user: String,
    /// An explicit name of what is backed up.
    pub source: Option<String>,
    /// Tags of the snapshot.
    pub tags: Vec<String>,
    /// Recorded instead of the time now.
    pub time: Option<Time>,
    /// Where unchanged entries may be taken from.
    pub parent: ParentChoice,
    /// An entry may be unchanged although its inode number is not.
    pub ignore_inode: bool,
    /// An entry may be unchanged although its ctime is not.
    pub ignore_ctime: bool,
    /// Files read at the same time, at least 1.
    pub read_concurrency: usize,
    /// Bytes of memory that the backup may take, [`MEMORY_LIMIT_BYTES_MIN`] at least; `None`: what this machine's cores usually need.
    pub memory_limit_bytes: Option<usize>,
    /// How new data are compressed.
    pub compression: Compression,
    /// How contents are cut; `None`: by kind of source and file.
    pub chunk_class: Option<ChunkClass>,
    /// Read and count, write nothing.
    pub dry_run: bool,
    /// Make no snapshot if it would hold what its parent holds.
    pub skip_if_unchanged: bool,
    /// Count everything first, beside the backup, so that progress has an end.
    pub count_first: bool,
    /// Things asked for that were missing before the walk began; the snapshot counts them as not read.
    pub missing_before: u64,
    /// A snapshot without any contents is an error: an empty stream is a producer that failed.
    pub refuse_empty: bool,
    /// After so long a run puts what it has as a partial snapshot, and again; `None`: never.
    pub checkpoint_every: Option<Duration>,
    /// Program and version, for the record.
    pub program: String,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            writer: "localhost".to_owned(),
            user: String::new(),
            source: None,
            tags: Vec::new(),
            time: None,
            parent: ParentChoice::Auto,
            ignore_inode: false,
            ignore_ctime: false,
            read_concurrency: 2,
            memory_limit_bytes: None,
            compression: Compression::default(),
            chunk_class: None,
            dry_run: false,
            skip_if_unchanged: false,
            count_first: false,
            missing_before: 0,
            refuse_empty: false,
            checkpoint_every: Some(Duration::from_mins(15)),
            program: concat!("vault ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// What came of a backup.
#[derive(Debug)]
pub struct BackupOutcome {
    /// The new snapshot; `None` after a dry run, or if nothing changed and that was to be skipped.
    pub snapshot: Option<ObjectId>,
    /// Why the snapshot could not be confirmed: it exists, but is not acknowledged.
    pub unconfirmed: Option<RepositoryError>,
    /// The parent that was used.
    pub parent: Option<ObjectId>,
    /// What was counted.
    pub summary: Summary,
    /// Entries that could not be read; each was told to the monitor.
    pub missing: u64,
    /// Files that changed while they were read, twice; their bytes may mix two states.
    pub changed_while_read: u64,
    /// Much of the source was replaced by data that does not compress: the monitor was told, and the snapshot has the tag [`ALARM_TAG`].
    pub replaced: Option<Replaced>,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// How long it took.
    pub duration: Duration,
    /// How long each stage took, over all threads: together they may be more than `duration`.
    pub stages: [(Stage, Duration); Stage::ALL.len()],
}

impl BackupOutcome {
    /// Whether something of the source is not in the snapshot as it was.
    pub fn is_incomplete(&self) -> bool {
        self.missing > 0 || self.changed_while_read > 0
    }
}

/// What the threads of a backup share.
struct Shared<'a> {
    session: &'a Session<'a>,
    names: &'a DataNames,
    options: &'a BackupOptions,
    monitor: &'a dyn Monitor,
    cancel: &'a Cancel,
    tally: &'a Tally,
    checkpoints: Checkpoints,
    /// Puts a partial snapshot with this root.
    put_checkpoint: &'a (dyn Fn(TreeId) -> Result<()> + Sync),
    /// The first failure that ends the run.
    failure: Mutex<Option<RepositoryError>>,
    stop: AtomicBool,
}

/// Counters that many threads add to.
#[derive(Default)]
struct Tally {
    counts: Mutex<Counts>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    summary: Summary,
    missing: u64,
    changed_while_read: u64,
    bytes_read: u64,
    /// Files whose contents are others than in the parent.
    rewritten: u64,
    progress: super::monitor::Progress,
}

impl Tally {
    fn add(&self, change: impl FnOnce(&mut Counts)) -> Counts {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut counts);
        *counts
    }
}

impl Shared<'_> {
    fn fail(&self, error: RepositoryError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.stop.load(std::sync::atomic::Ordering::Relaxed) || self.cancel.is_cancelled()
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        let counts = self.tally.add(change);
        self.monitor.progress(&counts.progress);
    }

    /// So many bytes more were read of the source.
    fn count_read(&self, bytes: usize) {
        self.count(|counts| {
            counts.bytes_read += bytes as u64;
            counts.progress.bytes_done += bytes as u64;
        });
    }

    /// An entry that could not be read.
    fn missing(&self, path: &[u8], what: &str) {
        self.tally.add(|counts| counts.missing += 1);
        self.monitor.problem(path, what);
    }
}

fn choose_parent(snapshots: Vec<StoredSnapshot>, options: &BackupOptions, paths: &[Vec<u8>]) -> Result<Option<StoredSnapshot>> {
    let wanted = match options.parent {
        ParentChoice::None => return Ok(None),
        ParentChoice::Auto => None,
        ParentChoice::Snapshot(id) => Some(id),
    };
    if let Some(id) = wanted {
        let found = snapshots.into_iter().find(|stored| stored.id == id);
        return match found {
            Some(stored) if stored.forgotten => Err(RepositoryError::Invalid(format!("snapshot {} was forgotten and cannot be a parent", id.short()))),
            Some(stored) if stored.confirmed => Ok(Some(stored)),
            Some(_) => Err(RepositoryError::Invalid(format!("snapshot {} is not confirmed and cannot be a parent", id.short()))),
            None => Err(RepositoryError::NoSnapshot(id.to_hex())),
        };
    }
    Ok(snapshots.into_iter().rfind(|stored| is_good(stored) && is_of_same_source(&stored.snapshot, options, paths)))
}

fn is_of_same_source(snapshot: &Snapshot, options: &BackupOptions, paths: &[Vec<u8>]) -> bool {
    match (&options.source, &snapshot.source) {
        (Some(wanted), Some(source)) => wanted == source,
        (None, None) => snapshot.host == options.host && snapshot.paths == paths,
        _ => false,
    }
}

/// What earlier backups of the source counted, the newest first.
fn earlier(snapshots: &[StoredSnapshot], options: &BackupOptions, paths: &[Vec<u8>]) -> Vec<Summary> {
    let usual = |stored: &&StoredSnapshot| is_good(stored) && !has_alarm(stored) && is_of_same_source(&stored.snapshot, options, paths);
    snapshots.iter().rev().filter(usual).map(|stored| stored.snapshot.summary).collect()
}

/// Backs up a source.
///
/// # Errors
/// Whatever ends the run: the store, a repository that may not be written, [`RepositoryError::Cancelled`]. Entries that cannot
/// be read do not end it: they are told to the monitor and counted in the outcome. What was stored before an error stays and
/// is found again by the next run.
pub fn backup(repository: &Repository, source: &dyn Source, options: &BackupOptions, monitor: &dyn Monitor, cancel: &Cancel) -> Result<BackupOutcome> {
    let host = &*repository.host;
    let started = host.elapsed();
    let begun = options.time.unwrap_or_else(|| host.now());
    let paths = source.paths();
    if paths.len() > PATHS_MAX {
        return Err(RepositoryError::Invalid(format!("{} paths are more than a snapshot can have ({PATHS_MAX}): name folders instead", paths.len())));
    }
    let list = repository.snapshots()?;
    let options = &BackupOptions { writer: repository.writer_name(&options.writer, &list), ..options.clone() };
    list.older.into_iter().for_each(|older| monitor.alarm(&Alarm::OlderState(older)));
    let mut snapshots = list.snapshots;
    if !options.dry_run {
        super::confirm::finish_unconfirmed(repository, &mut snapshots, &options.writer, monitor, cancel)?;
    }
    let earlier = earlier(&snapshots, options, &paths);
    // Checkpoints of killed runs, which the new snapshot takes the place of; those of this run join them.
    let is_checkpoint = |stored: &&StoredSnapshot| stored.snapshot.status == Status::Partial && stored.snapshot.writer == options.writer;
    let is_superseded = |stored: &&StoredSnapshot| is_checkpoint(stored) && !stored.forgotten && is_of_same_source(&stored.snapshot, options, &paths);
    let superseded = Mutex::new(snapshots.iter().filter(is_superseded).cloned().collect());
    let parent = choose_parent(snapshots, options, &paths)?;
    // Who reads nothing back has as parent what it remembers.
    let reads_trees = repository.keys.role().reads_trees();
    let parent = parent.filter(|parent| reads_trees || repository.tree(parent.snapshot.root).is_ok());
    let mut session = Session::begin(repository, &options.writer, options.compression)?;
    if options.dry_run {
        session.set_dry_run();
    }
    let budget = Budget::new(
        options.memory_limit_bytes,
        repository.config.pack_size_bytes as usize,
        std::thread::available_parallelism().map_or(1, usize::from),
        (!source.is_one_file()).then_some(options.read_concurrency),
    );
    session.limit_packs(budget.pack_bytes);
    // What was found damaged is stored again wherever the source is read: then it is whole in old snapshots, too.
    session.refuse(Ledger::doubted_packs(repository));
    let session = session;
    if !options.dry_run {
        let found = session.take_up_interrupted()?;
        if found > 0 {
            monitor.note(&format!("{found} packs that an interrupted run left are used"));
        }
    }
    let mut parent = parent;
    let mut tries = 1;
    loop {
        let outcome =
            attempt(&session, source, options, parent.as_ref(), &Run { begun, started, budget, superseded: &superseded, earlier: &earlier }, monitor, cancel)?;
        if outcome.unconfirmed.is_none() && !options.dry_run {
            let by = outcome.snapshot.or(outcome.parent);
            let superseded = superseded.into_inner().unwrap_or_else(PoisonError::into_inner);
            super::forget::replace(repository, &superseded.iter().collect::<Vec<_>>(), by)?;
            if !reads_trees {
                repository.tidy_own(&repository.snapshots()?.snapshots);
            }
            return Ok(outcome);
        }
        let was_swept = matches!(outcome.unconfirmed, Some(RepositoryError::Swept(_)));
        if !was_swept || tries == TRIES_MAX || !source.can_be_read_again() {
            return Ok(outcome);
        }
        tries += 1;
        monitor.note("what the snapshot relies on was swept while it was made: reading the source again");
        let there = repository.snapshots()?.snapshots;
        parent = parent.filter(|parent| there.iter().any(|stored| stored.id == parent.id && !stored.forgotten));
    }
}

/// What all passes over the source have in common.
struct Run<'a> {
    begun: Time,
    started: Duration,
    budget: Budget,
    /// Partial snapshots that the final one takes the place of.
    superseded: &'a Mutex<Vec<StoredSnapshot>>,
    /// What earlier backups of the source counted, the newest first.
    earlier: &'a [Summary],
}

/// One pass over the source, up to a snapshot and its post-check.
fn attempt(
    session: &Session<'_>,
    source: &dyn Source,
    options: &BackupOptions,
    parent: Option<&StoredSnapshot>,
    run: &Run<'_>,
    monitor: &dyn Monitor,
    cancel: &Cancel,
) -> Result<BackupOutcome> {
    let (repository, paths) = (session.repository(), source.paths());
    let (begun, started) = (run.begun, run.started);
    let host = &*repository.host;
    let mut tags = options.tags.clone();
    tags.sort_unstable();
    tags.dedup();
    let record = |root: TreeId, status: Status, Counts { summary, missing, .. }: Counts| -> Result<Snapshot> {
        let (sequence, predecessor) = session.chain()?;
        Ok(Snapshot {
            begun,
            ended: host.now(),
            host: options.host.clone(),
            user: options.user.clone(),
            source: options.source.clone(),
            paths: paths.clone(),
            tags: tags.clone(),
            root,
            parent: parent.map(|stored| stored.id),
            writer: options.writer.clone(),
            sequence,
            predecessor,
            original: None,
            summary,
            status,
            missing,
            program: options.program.clone(),
            pinned: None,
        })
    };
    let tally = Tally::default();
    let put_checkpoint = |root: TreeId| -> Result<()> {
        let put = session.checkpoint(&record(root, Status::Partial, tally.add(|_| {}))?)?;
        let mut superseded = run.superseded.lock().unwrap_or_else(PoisonError::into_inner);
        super::forget::replace(repository, &superseded.iter().collect::<Vec<_>>(), Some(put.id))?;
        *superseded = vec![put];
        Ok(())
    };
    let shared = Shared {
        session,
        names: repository.keys.data_names().map_err(|error| RepositoryError::format("contents", error))?,
        options,
        monitor,
        cancel,
        tally: &tally,
        checkpoints: Checkpoints::new(options.checkpoint_every.filter(|_| !options.dry_run), run.budget.readers),
        put_checkpoint: &put_checkpoint,
        failure: Mutex::default(),
        stop: AtomicBool::new(false),
    };

    shared.tally.add(|counts| counts.missing = options.missing_before);
    let root = walker::run(&shared, run.budget, source, parent);
    if let Some(error) = shared.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let Some(root) = root.filter(|_| !cancel.is_cancelled()) else {
        // What was stored is worth keeping: with an index the next run finds it.
        session.finish()?;
        return Err(RepositoryError::Cancelled);
    };
    session.finish()?;

    let Counts { mut summary, missing, changed_while_read, bytes_read, rewritten, .. } = shared.tally.add(|_| {});
    (summary.stored_bytes, summary.new_bytes) = session.written();
    summary.incompressible_bytes = session.incompressible_bytes();
    summary.files_gone = parent.map(|stored| stored.snapshot.summary.files().saturating_sub(summary.files_changed + summary.files_unmodified));
    summary.files_rewritten = parent.map(|_| rewritten);
    let replaced = judge(&summary, run.earlier);
    if let Some(replaced) = replaced {
        monitor.alarm(&Alarm::Replaced(replaced));
    }
    if options.refuse_empty && summary.content_bytes == 0 && missing == 0 {
        return Err(RepositoryError::EmptyStream);
    }
    let mut outcome = BackupOutcome {
        snapshot: None,
        unconfirmed: None,
        parent: parent.map(|stored| stored.id),
        summary,
        missing,
        changed_while_read,
        replaced,
        bytes_read,
        duration: host.elapsed().saturating_sub(started),
        stages: session.stages().totals(),
    };
    let skipped = options.skip_if_unchanged && parent.is_some_and(|stored| stored.snapshot.root == root);
    if !options.dry_run && !skipped {
        let status = if outcome.is_incomplete() { Status::Incomplete } else { Status::Complete };
        let mut snapshot = record(root, status, Counts { summary, missing, ..Counts::default() })?;
        if replaced.is_some() && !snapshot.tags.iter().any(|tag| tag == ALARM_TAG) {
            snapshot.tags.push(ALARM_TAG.to_owned());
            snapshot.tags.sort_unstable();
        }
        let committed = session.commit(&snapshot, outcome.parent)?;
        outcome.snapshot = Some(committed.id);
        outcome.unconfirmed = committed.unconfirmed;
        outcome.summary.stored_bytes = session.written().0;
    }
    outcome.duration = host.elapsed().saturating_sub(started);
    outcome.stages = session.stages().totals();
    Ok(outcome)
}
