//! The plain model of a tree: what `lstat`, `read` and `lgetxattr` say about every entry, in a map that two trees can be compared by.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// What one entry is, without what no restore can bring back (atime, ctime, inode number).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Type in one letter, as `find -printf %y` has it.
    pub kind: char,
    /// Permission and special bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    /// Length of a file.
    pub size: u64,
    /// BLAKE3 of a file's bytes; a link's target; a device's number.
    pub content: Vec<u8>,
    /// Extended attributes.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// The first path that is the same inode.
    pub same_as: Vec<u8>,
}

/// A tree: raw paths below the root (the root itself is the empty path) and their states.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain(pub BTreeMap<Vec<u8>, State>);

impl Plain {
    /// Reads the tree below `root`.
    pub fn read(root: &Path) -> Self {
        let mut states = BTreeMap::new();
        let mut waiting = vec![Vec::new()];
        let mut inodes: BTreeMap<(u64, u64), Vec<Vec<u8>>> = BTreeMap::new();
        while let Some(path) = waiting.pop() {
            let full = root.join(OsStr::from_bytes(&path));
            let metadata = fs::symlink_metadata(&full).unwrap_or_else(|error| panic!("lstat {}: {error}", full.display()));
            if metadata.is_dir() {
                for child in fs::read_dir(&full).unwrap() {
                    let name = child.unwrap().file_name();
                    let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
                    waiting.push([&path, separator, name.as_bytes()].concat());
                }
            } else {
                inodes.entry((metadata.dev(), metadata.ino())).or_default().push(path.clone());
            }
            states.insert(path, state(&full, &metadata));
        }
        for paths in inodes.values() {
            let first = paths.iter().min().unwrap();
            for path in paths {
                states.get_mut(path).unwrap().same_as.clone_from(first);
            }
        }
        Self(states)
    }

    /// The part below `prefix`, with the prefix taken off.
    #[must_use]
    pub fn below(&self, prefix: &[u8]) -> Self {
        let start = [prefix, b"/"].concat();
        let cut = |path: &[u8]| path.strip_prefix(start.as_slice()).map(<[u8]>::to_vec);
        let states = self.0.iter().filter_map(|(path, state)| {
            let mut state = state.clone();
            state.same_as = cut(&state.same_as).unwrap_or_default();
            let path = if path == prefix { Some(Vec::new()) } else { cut(path) };
            path.map(|path| (path, state))
        });
        Self(states.collect())
    }

    /// Every difference in words, at most thirty of them; empty if the trees are equal.
    pub fn differences(&self, other: &Self) -> String {
        let mut text = String::new();
        let all: std::collections::BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        let different = all.into_iter().filter(|path| self.0.get(*path) != other.0.get(*path));
        for path in different.take(30) {
            let name = path.escape_ascii();
            match (self.0.get(path), other.0.get(path)) {
                (Some(_), None) => writeln!(text, "missing: {name}").unwrap(),
                (None, Some(_)) => writeln!(text, "too much: {name}").unwrap(),
                (mine, theirs) => {
                    writeln!(text, "different: {name}\n  - {mine:?}\n  + {theirs:?}").unwrap();
                }
            }
        }
        text
    }
}

fn state(path: &Path, metadata: &fs::Metadata) -> State {
    let kind = metadata.file_type();
    let (letter, content) = if kind.is_dir() {
        ('d', Vec::new())
    } else if kind.is_file() {
        ('f', hash(path, metadata.len()))
    } else if kind.is_symlink() {
        ('l', fs::read_link(path).unwrap().as_os_str().as_bytes().to_vec())
    } else if kind.is_fifo() {
        ('p', Vec::new())
    } else if kind.is_socket() {
        ('s', Vec::new())
    } else {
        (if kind.is_char_device() { 'c' } else { 'b' }, metadata.rdev().to_le_bytes().to_vec())
    };
    State {
        kind: letter,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        mtime: (metadata.mtime(), metadata.mtime_nsec()),
        size: if letter == 'f' { metadata.len() } else { 0 },
        content,
        xattrs: xattrs(path),
        same_as: Vec::new(),
    }
}

/// The hash of a file's bytes; of a file too large to read through, only where data lie is read.
fn hash(path: &Path, length: u64) -> Vec<u8> {
    let Ok(mut file) = fs::File::open(path) else {
        return b"unreadable".to_vec();
    };
    let mut hasher = blake3::Hasher::new();
    if length <= 1 << 30 {
        std::io::copy(&mut file, &mut hasher).unwrap();
    } else {
        for (offset, bytes) in crate::compare::data_ranges(path) {
            let mut data = vec![0; bytes as usize];
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut data, offset).unwrap();
            hasher.update(&offset.to_le_bytes());
            std::io::copy(&mut data.as_slice().take(bytes), &mut hasher).unwrap();
        }
    }
    hasher.finalize().as_bytes().to_vec()
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 65_536];
    let Ok(length) = rustix::fs::llistxattr(path, &mut names[..]) else {
        return BTreeMap::new();
    };
    let value = |name: &[u8]| {
        let mut value = vec![0; 65_536];
        let length = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap_or(0);
        (name.to_vec(), value[..length].to_vec())
    };
    names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;

    #[test]
    fn equal_trees_are_equal_and_each_change_is_seen() {
        let scratch = tempfile::tempdir().unwrap();
        let entries = || [tree::types(), tree::odd_names(), tree::drawn(1, 50)].concat();
        let (a, b) = (scratch.path().join("a"), scratch.path().join("b"));
        for root in [&a, &b] {
            tree::write(root, &entries().into_iter().map(|entry| entry.mtime(1_500_000_000, 7)).collect::<Vec<_>>());
            tree::set_mtime(root, 1, 1).unwrap();
        }
        assert_eq!(Plain::read(&a).differences(&Plain::read(&b)), "");
        tree::set_mtime(&b.join("types/plain"), 1_500_000_000, 8).unwrap();
        fs::remove_file(b.join("types/second")).unwrap();
        fs::hard_link(b.join("types/empty-a"), b.join("types/second")).unwrap();
        let seen = Plain::read(&a).differences(&Plain::read(&b));
        assert!(seen.contains("different: types/plain") && seen.contains("different: types/second"), "{seen}");
    }
}
