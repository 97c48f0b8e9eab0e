//! `vault ls`: what lies in a snapshot.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::filter::FilterArgs;
use crate::session::Session;
use std::ffi::OsString;

/// List the files in a snapshot
///
/// Without folders everything is listed. With folders only what lies directly in them, unless --recursive is given.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshot to look into: an ID or its beginning, latest, latest~2, ID:PATH
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    snapshot: OsString,

    /// Folders to list
    #[arg(value_name = "DIR")]
    dirs: Vec<OsString>,

    /// Show type, permissions, owner, size and time
    #[arg(short, long)]
    long: bool,

    /// List what lies in folders below, too
    #[arg(long)]
    recursive: bool,

    /// Show sizes with units (with --long)
    #[arg(long)]
    human_readable: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
