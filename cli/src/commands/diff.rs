//! `vault diff`: what changed from one snapshot to another.

use crate::args::filter::FilterArgs;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::{bytes, count, visible};
use crate::session::Session;
use std::ffi::OsString;
use vault_engine::format::node::{Node, NodeType};
use vault_engine::ops::diff::{Change, diff};

/// Show what changed from one snapshot to another
///
/// Each line begins with + (added), - (removed), M (contents changed), T (type changed) or U (metadata changed, with --metadata).
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshot to start from: an ID or its beginning, latest~1, ID:PATH
    #[arg(value_name = "FROM")]
    from: OsString,

    /// Snapshot to compare it with
    #[arg(value_name = "TO")]
    to: OsString,

    /// Show changes of metadata too
    #[arg(long)]
    metadata: bool,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open()?;
    let everyone = FilterArgs::default();
    let (from, a) = everyone.place(&repository, &args.from, session)?;
    let (to, b) = everyone.place(&repository, &args.to, session)?;
    let mut tally = json::Statistics { source_snapshot: from.id.to_hex(), target_snapshot: to.id.to_hex(), ..json::Statistics::default() };
    let mut failure = None;
    let cancel = session.world.be_polite();
    let result = diff(&repository, &a, &b, &cancel, &mut |path, node, change| {
        count_change(&mut tally, node, change);
        if (change != Change::Metadata || args.metadata)
            && failure.is_none()
            && let Err(complaint) = tell(path, node, change, session)
        {
            failure = Some(complaint);
            cancel.cancel();
        }
    });
    if let Some(complaint) = failure {
        return Err(complaint);
    }
    result?;
    for line in lines(&tally) {
        session.output.remark(line)?;
    }
    session.output.event(&Event::Statistics(tally))?;
    Ok(Exit::Complete)
}

fn modifier(change: Change) -> &'static str {
    match change {
        Change::Added => "+",
        Change::Removed => "-",
        Change::Modified => "M",
        Change::Metadata => "U",
        Change::Type => "T",
    }
}

fn tell(path: &[u8], node: &Node, change: Change, session: &Session) -> Result<(), Complaint> {
    let (shown, path_hex) = json::lossy(path);
    let modifier = modifier(change);
    session.output.event(&Event::Change(json::Change { modifier: modifier.to_owned(), path: shown, path_hex }))?;
    let slash = if node.metadata.node_type == NodeType::Directory { "/" } else { "" };
    session.output.line(format_args!("{modifier:<4} {}{slash}", visible(path)))
}

fn count_change(tally: &mut json::Statistics, node: &Node, change: Change) {
    let side = match change {
        Change::Added => &mut tally.added,
        Change::Removed => &mut tally.removed,
        Change::Modified if node.metadata.node_type == NodeType::File => {
            tally.changed_files += 1;
            return;
        }
        _ => return,
    };
    match node.metadata.node_type {
        NodeType::File => side.files += 1,
        NodeType::Directory => side.dirs += 1,
        _ => side.others += 1,
    }
    side.bytes += node.metadata.size;
}

fn lines(tally: &json::Statistics) -> [String; 4] {
    let side = |name: &str, side: &json::Side| {
        format!(
            "{name:<9}{}, {}, {}, {}",
            count(side.files, "file", "files"),
            count(side.dirs, "folder", "folders"),
            count(side.others, "other", "others"),
            bytes(side.bytes)
        )
    };
    [String::new(), format!("Changed: {}", count(tally.changed_files, "file", "files")), side("Added:", &tally.added), side("Removed:", &tally.removed)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::format::node::{Content, Metadata};

    #[test]
    fn counts_by_kind_and_side() {
        let node = |node_type| {
            let mut metadata = Metadata::plain(node_type, 0);
            metadata.size = 10;
            Node { name: b"n".to_vec(), metadata, content: Content::None, changed_while_read: false, lost: false, unknown: Vec::new() }
        };
        let mut tally = json::Statistics::default();
        count_change(&mut tally, &node(NodeType::File), Change::Added);
        count_change(&mut tally, &node(NodeType::Directory), Change::Removed);
        count_change(&mut tally, &node(NodeType::File), Change::Modified);
        count_change(&mut tally, &node(NodeType::Fifo), Change::Metadata);
        assert_eq!((tally.added.files, tally.added.bytes, tally.removed.dirs, tally.changed_files), (1, 10, 1, 1));
        assert_eq!(lines(&tally)[2], "Added:   1 file, 0 folders, 0 others, 10 B");
    }
}
