//! A directory of the walk, which opens and describes what lies in it.

use super::body::FileBody;
use super::metadata;
use crate::format::node::{Metadata, NodeType};
use crate::ops::source::{Body, SourceDir, Stat};
use crate::sources::system::handle::{Handle, open_path, open_quietly, proc_path};
use crate::sources::system::owners::Owners;
use crate::sources::system::{Devices, component, joined, statx_of, type_of};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

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
        Arc::new(Self { parent: None, name: Box::default() })
    }

    /// One step further down.
    pub fn below(parent: &Arc<Self>, name: &[u8]) -> Arc<Self> {
        Arc::new(Self { parent: Some(Arc::clone(parent)), name: name.into() })
    }

    /// The last step's name; empty for the root.
    pub fn name(&self) -> &[u8] {
        &self.name
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
        let mut path: Vec<u8> = self.names().into_iter().flat_map(|name| [&b"/"[..], name]).flatten().copied().collect();
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
    shared: Arc<Shared>,
    /// The subdirectory that the walk is just entering, so that its metadata need not open it again.
    entered: Mutex<Option<Arc<Directory>>>,
}

impl Directory {
    /// Takes over an open directory.
    pub fn new(fd: OwnedFd, trail: Arc<Trail>, shared: Arc<Shared>) -> Self {
        Self { fd, trail, shared, entered: Mutex::default() }
    }

    /// Says which subdirectory is just being entered; it must be open for listing.
    pub fn set_entered(&self, directory: Option<Arc<Directory>>) {
        *self.entered.lock().unwrap_or_else(PoisonError::into_inner) = directory;
    }

    fn entered(&self, name: &[u8]) -> Option<Arc<Directory>> {
        self.entered.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|directory| directory.trail.name() == name)
    }
}

impl SourceDir for Directory {
    fn metadata(&self, name: &[u8], stat: &Stat) -> io::Result<(Metadata, Vec<String>)> {
        if let Some(entered) = self.entered(name).filter(|_| stat.node_type == NodeType::Directory) {
            return metadata::of_open(Handle::new(&entered.fd, true), stat, &self.shared.owners);
        }
        metadata::of(self.fd.as_fd(), &component(name)?, stat, &self.shared.owners)
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
        Ok(Box::new(FileBody::new(fd, Arc::clone(&self.shared))))
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        joined(&self.trail.path(), name)
    }
}

/// An error unless `fd` is a regular file.
fn only_regular(fd: BorrowedFd<'_>) -> io::Result<()> {
    if type_of(&statx_of(fd)?) == Some(NodeType::File) { Ok(()) } else { Err(io::Error::other("no longer a regular file")) }
}
