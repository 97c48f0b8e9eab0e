//! Snapshots are never changed: `tag` and `rewrite` put a new one and forget the old one, in that order.

use super::browse::join;
use super::monitor::Cancel;
use super::walk::{Entries, entries};
use crate::format::compress::Compression;
use crate::format::id::{ObjectId, TreeId};
use crate::format::node::{Content, Node};
use crate::format::snapshot::{Forget, Pin, Snapshot};
use crate::format::tree::DirectoryBuilder;
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::{Repository, StoredSnapshot};
use crate::store::session::Session;

/// How tags change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagChange {
    /// All tags are these from now on.
    pub set: Option<Vec<String>>,
    /// These are added.
    pub add: Vec<String>,
    /// These are removed.
    pub remove: Vec<String>,
}

impl TagChange {
    fn apply(&self, tags: &[String]) -> Vec<String> {
        let mut tags = self.set.clone().unwrap_or_else(|| tags.to_vec());
        tags.extend(self.add.iter().cloned());
        tags.retain(|tag| !self.remove.contains(tag) && !tag.is_empty());
        tags.sort_unstable();
        tags.dedup();
        tags
    }
}

/// Puts `new` in place of `old`: the new one first, then the record that the old one was forgotten on purpose, then away with it.
fn replace(session: &Session<'_>, old: &StoredSnapshot, mut new: Snapshot) -> Result<ObjectId> {
    let repository = session.repository();
    if old.forgotten {
        return Err(RepositoryError::Invalid(format!("snapshot {} was forgotten already", old.id.short())));
    }
    if !old.confirmed {
        return Err(RepositoryError::Invalid(format!("snapshot {} is not confirmed: the next backup of its host finishes it", old.id.short())));
    }
    (new.sequence, new.predecessor) = session.chain()?;
    session.writer().clone_into(&mut new.writer);
    new.original = Some(old.snapshot.original.unwrap_or(old.id));
    session.finish()?;
    let committed = session.commit(&new, Some(old.id))?;
    if let Some(error) = committed.unconfirmed {
        return Err(error);
    }
    super::forget::replace(repository, &[old], Some(committed.id))?;
    Ok(committed.id)
}

/// The record that a snapshot is removed on purpose, from which it can be put again.
pub(super) fn forget_record(repository: &Repository, old: &StoredSnapshot, replaced_by: Option<ObjectId>) -> Forget {
    Forget {
        snapshot: old.id,
        writer: old.snapshot.writer.clone(),
        sequence: old.snapshot.sequence,
        forgotten: repository.host.now(),
        replaced_by,
        record: None,
        session: old.session,
        object: repository.snapshot_object(old.id),
    }
}

/// Pins a snapshot, or with `None` unpins it; returns the name of the new one, or nothing if it is so already.
pub fn pin(repository: &Repository, writer: &str, old: &StoredSnapshot, pinned: Option<Pin>) -> Result<Option<ObjectId>> {
    if pinned == old.snapshot.pinned {
        return Ok(None);
    }
    let session = Session::begin(repository, writer, Compression::default())?;
    replace(&session, old, Snapshot { pinned, ..old.snapshot.clone() }).map(Some)
}

/// Changes the tags of a snapshot; returns the name of the new one, or nothing if they are right already.
pub fn tag(repository: &Repository, writer: &str, old: &StoredSnapshot, change: &TagChange) -> Result<Option<ObjectId>> {
    let tags = change.apply(&old.snapshot.tags);
    if tags == old.snapshot.tags {
        return Ok(None);
    }
    let session = Session::begin(repository, writer, Compression::default())?;
    replace(&session, old, Snapshot { tags, ..old.snapshot.clone() }).map(Some)
}

/// What a rewrite did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The new snapshot; nothing after a dry run.
    pub snapshot: Option<ObjectId>,
    /// Entries that were dropped; what lay below dropped directories counts with them as one.
    pub dropped: u64,
}

struct Open<'r> {
    entries: Entries<'r>,
    builder: DirectoryBuilder,
    node: Option<Node>,
    path: Vec<u8>,
}

/// Drops entries from a snapshot: those that `drops` says yes to, with all below them. Returns nothing if there are none.
pub fn rewrite(
    repository: &Repository,
    writer: &str,
    old: &StoredSnapshot,
    drops: &dyn Fn(&[u8], &Node) -> bool,
    dry_run: bool,
    cancel: &Cancel,
) -> Result<Option<Rewritten>> {
    let mut session = Session::begin(repository, writer, Compression::default())?;
    if dry_run {
        session.set_dry_run();
    }
    let session = session;
    let split = |name: &[u8]| repository.keys.split_number(name);
    let mut sink = |bytes: Vec<u8>| session.store_tree(&bytes);
    let open = |id: TreeId, node: Option<Node>, path: Vec<u8>| Open { entries: entries(repository, id), builder: DirectoryBuilder::new(), node, path };
    let mut summary = old.snapshot.summary;
    let mut dropped = 0;
    let mut stack = vec![open(old.snapshot.root, None, vec![b'/'])];
    let root = loop {
        if cancel.is_cancelled() {
            return Err(RepositoryError::Cancelled);
        }
        let Some(directory) = stack.last_mut() else { unreachable!("the root is left by breaking") };
        match directory.entries.next().transpose()? {
            Some(node) => {
                let path = join(&directory.path, &node.name);
                if drops(&path, &node) {
                    dropped += 1;
                    summary.entries = summary.entries.saturating_sub(1);
                    summary.content_bytes = summary.content_bytes.saturating_sub(node.metadata.size);
                } else if let Content::Directory(id) = node.content {
                    stack.push(open(id, Some(node), path));
                } else {
                    directory.builder.push(&node, &split, &mut sink)?;
                }
            }
            None => {
                let Some(done) = stack.pop() else { unreachable!("it was just there") };
                let id = done.builder.finish(&split, &mut sink)?;
                match (done.node, stack.last_mut()) {
                    (Some(node), Some(above)) => above.builder.push(&Node { content: Content::Directory(id), ..node }, &split, &mut sink)?,
                    _ => break id,
                }
            }
        }
    };
    if dropped == 0 {
        return Ok(None);
    }
    let snapshot = if dry_run { None } else { Some(replace(&session, old, Snapshot { root, summary, ..old.snapshot.clone() })?) };
    Ok(Some(Rewritten { snapshot, dropped }))
}
