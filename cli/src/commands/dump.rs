//! `vault dump`: one file of a snapshot on standard output.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::filter::FilterArgs;
use crate::session::Session;
use std::ffi::OsString;

/// Write a file of a snapshot to standard output
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshot to read from: an ID or its beginning, latest, latest~2, ID:PATH
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    snapshot: OsString,

    /// File to write; may be left out where the snapshot names a path
    #[arg(value_name = "FILE")]
    file: Option<OsString>,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
