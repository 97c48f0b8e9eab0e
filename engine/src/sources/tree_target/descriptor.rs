//! An open directory of the destination and the single steps taken from it, with what may have to be made writable first.

use super::Tree;
use super::dress::thaw;
use crate::format::node::NodeType;
use crate::sources::system::handle::{Handle, proc_path};
use crate::sources::system::{statx_at, statx_of, type_of};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An open directory. `real` unless only `O_PATH` was allowed.
#[derive(Debug)]
pub struct Descriptor {
    /// The directory.
    pub fd: OwnedFd,
    /// It can be listed.
    pub real: bool,
}

/// What a change in a directory may need made writable first.
#[derive(Clone, Copy)]
pub enum Soft<'a> {
    /// The directory.
    Directory,
    /// The directory and an entry of it.
    Entry(&'a Tree, &'a CStr),
}

impl Descriptor {
    /// Opens directory `name` in this one; as `O_PATH` where it may not be read.
    pub fn open_directory(&self, tree: &Tree, name: &CStr) -> io::Result<Self> {
        match tree.open_at(self.fd.as_fd(), name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()) {
            Err(Errno::ACCESS) => {
                let fd = tree.open_at(self.fd.as_fd(), name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
                Ok(Self { fd, real: false })
            }
            outcome => Ok(Self { fd: outcome?, real: true }),
        }
    }

    /// This directory, open for reading whatever its mode was, as far as it is ours.
    pub fn made_accessible(self) -> io::Result<Self> {
        if self.real {
            return Ok(self);
        }
        let found = statx_of(self.fd.as_fd())?;
        self.handle().set_mode(u32::from(found.stx_mode) & 0o7777 | 0o700)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, proc_path(self.fd.as_fd()), flags, Mode::empty())?;
        Ok(Self { fd, real: true })
    }

    /// This directory as something to be dressed.
    pub fn handle(&self) -> Handle<'_> {
        Handle::new(&self.fd, self.real)
    }

    /// Does `act` in this directory. Where it is refused and an immutable or append-only flag, or our own lack of write permission on our own
    /// directory, is why, that is taken off and `act` tried once more; dressing puts on what belongs there.
    pub fn softly<Done>(&self, soft: Soft<'_>, mut act: impl FnMut() -> rustix::io::Result<Done>) -> io::Result<Done> {
        let refused = match act() {
            Err(refused @ (Errno::PERM | Errno::ACCESS)) => refused,
            outcome => return Ok(outcome?),
        };
        let mut softened = false;
        if refused == Errno::PERM {
            softened |= thaw(self.handle())?;
            if let Soft::Entry(tree, name) = soft {
                let found = statx_at(self.fd.as_fd(), name)?;
                if let Some(node_type @ (NodeType::File | NodeType::Directory)) = type_of(&found) {
                    let (fd, real) = tree.grip(self.fd.as_fd(), name, node_type)?;
                    softened |= thaw(Handle::new(&fd, real))?;
                }
            }
        } else {
            let mode = u32::from(statx_of(self.fd.as_fd())?.stx_mode) & 0o7777;
            softened = mode & 0o700 != 0o700 && self.handle().set_mode(mode | 0o700).is_ok();
        }
        if softened { Ok(act()?) } else { Err(refused.into()) }
    }
}

impl Tree {
    /// Opens `name` for looking at and dressing: files and directories for reading where that is allowed (the `bool`), all else as `O_PATH`.
    pub fn grip(&self, dir: BorrowedFd<'_>, name: &CStr, node_type: NodeType) -> io::Result<(OwnedFd, bool)> {
        let opened = match node_type {
            NodeType::File => self.open_at(dir, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty()),
            NodeType::Directory => self.open_at(dir, name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()),
            _ => Err(Errno::ACCESS),
        };
        match opened {
            Err(Errno::ACCESS | Errno::PERM | Errno::AGAIN) => Ok((self.open_at(dir, name, OFlags::PATH, Mode::empty())?, false)),
            outcome => Ok((outcome?, true)),
        }
    }
}
