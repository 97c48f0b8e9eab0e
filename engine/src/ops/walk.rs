//! Reads trees: the entries of a directory, the extents of a file, a path, everything below a directory. Nothing here recurses.
//!
//! One leaf of a directory or list is held at a time, and for [`walk`] one for each directory on the way down.
//! Whatever SPEC chapter 12 demands across nodes (first names, order, counts, sums, levels) is checked here; [`TreeNode::decode`] checks the rest.

use crate::format::FormatError;
use crate::format::id::TreeId;
use crate::format::node::{Content, Extent, Node};
use crate::format::pack::PLAIN_LENGTH_MAX;
use crate::format::tree::{LEVELS_MAX, ListPart, Part, TreeNode};
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::Repository;
use std::vec::IntoIter;

fn damaged(id: TreeId, what: &'static str) -> RepositoryError {
    RepositoryError::format(format!("tree {}", id.short()), FormatError::BadStructure(what))
}

/// The entries of a directory in byte order of their names, however it is split.
///
/// An error is no end: what the damaged node holds is left out, and the parts after it follow. Whoever needs the directory whole stops at the
/// first error. An error that is not about one object ([`RepositoryError::concerns_one_object`]) is the last item.
pub struct Entries<'r> {
    repository: &'r Repository,
    root: Option<TreeId>,
    /// The parts still to come of each level.
    levels: Vec<IntoIter<Part>>,
    leaf: IntoIter<Node>,
}

/// The entries of the directory whose node is `id`.
pub fn entries(repository: &Repository, id: TreeId) -> Entries<'_> {
    Entries { repository, root: Some(id), levels: Vec::new(), leaf: Vec::new().into_iter() }
}

impl Entries<'_> {
    /// Loads a node, the whole directory's or the part's that begins with `first_name`, and checks it against what stands above and after it.
    fn load(&mut self, id: TreeId, part: Option<&Part>) -> Result<()> {
        // Names in this node stay below the first name of whatever comes next.
        let limit = self.levels.iter().rev().find_map(|parts| parts.as_slice().first()).map(|next| next.first_name.as_slice());
        let fits = |first: &[u8], last: &[u8]| part.is_none_or(|part| part.first_name == first) && limit.is_none_or(|limit| last < limit);
        match self.repository.tree(id)? {
            TreeNode::Directory(nodes) => {
                match (nodes.first(), nodes.last()) {
                    (Some(first), Some(last)) if !fits(&first.name, &last.name) => return Err(damaged(id, "a part of a directory with names from elsewhere")),
                    (None, _) if part.is_some() => return Err(damaged(id, "a part of a directory without entries")),
                    _ => {}
                }
                if part.is_some_and(|part| part.entries != nodes.len() as u64) {
                    return Err(damaged(id, "a part of a directory with another number of entries than promised"));
                }
                self.leaf = nodes.into_iter();
            }
            TreeNode::Split(parts) => {
                if self.levels.len() >= LEVELS_MAX {
                    return Err(RepositoryError::format(format!("tree {}", id.short()), FormatError::TooLarge("levels of a split directory")));
                }
                let (first, last) = (&parts[0], &parts[parts.len() - 1]);
                if !fits(&first.first_name, &last.first_name) {
                    return Err(damaged(id, "a part of a directory with names from elsewhere"));
                }
                let sum = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.entries));
                if sum.is_none() || part.is_some_and(|part| Some(part.entries) != sum) {
                    return Err(damaged(id, "a part of a directory with another number of entries than promised"));
                }
                self.levels.push(parts.into_iter());
            }
            TreeNode::List(_) | TreeNode::Lists(_) => return Err(damaged(id, "a list where a directory belongs")),
        }
        Ok(())
    }

    /// The end of the walk after an error that is not about one object.
    fn stop(&mut self) {
        self.root = None;
        self.levels.clear();
        self.leaf = Vec::new().into_iter();
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Node>;

    fn next(&mut self) -> Option<Result<Node>> {
        loop {
            if let Some(node) = self.leaf.next() {
                return Some(Ok(node));
            }
            let loaded = if let Some(root) = self.root.take() {
                self.load(root, None)
            } else {
                let Some(part) = self.levels.last_mut()?.next() else {
                    self.levels.pop();
                    continue;
                };
                self.load(part.id, Some(&part))
            };
            if let Err(error) = loaded {
                if !error.concerns_one_object() {
                    self.stop();
                }
                return Some(Err(error));
            }
        }
    }
}

