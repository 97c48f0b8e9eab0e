//! `vault backup`: a folder goes in.

mod args;
mod report;
mod source;

pub use args::Args;

use crate::args::exclude::in_table;
use crate::args::filter::{self, FilterArgs};
use crate::complaint::{Complaint, settle};
use crate::exit::Exit;
use crate::output::progress::{Activity, Screen};
use crate::session::{Session, exists, located};
use crate::settings::{BackupTable, Settings};
use source::{Chosen, Plan};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use vault_engine::format::compress::Compression;
use vault_engine::format::config::PACK_SIZE_BYTES;
use vault_engine::ops::backup::{BackupOptions, MEMORY_LIMIT_BYTES_MIN, ParentChoice, backup};
use vault_engine::ops::monitor::Monitor as _;
use vault_engine::store::error::RepositoryError;
use vault_engine::store::repository::{InitOptions, Repository};

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    // All that can be wrong with the wish is found before anything is made.
    let settings = session.settings()?;
    let table = &settings.backup;
    let mut options = options(args, table, session)?;
    let pack_size = pack_size(args, table)?;
    let plan = Plan::of(args, table, session)?;

    let (mut repository, made) = open_or_make(args, &settings, session, pack_size)?;
    if let Some(bytes) = pack_size {
        repository.config.pack_size_bytes = bytes;
    }
    if let Some(parent) = &args.parent {
        options.parent = ParentChoice::Snapshot(FilterArgs::default().snapshot(&repository, parent.as_ref(), session)?.0.id);
    }
    let cancel = session.world.be_polite();
    let at = args.time.unwrap_or_else(|| repository.host.now());
    let Chosen { source, missing, producer } = plan.open(own(&settings)?, at, &cancel)?;

    let screen = Screen::start(&session.output, Activity { name: "backup", during: "archival", lists_removed: false });
    for (path, why) in &missing {
        screen.problem(path.as_os_str().as_bytes(), why);
    }
    options.missing_before = missing.len() as u64;
    let result = backup(&repository, &*source, &options, &screen, &cancel);
    let (_, problems) = screen.finish();
    // A command that failed calls the backup off; its own failure is what to tell then.
    let outcome = result.map_err(|error| producer.and_then(|producer| producer.complaint()).unwrap_or_else(|| ended_early(error)))?;
    let told = report::tell(&outcome, args.dry_run, problems, session).and_then(|()| if made { report::next_steps(&settings, session) } else { Ok(()) });
    let incomplete = outcome.is_incomplete();
    match outcome.unconfirmed {
        Some(error) => Err(report::unconfirmed(outcome.snapshot, error)),
        None => settle(told, if incomplete { Exit::Incomplete } else { Exit::Complete }),
    }
}

fn ended_early(error: RepositoryError) -> Complaint {
    let complaint = Complaint::from(error);
    if complaint.exit == Exit::Interrupted { complaint.hint("what was stored so far is kept: the next backup goes on from there") } else { complaint }
}

/// Says what is wrong with the `[backup]` table.
pub fn check_table(table: &BackupTable, session: &Session) -> Result<(), Complaint> {
    let nothing = Args::default();
    options(&nothing, table, session)?;
    pack_size(&nothing, table)?;
    nothing.leave_out.options(table, &session.world).map(drop)
}

/// The repository; a new one where there is none and the user either asked for it or named none and is there to see it made.
fn open_or_make(args: &Args, settings: &Settings, session: &Session, pack_size: Option<u64>) -> Result<(Repository, bool), Complaint> {
    let (_, location) = located(settings)?;
    let may_make = args.init || (!settings.repository_is_named() && session.world.has_terminal());
    if may_make && !args.dry_run && !exists(&location)? {
        let made = InitOptions { pack_size_bytes: pack_size.unwrap_or_else(|| location.pack_size_bytes()), ..InitOptions::default() };
        let repository = session.create(settings, &session.world.user(), true, made)?;
        return Ok((repository, true));
    }
    Ok((session.open_with(settings)?, false))
}

