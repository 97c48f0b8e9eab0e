//! `vault init`: makes a repository and its first keys.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::session::{Session, located};
use vault_engine::format::parity::ParityScheme;
use vault_engine::format::seal::Cipher;
use vault_engine::store::repository::InitOptions;

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

    /// Size of new data packs [default: 16M; 32M in a bucket]
    #[arg(long, value_name = "SIZE", value_parser = crate::args::filter::size)]
    pack_size: Option<u64>,

    /// Cipher for its contents: xchacha20-poly1305 or aes-256-gcm; vault bench says which is faster here [default: xchacha20-poly1305]
    #[arg(long, value_name = "NAME", value_parser = crate::units::cipher)]
    cipher: Option<Cipher>,

    /// Parity in new packs, by which vault heal mends rot: reed-solomon (a thirtieth more room) or none [default: reed-solomon where the store is a disk]
    #[arg(long, value_name = "SCHEME", value_parser = crate::units::parity)]
    parity: Option<ParityScheme>,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let settings = session.settings()?;
    let label = args.label.clone().unwrap_or_else(|| session.world.user());
    let (_, location) = located(&settings)?;
    let options = InitOptions {
        cipher: args.cipher.unwrap_or_default(),
        parity: args.parity,
        pack_size_bytes: args.pack_size.unwrap_or_else(|| location.pack_size_bytes()),
        ..InitOptions::default()
    };
    session.create(&settings, &label, !args.no_recovery_key, options)?;
    Ok(Exit::Complete)
}
