//! What a program of a life does: an operation of the engine, with all that it needs, so that it may run on any thread.

use super::host::LifeHost;
use super::reading::read;
use crate::files::{Files, FilesSource};
use crate::lab::secret;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use vault_engine::format::id::ObjectId;
use vault_engine::format::keys::Role;
use vault_engine::format::node::Node;
use vault_engine::format::slot::Secret;
use vault_engine::format::snapshot::{Pin, Status};
use vault_engine::ops::backup::{BackupOptions, ParentChoice, backup};
use vault_engine::ops::edit::{TagChange, pin, rewrite, tag};
use vault_engine::ops::forget::forget;
use vault_engine::ops::forget::undelete::{forgotten, undelete};
use vault_engine::ops::heal::{HealOptions, heal};
use vault_engine::ops::monitor::{Cancel, Quiet};
use vault_engine::ops::prune::{PruneOptions, prune};
use vault_engine::ops::repair::{RepairOptions, repair, repair_index};
use vault_engine::ops::verify::{VerifyOptions, verify};
use vault_engine::store::Store;
use vault_engine::store::error::{RepositoryError, Result};
use vault_engine::store::repository::{Repository, StoredSnapshot};

/// What is done.
#[derive(Clone, Debug)]
pub enum Task {
    /// A backup of these files, some of which cannot be opened.
    Backup { files: Files, label: &'static str, unreadable: Option<String>, has_checkpoints: bool, has_parent: bool },
    /// These go, as far as they are there.
    Forget(Vec<ObjectId>),
    /// As many bytes as that may stay unused, and as many may be moved.
    Prune(f64, u64),
    /// This one gets a tag.
    Tag(ObjectId, u8),
    /// This one is pinned, or not.
    Pin(ObjectId, bool),
    /// This one loses a file.
    Rewrite(ObjectId, String),
    /// One of those that were forgotten.
    Undelete(usize),
    /// This one is read.
    Look(Option<ObjectId>),
    /// The index is made anew.
    RepairIndex,
    /// All is repaired.
    Repair,
    /// What rotted is mended.
    Heal,
    /// This secret opens the repository, too.
    AddKey(u8),
    /// This secret opens it instead of the one that did.
    ChangeKey(u8),
    /// This secret alone opens it, with new keys.
    RotateKeys(u8),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// A snapshot that is acknowledged; of a backup, what of it could not be read is missing.
    Snapshot(ObjectId),
    /// One that was forgotten (the first of its line) is there again.
    Undeleted { origin: ObjectId, id: ObjectId },
    /// What a snapshot holds, and what a verification without reading data found.
    Seen { files: Option<Files>, damage: String, alarms: String },
    /// What was repaired, in words; nothing where nothing was wrong.
    Repaired(Option<String>),
    /// There was nothing to be done.
    Nothing,
    /// It is done.
    Well,
}

/// Machines that do some of their work with keys of roles, while these open: until the keys are rotated.
pub const ROLES: [(&str, Role, u8); 2] = [("second", Role::Backup, 200), ("third", Role::Prune, 201)];

fn does(role: Role, task: &Task) -> bool {
    match role {
        Role::Owner => true,
        Role::Backup => matches!(task, Task::Backup { .. }),
        Role::Prune => matches!(task, Task::Prune(..)),
    }
}

/// A program: where it runs, and what opens the repository for it.
#[derive(Clone)]
pub struct Program {
    /// Clock and dice.
    pub host: Arc<LifeHost>,
    /// The name of its machine.
    pub writer: &'static str,
    /// Where its machine keeps its cache.
    pub cache: Option<PathBuf>,
    /// Secrets that may open it, the newest first.
    pub secrets: Vec<u8>,
}

impl Program {
    /// Opens the repository so that it may be written, with the first secret that does; else so that it may be read.
    pub fn open(&self, store: &Arc<dyn Store>) -> Result<Repository> {
        let mut readable = None;
        for number in &self.secrets {
            let opened = Repository::open(store.clone(), self.host.clone(), &[secret(*number)], self.cache.as_deref());
            match opened {
                Ok(repository) if repository.check_writable().is_ok() => return Ok(repository),
                other => readable = Some(if let Some(Ok(before)) = readable { Ok(before) } else { other }),
            }
        }
        readable.expect("there is a secret")
    }

    /// Opened with the key of a role, where this machine has one for such a task and it still opens.
    fn with_role(&self, store: &Arc<dyn Store>, task: &Task) -> Option<Repository> {
        let (_, _, number) = ROLES.into_iter().find(|(machine, role, _)| *machine == self.writer && does(*role, task))?;
        let opened = Repository::open(store.clone(), self.host.clone(), &[secret(number)], self.cache.as_deref()).ok()?;
        opened.check_writable().is_ok().then_some(opened)
    }

    /// Does it as a new process would.
    pub fn run(&self, store: &Arc<dyn Store>, task: &Task) -> Result<Done> {
        let mut repository = self.with_role(store, task).map_or_else(|| self.open(store), Ok)?;
        if let Task::Repair = task {
            let options = RepairOptions {
                writer: self.writer.to_owned(),
                host: "localhost".to_owned(),
                read_data: true,
                orphans: false,
                dry_run: false,
                threads: 1,
                program: "lives".to_owned(),
            };
            let outcome = repair(&mut repository, &options, &Quiet, &Cancel::default())?;
            let is_something = outcome.has_losses() || !outcome.recovered.is_empty() || outcome.config;
            return Ok(Done::Repaired(is_something.then(|| format!("{outcome:?}"))));
        }
        self.work(&repository, store, task)
    }

