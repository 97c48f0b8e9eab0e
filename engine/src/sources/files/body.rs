//! An open file of the source: its bytes, its holes, its metadata, and what reading it leaves in the host's page cache.

use super::directory::Shared;
use super::metadata;
use crate::format::node::{Metadata, NodeType};
use crate::ops::source::{Body, Stat};
use crate::sources::system::found::Found;
use crate::sources::system::handle::Handle;
use crate::sources::system::{replaced, statx_of};
use rustix::fs::{Advice, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Below this a file is one region.
const REGION: u64 = 32 << 20;

/// An open file that was a regular one when the walk saw it.
///
/// What it is now is asked only behind the first read, by the same question that ends the reading of a small file. Until then nothing is done that
/// could disturb another kind of file in its place: all reads name their position, which pipes refuse.
#[derive(Debug)]
pub struct FileBody {
    fd: OwnedFd,
    position: u64,
    /// What it is, if nothing was read since it was asked.
    now: Option<Found>,
    /// The last read brought less than was asked for: this may be the end.
    short: bool,
    residue: Residue,
    shared: Arc<Shared>,
}

impl FileBody {
    /// Takes over an open file, nothing read of it yet.
    pub fn new(fd: OwnedFd, shared: Arc<Shared>) -> Self {
        Self { fd, position: 0, now: None, short: false, residue: Residue::default(), shared }
    }

    /// What the file is after the last read. Anything but a regular file is an error.
    fn now(&mut self) -> io::Result<Found> {
        if let Some(found) = self.now {
            return Ok(found);
        }
        let found = Found::of(&statx_of(self.fd.as_fd())?);
        if found.node_type() != Some(NodeType::File) {
            return Err(io::Error::other("no longer a regular file"));
        }
        self.now = Some(found);
        Ok(found)
    }

    fn read_on(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Reading far before the regions were looked at would warm them.
        let most = if self.residue.looked { buffer.len() } else { buffer.len().min(REGION as usize / 2) };
        let cached = if self.residue.probed { None } else { self.residue.read(self.fd.as_fd(), &mut buffer[..most])? };
        let length = match cached {
            Some(length) => length,
            None => retry_on_intr(|| rustix::io::pread(&self.fd, &mut buffer[..most], self.position))?,
        };
        self.now = None;
        self.short = length < most;
        self.position += length as u64;
        Ok(length)
    }
}

impl Body for FileBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.residue.probed && (self.short || !self.residue.looked) {
            let size = self.now()?.size();
            self.residue.look(self.fd.as_fd(), size);
            // The file's own word ends it, so that no read is made to be told that nothing is left. Files that have no size are read on.
            if self.position == size {
                return Ok(0);
            }
        }
        let length = self.read_on(buffer)?;
        self.residue.drop_behind(self.fd.as_fd(), self.position);
        Ok(length)
    }

    fn next_data(&mut self, from: u64) -> io::Result<Option<Range<u64>>> {
        if !self.residue.looked {
            let size = self.now()?.size();
            self.residue.look(self.fd.as_fd(), size);
        }
        let range = match rustix::fs::seek(&self.fd, SeekFrom::Data(from)) {
            // A file may lose its last data between the two calls; then it ends here.
            Ok(start) => match rustix::fs::seek(&self.fd, SeekFrom::Hole(start)) {
                Ok(end) => start..end,
                Err(Errno::NXIO) => return Ok(None),
                Err(error) => return Err(error.into()),
            },
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS) => from..u64::MAX,
            Err(error) => return Err(error.into()),
        };
        self.position = range.start;
        Ok(Some(range))
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.position = offset;
        self.short = false;
        Ok(())
    }

    fn stat(&mut self) -> io::Result<Option<Stat>> {
        self.now()?.stat(&self.shared.devices).map(Some)
    }

    fn metadata(&mut self, stat: &Stat) -> io::Result<Option<(Metadata, Vec<String>)>> {
        if self.now()?.identity.inode != stat.inode {
            return Err(replaced());
        }
        metadata::of_open(Handle::new(&self.fd, true), stat, &self.shared.owners).map(Some)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.position = 0;
        self.now = None;
        self.short = false;
        self.residue.rewind();
        Ok(())
    }

    fn release(&mut self) {
        self.residue.drop_behind(self.fd.as_fd(), u64::MAX);
    }
}

