//! Damage done on purpose to a repository on disk: an action times a kind of object.

use crate::clean_room::files_below;
use std::fs;
use std::path::{Path, PathBuf};

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is gone.
    Delete,
    /// One bit in its middle is another.
    Flip,
    /// Its second half is gone.
    Truncate,
    /// It is empty.
    Empty,
}

/// All of them.
pub const ACTIONS: [Action; 4] = [Action::Delete, Action::Flip, Action::Truncate, Action::Empty];

/// The kinds of objects, as the first part of their names (SPEC chapter 2).
pub const KINDS: [&str; 8] = ["keys", "keys2", "config", "snapshots", "confirmed", "meta", "data", "index"];

/// The objects of a kind, in order of their names.
pub fn objects(repository: &Path, kind: &str) -> Vec<PathBuf> {
    files_below(&repository.join(kind))
}

/// Does it.
pub fn damage(object: &Path, action: Action) {
    let mut bytes = fs::read(object).unwrap();
    let middle = bytes.len() / 2;
    match action {
        Action::Delete => return fs::remove_file(object).unwrap(),
        Action::Flip => bytes[middle] ^= 1,
        Action::Truncate => bytes.truncate(middle),
        Action::Empty => bytes.clear(),
    }
    fs::write(object, bytes).unwrap();
}
