//! The engine's operations over any store, on files in memory: what tests of crashes and hostile stores run by the thousand.

use crate::files::{Files, FilesSource};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use vault_engine::format::id::ObjectId;
use vault_engine::format::keys::Key;
use vault_engine::format::slot::Secret;
use vault_engine::ops::backup::{BackupOptions, backup};
use vault_engine::ops::monitor::{Cancel, Quiet};
use vault_engine::ops::prune::{PruneOptions, prune};
use vault_engine::ops::verify::{Damage, VerifyOptions, verify};
use vault_engine::store::Store;
use vault_engine::store::error::{RepositoryError, Result};
use vault_engine::store::host::SystemHost;
use vault_engine::store::repository::{InitOptions, Repository, StoredSnapshot};

/// A secret that opens without stretching.
pub fn secret(number: u8) -> Secret {
    Secret::KeyFile(Key([number; 32]))
}

/// Makes a repository with the smallest packs there can be, which these secrets open.
pub fn init(store: Arc<dyn Store>, secrets: &[u8], cache: Option<&Path>) -> Result<Repository> {
    let options = InitOptions { pack_size_bytes: 64 << 10, ..InitOptions::default() };
    let secrets: Vec<(Secret, &str)> = secrets.iter().map(|number| (secret(*number), "test")).collect();
    Repository::init(store, Arc::new(SystemHost::default()), &secrets, &options, cache)
}

/// Opens a repository as a new process would.
pub fn open(store: Arc<dyn Store>, number: u8, cache: Option<&Path>) -> Result<Repository> {
    Repository::open(store, Arc::new(SystemHost::default()), &[secret(number)], cache)
}

/// Backs up files; the snapshot, if it was acknowledged.
pub fn back_up(repository: &Repository, files: &Files, label: &'static str) -> Result<ObjectId> {
    let outcome = backup(repository, &FilesSource::new(files, label), &BackupOptions::default(), &Quiet, &Cancel::default())?;
    match (outcome.snapshot, outcome.unconfirmed) {
        (_, Some(error)) => Err(error),
        (Some(id), None) if outcome.missing == 0 => Ok(id),
        (snapshot, None) => Err(RepositoryError::Invalid(format!("{snapshot:?} misses {} entries", outcome.missing))),
    }
}

/// Prunes all that can be pruned.
pub fn prune_all(repository: &Repository) -> Result<()> {
    let options = PruneOptions { unused_percent_max: 0.0, grace: Duration::ZERO, host: "localhost".into(), ..PruneOptions::default() };
    prune(repository, &options, &Quiet, &Cancel::default()).map(drop)
}

/// Every byte of these snapshots, or of all of the repository.
pub fn damage(repository: &Repository, snapshots: Option<Vec<ObjectId>>) -> Result<Vec<Damage>> {
    let options = VerifyOptions { read_data: true, snapshots, threads: 2, ..VerifyOptions::default() };
    verify(repository, &options, &Quiet, &Cancel::default()).map(|outcome| outcome.damage)
}

/// A snapshot by its name.
pub fn stored(repository: &Repository, id: ObjectId) -> Result<StoredSnapshot> {
    let found = repository.snapshots()?.snapshots.into_iter().find(|stored| stored.id == id);
    found.ok_or_else(|| RepositoryError::NoSnapshot(id.short()))
}
