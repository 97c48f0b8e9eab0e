//! Finds trees that were the roots of snapshots: directories that no other tree leads to, in the packs of trees.

use super::index::Survey;
use crate::format::id::TreeId;
use crate::format::node::{Content, Node, Time};
use crate::format::pack::{MOVED_SESSION, PackKind};
use crate::format::snapshot::Snapshot;
use crate::format::tree::TreeNode;
use crate::ops::monitor::{Cancel, Monitor, Progress};
use crate::ops::walk::{Visit, entries, walk};
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::{Repository, StoredSnapshot};
use std::collections::{HashMap, HashSet};

/// The root of a snapshot whose record is lost.
pub(super) struct LostRoot {
    pub(super) id: TreeId,
    /// The newest change in it.
    pub(super) time: Time,
    pub(super) paths: Vec<Vec<u8>>,
    pub(super) entries: u64,
    pub(super) content_bytes: u64,
}

/// Directories that nothing leads to, and the sessions that put them.
fn unreferenced(repository: &Repository, survey: &Survey, monitor: &dyn Monitor, cancel: &Cancel) -> Result<HashMap<TreeId, [u8; 16]>> {
    let mut directories: HashMap<TreeId, [u8; 16]> = HashMap::new();
    let mut referenced: HashSet<TreeId> = HashSet::new();
    let packs: Vec<_> = survey.packs.values().filter(|pack| pack.kind == PackKind::Meta).collect();
    for (number, pack) in packs.iter().enumerate() {
        let pack = repository.loader.table(repository, pack)?;
        for block in 0..pack.table.blocks.len() {
            if cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            let plain = match repository.loader.block(repository, &pack, block) {
                Ok(plain) => plain,
                Err(error) if error.concerns_one_object() => continue,
                Err(error) => return Err(error),
            };
            let mut rest = &plain[..];
            for chunk in pack.table.chunks_of(block) {
                let (bytes, after) = rest.split_at(chunk.length as usize);
                rest = after;
                match TreeNode::decode(bytes) {
                    Ok(TreeNode::Directory(nodes)) => {
                        if !nodes.is_empty() {
                            directories.insert(TreeId(chunk.id.0), pack.table.session);
                        }
                        referenced.extend(nodes.iter().filter_map(|node| match node.content {
                            Content::Directory(id) => Some(id),
                            _ => None,
                        }));
                    }
                    Ok(TreeNode::Split(parts)) => {
                        directories.insert(TreeId(chunk.id.0), pack.table.session);
                        referenced.extend(parts.iter().map(|part| part.id));
                    }
                    // Lists of contents lead to no directory.
                    Ok(TreeNode::List(_) | TreeNode::Lists(_)) | Err(_) => {}
                }
            }
        }
        monitor.progress(&Progress { files_done: number as u64 + 1, files_total: packs.len() as u64, total_known: true, ..Progress::default() });
    }
    directories.retain(|id, _| !referenced.contains(id));
    Ok(directories)
}

/// Adds up what a tree holds.
struct Sum {
    time: Time,
    entries: u64,
    content_bytes: u64,
}

impl Sum {
    fn add(&mut self, node: &Node) {
        self.entries += 1;
        self.content_bytes = self.content_bytes.saturating_add(node.metadata.size);
        self.time = self.time.max(node.metadata.ctime);
    }
}

impl Visit for Sum {
    fn enter(&mut self, _: &[u8], node: Node) -> Result<bool> {
        self.add(&node);
        Ok(true)
    }

    fn leaf(&mut self, _: &[u8], node: Node) -> Result<()> {
        self.add(&node);
        Ok(())
    }

    fn leave(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn damaged(&mut self, _: &[u8], _: RepositoryError) -> Result<()> {
        Ok(())
    }
}

/// The lost roots, oldest first. Of each session only the one with most entries: the others are its checkpoints.
pub(super) fn find(repository: &Repository, survey: &Survey, known: &[StoredSnapshot], monitor: &dyn Monitor, cancel: &Cancel) -> Result<Vec<LostRoot>> {
    let mut candidates = unreferenced(repository, survey, monitor, cancel)?;
    for stored in known {
        candidates.remove(&stored.snapshot.root);
    }
    // What was removed on purpose shall not come back.
    for record in repository.forgotten()?.iter().filter_map(|forget| forget.record.as_ref()) {
        if let Ok(snapshot) = Snapshot::decode(record) {
            candidates.remove(&snapshot.root);
        }
    }
    let mut by_session: HashMap<[u8; 16], LostRoot> = HashMap::new();
    let mut found = Vec::new();
    for (id, session) in candidates {
        let mut sum = Sum { time: Time { seconds: i64::MIN, nanoseconds: 0 }, entries: 0, content_bytes: 0 };
        walk(repository, id, b"/", &mut sum)?;
        let root = LostRoot { id, time: sum.time, paths: paths(repository, id)?, entries: sum.entries, content_bytes: sum.content_bytes };
        if session == MOVED_SESSION {
            found.push(root);
            continue;
        }
        match by_session.get(&session) {
            Some(best) if best.entries >= root.entries => {}
            _ => drop(by_session.insert(session, root)),
        }
    }
    found.extend(by_session.into_values());
    found.sort_by_key(|root| (root.time, root.id));
    Ok(found)
}

/// What was backed up: down from the root for as long as there is one directory and nothing else.
fn paths(repository: &Repository, root: TreeId) -> Result<Vec<Vec<u8>>> {
    let mut path = Vec::new();
    let mut directory = root;
    loop {
        let first: Vec<Node> = match entries(repository, directory).take(2).collect::<Result<Vec<_>>>() {
            Ok(first) => first,
            Err(error) if error.concerns_one_object() => break,
            Err(error) => return Err(error),
        };
        let [only] = &first[..] else { break };
        path.push(b'/');
        path.extend_from_slice(&only.name);
        match only.content {
            Content::Directory(id) => directory = id,
            _ => break,
        }
    }
    Ok(vec![if path.is_empty() { b"/".to_vec() } else { path }])
}
