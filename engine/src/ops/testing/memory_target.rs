//! A destination in memory that writes down what is done to it.
#![allow(clippy::unwrap_used)]

use crate::format::node::{LinkGroup, Metadata, NodeType};
use crate::ops::source::Stat;
use crate::ops::target::{Loss, TargetDir, TargetFile};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What was done.
#[derive(Default)]
pub struct Log {
    pub written: Mutex<Vec<(Vec<u8>, u64, usize)>>,
    pub punched: Mutex<Vec<(u64, u64)>>,
    pub open: AtomicUsize,
    pub open_most: AtomicUsize,
    pub no_links: AtomicBool,
    /// Every write changes one byte of what is written.
    pub lies: AtomicBool,
}

#[derive(Default)]
pub struct Inode {
    pub bytes: Mutex<Vec<u8>>,
    pub dressed: Mutex<Option<Metadata>>,
    pub names: AtomicUsize,
}

#[derive(Clone)]
pub enum Item {
    Dir(Arc<Dir>),
    File(Arc<Inode>),
    Special(Arc<Metadata>),
}

pub struct Dir {
    path: Vec<u8>,
    pub log: Arc<Log>,
    pub items: Mutex<BTreeMap<Vec<u8>, Item>>,
    pub dressed: Mutex<Option<Metadata>>,
}

struct File {
    name: Vec<u8>,
    inode: Arc<Inode>,
    log: Arc<Log>,
}

impl Drop for File {
    fn drop(&mut self) {
        self.log.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An empty destination.
pub fn target() -> Arc<Dir> {
    Arc::new(Dir { path: Vec::new(), log: Arc::default(), items: Mutex::default(), dressed: Mutex::default() })
}

impl Dir {
    fn item(&self, name: &[u8]) -> Option<Item> {
        self.items.lock().unwrap().get(name).cloned()
    }

    /// The item at a path.
    pub fn at(self: &Arc<Self>, path: &str) -> Option<Item> {
        let mut item = Item::Dir(self.clone());
        for name in path.split('/') {
            let Item::Dir(dir) = item else { return None };
            item = dir.item(name.as_bytes())?;
        }
        Some(item)
    }

    /// Contents of the file at a path.
    pub fn bytes(self: &Arc<Self>, path: &str) -> Option<Vec<u8>> {
        match self.at(path)? {
            Item::File(inode) => Some(inode.bytes.lock().unwrap().clone()),
            _ => None,
        }
    }

    /// Puts a file.
    pub fn put(self: &Arc<Self>, path: &str, bytes: &[u8]) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut into: Arc<dyn TargetDir> = self.clone();
        for name in dir.split('/').filter(|name| !name.is_empty()) {
            into = into.directory(name.as_bytes()).unwrap();
        }
        into.file(name.as_bytes(), true).unwrap().write_at(bytes, 0).unwrap();
        self.log.written.lock().unwrap().clear();
    }

    /// All paths in it, with what is there.
    pub fn listing(&self) -> Vec<String> {
        let mut out = Vec::new();
        for (name, item) in self.items.lock().unwrap().iter() {
            let name = String::from_utf8_lossy(name).into_owned();
            match item {
                Item::Dir(dir) => {
                    out.push(format!("{name}/"));
                    out.extend(dir.listing().into_iter().map(|below| format!("{name}/{below}")));
                }
                _ => out.push(name),
            }
        }
        out
    }
}

impl TargetDir for Dir {
    fn stat(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        let plain = |metadata: &Metadata, size: u64, link_group| Stat {
            node_type: metadata.node_type,
            mode: metadata.mode,
            uid: 0,
            gid: 0,
            size,
            allocated: size,
            mtime: metadata.mtime,
            ctime: metadata.mtime,
            inode: 0,
            link_group,
            device: (0, 0),
        };
        Ok(self.item(name).map(|item| match item {
            Item::Dir(dir) => plain(&dir.dressed.lock().unwrap().clone().unwrap_or(Metadata::plain(NodeType::Directory, 0o700)), 0, None),
            Item::Special(metadata) => plain(&metadata, 0, None),
            Item::File(inode) => {
                let group = (inode.names.load(Ordering::SeqCst) > 1).then_some(LinkGroup { device: 0, inode: Arc::as_ptr(&inode) as u64 });
                let metadata = inode.dressed.lock().unwrap().clone().unwrap_or(Metadata::plain(NodeType::File, 0o600));
                plain(&metadata, inode.bytes.lock().unwrap().len() as u64, group)
            }
        }))
    }

    fn list(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(self.items.lock().unwrap().keys().cloned().collect())
    }

