//! Files in memory: a source for backups, and what a snapshot says they were. No file system, so thousands of runs take seconds.

use crate::random::Random;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use vault_engine::format::node::{Metadata, NodeType, Time};
use vault_engine::ops::browse::{Descend, Place, read_file, root_node, walk};
use vault_engine::ops::monitor::Cancel;
use vault_engine::ops::source::{Body, Item, Source, SourceDir, Stat, Stop, Visitor};
use vault_engine::store::error::RepositoryError;
use vault_engine::store::repository::{Repository, StoredSnapshot};

/// Paths (`name` or `folder/name`) and contents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<String, Arc<Vec<u8>>>);

impl Files {
    /// `count` files of `length` bytes that do not compress, drawn from a seed, half of them in a folder.
    pub fn drawn(seed: u64, count: usize, length: usize) -> Self {
        let mut files = Self::default();
        for number in 0..count {
            let folder = if number % 2 == 0 { "" } else { "folder/" };
            files.put(&format!("{folder}file-{number}"), Random(seed * 1000 + number as u64).bytes(length));
        }
        files
    }

    /// A file is written.
    pub fn put(&mut self, path: &str, bytes: Vec<u8>) {
        self.0.insert(path.to_owned(), Arc::new(bytes));
    }

    /// With one file more or another content.
    #[must_use]
    pub fn with(mut self, path: &str, bytes: Vec<u8>) -> Self {
        self.put(path, bytes);
        self
    }

    /// Without a file.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.0.remove(path);
        self
    }

    /// What a snapshot holds, read file by file.
    pub fn of(repository: &Repository, stored: &StoredSnapshot) -> Result<Self, RepositoryError> {
        let start = Place { path: b"/".to_vec(), node: root_node(stored.snapshot.root) };
        let (mut places, mut failed) = (Vec::new(), None);
        let mut visit = |path: &[u8], node: &vault_engine::format::node::Node| {
            if node.metadata.node_type == NodeType::File {
                places.push(Place { path: path.to_vec(), node: node.clone() });
            }
            Descend::Yes
        };
        walk(repository, &start, &Cancel::default(), &mut visit, &mut |_, error| failed = failed.take().or(Some(error)))?;
        if let Some(error) = failed {
            return Err(error);
        }
        let mut files = Self::default();
        for place in places {
            let mut bytes = Vec::new();
            read_file(repository, &place, &Cancel::default(), &mut bytes)?;
            files.put(std::str::from_utf8(&place.path[1..]).unwrap(), bytes);
        }
        Ok(files)
    }
}

/// Files as a source. A file whose contents change has another mtime; nothing else ever changes.
pub struct FilesSource {
    files: Files,
    label: &'static str,
    unreadable: BTreeSet<String>,
}

impl FilesSource {
    /// The files under an absolute path of their own.
    pub fn new(files: &Files, label: &'static str) -> Self {
        Self { files: files.clone(), label, unreadable: BTreeSet::new() }
    }

    /// The same, but that these cannot be opened.
    #[must_use]
    pub fn with_unreadable(mut self, paths: impl IntoIterator<Item = String>) -> Self {
        self.unreadable.extend(paths);
        self
    }
}

struct Folder {
    prefix: String,
    files: Files,
    unreadable: BTreeSet<String>,
}

fn number_of(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(blake3::hash(bytes).as_bytes()[..8].try_into().unwrap())
}

fn stat_of(path: &str, contents: Option<&[u8]>) -> Stat {
    let size = contents.map_or(0, <[u8]>::len) as u64;
    Stat {
        node_type: if contents.is_some() { NodeType::File } else { NodeType::Directory },
        mode: if contents.is_some() { 0o640 } else { 0o750 },
        uid: 0,
        gid: 0,
        size,
        allocated: size,
        mtime: Time { seconds: contents.map_or(1, |bytes| number_of(bytes) % (1 << 30)) as i64, nanoseconds: 0 },
        ctime: Time { seconds: 1, nanoseconds: 0 },
        inode: number_of(path.as_bytes()),
        link_group: None,
        device: (0, 0),
    }
}

impl SourceDir for Folder {
    fn metadata(&self, _: &[u8], stat: &Stat) -> io::Result<(Metadata, Vec<String>)> {
        let mut metadata = Metadata::plain(stat.node_type, stat.mode);
        (metadata.mtime, metadata.size) = (stat.mtime, stat.size);
        Ok((metadata, Vec::new()))
    }

    fn open(&self, name: &[u8]) -> io::Result<Box<dyn Body>> {
        let path = format!("{}{}", self.prefix, std::str::from_utf8(name).unwrap());
        if self.unreadable.contains(&path) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let bytes = self.files.0.get(&path).ok_or(io::ErrorKind::NotFound)?.clone();
        Ok(Box::new(OpenFile { stat: stat_of(&path, Some(&bytes)), bytes, at: 0 }))
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        [self.prefix.as_bytes(), name].concat()
    }
}

struct OpenFile {
    bytes: Arc<Vec<u8>>,
    stat: Stat,
    at: usize,
}

impl Body for OpenFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.bytes.len() - self.at);
        buffer[..most].copy_from_slice(&self.bytes[self.at..self.at + most]);
        self.at += most;
        Ok(most)
    }

    fn next_data(&mut self, from: u64) -> io::Result<Option<Range<u64>>> {
        Ok(Some(from..u64::MAX))
    }

    fn stat(&mut self) -> io::Result<Option<Stat>> {
        Ok(Some(self.stat))
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.at = 0;
        Ok(())
    }
}

impl Source for FilesSource {
    fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        let dir = |prefix: &str| -> Arc<dyn SourceDir> {
            Arc::new(Folder { prefix: prefix.to_owned(), files: self.files.clone(), unreadable: self.unreadable.clone() })
        };
        let top = dir("");
        // A folder comes where its name comes, which is not where its path with a slash does.
        let mut names: Vec<&str> = self.files.0.keys().map(|path| path.split('/').next().unwrap()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            if let Some(bytes) = self.files.0.get(name) {
                visitor.leaf(Item { name: name.as_bytes(), stat: &stat_of(name, Some(bytes)), dir: &top })?;
                continue;
            }
            if !visitor.enter(Item { name: name.as_bytes(), stat: &stat_of(name, None), dir: &top })? {
                continue;
            }
            let prefix = format!("{name}/");
            let below = dir(&prefix);
            for (path, bytes) in self.files.0.iter().filter(|(path, _)| path.starts_with(&prefix)) {
                visitor.leaf(Item { name: &path.as_bytes()[prefix.len()..], stat: &stat_of(path, Some(bytes)), dir: &below })?;
            }
            visitor.leave()?;
        }
        Ok(())
    }

    fn paths(&self) -> Vec<Vec<u8>> {
        vec![self.label.as_bytes().to_vec()]
    }
}
