//! An open file of the source: its bytes, its holes, and what reading it leaves in the host's page cache.

use super::directory::Shared;
use crate::ops::source::{Body, Stat};
use crate::sources::system::{stat_from, statx_of};
use rustix::fs::{Advice, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// An open regular file. `position` mirrors the descriptor's own, for the page cache's sake only.
#[derive(Debug)]
pub struct FileBody {
    fd: OwnedFd,
    position: u64,
    residue: Residue,
    shared: Arc<Shared>,
}

impl FileBody {
    /// Takes over an open file of `size` bytes, nothing read of it yet.
    pub fn new(fd: OwnedFd, size: u64, shared: Arc<Shared>) -> Self {
        Self { fd, position: 0, residue: Residue::new(size), shared }
    }
}

impl Body for FileBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.residue.look(self.fd.as_fd());
        let length = retry_on_intr(|| rustix::io::read(&self.fd, &mut *buffer))?;
        self.position += length as u64;
        self.residue.drop_behind(self.fd.as_fd(), self.position);
        Ok(length)
    }

    fn next_data(&mut self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.residue.look(self.fd.as_fd());
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
        rustix::fs::seek(&self.fd, SeekFrom::Start(range.start))?;
        self.position = range.start;
        Ok(Some(range))
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        rustix::fs::seek(&self.fd, SeekFrom::Start(offset))?;
        self.position = offset;
        Ok(())
    }

    fn stat(&mut self) -> io::Result<Option<Stat>> {
        stat_from(&statx_of(self.fd.as_fd())?, &self.shared.devices).map(Some)
    }

    fn rewind(&mut self) -> io::Result<()> {
        rustix::fs::seek(&self.fd, SeekFrom::Start(0))?;
        self.position = 0;
        self.residue.rewind();
        Ok(())
    }

    fn release(&mut self) {
        self.residue.drop_behind(self.fd.as_fd(), u64::MAX);
    }
}

/// Keeps reading from pushing out what the host has in its page cache, without pushing out of it what was there before us.
///
/// Before the first read one page of every region (32 MiB, larger in files above 2 GiB) is asked for with `RWF_NOWAIT`, which answers only from
/// the cache. Regions that did not answer are dropped as soon as they are read; those that did, stay. So a database's hot part stays hot and a
/// cold video leaves nothing behind, at one call per region. What this is not: exact within a region.
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
    looked: bool,
}

/// Below this a file is one region.
const REGION: u64 = 32 << 20;

impl Residue {
    fn new(size: u64) -> Self {
        let region = REGION.max(size.div_ceil(64));
        Self { region, count: size.div_ceil(region) as u32, cold: 0, done: 0, looked: false }
    }

    /// Finds the cold regions, once, before anything was read.
    fn look(&mut self, fd: BorrowedFd<'_>) {
        if std::mem::replace(&mut self.looked, true) {
            return;
        }
        let several = self.count > 1;
        if several {
            // So that each question brings in its one page and not what the kernel would read ahead of it.
            let _ = rustix::fs::fadvise(fd, 0, None, Advice::Random);
        }
        for number in 0..self.count {
            let mut byte = [0_u8];
            let answer = rustix::io::preadv2(fd, &mut [IoSliceMut::new(&mut byte)], u64::from(number) * self.region, ReadWriteFlags::NOWAIT);
            match answer {
                Err(Errno::AGAIN) => self.cold |= 1 << number,
                Ok(_) => {}
                // No such question on this file system: then nothing is known to be ours, and nothing is dropped.
                Err(_) => break,
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
