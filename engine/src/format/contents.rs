//! Lists of extents of long files, as trees of list nodes (SPEC chapter 12), built as the file is read.

use super::id::{ChunkId, TreeId};
use super::node::{Content, Extent};
use super::tree::{EXTENTS_INLINE_MAX, ListPart, TreeNode};

/// A list node has at least and at most so many extents or parts, but for the last of its level.
const LIST: (usize, usize) = (128, 512);
/// Between these a node closes where these bits of a name are zero.
const LIST_MASK: u8 = 0x7f;

fn closes(name: &[u8; 32]) -> bool {
    name[0] & LIST_MASK == 0
}

/// Where the first run of a list ends, as far as that is decided by what is known of it.
fn first_run<T>(known: &[T], closes: impl Fn(&T) -> bool) -> Option<usize> {
    let most = known.len().min(LIST.1);
    (LIST.0..=most).find(|length| closes(&known[length - 1])).or((most == LIST.1).then_some(most))
}

/// Gathers the extents of one file. However long it is, about a thousand extents and a few hundred parts of each level are held.
#[derive(Clone, Default)]
pub struct ContentBuilder {
    /// Extents that are in no node yet. The last one may still grow.
    extents: Vec<Extent>,
    /// Parts of each level that are in no node yet.
    levels: Vec<Vec<ListPart>>,
    size: u64,
}

type Sink<'a, E> = &'a mut dyn FnMut(Vec<u8>) -> Result<TreeId, E>;

impl ContentBuilder {
    /// Length of the file so far in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a chunk. `sink` stores a node and returns its name.
    pub fn push_chunk<E>(&mut self, id: ChunkId, length: u32, sink: Sink<'_, E>) -> Result<(), E> {
        self.size += u64::from(length);
        self.extents.push(Extent::Chunk { id, length });
        self.close_nodes(sink)
    }

    /// Appends a hole; one beside another becomes one with it, and one of no bytes nothing.
    pub fn push_hole<E>(&mut self, length: u64, sink: Sink<'_, E>) -> Result<(), E> {
        self.size += length;
        match self.extents.last_mut() {
            _ if length == 0 => Ok(()),
            Some(Extent::Hole { length: last }) => {
                *last += length;
                Ok(())
            }
            _ => {
                self.extents.push(Extent::Hole { length });
                self.close_nodes(sink)
            }
        }
    }

    fn close_nodes<E>(&mut self, sink: Sink<'_, E>) -> Result<(), E> {
        // As long as all of them may fit into the entry, all are held; later until a node is certainly full.
        if self.levels.is_empty() && self.extents.len() <= EXTENTS_INLINE_MAX + 1 {
            return Ok(());
        }
        let is_last = |extent: &Extent| matches!(extent, Extent::Chunk { id, .. } if closes(&id.0));
        while let Some(length) = first_run(&self.extents[..self.extents.len() - 1], is_last) {
            let rest = self.extents.split_off(length);
            let run = std::mem::replace(&mut self.extents, rest);
            self.put_list(run, sink)?;
        }
        Ok(())
    }

    fn put_list<E>(&mut self, run: Vec<Extent>, sink: Sink<'_, E>) -> Result<(), E> {
        let length = run.iter().map(Extent::length).sum();
        let part = ListPart { id: sink(TreeNode::List(run).encode())?, length };
        self.put_part(0, part, sink)
    }

    fn put_part<E>(&mut self, level: usize, part: ListPart, sink: Sink<'_, E>) -> Result<(), E> {
        let (mut level, mut part) = (level, part);
        loop {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            self.levels[level].push(part);
            let Some(length) = first_run(&self.levels[level], |part| closes(&part.id.0)) else { return Ok(()) };
            let rest = self.levels[level].split_off(length);
            part = close_parts(std::mem::replace(&mut self.levels[level], rest), sink)?;
            level += 1;
        }
    }

    /// What the file's entry holds: the list itself, or the name of a tree of lists.
    pub fn finish<E>(mut self, sink: Sink<'_, E>) -> Result<Content, E> {
        if self.levels.is_empty() && self.extents.len() <= EXTENTS_INLINE_MAX {
            return Ok(if self.extents.is_empty() { Content::None } else { Content::Extents(self.extents) });
        }
        // The last extent grows no more.
        let is_last = |extent: &Extent| matches!(extent, Extent::Chunk { id, .. } if closes(&id.0));
        while !self.extents.is_empty() {
            let length = first_run(&self.extents, is_last).unwrap_or(self.extents.len());
            let rest = self.extents.split_off(length);
            let run = std::mem::replace(&mut self.extents, rest);
            self.put_list(run, sink)?;
        }
        let mut level = 0;
        loop {
            let parts = std::mem::take(&mut self.levels[level]);
            let is_top = level + 1 == self.levels.len();
            match (parts.len(), is_top) {
                (1, true) => return Ok(Content::List(parts[0].id)),
                (0, _) => {}
                _ => {
                    let part = close_parts(parts, sink)?;
                    self.put_part(level + 1, part, sink)?;
                }
            }
            level += 1;
        }
    }
}

