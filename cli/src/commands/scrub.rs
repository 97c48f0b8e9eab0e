//! `vault scrub`: does what lies in the store still have the hashes that are its names?

use super::heal::{fault_words, remedy_word};
use crate::complaint::{Complaint, settle};
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::progress::{Activity, Screen};
use crate::output::text::{bytes, count, span};
use crate::session::Session;
use std::ffi::OsString;
use std::time::Duration;
use vault_engine::ops::scrub::{Finding, ScrubOutcome, scrub};

/// Look for rot, without any password or key
///
/// Every object is read and its hash compared with its name. Says what vault heal can mend. Nothing is changed. Can run where the repository lies, from cron,
/// on a machine that knows no secret. vault verify looks further: it opens what is sealed.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Repository to look at [default: the one that --repo or a setting names]
    #[arg(value_name = "LOCATION")]
    location: Option<OsString>,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let (_, store) = session.store(args.location.as_ref())?;
    let cancel = session.world.be_polite();
    let screen = Screen::start(&session.output, Activity { name: "scrub", during: "scrub", lists_removed: false });
    let result = scrub(&*store, &screen, &cancel);
    let (duration, _) = screen.finish();
    let outcome = result?;
    let exit = if outcome.findings.is_empty() { Exit::Complete } else { Exit::Damaged };
    settle(report(&outcome, duration, session), exit)
}

fn report(outcome: &ScrubOutcome, duration: Duration, session: &Session) -> Result<(), Complaint> {
    for finding in &outcome.findings {
        tell(finding, session)?;
    }
    let mendable = outcome.findings.iter().filter(|finding| finding.remedy.is_some()).count() as u64;
    session.output.event(&Event::Summary(json::Summary::Scrub(json::ScrubSummary {
        objects: outcome.objects,
        bytes_read: outcome.bytes_read,
        num_errors: outcome.findings.len() as u64,
        mendable,
        healed_copies: outcome.healed,
        seconds_elapsed: duration.as_secs(),
    })))?;
    lines(outcome, mendable, duration).iter().try_for_each(|line| session.output.remark(line))
}

/// One damaged object that was not mended.
pub(super) fn tell(finding: &Finding, session: &Session) -> Result<(), Complaint> {
    let what = fault_words(finding);
    session.output.event(&Event::Damage(json::Damage {
        kind: "object",
        object: finding.name.path(),
        what: vec![what.clone()],
        mendable: finding.remedy.is_some(),
        lost: 0,
        touched: Vec::new(),
        touched_total: 0,
    }))?;
    let help = finding.remedy.map_or_else(|| "nothing here makes up for it".to_owned(), |remedy| format!("{} makes up for it", remedy_word(remedy)));
    session.output.line(format_args!("{}: {what}; {help}", finding.name))
}

fn lines(outcome: &ScrubOutcome, mendable: u64, duration: Duration) -> Vec<String> {
    let mut lines = vec![format!("Read {} in {} in {}.", count(outcome.objects, "object", "objects"), bytes(outcome.bytes_read), span(duration))];
    if outcome.healed > 0 {
        lines.push(format!("{} damaged or missing, and the healed copy beside it serves.", count(outcome.healed, "object is", "objects are")));
    }
    let found = outcome.findings.len() as u64;
    if found == 0 {
        lines.push("No rot was found.".into());
        return lines;
    }
    lines.push(format!("{} damaged.", count(found, "object is", "objects are")));
    if mendable > 0 {
        lines.push(format!("vault heal mends {mendable} of them."));
    }
    if mendable < found {
        lines.push(
            "vault heal --from LOCATION takes what it cannot mend from another copy of the repository; vault verify tells which files it concerns.".into(),
        );
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::format::id::ObjectId;
    use vault_engine::format::layout::{ObjectKind, ObjectName};
    use vault_engine::ops::scrub::{Fault, Remedy};

    #[test]
    fn the_last_lines_say_what_to_do() {
        let finding = |remedy| Finding { name: ObjectName::new(ObjectKind::DataPack, ObjectId([1; 32])), fault: Fault::WrongHash, remedy, bad_shards: Some(3) };
        let sound = ScrubOutcome { objects: 2, ..ScrubOutcome::default() };
        assert_eq!(lines(&sound, 0, Duration::ZERO)[1..], ["No rot was found."]);
        let rotten = ScrubOutcome { findings: vec![finding(Some(Remedy::Parity)), finding(None)], ..sound };
        let told = lines(&rotten, 1, Duration::ZERO);
        assert_eq!(told[1..3], ["2 objects are damaged.", "vault heal mends 1 of them."]);
        assert!(told[3].contains("--from"));
    }
}
