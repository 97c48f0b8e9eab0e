//! Folds finished entries back into directories, in walk order.

use super::Shared;
use super::checkpoint::{Checkpointer, Place, TICK};
use crate::format::id::TreeId;
use crate::format::node::{Content, Node};
use crate::format::tree::DirectoryBuilder;
use crate::ops::monitor::Fate;
use crate::store::error::Result;
use crossbeam_channel::{Receiver, RecvTimeoutError};
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

    /// The node, once it is there; `meanwhile` is called now and then.
    fn take(&self, index: usize, meanwhile: &mut dyn FnMut() -> Result<()>) -> Result<Option<Node>> {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        while nodes.is_none() {
            let (guard, waited) = self.done.wait_timeout_while(nodes, TICK, |nodes| nodes.is_none()).unwrap_or_else(PoisonError::into_inner);
            nodes = guard;
            if waited.timed_out() {
                drop(nodes);
                meanwhile()?;
                nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            }
        }
        Ok(nodes.as_mut().and_then(|nodes| nodes.get_mut(index)?.take()))
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

/// Events between two looks at the clock.
const EVENTS_A_TICK: u32 = 256;

/// A directory that the walk is in.
pub(super) struct Open {
    pub(super) builder: DirectoryBuilder,
    /// The directory's entry; none for the root.
    pub(super) node: Option<Box<Node>>,
    before: Option<Box<Node>>,
    path: Box<dyn Fn() -> Vec<u8> + Send>,
}

/// Runs until the walk is over; returns the root's node, or nothing if the walk did not get to its end.
pub(super) fn run(shared: &Shared<'_>, events: &Receiver<Event>) -> Result<Option<TreeId>> {
    let keys = shared.session.repository().keys.clone();
    let split = move |name: &[u8]| keys.split_number(name);
    let mut sink = |bytes: Vec<u8>| shared.session.store_tree(&bytes);
    let mut stack = vec![Open { builder: DirectoryBuilder::new(), node: None, before: None, path: Box::new(Vec::new) }];
    let mut checkpointer = Checkpointer::new(shared);
    let mut events_since = 0;
    loop {
        if events_since == EVENTS_A_TICK {
            events_since = 0;
            checkpointer.tick(&stack, None)?;
        }
        let event = match events.recv_timeout(TICK) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => {
                checkpointer.tick(&stack, None)?;
                continue;
            }
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
        };
        events_since += 1;
        let entry = match event {
            Event::Enter(node, before, path) => {
                stack.push(Open { builder: DirectoryBuilder::new(), node: Some(node), before, path });
                None
            }
            Event::Ready(node) => Some(*node),
            Event::Later(pending, index) => {
                let place = Place(pending, index);
                place.0.take(index, &mut || checkpointer.tick(&stack, Some(&place)))?
            }
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
}
