//! What the walk and the destination share of Linux: what `statx` says, and single-component names.

pub mod handle;
pub mod listing;
pub mod owners;

use crate::format::node::{LinkGroup, NodeType, Time};
use crate::ops::source::Stat;
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags, StatxTimestamp};
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

/// Asks about `name` in `dir` without following links.
///
/// Attributes are synchronised as the file system sees fit (no `AT_STATX_DONT_SYNC`): on local disks that costs nothing, and on network file
/// systems a stale mtime would leave a changed file out of the backup. Automount points are not set off by looking at them.
pub fn statx_at(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<Statx> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS))?)
}

/// Asks about an open file (`O_PATH` will do).
pub fn statx_of(fd: BorrowedFd<'_>) -> io::Result<Statx> {
    Ok(rustix::io::retry_on_intr(|| rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS))?)
}

/// The entry type in an answer of `statx`; `None` for what Linux has no word for.
pub fn type_of(found: &Statx) -> Option<NodeType> {
    Some(match FileType::from_raw_mode(u32::from(found.stx_mode)) {
        FileType::RegularFile => NodeType::File,
        FileType::Directory => NodeType::Directory,
        FileType::Symlink => NodeType::Symlink,
        FileType::CharacterDevice => NodeType::CharDevice,
        FileType::BlockDevice => NodeType::BlockDevice,
        FileType::Fifo => NodeType::Fifo,
        FileType::Socket => NodeType::Socket,
        FileType::Unknown => return None,
    })
}

/// Turns an answer of `statx` into what the operations compare.
pub fn stat_from(found: &Statx, devices: &Devices) -> io::Result<Stat> {
    let node_type = type_of(found).ok_or_else(|| io::Error::other("an entry of a kind that is not known"))?;
    let identity = Identity::of(found);
    let regular = node_type == NodeType::File;
    let device = match node_type {
        NodeType::CharDevice | NodeType::BlockDevice => (found.stx_rdev_major, found.stx_rdev_minor),
        _ => (0, 0),
    };
    let linked = found.stx_nlink > 1 && node_type != NodeType::Directory;
    Ok(Stat {
        node_type,
        mode: u32::from(found.stx_mode) & 0o7777,
        uid: found.stx_uid,
        gid: found.stx_gid,
        size: if regular { found.stx_size } else { 0 },
        allocated: if regular { found.stx_blocks.saturating_mul(512) } else { 0 },
        mtime: time(&found.stx_mtime),
        ctime: time(&found.stx_ctime),
        inode: identity.inode,
        link_group: linked.then(|| LinkGroup { device: devices.number(identity.device), inode: identity.inode }),
        device,
    })
}

fn time(stamp: &StatxTimestamp) -> Time {
    Time { seconds: stamp.tv_sec, nanoseconds: stamp.tv_nsec }
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
