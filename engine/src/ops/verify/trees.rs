//! Walks every tree once, however many snapshots and directories lead to it, and gathers the chunks that files need.

use super::ground::Ground;
use super::report::{DamageKind, Lost};
use crate::format::id::{ChunkId, TreeId};
use crate::format::node::{Content, Extent, Node};
use crate::format::pack::PLAIN_LENGTH_MAX;
use crate::format::tree::{LEVELS_MAX, TreeNode};
use crate::ops::monitor::Progress;
use crate::ops::parallel::{lock, parallel};
use crate::store::error::Result;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// Chunks that are looked for together.
const CHUNKS: usize = 64 << 10;
/// Directories that are read together, and how many of them one thread takes at a time: neighbours lie in one block.
const TOGETHER: usize = 512;
const NEIGHBOURS: usize = 16;

/// What a part of a split directory holds.
#[derive(Clone)]
struct Span {
    first: Box<[u8]>,
    last: Box<[u8]>,
    entries: u64,
    /// Levels of split nodes in it.
    levels: usize,
}

/// What a list holds.
#[derive(Clone, Copy)]
struct Run {
    length: u64,
    begins_in_hole: bool,
    ends_in_hole: bool,
    /// Levels of lists of lists in it.
    levels: usize,
}

/// What the walk needs of a directory's node.
enum Gist {
    /// A directory in one node.
    Whole { directories: Vec<TreeId>, lists: Vec<(TreeId, u64)>, chunks: Vec<(ChunkId, u32)>, given_up: u64 },
    /// Anything else.
    Other(TreeNode),
}

impl Gist {
    fn of(node: TreeNode) -> Self {
        let TreeNode::Directory(nodes) = node else { return Self::Other(node) };
        let (mut directories, mut lists, mut chunks) = (Vec::new(), Vec::new(), Vec::with_capacity(nodes.len()));
        let given_up = nodes.iter().filter(|node| node.lost).count() as u64;
        for node in nodes {
            match node.content {
                Content::None => {}
                Content::Directory(id) => directories.push(id),
                Content::Extents(extents) => chunks.extend(chunks_of(&extents)),
                Content::List(id) => lists.push((id, node.metadata.size)),
            }
        }
        Self::Whole { directories, lists, chunks, given_up }
    }
}

fn chunks_of(extents: &[Extent]) -> impl Iterator<Item = (ChunkId, u32)> {
    extents.iter().filter_map(|extent| match extent {
        Extent::Chunk { id, length } => Some((*id, *length)),
        Extent::Hole { .. } => None,
    })
}

pub struct Forest<'g, 'a> {
    ground: &'g Ground<'a>,
    directories: HashSet<TreeId>,
    /// Parts of split directories; `None` for those that cannot be read.
    parts: HashMap<TreeId, Option<Span>>,
    lists: HashMap<TreeId, Option<Run>>,
    stack: Vec<TreeId>,
    chunks: Vec<(ChunkId, u32)>,
    /// Entries of which a repair gave something up.
    given_up: u64,
}

impl<'g, 'a> Forest<'g, 'a> {
    pub fn new(ground: &'g Ground<'a>) -> Self {
        Self { ground, directories: HashSet::new(), parts: HashMap::new(), lists: HashMap::new(), stack: Vec::new(), chunks: Vec::new(), given_up: 0 }
    }

    fn trees(&self) -> u64 {
        (self.directories.len() + self.parts.len() + self.lists.len()) as u64
    }

