//! One entry of a snapshot and of its source: metadata, and contents by the names of their chunks.

use super::{Aspect, Difference, DifferenceKind, Pair, Verdict};
use crate::format::node::{Extent, Node, NodeType, Time};
use crate::ops::backup::is_settled;
use crate::ops::monitor::Cancel;
use crate::ops::source::{Body, Stat};
use crate::ops::walk::extents_of;
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::Repository;
use std::io;

/// Bytes of a hole that are looked at together.
const PIECE: usize = 256 << 10;

/// Compares a pair. Returns what came of it, and how many bytes of the source were read.
pub fn compare(repository: &Repository, pair: &Pair, begun: Time, buffer: &mut Vec<u8>, cancel: &Cancel) -> Result<(Verdict, u64)> {
    let Pair { path, dir, name, stat, node } = pair;
    let told = |aspects: Vec<Aspect>, read| {
        let is_explained = is_explained(&aspects, node, stat, begun);
        let verdict = Verdict::Told(Difference { path: path.clone(), node_type: stat.node_type, kind: DifferenceKind::Changed, aspects, is_explained });
        Ok((verdict, read))
    };
    if stat.node_type != node.metadata.node_type {
        return told(vec![Aspect::Type], 0);
    }
    let metadata = match dir.metadata(name, stat) {
        Ok((metadata, _)) => metadata,
        Err(error) => return Ok((Verdict::Unreadable(path.clone(), error.to_string()), 0)),
    };
    let (mut aspects, mut read) = (Vec::new(), 0);
    if stat.node_type == NodeType::File {
        let same = if stat.size == node.metadata.size {
            let body = dir.open(name);
            match body.map_err(Failure::Source).and_then(|mut body| same_contents(repository, node, &mut *body, buffer, &mut read, cancel)) {
                Ok(same) => same,
                Err(Failure::Source(error)) => return Ok((Verdict::Unreadable(path.clone(), error.to_string()), read)),
                Err(Failure::Repository(error)) if error.concerns_one_object() => {
                    return Ok((Verdict::Damaged(path.clone(), format!("its list of contents cannot be read from the repository: {error}")), read));
                }
                Err(Failure::Repository(error)) => return Err(error),
            }
        } else {
            false
        };
        if !same {
            aspects.push(Aspect::Contents);
        }
    }
    let kept = &node.metadata;
    let owner = |m: &crate::format::node::Metadata| (m.uid, m.gid, m.user.clone(), m.group.clone());
    for (differs, aspect) in [
        (metadata.link_target != kept.link_target || metadata.device != kept.device, Aspect::Target),
        (metadata.mode != kept.mode, Aspect::Mode),
        (owner(&metadata) != owner(kept), Aspect::Owner),
        (metadata.mtime != kept.mtime, Aspect::Mtime),
        (metadata.xattrs != kept.xattrs, Aspect::Xattrs),
        (metadata.flags != kept.flags, Aspect::Flags),
    ] {
        if differs {
            aspects.push(aspect);
        }
    }
    if aspects.is_empty() { Ok((Verdict::Same, read)) } else { told(aspects, read) }
}

/// Whether the source's times say that it changed after the backup began. For contents that takes more than a new ctime, which a change of owner makes
/// as well: their own time or their length must be another, too.
fn is_explained(aspects: &[Aspect], node: &Node, stat: &Stat, begun: Time) -> bool {
    let is_later = |time| !is_settled(time, begun);
    let contents = !aspects.contains(&Aspect::Contents)
        || node.changed_while_read
        || is_later(stat.mtime)
        || (stat.mtime, stat.size) != (node.metadata.mtime, node.metadata.size);
    contents && (is_later(stat.ctime) || (node.changed_while_read && aspects == [Aspect::Contents]))
}

enum Failure {
    Source(io::Error),
    Repository(RepositoryError),
}

/// Whether the source holds what the snapshot does: each of its chunks, named anew, and zeros where it has holes.
fn same_contents(
    repository: &Repository,
    node: &Node,
    body: &mut dyn Body,
    buffer: &mut Vec<u8>,
    read: &mut u64,
    cancel: &Cancel,
) -> std::result::Result<bool, Failure> {
    let names = repository.keys.data_names().map_err(|error| Failure::Repository(RepositoryError::format("contents", error)))?;
    let mut position = 0;
    for located in extents_of(repository, node) {
        if cancel.is_cancelled() {
            return Err(Failure::Repository(RepositoryError::Cancelled));
        }
        let located = located.map_err(Failure::Repository)?;
        let offset = located.offset;
        let end = offset.saturating_add(located.extent.length());
        match located.extent {
            Extent::Chunk { id, length } => {
                if position != offset {
                    body.seek(offset).map_err(Failure::Source)?;
                }
                let filled = fill(body, buffer, length as usize).map_err(Failure::Source)?;
                *read += filled as u64;
                position = offset + filled as u64;
                if filled < length as usize || names.name(&buffer[..filled]) != id {
                    return Ok(false);
                }
            }
            Extent::Hole { .. } => {
                let data = body.next_data(offset).map_err(Failure::Source)?;
                // Where that put the body does not matter: whoever reads next says where.
                position = u64::MAX;
                let Some(mut at) = data.map(|data| data.start.max(offset)).filter(|start| *start < end) else { continue };
                body.seek(at).map_err(Failure::Source)?;
                while at < end {
                    let filled = fill(body, buffer, (end - at).min(PIECE as u64) as usize).map_err(Failure::Source)?;
                    *read += filled as u64;
                    if filled == 0 || buffer[..filled].iter().any(|byte| *byte != 0) {
                        return Ok(false);
                    }
                    at += filled as u64;
                }
                position = at;
            }
        }
    }
    Ok(true)
}

/// Reads `length` bytes into the beginning of `buffer`, or as many as there are.
fn fill(body: &mut dyn Body, buffer: &mut Vec<u8>, length: usize) -> io::Result<usize> {
    if buffer.len() < length {
        buffer.resize(length, 0);
    }
    let mut filled = 0;
    while filled < length {
        match body.read(&mut buffer[filled..length])? {
            0 => break,
            more => filled += more,
        }
    }
    Ok(filled)
}
