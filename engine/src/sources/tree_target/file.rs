//! An open file of the destination.

use super::Tree;
use super::directory::Directory;
use super::dress::{dress, dress_new};
use crate::format::node::{Metadata, NodeType};
use crate::ops::target::{Loss, TargetFile};
use crate::sources::system::handle::Handle;
use crate::sources::system::statx_of;
use rustix::fs::FallocateFlags;
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A regular file, open for reading and writing, of which this is the only name.
#[derive(Debug)]
pub struct File {
    /// The file.
    pub fd: OwnedFd,
    /// The destination it lies in.
    pub tree: Arc<Tree>,
    /// The directory it was made in by this very opening.
    pub made_in: Option<Arc<Directory>>,
}

/// Zeros written at a time where holes are not to be had.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

impl TargetFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match retry_on_intr(|| rustix::io::pread(&self.fd, &mut buffer[filled..], offset + filled as u64))? {
                0 => break,
                length => filled += length,
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut written = 0;
        while written < bytes.len() {
            match retry_on_intr(|| rustix::io::pwrite(&self.fd, &bytes[written..], offset + written as u64))? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                length => written += length,
            }
        }
        Ok(())
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        // Beyond the end there is nothing to punch, and zeros there would make the file longer.
        let end = offset.saturating_add(length).min(self.length()?);
        let Some(length) = end.checked_sub(offset).filter(|&length| length > 0) else {
            return Ok(());
        };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match retry_on_intr(|| rustix::fs::fallocate(&self.fd, flags, offset, length)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => {}
            outcome => return Ok(outcome?),
        }
        let mut at = offset;
        while at < end {
            let piece = (end - at).min(ZEROS.len() as u64);
            self.write_at(&ZEROS[..piece as usize], at)?;
            at += piece;
        }
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        Ok(retry_on_intr(|| rustix::fs::ftruncate(&self.fd, length))?)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(statx_of(self.fd.as_fd())?.stx_size)
    }

    fn dress(&self, metadata: &Metadata) -> io::Result<Vec<Loss>> {
        if metadata.node_type != NodeType::File {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the metadata is not that of a regular file"));
        }
        let handle = Handle::new(&self.fd, true);
        match &self.made_in {
            Some(directory) => dress_new(handle, metadata, &self.tree.ownership, &directory.newborn),
            None => dress(handle, metadata, &self.tree.ownership),
        }
    }
}