    /// Walks a snapshot.
    pub fn walk(&mut self, root: TreeId) -> Result<()> {
        self.stack.push(root);
        loop {
            let mut ids = Vec::new();
            while ids.len() < TOGETHER
                && let Some(id) = self.stack.pop()
            {
                if self.directories.insert(id) {
                    ids.push(id);
                }
            }
            if ids.is_empty() {
                return Ok(());
            }
            for (id, gist) in self.gists(&ids)? {
                match gist {
                    None => {}
                    Some(Gist::Whole { directories, lists, chunks, given_up }) => {
                        self.given_up += given_up;
                        self.stack.extend(directories);
                        self.chunks.extend(chunks);
                        lists.into_iter().try_for_each(|(list, size)| self.list_of(list, size))?;
                    }
                    Some(Gist::Other(node)) => drop(self.look(id, node, 0)?),
                }
                if self.chunks.len() >= CHUNKS {
                    self.ground.place_chunks(&mut self.chunks)?;
                }
            }
            self.ground.monitor.progress(&Progress { files_done: self.trees(), ..Progress::default() });
        }
    }

    /// Reads the nodes of directories, on several threads; they come back in the order asked for.
    fn gists(&self, ids: &[TreeId]) -> Result<Vec<(TreeId, Option<Gist>)>> {
        let runs: Vec<&[TreeId]> = ids.chunks(NEIGHBOURS).collect();
        let read = Mutex::new(Vec::with_capacity(runs.len()));
        parallel(
            self.ground.threads,
            runs.len(),
            || (),
            |(), at| {
                let gists = runs[at].iter().map(|id| Ok((*id, self.ground.tree(*id)?.map(Gist::of)))).collect::<Result<Vec<_>>>()?;
                lock(&read).push((at, gists));
                Ok(())
            },
        )?;
        let mut read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
        read.sort_unstable_by_key(|(at, _)| *at);
        Ok(read.into_iter().flat_map(|(_, gists)| gists).collect())
    }

    /// Looks for the last chunks; returns how many trees there were.
    pub fn finish(mut self) -> Result<u64> {
        self.ground.place_chunks(&mut self.chunks)?;
        if self.given_up > 0 {
            let what = format!("{} files and folders lost something that a repair gave up; a restore, or --restore, names them", self.given_up);
            self.ground.report.note(&"folders", &what);
        }
        Ok(self.trees())
    }

    /// One node of a directory. It calls itself for the parts of a split one: at most [`LEVELS_MAX`] deep.
    fn node(&mut self, id: TreeId, level: usize) -> Result<Option<Span>> {
        let Some(node) = self.ground.tree(id)? else { return Ok(None) };
        self.look(id, node, level)
    }

