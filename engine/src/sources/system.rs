//! What the walk and the destination share of Linux: what `statx` says, and single-component names.

pub mod found;
pub mod handle;
pub mod listing;
pub mod owners;

use crate::format::node::NodeType;
use crate::ops::source::Stat;
use found::Found;
use rustix::fs::{AtFlags, Statx, StatxFlags};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

/// Which inode of this machine an entry is, right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Device as the system numbers it until the next boot: major in the high half.
    pub device: u64,
    /// Inode number on that device.
    pub inode: u64,
}

impl Identity {
    /// The identity in an answer of `statx`.
    pub fn of(found: &Statx) -> Self {
        let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
        Self { device, inode: found.stx_ino }
    }
}

/// Devices in the order they were met, so that link groups do not change when the system renumbers its disks.
#[derive(Debug, Default)]
pub struct Devices(Mutex<Vec<u64>>);

impl Devices {
    /// The number of `device`, given out when it is first asked for.
    pub fn number(&self, device: u64) -> u32 {
        let mut met = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = met.iter().position(|&known| known == device).unwrap_or_else(|| {
            met.push(device);
            met.len() - 1
        });
        place as u32
    }
}

/// What is asked of `statx`: all that a backup compares, and no atime.
const ASKED: StatxFlags = StatxFlags::BASIC_STATS.difference(StatxFlags::ATIME);

/// Asks about `name` in `dir` without following links.
///
/// Attributes are synchronised as the file system sees fit (no `AT_STATX_DONT_SYNC`): on local disks that costs nothing, and on network file
/// systems a stale mtime would leave a changed file out of the backup. Automount points are not set off by looking at them.
pub fn statx_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::statx(dir, name, flags, ASKED))?)
}

/// Asks about an open file (`O_PATH` will do).
pub fn statx_of(fd: BorrowedFd<'_>) -> io::Result<Statx> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, ASKED))?)
}

/// The entry type in an answer of `statx`; `None` for what Linux has no word for.
pub fn type_of(found: &Statx) -> Option<NodeType> {
    found::type_of_mode(found.stx_mode)
}

/// Turns an answer of `statx` into what the operations compare.
pub fn stat_from(found: &Statx, devices: &Devices) -> io::Result<Stat> {
    Found::of(found).stat(devices)
}

/// Checks that `name` is one component that names an entry of a directory, and gives it its NUL.
/// Everything else (empty, `.`, `..`, with `/` or NUL) is `InvalidInput`: it could lead out of the directory.
pub fn component(name: &[u8]) -> io::Result<CString> {
    let refuse = || io::Error::new(io::ErrorKind::InvalidInput, "not the name of an entry in a directory");
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return Err(refuse());
    }
    CString::new(name).map_err(|_| refuse())
}

/// `directory` with `/name` behind it.
pub fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
    path.extend_from_slice(directory);
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// What to say when a name leads to another inode than it did a moment ago.
pub fn replaced() -> io::Error {
    io::Error::new(io::ErrorKind::StaleNetworkFileHandle, "another entry has taken its place meanwhile")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_single_components_pass() {
        for bad in [&b""[..], b".", b"..", b"a/b", b"/", b"a\0b"] {
            assert_eq!(component(bad).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        for good in [&b"..."[..], b".a", b"\xff\n", b" "] {
            assert_eq!(component(good).unwrap().as_bytes(), good);
        }
    }

    #[test]
    fn devices_are_numbered_as_met() {
        let devices = Devices::default();
        assert_eq!([devices.number(9), devices.number(4), devices.number(9)], [0, 1, 0]);
    }
}
