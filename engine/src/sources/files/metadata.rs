//! All that the system keeps about one entry of the source, and what of it could not be read.

use crate::format::node::{KEPT_FLAGS, Metadata, NodeType, Xattr};
use crate::ops::source::Stat;
use crate::sources::system::handle::{Handle, open_entry, open_path};
use crate::sources::system::owners::Owners;
use crate::sources::system::{replaced, statx_at, statx_of, type_of};
use rustix::fs::StatxAttributes;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Whether attribute `name` is backed up.
///
/// Everything is, but `system.*` apart from the two POSIX ACLs: what else is there (`system.nfs4_acl`, `system.cifs_acl`, `system.ntfs_acl`,
/// `system.sockprotoname`, …) is made up by a server or driver for this one mount, means nothing elsewhere and is mostly refused when set.
/// `trusted.*`, `security.*` (capabilities, labels) and properties like `btrfs.compression` are data, and come back where the destination takes them.
pub fn is_kept(name: &[u8]) -> bool {
    !name.starts_with(b"system.") || name == b"system.posix_acl_access" || name == b"system.posix_acl_default"
}

/// The metadata of `name` in `dir`, whose walk said `stat`. Attributes that could not be read come as sentences.
/// Another inode under that name by now is `StaleNetworkFileHandle`: the caller asks for a new stat and comes again.
pub fn of(dir: BorrowedFd<'_>, name: &CStr, stat: &Stat, owners: &Owners) -> io::Result<(Metadata, Vec<String>)> {
    let (fd, real) = if stat.node_type == NodeType::Directory && sets_off_a_mount(dir, name)? {
        (open_path(dir, name)?, false)
    } else {
        open_entry(dir, name, stat.node_type)?
    };
    let found = statx_of(fd.as_fd())?;
    if type_of(&found) != Some(stat.node_type) || found.stx_ino != stat.inode {
        return Err(replaced());
    }
    of_open(Handle::new(&fd, real), stat, owners)
}

/// The same of an entry that is open already; `stat` is that of what is open.
pub fn of_open(handle: Handle<'_>, stat: &Stat, owners: &Owners) -> io::Result<(Metadata, Vec<String>)> {
    let mut unread = Vec::new();
    let link_target = match stat.node_type {
        NodeType::Symlink => rustix::fs::readlinkat(handle.fd(), c"", Vec::new())?.into_bytes(),
        _ => Vec::new(),
    };
    let flags = match stat.node_type {
        NodeType::File | NodeType::Directory => handle.flags().unwrap_or_else(|error| {
            unread.push(format!("flags: {error}"));
            None
        }),
        _ => None,
    };
    let metadata = Metadata {
        node_type: stat.node_type,
        mode: stat.mode,
        uid: stat.uid,
        gid: stat.gid,
        user: owners.user(stat.uid),
        group: owners.group(stat.gid),
        mtime: stat.mtime,
        ctime: stat.ctime,
        inode: stat.inode,
        size: stat.size,
        link_group: stat.link_group,
        link_target,
        device: stat.device,
        xattrs: xattrs(handle, &mut unread),
        flags: flags.unwrap_or_default() & KEPT_FLAGS,
    };
    Ok((metadata, unread))
}

/// Whether opening directory `name` would mount something there (autofs). The walk may have shown it as it is, not mounted.
fn sets_off_a_mount(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<bool> {
    Ok(statx_at(dir, name)?.stx_attributes.contains(StatxAttributes::AUTOMOUNT))
}

/// All attributes that are kept, in byte order of their names.
fn xattrs(handle: Handle<'_>, unread: &mut Vec<String>) -> Vec<Xattr> {
    let names = handle.xattrs().unwrap_or_else(|error| {
        unread.push(format!("extended attributes: {error}"));
        Vec::new()
    });
    let mut xattrs = Vec::with_capacity(names.len());
    for name in names.into_iter().filter(|name| is_kept(name.to_bytes())) {
        match handle.xattr(&name) {
            Ok(Some(value)) => xattrs.push(Xattr { name: name.into_bytes(), value }),
            // Removed since it was listed.
            Ok(None) => {}
            Err(error) => unread.push(format!("attribute {}: {error}", name.to_string_lossy())),
        }
    }
    xattrs
}
