//! `vault heal`: mends what rotted, from parity, from the second place of key slots, from other copies of the repository.

use super::scrub;
use crate::complaint::{Complaint, settle};
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::progress::{Activity, Screen};
use crate::output::text::{bytes, count, span};
use crate::session::Session;
use std::ffi::OsString;
use std::time::Duration;
use vault_engine::ops::heal::{HealOptions, HealOutcome, Healed, Placed, heal};
use vault_engine::ops::scrub::{Fault, Finding, Remedy};

/// Mend what rotted, without any password or key
///
/// Packs are mended by their parity, key slots from their second place, anything from another copy of the repository. What is put has the hash that is its name,
/// so even a hostile copy can only fail to help. Backups and prunes may run meanwhile.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Repository to mend [default: the one that --repo or a setting names]
    #[arg(value_name = "LOCATION")]
    location: Option<OsString>,

    /// Another copy of the repository to take from what cannot be mended here (can be repeated)
    #[arg(long, value_name = "LOCATION")]
    from: Vec<OsString>,

    /// Also bring what the other copies have and this one has not; what was pruned on purpose comes back too, until the next prune
    #[arg(long, requires = "from")]
    missing: bool,

    /// Change nothing, only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let (_, store) = session.store(args.location.as_ref())?;
    let mirrors = args.from.iter().map(|from| session.store(Some(from)).map(|(_, store)| store)).collect::<Result<_, _>>()?;
    let options = HealOptions { mirrors, missing: args.missing, dry_run: args.dry_run };
    let cancel = session.world.be_polite();
    let screen = Screen::start(&session.output, Activity { name: "heal", during: "heal", lists_removed: false });
    let result = heal(&*store, &options, &screen, &cancel);
    let (duration, _) = screen.finish();
    let outcome = result?;
    let exit = if outcome.beyond.is_empty() { Exit::Complete } else { Exit::Damaged };
    settle(report(&outcome, args, duration, session), exit)
}

fn report(outcome: &HealOutcome, args: &Args, duration: Duration, session: &Session) -> Result<(), Complaint> {
    for healed in &outcome.healed {
        tell(healed, session)?;
    }
    for finding in &outcome.beyond {
        scrub::tell(finding, session)?;
    }
    session.output.event(&Event::Summary(json::Summary::Heal(json::HealSummary {
        dry_run: args.dry_run,
        objects: outcome.objects,
        bytes_read: outcome.bytes_read,
        objects_healed: outcome.healed.len() as u64,
        num_errors: outcome.beyond.len() as u64,
        seconds_elapsed: duration.as_secs(),
    })))?;
    lines(outcome, args, duration).iter().try_for_each(|line| session.output.remark(line))
}

fn tell(healed: &Healed, session: &Session) -> Result<(), Complaint> {
    let finding = &healed.finding;
    let remedy = remedy_word(finding.remedy.unwrap_or(Remedy::Parity));
    let placed = match healed.placed {
        Placed::Replaced => "replaced",
        Placed::Beside => "beside",
        Placed::NotYet => "not_yet",
    };
    session.output.event(&Event::Healed(json::Healed { object: finding.name.path(), what: fault_words(finding), remedy: remedy.to_owned(), placed }))?;
    let done = match healed.placed {
        Placed::Replaced => "healed",
        Placed::Beside => "healed, by a copy beside it",
        Placed::NotYet => "would be healed",
    };
    session.output.line(format_args!("{}: {}; {done} ({remedy})", finding.name, fault_words(finding)))
}

/// What is wrong with an object.
pub(super) fn fault_words(finding: &Finding) -> String {
    let mut words = match &finding.fault {
        Fault::WrongHash => "its bytes do not have the hash that is its name".to_owned(),
        Fault::Unreadable(reason) => reason.clone(),
        Fault::TooLong => "it is longer than any object may be".to_owned(),
        Fault::Missing => "it is missing".to_owned(),
    };
    if let Some(shards) = finding.bad_shards {
        words = format!("{words} ({})", count(shards, "shard is bad", "shards are bad"));
    }
    words
}

/// Where its bytes come from.
pub(super) fn remedy_word(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::HealedCopy => "healed copy",
        Remedy::Twin => "second place",
        Remedy::Parity => "parity",
        Remedy::Mirror(_) => "other copy of the repository",
    }
}

fn lines(outcome: &HealOutcome, args: &Args, duration: Duration) -> Vec<String> {
    let mut lines = vec![format!("Read {} in {} in {}.", count(outcome.objects, "object", "objects"), bytes(outcome.bytes_read), span(duration))];
    let would = if args.dry_run { "would be " } else { "" };
    if outcome.healed.is_empty() && outcome.beyond.is_empty() {
        lines.push("Nothing needs healing.".into());
    } else {
        lines.push(format!("{} {would}healed.", count(outcome.healed.len() as u64, "object", "objects")));
    }
    if !outcome.beyond.is_empty() {
        lines.push(format!("{} beyond healing; all else can be restored.", count(outcome.beyond.len() as u64, "object is", "objects are")));
        let hint = if args.from.is_empty() { "--from LOCATION takes them from another copy of the repository. " } else { "" };
        lines.push(format!("{hint}vault verify tells which files they concern; a backup with --force stores again what is lost and still there."));
    }
    lines
}
