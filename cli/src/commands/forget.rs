//! `vault forget`: which snapshots stay, by policy or by hand.

mod args;
mod show;

pub use args::Args;

use super::prune;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::count;
use crate::session::Session;
use crate::units::LocalCalendar;
use vault_engine::format::id::ObjectId;
use vault_engine::ops::forget::policy::{self, Verdict};
use vault_engine::ops::forget::{by_hand, forget};
use vault_engine::store::repository::StoredSnapshot;

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let (policy, by) = (args.policy(), args.grouping()?);
    if args.ids.is_empty() && policy.is_empty() {
        return Err(Complaint::usage("nothing says which snapshots to keep, or which to forget").hint("vault forget --keep-daily 7 --keep-weekly 5 --dry-run"));
    }
    if !args.ids.is_empty() && !policy.is_empty() {
        return Err(Complaint::usage("snapshots named by hand and a policy do not go together").hint("run forget twice"));
    }
    let repository = session.open()?;
    let (chosen, damaged) = args.filter.snapshots(&repository, &args.ids, session)?;
    let all = repository.snapshots()?.snapshots;
    let is_chosen = |stored: &StoredSnapshot| chosen.iter().any(|one| one.id == stored.id);
    let now = repository.host.now();

    let (mut going, mut kept): (Vec<&StoredSnapshot>, u64) = (Vec::new(), 0);
    if args.ids.is_empty() {
        let groups = policy::judge(&all, &is_chosen, &policy, by.as_deref(), &LocalCalendar::default(), now, args.force);
        show::groups(&groups, args.dry_run, session)?;
        for verdict in groups.into_iter().flat_map(|group| group.verdicts) {
            if verdict.reasons.is_empty() { going.push(verdict.stored) } else { kept += 1 }
        }
    } else {
        let wanted: Vec<ObjectId> = chosen.iter().map(|stored| stored.id).collect();
        going = by_hand(&all, &wanted, now, args.force)?;
        for stored in &going {
            show::verdict(&Verdict { stored, reasons: Vec::new() }, session)?;
        }
    }
    // What a killed run left: their records stand, only they are still there.
    going.retain(|stored| !stored.forgotten);
    going.extend(all.iter().filter(|stored| stored.forgotten));
    if !args.dry_run {
        forget(&repository, &going)?;
    }
    let would = if args.dry_run { "would be " } else { "" };
    let forgotten = going.len() as u64;
    session.output.remark(format_args!("{} {would}forgotten.", count(forgotten, "snapshot", "snapshots")))?;
    session.output.event(&Event::Summary(json::Summary::Forget(json::ForgetSummary { dry_run: args.dry_run, kept, forgotten })))?;
    let exit = if damaged { Exit::Failed } else { Exit::Complete };
    if !args.prune {
        if forgotten > 0 && !args.dry_run {
            session.output.remark("Their space is freed by vault prune; until then vault undelete brings them back.")?;
        }
        return Ok(exit);
    }
    let gone: Vec<ObjectId> = going.iter().map(|stored| stored.id).collect();
    let pruned = prune::prune(&repository, &args.pruning, &gone, args.dry_run, session)?;
    Ok(if exit == Exit::Complete { pruned } else { exit })
}