/// A run of a file's bytes and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// Offset in the file in bytes.
    pub offset: u64,
    /// The run.
    pub extent: Extent,
}

/// The extents of a file in order, from its entry or from its lists. An error is the last item: the file is not whole.
pub struct Extents<'r> {
    repository: &'r Repository,
    /// Parts to come of each level, and the offset at which the current part must end.
    levels: Vec<(IntoIter<ListPart>, u64)>,
    leaf: IntoIter<Extent>,
    list: Option<TreeId>,
    offset: u64,
    size: u64,
    after_hole: bool,
    ended: bool,
}

/// The extents of the file `node`; none for everything that is no file.
pub fn extents_of<'r>(repository: &'r Repository, node: &Node) -> Extents<'r> {
    let (leaf, list) = match &node.content {
        Content::Extents(extents) => (extents.clone(), None),
        Content::List(id) => (Vec::new(), Some(*id)),
        Content::None | Content::Directory(_) => (Vec::new(), None),
    };
    Extents { repository, levels: Vec::new(), leaf: leaf.into_iter(), list, offset: 0, size: node.metadata.size, after_hole: false, ended: false }
}

impl Extents<'_> {
    /// Loads a list node that holds the bytes from here to `end`.
    fn load(&mut self, id: TreeId, end: u64) -> Result<()> {
        let sum = match self.repository.tree(id)? {
            TreeNode::List(extents) => {
                let sum = extents.iter().try_fold(0u64, |sum, extent| sum.checked_add(extent.length()));
                self.leaf = extents.into_iter();
                sum
            }
            TreeNode::Lists(parts) => {
                if self.levels.len() >= LEVELS_MAX {
                    return Err(RepositoryError::format(format!("tree {}", id.short()), FormatError::TooLarge("levels of a list")));
                }
                let sum = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.length));
                self.levels.push((parts.into_iter(), end));
                sum
            }
            TreeNode::Directory(_) | TreeNode::Split(_) => return Err(damaged(id, "a directory where a list belongs")),
        };
        if sum.and_then(|sum| sum.checked_add(self.offset)) == Some(end) { Ok(()) } else { Err(damaged(id, "a list of another length than promised")) }
    }

    fn advance(&mut self) -> Result<Option<Located>> {
        loop {
            if let Some(extent) = self.leaf.next() {
                let is_hole = matches!(extent, Extent::Hole { .. });
                if is_hole && self.after_hole {
                    return Err(RepositoryError::format("list of contents", FormatError::BadStructure("two holes side by side")));
                }
                if !is_hole && extent.length() > PLAIN_LENGTH_MAX as u64 {
                    return Err(RepositoryError::format("list of contents", FormatError::TooLarge("chunk")));
                }
                self.after_hole = is_hole;
                let located = Located { offset: self.offset, extent };
                self.offset += extent.length();
                return Ok(Some(located));
            }
            if let Some(list) = self.list.take() {
                self.load(list, self.size)?;
            } else if let Some((parts, end)) = self.levels.last_mut() {
                match parts.next() {
                    Some(part) => {
                        let end = self.offset.checked_add(part.length).filter(|sum| sum <= end);
                        self.load(part.id, end.ok_or_else(|| damaged(part.id, "a list of another length than promised"))?)?;
                    }
                    None => drop(self.levels.pop()),
                }
            } else {
                return Ok(None);
            }
        }
    }
}

impl Iterator for Extents<'_> {
    type Item = Result<Located>;

    fn next(&mut self) -> Option<Result<Located>> {
        if self.ended {
            return None;
        }
        let next = self.advance();
        self.ended = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}

