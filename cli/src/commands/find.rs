//! `vault find`: in which snapshots a file lies.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::filter::{FilterArgs, time};
use crate::session::Session;
use std::ffi::OsString;
use vault_engine::format::node::Time;

/// Find files by name in all snapshots
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Names or paths to find; * and ? and [...] stand for what they do in a shell
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<OsString>,

    /// Take upper and lower case for equal
    #[arg(short, long)]
    ignore_case: bool,

    /// Only files changed at this time or after
    #[arg(short = 'O', long, value_name = "TIME", value_parser = time)]
    oldest: Option<Time>,

    /// Only files changed at this time or before
    #[arg(short = 'N', long, value_name = "TIME", value_parser = time)]
    newest: Option<Time>,

    /// Show type, permissions, owner, size and time
    #[arg(short, long)]
    long: bool,

    /// Show sizes with units (with --long)
    #[arg(long)]
    human_readable: bool,

    /// Look only into this snapshot (can be repeated)
    #[arg(short, long, value_name = "SNAPSHOT")]
    snapshot: Vec<OsString>,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
