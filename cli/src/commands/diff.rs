//! `vault diff`: what changed from one snapshot to another.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::session::Session;
use std::ffi::OsString;

/// Show what changed from one snapshot to another
///
/// Each line begins with + (added), - (removed), M (contents changed), T (type changed) or U (metadata changed, with --metadata).
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshot to start from: an ID or its beginning, latest~1, ID:PATH
    #[arg(value_name = "FROM")]
    from: OsString,

    /// Snapshot to compare it with
    #[arg(value_name = "TO")]
    to: OsString,

    /// Show changes of metadata too
    #[arg(long)]
    metadata: bool,
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
