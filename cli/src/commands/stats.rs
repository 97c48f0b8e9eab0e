//! `vault stats`: how much there is.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::filter::FilterArgs;
use crate::session::Session;
use std::ffi::OsString;

/// Show how much the snapshots hold
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to count [default: all]
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<OsString>,

    /// What to count
    #[arg(long, value_enum, default_value_t = Mode::RestoreSize)]
    mode: Mode,

    #[command(flatten)]
    filter: FilterArgs,
}

/// What is counted.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// What a restore of each snapshot would write
    RestoreSize,
    /// Files with different contents, each once
    FilesByContents,
    /// What the chunks take in the repository
    RawData,
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
