//! A directory of this machine as the destination of a restore. Nothing done through it leaves that directory: every step is one component,
//! links are never followed, and what stands in the way is refused or replaced, never written through.

mod descriptor;
mod directory;
mod dress;
mod file;
mod owner;
mod remove;

pub use owner::{BadOwnerMap, OwnerMap};

use crate::ops::target::TargetDir;
use crate::sources::system::{Devices, Identity, statx_of};
use descriptor::Descriptor;
use directory::Directory;
use owner::Ownership;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// How owners are set.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Owners by number, without asking whether this machine knows their names.
    pub numeric_ids: bool,
    /// Owners that become others; asked before everything else.
    pub map_owner: OwnerMap,
}

/// A destination.
#[derive(Debug)]
pub struct TreeTarget {
    root: Arc<Directory>,
}

impl TreeTarget {
    /// Opens directory `root`, made with all directories on the way (mode 0700) where it is missing. Links on the way to it, and `root` itself
    /// being one, are the user's choice and followed. An owner map that leads to a name this machine does not know is `InvalidInput`.
    pub fn open(root: &Path, options: Options) -> io::Result<Self> {
        let ownership = Ownership::new(options)?;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        let root = root.canonicalize()?;
        let fd = rustix::fs::openat(CWD, &root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let identity = Identity::of(&statx_of(fd.as_fd())?);
        let tree = Arc::new(Tree { ownership, devices: Devices::default(), open: Mutex::default(), no_openat2: AtomicBool::new(false) });
        let root = Directory::root(tree, root.as_os_str().as_bytes(), identity, Descriptor { fd, real: true });
        Ok(Self { root })
    }

    /// The destination's own directory.
    pub fn root(&self) -> Arc<dyn TargetDir> {
        Arc::clone(&self.root) as Arc<dyn TargetDir>
    }
}

/// What all directories of one destination share.
#[derive(Debug)]
struct Tree {
    ownership: Ownership,
    devices: Devices,
    /// Directories that hold a descriptor (or were dropped since), the root excepted.
    open: Mutex<Vec<Weak<Directory>>>,
    no_openat2: AtomicBool,
}

impl Tree {
    /// Opens `name`, one component, in `dir`; never through a link.
    ///
    /// The kernel is asked to hold us to it (`RESOLVE_BENEATH`, no links of any kind). Where `openat2` is missing or forbidden by a filter that
    /// does not know it (EPERM), `O_NOFOLLOW` says the same of a single component.
    fn open_at(&self, dir: BorrowedFd<'_>, name: &CStr, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if !self.no_openat2.load(Ordering::Relaxed) {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
            match rustix::io::retry_on_intr(|| rustix::fs::openat2(dir, name, flags, mode, resolve)) {
                Err(Errno::NOSYS) => self.no_openat2.store(true, Ordering::Relaxed),
                Err(Errno::PERM) => {}
                outcome => return outcome,
            }
        }
        rustix::io::retry_on_intr(|| rustix::fs::openat(dir, name, flags, mode))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

/// Runs one test of this binary again as user and group 65534 with `home` in `VAULT_TEST_AS_NOBODY`; whether it passed.
#[cfg(test)]
pub(super) fn as_nobody(test: &str, home: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    // A copy, because nobody need not reach the build directory.
    let place = tempfile::tempdir().expect("a temporary directory");
    std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o755)).expect("ours");
    let program = place.path().join("tests");
    std::fs::copy(std::env::current_exe().expect("we run"), &program).expect("room for a copy");
    let output = std::process::Command::new(&program)
        .args([test, "--exact", "--nocapture"])
        .env("VAULT_TEST_AS_NOBODY", home)
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .output()
        .expect("the copy runs");
    eprintln!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    output.status.success() && String::from_utf8_lossy(&output.stdout).contains("1 passed")
}
