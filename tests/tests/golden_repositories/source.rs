//! What the golden repository was made of: a source in memory that holds every kind of entry, without root.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use vault_engine::format::node::{LinkGroup, Metadata, NodeType, Time, Xattr};
use vault_engine::ops::source::{Body, Item, Source, SourceDir, Stat, Stop, Visitor};
use vault_rescue::keys::{h, le};
use vault_rescue::show::escape;

/// A run of contents: bytes, or a hole.
#[derive(Clone)]
enum Run {
    Bytes(Vec<u8>),
    Hole(u64),
}

#[derive(Clone)]
struct Thing {
    metadata: Metadata,
    contents: Vec<Run>,
    children: BTreeMap<Vec<u8>, Thing>,
    /// It is another one at every look.
    changes: bool,
    /// It cannot be opened.
    closed: bool,
}

impl Thing {
    fn new(node_type: NodeType, mode: u32) -> Self {
        let time = Time { seconds: 1_700_000_000, nanoseconds: 123_456_789 };
        let metadata =
            Metadata { uid: 1000, gid: 100, user: b"me".to_vec(), group: b"users".to_vec(), mtime: time, ctime: time, ..Metadata::plain(node_type, mode) };
        Self { metadata, contents: Vec::new(), children: BTreeMap::new(), changes: false, closed: false }
    }

    fn file(bytes: &[u8]) -> Self {
        Self::runs(vec![Run::Bytes(bytes.to_vec())])
    }

    fn runs(contents: Vec<Run>) -> Self {
        let length = |run: &Run| if let Run::Hole(length) = run { *length } else { 0 } + if let Run::Bytes(bytes) = run { bytes.len() as u64 } else { 0 };
        let mut thing = Self::new(NodeType::File, 0o644);
        thing.metadata.size = contents.iter().map(length).sum();
        thing.contents = contents;
        thing
    }

    fn directory(children: impl IntoIterator<Item = (Vec<u8>, Thing)>) -> Self {
        Self { children: children.into_iter().collect(), ..Self::new(NodeType::Directory, 0o755) }
    }

    fn link(target: &[u8]) -> Self {
        Self::new(NodeType::Symlink, 0o777).with(|m| m.link_target = target.to_vec())
    }

    fn with(mut self, change: impl FnOnce(&mut Metadata)) -> Self {
        change(&mut self.metadata);
        self
    }

    fn stat(&self) -> Stat {
        let m = &self.metadata;
        let holes = self.contents.iter().any(|run| matches!(run, Run::Hole(_)));
        Stat {
            node_type: m.node_type,
            mode: m.mode,
            uid: m.uid,
            gid: m.gid,
            size: m.size,
            allocated: if holes { 0 } else { m.size },
            mtime: m.mtime,
            ctime: m.ctime,
            inode: m.inode,
            link_group: m.link_group,
            device: m.device,
        }
    }

    /// All bytes, holes as zeros.
    fn bytes(&self) -> Vec<u8> {
        self.contents
            .iter()
            .flat_map(|run| match run {
                Run::Bytes(bytes) => bytes.clone(),
                Run::Hole(length) => vec![0; *length as usize],
            })
            .collect()
    }

    /// Numbers all inodes by their paths, where no number was given.
    fn number(&mut self, path: &[u8]) {
        if self.metadata.inode == 0 {
            self.metadata.inode = le(&h(path), 0, 4);
        }
        self.children.iter_mut().for_each(|(name, child)| child.number(&[path, b"/", name].concat()));
    }
}

/// The source.
pub struct Tree(Arc<Dir>);

struct Dir {
    path: Vec<u8>,
    thing: Thing,
    looks: Arc<AtomicU32>,
}

struct Reader {
    thing: Thing,
    at: u64,
    looks: Arc<AtomicU32>,
}

impl SourceDir for Dir {
    fn metadata(&self, name: &[u8], _stat: &Stat) -> io::Result<(Metadata, Vec<String>)> {
        Ok((self.thing.children[name].metadata.clone(), Vec::new()))
    }

    fn open(&self, name: &[u8]) -> io::Result<Box<dyn Body>> {
        let thing = self.thing.children[name].clone();
        if thing.closed { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(Box::new(Reader { thing, at: 0, looks: self.looks.clone() })) }
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        [&self.path[..], b"/", name].concat()
    }
}

