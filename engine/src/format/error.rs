//! What is wrong with these bytes: one variant for each kind of refusal that SPEC knows.

use super::keys::Role;
use thiserror::Error;

/// Why bytes were refused. Which object they came from is for the caller to add.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// The bytes end before what they promise.
    #[error("it is cut short")]
    Truncated,
    /// Not the one form that SPEC chapter 4 allows.
    #[error("not in canonical form: {0}")]
    NotCanonical(&'static str),
    /// A critical field this program does not know.
    #[error("it needs a newer program: unknown critical field {0}")]
    UnknownCritical(u64),
    /// A known field of the wrong type or range.
    #[error("wrong field: {0}")]
    WrongField(&'static str),
    /// A field that must be there and is not.
    #[error("a field is missing: {0}")]
    MissingField(&'static str),
    /// Larger than chapter 16 allows, or than was promised.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// Parts that contradict each other.
    #[error("inconsistent: {0}")]
    BadStructure(&'static str),
    /// A number this version does not know; the object may be fine.
    #[error("it needs a newer program: {what} {number} is unknown")]
    Unsupported {
        /// What kind of number.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// The sealed bytes were changed, or sealed under another key or for another purpose.
    #[error("its seal is broken")]
    NotAuthentic,
    /// A commitment that does not fit: the key or secret is not the one it was made with.
    #[error("the key does not fit")]
    WrongKey,
    /// Sealed under keys made after this client's slot: the repository's keys were rotated.
    #[error("it was written with newer keys (epoch {0}); this key slot is from before the keys were rotated")]
    UnknownEpoch(u32),
    /// The slot that was opened is of a role that lacks the key for this.
    #[error("a key of the role {role} cannot {what}")]
    NotAllowed {
        /// The role.
        role: Role,
        /// What it cannot do.
        what: &'static str,
    },
    /// The hash in a pack's header or footer is not that of its bytes.
    #[error("the hash in its header or footer is wrong")]
    WrongHash,
    /// The contents do not have the name they were stored under.
    #[error("its contents do not match its name")]
    WrongName,
    /// Belongs to another repository.
    #[error("it belongs to another repository")]
    WrongRepository,
}

/// What decoding gives.
pub type Result<T> = std::result::Result<T, FormatError>;
