//! What a backup asks of a source: to be walked in order, and to open what it showed.

use crate::format::node::{LinkGroup, Metadata, NodeType, Time};
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// What one `statx` tells about an entry: enough to see whether it changed, cheap enough for every entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The kind of entry.
    pub node_type: NodeType,
    /// Permission and special bits (0o7777).
    pub mode: u32,
    /// Owner by number.
    pub uid: u32,
    /// Group by number.
    pub gid: u32,
    /// Length in bytes of a regular file (of the medium for a block device that is read as a file), 0 for everything else.
    pub size: u64,
    /// Bytes that occupy blocks on disk; less than `size` where a file has holes.
    pub allocated: u64,
    /// Last change of contents.
    pub mtime: Time,
    /// Last change of anything.
    pub ctime: Time,
    /// Inode number.
    pub inode: u64,
    /// Set where more than one name leads to this inode (never for directories).
    pub link_group: Option<LinkGroup>,
    /// Major and minor number of a device.
    pub device: (u32, u32),
}

/// A directory of the source while it is being walked; opens and describes the entries that the walk showed.
pub trait SourceDir: Send + Sync {
    /// All metadata of entry `name`, whose walk `stat` is given: names of owners, link target, attributes, flags.
    /// What was not readable of it (an attribute, say) comes as a sentence beside it.
    fn metadata(&self, name: &[u8], stat: &Stat) -> io::Result<(Metadata, Vec<String>)>;

    /// Opens the regular file `name` for reading. Never follows a symbolic link, never blocks on a fifo that took the file's place; that it is
    /// something else by now may show here, or at the first [`Body::read`] or [`Body::stat`].
    fn open(&self, name: &[u8]) -> io::Result<Box<dyn Body>>;

    /// Whether what is opened here is a stream: something that a program makes, read once, without a name that says what it is.
    fn is_stream(&self) -> bool {
        false
    }

    /// The path of entry `name`, raw bytes, for messages only (it may be longer than the system accepts).
    fn path(&self, name: &[u8]) -> Vec<u8>;
}

/// An open file of the source.
pub trait Body: Send {
    /// Reads into `buffer` at the current position; 0 is the end. Interrupted calls are tried again inside.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// The next range at or after `from` that holds data; `None` when only a hole is left. Positions the body at its start.
    /// A body that knows of no holes answers `from..u64::MAX`.
    fn next_data(&mut self, from: u64) -> io::Result<Option<Range<u64>>>;

    /// The file's stat now, through the open descriptor; `None` for streams, which cannot be asked.
    fn stat(&mut self) -> io::Result<Option<Stat>>;

    /// Goes to the byte at `offset`, where `next_data` found data shortly behind. Streams refuse.
    fn seek(&mut self, offset: u64) -> io::Result<()> {
        let _ = offset;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// All metadata of the file, as [`SourceDir::metadata`] tells them, through the open descriptor; `stat` is what [`Body::stat`] said last.
    /// `None`: it does not know them, ask the directory.
    fn metadata(&mut self, _stat: &Stat) -> io::Result<Option<(Metadata, Vec<String>)>> {
        Ok(None)
    }

    /// Goes back to the first byte. Streams refuse.
    fn rewind(&mut self) -> io::Result<()>;

    /// All of it was read: lets go of what reading left in the host's page cache. Best effort.
    fn release(&mut self) {}
}

/// One entry that the walk came to.
#[derive(Clone, Copy)]
pub struct Item<'a> {
    /// Raw name bytes.
    pub name: &'a [u8],
    /// What `statx` said.
    pub stat: &'a Stat,
    /// The directory it lies in.
    pub dir: &'a Arc<dyn SourceDir>,
}

/// Whoever walks along. Calls come from one thread: `enter`, then the directory's entries in byte order of their names
/// (directories among them, as their own `enter` … `leave`), then `leave`. An `Err` stops the walk.
pub trait Visitor {
    /// A directory begins. `Ok(false)`: nothing below it is wanted (its `leave` is then not called).
    fn enter(&mut self, item: Item<'_>) -> Result<bool, Stop>;

    /// Anything that is not a directory.
    fn leaf(&mut self, item: Item<'_>) -> Result<(), Stop>;

    /// The directory entered last is complete.
    fn leave(&mut self) -> Result<(), Stop>;

    /// An entry or directory that could not be read. A directory whose listing failed still gets its `enter` and `leave`.
    fn failed(&mut self, path: &[u8], error: io::Error) -> Result<(), Stop>;

    /// An entry that was left out on purpose.
    fn skipped(&mut self, path: &[u8], why: Skipped) -> Result<(), Stop>;
}

/// Why the walk left something out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// An exclude pattern, or `--exclude-larger-than`.
    Excluded,
    /// A `CACHEDIR.TAG` or a file named by `--exclude-if-present` lies in it.
    Marked,
    /// It lies on another file system.
    OtherFileSystem,
    /// It is the repository written to, or vault's cache.
    Ourselves,
}

/// The walk was told to stop; the reason is with whoever said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop;

/// Where data come from.
pub trait Source: Send + Sync {
    /// Walks everything once, in order. The tree it shows starts at the file system's root: `/home/me` comes as `home`, then `me`.
    /// `Err(Stop)` only if the visitor said so.
    fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), Stop>;

    /// What is backed up, as absolute paths, for the snapshot record.
    fn paths(&self) -> Vec<Vec<u8>>;

    /// Whether there is one file to read, from its beginning to its end.
    fn is_one_file(&self) -> bool {
        false
    }

    /// Whether it can be walked and read once more. A stream cannot.
    fn can_be_read_again(&self) -> bool {
        true
    }
}
