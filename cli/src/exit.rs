//! The exit codes, in one place; the help prints this table.

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All that was asked for was done.
    Complete = 0,
    /// It failed.
    Failed = 1,
    /// The command line or a setting is wrong; nothing was touched.
    Usage = 2,
    /// A snapshot was made (or files were restored), but something is missing.
    Incomplete = 3,
    /// The command that produces the data failed; nothing was committed.
    Producer = 4,
    /// Verification found damage.
    Damaged = 6,
    /// There is no repository.
    NoRepository = 10,
    /// No key slot fits the password or key.
    WrongKey = 12,
    /// The store refused: rights, quota, immutability.
    Refused = 13,
    /// A signal ended the run.
    Interrupted = 130,
}

/// Every code with its meaning, in ascending order.
pub const TABLE: [(Exit, &str); 10] = [
    (Exit::Complete, "complete"),
    (Exit::Failed, "failed"),
    (Exit::Usage, "usage or configuration error, nothing was touched"),
    (Exit::Incomplete, "done, but some source data or some metadata is missing (listed)"),
    (Exit::Producer, "the producing command failed, nothing was committed"),
    (Exit::Damaged, "verification found damage"),
    (Exit::NoRepository, "no repository"),
    (Exit::WrongKey, "wrong password or key"),
    (Exit::Refused, "the store refused (rights, quota, immutability)"),
    (Exit::Interrupted, "interrupted"),
];

impl Exit {
    /// The number the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Incomplete => "incomplete",
            Self::Producer => "producer_failed",
            Self::Damaged => "damaged",
            Self::NoRepository => "no_repository",
            Self::WrongKey => "wrong_key",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
        }
    }
}

/// The table as a section of the help.
pub fn help() -> String {
    use std::fmt::Write as _;
    let mut text = String::from("Exit codes:\n");
    for (exit, meaning) in TABLE {
        let _ = writeln!(text, "  {:>3}  {meaning}", exit.code());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_complete_ascending_and_as_designed() {
        let codes: Vec<u8> = TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 6, 10, 12, 13, 130]);
        assert!(help().contains("  130  interrupted"));
    }

    #[test]
    fn words_are_unique() {
        let mut words: Vec<&str> = TABLE.iter().map(|(exit, _)| exit.word()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), TABLE.len());
    }
}
