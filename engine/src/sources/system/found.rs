//! What one `statx` said of an entry, in a third of the kernel's own record: small enough to keep thousands of them.

use super::{Devices, Identity};
use crate::format::node::{LinkGroup, NodeType, Time};
use crate::ops::source::Stat;
use rustix::fs::{FileType, Statx, StatxAttributes, StatxTimestamp};
use std::io;

/// An entry as `statx` found it. Devices are those of the system, not numbered yet, so that it can be asked for in any order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which inode it is.
    pub identity: Identity,
    size: u64,
    blocks: u64,
    mtime: Time,
    ctime: Time,
    uid: u32,
    gid: u32,
    device: (u32, u32),
    mode: u16,
    linked: bool,
    may_be_mounted: bool,
}

impl Found {
    /// Takes what is needed out of an answer.
    pub fn of(found: &Statx) -> Self {
        Self {
            identity: Identity::of(found),
            size: found.stx_size,
            blocks: found.stx_blocks,
            mtime: time(&found.stx_mtime),
            ctime: time(&found.stx_ctime),
            uid: found.stx_uid,
            gid: found.stx_gid,
            device: (found.stx_rdev_major, found.stx_rdev_minor),
            mode: found.stx_mode,
            linked: found.stx_nlink > 1,
            may_be_mounted: !found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) || found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        }
    }

    /// What kind of entry it is; `None` for what Linux has no word for.
    pub fn node_type(&self) -> Option<NodeType> {
        type_of_mode(self.mode)
    }

    /// Length in bytes; of regular files only it means anything.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Whether something is mounted right here, as far as the kernel tells (since Linux 5.8).
    pub fn may_be_mounted(&self) -> bool {
        self.may_be_mounted
    }

    /// What the operations compare. Numbers the entry's device if it has several names, so it is called in the order of the walk.
    pub fn stat(&self, devices: &Devices) -> io::Result<Stat> {
        let node_type = self.node_type().ok_or_else(|| io::Error::other("an entry of a kind that is not known"))?;
        let regular = node_type == NodeType::File;
        let linked = self.linked && node_type != NodeType::Directory;
        let Identity { device, inode } = self.identity;
        Ok(Stat {
            node_type,
            mode: u32::from(self.mode) & 0o7777,
            uid: self.uid,
            gid: self.gid,
            size: if regular { self.size } else { 0 },
            allocated: if regular { self.blocks.saturating_mul(512) } else { 0 },
            mtime: self.mtime,
            ctime: self.ctime,
            inode,
            link_group: linked.then(|| LinkGroup { device: devices.number(device), inode }),
            device: if matches!(node_type, NodeType::CharDevice | NodeType::BlockDevice) { self.device } else { (0, 0) },
        })
    }
}

/// The entry type in a mode; `None` for what Linux has no word for.
pub(super) fn type_of_mode(mode: u16) -> Option<NodeType> {
    Some(match FileType::from_raw_mode(u32::from(mode)) {
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

fn time(stamp: &StatxTimestamp) -> Time {
    Time { seconds: stamp.tv_sec, nanoseconds: stamp.tv_nsec }
}
