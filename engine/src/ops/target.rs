//! What a restore asks of a destination: directories that hand out files, and metadata set through open descriptors.

use super::source::Stat;
use crate::format::node::Metadata;
use std::io;
use std::sync::Arc;

/// Something the destination could not keep; listed, never dropped in silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// What: `owner`, `xattr user.comment`, `mtime`, …
    pub what: String,
    /// Why, in the system's words.
    pub why: String,
}

/// An open directory of the destination. No call leads outside of it: names are single components, links are never followed.
pub trait TargetDir: Send + Sync {
    /// The entry's stat; `None` if there is none.
    fn stat(&self, name: &[u8]) -> io::Result<Option<Stat>>;

    /// All names in it, in byte order.
    fn list(&self) -> io::Result<Vec<Vec<u8>>>;

    /// Opens the directory `name`, making it (mode 0700) when it is missing. Anything else under that name is an error.
    fn directory(&self, name: &[u8]) -> io::Result<Arc<dyn TargetDir>>;

    /// Opens the regular file `name` for reading and writing, made (mode 0600) if missing; contents are kept.
    /// A file with several links is not written through: `fresh` removes it first and makes a new one.
    fn file(&self, name: &[u8], fresh: bool) -> io::Result<Arc<dyn TargetFile>>;

    /// Makes a symbolic link, device, fifo or socket as `metadata` says, and dresses it.
    fn special(&self, name: &[u8], metadata: &Metadata) -> io::Result<Vec<Loss>>;

    /// Makes `name` another name of `existing` in `from`, which this target handed out too.
    fn link(&self, name: &[u8], from: &dyn TargetDir, existing: &[u8]) -> io::Result<()>;

    /// Sets all metadata of the existing entry `name` (a directory, or a leaf whose contents stand already).
    fn dress(&self, name: &[u8], metadata: &Metadata) -> io::Result<Vec<Loss>>;

    /// Sets all metadata of this directory itself.
    fn dress_self(&self, metadata: &Metadata) -> io::Result<Vec<Loss>>;

    /// Removes `name`, a directory with all below it.
    fn remove(&self, name: &[u8]) -> io::Result<()>;

    /// The path of `name` in it, for messages only.
    fn path(&self, name: &[u8]) -> Vec<u8>;

    /// This object, so that implementations can recognise their own in [`TargetDir::link`].
    fn as_any(&self) -> &dyn std::any::Any;
}

/// An open file of the destination.
pub trait TargetFile: Send + Sync {
    /// Reads up to `buffer.len()` bytes at `offset`; less only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes `range` a hole, or zeros where holes are not to be had.
    fn punch(&self, offset: u64, length: u64) -> io::Result<()>;

    /// Sets the length in bytes.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Length in bytes now.
    fn length(&self) -> io::Result<u64>;

    /// Sets all metadata. Call it last: writing clears capabilities and moves mtime.
    fn dress(&self, metadata: &Metadata) -> io::Result<Vec<Loss>>;
}
