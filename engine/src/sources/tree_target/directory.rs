//! A directory of the destination: its descriptor, given back when too many are open and found again on demand, and what is done in it.

use super::Tree;
use super::descriptor::{Descriptor, Soft};
use super::dress::{FROZEN, Newborn, dress, thaw};
use super::file::File;
use super::remove::{remove, unlink};
use crate::format::node::{Metadata, NodeType};
use crate::ops::source::Stat;
use crate::ops::target::{Loss, TargetDir, TargetFile};
use crate::sources::system::handle::Handle;
use crate::sources::system::listing::{Buffer, Listing};
use crate::sources::system::{Identity, component, joined, replaced, stat_from, statx_at, statx_of, type_of};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Statx, makedev};
use rustix::io::Errno;
use std::any::Any;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// Directories of one destination that hold a descriptor at the same time, the root not counted.
const HELD: usize = 256;

/// Directories on the way to one that was opened again which keep their descriptor too: whoever dresses a deep tree from below needs them next.
const NEIGHBOURS: usize = 64;

/// A directory, known by the way to it and by what it was when it was first opened.
#[derive(Debug)]
pub struct Directory {
    tree: Arc<Tree>,
    parent: Option<Arc<Directory>>,
    /// Name in the parent; for the root its whole path.
    name: Box<[u8]>,
    identity: Identity,
    slot: Mutex<Option<Arc<Descriptor>>>,
    /// When the descriptor was used last, by a clock of uses.
    used: AtomicU64,
    me: Weak<Directory>,
    /// What files are like that are made in it, once that is known.
    pub newborn: OnceLock<Newborn>,
}

/// Counts uses, for all destinations alike.
static CLOCK: AtomicU64 = AtomicU64::new(0);

impl Drop for Directory {
    /// One by one: left to itself a chain of parents would be dropped by recursion, and a deep tree would overflow the stack.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut above) = next.and_then(Arc::into_inner) {
            next = above.parent.take();
        }
    }
}

impl Directory {
    /// The destination's own directory; its descriptor stays.
    pub fn root(tree: Arc<Tree>, path: &[u8], identity: Identity, descriptor: Descriptor) -> Arc<Self> {
        Self::new(tree, None, path, identity, descriptor)
    }

    fn new(tree: Arc<Tree>, parent: Option<Arc<Directory>>, name: &[u8], identity: Identity, descriptor: Descriptor) -> Arc<Self> {
        let slot = Mutex::new(Some(Arc::new(descriptor)));
        Arc::new_cyclic(|me| Self { tree, parent, name: name.into(), identity, slot, used: AtomicU64::default(), me: me.clone(), newborn: OnceLock::new() })
    }

    fn held(&self) -> Option<Arc<Descriptor>> {
        self.used.store(CLOCK.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The descriptor; where it was given back, opened again step by step from the nearest directory above that has one. A directory that is no
    /// longer the same is `StaleNetworkFileHandle`: someone moves things about, and we do not follow.
    fn descriptor(&self) -> io::Result<Arc<Descriptor>> {
        if let Some(held) = self.held() {
            return Ok(held);
        }
        let mut missing = vec![self];
        let mut nearest = loop {
            let last = missing.last().expect("never empty");
            let above = last.parent.as_deref().expect("the root never gives its descriptor back");
            match above.held() {
                Some(held) => break held,
                None => missing.push(above),
            }
        };
        while let Some(directory) = missing.pop() {
            let opened = nearest.open_directory(&self.tree, &component(&directory.name)?)?;
            if Identity::of(&statx_of(opened.fd.as_fd())?) != directory.identity {
                return Err(replaced());
            }
            nearest = Arc::new(opened);
            if missing.len() < NEIGHBOURS {
                *directory.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&nearest));
                directory.register();
            }
        }
        Ok(nearest)
    }

