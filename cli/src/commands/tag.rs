//! `vault tag`: changes the tags of snapshots.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::filter::FilterArgs;
use crate::session::Session;
use std::ffi::OsString;

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

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
