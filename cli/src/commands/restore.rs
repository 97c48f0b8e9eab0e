//! `vault restore`.

mod args;

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::session::Session;
pub use args::Args;

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
