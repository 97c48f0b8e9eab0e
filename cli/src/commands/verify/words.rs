//! Damage in words: which files of which snapshots of which hosts, what is wrong with which object, and what to do.

use crate::args::Cli;
use crate::complaint::Complaint;
use crate::output::json::{self, Event};
use crate::output::text::{count, local, visible};
use crate::session::Session;
use clap::CommandFactory as _;
use vault_engine::ops::verify::affected::{AffectedSnapshot, AffectedSource};
use vault_engine::ops::verify::{Damage, DamageKind};

/// Snapshots of a source, and objects, that are shown without `-v`.
const SHOWN_MAX: usize = 10;

/// How many files and folders of how many snapshots are affected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    pub files: u64,
    pub folders: u64,
    pub snapshots: u64,
}

/// Adds them up.
pub fn sums(affected: &[AffectedSource]) -> Sums {
    let mut sums = Sums::default();
    for snapshot in affected.iter().flat_map(|source| &source.snapshots) {
        sums.files += snapshot.files;
        sums.folders += snapshot.directories;
        sums.snapshots += 1;
    }
    sums
}

/// What cannot be restored whole, as events and lines.
pub fn tell_affected(affected: &[AffectedSource], session: &Session) -> Result<(), Complaint> {
    for source in affected {
        session.output.event(&Event::Affected(event(source)))?;
    }
    lines_of(affected, session.output.verbose > 0).iter().try_for_each(|line| session.output.line(line))
}

fn event(source: &AffectedSource) -> json::Affected {
    let snapshot = |snapshot: &AffectedSnapshot| json::AffectedSnapshot {
        id: snapshot.id.to_hex(),
        time: crate::output::text::rfc3339(snapshot.begun),
        affected_files: snapshot.files,
        affected_folders: snapshot.directories,
    };
    json::Affected {
        hostname: source.host.clone(),
        source: source.source.clone(),
        paths: source.paths.iter().map(|path| json::lossy(path).0).collect(),
        snapshots_count: source.snapshots_total,
        newest_is_whole: source.newest_is_whole,
        affected_snapshots: source.snapshots.iter().map(snapshot).collect(),
    }
}

fn files_and_folders(files: u64, folders: u64) -> String {
    match (files, folders) {
        (files, 0) => count(files, "file", "files"),
        (0, folders) => count(folders, "folder", "folders"),
        (files, folders) => format!("{} and {}", count(files, "file", "files"), count(folders, "folder", "folders")),
    }
}

/// Of folders some or all of what is in them cannot be restored, which the reader has to know once.
fn lines_of(affected: &[AffectedSource], all: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let sums = sums(affected);
    if sums.snapshots == 0 {
        return lines;
    }
    let folders = if sums.folders > 0 { " (of a folder some or all of what is in it)" } else { "" };
    let what = files_and_folders(sums.files, sums.folders);
    let each = if sums.snapshots > 1 { ", counted in each" } else { "" };
    lines.push(format!("Cannot be restored whole: {what} in {}{each}{folders}.", count(sums.snapshots, "snapshot", "snapshots")));
    for source in affected {
        let paths: Vec<_> = source.paths.iter().map(|path| visible(path)).collect();
        let name = source.source.as_ref().map(|name| format!("source {}, ", visible(name.as_bytes()))).unwrap_or_default();
        let newest = if source.newest_is_whole { "the newest is whole" } else { "the newest is not whole" };
        lines.push(String::new());
        lines.push(format!(
            "Host {}, {name}{}: {} of {}; {newest}.",
            visible(source.host.as_bytes()),
            paths.join(", "),
            source.snapshots.len(),
            count(source.snapshots_total, "snapshot", "snapshots"),
        ));
        let shown = if all { source.snapshots.len() } else { SHOWN_MAX };
        for snapshot in source.snapshots.iter().take(shown) {
            lines.push(format!("  {}  {}  {}", snapshot.id.short(), local(snapshot.begun), files_and_folders(snapshot.files, snapshot.directories)));
            for (path, is_directory) in &snapshot.first {
                let slash = if *is_directory && path != b"/" { "/" } else { "" };
                lines.push(format!("    {}{slash}", visible(path)));
            }
            let more = (snapshot.files + snapshot.directories).saturating_sub(snapshot.first.len() as u64);
            if more > 0 {
                lines.push(format!("    and {more} more (--json lists all)"));
            }
        }
        if source.snapshots.len() > shown {
            lines.push(format!("  and {} more (-v shows all)", count((source.snapshots.len() - shown) as u64, "snapshot", "snapshots")));
        }
    }
    lines
}

fn kind_word(kind: DamageKind) -> &'static str {
    match kind {
        DamageKind::Control => "control",
        DamageKind::Hidden => "hidden",
        DamageKind::Pack => "pack",
        DamageKind::Tree => "tree",
        DamageKind::Chunk => "chunk",
        DamageKind::Unsupported => "unsupported",
    }
}

/// Each damaged object: all as events; as lines those that say something themselves, and the others with `-v`.
pub fn tell_objects(damage: &[Damage], session: &Session) -> Result<(), Complaint> {
    for damage in damage {
        let touched = damage.touched.iter().map(|touched| {
            let (path, path_hex) = json::lossy(&touched.path);
            json::Touched { snapshot: touched.snapshot.to_hex(), path, path_hex, folder: touched.is_directory }
        });
        session.output.event(&Event::Damage(json::Damage {
            kind: kind_word(damage.kind),
            object: damage.object.clone(),
            what: damage.what.clone(),
            mendable: damage.mendable,
            lost: damage.lost,
            touched: touched.collect(),
            touched_total: damage.touched_total,
        }))?;
    }
    objects(damage, session.output.verbose > 0).iter().try_for_each(|line| session.output.line(line))
}