fn close_parts<E>(parts: Vec<ListPart>, sink: Sink<'_, E>) -> Result<ListPart, E> {
    let length = parts.iter().map(|part| part.length).sum();
    Ok(ListPart { id: sink(TreeNode::Lists(parts).encode())?, length })
}

/// Turns all extents of a file into what its entry holds.
pub fn store_extents<E>(extents: &[Extent], sink: Sink<'_, E>) -> Result<Content, E> {
    let mut builder = ContentBuilder::default();
    for extent in extents {
        match extent {
            Extent::Chunk { id, length } => builder.push_chunk(*id, *length, sink)?,
            Extent::Hole { length } => builder.push_hole(*length, sink)?,
        }
    }
    builder.finish(sink)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    /// The rule as SPEC says it, over a list that is known whole.
    fn runs<T>(mut rest: &[T], closes: impl Fn(&T) -> bool) -> Vec<&[T]> {
        let mut runs = Vec::new();
        while !rest.is_empty() {
            let most = rest.len().min(LIST.1);
            let length = (LIST.0..=most).find(|length| closes(&rest[length - 1])).unwrap_or(most);
            let (run, after) = rest.split_at(length);
            runs.push(run);
            rest = after;
        }
        runs
    }

    fn by_the_rule(extents: &[Extent], sink: Sink<'_, Infallible>) -> Content {
        if extents.is_empty() {
            return Content::None;
        }
        if extents.len() <= EXTENTS_INLINE_MAX {
            return Content::Extents(extents.to_vec());
        }
        let mut parts = Vec::new();
        for run in runs(extents, |extent| matches!(extent, Extent::Chunk { id, .. } if closes(&id.0))) {
            let Ok(id) = sink(TreeNode::List(run.to_vec()).encode());
            parts.push(ListPart { id, length: run.iter().map(Extent::length).sum() });
        }
        while parts.len() > 1 {
            let mut above = Vec::new();
            for run in runs(&parts, |part| closes(&part.id.0)) {
                let Ok(part) = close_parts(run.to_vec(), sink);
                above.push(part);
            }
            parts = above;
        }
        Content::List(parts[0].id)
    }

    #[test]
    fn what_is_built_on_the_way_is_what_the_rule_says() {
        let hash = |n: u64| *blake3::hash(&n.to_le_bytes()).as_bytes();
        let mut sink = |bytes: Vec<u8>| Ok(TreeId(*blake3::hash(&bytes).as_bytes()));
        for seed in 0..4u64 {
            for count in [0, 1, 127, 128, 129, 511, 1023, 1024, 1025, 1026, 1500, 5000, 70_000, 200_000] {
                let extent = |n: u64| match hash(n + seed * 1_000_000)[9] {
                    0..20 if n % 2 == 1 => Extent::Hole { length: 1 + n },
                    _ => Extent::Chunk { id: ChunkId(hash(n + seed * 1_000_000)), length: 65_536 },
                };
                let extents: Vec<Extent> = (0..count).map(extent).collect();
                let whole = by_the_rule(&extents, &mut sink);
                let mut builder = ContentBuilder::default();
                for extent in &extents {
                    let Ok(()) = match extent {
                        Extent::Chunk { id, length } => builder.push_chunk(*id, *length, &mut sink),
                        // In pieces, as a sparse file's come.
                        Extent::Hole { length } => builder.push_hole(1, &mut sink).and_then(|()| builder.push_hole(length - 1, &mut sink)),
                    };
                    assert!(builder.extents.len() <= EXTENTS_INLINE_MAX + 1 && builder.levels.iter().all(|level| level.len() < LIST.1));
                }
                assert_eq!(builder.size(), extents.iter().map(Extent::length).sum::<u64>());
                let Ok(built) = builder.finish(&mut sink);
                assert_eq!(built, whole, "{count} extents, seed {seed}");
            }
        }
    }
}
