//! `vault bench`: what a backup costs here, and what holds it up.

mod report;

use crate::complaint::{Complaint, shown};
use crate::exit::Exit;
use crate::session::{Session, exists, located, no_repository};
use crate::settings::Settings;
use std::path::PathBuf;
use std::time::Duration;
use vault_engine::ops::backup::BackupOptions;
use vault_engine::ops::bench::judge::Machine;
use vault_engine::ops::bench::{BenchError, BenchOptions, bench, made};
use vault_engine::sources::files::{FileSource, Options};
use vault_engine::store::host::{Host, SystemHost};
use vault_engine::store::scratch::Scratch;

/// Measure what a backup costs on this machine, what holds it up, and what would be better
///
/// A sample of the paths is read, cut, named, compressed and sealed in memory, one stage after the other on one core. What it would take to store is
/// measured with noise: a few packs are put into the temporary folder of the repository, if there is one, else of this machine, and deleted again.
/// No key is needed, and nothing of the repository is read or changed.
#[derive(clap::Args, Debug)]
#[command(after_help = "MB/s are of what goes into a stage: plain bytes up to compress, compressed ones after. A GB is of the source. Levels from 1 to 22 \
                        are --compression's, sizes of packs --pack-size's; the cipher is chosen once, by vault init --cipher.")]
pub struct Args {
    /// What a backup would read [default: made data, the same everywhere]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How long to measure, about
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=3600))]
    seconds: u16,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let settings = session.settings()?;
    let host = SystemHost::default();
    let cancel = session.world.be_polite();
    let root = repository(&settings)?;
    let scratch = match &root {
        Some(root) => Scratch::in_repository(root, &host)?,
        None => Scratch::below(&session.world.temporary_dir(), &host)?,
    };
    session.output.note(&format!("measuring for about {} s", args.seconds));
    // Made data lie on this machine's temporary directory, whatever the repository's disk is.
    let made = if args.paths.is_empty() { Some(made_data(session, &host)?) } else { None };
    let paths = made.as_ref().map_or_else(|| args.paths.clone(), |made| vec![made.path().to_owned()]);
    let own = root.into_iter().chain(settings.cache_dir.iter().map(|dir| dir.value.clone())).collect();
    let source = FileSource::new(Options { paths, own, ..Options::default() })
        .map_err(|error| Complaint::failed(format!("cannot measure {}", shown(&error.path))).because(&error.error))?;
    let readers = settings.backup.read_concurrency.unwrap_or(BackupOptions::default().read_concurrency);
    let options = BenchOptions { span: Duration::from_secs(args.seconds.into()), machine: Machine::here(readers) };
    let store = scratch.store()?;
    let outcome = bench(&source, &store, &host, &options, &cancel).map_err(|error| match error {
        BenchError::NoContents => Complaint::failed("there are no contents to measure with, or none that can be read").hint("name a folder with files in it"),
        BenchError::Cancelled => Complaint::interrupted(),
        BenchError::Store(error) => error.into(),
    })?;
    let place = scratch.path().parent().unwrap_or(scratch.path());
    report::tell(&outcome, &args.paths, &shown(place), session)?;
    Ok(Exit::Complete)
}

/// The directory of the repository, if there is one. One that is named has to be there.
fn repository(settings: &Settings) -> Result<Option<PathBuf>, Complaint> {
    if settings.repository.is_none() {
        return Ok(None);
    }
    let (_, location) = located(settings)?;
    if exists(&location)? {
        return Ok(location.directory().map(PathBuf::from));
    }
    if settings.repository_is_named() { Err(no_repository(settings)) } else { Ok(None) }
}

fn made_data(session: &Session, host: &dyn Host) -> Result<Scratch, Complaint> {
    let scratch = Scratch::below(&session.world.temporary_dir(), host)?;
    made::files().try_for_each(|(name, bytes)| scratch.write(&name, &bytes))?;
    Ok(scratch)
}
