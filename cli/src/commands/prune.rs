//! `vault prune`: frees the space that no snapshot needs.

use crate::args::filter;
use crate::complaint::{Complaint, settle};
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::progress::{Activity, Screen};
use crate::output::text::{bytes, count};
use crate::session::Session;
use crate::units;
use std::time::Duration;
use vault_engine::format::id::ObjectId;
use vault_engine::ops::alarm;
use vault_engine::ops::prune::{PruneOptions, PruneOutcome, prune as run_prune};
use vault_engine::store::error::RepositoryError;
use vault_engine::store::repository::Repository;

/// Free the space that no snapshot needs
///
/// Backups may run meanwhile, and other prunes too: there is no lock. A prune that was killed does no harm, and the next one goes on.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Change nothing, only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    pruning: PruneArgs,
}

/// What `forget --prune` takes too.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Pruning")]
pub struct PruneArgs {
    /// Move data until at most this part of the stored bytes is unused, in percent, or `unlimited`: move none. Less than a fifth of a block that is unused stays
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = percent)]
    max_unused: f64,

    /// Move at most so much out of packs that are partly unused, for example 10G
    #[arg(long, visible_alias = "max-repack-size", value_name = "SIZE", value_parser = filter::size)]
    max_repack: Option<u64>,

    /// Begin to move nothing more after this time, for example 30m
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    max_time: Option<Duration>,

    /// Do nothing to what an alarm stands over: no snapshot of that source is forgotten, and nothing is pruned, until the tag `alarm` is taken from the snapshot
    #[arg(long)]
    pub stop_on_alarm: bool,

    /// Leave what unfinished backups stored alone until it is this old
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = units::duration)]
    grace: Duration,
}

fn percent(text: &str) -> Result<f64, String> {
    if text == "unlimited" {
        return Ok(100.0);
    }
    let number: Option<f64> = text.strip_suffix('%').unwrap_or(text).trim().parse().ok();
    number.filter(|number| (0.0..=100.0).contains(number)).ok_or_else(|| format!("`{text}` is not a percentage from 0 to 100"))
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open()?;
    prune(&repository, &args.pruning, &[], args.dry_run, session)
}

/// Prunes as if the snapshots `gone` were not there, which matters in a dry run only, and tells what came of it.
pub fn prune(repository: &Repository, args: &PruneArgs, gone: &[ObjectId], dry_run: bool, session: &Session) -> Result<Exit, Complaint> {
    stop_on_alarm(repository, args, session)?;
    let options = PruneOptions {
        unused_percent_max: args.max_unused,
        repack_bytes_max: args.max_repack.unwrap_or(u64::MAX),
        time_max: args.max_time,
        grace: args.grace,
        gone: gone.to_vec(),
        dry_run,
        host: session.world.host.clone(),
        ..PruneOptions::default()
    };
    let cancel = session.world.be_polite();
    let screen = Screen::start(&session.output, Activity { name: "prune", during: "prune", lists_removed: false });
    let result = run_prune(repository, &options, &screen, &cancel);
    let (duration, problems) = screen.finish();
    let outcome = result.map_err(refused)?;
    let told = tell(&outcome, dry_run, duration, session);
    settle(told, if outcome.lost > 0 || problems > 0 { Exit::Damaged } else { Exit::Complete })
}

/// After an alarm, what was forgotten may be wanted back; a prune would take it.
fn stop_on_alarm(repository: &Repository, args: &PruneArgs, session: &Session) -> Result<(), Complaint> {
    if !(args.stop_on_alarm || session.settings()?.forget.stop_on_alarm) {
        return Ok(());
    }
    let snapshots = repository.snapshots()?.snapshots;
    alarm::standing(&snapshots).first().map_or(Ok(()), |stored| {
        Err(Complaint::failed(format!("an alarm stands over snapshot {}, so nothing is pruned", stored.id.short())).hint(SETTLE_ALARM))
    })
}

/// How an alarm is settled.
pub const SETTLE_ALARM: &str = "look at its files; if all is well, vault tag --remove alarm SNAPSHOT takes the alarm away";

fn refused(error: RepositoryError) -> Complaint {
    let is_damage = error.is_damage();
    let complaint = Complaint::from(error);
    if is_damage {
        return Complaint { exit: Exit::Damaged, ..complaint }
            .hint("nothing is deleted while it is not known what a confirmed snapshot needs; forget that snapshot, or heal it");
    }
    complaint
}

fn tell(outcome: &PruneOutcome, dry_run: bool, duration: Duration, session: &Session) -> Result<(), Complaint> {
    let output = &session.output;
    let plan = &outcome.plan;
    output.event(&Event::Summary(json::Summary::Prune(json::PruneSummary {
        dry_run,
        packs: outcome.packs,
        packs_deleted: outcome.deleted.0,
        bytes_deleted: outcome.deleted.1,
        packs_added: outcome.put.0,
        bytes_moved: outcome.put.1,
        bytes_freed: freed(outcome),
        bytes_unused_before: plan.unused_bytes.0,
        bytes_unused: plan.unused_bytes.1,
        packs_spared: outcome.spared,
        packs_unfinished: outcome.running,
        temporary_bytes: outcome.temporary_bytes,
        trees_read: outcome.trees.0,
        lost: outcome.lost,
        finished: !outcome.out_of_time && !outcome.out_of_room,
        total_duration: duration.as_secs_f64(),
    })))?;
    let would = if dry_run { "would be " } else { "" };
    output.remark(format_args!(
        "{} of {} {would}deleted, {} {would}moved into {}: {} {would}freed.",
        count(outcome.deleted.0, "pack", "packs"),
        outcome.packs,
        bytes(outcome.put.1),
        count(outcome.put.0, "new pack", "new packs"),
        bytes(freed(outcome))
    ))?;
    let left = plan.total_bytes.saturating_sub(plan.freed_bytes) + plan.moved_bytes;
    output.remark(format_args!("{} of {} stay unused.", bytes(plan.unused_bytes.1), bytes(left)))?;
    if outcome.temporary_bytes > 0 {
        output.remark(format_args!("{} of unfinished files {would}removed.", bytes(outcome.temporary_bytes)))?;
    }
    if outcome.running > 0 {
        output.remark(format_args!("{} of backups that may still run left alone (--grace).", count(outcome.running, "pack", "packs")))?;
    }
    if outcome.spared > 0 {
        output.remark(format_args!("{} spared: a new snapshot needs what is in them.", count(outcome.spared, "pack", "packs")))?;
    }
    if outcome.out_of_room {
        output.remark("There was no room for all that was to be moved; the next prune goes on, best after more was forgotten.")?;
    }
    if outcome.out_of_time {
        output.remark("The time was up before everything was moved; the next prune goes on.")?;
    }
    if outcome.lost > 0 {
        output.warn(&format!("{} that snapshots need are in no pack; vault verify tells which files that concerns", count(outcome.lost, "chunk", "chunks")));
    }
    Ok(())
}

fn freed(outcome: &PruneOutcome) -> u64 {
    (outcome.deleted.1 + outcome.temporary_bytes).saturating_sub(outcome.put.1)
}
