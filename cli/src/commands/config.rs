//! `vault config`: the settings in force and where each came from; the repository's own configuration.

use crate::complaint::{Complaint, shown};
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::visible;
use crate::session::Session;
use crate::settings::{Origin, Settings};
use std::os::unix::ffi::OsStrExt as _;

/// Show the settings in force and where each came from
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(clap::Subcommand, Clone, Copy, Debug)]
enum What {
    /// Show the settings in force (the default)
    Show,
    /// Say whether the settings are valid and the password or key can be had; no repository is opened
    Check,
    /// Show the configuration of the repository
    Repository,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    match args.what.unwrap_or(What::Show) {
        What::Show => show(&session.settings()?, session),
        What::Check => check(&session.settings()?, session),
        What::Repository => super::cat::show_config(session),
    }
}

fn show(settings: &Settings, session: &Session) -> Result<Exit, Complaint> {
    let mut rows: Vec<(&'static str, Option<String>, Origin)> = Vec::new();
    let file = settings.file.clone();
    rows.push((
        "configuration file",
        file.as_deref().map(shown),
        match (&file, session.world.variable("VAULT_CONFIG")) {
            (Some(_), Some(_)) => Origin::Environment("VAULT_CONFIG"),
            _ => Origin::Default,
        },
    ));
    match &settings.repository {
        Some(set) => rows.push(("repository", Some(visible(set.value.as_bytes()).into_owned()), set.origin.clone())),
        None => rows.push(("repository", None, Origin::Default)),
    }
    match &settings.secret {
        Some(set) => rows.push(("password or key", Some(set.value.to_string()), set.origin.clone())),
        None => rows.push(("password or key", None, Origin::Default)),
    }
    match &settings.cache_dir {
        Some(set) => rows.push(("cache directory", Some(shown(&set.value)), set.origin.clone())),
        None if session.global.no_cache => {
            rows.push(("cache directory", None, Origin::CommandLine("--no-cache")));
        }
        None => rows.push(("cache directory", None, Origin::Default)),
    }
    let from_file = || file.clone().map_or(Origin::Default, Origin::File);
    for (name, value) in settings.backup.rows() {
        rows.push((name, Some(value), from_file()));
    }
    if settings.forget.stop_on_alarm {
        rows.push(("forget.stop-on-alarm", Some("yes".to_owned()), from_file()));
    }
    for (name, value, origin) in rows {
        session.output.event(&Event::Setting(json::Setting {
            name,
            value: value.clone().map_or(serde_json::Value::Null, serde_json::Value::String),
            origin: origin.to_string(),
        }))?;
        session.output.line(format_args!("{name} = {}  ({origin})", value.as_deref().unwrap_or("none")))?;
    }
    Ok(Exit::Complete)
}

fn check(settings: &Settings, session: &Session) -> Result<Exit, Complaint> {
    if let Some(secret) = &settings.secret {
        secret.value.fetch()?;
    }
    super::backup::check_table(&settings.backup, session)?;
    session.output.remark("The settings are valid.")?;
    Ok(Exit::Complete)
}
