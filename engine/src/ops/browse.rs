//! Looking into a snapshot: resolve a path, walk what is below it, read a file.

use super::monitor::Cancel;
use super::select::components;
use super::walk::{entries, extents_of, find_path};
use crate::format::id::TreeId;
use crate::format::node::{Content, Extent, Metadata, Node, NodeType};
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::{Repository, StoredSnapshot};
use std::io::Write;

/// A place in a snapshot: its path there and its entry. The root's entry is made up: a directory without a name.
#[derive(Clone, Debug)]
pub struct Place {
    /// Absolute path in the snapshot, raw bytes, `/` for the root.
    pub path: Vec<u8>,
    /// The entry.
    pub node: Node,
}

/// The entry that stands for a snapshot's root.
pub fn root_node(root: TreeId) -> Node {
    let metadata = Metadata::plain(NodeType::Directory, 0o755);
    Node { name: Vec::new(), metadata, content: Content::Directory(root), changed_while_read: false, lost: false, unknown: Vec::new() }
}

/// The entry at `path` of a snapshot.
pub fn resolve(repository: &Repository, stored: &StoredSnapshot, path: &[u8]) -> Result<Place> {
    let names = components(path)?;
    let shown = || String::from_utf8_lossy(path).into_owned();
    let node = if names.is_empty() {
        root_node(stored.snapshot.root)
    } else {
        find_path(repository, stored.snapshot.root, names.iter().copied())?
            .ok_or_else(|| RepositoryError::NoPath { snapshot: stored.id.short(), path: shown() })?
    };
    let mut path = vec![b'/'];
    path.extend_from_slice(&names.join(&b'/'));
    Ok(Place { path, node })
}

/// `directory` and `name` as one path.
pub fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// What the visitor of a walk wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Descend {
    /// What is below this directory too.
    Yes,
    /// Nothing below it.
    No,
}

/// Visits everything below `start` (not `start` itself), directories before what is in them, names in byte order.
/// A directory that cannot be read is told to `damaged`, and the walk goes on.
pub fn walk(
    repository: &Repository,
    start: &Place,
    cancel: &Cancel,
    visit: &mut dyn FnMut(&[u8], &Node) -> Descend,
    damaged: &mut dyn FnMut(&[u8], RepositoryError),
) -> Result<()> {
    let Content::Directory(id) = start.node.content else { return Ok(()) };
    let mut stack = vec![(start.path.clone(), entries(repository, id))];
    while let Some((directory, open)) = stack.last_mut() {
        if cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        match open.next() {
            None => drop(stack.pop()),
            Some(Err(error)) if error.concerns_one_object() => damaged(directory, error),
            Some(Err(error)) => return Err(error),
            Some(Ok(node)) => {
                let path = join(directory, &node.name);
                let descend = visit(&path, &node);
                if let (Content::Directory(id), Descend::Yes) = (&node.content, descend) {
                    stack.push((path, entries(repository, *id)));
                }
            }
        }
    }
    Ok(())
}

/// Writes a file's contents to `out`, holes as zeros.
pub fn read_file(repository: &Repository, place: &Place, cancel: &Cancel, out: &mut dyn Write) -> Result<()> {
    let found = place.node.metadata.node_type;
    if found != NodeType::File {
        return Err(RepositoryError::WrongType { path: String::from_utf8_lossy(&place.path).into_owned(), found: found.word(), wanted: "file" });
    }
    let failed = |error: std::io::Error| crate::store::StoreError::from_io("output", &error);
    let zeros = vec![0; 64 * 1024];
    for extent in extents_of(repository, &place.node) {
        if cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        match extent?.extent {
            Extent::Chunk { id, length } => out.write_all(&repository.chunk(id, length)?).map_err(failed)?,
            Extent::Hole { mut length } => {
                while length > 0 {
                    let most = length.min(zeros.len() as u64);
                    out.write_all(&zeros[..most as usize]).map_err(failed)?;
                    length -= most;
                }
            }
        }
    }
    Ok(())
}
