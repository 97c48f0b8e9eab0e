//! `vault rewrite`: drops paths from history.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::filter::FilterArgs;
use crate::session::Session;
use std::ffi::OsString;
use std::path::PathBuf;

/// Drop files from snapshots
///
/// Makes new snapshots without what the patterns fit. Without --forget the old ones stay beside them.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("patterns").args(["exclude", "iexclude", "exclude_file", "iexclude_file"]).required(true).multiple(true))]
pub struct Args {
    /// Snapshots to rewrite [default: all that the filters leave]
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<OsString>,

    /// Drop what fits the pattern (can be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,

    /// The same, upper and lower case being equal (can be repeated)
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<OsString>,

    /// File with patterns to drop, one a line; $VAR is expanded (can be repeated)
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// The same, upper and lower case being equal (can be repeated)
    #[arg(long, value_name = "FILE")]
    iexclude_file: Vec<PathBuf>,

    /// Remove the old snapshots
    #[arg(long)]
    forget: bool,

    /// Change nothing, only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
