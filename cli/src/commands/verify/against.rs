//! `vault verify --against`: a snapshot held against the files that it was made of.

use super::args::{Args, Level};
use super::{Teller, damage_is_damage};
use crate::commands::backup::own;
use crate::complaint::{Complaint, settle, shown};
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::{bytes, count, span, visible};
use crate::session::Session;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use vault_engine::format::node::NodeType;
use vault_engine::ops::browse::resolve;
use vault_engine::ops::source::Source as _;
use vault_engine::ops::verify::against::{AgainstOutcome, Aspect, Difference, DifferenceKind, against};
use vault_engine::sources::files::{FileSource, Options};

pub fn run(args: &Args, path: &Path, session: &Session) -> Result<Exit, Complaint> {
    let latest = OsString::from("latest");
    let selector = match &args.ids[..] {
        [] => &latest,
        [one] => one,
        _ => return Err(Complaint::usage("--against compares one snapshot")),
    };
    let settings = session.settings()?;
    let repository = session.open_with(&settings)?;
    repository.require_contents()?;
    let (stored, folder) = args.filter.snapshot(&repository, selector, session)?;
    let leave_out = args.leave_out.options(&settings.backup, &session.world)?;
    let source = FileSource::new(Options { paths: vec![path.to_owned()], own: own(&settings)?, ..leave_out })
        .map_err(|error| Complaint::failed(format!("cannot compare with {}", shown(&error.path))).because(&error.error))?;
    let there = source.paths().into_iter().next().unwrap_or_default();
    let start = resolve(&repository, &stored, folder.as_deref().unwrap_or(&there)).map_err(damage_is_damage)?;

    let cancel = session.world.be_polite();
    let screen = Teller::start(session);
    let mut failure = None;
    let mut tell = |difference: &Difference| {
        if failure.is_none()
            && let Err(complaint) = tell_one(difference, session)
        {
            failure = Some(complaint);
            cancel.cancel();
        }
    };
    let result = against(&repository, &stored, &start, &source, &mut tell, &screen, &cancel);
    let (duration, _) = screen.finish();
    if let Some(complaint) = failure {
        return Err(complaint);
    }
    let outcome = result.map_err(damage_is_damage)?;
    if outcome.is_nothing() {
        return Err(Complaint::usage(format!("nothing was compared: {} itself is left out", shown(path))));
    }
    settle(tell_sums(&outcome, &stored.id.short(), duration, session), exit(&outcome))
}

/// Damage of the repository is worse than a difference, and a difference that time explains is none to worry about. What the snapshot does not have
/// counts for nothing: it may have been left out on purpose.
fn exit(outcome: &AgainstOutcome) -> Exit {
    match outcome {
        AgainstOutcome { damaged: 1.., .. } => Exit::Damaged,
        outcome if outcome.unexplained() > 0 => Exit::Incomplete,
        _ => Exit::Complete,
    }
}

fn action(kind: DifferenceKind) -> &'static str {
    match kind {
        DifferenceKind::Changed => "changed",
        DifferenceKind::Missing => "missing",
        DifferenceKind::Extra => "extra",
    }
}

fn tell_one(difference: &Difference, session: &Session) -> Result<(), Complaint> {
    let (path, path_hex) = json::lossy(&difference.path);
    session.output.event(&Event::Difference(json::Difference {
        action: action(difference.kind),
        path,
        path_hex,
        node_type: difference.node_type.word(),
        aspects: difference.aspects.iter().map(|aspect| aspect.word()).collect(),
        explained: difference.is_explained,
    }))?;
    // What is usual between two backups is for those who ask.
    if session.output.verbose > 0 || (difference.kind != DifferenceKind::Extra && !difference.is_explained) {
        session.output.line(line(difference))?;
    }
    Ok(())
}

