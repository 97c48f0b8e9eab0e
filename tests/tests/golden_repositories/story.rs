//! Everything a repository tells, as text: each reader writes it from what it has read itself.

use crate::vectors::whole::listing;
use std::collections::HashSet;
use std::fmt::Write;
use std::path::Path;
use vault_engine::format::node::{Extent, Metadata};
use vault_engine::ops::select::{self, Filter};
use vault_engine::ops::walk::extents_of;
use vault_engine::store::repository::Repository;
use vault_rescue::entry::Entry;
use vault_rescue::keys::{Class, h, hex};
use vault_rescue::walk::{Extents, Step, Walk};
use vault_rescue::{check, show, tree};

/// A story in the making: what was told of an earlier snapshot is not told again.
struct Story {
    text: String,
    told: HashSet<String>,
}

impl Story {
    fn new(first: String) -> Self {
        Self { text: first, told: HashSet::new() }
    }

    fn snapshot(&mut self, head: &str, lines: Vec<String>) {
        let _ = writeln!(self.text, "snapshot {head}, {} entries, listing {}", lines.len(), hex(&h(lines.concat().as_bytes())));
        for line in lines {
            if self.told.insert(line.clone()) {
                self.text += &line;
            }
        }
    }
}

/// The hash of contents.
pub fn hash(contents: &[u8]) -> String {
    if contents.is_empty() { "empty".to_owned() } else { hex(&h(contents)) }
}

/// What a listing's line leaves out.
struct More<'a> {
    hash: String,
    owners: [&'a [u8]; 2],
    ctime: String,
    inode: u64,
    links: Option<(u32, u64)>,
    flags: u32,
    changed: bool,
    attributes: Vec<(&'a [u8], &'a [u8])>,
}

impl More<'_> {
    fn line(&self) -> String {
        let links = self.links.map_or("-".to_owned(), |(device, inode)| format!("{device}:{inode}"));
        let mut line = format!(
            "\t{}\t{} {} {} {} {links} {:x} {}",
            self.hash,
            show::escape(self.owners[0]),
            show::escape(self.owners[1]),
            self.ctime,
            self.inode,
            self.flags,
            self.changed
        );
        for (name, value) in &self.attributes {
            let _ = write!(line, " {}={}", show::escape(name), hex(value));
        }
        line
    }
}

fn state(confirmed: bool, forgotten: bool) -> &'static str {
    match (confirmed, forgotten) {
        (_, true) => "forgotten",
        (true, false) => "confirmed",
        (false, false) => "unconfirmed",
    }
}

/// The engine's account.
pub fn by_engine(repository: &Repository) -> String {
    let list = repository.snapshots().unwrap();
    assert!(list.damaged.is_empty(), "{:?}", list.damaged);
    let latest = select::find(&list.snapshots, &Filter::default(), "latest").unwrap();
    let mut story = Story::new(format!(
        "repository {}, {} epochs, configuration {}, latest {}\n",
        repository.keys.repository,
        repository.keys.roots().unwrap().len(),
        repository.config.sequence,
        latest.id.to_hex()
    ));
    for stored in &list.snapshots {
        let s = &stored.snapshot;
        let head = format!(
            "{} {} {}.{:09} {} {} {} {} {}",
            stored.id.to_hex(),
            state(stored.confirmed, stored.forgotten),
            s.begun.seconds,
            s.begun.nanoseconds,
            s.host,
            s.source.as_deref().unwrap_or("-"),
            s.tags.join(","),
            s.status as u8,
            s.missing
        );
        let mut more = Vec::new();
        let lines = listing(repository, s.root, &mut |_, node| {
            let mut contents = Vec::new();
            for extent in extents_of(repository, node) {
                match extent?.extent {
                    Extent::Chunk { id, length } => contents.extend(repository.chunk(id, length)?),
                    Extent::Hole { length } => contents.resize(contents.len() + length as usize, 0),
                }
            }
            let m: &Metadata = &node.metadata;
            let hash = if m.node_type == vault_engine::format::node::NodeType::File { hash(&contents) } else { "-".to_owned() };
            let attributes = m.xattrs.iter().map(|xattr| (&xattr.name[..], &xattr.value[..])).collect();
            let links = m.link_group.map(|group| (group.device, group.inode));
            let ctime = format!("{}.{:09}", m.ctime.seconds, m.ctime.nanoseconds);
            more.push(
                More { hash, owners: [&m.user, &m.group], ctime, inode: m.inode, links, flags: m.flags, changed: node.changed_while_read, attributes }.line(),
            );
            Ok(())
        });
        story.snapshot(&head, lines.unwrap().lines().zip(more).map(|(line, more)| format!("{line}{more}\n")).collect());
    }
    story.text
}