    /// Notes that this directory holds a descriptor, and takes those away that were not used for the longest time when there are too many.
    fn register(&self) {
        self.used.store(CLOCK.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        let mut open = self.tree.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push(Weak::clone(&self.me));
        if open.len() <= HELD {
            return;
        }
        let mut alive: Vec<Arc<Directory>> = open.iter().filter_map(Weak::upgrade).collect();
        alive.sort_by_cached_key(|directory| (directory.used.load(Ordering::Relaxed), Arc::as_ptr(directory)));
        alive.dedup_by(|left, right| Arc::ptr_eq(left, right));
        let surplus = alive.len().saturating_sub(HELD * 3 / 4);
        for directory in alive.drain(..surplus) {
            directory.slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        *open = alive.iter().map(Arc::downgrade).collect();
    }

    /// What `name` is, if it is there.
    fn look(descriptor: &Descriptor, name: &CStr) -> io::Result<Option<Statx>> {
        match statx_at(descriptor.fd.as_fd(), name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    /// Opens an existing regular file for reading and writing.
    fn open_existing(&self, descriptor: &Descriptor, name: &CStr) -> io::Result<OwnedFd> {
        let dir = descriptor.fd.as_fd();
        let open = || self.tree.open_at(dir, name, OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty());
        match open() {
            Err(refused @ (Errno::PERM | Errno::ACCESS)) => {
                let (fd, real) = self.tree.grip(dir, name, NodeType::File)?;
                let handle = Handle::new(&fd, real);
                only_name(&statx_of(fd.as_fd())?)?;
                let softened = if refused == Errno::PERM {
                    thaw(handle)?
                } else {
                    let mode = u32::from(statx_of(fd.as_fd())?.stx_mode) & 0o7777;
                    mode & 0o600 != 0o600 && handle.set_mode(mode | 0o600).is_ok()
                };
                if softened { Ok(open()?) } else { Err(refused.into()) }
            }
            outcome => Ok(outcome?),
        }
    }

    /// Whether `found` under `name` is already the special entry that is asked for.
    fn is_same_special(descriptor: &Descriptor, name: &CStr, found: &Statx, metadata: &Metadata) -> bool {
        type_of(found) == Some(metadata.node_type)
            && match metadata.node_type {
                NodeType::Symlink => rustix::fs::readlinkat(&descriptor.fd, name, Vec::new()).is_ok_and(|target| target.as_bytes() == metadata.link_target),
                NodeType::CharDevice | NodeType::BlockDevice => (found.stx_rdev_major, found.stx_rdev_minor) == metadata.device,
                _ => true,
            }
    }
}

#[cfg(test)]
impl Directory {
    /// A directory of which only the name is known.
    pub fn unopened(parent: &Arc<Self>, name: &[u8]) -> Arc<Self> {
        let (tree, slot) = (Arc::clone(&parent.tree), Mutex::default());
        let new = |me: &Weak<Self>| Self {
            tree,
            parent: Some(Arc::clone(parent)),
            name: name.into(),
            identity: parent.identity,
            slot,
            used: AtomicU64::default(),
            me: me.clone(),
            newborn: OnceLock::new(),
        };
        Arc::new_cyclic(new)
    }

    /// As if the kernel had no `openat2`.
    pub fn forbid_openat2(&self, forbidden: bool) {
        self.tree.no_openat2.store(forbidden, Ordering::Relaxed);
    }
}

/// Refuses what is not a regular file, and files with other names: those would be changed too, wherever they lie.
fn only_name(found: &Statx) -> io::Result<()> {
    if type_of(found) != Some(NodeType::File) {
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else than a regular file is there"))
    } else if found.stx_nlink > 1 {
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file has other names, which writing to it would change too"))
    } else {
        Ok(())
    }
}

impl TargetDir for Directory {
    fn stat(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        let found = Self::look(&*self.descriptor()?, &component(name)?)?;
        found.map(|found| stat_from(&found, &self.tree.devices)).transpose()
    }

    fn list(&self) -> io::Result<Vec<Vec<u8>>> {
        let descriptor = self.descriptor()?;
        if !descriptor.real {
            return Err(Errno::ACCESS.into());
        }
        // A duplicate by `.`, since a descriptor's place in the listing is shared by all who hold it.
        let own = self.tree.open_at(descriptor.fd.as_fd(), c".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let mut names = Listing::default();
        names.read(own.as_fd(), &mut Buffer::default())?;
        Ok((0..names.len()).map(|place| names.name(place).to_bytes().to_vec()).collect())
    }

    fn directory(&self, name: &[u8]) -> io::Result<Arc<dyn TargetDir>> {
        let (descriptor, text) = (self.descriptor()?, component(name)?);
        let made = match descriptor.softly(Soft::Directory, || rustix::fs::mkdirat(&descriptor.fd, &text, Mode::RWXU)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            outcome => outcome.map(|()| true)?,
        };
        let opened = descriptor.open_directory(&self.tree, &text)?;
        let identity = Identity::of(&statx_of(opened.fd.as_fd())?);
        let directory = Self::new(Arc::clone(&self.tree), self.me.upgrade(), name, identity, opened);
        // What new files inherit, new directories have inherited: group, default ACL, flags.
        if let Some(newborn) = self.newborn.get().filter(|_| made) {
            directory.newborn.get_or_init(|| *newborn);
        }
        directory.register();
        Ok(directory)
    }

    fn file(&self, name: &[u8], fresh: bool) -> io::Result<Arc<dyn TargetFile>> {
        let (descriptor, text) = (self.descriptor()?, component(name)?);
        // A single component that is made by this call leads nowhere else: no link is followed where nothing may stand.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || rustix::io::retry_on_intr(|| rustix::fs::openat(&descriptor.fd, &text, flags, Mode::RUSR | Mode::WUSR));
        let mut made_in = self.me.upgrade();
        // Most files of a restore are new, and a file made by us alone has no other name: one call.
        let fd = match descriptor.softly(Soft::Directory, create) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let found = statx_at(descriptor.fd.as_fd(), &text)?;
                if type_of(&found) == Some(NodeType::Directory) {
                    return Err(Errno::ISDIR.into());
                }
                if fresh {
                    unlink(&self.tree, &descriptor, &text, AtFlags::empty())?;
                    descriptor.softly(Soft::Directory, create)?
                } else {
                    made_in = None;
                    only_name(&found)?;
                    let fd = self.open_existing(&descriptor, &text)?;
                    // Between the look and the opening others may have been busy: what was opened is what counts.
                    only_name(&statx_of(fd.as_fd())?)?;
                    fd
                }
            }
            created => created?,
        };
        Ok(Arc::new(File { fd, tree: Arc::clone(&self.tree), made_in }))
    }

    fn special(&self, name: &[u8], metadata: &Metadata) -> io::Result<Vec<Loss>> {
        let (descriptor, text) = (self.descriptor()?, component(name)?);
        let file_type = match metadata.node_type {
            NodeType::Symlink => FileType::Symlink,
            NodeType::CharDevice => FileType::CharacterDevice,
            NodeType::BlockDevice => FileType::BlockDevice,
            NodeType::Fifo => FileType::Fifo,
            NodeType::Socket => FileType::Socket,
            NodeType::File | NodeType::Directory => {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "files and directories are not made this way"));
            }
        };
        let found = Self::look(&descriptor, &text)?;
        if found.as_ref().and_then(type_of) == Some(NodeType::Directory) {
            return Err(Errno::ISDIR.into());
        }
        let stands = found.as_ref().is_some_and(|found| found.stx_nlink == 1 && Self::is_same_special(&descriptor, &text, found, metadata));
        if !stands {
            if found.is_some() {
                unlink(&self.tree, &descriptor, &text, AtFlags::empty())?;
            }
            let target = CString::new(metadata.link_target.as_slice())?;
            let number = makedev(metadata.device.0, metadata.device.1);
            descriptor.softly(Soft::Directory, || match file_type {
                FileType::Symlink => rustix::fs::symlinkat(&target, &descriptor.fd, &text),
                _ => rustix::fs::mknodat(&descriptor.fd, &text, file_type, Mode::RUSR | Mode::WUSR, number),
            })?;
        }
        self.dress(name, metadata)
    }

    fn link(&self, name: &[u8], from: &dyn TargetDir, existing: &[u8]) -> io::Result<()> {
        let refuse = || io::Error::new(io::ErrorKind::InvalidInput, "a link leads between directories of one destination");
        let from = from.as_any().downcast_ref::<Self>().filter(|from| Arc::ptr_eq(&from.tree, &self.tree)).ok_or_else(refuse)?;
        let (target, old) = (from.descriptor()?, component(existing)?);
        let (descriptor, text) = (self.descriptor()?, component(name)?);
        let source = statx_at(target.fd.as_fd(), &old)?;
        if let Some(found) = Self::look(&descriptor, &text)? {
            if Identity::of(&found) == Identity::of(&source) {
                return Ok(());
            }
            if type_of(&found) == Some(NodeType::Directory) {
                return Err(Errno::ISDIR.into());
            }
            unlink(&self.tree, &descriptor, &text, AtFlags::empty())?;
        }
        let link = || rustix::fs::linkat(&target.fd, &old, &descriptor.fd, &text, AtFlags::empty());
        match descriptor.softly(Soft::Directory, link) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && type_of(&source) == Some(NodeType::File) => {
                // Dressed already, and immutable: off for the moment of the linking.
                let (fd, real) = self.tree.grip(target.fd.as_fd(), &old, NodeType::File)?;
                let handle = Handle::new(&fd, real);
                let Some(flags) = handle.flags()?.filter(|flags| flags & FROZEN != 0) else {
                    return Err(error);
                };
                handle.set_flags(flags & !FROZEN)?;
                let linked = link();
                handle.set_flags(flags)?;
                Ok(linked?)
            }
            outcome => outcome,
        }
    }

