//! `vault verify`: is everything there, and is it what was stored?

use crate::args::filter::FilterArgs;
use crate::complaint::{Complaint, settle};
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::progress::{Activity, Screen};
use crate::output::text::{bytes, count, span, visible};
use crate::session::Session;
use std::ffi::OsString;
use std::time::Duration;
use vault_engine::ops::verify::{Damage, DamageKind, VerifyOptions, VerifyOutcome, verify};
use vault_engine::store::error::RepositoryError;

/// Check the repository
///
/// Without flags the structure is checked: every snapshot, folder and pack table, and that all they name is there. With --read-data every
/// byte is read and checked too. Nothing is changed.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Check only these snapshots and what they need [default: everything]
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<OsString>,

    /// Read and check every byte
    #[arg(long)]
    read_data: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open()?;
    let snapshots = if args.ids.is_empty() && args.filter.is_empty() {
        None
    } else {
        let (wanted, _) = args.filter.snapshots(&repository, &args.ids, session)?;
        Some(wanted.iter().map(|stored| stored.id).collect())
    };
    let options = VerifyOptions { read_data: args.read_data, snapshots, ..VerifyOptions::default() };
    let cancel = session.world.be_polite();
    let screen = Screen::start(&session.output, Activity { name: "verify", during: "verify", lists_removed: false });
    let result = verify(&repository, &options, &screen, &cancel);
    let (duration, _) = screen.finish();
    let outcome = result.map_err(damage_is_damage)?;

    let exit = if outcome.damage.is_empty() { Exit::Complete } else { Exit::Damaged };
    settle(report(&outcome, args.read_data, duration, session), exit)
}

fn report(outcome: &VerifyOutcome, read_data: bool, duration: Duration, session: &Session) -> Result<(), Complaint> {
    for note in &outcome.notes {
        let message = format!("{}: {}", note.object, note.what);
        session.output.note(&message);
        session.output.event(&Event::Note(json::Note { message }))?;
    }
    for damage in &outcome.damage {
        tell(damage, session)?;
    }
    session.output.event(&Event::Summary(json::Summary::Verify(event(outcome, duration))))?;
    lines(outcome, read_data, duration).iter().try_for_each(|line| session.output.remark(line))
}

/// Damage that kept the verification itself from going on has the same code as damage that was found.
fn damage_is_damage(error: RepositoryError) -> Complaint {
    let is_damage = error.is_damage();
    let complaint = Complaint::from(error);
    if is_damage { Complaint { exit: Exit::Damaged, ..complaint } } else { complaint }
}

fn kind_word(kind: DamageKind) -> &'static str {
    match kind {
        DamageKind::Control => "control",
        DamageKind::Hidden => "hidden",
        DamageKind::Pack => "pack",
        DamageKind::Tree => "tree",
        DamageKind::Chunk => "chunk",
        DamageKind::Unsupported => "unsupported",
    }
}

fn tell(damage: &Damage, session: &Session) -> Result<(), Complaint> {
    let touched = damage.touched.iter().map(|touched| {
        let (path, path_hex) = json::lossy(&touched.path);
        json::Touched { snapshot: touched.snapshot.to_hex(), path, path_hex }
    });
    session.output.event(&Event::Damage(json::Damage {
        kind: kind_word(damage.kind),
        object: damage.object.clone(),
        what: damage.what.clone(),
        mendable: damage.mendable,
        lost: damage.lost,
        touched: touched.collect(),
        touched_total: damage.touched_total,
    }))?;
    for line in words(damage) {
        session.output.line(line)?;
    }
    Ok(())
}

/// One damaged object, and what that means for files.
fn words(damage: &Damage) -> Vec<String> {
    let mut lines = vec![visible(format!("{}: {}", damage.object, damage.what.join("; ")).as_bytes()).into_owned()];
    if damage.mendable {
        lines.push("  its parity makes up for it: run vault heal".into());
    }
    if damage.touched_total > 0 {
        lines.push(format!("  {} cannot be restored whole:", count(damage.touched_total, "file or folder", "files and folders")));
    }
    for touched in &damage.touched {
        lines.push(format!("    {}:{}", touched.snapshot.short(), visible(&touched.path)));
    }
    let more = damage.touched_total - damage.touched.len() as u64;
    if more > 0 {
        lines.push(format!("    and {more} more"));
    }
    lines
}

fn event(outcome: &VerifyOutcome, duration: Duration) -> json::VerifySummary {
    json::VerifySummary {
        num_errors: outcome.damage.len() as u64,
        snapshots: outcome.snapshots,
        trees: outcome.trees,
        packs: outcome.packs,
        bytes_read: outcome.bytes_read,
        seconds_elapsed: duration.as_secs(),
    }
}

fn lines(outcome: &VerifyOutcome, read_data: bool, duration: Duration) -> Vec<String> {
    let seen = format!(
        "{}, {}, {}",
        count(outcome.snapshots, "snapshot", "snapshots"),
        count(outcome.trees, "folder node", "folder nodes"),
        count(outcome.packs, "pack", "packs")
    );
    let read = if read_data { format!(", {} read", bytes(outcome.bytes_read)) } else { String::new() };
    let mut lines = vec![format!("Checked {seen}{read} in {}.", span(duration))];
    if outcome.damage.is_empty() {
        lines.push("No damage was found.".into());
    } else {
        let objects = count(outcome.damage.len() as u64, "object is", "objects are");
        lines.push(format!("{objects} damaged. All that is not listed can be restored."));
        let mendable = outcome.damage.iter().filter(|damage| damage.mendable).count() as u64;
        if mendable > 0 {
            lines.push(format!("vault heal mends {}.", count(mendable, "of them", "of them")));
        }
        if mendable < outcome.damage.len() as u64 {
            lines.push("vault heal --from LOCATION takes the rest from another copy of the repository, if there is one.".into());
            lines.push("A backup of the same files with --force stores again what is lost, as far as the files are still there.".into());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::format::id::ObjectId;
    use vault_engine::ops::verify::Touched;

    #[test]
    fn damage_says_what_it_means_for_files() {
        let touched = vec![Touched { snapshot: ObjectId([0xab; 32]), path: b"/a\x1b".to_vec() }];
        let damage = Damage {
            kind: DamageKind::Pack,
            object: "data/00".into(),
            what: vec!["cut short".into(), "gone".into()],
            mendable: false,
            lost: 2,
            touched,
            touched_total: 3,
        };
        let expected = ["data/00: cut short; gone", "  3 files and folders cannot be restored whole:", "    abababab:/a\\x1b", "    and 2 more"];
        assert_eq!(words(&damage), expected);
        let outcome = VerifyOutcome { damage: vec![damage], ..VerifyOutcome::default() };
        assert!(lines(&outcome, false, Duration::ZERO)[1].starts_with("1 object is damaged."));
        assert_eq!(damage_is_damage(RepositoryError::MissingChunk("x".into())).exit, Exit::Damaged);
        assert_eq!(damage_is_damage(RepositoryError::Cancelled).exit, Exit::Interrupted);
    }
}
