//! Finds which snapshots and paths need what is lost. Only damaged repositories pay for this second walk.

use super::ground::Ground;
use super::report::{Lost, Touch};
use crate::format::id::{ObjectId, TreeId};
use crate::format::node::{Content, Extent};
use crate::format::tree::TreeNode;
use crate::ops::browse::join;
use crate::store::error::Result;
use crate::store::repository::StoredSnapshot;
use std::collections::HashSet;

/// How often trees are looked at again that lie at several places of a snapshot. Trees that hold trees several times over lie at more places than can
/// ever be told; beyond this only their first place is.
const AGAIN_MAX: u32 = 10_000;

enum Step {
    /// A node, the path of the directory or file that needs it, and which of these it is.
    Open(TreeId, Vec<u8>, bool),
    /// All below a node was looked at.
    Close(TreeId),
}

/// Tells the report, and the monitor, of every path that needs something lost. A tree is looked at once if all below it is good, else once for each place in
/// each snapshot, as far as [`AGAIN_MAX`] goes.
pub fn find(ground: &Ground<'_>, snapshots: &[StoredSnapshot]) -> Result<()> {
    let mut clean = HashSet::new();
    for stored in snapshots {
        find_in(ground, stored.id, stored.snapshot.root, &mut clean)?;
    }
    Ok(())
}

fn find_in(ground: &Ground<'_>, snapshot: ObjectId, root: TreeId, clean: &mut HashSet<TreeId>) -> Result<()> {
    let touch = |lost: &Lost, path: &[u8], is_directory| {
        let touch = ground.report.touch(lost, snapshot, path, is_directory);
        if touch == Touch::New {
            ground.monitor.affected(snapshot, path, is_directory);
        }
        touch != Touch::Good
    };
    let mut seen = HashSet::new();
    let mut again = 0;
    let mut steps = vec![Step::Open(root, b"/".to_vec(), true)];
    // For each node on the way: whether something below it is lost.
    let mut dirty = vec![false];
    while let Some(step) = steps.pop() {
        let (id, path, is_directory) = match step {
            Step::Open(id, path, is_directory) => (id, path, is_directory),
            Step::Close(id) => {
                if dirty.pop() == Some(true) {
                    mark(&mut dirty);
                } else {
                    clean.insert(id);
                }
                continue;
            }
        };
        ground.check()?;
        if clean.contains(&id) {
            continue;
        }
        if touch(&Lost::Tree(id), &path, is_directory) {
            mark(&mut dirty);
            continue;
        }
        if !seen.insert(id) {
            again += 1;
            if again > AGAIN_MAX {
                mark(&mut dirty);
                continue;
            }
        }
        let node = match ground.repository.tree(id) {
            Ok(node) => node,
            Err(error) if error.concerns_one_object() => {
                mark(&mut dirty);
                continue;
            }
            Err(error) => return Err(error),
        };
        steps.push(Step::Close(id));
        dirty.push(false);
        let mut is_dirty = false;
        let is_touched = |extents: &[Extent], path: &[u8]| {
            let is_lost = |extent: &Extent| matches!(extent, Extent::Chunk { id, length } if touch(&Lost::Chunk(*id, *length), path, false));
            extents.iter().filter(|extent| is_lost(extent)).count() > 0
        };
        match node {
            TreeNode::Directory(nodes) => {
                // Files as they stand, before what lies in directories: the first paths that are told are those that a person meets first.
                let mut further = Vec::new();
                for node in &nodes {
                    let path = || join(&path, &node.name);
                    match &node.content {
                        Content::None => {}
                        Content::Extents(extents) => is_dirty |= is_touched(extents, &path()),
                        Content::List(id) if touch(&Lost::List(*id, node.metadata.size), &path(), false) => is_dirty = true,
                        Content::List(id) => further.push(Step::Open(*id, path(), false)),
                        Content::Directory(id) => further.push(Step::Open(*id, path(), true)),
                    }
                }
                steps.extend(further.into_iter().rev());
            }
            TreeNode::Split(parts) => steps.extend(parts.iter().rev().map(|part| Step::Open(part.id, path.clone(), true))),
            TreeNode::Lists(parts) => steps.extend(parts.iter().rev().map(|part| Step::Open(part.id, path.clone(), false))),
            TreeNode::List(extents) => is_dirty = is_touched(&extents, &path),
        }
        if is_dirty {
            mark(&mut dirty);
        }
    }
    Ok(())
}

fn mark(dirty: &mut [bool]) {
    if let Some(last) = dirty.last_mut() {
        *last = true;
    }
}
