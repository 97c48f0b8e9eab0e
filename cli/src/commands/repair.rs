//! `vault repair`: makes a repository that lost objects whole again, as far as its packs go, and marks what is lost for good.

use crate::complaint::{Complaint, settle};
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::{self, Event};
use crate::output::progress::{Activity, Screen};
use crate::output::text::{count, local, rfc3339, visible};
use crate::session::Session;
use vault_engine::ops::repair::{RepairOptions, RepairOutcome, repair, repair_index};

/// Make a damaged repository whole again, as far as its packs go
///
/// A missing configuration, index and list of snapshots are made anew from the packs. Files and folders that lost something are marked in their snapshots, and all
/// else can be restored; the next backup stores them again. What is good in damaged packs is moved, and the packs are deleted. Run `vault heal` first: what it mends
/// is not lost.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    part: Option<Part>,

    /// Change nothing, only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Read every byte, to find all that is damaged; otherwise only what is missing is looked for
    #[arg(long)]
    read_data: bool,

    /// Make snapshots of all trees that no snapshot needs, even if no snapshot seems to be missing
    #[arg(long)]
    orphans: bool,

    /// Host name for snapshots that are found by their trees: the true one is lost with their records [default: this machine's]
    #[arg(short = 'H', long)]
    host: Option<String>,
}

#[derive(clap::Subcommand, Debug)]
enum Part {
    /// Only make the index anew from the packs
    Index,
}

/// Packs that are read at the same time.
const THREADS: usize = 4;

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let mut repository = session.open()?;
    let cancel = session.world.be_polite();
    let screen = Screen::start(&session.output, Activity { name: "repair", during: "repair", lists_removed: false });
    if matches!(args.part, Some(Part::Index)) {
        let result = repair_index(&repository, THREADS, &screen, &cancel);
        let (_, problems) = screen.finish();
        let packs = result?;
        let told = tell(&RepairOutcome { index: Some(packs), ..RepairOutcome::default() }, false, &session.output);
        return settle(told, if problems > 0 { Exit::Damaged } else { Exit::Complete });
    }
    let options = RepairOptions {
        writer: session.world.host.clone(),
        host: args.host.clone().unwrap_or_else(|| session.world.host.clone()),
        read_data: args.read_data,
        orphans: args.orphans,
        dry_run: args.dry_run,
        threads: THREADS,
        program: concat!("vault ", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let result = repair(&mut repository, &options, &screen, &cancel);
    screen.finish();
    let outcome = result?;
    let told = tell(&outcome, args.dry_run, &session.output);
    settle(told, if outcome.has_losses() { Exit::Damaged } else { Exit::Complete })
}

fn tell(outcome: &RepairOutcome, dry_run: bool, output: &Output) -> Result<(), Complaint> {
    let would = if dry_run { "would be " } else { "" };
    if outcome.config {
        output.remark(format_args!("No configuration opened: a new one {would}put."))?;
    }
    if let Some(packs) = outcome.index {
        output.remark(format_args!("The index {would}made anew from {}.", count(packs, "pack", "packs")))?;
    }
    for found in &outcome.recovered {
        let name = found.id.map_or_else(|| "a snapshot".to_owned(), |id| id.short());
        let paths: Vec<String> = found.paths.iter().map(|path| visible(path).into_owned()).collect();
        output.remark(format_args!(
            "Found again: {name} of about {}, {}, {}.",
            local(found.time),
            paths.join(" "),
            count(found.entries, "entry", "entries")
        ))?;
        if found.marked > 0 {
            output.warn(&format!("{} of it lost something, and are marked", count(found.marked, "entry", "entries")));
        }
    }
    for mended in &outcome.mended {
        let old = mended.old.short();
        match mended.new {
            _ if mended.is_gone => output.warn(&format!("nothing is left of snapshot {old}: it {would}forgotten")),
            Some(new) => output.warn(&format!(
                "{} of snapshot {old} lost something, and are marked in {} in its place",
                count(mended.marked, "entry", "entries"),
                new.short()
            )),
            None => output.warn(&format!("{} of snapshot {old} lost something, and would be marked", count(mended.marked, "entry", "entries"))),
        }
    }
    if outcome.packs_damaged > 0 {
        let left = if dry_run { String::new() } else { format!(", {} deleted after what is good in them was moved", outcome.packs_deleted) };
        output.remark(format_args!("{} damaged{left}.", count(outcome.packs_damaged, "pack is", "packs are")))?;
    }
    if outcome.records_deleted > 0 {
        output.remark(format_args!("{} of snapshots {would}cleared away.", count(outcome.records_deleted, "damaged record", "damaged records")))?;
    }
    if outcome.is_nothing() {
        output.remark("Nothing is missing; vault repair --read-data would look at every byte.")?;
    } else if outcome.has_losses() {
        output.remark("The next backup of these sources stores what was lost again, where it is still there.")?;
    }
    output.event(&Event::Summary(json::Summary::Repair(json::RepairSummary {
        dry_run,
        configuration: outcome.config,
        index_packs: outcome.index,
        recovered: outcome
            .recovered
            .iter()
            .map(|found| json::Recovered { snapshot: found.id.map(|id| id.to_hex()), time: rfc3339(found.time), entries: found.entries, marked: found.marked })
            .collect(),
        mended: outcome
            .mended
            .iter()
            .map(|mended| json::Mended { old_snapshot_id: mended.old.to_hex(), new_snapshot_id: mended.new.map(|id| id.to_hex()), marked: mended.marked })
            .collect(),
        packs_damaged: outcome.packs_damaged,
        packs_deleted: outcome.packs_deleted,
        records_deleted: outcome.records_deleted,
    })))
}
