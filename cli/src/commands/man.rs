//! `vault man`: the manual pages, made from the same text as the help.

use crate::args::Cli;
use crate::complaint::{Complaint, shown};
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::session::Session;
use clap::CommandFactory as _;
use std::path::PathBuf;

/// Write the manual pages
///
/// Without a directory the main page goes to standard output: vault man | man -l -
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Directory to write all pages to; made if it is missing
    dir: Option<PathBuf>,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let mut command = Cli::command();
    command.build();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        if !session.output.json {
            session.output.contents(&page)?;
        }
        return Ok(Exit::Complete);
    };
    let complain = |error| Complaint::file(Exit::Failed, "write manual pages to", dir, &error);
    std::fs::create_dir_all(dir).map_err(complain)?;
    let mut pages = Vec::new();
    collect(&command, "vault", &mut pages);
    for (name, page) in pages {
        let path = dir.join(name);
        let mut text = Vec::new();
        page.render(&mut text).map_err(complain)?;
        std::fs::write(&path, text).map_err(|error| Complaint::file(Exit::Failed, "write", &path, &error))?;
        session.output.event(&Event::Man(json::Man { path: shown(&path) }))?;
        session.output.remark(shown(&path))?;
    }
    Ok(Exit::Complete)
}

/// A page for the command and for each below it: `vault-key-add.1`.
fn collect(command: &clap::Command, name: &str, pages: &mut Vec<(String, clap_mangen::Man)>) {
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help" && !inner.is_hide_set()) {
        collect(inner, &format!("{name}-{}", inner.get_name()), pages);
    }
    let page = clap_mangen::Man::new(command.clone().display_name(name.to_owned()))
        .title(name.to_uppercase())
        .source(concat!("vault ", env!("CARGO_PKG_VERSION")))
        .manual("vault manual");
    pages.push((format!("{name}.1"), page));
}
