//! How an entry of a snapshot and its source differ.

use crate::format::node::NodeType;

/// How an entry differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DifferenceKind {
    /// It is there, but not as the snapshot holds it.
    Changed,
    /// The snapshot has it, and it is not there.
    Missing,
    /// It is there, and the snapshot does not have it: it came later, or was left out of the backup. Of a directory all below it.
    Extra,
}

/// What of an entry differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aspect {
    /// File, directory, link, …
    Type,
    /// The bytes of a file.
    Contents,
    /// Where a symbolic link leads, or which device it is.
    Target,
    /// Permissions and special bits.
    Mode,
    /// Owner and group, by number and name.
    Owner,
    /// Time of the last change of contents.
    Mtime,
    /// Extended attributes, ACLs among them.
    Xattrs,
    /// `chattr` flags.
    Flags,
}

impl Aspect {
    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Contents => "contents",
            Self::Target => "target",
            Self::Mode => "mode",
            Self::Owner => "owner",
            Self::Mtime => "mtime",
            Self::Xattrs => "xattrs",
            Self::Flags => "flags",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Path in the snapshot, raw bytes.
    pub path: Vec<u8>,
    /// What kind of entry it is; the source's, if it is there.
    pub node_type: NodeType,
    /// How it differs.
    pub kind: DifferenceKind,
    /// In what, if it changed.
    pub aspects: Vec<Aspect>,
    /// The times of the source say that it happened after the backup began (or, for contents, that they changed while they were backed up). What is
    /// missing is explained if its directory changed after that, which it does for other reasons too.
    pub is_explained: bool,
}