fn options(args: &Args, table: &BackupTable, session: &Session) -> Result<BackupOptions, Complaint> {
    let world = &session.world;
    let compression = match (&args.compression, &table.compression) {
        (Some(word), _) => compression(word).map_err(|why| Complaint::usage(format!("--compression {word}")).since(why))?,
        (None, Some(word)) => in_table("compression", compression(word))?,
        (None, None) => Compression::default(),
    };
    let defaults = BackupOptions::default();
    Ok(BackupOptions {
        host: args.host.clone().or_else(|| table.host.clone()).unwrap_or_else(|| world.host.clone()),
        writer: world.host.clone(),
        user: world.user(),
        source: args.source.clone(),
        tags: filter::tags(table.tag.iter().chain(&args.tag))?,
        time: args.time,
        parent: if args.force { ParentChoice::None } else { ParentChoice::Auto },
        ignore_inode: args.ignore_inode,
        ignore_ctime: args.ignore_ctime,
        read_concurrency: args.read_concurrency.map(usize::from).or(table.read_concurrency).unwrap_or(defaults.read_concurrency).max(1),
        memory_limit_bytes: memory_limit(args, table)?,
        compression,
        dry_run: args.dry_run,
        skip_if_unchanged: args.skip_if_unchanged,
        checkpoint_every: args.checkpoint_every.or(defaults.checkpoint_every).filter(|every| !every.is_zero()),
        refuse_empty: (args.stdin || args.stdin_from_command) && !args.allow_empty,
        // Worth a second walk only where somebody looks at the time left.
        count_first: session.output.draws || (session.output.json && !session.output.quiet),
        ..defaults
    })
}

fn compression(word: &str) -> Result<Compression, String> {
    Ok(match word {
        "off" | "none" => Compression::Off,
        "auto" => Compression::default(),
        "fastest" => Compression::Level(1),
        "better" => Compression::Level(9),
        "max" => Compression::Level(19),
        _ => match word.parse() {
            Ok(level @ 1..=22) => Compression::Level(level),
            _ => return Err("write auto, off, fastest, better, max, or a zstd level from 1 to 22".into()),
        },
    })
}

fn pack_size(args: &Args, table: &BackupTable) -> Result<Option<u64>, Complaint> {
    let in_file = table.pack_size.as_deref().map(|text| in_table("pack-size", filter::size(text))).transpose()?;
    let bytes = args.pack_size.or(in_file);
    match bytes {
        Some(bytes) if !PACK_SIZE_BYTES.contains(&bytes) => Err(Complaint::usage("the size of packs has to lie between 64K and 128M")),
        _ => Ok(bytes),
    }
}

fn memory_limit(args: &Args, table: &BackupTable) -> Result<Option<usize>, Complaint> {
    let in_file = table.memory_limit.as_deref().map(|text| in_table("memory-limit", filter::size(text))).transpose()?;
    match args.memory_limit.or(in_file).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)) {
        Some(bytes) if bytes < MEMORY_LIMIT_BYTES_MIN => Err(Complaint::usage("a backup needs 64M of memory at least")),
        bytes => Ok(bytes),
    }
}

/// Our own repository and cache, which no backup takes in.
pub fn own(settings: &Settings) -> Result<Vec<PathBuf>, Complaint> {
    let (_, location) = located(settings)?;
    let repository = location.directory().map(PathBuf::from);
    let cache = settings.cache_dir.as_ref().map(|dir| dir.value.clone());
    Ok(repository.into_iter().chain(cache).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_levels_of_compression() {
        assert_eq!(compression("off"), Ok(Compression::Off));
        assert_eq!(compression("auto"), Ok(Compression::Level(3)));
        assert_eq!(compression("22"), Ok(Compression::Level(22)));
        for wrong in ["", "0", "23", "-1", "best"] {
            assert!(compression(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_of_packs_have_bounds() {
        let of = |bytes| pack_size(&Args { pack_size: Some(bytes), ..Args::default() }, &BackupTable::default());
        assert_eq!(of(16 << 20).expect("fine"), Some(16 << 20));
        assert!(of(1).is_err());
        let limit = |bytes| memory_limit(&Args { memory_limit: Some(bytes), ..Args::default() }, &BackupTable::default());
        assert_eq!(limit(64 << 20).expect("fine"), Some(64 << 20));
        assert!(limit((64 << 20) - 1).is_err());
        let table = BackupTable { pack_size: Some("wrong".into()), ..BackupTable::default() };
        let complaint = pack_size(&Args::default(), &table).expect_err("no size");
        assert!(complaint.what.contains("backup.pack-size"));
    }
}
