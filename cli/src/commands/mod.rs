//! One file per command: its arguments with their help, its run, its rendering. Here: from words to a command, and out again.

pub mod backup;
pub mod bench;
pub mod cat;
pub mod completions;
pub mod config;
pub mod diff;
pub mod dump;
pub mod find;
pub mod forget;
pub mod heal;
pub mod init;
pub mod key;
pub mod ls;
pub mod man;
pub mod pin;
pub mod prune;
pub mod repair;
pub mod restore;
pub mod rewrite;
pub mod scrub;
pub mod snapshots;
pub mod stats;
pub mod tag;
pub mod undelete;
pub mod verify;

use crate::args::{Cli, Command, Global};
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::{self, Event};
use crate::session::Session;
use crate::world::World;
use clap::error::ErrorKind;
use clap::{ColorChoice, CommandFactory as _, FromArgMatches as _};
use std::ffi::OsString;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The whole program, but for the outside.
pub fn run(world: World, words: Vec<OsString>) -> Exit {
    let plain = words.iter().any(|word| word == "--no-color") || !world.allows_color();
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let choice = if plain { ColorChoice::Never } else { ColorChoice::Auto };
    let parsed = Cli::command().color(choice).try_get_matches_from(words).and_then(|matches| Cli::from_arg_matches(&matches));
    let Cli { global, command } = match parsed {
        Ok(cli) => cli,
        Err(error) => return not_a_command(&error, json),
    };
    let color = !plain && world.stderr_is_terminal;
    let mut output = Output::new(&global, color, world.stderr_is_terminal);
    if matches!(command, Command::Dump(_)) {
        output.carry_contents();
    }
    let session = Session { world, global, output: Arc::new(output) };
    let exit = match catch_unwind(AssertUnwindSafe(|| dispatch(&command, &session))) {
        Ok(Ok(exit)) => exit,
        Ok(Err(complaint)) => session.output.complain(&complaint),
        Err(_) => session.output.complain(
            &Complaint::failed("vault met a state it did not expect (the message above says which)")
                .hint("this is a bug in vault: please report it with that message"),
        ),
    };
    session.output.close(exit)
}

fn dispatch(command: &Command, session: &Session) -> Result<Exit, Complaint> {
    match command {
        Command::Init(args) => init::run(args, session),
        Command::Backup(args) => backup::run(args, session),
        Command::Snapshots(args) => snapshots::run(args, session),
        Command::Ls(args) => ls::run(args, session),
        Command::Find(args) => find::run(args, session),
        Command::Cat(args) => cat::run(args, session),
        Command::Dump(args) => dump::run(args, session),
        Command::Restore(args) => restore::run(args, session),
        Command::Verify(args) => verify::run(args, session),
        Command::Scrub(args) => scrub::run(args, session),
        Command::Heal(args) => heal::run(args, session),
        Command::Diff(args) => diff::run(args, session),
        Command::Stats(args) => stats::run(args, session),
        Command::Bench(args) => bench::run(args, session),
        Command::Tag(args) => tag::run(args, session),
        Command::Pin(args) => pin::run(args, session),
        Command::Unpin(args) => pin::run_unpin(args, session),
        Command::Forget(args) => forget::run(args, session),
        Command::Undelete(args) => undelete::run(args, session),
        Command::Prune(args) => prune::run(args, session),
        Command::Repair(args) => repair::run(args, session),
        Command::Rewrite(args) => rewrite::run(args, session),
        Command::Key(args) => key::run(args, session),
        Command::Config(args) => config::run(args, session),
        Command::Completions(args) => completions::run(args, session),
        Command::Man(args) => man::run(args, session),
    }
}

/// Help and version on standard output, mistakes on standard error; in JSON as events too.
fn not_a_command(error: &clap::Error, json: bool) -> Exit {
    let exit = if error.use_stderr() { Exit::Usage } else { Exit::Complete };
    if !json {
        let _ = error.print();
        let _ = std::io::stdout().flush();
        return exit;
    }
    let output = Output::new(&Global { json, ..Global::default() }, false, false);
    let event = match error.kind() {
        ErrorKind::DisplayVersion => {
            Some(Event::Version(json::Version { version: env!("CARGO_PKG_VERSION"), os: std::env::consts::OS, arch: std::env::consts::ARCH }))
        }
        ErrorKind::DisplayHelp => Some(Event::Note(json::Note { message: error.to_string() })),
        _ => {
            let _ = error.print();
            Some(Event::ExitError(json::ExitError { code: exit.code(), message: first_line(&error.to_string()), hints: Vec::new() }))
        }
    };
    if let Some(event) = event {
        let _ = output.event(&event);
    }
    output.close(exit)
}

/// What clap complains of, without its heading and the usage below.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
