//! `vault restore`.

mod args;

pub use args::Args;
use super::Session;
use crate::complaint::Complaint;
use crate::exit::Exit;

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
