//! Directories that are as the parent has them so far: nothing is handed on until something differs.
//!
//! A directory all of whose entries are the parent's, metadata and all, is the parent's node: it need not be encoded, named and looked up
//! again. So the walk only counts how many of the parent's entries it has met, in order and identical. When something differs, those that were met
//! are read from the parent once more and handed on like any other entries.

use super::compare::ParentDirectory;
use crate::format::id::TreeId;
use crate::format::node::Node;

/// What is known of an open directory of which nothing was handed on yet.
pub(super) struct Lazy {
    /// The parent's node.
    pub(super) tree: TreeId,
    /// How many of its entries were met, from the first on, all identical.
    pub(super) met: u64,
    /// Entries further down, in directories that were left unchanged.
    pub(super) below: u64,
    /// The directory's entry; none for the root.
    pub(super) entry: Option<Entry>,
}

/// A directory's own entry.
pub(super) struct Entry {
    /// As the parent has it, and as it is.
    pub(super) before: Box<Node>,
    /// Tells its path, for whoever listens.
    pub(super) path: Box<dyn Fn() -> Vec<u8> + Send>,
}

/// One open directory of the walk.
pub(super) struct Level<'r> {
    pub(super) parent: ParentDirectory<'r>,
    pub(super) lazy: Option<Lazy>,
}

/// Counts of unchanged entries, added to the tally now and then: a lock for each would cost more than the entry.
#[derive(Clone, Copy, Default)]
pub(super) struct Unchanged {
    pub(super) files: u64,
    pub(super) directories: u64,
    pub(super) bytes: u64,
    /// Entries in directories that were left unchanged; the fold counts all others.
    pub(super) entries: u64,
}

impl Unchanged {
    /// Whether it is time to add them up.
    pub(super) fn is_many(&self) -> bool {
        self.files + self.directories >= 256
    }
}