impl Body for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let all = self.thing.bytes();
        let rest = &all[(self.at as usize).min(all.len())..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        self.at += length as u64;
        Ok(length)
    }

    fn next_data(&mut self, from: u64) -> io::Result<Option<Range<u64>>> {
        let mut start = 0;
        for run in &self.thing.contents {
            match run {
                Run::Hole(length) => start += length,
                Run::Bytes(bytes) => {
                    let end = start + bytes.len() as u64;
                    if end > from {
                        self.at = start.max(from);
                        return Ok(Some(self.at..end));
                    }
                    start = end;
                }
            }
        }
        Ok(None)
    }

    fn stat(&mut self) -> io::Result<Option<Stat>> {
        let mut stat = self.thing.stat();
        if self.thing.changes {
            stat.mtime.nanoseconds = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        }
        Ok(Some(stat))
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.at = 0;
        Ok(())
    }
}

fn walk(dir: &Arc<Dir>, visitor: &mut dyn Visitor) -> Result<(), Stop> {
    let shared: Arc<dyn SourceDir> = dir.clone();
    for (name, thing) in &dir.thing.children {
        let stat = thing.stat();
        let item = Item { name, stat: &stat, dir: &shared };
        if thing.metadata.node_type != NodeType::Directory {
            visitor.leaf(item)?;
        } else if visitor.enter(item)? {
            walk(&Arc::new(Dir { path: dir.path(name), thing: thing.clone(), looks: dir.looks.clone() }), visitor)?;
            visitor.leave()?;
        }
    }
    Ok(())
}

impl Source for Tree {
    fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        walk(&self.0, visitor)
    }

    fn paths(&self) -> Vec<Vec<u8>> {
        vec![b"/golden".to_vec()]
    }
}

fn noise(seed: u8, length: usize) -> Vec<u8> {
    (0..length as u64).step_by(32).flat_map(|at| h(&[&[seed][..], &at.to_le_bytes()].concat())).take(length).collect()
}

fn deep(levels: usize) -> Thing {
    let below = if levels == 0 { Vec::new() } else { vec![(format!("level {levels}").into_bytes(), deep(levels - 1))] };
    Thing::directory(below)
}

