//! `vault cat`: objects of the repository as JSON.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::session::Session;
use std::ffi::OsString;

/// Print an object of the repository as JSON
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum What {
    /// The configuration
    Config,
    /// A snapshot's record
    Snapshot {
        /// Snapshot to print
        snapshot: OsString,
    },
    /// A folder of a snapshot
    Tree {
        /// Folder to print
        #[arg(value_name = "SNAPSHOT[:PATH]")]
        snapshot: OsString,
    },
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}

pub fn show_config(_session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
