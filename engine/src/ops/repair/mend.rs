//! Mends trees: what is lost is left out and marked, all else stays as it is.

use super::index::Survey;
use crate::format::contents::ContentBuilder;
use crate::format::id::TreeId;
use crate::format::node::{Content, Extent, Node};
use crate::format::pack::PackKind;
use crate::format::tree::{DirectoryBuilder, LEVELS_MAX, TreeNode};
use crate::ops::monitor::Cancel;
use crate::ops::walk::{Entries, entries};
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::Repository;
use crate::store::session::Session;
use std::collections::HashMap;

/// What became of a tree.
pub(super) enum Mended {
    /// Nothing of it is lost.
    Whole,
    /// Something is: the mended tree, and how many entries are marked in it.
    Marked { root: TreeId, marked: u64 },
    /// There is nothing left.
    Gone,
}

/// A directory that was looked at.
#[derive(Clone, Copy)]
struct Done {
    id: TreeId,
    /// Entries below that are marked.
    marked: u64,
    /// Some of its own entries are lost.
    is_short: bool,
}

pub(super) struct Mender<'a> {
    pub(super) repository: &'a Repository,
    pub(super) session: &'a Session<'a>,
    survey: &'a Survey,
    cancel: &'a Cancel,
    /// Directories are shared by snapshots; each is mended once.
    done: HashMap<TreeId, Done>,
}

struct Open<'r> {
    was: TreeId,
    entries: Entries<'r>,
    builder: DirectoryBuilder,
    node: Option<Node>,
    marked: u64,
    is_short: bool,
}

impl<'a> Mender<'a> {
    pub(super) fn new(repository: &'a Repository, session: &'a Session<'a>, survey: &'a Survey, cancel: &'a Cancel) -> Self {
        Self { repository, session, survey, cancel, done: HashMap::new() }
    }

    fn open(&self, was: TreeId, node: Option<Node>) -> Open<'a> {
        Open { was, entries: entries(self.repository, was), builder: DirectoryBuilder::new(), node, marked: 0, is_short: false }
    }

    /// Mends the tree below a root.
    pub(super) fn mend(&mut self, root: TreeId) -> Result<Mended> {
        let (repository, session) = (self.repository, self.session);
        let split = |name: &[u8]| repository.keys.split_number(name);
        let mut sink = |bytes: Vec<u8>| session.store_tree(&bytes);
        let mut stack = vec![self.open(root, None)];
        let mut kept = 0u64;
        let whole = loop {
            let Some(open) = stack.last_mut() else { unreachable!("the root is left by breaking") };
            match open.entries.next() {
                Some(Ok(node)) => {
                    kept += 1;
                    match node.content {
                        Content::Directory(id) => match self.done.get(&id) {
                            Some(done) => take(open, node, *done, &split, &mut sink)?,
                            None => {
                                if self.cancel.is_cancelled() {
                                    return Err(RepositoryError::Cancelled);
                                }
                                let below = self.open(id, Some(node));
                                stack.push(below);
                            }
                        },
                        Content::Extents(_) | Content::List(_) => {
                            let (node, is_lost) = self.file(node)?;
                            open.marked += u64::from(is_lost);
                            open.builder.push(&node, &split, &mut sink)?;
                        }
                        Content::None => open.builder.push(&node, &split, &mut sink)?,
                    }
                }
                Some(Err(error)) if error.concerns_one_object() => open.is_short = true,
                Some(Err(error)) => return Err(error),
                None => {
                    let Some(open) = stack.pop() else { unreachable!("it was just there") };
                    let done = Done { id: open.builder.finish(&split, &mut sink)?, marked: open.marked, is_short: open.is_short };
                    self.done.insert(open.was, done);
                    match (open.node, stack.last_mut()) {
                        (Some(node), Some(above)) => take(above, node, done, &split, &mut sink)?,
                        _ => break done,
                    }
                }
            }
        };
        Ok(match whole {
            Done { marked: 0, is_short: false, .. } => Mended::Whole,
            Done { is_short: true, .. } if kept == 0 => Mended::Gone,
            Done { id, marked, is_short } => Mended::Marked { root: id, marked: marked + u64::from(is_short) },
        })
    }

    fn is_there(&self, name: &[u8; 32]) -> Result<bool> {
        let usable = |pack: &crate::format::id::ObjectId| self.survey.packs.contains_key(pack);
        self.repository.loader.place_among(self.repository, PackKind::Data, name, &usable, &self.survey.bad).map(|place| place.is_some())
    }

    /// A file as it is, or marked and with holes where its contents are lost; and whether that is so, and was not before.
    fn file(&self, node: Node) -> Result<(Node, bool)> {
        let session = self.session;
        let mut sink = |bytes: Vec<u8>| session.store_tree(&bytes);
        let mut contents = ContentBuilder::default();
        let mut is_lost = false;
        match &node.content {
            Content::Extents(list) => self.keep(list, &mut contents, &mut is_lost, &mut sink)?,
            Content::List(id) => {
                let mut parts = vec![(*id, node.metadata.size, 0)];
                while let Some((id, length, level)) = parts.pop() {
                    let read = match self.repository.tree(id) {
                        Ok(read) => Some(read),
                        Err(error) if error.concerns_one_object() => None,
                        Err(error) => return Err(error),
                    };
                    let sum = |mut lengths: &mut dyn Iterator<Item = u64>| Iterator::try_fold(&mut lengths, 0u64, u64::checked_add);
                    match read {
                        Some(TreeNode::List(list)) if sum(&mut list.iter().map(Extent::length)) == Some(length) => {
                            self.keep(&list, &mut contents, &mut is_lost, &mut sink)?;
                        }
                        Some(TreeNode::Lists(list)) if level < LEVELS_MAX && sum(&mut list.iter().map(|part| part.length)) == Some(length) => {
                            parts.extend(list.iter().rev().map(|part| (part.id, part.length, level + 1)));
                        }
                        _ => {
                            is_lost = true;
                            contents.push_hole(length, &mut sink)?;
                        }
                    }
                }
            }
            Content::None | Content::Directory(_) => {}
        }
        if !is_lost {
            return Ok((node, false));
        }
        Ok((Node { content: contents.finish(&mut sink)?, lost: true, ..node }, true))
    }

    fn keep(&self, list: &[Extent], contents: &mut ContentBuilder, is_lost: &mut bool, sink: &mut dyn FnMut(Vec<u8>) -> Result<TreeId>) -> Result<()> {
        for extent in list {
            match extent {
                Extent::Chunk { id, length } if self.is_there(&id.0)? => contents.push_chunk(*id, *length, sink)?,
                Extent::Chunk { length, .. } => {
                    *is_lost = true;
                    contents.push_hole(u64::from(*length), sink)?;
                }
                Extent::Hole { length } => contents.push_hole(*length, sink)?,
            }
        }
        Ok(())
    }
}

/// Appends a directory that was mended to the one above.
fn take(above: &mut Open<'_>, node: Node, done: Done, split: &dyn Fn(&[u8]) -> u32, sink: &mut dyn FnMut(Vec<u8>) -> Result<TreeId>) -> Result<()> {
    above.marked += done.marked + u64::from(done.is_short);
    let lost = node.lost || done.is_short;
    above.builder.push(&Node { content: Content::Directory(done.id), lost, ..node }, split, sink)
}
