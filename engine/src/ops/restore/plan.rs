//! What becomes of an entry of the destination that a restored one meets.

use super::{Overwrite, RestoreOptions};
use crate::format::node::{Metadata, Node, NodeType};
use crate::ops::source::Stat;
use crate::ops::target::TargetDir;
use std::io;

/// What the entry at the destination means for one of the snapshot.
pub enum Plan {
    /// None is there, or it gives way.
    Make,
    /// It is a file to be corrected.
    Correct,
    /// It stays.
    Keep,
}

/// Decides; a directory that must and may go is removed.
pub fn plan(options: &RestoreOptions, target: &dyn TargetDir, node: &Node, stat: Option<&Stat>) -> io::Result<Plan> {
    let Some(stat) = stat else { return Ok(Plan::Make) };
    let is_file = node.metadata.node_type == NodeType::File && stat.node_type == NodeType::File;
    if (options.overwrite == Overwrite::IfChanged && is_file && looks_same(stat, &node.metadata)) || !gives_way(options.overwrite, stat, Some(&node.metadata)) {
        return Ok(Plan::Keep);
    }
    if stat.node_type == NodeType::Directory {
        if !options.delete && !target.directory(&node.name)?.list()?.is_empty() {
            return Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "a directory that is not empty is in its place (--delete would remove it)"));
        }
        if !options.dry_run {
            target.remove(&node.name)?;
        }
        return Ok(Plan::Make);
    }
    // A file with several names is never written through: the others are not ours.
    Ok(if is_file && stat.link_group.is_none() { Plan::Correct } else { Plan::Make })
}

/// Whether what is there may be changed or replaced.
pub fn gives_way(overwrite: Overwrite, stat: &Stat, metadata: Option<&Metadata>) -> bool {
    match overwrite {
        Overwrite::Always | Overwrite::IfChanged => true,
        Overwrite::IfNewer => metadata.is_none_or(|metadata| metadata.mtime > stat.mtime),
        Overwrite::Never => false,
    }
}

/// Whether it looks like what the snapshot holds.
pub fn looks_same(stat: &Stat, metadata: &Metadata) -> bool {
    stat.size == metadata.size && stat.mtime == metadata.mtime
}