/// Keeps reading from pushing out what the host has in its page cache, without pushing out of it what was there before us.
///
/// The first read asks with `RWF_NOWAIT`, which answers only from the cache; of a file of several regions (32 MiB, larger in files above 2 GiB) one
/// page of each other one is asked for like that before the second read. Regions that did not answer are dropped as soon as they are read; those
/// that did, stay. So a database's hot part stays hot and a cold video leaves nothing behind, at one call per region. What this is not: exact
/// within a region.
/// `RWF_DONTCACHE` (Linux 6.14) would be, but it also drops the unread rest of a large page: measured on ext4, Linux 6.18, reading 512 MiB in
/// pieces of 256 KiB then takes 684 MiB from the disk, and pieces of 64 KiB 808 MiB.
#[derive(Debug)]
struct Residue {
    /// Bytes per region.
    region: u64,
    /// Regions in the file, at most 64.
    count: u32,
    /// A bit per region: set where nothing was cached before.
    cold: u64,
    /// Regions behind us already dropped or left alone.
    done: u32,
    /// The first region was asked for.
    probed: bool,
    /// All were.
    looked: bool,
    /// The file system has no such question: then nothing is known to be ours, and nothing is dropped.
    unknown: bool,
}

impl Default for Residue {
    fn default() -> Self {
        Self { region: REGION, count: 1, cold: 0, done: 0, probed: false, looked: false, unknown: false }
    }
}

impl Residue {
    /// What the cache has of region `number`, from its beginning; `None`: nothing, or nobody knows.
    fn ask(&mut self, fd: BorrowedFd<'_>, number: u32, buffer: &mut [u8]) -> rustix::io::Result<Option<usize>> {
        let start = u64::from(number) * self.region;
        match retry_on_intr(|| rustix::io::preadv2(fd, &mut [IoSliceMut::new(buffer)], start, ReadWriteFlags::NOWAIT)) {
            Ok(length) => Ok(Some(length)),
            Err(Errno::AGAIN) => {
                self.cold |= 1 << number;
                Ok(None)
            }
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.unknown = true;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Reads what the cache has of the file's beginning.
    fn read(&mut self, fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.probed = true;
        Ok(self.ask(fd, 0, buffer)?)
    }

    /// Finds the cold regions of a file of `size` bytes, once, before anything is read but its beginning.
    fn look(&mut self, fd: BorrowedFd<'_>, size: u64) {
        if std::mem::replace(&mut self.looked, true) {
            return;
        }
        self.region = REGION.max(size.div_ceil(64));
        self.count = size.div_ceil(self.region).max(1) as u32;
        let first = u32::from(std::mem::replace(&mut self.probed, true));
        let several = self.count - first > 1;
        if several {
            // So that each question brings in its one page and not what the kernel would read ahead of it.
            let _ = rustix::fs::fadvise(fd, 0, None, Advice::Random);
        }
        for number in first..self.count {
            if self.unknown || self.ask(fd, number, &mut [0]).is_err() {
                break;
            }
        }
        if several {
            let _ = rustix::fs::fadvise(fd, 0, None, Advice::Sequential);
        }
    }

    /// Lets go of the cold regions that lie wholly behind `position`. Best effort: its failure costs memory the kernel can take back.
    fn drop_behind(&mut self, fd: BorrowedFd<'_>, position: u64) {
        let behind = (position / self.region).min(u64::from(self.count)) as u32;
        for number in self.done..behind.max(self.done) {
            if self.cold >> number & 1 == 1 {
                let _ = rustix::fs::fadvise(fd, u64::from(number) * self.region, NonZeroU64::new(self.region), Advice::DontNeed);
            }
        }
        self.done = self.done.max(behind);
    }

    /// Everything will be read again, and is to be dropped again.
    fn rewind(&mut self) {
        self.done = 0;
    }
}
