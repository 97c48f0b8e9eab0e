//! `vault key`: the passwords and keys that open the repository.

use super::Session;
use crate::complaint::Complaint;
use crate::exit::Exit;
use std::path::PathBuf;

/// Manage the passwords and keys that open the repository
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// List them
    List,
    /// Add a password or key file
    Add(NewSecret),
    /// Remove one; the last one and the one in use stay
    Remove {
        /// Key to remove: its ID or the beginning of it
        id: String,
    },
    /// Change the password (or key file) in use
    Passwd(NewSecret),
    /// Make a recovery key and show it once
    Recovery {
        /// File to write it to instead of the terminal; must not exist
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make a new root key for what is written from now on
    ///
    /// What is there already stays readable with the old root key, which all slots keep.
    Rotate,
}

#[derive(clap::Args, Debug)]
struct NewSecret {
    /// File whose text is the new password
    #[arg(long, value_name = "FILE", conflicts_with_all = ["new_key_file"])]
    new_password_file: Option<PathBuf>,

    /// Key file; made if it is missing
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,

    /// Text that tells this key from others later
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

pub fn run(_args: &Args, _session: &Session) -> Result<Exit, Complaint> {
    Err(Complaint::failed("not yet"))
}