/// The second reader's account; it also checks everything there is.
pub fn by_rescue(folder: &Path, secret: &vault_rescue::slot::Secret) -> String {
    let mut repository = vault_rescue::repository::Repository::open(folder, secret).unwrap();
    assert_eq!(repository.problems(), []);
    let (snapshots, faults) = repository.snapshots().unwrap();
    assert_eq!(faults, []);
    let latest = repository.find("latest").unwrap();
    let sequence = repository.config().unwrap().sequence;
    let mut story = Story::new(format!(
        "repository {}, {} epochs, configuration {sequence}, latest {}\n",
        hex(repository.id()),
        repository.keys().all().len(),
        hex(&latest.name)
    ));
    for listed in &snapshots {
        let s = &listed.snapshot;
        let head = format!(
            "{} {} {} {} {} {} {} {}",
            hex(&listed.name),
            state(listed.confirmed, listed.forgotten),
            s.begun,
            s.host,
            s.source.as_deref().unwrap_or("-"),
            s.tags.join(","),
            s.status,
            s.unread
        );
        let (mut walk, mut path, mut lines) = (Walk::new(s.root), Vec::new(), Vec::new());
        while let Some(step) = walk.next(&mut repository) {
            match step {
                Step::Fault(fault) => panic!("{fault}"),
                Step::Leave => path.truncate(path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
                Step::Entry(entry) => lines.push(line(&mut repository, &entry, &path)),
                Step::Enter(entry) => {
                    lines.push(line(&mut repository, &entry, &path));
                    path.push(b'/');
                    path.extend_from_slice(&entry.name);
                }
            }
        }
        story.snapshot(&head, lines);
    }
    let mut faults = Vec::new();
    check::check(&mut repository, &mut |fault| faults.push(fault)).unwrap();
    assert_eq!(faults, []);
    story.text
}

fn line(repository: &mut vault_rescue::repository::Repository, entry: &Entry, directory: &[u8]) -> String {
    let (mut contents, mut extents) = (Vec::new(), Extents::new(entry));
    while let Some(extent) = extents.next(repository) {
        match extent.unwrap() {
            tree::Extent::Chunk(name, length) => {
                let chunk = repository.chunk(Class::Data, &name).unwrap();
                assert_eq!(chunk.len() as u64, length);
                contents.extend(chunk);
            }
            tree::Extent::Hole(length) => contents.resize(contents.len() + length as usize, 0),
        }
    }
    let more = More {
        hash: if entry.kind == vault_rescue::entry::Type::File { hash(&contents) } else { "-".to_owned() },
        owners: [entry.user.as_deref().unwrap_or_default(), entry.group.as_deref().unwrap_or_default()],
        ctime: entry.ctime.to_string(),
        inode: entry.inode,
        links: entry.links,
        flags: entry.flags,
        changed: entry.changed,
        attributes: entry.attributes.iter().map(|(name, value)| (&name[..], &value[..])).collect(),
    };
    format!("{}{}\n", show::entry(entry, directory), more.line())
}
