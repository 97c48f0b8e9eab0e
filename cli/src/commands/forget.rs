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
use vault_engine::ops::alarm;
use vault_engine::ops::forget::policy::{self, Verdict};
use vault_engine::ops::forget::{by_hand, forget};
use vault_engine::store::repository::StoredSnapshot;

/// What killed runs, or runs that may not delete, left: their records stand, only they are still there. Where a source has no other good snapshot they stay:
/// who has the keys of a client that may only add can record what he wants.
fn left_behind<'a>(all: &'a [StoredSnapshot], force: bool, session: &Session) -> Vec<&'a StoredSnapshot> {
    let has_good = |stored: &StoredSnapshot| all.iter().any(|other| policy::is_good(other) && policy::source_of(other) == policy::source_of(stored));
    let (gone, last): (Vec<_>, Vec<_>) = all.iter().filter(|stored| stored.forgotten).partition(|stored| force || has_good(stored));
    if !last.is_empty() {
        session.output.warn(&format!(
            "{} recorded as forgotten, and nothing good is left of their source: they stay; vault undelete brings them back, --force takes them away",
            count(last.len() as u64, "snapshot is", "snapshots are")
        ));
    }
    gone
}

/// Says that an alarm kept snapshots from going.
fn tell_alarm(alarms: &[&StoredSnapshot], stay: usize, session: &Session) {
    if let Some(stored) = alarms.first().filter(|_| stay > 0) {
        let stay = count(stay as u64, "snapshot stays", "snapshots stay");
        session.output.warn(&format!("{stay} because an alarm stands over snapshot {}; {}", stored.id.short(), prune::SETTLE_ALARM));
    }
}

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

    let stop = args.pruning.stop_on_alarm || session.settings()?.forget.stop_on_alarm;
    let alarms = if stop { alarm::standing(&all) } else { Vec::new() };

    let (mut going, mut kept): (Vec<&StoredSnapshot>, u64) = (Vec::new(), 0);
    if args.ids.is_empty() {
        let mut groups = policy::judge(&all, &is_chosen, &policy, by.as_deref(), &LocalCalendar::default(), now, args.force);
        tell_alarm(&alarms, alarm::hold_back(&alarms, &mut groups), session);
        show::groups(&groups, args.dry_run, session)?;
        for verdict in groups.into_iter().flat_map(|group| group.verdicts) {
            if verdict.reasons.is_empty() { going.push(verdict.stored) } else { kept += 1 }
        }
    } else {
        let wanted: Vec<ObjectId> = chosen.iter().map(|stored| stored.id).collect();
        going = by_hand(&all, &wanted, now, args.force)?;
        if let Some(stored) = going.iter().find(|stored| alarm::holds(&alarms, stored)) {
            return Err(Complaint::failed(format!("an alarm stands over the source of snapshot {}, so it stays", stored.id.short())).hint(prune::SETTLE_ALARM));
        }
        for stored in &going {
            show::verdict(&Verdict { stored, reasons: Vec::new() }, session)?;
        }
    }
    going.retain(|stored| !stored.forgotten);
    let forgotten = going.len() as u64;
    going.extend(left_behind(&all, args.force, session).into_iter().filter(|stored| !alarm::holds(&alarms, stored)));
    let gone = args.dry_run || forget(&repository, &going)?;
    let would = if args.dry_run { "would be " } else { "" };
    session.output.remark(format_args!("{} {would}forgotten.", count(forgotten, "snapshot", "snapshots")))?;
    if !gone {
        session.output.note("the store does not let these credentials delete: the snapshots stay, recorded as forgotten, until vault forget runs with others");
    }
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