    fn work(&self, repository: &Repository, store: &Arc<dyn Store>, task: &Task) -> Result<Done> {
        let (writer, never) = (self.writer, Cancel::default());
        let replaced = |new: Option<ObjectId>| Ok(new.map_or(Done::Nothing, Done::Snapshot));
        match task {
            Task::Backup { files, label, unreadable, has_checkpoints, has_parent } => {
                let source = FilesSource::new(files, label).with_unreadable(unreadable.clone());
                let options = BackupOptions {
                    writer: writer.to_owned(),
                    read_concurrency: 1,
                    memory_limit_bytes: Some(64 << 20),
                    parent: if *has_parent { ParentChoice::Auto } else { ParentChoice::None },
                    checkpoint_every: has_checkpoints.then_some(Duration::from_millis(3)),
                    ..BackupOptions::default()
                };
                let outcome = backup(repository, &source, &options, &Quiet, &never)?;
                match (outcome.snapshot, outcome.unconfirmed) {
                    (_, Some(error)) => Err(error),
                    (Some(id), None) => Ok(Done::Snapshot(id)),
                    (None, None) => Err(RepositoryError::Invalid("a backup made no snapshot".into())),
                }
            }
            Task::Forget(ids) => {
                let found = of_these(repository, ids)?;
                forget(repository, &found.iter().collect::<Vec<_>>()).map(|_| Done::Well)
            }
            Task::Prune(unused_percent_max, repack_bytes_max) => {
                let options = PruneOptions {
                    unused_percent_max: *unused_percent_max,
                    repack_bytes_max: *repack_bytes_max,
                    grace: Duration::ZERO,
                    threads: 1,
                    host: writer.to_owned(),
                    ..PruneOptions::default()
                };
                prune(repository, &options, &Quiet, &never).map(|_| Done::Well)
            }
            Task::Tag(id, number) => {
                let change = TagChange { add: vec![format!("tag-{number}")], ..TagChange::default() };
                replaced(tag(repository, writer, &one(repository, *id)?, &change)?)
            }
            Task::Pin(id, on) => {
                let pinned = on.then(|| Pin { reason: "why".into(), until: None });
                replaced(pin(repository, writer, &one(repository, *id)?, pinned)?)
            }
            Task::Rewrite(id, path) => {
                let drops = |found: &[u8], _: &Node| found == format!("/{path}").as_bytes();
                let rewritten = rewrite(repository, writer, &one(repository, *id)?, &drops, false, &never)?;
                replaced(rewritten.and_then(|rewritten| rewritten.snapshot))
            }
            Task::Undelete(which) => {
                let all = forgotten(repository)?;
                // Partial ones were never anybody's backup.
                let all: Vec<_> = all.iter().filter(|one| one.snapshot.status != Status::Partial).collect();
                let Some(old) = all.get(which % all.len().max(1)) else { return Ok(Done::Nothing) };
                let id = undelete(repository, writer, old, &never)?;
                Ok(Done::Undeleted { origin: old.snapshot.original.unwrap_or(old.id), id })
            }
            Task::Look(id) => {
                let found = id.map(|id| one(repository, id)).transpose()?;
                let reading = found.map(|found| read(repository, &found)).map(|reading| reading.failure.map_or(Ok(reading.files), Err));
                let files = reading.transpose()?;
                let options = VerifyOptions { tables: true, threads: 1, ..VerifyOptions::default() };
                let outcome = verify(repository, &options, &Quiet, &never)?;
                let alarms = repository.snapshots()?.older;
                let shown = |is_none: bool, text: String| if is_none { String::new() } else { text };
                Ok(Done::Seen {
                    files,
                    damage: shown(outcome.damage.is_empty(), format!("{:?}", outcome.damage)),
                    alarms: shown(alarms.is_empty(), format!("{alarms:?}")),
                })
            }
            Task::RepairIndex => repair_index(repository, 1, &Quiet, &never).map(|_| Done::Well),
            Task::Heal => heal(&**store, &HealOptions::default(), &Quiet, &never).map(|_| Done::Well),
            Task::AddKey(number) => repository.add_key(&secret(*number), Role::Owner, "more", writer).map(|_| Done::Well),
            Task::ChangeKey(number) => repository.replace_key(&secret(*number), "other", writer).map(|_| Done::Well),
            Task::RotateKeys(number) => repository.rotate_keys(&[(secret(*number), "new")], writer).map(|_| Done::Well),
            Task::Repair => unreachable!("it was done before"),
        }
    }
}

/// The secrets that a repository begins with.
pub fn first_secrets() -> [(Secret, &'static str); 1] {
    [(secret(1), "first")]
}

fn of_these(repository: &Repository, ids: &[ObjectId]) -> Result<Vec<StoredSnapshot>> {
    Ok(repository.snapshots()?.snapshots.into_iter().filter(|stored| ids.contains(&stored.id)).collect())
}

fn one(repository: &Repository, id: ObjectId) -> Result<StoredSnapshot> {
    of_these(repository, &[id])?.pop().ok_or_else(|| RepositoryError::NoSnapshot(id.short()))
}
