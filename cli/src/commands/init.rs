//! `vault init`: makes a repository and its first keys.

use super::Session;
use crate::complaint::Complaint;
use crate::exit::Exit;

/// Make a repository
///
/// Without a password or key file named, a key file is made in your configuration directory. A recovery key is made too and shown once.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Text that tells this key from others later
    #[arg(long, value_name = "TEXT")]
    pub label: Option<String>,

    /// Make no recovery key
    #[arg(long)]
    pub no_recovery_key: bool,

    /// Size of new data packs [default: 32M]
    #[arg(long, value_name = "SIZE", value_parser = crate::filter::size)]
    pub pack_size: Option<u64>,
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
