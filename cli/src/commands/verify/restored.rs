//! `vault verify --restore`: all that a restore does, into nothing.

use super::args::{Args, Level};
use super::{Teller, damage_is_damage, words};
use crate::complaint::{Complaint, settle};
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::{bytes, count, span};
use crate::session::Session;
use std::time::Duration;
use vault_engine::ops::verify::affected::newest_of_each;
use vault_engine::ops::verify::restored::{RestoredOutcome, restore_to_nowhere};

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open_contents()?;
    let (mut snapshots, are_damaged) = args.filter.snapshots(&repository, &args.ids, session)?;
    if args.ids.is_empty() {
        snapshots = newest_of_each(&snapshots);
    }
    let cancel = session.world.be_polite();
    let screen = Teller::start(session);
    let result = restore_to_nowhere(&repository, &snapshots, &screen, &cancel);
    let (duration, _) = screen.finish();
    let outcome = result.map_err(damage_is_damage)?;
    let exit = if outcome.problems > 0 || (are_damaged && args.ids.is_empty()) { Exit::Damaged } else { Exit::Complete };
    settle(tell(&outcome, duration, session), exit)
}

fn tell(outcome: &RestoredOutcome, duration: Duration, session: &Session) -> Result<(), Complaint> {
    words::tell_affected(&outcome.affected, session)?;
    let sums = words::sums(&outcome.affected);
    session.output.event(&Event::Summary(json::Summary::Verify(Box::new(json::VerifySummary {
        level: Level::Restore.word(),
        num_errors: outcome.problems,
        snapshots: outcome.snapshots,
        seconds_elapsed: duration.as_secs(),
        affected_files: sums.files,
        affected_folders: sums.folders,
        total_files: Some(outcome.files),
        total_bytes: Some(outcome.bytes),
        ..json::VerifySummary::default()
    }))))?;
    lines(outcome, duration).iter().try_for_each(|line| session.output.remark(line))
}

fn lines(outcome: &RestoredOutcome, duration: Duration) -> Vec<String> {
    let mut lines = vec![format!(
        "Restored {} to nowhere: {} and {}, {}, in {}.",
        count(outcome.snapshots, "snapshot", "snapshots"),
        count(outcome.files, "file", "files"),
        count(outcome.directories, "folder", "folders"),
        bytes(outcome.bytes),
        span(duration)
    )];
    if outcome.problems == 0 {
        lines.push("Every byte of every file came, under its right name.".into());
    } else {
        lines.push("Everything else came back whole.".into());
        // A restore meets blocks, not packs: what a backup is to store again has to be found first.
        lines.push("vault verify --read-data says which packs are damaged, and remembers it for the next backup.".into());
        lines.extend(words::advice(true));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_say_whether_all_came() {
        let outcome = RestoredOutcome { snapshots: 2, files: 3, directories: 1, bytes: 1024, ..RestoredOutcome::default() };
        assert_eq!(
            lines(&outcome, Duration::from_secs(1)),
            ["Restored 2 snapshots to nowhere: 3 files and 1 folder, 1.000 KiB, in 1.00 s.", "Every byte of every file came, under its right name."]
        );
        assert!(lines(&RestoredOutcome { problems: 1, ..outcome }, Duration::ZERO).len() > 2);
    }
}
