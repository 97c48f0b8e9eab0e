//! The library in thirty lines: make a repository, back a folder up, look at what is there. `folder REPOSITORY PATH`

use std::sync::Arc;
use vault_engine::format::keys::Key;
use vault_engine::format::slot::Secret;
use vault_engine::ops::backup::{BackupOptions, backup};
use vault_engine::ops::monitor::{Cancel, Quiet};
use vault_engine::sources::files::{FileSource, Options};
use vault_engine::store::host::SystemHost;
use vault_engine::store::location::Location;
use vault_engine::store::repository::{InitOptions, Repository};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(location), Some(path)) = (arguments.next(), arguments.next()) else { return Err("usage: folder REPOSITORY PATH".into()) };
    let secret = Secret::KeyFile(Key([7; 32]));
    let (location, host) = (Location::parse(&location)?, Arc::new(SystemHost::default()));
    let repository = match location.open() {
        Ok(store) => Repository::open(store, host, &[secret], None)?,
        Err(_) => Repository::init(location.create()?, host, &[(secret, "example")], &InitOptions::default(), None)?,
    };
    let source = FileSource::new(Options { paths: vec![path.into()], ..Options::default() })?;
    let outcome = backup(&repository, &source, &BackupOptions::default(), &Quiet, &Cancel::default())?;
    eprintln!("{outcome:#?}");
    Ok(())
}
