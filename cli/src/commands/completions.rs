//! `vault completions`: what a shell needs to complete our words.

use crate::args::Cli;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::session::Session;
use clap::CommandFactory as _;
use clap_complete::Shell;

/// Print a completion script for a shell
///
/// For bash, put it where bash looks: vault completions bash > ~/.local/share/bash-completion/completions/vault
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Shell to complete in
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vault", &mut script);
    if session.output.json {
        session
            .output
            .event(&Event::Completions(json::Completions { shell: args.shell.to_string(), script: String::from_utf8_lossy(&script).into_owned() }))?;
    } else {
        session.output.contents(&script)?;
    }
    Ok(Exit::Complete)
}
