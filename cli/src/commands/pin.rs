//! `vault pin` and `vault unpin`: snapshots that no policy forgets.

use crate::args::filter::{self, FilterArgs};
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::count;
use crate::session::Session;
use std::ffi::OsString;
use vault_engine::format::node::Time;
use vault_engine::format::snapshot::Pin;
use vault_engine::ops::edit::pin;

/// Keep snapshots from being forgotten
///
/// A pinned snapshot stays whatever a policy says, and is not forgotten by hand either, until it is unpinned or the pin ends.
/// It has another ID afterwards: a snapshot is named by its contents.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to pin: IDs or their beginnings, latest, latest~2
    #[arg(value_name = "SNAPSHOT", required = true)]
    ids: Vec<OsString>,

    /// Why, for whoever wonders later
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    /// When the pin ends: a time such as 2027-01-31 [default: never]
    #[arg(long, value_name = "TIME", value_parser = filter::time)]
    until: Option<Time>,

    #[command(flatten)]
    filter: FilterArgs,
}

/// Let pinned snapshots be forgotten again
#[derive(clap::Args, Debug)]
pub struct UnpinArgs {
    /// Snapshots to unpin: IDs or their beginnings, latest, latest~2
    #[arg(value_name = "SNAPSHOT", required = true)]
    ids: Vec<OsString>,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    change(&args.ids, &args.filter, Some(&Pin { reason: args.reason.clone(), until: args.until }), session)
}

pub fn run_unpin(args: &UnpinArgs, session: &Session) -> Result<Exit, Complaint> {
    change(&args.ids, &args.filter, None, session)
}

fn change(ids: &[OsString], filter: &FilterArgs, wanted: Option<&Pin>, session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open()?;
    let (snapshots, damaged) = filter.snapshots(&repository, ids, session)?;
    let mut changed = 0;
    for stored in &snapshots {
        if let Some(id) = pin(&repository, &session.world.host, stored, wanted.cloned())? {
            changed += 1;
            let (old_snapshot_id, new_snapshot_id) = (stored.id.to_hex(), id.to_hex());
            session.output.event(&Event::Tagged(json::Tagged { old_snapshot_id, new_snapshot_id }))?;
            session.output.remark(format_args!("{} is now {}", stored.id.short(), id.short()))?;
        }
    }
    let done = if wanted.is_some() { "pinned" } else { "unpinned" };
    session.output.remark(format_args!("{} {done}.", count(changed, "snapshot", "snapshots")))?;
    Ok(if damaged { Exit::Failed } else { Exit::Complete })
}
