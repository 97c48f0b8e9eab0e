//! Holds what the walk meets against the parent snapshot, in lock step.

use super::BackupOptions;
use crate::format::id::TreeId;
use crate::format::node::{Content, Node, NodeType, Time};
use crate::format::snapshot::Snapshot;
use crate::ops::source::Stat;
use crate::ops::walk::{Entries, entries};
use crate::store::error::Result;
use crate::store::repository::Repository;

/// The parent's entries of one directory, read as the walk comes by.
pub(super) struct ParentDirectory<'r> {
    entries: Option<Entries<'r>>,
    next: Option<Node>,
    taken: u64,
    /// Some could not be read.
    is_damaged: bool,
}

impl<'r> ParentDirectory<'r> {
    /// The parent has no such directory.
    pub(super) fn none() -> Self {
        Self { entries: None, next: None, taken: 0, is_damaged: false }
    }

    /// The parent's directory with this node.
    pub(super) fn open(repository: &'r Repository, id: TreeId) -> Self {
        Self { entries: Some(entries(repository, id)), ..Self::none() }
    }

    /// The parent's entry of this name. Names must be asked for in ascending order. An error means that some of the parent's
    /// entries cannot be read; the others are still found.
    pub(super) fn take(&mut self, name: &[u8]) -> Result<Option<Node>> {
        loop {
            if !self.fill()? {
                return Ok(None);
            }
            match &self.next {
                Some(node) if node.name.as_slice() < name => {
                    self.taken += 1;
                    self.next = None;
                }
                Some(node) if node.name == name => {
                    self.taken += 1;
                    return Ok(self.next.take());
                }
                _ => return Ok(None),
            }
        }
    }

    /// How many of the parent's entries were passed, found or not.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether the parent has `met` entries here and no more, all of which could be read.
    pub(super) fn is_used_up(&mut self, met: u64) -> bool {
        // What is wrong with an entry behind the last one that was asked for was not told; it is enough that the directory is written anew.
        !matches!(self.fill(), Ok(true) | Err(_)) && self.taken == met && !self.is_damaged
    }

    /// Loads the next entry; `false` at the end.
    fn fill(&mut self) -> Result<bool> {
        if self.next.is_none()
            && let Some(entries) = &mut self.entries
        {
            match entries.next() {
                Some(Ok(node)) => self.next = Some(node),
                Some(Err(error)) => {
                    self.is_damaged = true;
                    return Err(error);
                }
                None => self.entries = None,
            }
        }
        Ok(self.next.is_some())
    }
}

/// How far behind the clock a file's time may be: kernels stamp with a clock that ticks every 1 to 10 ms, some file systems keep whole
/// seconds only, or even ones.
fn granularity_ns(time: Time) -> u64 {
    if time.nanoseconds == 0 { 2_000_000_000 } else { 10_000_000 }
}

/// Before everything: nothing is settled then, and all is read again.
pub(super) const NEVER: Time = Time { seconds: i64::MIN, nanoseconds: 0 };

/// When the run of a snapshot began, as far as that can be believed: a beginning after its end was given by hand, or the clock was set back.
pub(in crate::ops) fn trusted_begin(snapshot: &Snapshot) -> Time {
    if snapshot.begun <= snapshot.ended { snapshot.begun } else { NEVER }
}

/// Whether `time` was over for good when the run began: a change after that would have another time.
pub(in crate::ops) fn is_settled(time: Time, begun: Time) -> bool {
    let nanoseconds = |time: Time| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanoseconds);
    nanoseconds(time) + i128::from(granularity_ns(time)) < nanoseconds(begun)
}

/// Whether an entry is as the parent has it. `parent_begun` is when the parent's run began: what changed shortly before that
/// or later may have changed unseen after it was read, so it is read again.
pub(super) fn is_unchanged(node: &Node, stat: &Stat, options: &BackupOptions, parent_begun: Time) -> bool {
    let m = &node.metadata;
    let last_change = if options.ignore_ctime { stat.mtime } else { stat.ctime };
    m.node_type == stat.node_type
        && (m.node_type != NodeType::File || m.size == stat.size)
        && m.mtime == stat.mtime
        && (options.ignore_ctime || m.ctime == stat.ctime)
        && (options.ignore_inode || m.inode == stat.inode)
        && !node.changed_while_read
        && !node.lost
        && is_settled(last_change, parent_begun)
        && (m.node_type != NodeType::BlockDevice || node.content == Content::None)
}

/// Whether the parent's entry can be taken whole, metadata and all: an equal ctime says that nothing of it changed.
pub(super) fn is_identical(node: &Node, stat: &Stat) -> bool {
    let m = &node.metadata;
    m.ctime == stat.ctime && m.inode == stat.inode && m.mode == stat.mode && m.uid == stat.uid && m.gid == stat.gid && m.device == stat.device
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_just_before_a_run_is_not_settled() {
        let time = |seconds, nanoseconds| Time { seconds, nanoseconds };
        assert!(is_settled(time(5, 1), time(6, 0)));
        assert!(!is_settled(time(5, 995_000_000), time(6, 0)));
        assert!(!is_settled(time(5, 0), time(6, 500_000_000)), "whole seconds");
        assert!(is_settled(time(5, 0), time(7, 1)));
        assert!(!is_settled(time(7, 1), time(6, 0)));
        assert!(is_settled(time(i64::MIN, 1), time(0, 0)));
        assert!(!is_settled(time(-100, 1), NEVER));
    }
}
