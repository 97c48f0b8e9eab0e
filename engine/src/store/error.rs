//! What went wrong with a store or an object in it, in kinds a caller can match.

use crate::format::FormatError;
use crate::format::id::ObjectId;
use crate::format::keys::Role;
use crate::format::layout::ObjectName;
use thiserror::Error;

/// The kind of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is no such object.
    Missing,
    /// There is no such place: the bucket that should hold the objects does not exist.
    NoPlace,
    /// The place holds something else already.
    Exists,
    /// Not allowed: permissions, credentials, a read-only file system.
    Denied,
    /// No space or quota left.
    Full,
    /// May well work when tried again.
    Transient,
    /// The object is not what it should be.
    Corrupt,
    /// The store cannot do this, or this program cannot talk to it.
    Unsupported,
    /// Anything else.
    Other,
}

/// A failed call: what kind, on which object, and why.
#[derive(Debug, Error)]
#[error("{object}: {reason}")]
pub struct StoreError {
    /// The kind of failure: all that code may depend on.
    pub kind: StoreErrorKind,
    /// The object or place.
    pub object: String,
    /// The reason in the store's words.
    pub reason: String,
}

impl StoreError {
    /// An error on `object`.
    pub fn new(kind: StoreErrorKind, object: impl ToString, reason: impl ToString) -> Self {
        Self { kind, object: object.to_string(), reason: reason.to_string() }
    }

    /// Whether this speaks of one object, which is gone or damaged, and not of the store.
    pub fn is_about_one_object(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Missing | StoreErrorKind::Corrupt)
    }

    /// An error of the system on `object`.
    pub fn from_io(object: impl ToString, error: &std::io::Error) -> Self {
        Self::new(kind_of_io(error.kind()), object, error)
    }
}

/// The kind that an error of the system belongs to.
pub(super) fn kind_of_io(kind: std::io::ErrorKind) -> StoreErrorKind {
    use std::io::ErrorKind as Io;
    match kind {
        Io::NotFound => StoreErrorKind::Missing,
        Io::AlreadyExists => StoreErrorKind::Exists,
        Io::PermissionDenied | Io::ReadOnlyFilesystem => StoreErrorKind::Denied,
        Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => StoreErrorKind::Full,
        Io::Interrupted | Io::TimedOut | Io::ResourceBusy | Io::ConnectionReset | Io::ConnectionAborted | Io::ConnectionRefused => StoreErrorKind::Transient,
        _ => StoreErrorKind::Other,
    }
}

/// In what a store shows an older state than this machine saw before.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Older {
    /// The root keys.
    #[error("keys of epoch {seen} were seen, and there are only those up to {shown}")]
    Keys {
        /// The highest epoch that was seen.
        seen: u32,
        /// The highest of the key slot that was opened.
        shown: u32,
    },
    /// The configuration, by epoch and sequence.
    #[error("configuration {}.{} was seen, and the newest there is {}.{}", .seen.0, .seen.1, .shown.0, .shown.1)]
    Config {
        /// The highest that was seen.
        seen: (u32, u64),
        /// The highest there is.
        shown: (u32, u64),
    },
    /// The newest snapshot that was seen of a writer is neither there nor forgotten.
    #[error("snapshot {} (number {sequence} of host {writer}) was seen, and is neither there nor forgotten", .id.short())]
    Snapshot {
        /// The host of the program that wrote it.
        writer: String,
        /// Its number among this writer's.
        sequence: u64,
        /// Its name.
        id: ObjectId,
    },
}

/// What using a repository can fail with.
#[derive(Debug, Error)]
pub enum RepositoryError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no repository there.
    #[error("there is no repository at {0}")]
    NoRepository(String),
    /// There is one already.
    #[error("there is a repository at {0} already")]
    AlreadyExists(String),
    /// None of the secrets opens a key slot.
    #[error("no key slot of {location} opens with what was given ({slots} slots, {damaged} damaged)")]
    WrongKey {
        /// The repository.
        location: String,
        /// How many slots there are.
        slots: usize,
        /// How many of them could not be read.
        damaged: usize,
    },
    /// An object is damaged or not understood.
    #[error("{object}: {error}")]
    Format {
        /// The object, or the chunk, and where it lies.
        object: String,
        /// What is wrong with it.
        #[source]
        error: FormatError,
    },
    /// The key that the repository was opened with is of a role that cannot do this.
    #[error("a key of the role {role} cannot {what}")]
    NotAllowed {
        /// The role.
        role: Role,
        /// What it cannot do.
        what: &'static str,
    },
    /// A chunk that something needs lies in no pack.
    #[error("chunk {0} is in no pack")]
    MissingChunk(String),
    /// Packs that a snapshot relies on were swept while it was made, and no other copies are left: what lay in them must be stored again.
    #[error("{0} packs that the snapshot relies on were swept while it was made")]
    Swept(usize),
    /// The store does not let this client delete.
    #[error("the store does not let this client delete {0}")]
    NoDeletion(String),
    /// The store shows older keys or an older configuration than this machine saw before, so nothing is written.
    #[error("the store shows an older state than this machine saw before: {0}")]
    OlderState(Older),
    /// The repository asks of writers what this program does not know.
    #[error("this repository needs a newer program to write to it (feature {0})")]
    CannotWrite(u64),
    /// No snapshot fits a selector.
    #[error("no snapshot fits {0:?}")]
    NoSnapshot(String),
    /// Several snapshots fit an id prefix.
    #[error("{0:?} fits more than one snapshot")]
    Ambiguous(String),
    /// A path is not in a snapshot.
    #[error("{path:?} is not in snapshot {snapshot}")]
    NoPath {
        /// The snapshot, short.
        snapshot: String,
        /// The path, for people.
        path: String,
    },
    /// A path leads to something of another type than needed.
    #[error("{path:?} is {found}, not {wanted}")]
    WrongType {
        /// The path, for people.
        path: String,
        /// What it is.
        found: &'static str,
        /// What was needed.
        wanted: &'static str,
    },
    /// Something was asked that makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// A stream that must hold something held nothing; no snapshot was made.
    #[error("the stream was empty, so no snapshot was made")]
    EmptyStream,
    /// Somebody asked to stop.
    #[error("interrupted")]
    Cancelled,
}

impl RepositoryError {
    /// A damaged or not understood object. That a role has no key for it says nothing of the object.
    pub fn format(object: impl ToString, error: FormatError) -> Self {
        match error {
            FormatError::NotAllowed { role, what } => Self::NotAllowed { role, what },
            error => Self::Format { object: object.to_string(), error },
        }
    }

    /// Names the object an error of the format belongs to.
    pub fn of(name: &ObjectName) -> impl FnOnce(FormatError) -> Self + '_ {
        move |error| Self::format(name, error)
    }

    /// Whether this speaks of one object (damaged, gone, or not understood), so that the others are still worth a try.
    pub fn concerns_one_object(&self) -> bool {
        self.is_damage() || matches!(self, Self::Format { .. })
    }

    /// Whether no room is left in the store.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind == StoreErrorKind::Full)
    }

    /// Whether an object is not there: swept, perhaps, since it was listed.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind == StoreErrorKind::Missing)
    }

    /// Whether the repository itself is damaged, as against the wish or the way to it.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::MissingChunk(_) => true,
            Self::Format { error, .. } => !matches!(error, FormatError::Unsupported { .. } | FormatError::UnknownCritical(_) | FormatError::UnknownEpoch(_)),
            Self::Store(error) => error.is_about_one_object(),
            _ => false,
        }
    }
}

/// What using a repository gives.
pub type Result<T> = std::result::Result<T, RepositoryError>;
