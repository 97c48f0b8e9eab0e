//! `vault stats`: how much there is.

use crate::args::filter::FilterArgs;
use crate::commands::verify::PROVED_WITHIN;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::{bytes, count, local, rfc3339};
use crate::session::Session;
use crate::units;
use std::ffi::OsString;
use std::time::Duration;
use vault_engine::ops::stats::{OldestByte, ProofStats, content_stats, proof_stats, store_stats};
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

    /// Time within which every byte should be read again by vault verify [default: 30d]
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    within: Option<Duration>,

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
        let (packed, parity) = (stats.data_packs.1, stats.parity_bytes.0 + stats.parity_bytes.1);
        let without_parity = packed.saturating_sub(stats.parity_bytes.0);
        event.mode = "raw-data";
        event.total_size = stats.total_bytes;
        event.total_blob_count = Some(stats.chunks.0);
        event.total_uncompressed_size = Some(stats.chunks.1);
        event.parity_bytes = Some(parity);
        event.compression_ratio = (without_parity > 0).then(|| stats.chunks.1 as f64 / without_parity as f64);
        lines.push(("Repository", bytes(stats.total_bytes)));
        lines.push(("Data packs", format!("{}, {}", stats.data_packs.0, bytes(packed))));
        lines.push(("Meta packs", format!("{}, {}", stats.meta_packs.0, bytes(stats.meta_packs.1))));
        lines.push(("Parity", format!("{} of these", bytes(parity))));
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
    let within = args.within.unwrap_or(PROVED_WITHIN);
    let proof = proof_stats(&repository, within)?;
    event.packed_bytes = proof.bytes;
    event.unproved_bytes = proof.unproved_bytes;
    event.never_proved_bytes = proof.never_proved_bytes;
    event.within_seconds = within.as_secs();
    if let Some(OldestByte::Proved { at, .. }) = proof.oldest {
        event.oldest_proof = Some(rfc3339(at));
    }
    if let Some(OldestByte::Proved { age, .. } | OldestByte::NeverProved { age, .. }) = proof.oldest {
        event.oldest_unproved_seconds = Some(age.as_secs());
    }
    lines.push(("Unproved", format!("{} of {} not read back within {}", bytes(proof.unproved_bytes), bytes(proof.bytes), age_words(within))));
    lines.extend(proof_line(&proof).map(|line| ("Oldest byte", line)));
    session.output.event(&Event::Stats(event))?;
    for (name, value) in lines {
        session.output.line(format_args!("{:<13}{value}", format!("{name}:")))?;
    }
    Ok(if damaged { Exit::Failed } else { Exit::Complete })
}

/// What is known of the byte that nobody read for the longest time; nothing if there are no packs.
pub fn proof_line(proof: &ProofStats) -> Option<String> {
    Some(match proof.oldest? {
        OldestByte::Damaged => "in a pack that was found damaged".to_owned(),
        OldestByte::NeverProved { seen, age } => format!("never read back, here since {} ({})", local(seen), age_words(age)),
        OldestByte::Proved { at, age } => format!("last read back {} ({} ago)", local(at), age_words(age)),
    })
}

/// A length of time in its largest unit that is not too coarse.
fn age_words(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..7200 => count(seconds / 60, "minute", "minutes"),
        7200..172_800 => count(seconds / 3600, "hour", "hours"),
        _ => count(seconds / 86_400, "day", "days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_told_in_fitting_units() {
        let ages = [0, 119 * 60, 7200, 47 * 3600, 172_800, 30 * 86_400].map(|seconds| age_words(Duration::from_secs(seconds)));
        assert_eq!(ages, ["0 minutes", "119 minutes", "2 hours", "47 hours", "2 days", "30 days"]);
        assert_eq!(proof_line(&ProofStats::default()), None);
    }
}
