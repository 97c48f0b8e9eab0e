//! One entry held by a descriptor, and everything the system keeps about it: owner, mode, times, attributes, flags.
//!
//! Working through a descriptor means that all of it is asked of, or set on, the same inode, whatever happens to the name.

use crate::format::node::{NodeType, Time};
use rustix::fs::{AtFlags, IFlags, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, XattrFlags};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A descriptor of any entry. `real` ones can be asked for everything; `O_PATH` ones reach the inode through `/proc/self/fd`.
#[derive(Clone, Copy, Debug)]
pub struct Handle<'fd> {
    fd: BorrowedFd<'fd>,
    real: bool,
}

/// Opens `name` in `dir` for looking at (and dressing) it, links not followed, nothing set off: files and directories for reading where that is
/// allowed, everything else as `O_PATH` (opening a device can rewind a tape, opening a fifo can wake its reader). The `bool` says: for reading.
pub fn open_entry(dir: BorrowedFd<'_>, name: &CStr, node_type: NodeType) -> io::Result<(OwnedFd, bool)> {
    let readable = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let opened = match node_type {
        NodeType::File => open_quietly(dir, name, readable),
        NodeType::Directory => open_quietly(dir, name, readable | OFlags::DIRECTORY),
        _ => Err(Errno::ACCESS),
    };
    match opened {
        Ok(fd) => Ok((fd, true)),
        // Not ours to read (EACCES, EPERM), or a lease is being broken (EAGAIN).
        Err(Errno::ACCESS | Errno::PERM | Errno::AGAIN) => Ok((open_path(dir, name)?, false)),
        Err(error) => Err(error.into()),
    }
}

/// `O_PATH | O_NOFOLLOW`: a grip on the inode, whatever it is, without opening it.
pub fn open_path(dir: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::io::retry_on_intr(|| rustix::fs::openat(dir, name, flags, Mode::empty()))?)
}

/// Opens for reading without moving atime where the system lets us (owner or root), and with moving it elsewhere.
pub fn open_quietly(dir: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let open = |flags| rustix::io::retry_on_intr(|| rustix::fs::openat(dir, name, flags, Mode::empty()));
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        outcome => outcome,
    }
}

/// The path by which this process reaches the inode behind `fd`.
pub fn proc_path(fd: BorrowedFd<'_>) -> CString {
    CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("digits hold no NUL")
}

impl<'fd> Handle<'fd> {
    /// Takes hold of `fd`; `real` unless it was opened with `O_PATH`.
    pub fn new(fd: &'fd impl AsFd, real: bool) -> Self {
        Self { fd: fd.as_fd(), real }
    }

    /// The descriptor.
    pub fn fd(self) -> BorrowedFd<'fd> {
        self.fd
    }

    /// Names of all extended attributes, in byte order; none where the file system has no attributes.
    pub fn xattrs(self) -> io::Result<Vec<CString>> {
        let listed = grown(|buffer| if self.real { rustix::fs::flistxattr(self.fd, buffer) } else { rustix::fs::listxattr(proc_path(self.fd), buffer) });
        let listed = match listed {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Vec::new()),
            outcome => outcome?,
        };
        let mut names: Vec<CString> =
            listed.split(|&byte| byte == 0).filter(|name| !name.is_empty()).map(|name| CString::new(name).expect("split at every NUL")).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The value of attribute `name`; `None` if it is not there (any more).
    pub fn xattr(self, name: &CStr) -> io::Result<Option<Vec<u8>>> {
        let value =
            grown(|buffer| if self.real { rustix::fs::fgetxattr(self.fd, name, buffer) } else { rustix::fs::getxattr(proc_path(self.fd), name, buffer) });
        match value {
            Err(Errno::NODATA) => Ok(None),
            outcome => Ok(Some(outcome?)),
        }
    }

    /// Sets attribute `name`, new or not.
    pub fn set_xattr(self, name: &CStr, value: &[u8]) -> io::Result<()> {
        let flags = XattrFlags::empty();
        let done = if self.real { rustix::fs::fsetxattr(self.fd, name, value, flags) } else { rustix::fs::setxattr(proc_path(self.fd), name, value, flags) };
        Ok(done?)
    }

    /// Removes attribute `name`; none there is fine.
    pub fn remove_xattr(self, name: &CStr) -> io::Result<()> {
        let done = if self.real { rustix::fs::fremovexattr(self.fd, name) } else { rustix::fs::removexattr(proc_path(self.fd), name) };
        match done {
            Err(Errno::NODATA) => Ok(()),
            outcome => Ok(outcome?),
        }
    }

    /// All inode flags as `FS_IOC_GETFLAGS` tells them; `None` where the entry or its file system has none.
    pub fn flags(self) -> io::Result<Option<u32>> {
        if !self.real {
            return Ok(None);
        }
        match rustix::fs::ioctl_getflags(self.fd) {
            Ok(flags) => Ok(Some(flags.bits())),
            // The many ways in which file systems say that they have no flags.
            Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::PERM | Errno::NOSYS | Errno::INVAL) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets all inode flags at once.
    pub fn set_flags(self, flags: u32) -> io::Result<()> {
        if !self.real {
            return Err(io::Error::from(Errno::ACCESS));
        }
        Ok(rustix::fs::ioctl_setflags(self.fd, IFlags::from_bits_retain(flags))?)
    }

    /// Sets owner and group; `None` leaves one alone.
    pub fn set_owner(self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        // All ones means "leave alone" to the system, and so it does here.
        let uid = uid.filter(|&uid| uid != u32::MAX).map(Uid::from_raw);
        let gid = gid.filter(|&gid| gid != u32::MAX).map(Gid::from_raw);
        Ok(rustix::fs::chownat(self.fd, c"", uid, gid, AtFlags::EMPTY_PATH)?)
    }

    /// Sets the permission bits. Not for symbolic links, which have none.
    pub fn set_mode(self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        Ok(if self.real { rustix::fs::fchmod(self.fd, mode) } else { rustix::fs::chmod(proc_path(self.fd), mode) }?)
    }

    /// Sets the time of the last change and leaves that of the last access alone.
    pub fn set_mtime(self, mtime: Time) -> io::Result<()> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() },
        };
        if self.real {
            return Ok(rustix::fs::futimens(self.fd, &times)?);
        }
        match rustix::fs::utimensat(self.fd, c"", &times, AtFlags::EMPTY_PATH) {
            // Before Linux 5.8.
            Err(Errno::INVAL) => Ok(rustix::fs::utimensat(self.fd, proc_path(self.fd), &times, AtFlags::empty())?),
            outcome => Ok(outcome?),
        }
    }
}

/// Asks with a buffer on the stack, then with one as large as the kernel takes, since lists and values can grow between two calls.
fn grown(ask: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0_u8; 1024];
    match ask(&mut small) {
        Ok(length) => Ok(small[..length].to_vec()),
        Err(Errno::RANGE) => {
            // XATTR_SIZE_MAX and XATTR_LIST_MAX are both 64 KiB; nothing larger can come back.
            let mut large = vec![0_u8; 64 << 10];
            let length = ask(&mut large)?;
            large.truncate(length);
            large.shrink_to_fit();
            Ok(large)
        }
        Err(error) => Err(error),
    }
}