/// The entry `name` of a directory, found without reading parts of it that cannot hold the name.
pub fn find(repository: &Repository, directory: TreeId, name: &[u8]) -> Result<Option<Node>> {
    let mut id = directory;
    let mut promised: Option<Part> = None;
    for _ in 0..=LEVELS_MAX {
        match repository.tree(id)? {
            TreeNode::Directory(mut nodes) => {
                if promised.is_some_and(|part| nodes.first().is_none_or(|first| first.name != part.first_name)) {
                    return Err(damaged(id, "a part of a directory with names from elsewhere"));
                }
                let at = nodes.binary_search_by(|node| node.name.as_slice().cmp(name));
                return Ok(at.ok().map(|at| nodes.swap_remove(at)));
            }
            TreeNode::Split(mut parts) => {
                if promised.is_some_and(|part| parts[0].first_name != part.first_name) {
                    return Err(damaged(id, "a part of a directory with names from elsewhere"));
                }
                let Some(at) = parts.partition_point(|part| part.first_name.as_slice() <= name).checked_sub(1) else { return Ok(None) };
                let part = parts.swap_remove(at);
                id = part.id;
                promised = Some(part);
            }
            TreeNode::List(_) | TreeNode::Lists(_) => return Err(damaged(id, "a list where a directory belongs")),
        }
    }
    Err(damaged(id, "a directory split into too many levels"))
}

/// The entry that `components` lead to, from the directory `root` down. `None` if it is not there; likewise for no components, since a root has
/// no entry of its own.
pub fn find_path<'c>(repository: &Repository, root: TreeId, components: impl IntoIterator<Item = &'c [u8]>) -> Result<Option<Node>> {
    let mut directory = root;
    let mut components = components.into_iter().peekable();
    while let Some(name) = components.next() {
        let Some(node) = find(repository, directory, name)? else { return Ok(None) };
        if components.peek().is_none() {
            return Ok(Some(node));
        }
        let Content::Directory(id) = node.content else { return Ok(None) };
        directory = id;
    }
    Ok(None)
}

/// Whoever is led through a tree by [`walk`]: `enter`, then what lies in the directory in byte order of the names (directories among it as their
/// own `enter` … `leave`), then `leave`. Paths are raw bytes, as in the snapshot. An `Err` ends the walk.
pub trait Visit {
    /// A directory begins. `Ok(false)`: it is passed over, and has no `leave`.
    fn enter(&mut self, path: &[u8], node: Node) -> Result<bool>;

    /// Anything that is not a directory.
    fn leaf(&mut self, path: &[u8], node: Node) -> Result<()>;

    /// The directory entered last is complete.
    fn leave(&mut self, path: &[u8]) -> Result<()>;

    /// Some or all entries of the directory `path` cannot be read; the walk goes on with the others.
    fn damaged(&mut self, path: &[u8], error: RepositoryError) -> Result<()>;
}

/// Walks everything below the directory `root`, which itself stands at `path` and is neither entered nor left.
pub fn walk(repository: &Repository, root: TreeId, path: &[u8], visit: &mut dyn Visit) -> Result<()> {
    let mut path = path.strip_suffix(b"/").unwrap_or(path).to_vec();
    // Each directory on the way with the length of its path.
    let mut stack = vec![(entries(repository, root), path.len())];
    while let Some((entries, length)) = stack.last_mut() {
        path.truncate(*length);
        match entries.next() {
            None => {
                stack.pop();
                if !stack.is_empty() {
                    visit.leave(&path)?;
                }
            }
            Some(Err(error)) if error.concerns_one_object() => visit.damaged(&path, error)?,
            Some(Err(error)) => return Err(error),
            Some(Ok(node)) => {
                path.push(b'/');
                path.extend_from_slice(&node.name);
                match node.content {
                    Content::Directory(id) => {
                        if visit.enter(&path, node)? {
                            stack.push((self::entries(repository, id), path.len()));
                        }
                    }
                    _ => visit.leaf(&path, node)?,
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
