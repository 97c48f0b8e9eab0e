//! The library in thirty lines: open, back up, restore. `round_trip REPOSITORY SOURCE TARGET`

use std::sync::Arc;
use vault_engine::format::{keys::Key, slot::Secret};
use vault_engine::ops::backup::{BackupOptions, backup};
use vault_engine::ops::browse::resolve;
use vault_engine::ops::monitor::{Cancel, Quiet};
use vault_engine::ops::restore::{Everything, RestoreOptions, restore};
use vault_engine::sources::files::{FileSource, Options};
use vault_engine::sources::tree_target::{self, TreeTarget};
use vault_engine::store::host::SystemHost;
use vault_engine::store::location::Location;
use vault_engine::store::repository::{InitOptions, Repository};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [location, from, to] = &arguments[..] else { return Err("usage: round_trip REPOSITORY SOURCE TARGET".into()) };
    let secret = Secret::KeyFile(Key([7; 32])); // a real program draws it, see `vault init`
    let (location, host) = (Location::parse(location)?, Arc::new(SystemHost::default()));
    let repository = match location.open() {
        Ok(store) => Repository::open(store, host, &[secret], None)?,
        Err(_) => Repository::init(location.create()?, host, &[(secret, "example")], &InitOptions::default(), None)?,
    };
    let source = FileSource::new(Options { paths: vec![from.into()], ..Options::default() })?;
    let saved = backup(&repository, &source, &BackupOptions::default(), &Quiet, &Cancel::default())?;
    eprintln!("{} new files, {} unchanged", saved.summary.files_new, saved.summary.files_unmodified);

    let snapshots = repository.snapshots()?.snapshots;
    let newest = resolve(&repository, snapshots.last().ok_or("no snapshot")?, b"/")?;
    let target = TreeTarget::open(to.as_ref(), tree_target::Options::default())?.root();
    let back = restore(&repository, &newest, &target, &RestoreOptions::default(), &Everything, &Quiet, &Cancel::default())?;
    eprintln!("{} files restored, {} problems", back.files_restored, back.problems);
    Ok(())
}