    fn dress(&self, name: &[u8], metadata: &Metadata) -> io::Result<Vec<Loss>> {
        let (descriptor, text) = (self.descriptor()?, component(name)?);
        let (fd, real) = self.tree.grip(descriptor.fd.as_fd(), &text, metadata.node_type)?;
        let found = statx_of(fd.as_fd())?;
        let refuse = |problem: &str| Err(io::Error::new(io::ErrorKind::AlreadyExists, problem));
        if type_of(&found) != Some(metadata.node_type) {
            return refuse("something of another kind is there");
        }
        // Whatever else this inode is the name of, here or outside, would get owner and mode too.
        let linked = found.stx_nlink > 1 && metadata.node_type != NodeType::Directory;
        if linked && metadata.link_group.is_none() {
            return refuse("the entry has other names, which dressing it would change too");
        }
        dress(Handle::new(&fd, real), metadata, &self.tree.ownership)
    }

    fn dress_self(&self, metadata: &Metadata) -> io::Result<Vec<Loss>> {
        if metadata.node_type != NodeType::Directory {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the metadata is not that of a directory"));
        }
        dress(self.descriptor()?.handle(), metadata, &self.tree.ownership)
    }

    fn remove(&self, name: &[u8]) -> io::Result<()> {
        remove(&self.tree, &*self.descriptor()?, &component(name)?)
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        let mut names = Vec::new();
        let mut directory = self;
        while let Some(above) = &directory.parent {
            names.push(&*directory.name);
            directory = above;
        }
        let mut path = directory.name.to_vec();
        for name in names.into_iter().rev().chain([name]) {
            path = joined(&path, name);
        }
        path
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
