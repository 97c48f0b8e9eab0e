//! Chapter 12: walking directories and the lists of a file's extents, without recursion.

use crate::cbor;
use crate::entry::{Contents, Entry};
use crate::fault::{Fault, Result, Rule, fail};
use crate::keys::Bytes32;
use crate::tree::{Extent, Kind, MAX_LEVELS, Node, Part, Piece};
use std::rc::Rc;

/// Where tree chunks come from; what it gives has been compared with its name.
pub trait Trees {
    /// The plaintext of a tree chunk.
    fn tree(&mut self, name: &Bytes32) -> Result<Rc<Vec<u8>>>;
}

/// A step of the walk.
#[derive(Debug)]
pub enum Step {
    /// An entry that is no directory.
    Entry(Box<Entry>),
    /// A directory; its entries follow, then `Leave`.
    Enter(Box<Entry>),
    /// The end of the directory entered last.
    Leave,
    /// Something of the directory entered last cannot be read; the walk goes on.
    Fault(Fault),
}

/// An open node: which, where in it the next item begins, and what its parts must keep to.
struct Level {
    node: Bytes32,
    position: usize,
    left: u64,
    split: bool,
    depth: usize,
    top: bool,
    upper: Option<Vec<u8>>,
    stated: Option<u64>,
    seen: u64,
    damaged: bool,
}

/// What a node must be that is opened next.
struct Demand {
    node: Bytes32,
    depth: usize,
    first: Option<Vec<u8>>,
    upper: Option<Vec<u8>>,
    stated: Option<u64>,
}

/// A walk over all entries below a directory. Memory: the path to where it is.
pub struct Walk {
    stack: Vec<Level>,
    pending: Option<Demand>,
    leave: bool,
}

fn offset_of(plain: &[u8], body: &[u8]) -> usize {
    // `body` is a part of `plain`.
    (body.as_ptr() as usize).wrapping_sub(plain.as_ptr() as usize)
}

fn load(trees: &mut dyn Trees, demand: Demand) -> Result<Level> {
    let plain = trees.tree(&demand.node)?;
    let node = Node::parse(&plain)?;
    let split = match node.kind {
        Kind::Directory => false,
        Kind::Split => true,
        Kind::List | Kind::Lists => return fail(Rule::BadStructure, "a list where a directory should be"),
    };
    if split && demand.depth > MAX_LEVELS {
        return fail(Rule::TooLarge, "more than 8 levels of split directories");
    }
    if let Some(first) = &demand.first {
        let actual = match node.items.items().next() {
            Some(item) if split => Part::parse(item)?.first,
            Some(item) => Entry::parse(item)?.name,
            None => return fail(Rule::BadStructure, "a part without entries"),
        };
        if *first != actual {
            return fail(Rule::BadStructure, "a part begins with another name than stated");
        }
    }
    Ok(Level {
        node: demand.node,
        position: offset_of(&plain, node.items.body()),
        left: node.items.len(),
        split,
        depth: demand.depth,
        top: demand.first.is_none(),
        upper: demand.upper,
        stated: demand.stated,
        seen: 0,
        damaged: false,
    })
}

enum Next {
    Entry(Box<Entry>),
    Part(Part, Option<Vec<u8>>),
}

fn next_item(trees: &mut dyn Trees, level: &mut Level) -> Result<Next> {
    let plain = trees.tree(&level.node)?;
    let start = plain.get(level.position..).unwrap_or_default();
    let mut rest = start;
    let item = cbor::read_next(&mut rest)?;
    level.position += start.len() - rest.len();
    level.left -= 1;
    let (next, name) = if level.split {
        let part = Part::parse(item)?;
        let upper = if level.left == 0 { level.upper.clone() } else { Some(Part::parse(cbor::read_next(&mut rest)?)?.first) };
        let name = part.first.clone();
        (Next::Part(part, upper), name)
    } else {
        let entry = Entry::parse(item)?;
        let name = entry.name.clone();
        (Next::Entry(Box::new(entry)), name)
    };
    if level.upper.as_ref().is_some_and(|upper| name >= *upper) {
        return fail(Rule::BadStructure, "a part's name is beyond the next part's first");
    }
    Ok(next)
}

impl Walk {
    /// A walk that begins below the directory whose node this is; it ends with the `Leave` of that directory.
    pub fn new(root: Bytes32) -> Walk {
        Walk { stack: Vec::new(), pending: Some(top(root)), leave: false }
    }

    /// After `Enter`: passes over the entries of that directory.
    pub fn skip(&mut self) {
        if self.pending.take().is_some() {
            self.leave = true;
        }
    }

    /// The next step; `None` at the end.
    pub fn next(&mut self, trees: &mut dyn Trees) -> Option<Step> {
        loop {
            if self.leave {
                self.leave = false;
                return Some(Step::Leave);
            }
            if let Some(demand) = self.pending.take() {
                let (node, first) = (demand.node, demand.first.is_none());
                match load(trees, demand) {
                    Ok(level) => self.stack.push(level),
                    Err(fault) => {
                        if !first {
                            self.damage();
                        }
                        // A directory that cannot be opened at all is left at once.
                        self.leave = first;
                        return Some(Step::Fault(fault.of(&format!("tree {}", crate::keys::hex(&node)))));
                    }
                }
            }
            let level = self.stack.last_mut()?;
            if level.left == 0 {
                if let Some(step) = self.close() {
                    return Some(step);
                }
                continue;
            }
            let (depth, node) = (level.depth, level.node);
            match next_item(trees, level) {
                Ok(Next::Part(part, upper)) => {
                    self.pending = Some(Demand {
                        node: part.node,
                        depth: depth + 1,
                        first: Some(part.first),
                        upper,
                        stated: Some(part.entries),
                    });
                }
                Ok(Next::Entry(entry)) => {
                    level.seen += 1;
                    let Some(node) = entry.node else { return Some(Step::Entry(entry)) };
                    self.pending = Some(top(node));
                    return Some(Step::Enter(entry));
                }
                Err(fault) => {
                    level.left = 0;
                    level.damaged = true;
                    return Some(Step::Fault(fault.of(&format!("tree {}", crate::keys::hex(&node)))));
                }
            }
        }
    }