    fn look(&mut self, id: TreeId, node: TreeNode, level: usize) -> Result<Option<Span>> {
        let lose = |what| {
            self.ground.lose_tree(id, what);
            Ok(None)
        };
        match node {
            TreeNode::Directory(nodes) => {
                self.given_up += nodes.iter().filter(|node| node.lost).count() as u64;
                nodes.iter().try_for_each(|node| self.entry(node))?;
                let name = |node: Option<&Node>| node.map(|node| node.name.as_slice()).unwrap_or_default().into();
                Ok(Some(Span { first: name(nodes.first()), last: name(nodes.last()), entries: nodes.len() as u64, levels: 0 }))
            }
            TreeNode::Split(_) if level >= LEVELS_MAX => lose("a directory split into too many levels"),
            TreeNode::Split(parts) => {
                let mut levels = 0;
                let mut fits = true;
                let mut last = parts.last().map(|part| part.first_name.as_slice().into()).unwrap_or_default();
                for (at, part) in parts.iter().enumerate() {
                    let span = if let Some(known) = self.parts.get(&part.id) {
                        known.clone()
                    } else {
                        let span = self.node(part.id, level + 1)?;
                        self.parts.insert(part.id, span.clone());
                        span
                    };
                    let Some(span) = span else { continue };
                    levels = levels.max(span.levels);
                    fits &= *span.first == *part.first_name && span.entries == part.entries;
                    fits &= parts.get(at + 1).is_none_or(|next| *span.last < *next.first_name);
                    if at + 1 == parts.len() {
                        last = span.last;
                    }
                }
                levels += 1;
                let entries = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.entries));
                match entries {
                    Some(entries) if fits && level + levels <= LEVELS_MAX => {
                        Ok(Some(Span { first: parts[0].first_name.as_slice().into(), last, entries, levels }))
                    }
                    _ => {
                        self.ground.lose_tree(id, "a split directory whose parts do not fit together");
                        Ok(None)
                    }
                }
            }
            TreeNode::List(_) | TreeNode::Lists(_) => lose("a list where a directory belongs"),
        }
    }

    fn entry(&mut self, node: &Node) -> Result<()> {
        match &node.content {
            Content::None => {}
            Content::Directory(id) => self.stack.push(*id),
            Content::Extents(extents) => self.extents(extents),
            Content::List(id) => self.list_of(*id, node.metadata.size)?,
        }
        Ok(())
    }

    /// The list of a file of `size` bytes.
    fn list_of(&mut self, id: TreeId, size: u64) -> Result<()> {
        if let Some(run) = self.list(id, 0)?
            && (run.length != size || run.levels > LEVELS_MAX)
        {
            let what = format!("its length is {}, and a file says {size}", run.length);
            let damage = self.ground.report.blame(DamageKind::Tree, &format!("tree {}", id.short()), &what);
            self.ground.report.lose(Lost::List(id, size), damage);
        }
        Ok(())
    }

    fn extents(&mut self, extents: &[Extent]) {
        self.chunks.extend(chunks_of(extents));
    }

    /// One node of a list; calls itself likewise.
    fn list(&mut self, id: TreeId, level: usize) -> Result<Option<Run>> {
        if let Some(known) = self.lists.get(&id) {
            return Ok(*known);
        }
        let run = self.read_list(id, level)?;
        self.lists.insert(id, run);
        if self.chunks.len() >= CHUNKS {
            self.ground.place_chunks(&mut self.chunks)?;
        }
        Ok(run)
    }

    fn read_list(&mut self, id: TreeId, level: usize) -> Result<Option<Run>> {
        let Some(node) = self.ground.tree(id)? else { return Ok(None) };
        let (run, fits) = match node {
            TreeNode::List(extents) => {
                self.extents(&extents);
                let length = extents.iter().try_fold(0u64, |sum, extent| sum.checked_add(extent.length()));
                let is_hole = |extent: Option<&Extent>| matches!(extent, Some(Extent::Hole { .. }));
                let run = Run { length: length.unwrap_or(0), begins_in_hole: is_hole(extents.first()), ends_in_hole: is_hole(extents.last()), levels: 0 };
                (run, length.is_some() && extents.iter().all(|extent| matches!(extent, Extent::Hole { .. }) || extent.length() <= PLAIN_LENGTH_MAX as u64))
            }
            TreeNode::Lists(_) if level >= LEVELS_MAX => {
                self.ground.lose_tree(id, "a list of too many levels");
                return Ok(None);
            }
            TreeNode::Lists(parts) => {
                let mut run = Run { length: 0, begins_in_hole: false, ends_in_hole: false, levels: 0 };
                let mut fits = true;
                for (at, part) in parts.iter().enumerate() {
                    run.length = run.length.saturating_add(part.length);
                    let Some(below) = self.list(part.id, level + 1)? else {
                        run.ends_in_hole = false;
                        continue;
                    };
                    fits &= below.length == part.length && !(run.ends_in_hole && below.begins_in_hole);
                    run.begins_in_hole |= at == 0 && below.begins_in_hole;
                    run.ends_in_hole = below.ends_in_hole;
                    run.levels = run.levels.max(below.levels);
                }
                run.levels += 1;
                (run, fits && level + run.levels <= LEVELS_MAX)
            }
            TreeNode::Directory(_) | TreeNode::Split(_) => {
                self.ground.lose_tree(id, "a directory where a list belongs");
                return Ok(None);
            }
        };
        if !fits {
            self.ground.lose_tree(id, "a list whose parts do not fit together");
            return Ok(None);
        }
        Ok(Some(run))
    }
}
