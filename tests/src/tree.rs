//! Trees of files written as data, or drawn from a seed, and made real under a directory.

mod catalogue;

pub use crate::random::Random;
pub use catalogue::{drawn, huge, modes_and_times, odd_names, privileged, sizes, sparse, types, user_xattrs};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use std::ffi::OsStr;
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What a file holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Incompressible bytes from a seed.
    Noise {
        /// Where they come from.
        seed: u64,
        /// How many.
        length: usize,
    },
    /// A sparse file: `length` bytes with noise at these (offset, length) places and holes between them.
    Sparse {
        /// Apparent size.
        length: u64,
        /// The places with data.
        data: Vec<(u64, usize)>,
    },
}

/// What an entry is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A socket without a listener.
    Socket,
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// Another name of an entry made before, by its path in the tree.
    Link(Vec<u8>),
}

/// One entry; what is `None` stays as the system makes it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path below the root, raw bytes.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission and special bits.
    pub mode: Option<u32>,
    /// Owner and group.
    pub owner: Option<(u32, u32)>,
    /// Seconds and nanoseconds.
    pub mtime: Option<(i64, i64)>,
    /// Extended attributes with their whole names.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

impl Entry {
    /// Permission and special bits.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.mode = Some(mode);
        self
    }

    /// Owner and group by number.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        self.owner = Some((uid, gid));
        self
    }

    /// Time of the last change of contents.
    #[must_use]
    pub fn mtime(mut self, seconds: i64, nanoseconds: i64) -> Self {
        self.mtime = Some((seconds, nanoseconds));
        self
    }

    /// One extended attribute more.
    #[must_use]
    pub fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.xattrs.push((name.to_owned(), value.to_vec()));
        self
    }
}

/// An entry with the system's defaults.
pub fn entry(path: impl AsRef<[u8]>, kind: Kind) -> Entry {
    Entry { path: path.as_ref().to_vec(), kind, mode: None, owner: None, mtime: None, xattrs: Vec::new() }
}

/// A directory.
pub fn dir(path: impl AsRef<[u8]>) -> Entry {
    entry(path, Kind::Directory)
}

/// A file with these bytes.
pub fn file(path: impl AsRef<[u8]>, bytes: impl AsRef<[u8]>) -> Entry {
    entry(path, Kind::File(Content::Bytes(bytes.as_ref().to_vec())))
}

/// A file of incompressible bytes.
pub fn noise(path: impl AsRef<[u8]>, length: usize, seed: u64) -> Entry {
    entry(path, Kind::File(Content::Noise { seed, length }))
}

/// A symbolic link.
pub fn symlink(path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
    entry(path, Kind::Symlink(target.as_ref().to_vec()))
}

/// Another name of `existing`.
pub fn link(path: impl AsRef<[u8]>, existing: impl AsRef<[u8]>) -> Entry {
    entry(path, Kind::Link(existing.as_ref().to_vec()))
}

/// The path of raw bytes below `root`.
pub fn at(root: &Path, path: &[u8]) -> PathBuf {
    root.join(OsStr::from_bytes(path))
}

/// Makes the tree below `root`, which is created if missing. Entries come in order, parents first; metadata afterwards, deepest first.
/// Returns when a backup that begins now can tell every later change by its time.
pub fn write(root: &Path, entries: &[Entry]) {
    fs::create_dir_all(root).unwrap();
    for entry in entries {
        let path = at(root, &entry.path);
        make(root, &path, entry).unwrap_or_else(|error| panic!("making {}: {error}", path.display()));
    }
    for entry in entries.iter().rev() {
        let path = at(root, &entry.path);
        dress(&path, entry).unwrap_or_else(|error| panic!("dressing {}: {error}", path.display()));
    }
    // A run reads again what changed in the last ticks of the clock before the run before it; what is made here is older than that.
    std::thread::sleep(std::time::Duration::from_millis(50));
}

fn make(root: &Path, path: &Path, entry: &Entry) -> std::io::Result<()> {
    let node = |kind, mode, device| rustix::fs::mknodat(CWD, path, kind, Mode::from_raw_mode(mode), device).map_err(Into::into);
    match &entry.kind {
        Kind::Directory => fs::create_dir(path),
        Kind::File(content) => fill(path, content),
        Kind::Symlink(target) => std::os::unix::fs::symlink(OsStr::from_bytes(target), path),
        Kind::Fifo => node(FileType::Fifo, 0o644, 0),
        Kind::Socket => node(FileType::Socket, 0o755, 0),
        Kind::Character(major, minor) => node(FileType::CharacterDevice, 0o600, rustix::fs::makedev(*major, *minor)),
        Kind::Block(major, minor) => node(FileType::BlockDevice, 0o600, rustix::fs::makedev(*major, *minor)),
        Kind::Link(existing) => fs::hard_link(at(root, existing), path),
    }
}

fn fill(path: &Path, content: &Content) -> std::io::Result<()> {
    match content {
        Content::Bytes(bytes) => fs::write(path, bytes),
        Content::Noise { seed, length } => fs::write(path, Random(*seed).bytes(*length)),
        Content::Sparse { length, data } => {
            let mut file = fs::File::create(path)?;
            for (offset, bytes) in data {
                file.seek(SeekFrom::Start(*offset))?;
                file.write_all(&Random(*offset).bytes(*bytes))?;
            }
            file.set_len(*length)
        }
    }
}

fn dress(path: &Path, entry: &Entry) -> std::io::Result<()> {
    if let Some((uid, gid)) = entry.owner {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::fs::chownat(CWD, path, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    }
    for (name, value) in &entry.xattrs {
        rustix::fs::lsetxattr(path, name.as_str(), value, XattrFlags::empty())?;
    }
    if let Some(mode) = entry.mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    if let Some((seconds, nanoseconds)) = entry.mtime {
        set_mtime(path, seconds, nanoseconds)?;
    }
    Ok(())
}

/// Sets mtime (and atime to the same) without following a symbolic link.
pub fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) -> std::io::Result<()> {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
