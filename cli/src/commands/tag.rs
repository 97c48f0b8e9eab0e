//! `vault tag`: changes the tags of snapshots.

use crate::args::filter;
use crate::args::filter::FilterArgs;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::count;
use crate::session::Session;
use std::ffi::OsString;
use vault_engine::ops::edit::{TagChange, tag};

/// Change the tags of snapshots
///
/// A snapshot is named by its contents, so one with other tags has another ID; the old record is replaced.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("change").args(["set", "add", "remove"]).required(true).multiple(true))]
pub struct Args {
    /// Snapshots to change [default: all that the filters leave]
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<OsString>,

    /// Tags to have instead of all others, separated by commas; empty: none (can be repeated)
    #[arg(long, value_name = "TAG,…", conflicts_with_all = ["add", "remove"])]
    set: Vec<String>,

    /// Tags to add, separated by commas (can be repeated)
    #[arg(long, value_name = "TAG,…")]
    add: Vec<String>,

    /// Tags to remove, separated by commas (can be repeated)
    #[arg(long, value_name = "TAG,…")]
    remove: Vec<String>,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let change = TagChange {
        // An empty list sets none.
        set: (!args.set.is_empty()).then(|| filter::tag_lists(&args.set).concat()),
        add: filter::tags(&args.add)?,
        remove: filter::tags(&args.remove)?,
    };
    let repository = session.open()?;
    let (snapshots, damaged) = args.filter.snapshots(&repository, &args.ids, session)?;
    let cancel = session.world.be_polite();
    let mut changed = 0;
    for stored in &snapshots {
        if cancel.is_cancelled() {
            return Err(Complaint::interrupted());
        }
        if let Some(id) = tag(&repository, &session.world.host, stored, &change)? {
            changed += 1;
            let (old_snapshot_id, new_snapshot_id) = (stored.id.to_hex(), id.to_hex());
            session.output.event(&Event::Tagged(json::Tagged { old_snapshot_id, new_snapshot_id }))?;
            session.output.remark(format_args!("{} is now {}", stored.id.short(), id.short()))?;
        }
    }
    session.output.remark(format_args!("Tags changed on {}.", count(changed, "snapshot", "snapshots")))?;
    Ok(if damaged { Exit::Failed } else { Exit::Complete })
}