    fn damage(&mut self) {
        if let Some(level) = self.stack.last_mut() {
            level.damaged = true;
        }
    }

    /// Closes the level on top.
    fn close(&mut self) -> Option<Step> {
        let level = self.stack.pop()?;
        if level.top {
            return Some(Step::Leave);
        }
        if let Some(parent) = self.stack.last_mut() {
            parent.seen = parent.seen.saturating_add(level.seen);
            parent.damaged |= level.damaged;
        }
        if !level.damaged && level.stated.is_some_and(|stated| stated != level.seen) {
            self.damage();
            let fault = Fault::new(Rule::BadStructure, "a part has another number of entries than stated");
            return Some(Step::Fault(fault.of(&format!("tree {}", crate::keys::hex(&level.node)))));
        }
        None
    }
}

fn top(node: Bytes32) -> Demand {
    Demand { node, depth: 1, first: None, upper: None, stated: None }
}

/// The extents of a file, in order.
pub struct Extents {
    direct: std::vec::IntoIter<Extent>,
    lists: Vec<ListLevel>,
    root: Option<(Bytes32, u64)>,
    hole: bool,
    left: u64,
}

struct ListLevel {
    node: Bytes32,
    position: usize,
    left: u64,
    lists: bool,
    bytes: u64,
}

impl Extents {
    /// The extents of an entry.
    pub fn new(entry: &Entry) -> Extents {
        let (direct, root) = match &entry.contents {
            Contents::None => (Vec::new(), None),
            Contents::Extents(extents) => (extents.clone(), None),
            Contents::List(node) => (Vec::new(), Some((*node, entry.size))),
        };
        Extents { direct: direct.into_iter(), lists: Vec::new(), root, hole: false, left: entry.size }
    }

    /// The next extent; `None` at the end. After an error nothing follows.
    pub fn next(&mut self, trees: &mut dyn Trees) -> Option<Result<Extent>> {
        let next = self.step(trees);
        if let Some(Err(_)) = &next {
            self.lists.clear();
            self.root = None;
            self.left = 0;
        }
        next
    }

    fn step(&mut self, trees: &mut dyn Trees) -> Option<Result<Extent>> {
        if let Some(extent) = self.direct.next() {
            self.left = self.left.saturating_sub(extent.length());
            return Some(Ok(extent));
        }
        if let Some((node, length)) = self.root.take()
            && let Err(fault) = self.open(trees, node, length)
        {
            return Some(Err(fault));
        }
        loop {
            let Some(level) = self.lists.last_mut() else {
                if self.left != 0 {
                    self.left = 0;
                    return Some(fail(Rule::BadStructure, "extents do not add up to the file's size"));
                }
                return None;
            };
            if level.left == 0 {
                if level.bytes != 0 {
                    return Some(fail(Rule::BadStructure, "a list is shorter than stated"));
                }
                self.lists.pop();
                continue;
            }
            match self.item(trees) {
                Ok(Some(extent)) => return Some(Ok(extent)),
                Ok(None) => {}
                Err(fault) => return Some(Err(fault)),
            }
        }
    }

    fn open(&mut self, trees: &mut dyn Trees, node: Bytes32, bytes: u64) -> Result<()> {
        let plain = trees.tree(&node)?;
        let parsed = Node::parse(&plain)?;
        let lists = match parsed.kind {
            Kind::List => false,
            Kind::Lists => true,
            Kind::Directory | Kind::Split => return fail(Rule::BadStructure, "a directory where a list should be"),
        };
        if lists && self.lists.len() >= MAX_LEVELS {
            return fail(Rule::TooLarge, "more than 8 levels of lists");
        }
        let position = offset_of(&plain, parsed.items.body());
        self.lists.push(ListLevel { node, position, left: parsed.items.len(), lists, bytes });
        Ok(())
    }

    fn item(&mut self, trees: &mut dyn Trees) -> Result<Option<Extent>> {
        let Some(level) = self.lists.last_mut() else { return Ok(None) };
        let plain = trees.tree(&level.node)?;
        let start = plain.get(level.position..).unwrap_or_default();
        let mut rest = start;
        let item = cbor::read_next(&mut rest)?;
        level.position += start.len() - rest.len();
        level.left -= 1;
        let mut subtract = |length: u64| match level.bytes.checked_sub(length) {
            Some(bytes) => {
                level.bytes = bytes;
                Ok(())
            }
            None => fail(Rule::BadStructure, "a list is longer than stated"),
        };
        if level.lists {
            let piece = Piece::parse(item)?;
            subtract(piece.length)?;
            self.open(trees, piece.node, piece.length)?;
            return Ok(None);
        }
        let extent = Extent::parse(item)?;
        subtract(extent.length())?;
        let hole = matches!(extent, Extent::Hole(_));
        if hole && self.hole {
            return fail(Rule::BadStructure, "two holes are neighbours");
        }
        self.hole = hole;
        self.left = self.left.saturating_sub(extent.length());
        Ok(Some(extent))
    }
}
