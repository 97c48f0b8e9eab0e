//! What can be wrong with an object: the rule that it breaks, and where.

use std::fmt;

/// The kinds of rules of the specification; each has one word, which the vectors use too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The bytes end too early.
    Truncated,
    /// CBOR that is not in the one allowed form (chapter 4).
    NotCanonical,
    /// A map has an unknown key of 128 or above.
    UnknownCritical,
    /// A known value has another type or range than stated.
    WrongType,
    /// A hash in or over an object differs.
    WrongHash,
    /// A chunk or a record is not what its name says.
    WrongName,
    /// A commitment differs: the secret or key is another one.
    WrongKey,
    /// A box or a MAC does not open under the right key.
    NotAuthentic,
    /// A limit of chapters 7 or 16 is exceeded.
    TooLarge,
    /// Parts do not fit each other, something required is missing or something reserved is present.
    BadStructure,
    /// A number that this reader does not know.
    Unsupported,
    /// An epoch for which there is no key.
    UnknownEpoch,
    /// The role of the slot has no key for that: nothing is wrong with the object.
    NoKey,
    /// Something needed is not in the repository.
    Missing,
    /// The machine failed, not the format.
    Io,
}

impl Rule {
    /// The word of this rule.
    pub fn word(self) -> &'static str {
        match self {
            Rule::Truncated => "truncated",
            Rule::NotCanonical => "not-canonical",
            Rule::UnknownCritical => "unknown-critical",
            Rule::WrongType => "wrong-type",
            Rule::WrongHash => "wrong-hash",
            Rule::WrongName => "wrong-name",
            Rule::WrongKey => "wrong-key",
            Rule::NotAuthentic => "not-authentic",
            Rule::TooLarge => "too-large",
            Rule::BadStructure => "bad-structure",
            Rule::Unsupported => "unsupported",
            Rule::UnknownEpoch => "unknown-epoch",
            Rule::NoKey => "no-key",
            Rule::Missing => "missing",
            Rule::Io => "io",
        }
    }

    /// The rule that a vector's expectation word names; what a key cannot open and what a machine cannot do are no vector's.
    pub fn from_word(word: &str) -> Option<Rule> {
        let all = [
            Rule::Truncated,
            Rule::NotCanonical,
            Rule::UnknownCritical,
            Rule::WrongType,
            Rule::WrongHash,
            Rule::WrongName,
            Rule::WrongKey,
            Rule::NotAuthentic,
            Rule::TooLarge,
            Rule::BadStructure,
            Rule::Unsupported,
            Rule::UnknownEpoch,
            Rule::Missing,
        ];
        all.into_iter().find(|rule| rule.word() == word)
    }
}

/// One broken rule at one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The object (or chunk, or path); empty until somebody who knows it fills it in.
    pub object: String,
    /// The rule.
    pub rule: Rule,
    /// The rule in words.
    pub detail: String,
}

/// The result of everything that reads.
pub type Result<T> = std::result::Result<T, Fault>;

impl Fault {
    /// A fault at an object not yet named.
    pub fn new(rule: Rule, detail: impl Into<String>) -> Fault {
        Fault { object: String::new(), rule, detail: detail.into() }
    }

    /// The same fault, at the object, unless one is already named.
    #[must_use]
    pub fn of(mut self, object: &str) -> Fault {
        if self.object.is_empty() {
            object.clone_into(&mut self.object);
        }
        self
    }
}

/// `Err` with a fault.
pub fn fail<T>(rule: Rule, detail: impl Into<String>) -> Result<T> {
    Err(Fault::new(rule, detail))
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.object.is_empty() {
            write!(f, "{}: ", self.object)?;
        }
        write!(f, "{}: {}", self.rule.word(), self.detail)
    }
}

impl std::error::Error for Fault {}
