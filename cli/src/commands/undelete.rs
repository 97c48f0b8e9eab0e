//! `vault undelete`: brings forgotten snapshots back while their data are there.

use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::describe;
use crate::output::json::{self, Event};
use crate::output::text::{Table, count, local, visible};
use crate::session::Session;
use vault_engine::ops::forget::undelete::{Forgotten, forgotten, undelete};
use vault_engine::store::error::RepositoryError;

/// Bring forgotten snapshots back, until prune took what they need
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to bring back: IDs or their beginnings [default: list those that were forgotten]
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<String>,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open()?;
    let known = forgotten(&repository)?;
    if args.ids.is_empty() {
        return list(&known, session);
    }
    let mut chosen: Vec<&Forgotten> = Vec::new();
    for id in &args.ids {
        let wanted = id.to_ascii_lowercase();
        let mut fitting = known.iter().filter(|one| !wanted.is_empty() && one.id.to_hex().starts_with(&wanted));
        match (fitting.next(), fitting.next()) {
            (Some(one), None) => chosen.push(one),
            (Some(_), Some(_)) => return Err(RepositoryError::Ambiguous(id.clone()).into()),
            (None, _) => {
                return Err(Complaint::failed(format!("no forgotten snapshot fits {}", visible(id.as_bytes()))).hint("vault undelete lists what was forgotten"));
            }
        }
    }
    let cancel = session.world.be_polite();
    for one in chosen {
        let id = undelete(&repository, &session.world.host, one, &cancel).map_err(|error| match error {
            RepositoryError::MissingChunk(_) | RepositoryError::Swept(_) | RepositoryError::Store(_) => {
                Complaint::failed(format!("snapshot {} cannot come back: what it needs was swept", one.id.short())).because(&error)
            }
            other => other.into(),
        })?;
        session.output.event(&Event::Tagged(json::Tagged { old_snapshot_id: one.id.to_hex(), new_snapshot_id: id.to_hex() }))?;
        session.output.remark(format_args!("{} is back as {}", one.id.short(), id.short()))?;
    }
    Ok(Exit::Complete)
}

fn list(known: &[Forgotten], session: &Session) -> Result<Exit, Complaint> {
    let mut table = Table::new(&["ID", "Time", "Host", "Paths", "Forgotten"]);
    for one in known {
        session.output.event(&Event::Snapshot(describe::snapshot(one.id, &one.snapshot, false)))?;
        let paths: Vec<String> = one.snapshot.paths.iter().map(|path| visible(path).into_owned()).collect();
        let host = visible(one.snapshot.host.as_bytes()).into_owned();
        table.row(vec![one.id.short(), local(one.snapshot.begun), host, paths.join("\n"), local(one.forget.forgotten)]);
    }
    for line in table.lines() {
        session.output.line(line)?;
    }
    session.output.remark(format_args!("{} forgotten; prune takes what only they need", count(known.len() as u64, "snapshot", "snapshots")))?;
    Ok(Exit::Complete)
}
