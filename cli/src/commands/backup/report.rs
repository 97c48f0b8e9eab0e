//! What a backup says in the end.

use crate::complaint::Complaint;
use crate::output::describe::files;
use crate::output::json::{self, Event};
use crate::output::text::{bytes, count, span};
use crate::session::{Session, quoted};
use crate::settings::{Origin, Settings};
use vault_engine::format::id::ObjectId;
use vault_engine::ops::backup::BackupOutcome;
use vault_engine::store::error::RepositoryError;

/// The summary.
pub fn tell(outcome: &BackupOutcome, dry_run: bool, problems: u64, session: &Session) -> Result<(), Complaint> {
    session.output.event(&Event::Summary(json::Summary::Backup(event(outcome, dry_run, problems))))?;
    for line in lines(outcome, dry_run) {
        session.output.remark(line)?;
    }
    if session.output.verbose > 0 {
        session.output.remark(stages(outcome))?;
    }
    Ok(())
}

fn event(outcome: &BackupOutcome, dry_run: bool, problems: u64) -> json::BackupSummary {
    let summary = &outcome.summary;
    json::BackupSummary {
        dry_run,
        files_new: summary.files_new,
        files_changed: summary.files_changed,
        files_unmodified: summary.files_unmodified,
        dirs_new: summary.dirs_new,
        dirs_changed: summary.dirs_changed,
        dirs_unmodified: summary.dirs_unmodified,
        data_added: summary.new_bytes,
        data_added_packed: summary.stored_bytes,
        total_files_processed: files(summary),
        total_bytes_processed: summary.content_bytes,
        bytes_read: outcome.bytes_read,
        error_count: problems,
        total_duration: outcome.duration.as_secs_f64(),
        stage_seconds: outcome.stages.iter().map(|(stage, time)| (stage.key(), time.as_secs_f64())).collect(),
        snapshot_id: outcome.snapshot.map(|id| id.to_hex()),
        confirmed: outcome.snapshot.map(|_| outcome.unconfirmed.is_none()),
    }
}

fn lines(outcome: &BackupOutcome, dry_run: bool) -> Vec<String> {
    let summary = &outcome.summary;
    let kinds = |new: u64, changed: u64, unchanged: u64| format!("{new} new, {changed} changed, {unchanged} unchanged");
    let mut lines = vec![
        String::new(),
        format!("Files:     {}", kinds(summary.files_new, summary.files_changed, summary.files_unmodified)),
        format!("Folders:   {}", kinds(summary.dirs_new, summary.dirs_changed, summary.dirs_unmodified)),
        format!("Read:      {} of {}", bytes(outcome.bytes_read), bytes(summary.content_bytes)),
        format!("{} {}{}", if dry_run { "Would add:" } else { "Added:    " }, bytes(summary.stored_bytes), ratio(summary.new_bytes, summary.stored_bytes)),
        format!("Time:      {} ({}/s)", span(outcome.duration), bytes(rate(summary.content_bytes, outcome.duration))),
    ];
    if outcome.missing > 0 {
        lines.push(format!("Missing:   {} could not be read, listed above", count(outcome.missing, "entry", "entries")));
    }
    if outcome.changed_while_read > 0 {
        lines.push(format!("Unsteady:  {} changed while being read, listed above", count(outcome.changed_while_read, "file", "files")));
    }
    lines.push(match outcome.snapshot {
        Some(id) => format!("Snapshot:  {}", id.short()),
        None if dry_run => "Snapshot:  none (dry run)".to_owned(),
        None => "Snapshot:  none (nothing has changed)".to_owned(),
    });
    lines
}

/// Where the time went; threads work side by side, so together it may be more than the backup took.
fn stages(outcome: &BackupOutcome) -> String {
    let each: Vec<String> = outcome.stages.iter().map(|(stage, time)| format!("{} {}", stage.name(), span(*time))).collect();
    format!("Stages:    {}", each.join(", "))
}

