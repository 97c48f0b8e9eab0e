//! `vault snapshots`: what there is to come back to.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::filter::FilterArgs;
use crate::session::Session;
use std::ffi::OsString;

/// List snapshots
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to list: IDs or their beginnings, latest, latest~2 [default: all]
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<OsString>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Show only the last N of each group
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    latest: Option<u32>,

    /// What makes a group: host, source, paths, tags, separated by commas; empty: one list
    #[arg(short, long, value_name = "BY,…", default_value = "host,source,paths")]
    group_by: String,

    /// One line a snapshot
    #[arg(short, long)]
    compact: bool,
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
