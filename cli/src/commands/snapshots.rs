//! `vault snapshots`: what there is to come back to.

use crate::args::filter::FilterArgs;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::describe;
use crate::output::json::Event;
use crate::output::text::{Table, bytes, count, local, visible};
use crate::session::Session;
use std::ffi::OsString;
use vault_engine::format::snapshot::Status;
use vault_engine::store::repository::StoredSnapshot;

/// List snapshots
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to list: IDs or their beginnings, latest, latest~2 [default: all]
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<OsString>,

    #[command(flatten)]
    filter: FilterArgs,

    /// Show only the last N of each group
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    latest: Option<u32>,

    /// What makes a group: host, source, paths, tags, separated by commas; empty: one list
    #[arg(short, long, value_name = "BY,…", default_value = "host,source,paths")]
    group_by: String,

    /// Leave out paths and sizes
    #[arg(short, long)]
    compact: bool,
}

/// What snapshots of one group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Host,
    Source,
    Paths,
    Tags,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let by = grouping(&args.group_by)?;
    let repository = session.open()?;
    let (snapshots, damaged) = args.filter.snapshots(&repository, &args.ids, session)?;
    let mut groups = grouped(snapshots, &by);
    for (_, group) in &mut groups {
        if let Some(latest) = args.latest {
            group.drain(..group.len().saturating_sub(latest as usize));
        }
    }
    show(&groups, args.compact, session)?;
    Ok(if damaged { Exit::Failed } else { Exit::Complete })
}

fn grouping(text: &str) -> Result<Vec<By>, Complaint> {
    text.split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .map(|word| match word {
            "host" | "hosts" => Ok(By::Host),
            "source" | "sources" => Ok(By::Source),
            "path" | "paths" => Ok(By::Paths),
            "tag" | "tags" => Ok(By::Tags),
            _ => Err(Complaint::usage(format!("--group-by {word}: there is host, source, paths and tags"))),
        })
        .collect()
}

/// Groups with their titles, in the order of their first snapshots.
fn grouped(snapshots: Vec<StoredSnapshot>, by: &[By]) -> Vec<(String, Vec<StoredSnapshot>)> {
    let mut groups: Vec<(String, Vec<StoredSnapshot>)> = Vec::new();
    for stored in snapshots {
        let title = title(&stored, by);
        match groups.iter_mut().find(|(known, _)| *known == title) {
            Some((_, group)) => group.push(stored),
            None => groups.push((title, vec![stored])),
        }
    }
    groups
}

fn title(stored: &StoredSnapshot, by: &[By]) -> String {
    let snapshot = &stored.snapshot;
    let mut parts = Vec::new();
    for by in by {
        match by {
            By::Host => parts.push(format!("host {}", visible(snapshot.host.as_bytes()))),
            By::Source => parts.extend(snapshot.source.as_ref().map(|name| format!("source {}", visible(name.as_bytes())))),
            // An explicit source is one thing, whatever its paths are today.
            By::Paths if snapshot.source.is_some() && has_source(&parts) => {}
            By::Paths => parts.push(paths(stored).join(", ")),
            By::Tags => parts.push(format!("tags {}", tags(stored))),
        }
    }
    parts.join(", ")
}

fn has_source(parts: &[String]) -> bool {
    parts.iter().any(|part| part.starts_with("source "))
}

fn paths(stored: &StoredSnapshot) -> Vec<String> {
    stored.snapshot.paths.iter().map(|path| visible(path).into_owned()).collect()
}

fn tags(stored: &StoredSnapshot) -> String {
    visible(stored.snapshot.tags.join(",").as_bytes()).into_owned()
}

/// What is to be known before one relies on it.
fn mark(stored: &StoredSnapshot) -> &'static str {
    if stored.forgotten {
        return "forgotten";
    }
    match (stored.snapshot.status, stored.confirmed) {
        (Status::Complete, true) => "",
        (Status::Complete, false) => "unconfirmed",
        (Status::Incomplete, true) => "incomplete",
        (Status::Incomplete, false) => "incomplete, unconfirmed",
        (Status::Partial, _) => "partial",
    }
}