/// How many times smaller the new data became.
fn ratio(plain: u64, stored: u64) -> String {
    if plain == 0 || stored == 0 { String::new() } else { format!(" for {} of new data (ratio {:.2})", bytes(plain), plain as f64 / stored as f64) }
}

fn rate(total: u64, duration: std::time::Duration) -> u64 {
    (total as f64 / duration.as_secs_f64().max(0.001)) as u64
}

/// Three commands to try, as they can be typed here and now.
pub fn next_steps(settings: &Settings, session: &Session) -> Result<(), Complaint> {
    let vault = invocation(settings, session);
    session.output.remark("\nTry next:")?;
    for command in ["snapshots", "ls latest", "restore latest --target /tmp/restored"] {
        session.output.remark(format_args!("  {vault} {command}"))?;
    }
    Ok(())
}

/// The program with the flags that led to this repository.
fn invocation(settings: &Settings, session: &Session) -> String {
    let mut words = vec![quoted(&session.world.program())];
    let typed = |origin: &Origin| matches!(origin, Origin::CommandLine(_));
    if let Some(set) = settings.repository.as_ref().filter(|set| typed(&set.origin)) {
        words.push(format!("-r {}", quoted(&set.value.to_string_lossy())));
    }
    if let Some(set) = settings.secret.as_ref().filter(|set| typed(&set.origin)) {
        words.push(set.value.flag());
    }
    words.join(" ")
}

/// The snapshot is there, but nobody looked whether all it needs is: it must not pass for a good backup.
pub fn unconfirmed(snapshot: Option<ObjectId>, error: RepositoryError) -> Complaint {
    let name = snapshot.map_or_else(String::new, |id| id.short());
    let cause = Complaint::from(error);
    let complaint = Complaint::new(cause.exit, format!("snapshot {name} was stored but could not be confirmed"));
    complaint.since(cause.sentence()).hint("run the backup again: it finishes the check")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::format::snapshot::Summary;
    use vault_engine::store::stages::Stage;

    fn outcome() -> BackupOutcome {
        BackupOutcome {
            snapshot: Some(ObjectId([0xab; 32])),
            unconfirmed: None,
            parent: None,
            summary: Summary { files_new: 2, files_unmodified: 1, dirs_new: 1, content_bytes: 4096, new_bytes: 3072, stored_bytes: 1024, ..Summary::default() },
            missing: 1,
            changed_while_read: 0,
            replaced: None,
            bytes_read: 3072,
            duration: std::time::Duration::from_secs(2),
            stages: Stage::ALL.map(|stage| (stage, std::time::Duration::from_millis(500))),
        }
    }

    #[test]
    fn the_summary_says_what_was_done() {
        assert_eq!(
            lines(&outcome(), false),
            [
                "",
                "Files:     2 new, 0 changed, 1 unchanged",
                "Folders:   1 new, 0 changed, 0 unchanged",
                "Read:      3.000 KiB of 4.000 KiB",
                "Added:     1.000 KiB for 3.000 KiB of new data (ratio 3.00)",
                "Time:      2.00 s (2.000 KiB/s)",
                "Missing:   1 entry could not be read, listed above",
                "Snapshot:  abababab",
            ]
        );
        let event = event(&outcome(), false, 1);
        assert_eq!((event.stage_seconds.len(), event.stage_seconds["store_wait"]), (7, 0.5));
        assert!(stages(&outcome()).ends_with("seal 0.50 s, store wait 0.50 s"));
        assert_eq!((event.total_files_processed, event.data_added, event.confirmed), (3, 3072, Some(true)));
    }

    #[test]
    fn an_unconfirmed_snapshot_is_a_failure() {
        let complaint = unconfirmed(Some(ObjectId([1; 32])), RepositoryError::MissingChunk("x".into()));
        assert_eq!(complaint.exit.code(), 1);
        assert!(complaint.sentence().starts_with("snapshot 01010101 was stored but could not be confirmed: "));
    }
}
