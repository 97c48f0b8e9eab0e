//! A directory of the walk, and the files opened in it.

use super::metadata;
use crate::format::node::{Metadata, NodeType};
use crate::ops::source::{Body, SourceDir, Stat};
use crate::sources::system::handle::{open_path, open_quietly, proc_path};
use crate::sources::system::owners::Owners;
use crate::sources::system::{Devices, component, joined, stat_from, statx_of, type_of};
use rustix::fs::{Advice, OFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags, retry_on_intr};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What all directories of one source share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Names of users and groups.
    pub owners: Owners,
    /// Devices in the order of the walk.
    pub devices: Devices,
}

/// The way from the root to a directory, one name a link, shared by all that lie beneath: paths may be of any length, so none is kept whole.
#[derive(Debug)]
pub struct Trail {
    parent: Option<Arc<Trail>>,
    name: Box<[u8]>,
}

impl Trail {
    /// The trail of the root directory.
    pub fn root() -> Arc<Self> {
        Arc::new(Self {
            parent: None,
            name: Box::default(),
        })
    }

    /// One step further down.
    pub fn below(parent: &Arc<Self>, name: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            parent: Some(Arc::clone(parent)),
            name: name.into(),
        })
    }

    /// All names from the root down.
    pub fn names(&self) -> Vec<&[u8]> {
        let mut names = Vec::new();
        let mut link = self;
        while let Some(parent) = &link.parent {
            names.push(&*link.name);
            link = parent;
        }
        names.reverse();
        names
    }

    /// The whole path, for messages.
    pub fn path(&self) -> Vec<u8> {
        let mut path: Vec<u8> = self
            .names()
            .into_iter()
            .flat_map(|name| [&b"/"[..], name])
            .flatten()
            .copied()
            .collect();
        if path.is_empty() {
            path.push(b'/');
        }
        path
    }
}

impl Drop for Trail {
    /// Link by link: left to itself the chain would be dropped by recursion, and a tree of 100,000 levels would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut link) = next.and_then(Arc::into_inner) {
            next = link.parent.take();
        }
    }
}

/// An open directory. It keeps its descriptor for as long as anyone keeps it, so that files can be opened in it long after the walk went on.
#[derive(Debug)]
pub struct Directory {
    /// The directory itself; `O_PATH` where nothing in it is to be listed.
    pub fd: OwnedFd,
    /// How it was reached.
    pub trail: Arc<Trail>,
    /// What it shares with all others.
    pub shared: Arc<Shared>,
}

impl SourceDir for Directory {
    fn metadata(&self, name: &[u8], stat: &Stat) -> io::Result<(Metadata, Vec<String>)> {
        metadata::of(
            self.fd.as_fd(),
            &component(name)?,
            stat,
            &self.shared.owners,
        )
    }

    fn open(&self, name: &[u8]) -> io::Result<Box<dyn Body>> {
        let name = component(name)?;
        // NONBLOCK: should a fifo have taken the file's place, opening it would wait for a writer for ever.
        let fd = match open_quietly(self.fd.as_fd(), &name, OFlags::NONBLOCK | OFlags::NOFOLLOW) {
            // Someone holds a lease on it (Samba does): wait until it is given up, sure first that it is a file.
            Err(Errno::AGAIN) => {
                let grip = open_path(self.fd.as_fd(), &name)?;
                only_regular(grip.as_fd())?;
                open_quietly(rustix::fs::CWD, &proc_path(grip.as_fd()), OFlags::empty())?
            }
            opened => opened?,
        };
        let size = only_regular(fd.as_fd())?;
        Ok(Box::new(FileBody {
            residue: Residue::new(size),
            fd,
            position: 0,
            shared: Arc::clone(&self.shared),
        }))
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        joined(&self.trail.path(), name)
    }
}

/// The length of an open regular file; anything else is an error.
fn only_regular(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let found = statx_of(fd)?;
    if type_of(&found) == Some(NodeType::File) {
        Ok(found.stx_size)
    } else {
        Err(io::Error::other("no longer a regular file"))
    }
}

/// An open regular file. `position` mirrors the descriptor's own, for the page cache's sake only.
#[derive(Debug)]
struct FileBody {
    fd: OwnedFd,
    position: u64,
    residue: Residue,
    shared: Arc<Shared>,
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
        Self {
            region,
            count: size.div_ceil(region) as u32,
            cold: 0,
            done: 0,
            looked: false,
        }
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
            let answer = rustix::io::preadv2(
                fd,
                &mut [IoSliceMut::new(&mut byte)],
                u64::from(number) * self.region,
                ReadWriteFlags::NOWAIT,
            );
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
                let _ = rustix::fs::fadvise(
                    fd,
                    u64::from(number) * self.region,
                    NonZeroU64::new(self.region),
                    Advice::DontNeed,
                );
            }
        }
        self.done = self.done.max(behind);
    }

    /// Everything will be read again, and is to be dropped again.
    fn rewind(&mut self) {
        self.done = 0;
    }
}