fn show(groups: &[(String, Vec<StoredSnapshot>)], compact: bool, session: &Session) -> Result<(), Complaint> {
    let output = &session.output;
    let mut total = 0;
    for (number, (title, group)) in groups.iter().enumerate() {
        total += group.len() as u64;
        for stored in group {
            output.event(&Event::Snapshot(describe::snapshot(stored.id, &stored.snapshot, stored.confirmed)))?;
        }
        if groups.len() > 1 {
            output.line(format_args!("{}{title}", if number > 0 { "\n" } else { "" }))?;
        }
        for line in table(group, compact).lines() {
            output.line(line)?;
        }
    }
    output.remark(format_args!("{}{}", if groups.len() > 1 { "\n" } else { "" }, count(total, "snapshot", "snapshots")))
}

fn table(group: &[StoredSnapshot], compact: bool) -> Table {
    let mut table = Table::new(if compact { &["ID", "Time", "Host", "Tags", ""] } else { &["ID", "Time", "Host", "Source", "Tags", "Paths", ">Size", ""] });
    for stored in group {
        let snapshot = &stored.snapshot;
        let mut row = vec![stored.id.short(), local(snapshot.begun), visible(snapshot.host.as_bytes()).into_owned()];
        if compact {
            row.push(tags(stored));
        } else {
            let source = snapshot.source.as_deref().unwrap_or_default();
            row.push(visible(source.as_bytes()).into_owned());
            row.push(tags(stored).replace(',', "\n"));
            row.push(paths(stored).join("\n"));
            row.push(bytes(snapshot.summary.content_bytes));
        }
        row.push(mark(stored).to_owned());
        table.row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::format::id::{ObjectId, TreeId};
    use vault_engine::format::node::Time;
    use vault_engine::format::snapshot::{Snapshot, Summary};

    fn stored(host: &str, source: Option<&str>, path: &str, status: Status) -> StoredSnapshot {
        StoredSnapshot {
            id: ObjectId([1; 32]),
            confirmed: status == Status::Complete,
            forgotten: false,
            session: None,
            snapshot: Snapshot {
                begun: Time::default(),
                ended: Time::default(),
                host: host.into(),
                user: String::new(),
                source: source.map(Into::into),
                paths: vec![path.into()],
                tags: vec!["a".into(), "b".into()],
                root: TreeId([2; 32]),
                parent: None,
                writer: host.into(),
                sequence: 1,
                predecessor: None,
                original: None,
                summary: Summary::default(),
                status,
                missing: 0,
                program: String::new(),
                pinned: None,
            },
        }
    }

    #[test]
    fn groups_follow_host_source_and_paths() {
        let by = grouping("host,source,paths").expect("words");
        let list = vec![
            stored("h", None, "/a", Status::Complete),
            stored("h", None, "/b", Status::Complete),
            stored("h", None, "/a", Status::Complete),
            stored("h", Some("db"), "/x", Status::Complete),
            stored("h", Some("db"), "/y", Status::Complete),
        ];
        let groups = grouped(list, &by);
        let sizes: Vec<(&str, usize)> = groups.iter().map(|(title, group)| (title.as_str(), group.len())).collect();
        assert_eq!(sizes, [("host h, /a", 2), ("host h, /b", 1), ("host h, source db", 2)]);
        assert!(grouping("host,colour").is_err());
        assert!(grouping("").expect("no groups").is_empty());
    }

    #[test]
    fn what_is_not_to_be_relied_on_is_marked() {
        assert_eq!(mark(&stored("h", None, "/a", Status::Complete)), "");
        assert_eq!(mark(&stored("h", None, "/a", Status::Incomplete)), "incomplete, unconfirmed");
        assert_eq!(mark(&stored("h", None, "/a", Status::Partial)), "partial");
    }

    #[test]
    fn a_table_has_a_line_for_each_path_and_tag() {
        let lines = table(&[stored("h\x1b", None, "/a", Status::Partial)], false).lines();
        assert!(lines[0].starts_with("ID        Time                 Host   Source  Tags  Paths  Size"), "{}", lines[0]);
        assert!(lines[2].contains("h\\x1b") && lines[2].ends_with("partial"), "{}", lines[2]);
        assert_eq!(lines[3].trim(), "b");
    }
}