fn line(difference: &Difference) -> String {
    let slash = if difference.node_type == NodeType::Directory { "/" } else { "" };
    let aspects: Vec<&str> = difference.aspects.iter().map(|aspect| aspect.word()).collect();
    let aspects = if aspects.is_empty() { String::new() } else { format!(" ({})", aspects.join(", ")) };
    let why = match (difference.kind, difference.is_explained) {
        (DifferenceKind::Changed, true) => ": since the backup",
        (DifferenceKind::Changed, false) if difference.aspects.contains(&Aspect::Contents) => ": no time says so",
        (DifferenceKind::Changed, false) => ": not since the backup, by its times",
        (DifferenceKind::Missing, true) => ": its folder changed since the backup",
        (DifferenceKind::Missing, false) => ": its folder did not change since the backup",
        (DifferenceKind::Extra, true) => ": newer than the backup",
        (DifferenceKind::Extra, false) => ": older than the backup, and left out of it",
    };
    format!("{:<8} {}{slash}{aspects}{why}", action(difference.kind), visible(&difference.path))
}

fn tell_sums(outcome: &AgainstOutcome, snapshot: &str, duration: Duration, session: &Session) -> Result<(), Complaint> {
    session.output.event(&Event::Summary(json::Summary::Verify(Box::new(json::VerifySummary {
        level: Level::Against(Path::new("")).word(),
        num_errors: outcome.damaged,
        snapshots: 1,
        seconds_elapsed: duration.as_secs(),
        total_files: Some(outcome.entries),
        total_bytes: Some(outcome.bytes),
        changed: Some(outcome.changed.0),
        missing: Some(outcome.missing.0),
        extra: Some(outcome.extra),
        left_out: Some(outcome.left_out),
        unreadable: Some(outcome.unreadable),
        unexplained: Some(outcome.unexplained()),
        ..json::VerifySummary::default()
    }))))?;
    lines(outcome, snapshot, duration).iter().try_for_each(|line| session.output.remark(line))
}

fn lines(outcome: &AgainstOutcome, snapshot: &str, duration: Duration) -> Vec<String> {
    let of = |(all, unexplained): (u64, u64)| if all == 0 { "none".to_owned() } else { format!("{all}, {unexplained} of them without an explanation") };
    let entries = count(outcome.entries, "entry", "entries");
    let mut lines = vec![
        format!("Compared {entries} of snapshot {snapshot}, {} of contents, in {}.", bytes(outcome.bytes), span(duration)),
        format!("Changed:    {}", of(outcome.changed)),
        format!("Missing:    {}", of(outcome.missing)),
        format!("Extra:      {} (newer, or left out of the backup)", outcome.extra),
    ];
    if outcome.left_out > 0 {
        lines.push(format!("Left out:   {}, not compared", count(outcome.left_out, "entry", "entries")));
    }
    if outcome.unreadable > 0 {
        lines.push(format!("Unreadable: {}, listed above", outcome.unreadable));
    }
    if outcome.damaged > 0 {
        lines.push("The repository is damaged: vault verify says what that costs.".into());
    } else if outcome.unexplained() == 0 {
        lines.push("The snapshot holds what is there, but for what changed since.".into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_time_explains_is_told_by_the_exit_code() {
        let mut outcome = AgainstOutcome { changed: (2, 0), missing: (1, 0), extra: 5, ..AgainstOutcome::default() };
        assert_eq!(exit(&outcome), Exit::Complete);
        outcome.unreadable = 1;
        assert_eq!(exit(&outcome), Exit::Incomplete);
        outcome.damaged = 1;
        assert_eq!(exit(&outcome), Exit::Damaged);
        let difference = Difference {
            path: b"/a".to_vec(),
            node_type: NodeType::File,
            kind: DifferenceKind::Changed,
            aspects: vec![Aspect::Contents, Aspect::Mode],
            is_explained: false,
        };
        assert_eq!(line(&difference), "changed  /a (contents, mode): no time says so");
    }
}