fn objects(damage: &[Damage], all: bool) -> Vec<String> {
    let mut lines = Vec::new();
    // What costs files was told by their names already.
    let speaks = |damage: &&Damage| all || damage.touched_total == 0;
    let told: Vec<&Damage> = damage.iter().filter(speaks).collect();
    let shown = if all { told.len() } else { SHOWN_MAX.min(told.len()) };
    for damage in &told[..shown] {
        let is_snapshot = damage.kind == DamageKind::Control && damage.object.starts_with("snapshots/");
        let cost = if is_snapshot { " (nothing of this snapshot can be restored)" } else { "" };
        lines.push(visible(format!("{}: {}{cost}", damage.object, damage.what.join("; ")).as_bytes()).into_owned());
        if damage.mendable {
            lines.push("  its parity makes up for it: run vault heal".into());
        }
        if all && damage.touched_total > 0 {
            lines.push(format!("  {} cannot be restored whole because of it:", count(damage.touched_total, "file or folder", "files and folders")));
            for touched in &damage.touched {
                let slash = if touched.is_directory && touched.path != b"/" { "/" } else { "" };
                lines.push(format!("    {}:{}{slash}", touched.snapshot.short(), visible(&touched.path)));
            }
            let more = damage.touched_total - damage.touched.len() as u64;
            if more > 0 {
                lines.push(format!("    and {more} more"));
            }
        }
    }
    let hidden = damage.len() - shown;
    if hidden > 0 {
        lines.push(format!("{} (-v names {})", count(hidden as u64, "damaged object", "damaged objects"), if hidden == 1 { "it" } else { "them" }));
    }
    lines
}

/// What to do about damage, the gentlest first. Only commands that this program has.
pub fn advice(loses_files: bool) -> Vec<String> {
    let cli = Cli::command();
    let has = |name: &str| cli.find_subcommand(name).is_some();
    let mut lines = vec!["What can be done, the gentlest first:".to_owned()];
    if has("heal") {
        lines.push("  vault heal: mends objects from their own parity or, with --from, from a mirror. What it mends is whole again, in every snapshot.".into());
    }
    if loses_files {
        lines.push(
            "  vault backup --force of the same folders: stores again whatever is lost and still there unchanged. It is then whole in old snapshots, too."
                .into(),
        );
    }
    if has("repair") {
        lines.push(
            "  vault repair: marks what is lost in its snapshots, so that all else is restored without errors, and keeps what is good of damaged packs. Do it last.".into(),
        );
    }
    if lines.len() == 1 {
        return Vec::new();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::format::id::ObjectId;
    use vault_engine::format::node::Time;
    use vault_engine::ops::verify::Touched;

    #[test]
    fn files_come_before_objects() {
        let first = vec![(b"/a\x1b".to_vec(), false), (b"/b".to_vec(), true)];
        let snapshot = AffectedSnapshot { id: ObjectId([0xab; 32]), begun: Time::default(), files: 3, directories: 1, first };
        let affected = [AffectedSource {
            host: "srv".into(),
            source: None,
            paths: vec![b"/home".to_vec()],
            snapshots_total: 7,
            newest_is_whole: true,
            snapshots: vec![snapshot],
        }];
        let lines = lines_of(&affected, false);
        assert_eq!(lines[0], "Cannot be restored whole: 3 files and 1 folder in 1 snapshot (of a folder some or all of what is in it).");
        assert_eq!(lines[2], "Host srv, /home: 1 of 7 snapshots; the newest is whole.");
        assert!(lines[3].starts_with("  abababab  ") && lines[3].ends_with("  3 files and 1 folder"), "{}", lines[3]);
        assert_eq!(lines[4..], ["    /a\\x1b", "    /b/", "    and 2 more (--json lists all)"]);
        assert_eq!(sums(&affected), Sums { files: 3, folders: 1, snapshots: 1 });
        assert!(lines_of(&[], true).is_empty());
    }

    #[test]
    fn objects_are_named_when_they_are_all_there_is_to_tell() {
        let touched = vec![Touched { snapshot: ObjectId([0xab; 32]), path: b"/a\x1b".to_vec(), is_directory: false }];
        let pack = Damage {
            kind: DamageKind::Pack,
            object: "data/00".into(),
            what: vec!["cut short".into(), "gone".into()],
            mendable: false,
            lost: 2,
            touched,
            touched_total: 3,
        };
        let record = Damage {
            kind: DamageKind::Control,
            object: "snapshots/1".into(),
            what: vec!["x".into()],
            mendable: false,
            lost: 0,
            touched: Vec::new(),
            touched_total: 0,
        };
        let all = [pack, record];
        assert_eq!(objects(&all, false), ["snapshots/1: x (nothing of this snapshot can be restored)", "1 damaged object (-v names it)"]);
        let expected = ["data/00: cut short; gone", "  3 files and folders cannot be restored whole because of it:", "    abababab:/a\\x1b", "    and 2 more"];
        assert_eq!(objects(&all, true)[..4], expected);
        assert!(advice(true).iter().any(|line| line.contains("vault backup --force")));
        assert!(advice(false).iter().all(|line| !line.contains("vault backup")));
    }
}
