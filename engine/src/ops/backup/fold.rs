//! Folds finished entries back into directories, in walk order.

use super::Shared;
use crate::format::id::TreeId;
use crate::format::node::{Content, Node};
use crate::format::tree::DirectoryBuilder;
use crate::ops::monitor::Fate;
use crate::store::error::Result;
use crossbeam_channel::Receiver;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Files that one reader reads one after the other; their nodes appear when all are done.
#[derive(Default)]
pub(super) struct Pending {
    nodes: Mutex<Option<Vec<Option<Node>>>>,
    done: Condvar,
}

impl Pending {
    /// The reader is done; `None` for a file that could not be read.
    pub(super) fn fulfil(&self, nodes: Vec<Option<Node>>) {
        *self.nodes.lock().unwrap_or_else(PoisonError::into_inner) = Some(nodes);
        self.done.notify_all();
    }

    fn take(&self, index: usize) -> Option<Node> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut nodes = self.done.wait_while(nodes, |nodes| nodes.is_none()).unwrap_or_else(PoisonError::into_inner);
        nodes.as_mut().and_then(|nodes| nodes.get_mut(index)?.take())
    }
}

/// What the walk hands on, in order.
pub(super) enum Event {
    /// A directory begins: its entry (contents still missing), and its entry in the parent.
    Enter(Box<Node>, Option<Box<Node>>, Box<dyn Fn() -> Vec<u8> + Send>),
    /// An entry that is ready.
    Ready(Box<Node>),
    /// An entry that a reader is at.
    Later(Arc<Pending>, usize),
    /// The directory entered last is complete.
    Leave,
    /// Nothing changed anywhere: the root is this node still.
    Same(TreeId),
}

struct Open {
    builder: DirectoryBuilder,
    /// The directory's entry; none for the root.
    node: Option<Box<Node>>,
    before: Option<Box<Node>>,
    path: Box<dyn Fn() -> Vec<u8> + Send>,
}

/// Runs until the walk is over; returns the root's node, or nothing if the walk did not get to its end.
pub(super) fn run(shared: &Shared<'_>, events: &Receiver<Event>) -> Result<Option<TreeId>> {
    let keys = shared.session.repository().keys.clone();
    let split = move |name: &[u8]| keys.split_number(name);
    let mut sink = |bytes: Vec<u8>| shared.session.store_tree(&bytes);
    let mut stack = vec![Open { builder: DirectoryBuilder::new(), node: None, before: None, path: Box::new(Vec::new) }];
    for event in events {
        let entry = match event {
            Event::Enter(node, before, path) => {
                stack.push(Open { builder: DirectoryBuilder::new(), node: Some(node), before, path });
                None
            }
            Event::Ready(node) => Some(*node),
            Event::Later(pending, index) => pending.take(index),
            Event::Same(root) => return Ok(Some(root)),
            Event::Leave => {
                let open = stack.pop().expect("the walk leaves only what it entered");
                let id = open.builder.finish(&split, &mut sink)?;
                let Some(mut node) = open.node else { return Ok(Some(id)) };
                node.content = Content::Directory(id);
                let fate = match &open.before {
                    None => Fate::New,
                    Some(before) if before.content == node.content && before.metadata == node.metadata => Fate::Unchanged,
                    Some(_) => Fate::Changed,
                };
                shared.tally.add(|counts| match fate {
                    Fate::New => counts.summary.dirs_new += 1,
                    Fate::Changed => counts.summary.dirs_changed += 1,
                    _ => counts.summary.dirs_unmodified += 1,
                });
                if shared.monitor.wants_entries() {
                    shared.monitor.entry(&(open.path)(), fate, 0);
                }
                Some(*node)
            }
        };
        if let (Some(node), Some(open)) = (entry, stack.last_mut()) {
            shared.tally.add(|counts| counts.summary.entries += 1);
            open.builder.push(&node, &split, &mut sink)?;
        }
    }
    Ok(None)
}