impl Tree {
    fn new(changed: bool) -> Self {
        let group = |inode| Some(LinkGroup { device: 0, inode });
        let hard = |inode| Thing::file(b"one file of three names").with(|m| (m.inode, m.link_group) = (inode, group(inode)));
        let xattr = |name: &[u8], value: &[u8]| Xattr { name: name.to_vec(), value: value.to_vec() };
        let acl = [
            2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 4, 0, 232, 3, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 4, 0, 255, 255, 255, 255, 32, 0, 4, 0,
            255, 255, 255, 255,
        ];
        let mut image = vec![0; (16 << 20) + 100];
        image[(5 << 20) + 7] = 1;
        image[(16 << 20) + 99] = 2;
        let time = |seconds, nanoseconds| Time { seconds, nanoseconds };
        let mut entries = vec![
            (&b"0 empty"[..], Thing::runs(Vec::new())),
            (b"1 byte", Thing::file(b"1")),
            (
                b"attributes",
                Thing::file(b"attributes").with(|m| {
                    m.xattrs = vec![
                        xattr(b"security.capability", &[1; 20]),
                        xattr(b"system.posix_acl_access", &acl),
                        xattr(b"user.empty", b""),
                        xattr(b"user.long", &noise(1, 1000)),
                    ];
                    m.flags = 0x0080_0040;
                }),
            ),
            (b"block device", Thing::new(NodeType::BlockDevice, 0o660).with(|m| m.device = (8, 1 << 20))),
            (b"char device", Thing::new(NodeType::CharDevice, 0o666).with(|m| m.device = (1, 3))),
            (
                b"closed",
                Thing { metadata: Metadata { mode: 0, ..Thing::directory([]).metadata }, ..Thing::directory([(b"inside".to_vec(), Thing::file(b"inside"))]) },
            ),
            (b"deep", deep(30)),
            (b"disk.img", Thing::file(&image)),
            (b"empty directory", Thing::directory([]).with(|m| (m.mode, m.flags) = (0o1777, 0x80))),
            (b"fifo", Thing::new(NodeType::Fifo, 0o600)),
            (b"hard", Thing::directory([(b"second".to_vec(), hard(77)), (b"third".to_vec(), hard(77))])),
            (b"hard first", hard(77)),
            (b"hard link a", Thing::link(b"x").with(|m| (m.inode, m.link_group) = (78, group(78)))),
            (b"hard link b", Thing::link(b"x").with(|m| (m.inode, m.link_group) = (78, group(78)))),
            (b"hole only", Thing::runs(vec![Run::Hole(1 << 22)])),
            (b"large", Thing::file(&(0..9u32 << 20).map(|at| (at / 4096 % 251) as u8).collect::<Vec<_>>())),
            (b"link", Thing::link(b"../some/where")),
            (b"link of bytes", Thing::link(b"/\xff\xfe \\\n")),
            (b"lists", Thing::runs((0..700).flat_map(|n| [Run::Bytes(format!("run {}", n % 300).into_bytes()), Run::Hole(4096)]).collect())),
            (b"many", Thing::directory((0..800).map(|n| (format!("{n:04}").into_bytes(), Thing::runs(Vec::new()))))),
            (b"name \xff\n\\\x01", Thing::file(b"a name of bytes")),
            (b"nobody", Thing::file(b"no names").with(|m| (m.uid, m.gid, m.user, m.group) = (u32::MAX - 1, u32::MAX - 1, Vec::new(), Vec::new()))),
            (b"noise", Thing::file(&noise(2, 20_000))),
            (b"set-uid", Thing::file(b"#!").with(|m| m.mode = 0o6755)),
            (b"socket", Thing::new(NodeType::Socket, 0o755)),
            (b"sparse", Thing::runs(vec![Run::Hole(1 << 20), Run::Bytes(b"data".to_vec()), Run::Hole(1 << 20), Run::Bytes(noise(3, 5000)), Run::Hole(3)])),
            (b"tables.sql", Thing::file("insert into t values (1);\n".repeat(20_000).as_bytes())),
            (b"times before 1970", Thing::file(b"old").with(|m| (m.mtime, m.ctime) = (time(-1, 999_999_999), time(-(1 << 40), 0)))),
            (b"times far ahead", Thing::file(b"new").with(|m| (m.mtime, m.ctime) = (time(1 << 40, 1), time((1 << 33) + 1, 2)))),
        ];
        if changed {
            entries.retain(|(name, _)| *name != b"1 byte");
            entries.push((b"added", Thing::file(b"added later")));
            entries.push((b"changing", Thing { changes: true, ..Thing::file(b"it changes at every look") }));
            entries.push((b"unreadable", Thing { closed: true, ..Thing::file(b"nobody sees this") }));
            for (name, thing) in &mut entries {
                if *name == b"noise" {
                    *thing = Thing::file(&noise(4, 10_000)).with(|m| m.mtime = time(1_750_000_000, 1));
                }
            }
        }
        let home = Thing::directory(entries.into_iter().map(|(name, thing)| (name.to_vec(), thing)));
        let mut root = Thing::directory([(b"golden".to_vec(), home)]);
        root.number(b"");
        Self(Arc::new(Dir { path: Vec::new(), thing: root, looks: Arc::default() }))
    }

    /// The first state.
    pub fn first() -> Self {
        Self::new(false)
    }

    /// Something was added, something removed, one file changed, one changes while it is read, and one cannot be read.
    pub fn second() -> Self {
        Self::new(true)
    }

    /// The hashes of all contents that can be read, by path, as listings write it.
    pub fn hashes(&self) -> Vec<(String, String)> {
        fn below(path: &[u8], thing: &Thing, found: &mut Vec<(String, String)>) {
            for (name, child) in &thing.children {
                let path = [path, b"/", name].concat();
                if child.metadata.node_type == NodeType::File && !child.closed {
                    found.push((escape(&path), super::story::hash(&child.bytes())));
                }
                below(&path, child, found);
            }
        }
        let mut found = Vec::new();
        below(b"", &self.0.thing, &mut found);
        found
    }
}
