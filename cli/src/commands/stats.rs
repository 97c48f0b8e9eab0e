//! `vault stats`: how much there is.

use crate::args::filter::FilterArgs;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::bytes;
use crate::session::Session;
use std::ffi::OsString;
use vault_engine::ops::stats::{content_stats, store_stats};
use vault_engine::store::repository::StoredSnapshot;

/// Show how much the snapshots hold
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to count [default: all]
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<OsString>,

    /// What to count
    #[arg(long, value_enum, default_value_t = Mode::RestoreSize)]
    mode: Mode,

    #[command(flatten)]
    filter: FilterArgs,
}

/// What is counted.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// What a restore of each snapshot would write
    RestoreSize,
    /// What the snapshots hold, equal chunks counted once
    UniqueContents,
    /// What the chunks take in the repository
    RawData,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open()?;
    let (snapshots, damaged) = args.filter.snapshots(&repository, &args.ids, session)?;
    let cancel = session.world.be_polite();
    let mut lines = vec![("Snapshots", snapshots.len().to_string())];
    let mut event = json::Stats { snapshots_count: snapshots.len() as u64, ..json::Stats::default() };
    if args.mode == Mode::RawData {
        let stats = store_stats(&repository, &cancel)?;
        let packed = stats.data_packs.1;
        event.mode = "raw-data";
        event.total_size = stats.total_bytes;
        event.total_blob_count = Some(stats.chunks.0);
        event.total_uncompressed_size = Some(stats.chunks.1);
        event.compression_ratio = (packed > 0).then(|| stats.chunks.1 as f64 / packed as f64);
        lines.push(("Repository", bytes(stats.total_bytes)));
        lines.push(("Data packs", format!("{}, {}", stats.data_packs.0, bytes(packed))));
        lines.push(("Meta packs", format!("{}, {}", stats.meta_packs.0, bytes(stats.meta_packs.1))));
        lines.push(("Index", format!("{}, {}", stats.index.0, bytes(stats.index.1))));
        lines.push(("Chunks", format!("{}, {} before compression", stats.chunks.0, bytes(stats.chunks.1))));
        lines.extend(event.compression_ratio.map(|ratio| ("Ratio", format!("{ratio:.2}"))));
    } else {
        let stats = content_stats(&repository, &snapshots.iter().collect::<Vec<&StoredSnapshot>>(), &cancel)?;
        event.total_file_count = Some(stats.files);
        lines.push(("Files", stats.files.to_string()));
        lines.push(("Folders", stats.directories.to_string()));
        if args.mode == Mode::RestoreSize {
            event.mode = "restore-size";
            event.total_size = stats.bytes;
            lines.push(("Size", bytes(stats.bytes)));
        } else {
            event.mode = "unique-contents";
            event.total_size = stats.unique_bytes;
            event.total_blob_count = Some(stats.unique_chunks);
            lines.push(("Chunks", stats.unique_chunks.to_string()));
            lines.push(("Size", bytes(stats.unique_bytes)));
        }
    }
    session.output.event(&Event::Stats(event))?;
    for (name, value) in lines {
        session.output.line(format_args!("{:<12}{value}", format!("{name}:")))?;
    }
    Ok(if damaged { Exit::Failed } else { Exit::Complete })
}
