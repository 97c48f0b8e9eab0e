//! `vault init`: makes a repository and its first keys.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::session::Session;

/// Make a repository
///
/// Without a password or key file named, a key file is made in your configuration directory. A recovery key is made too and shown once.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Text that tells this key from others later
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,

    /// Make no recovery key
    #[arg(long)]
    no_recovery_key: bool,

    /// Size of new data packs [default: 32M]
    #[arg(long, value_name = "SIZE", value_parser = crate::args::filter::size)]
    pack_size: Option<u64>,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let settings = session.settings()?;
    let label = args.label.clone().unwrap_or_else(|| session.world.user());
    session.create(&settings, &label, !args.no_recovery_key, args.pack_size)?;
    Ok(Exit::Complete)
}
