//! Two trees in lock step: what was added, removed, changed.

use super::browse::{Place, join};
use super::monitor::Cancel;
use super::walk::{Entries, entries};
use crate::format::node::{Content, Node};
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::Repository;

/// How an entry differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only in the second tree.
    Added,
    /// Only in the first tree.
    Removed,
    /// Other contents.
    Modified,
    /// Same contents, other metadata.
    Metadata,
    /// Another type.
    Type,
}

/// What a comparison counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffSummary {
    /// Entries that are only in the second tree; their bytes.
    pub added: (u64, u64),
    /// Entries that are only in the first tree; their bytes.
    pub removed: (u64, u64),
    /// Entries with other contents or another type.
    pub changed: u64,
    /// Entries with other metadata only.
    pub metadata: u64,
}

/// Contents of two entries are equal; extents are compared by name, so equal bytes cut alike are equal.
fn same_contents(a: &Node, b: &Node) -> bool {
    a.content == b.content && a.metadata.size == b.metadata.size && a.metadata.link_target == b.metadata.link_target && a.metadata.device == b.metadata.device
}

/// What a person would call metadata: inode number and ctime cannot be restored and tell nothing.
fn same_metadata(a: &Node, b: &Node) -> bool {
    let of = |node: &Node| {
        let mut metadata = node.metadata.clone();
        (metadata.inode, metadata.ctime, metadata.link_group) = (0, crate::format::node::Time::default(), None);
        metadata
    };
    of(a) == of(b)
}

struct Pair<'r> {
    path: Vec<u8>,
    entries: [Option<Entries<'r>>; 2],
    next: [Option<Node>; 2],
}

impl<'r> Pair<'r> {
    fn new(repository: &'r Repository, path: Vec<u8>, nodes: [Option<&Node>; 2]) -> Self {
        let entries = nodes.map(|node| match node.map(|node| &node.content) {
            Some(Content::Directory(id)) => Some(entries(repository, *id)),
            _ => None,
        });
        Self { path, entries, next: [None, None] }
    }

    /// The next name with its entries on either side.
    fn step(&mut self) -> Result<Option<[Option<Node>; 2]>> {
        for (entries, next) in self.entries.iter_mut().zip(&mut self.next) {
            if next.is_none() {
                *next = entries.as_mut().and_then(Iterator::next).transpose()?;
            }
        }
        let first = self.next.iter().flatten().map(|node| &node.name).min().cloned();
        Ok(first.map(|name| [0, 1].map(|side: usize| self.next[side].take_if(|node| node.name == name))))
    }
}

/// Compares what is below two places; `tell` gets the path below them, the entry (the second tree's, if it has one) and how it differs.
/// Directories that are equal by name are not entered.
pub fn diff(repository: &Repository, a: &Place, b: &Place, cancel: &Cancel, tell: &mut dyn FnMut(&[u8], &Node, Change)) -> Result<DiffSummary> {
    let mut summary = DiffSummary::default();
    if a.node.content == b.node.content {
        return Ok(summary);
    }
    let mut stack = vec![Pair::new(repository, vec![b'/'], [Some(&a.node), Some(&b.node)])];
    while let Some(pair) = stack.last_mut() {
        if cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        let Some(nodes) = pair.step()? else {
            stack.pop();
            continue;
        };
        let (change, node) = match &nodes {
            [Some(a), Some(b)] if a.metadata.node_type != b.metadata.node_type => (Some(Change::Type), b),
            [Some(a), Some(b)] if matches!(a.content, Content::Directory(_)) => ((!same_metadata(a, b)).then_some(Change::Metadata), b),
            [Some(a), Some(b)] if !same_contents(a, b) => (Some(Change::Modified), b),
            [Some(a), Some(b)] => ((!same_metadata(a, b)).then_some(Change::Metadata), b),
            [None, Some(b)] => (Some(Change::Added), b),
            [Some(a), None] => (Some(Change::Removed), a),
            [None, None] => continue,
        };
        let path = join(&pair.path, &node.name);
        if let Some(change) = change {
            let size = node.metadata.size;
            match change {
                Change::Added => summary.added = (summary.added.0 + 1, summary.added.1 + size),
                Change::Removed => summary.removed = (summary.removed.0 + 1, summary.removed.1 + size),
                Change::Modified | Change::Type => summary.changed += 1,
                Change::Metadata => summary.metadata += 1,
            }
            tell(&path, node, change);
        }
        let directories = nodes.each_ref().map(|node| node.as_ref().filter(|node| matches!(node.content, Content::Directory(_))));
        let equal = matches!(directories, [Some(a), Some(b)] if a.content == b.content);
        if directories.iter().any(Option::is_some) && !equal {
            stack.push(Pair::new(repository, path, directories));
        }
    }
    Ok(summary)
}
