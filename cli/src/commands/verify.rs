//! `vault verify`: is everything there, and is it what was stored?

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::session::Session;

/// Check the repository
///
/// Without flags the structure is checked: every snapshot, tree and pack table, and that every chunk they name is somewhere. With
/// --read-data every byte is read and checked too.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Read and check every byte
    #[arg(long)]
    read_data: bool,
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
