//! `vault restore`.

mod args;

use super::Session;
use crate::complaint::Complaint;
use crate::exit::Exit;
pub use args::Args;

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
