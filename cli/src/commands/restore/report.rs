//! What a restore says in the end.

use super::args::Args;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::{bytes, count, span, visible};
use crate::session::Session;
use std::time::Duration;
use vault_engine::ops::restore::RestoreOutcome;
use vault_engine::ops::target::Loss;

/// Lists what the destination could not keep, and sums up.
pub fn tell(outcome: &RestoreOutcome, args: &Args, duration: Duration, session: &Session) -> Result<(), Complaint> {
    for (path, loss) in &outcome.losses {
        tell_loss(path, loss, session)?;
    }
    let untold = outcome.losses_total - outcome.losses.len() as u64;
    if untold > 0 {
        session.output.warn(&format!("and {} more like these", count(untold, "loss", "losses")));
    }
    session.output.event(&Event::Summary(json::Summary::Restore(event(outcome, args.dry_run, duration))))?;
    for line in lines(outcome, args.dry_run, duration) {
        session.output.remark(line)?;
    }
    Ok(())
}

/// Entries that failed and metadata that the destination cannot keep are listed; all else stands.
pub fn exit(outcome: &RestoreOutcome) -> Exit {
    if outcome.problems == 0 && outcome.losses_total == 0 { Exit::Complete } else { Exit::Incomplete }
}

fn tell_loss(path: &[u8], loss: &Loss, session: &Session) -> Result<(), Complaint> {
    let message = format!("{} could not be set: {}", visible(loss.what.as_bytes()), loss.why);
    session.output.warn(&format!("{}: {message}", visible(path)));
    let (item, item_hex) = json::lossy(path);
    session.output.event(&Event::Error(json::Error { error: json::ErrorText { message }, during: "restore", item, item_hex }))
}

fn event(outcome: &RestoreOutcome, dry_run: bool, duration: Duration) -> json::RestoreSummary {
    json::RestoreSummary {
        dry_run,
        seconds_elapsed: duration.as_secs(),
        total_files: outcome.files_restored + outcome.files_kept,
        files_restored: outcome.files_restored,
        files_skipped: outcome.files_kept,
        files_deleted: outcome.removed,
        total_bytes: outcome.bytes_total,
        bytes_restored: outcome.bytes_written,
        bytes_skipped: outcome.bytes_total.saturating_sub(outcome.bytes_written),
        losses: outcome.losses_total,
        error_count: outcome.problems,
    }
}

fn lines(outcome: &RestoreOutcome, dry_run: bool, duration: Duration) -> Vec<String> {
    let mut lines = vec![
        String::new(),
        format!("Files:     {} {}, {} right already or kept", outcome.files_restored, if dry_run { "to restore" } else { "restored" }, outcome.files_kept),
        format!("Folders:   {}", outcome.dirs),
    ];
    if outcome.removed > 0 {
        lines.push(format!("{} {}", if dry_run { "To remove:" } else { "Removed:  " }, count(outcome.removed, "entry", "entries")));
    }
    if !dry_run {
        lines.push(format!("Written:   {} of {}", bytes(outcome.bytes_written), bytes(outcome.bytes_total)));
    }
    lines.push(format!("Time:      {}", span(duration)));
    if outcome.losses_total > 0 {
        lines.push(format!("Not kept:  {} of metadata, listed above", count(outcome.losses_total, "piece", "pieces")));
    }
    if outcome.problems > 0 {
        lines.push(format!("Failed:    {}, listed above", count(outcome.problems, "entry", "entries")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_says_what_is_not_right() {
        let outcome = RestoreOutcome { files_restored: 3, files_kept: 1, dirs: 2, bytes_written: 1024, bytes_total: 2048, ..RestoreOutcome::default() };
        let second = Duration::from_secs(1);
        assert_eq!(
            lines(&outcome, false, second),
            ["", "Files:     3 restored, 1 right already or kept", "Folders:   2", "Written:   1.000 KiB of 2.000 KiB", "Time:      1.00 s"]
        );
        assert_eq!(exit(&outcome), Exit::Complete);
        let lossy = RestoreOutcome { losses_total: 2, ..outcome.clone() };
        assert_eq!(exit(&lossy), Exit::Incomplete);
        assert!(lines(&lossy, false, second).contains(&"Not kept:  2 pieces of metadata, listed above".to_owned()));
        let failed = RestoreOutcome { problems: 1, ..lossy };
        assert_eq!(exit(&failed), Exit::Incomplete);
        assert_eq!(event(&failed, false, second).bytes_skipped, 1024);
    }
}
