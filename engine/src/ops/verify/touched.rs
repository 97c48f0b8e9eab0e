//! Finds which snapshots and paths need what is lost. Only damaged repositories pay for this second walk.

use super::ground::Ground;
use super::report::Lost;
use crate::format::id::{ObjectId, TreeId};
use crate::format::node::{Content, Extent};
use crate::format::tree::TreeNode;
use crate::ops::browse::join;
use crate::store::error::Result;
use crate::store::repository::StoredSnapshot;
use std::collections::HashSet;

enum Step {
    /// A node, and the path of the directory or file that needs it.
    Open(TreeId, Vec<u8>),
    /// All below a node was looked at.
    Close(TreeId),
}

/// Tells the report of every path that needs something lost. In each snapshot a tree is looked at once, in all of them together once if all below it
/// is good.
pub fn find(ground: &Ground<'_>, snapshots: &[StoredSnapshot]) -> Result<()> {
    let mut clean = HashSet::new();
    for stored in snapshots {
        find_in(ground, stored.id, stored.snapshot.root, &mut clean)?;
    }
    Ok(())
}

fn find_in(ground: &Ground<'_>, snapshot: ObjectId, root: TreeId, clean: &mut HashSet<TreeId>) -> Result<()> {
    let touch = |lost: &Lost, path: &[u8]| ground.report.touch(lost, snapshot, path);
    let mut seen = HashSet::new();
    let mut steps = vec![Step::Open(root, b"/".to_vec())];
    // For each node on the way: whether something below it is lost.
    let mut dirty = vec![false];
    while let Some(step) = steps.pop() {
        let (id, path) = match step {
            Step::Open(id, path) => (id, path),
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
        if touch(&Lost::Tree(id), &path) {
            mark(&mut dirty);
            continue;
        }
        if !seen.insert(id) {
            mark(&mut dirty);
            continue;
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
            let is_lost = |extent: &Extent| matches!(extent, Extent::Chunk { id, length } if touch(&Lost::Chunk(*id, *length), path));
            extents.iter().filter(|extent| is_lost(extent)).count() > 0
        };
        match node {
            TreeNode::Directory(nodes) => {
                for node in nodes.iter().rev() {
                    let path = || join(&path, &node.name);
                    match &node.content {
                        Content::None => {}
                        Content::Extents(extents) => is_dirty |= is_touched(extents, &path()),
                        Content::List(id) if touch(&Lost::List(*id, node.metadata.size), &path()) => is_dirty = true,
                        Content::List(id) | Content::Directory(id) => steps.push(Step::Open(*id, path())),
                    }
                }
            }
            TreeNode::Split(parts) => steps.extend(parts.iter().rev().map(|part| Step::Open(part.id, path.clone()))),
            TreeNode::Lists(parts) => steps.extend(parts.iter().rev().map(|part| Step::Open(part.id, path.clone()))),
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