    fn directory(&self, name: &[u8]) -> io::Result<Arc<dyn TargetDir>> {
        let mut items = self.items.lock().unwrap();
        let fresh = || Dir { path: self.path(name), log: self.log.clone(), items: Mutex::default(), dressed: Mutex::default() };
        match items.entry(name.to_vec()).or_insert_with(|| Item::Dir(Arc::new(fresh()))) {
            Item::Dir(dir) => Ok(dir.clone()),
            _ => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    fn file(&self, name: &[u8], fresh: bool) -> io::Result<Arc<dyn TargetFile>> {
        let mut items = self.items.lock().unwrap();
        match items.get(name) {
            Some(Item::Dir(_)) => return Err(io::ErrorKind::IsADirectory.into()),
            Some(Item::File(inode)) if !fresh && inode.names.load(Ordering::SeqCst) > 1 => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(Item::Special(_)) if !fresh => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(Item::File(inode)) if fresh => drop(inode.names.fetch_sub(1, Ordering::SeqCst)),
            _ => {}
        }
        if fresh {
            items.remove(name);
        }
        let inode = match items.entry(name.to_vec()).or_insert_with(|| Item::File(Arc::new(Inode { names: AtomicUsize::new(1), ..Inode::default() }))) {
            Item::File(inode) => inode.clone(),
            _ => unreachable!(),
        };
        let open = self.log.open.fetch_add(1, Ordering::SeqCst) + 1;
        self.log.open_most.fetch_max(open, Ordering::SeqCst);
        Ok(Arc::new(File { name: name.to_vec(), inode, log: self.log.clone() }))
    }

    fn special(&self, name: &[u8], metadata: &Metadata) -> io::Result<Vec<Loss>> {
        self.items.lock().unwrap().insert(name.to_vec(), Item::Special(Arc::new(metadata.clone())));
        Ok(Vec::new())
    }

    fn link(&self, name: &[u8], from: &dyn TargetDir, existing: &[u8]) -> io::Result<()> {
        if self.log.no_links.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::TooManyLinks.into());
        }
        let item = from.as_any().downcast_ref::<Self>().unwrap().item(existing).unwrap();
        if let Item::File(inode) = &item {
            inode.names.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(Item::File(old)) = self.items.lock().unwrap().insert(name.to_vec(), item) {
            old.names.fetch_sub(1, Ordering::SeqCst);
        }
        Ok(())
    }

    fn dress(&self, name: &[u8], metadata: &Metadata) -> io::Result<Vec<Loss>> {
        match self.item(name) {
            Some(Item::File(inode)) => drop(inode.dressed.lock().unwrap().replace(metadata.clone())),
            Some(Item::Dir(dir)) => drop(dir.dressed.lock().unwrap().replace(metadata.clone())),
            _ => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(Vec::new())
    }

    fn dress_self(&self, metadata: &Metadata) -> io::Result<Vec<Loss>> {
        for item in self.items.lock().unwrap().values() {
            if let Item::Dir(dir) = item {
                assert!(dir.dressed.lock().unwrap().is_some() || self.path == b"/keep", "children are dressed before their parent");
            }
        }
        *self.dressed.lock().unwrap() = Some(metadata.clone());
        Ok(Vec::new())
    }

    fn remove(&self, name: &[u8]) -> io::Result<()> {
        match self.items.lock().unwrap().remove(name) {
            Some(Item::File(inode)) => drop(inode.names.fetch_sub(1, Ordering::SeqCst)),
            Some(_) => {}
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(())
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        [&self.path[..], b"/", name].concat()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

impl TargetFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.inode.bytes.lock().unwrap();
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut own = self.inode.bytes.lock().unwrap();
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if own.len() < end {
            own.resize(end, 0);
        }
        own[start..end].copy_from_slice(bytes);
        if self.log.lies.load(Ordering::SeqCst) {
            own[start] ^= 1;
        }
        self.inode.dressed.lock().unwrap().take();
        self.log.written.lock().unwrap().push((self.name.clone(), offset, bytes.len()));
        Ok(())
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut own = self.inode.bytes.lock().unwrap();
        let end = own.len().min((offset + length) as usize);
        if (offset as usize) < end {
            own[offset as usize..end].fill(0);
        }
        self.log.punched.lock().unwrap().push((offset, length));
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.inode.bytes.lock().unwrap().resize(length as usize, 0);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.inode.bytes.lock().unwrap().len() as u64)
    }

    fn dress(&self, metadata: &Metadata) -> io::Result<Vec<Loss>> {
        *self.inode.dressed.lock().unwrap() = Some(metadata.clone());
        Ok(Vec::new())
    }
}
