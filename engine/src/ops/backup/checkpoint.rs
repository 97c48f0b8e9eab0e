//! Checkpoints: a long run puts what it has as a partial snapshot now and then, so that sweepers keep it and a killed run leaves something to restore.
//!
//! What a checkpoint shows must be in packs. So the fold, which alone knows the tree, draws up the partial tree and asks the readers to hand over the
//! blocks they are filling; when all did, and all these blocks are stored, the checkpoint is put. Nobody waits for it.

use super::Shared;
use super::fold::{Open, Pending};
use crate::format::id::TreeId;
use crate::format::node::{Content, Node};
use crate::store::error::Result;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often the fold looks at the clock while it has nothing to do.
pub(super) const TICK: Duration = Duration::from_millis(200);

/// What the threads of a backup know of the next checkpoint.
pub(super) struct Checkpoints {
    every: Option<Duration>,
    /// Number of the flush that is asked for last.
    wanted: AtomicU64,
    desks: Mutex<Vec<Desk>>,
    /// Blocks that readers handed over, and those that are stored.
    handed: AtomicU64,
    stored: AtomicU64,
}

/// What a reader answered last.
#[derive(Default)]
struct Desk {
    flushed: u64,
    unfinished: Option<Unfinished>,
}

/// A file that a reader is in the middle of.
pub(super) struct Unfinished {
    /// Its batch and its number there.
    pub(super) place: Place,
    /// Its entry, as far as it was read.
    pub(super) node: Node,
}

/// A file of a batch.
#[derive(Clone)]
pub(super) struct Place(pub(super) Arc<Pending>, pub(super) usize);

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) && self.1 == other.1
    }
}

impl Checkpoints {
    /// For so many readers; `None`: there are no checkpoints.
    pub(super) fn new(every: Option<Duration>, readers: usize) -> Self {
        let desks = (0..readers).map(|_| Desk::default()).collect();
        Self { every, wanted: AtomicU64::new(0), desks: Mutex::new(desks), handed: AtomicU64::new(0), stored: AtomicU64::new(0) }
    }

    fn desks(&self) -> MutexGuard<'_, Vec<Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which flush is asked for.
    pub(super) fn wanted(&self) -> u64 {
        self.wanted.load(Ordering::Acquire)
    }

    /// A reader is about to hand over a block.
    pub(super) fn hands_over(&self) {
        self.handed.fetch_add(1, Ordering::SeqCst);
    }

    /// A block is stored, or never will be.
    pub(super) fn is_stored(&self) {
        self.stored.fetch_add(1, Ordering::SeqCst);
    }

    /// A reader has handed over everything that it gathered before flush `number`, and is in the middle of a file.
    pub(super) fn flushed(&self, reader: usize, number: u64, unfinished: Option<Unfinished>) {
        self.desks()[reader] = Desk { flushed: number, unfinished };
    }

    fn all_flushed(&self, number: u64) -> bool {
        self.desks().iter().all(|desk| desk.flushed >= number)
    }

    fn unfinished(&self, place: &Place) -> Option<Node> {
        self.desks().iter().filter_map(|desk| desk.unfinished.as_ref()).find(|unfinished| unfinished.place == *place).map(|unfinished| unfinished.node.clone())
    }
}

enum State {
    Resting,
    /// The readers were asked for flush `number`.
    Flushing {
        number: u64,
        root: TreeId,
        waits_for: Option<Place>,
    },
    /// All have answered; so many blocks must be stored.
    Storing {
        blocks: u64,
        root: TreeId,
    },
}

/// The fold's side.
pub(super) struct Checkpointer<'a> {
    shared: &'a Shared<'a>,
    state: State,
    last: Duration,
    /// Bytes that were stored at the last checkpoint.
    stored_bytes: u64,
}

impl<'a> Checkpointer<'a> {
    pub(super) fn new(shared: &'a Shared<'a>) -> Self {
        Self { shared, state: State::Resting, last: shared.session.repository().host.elapsed(), stored_bytes: shared.session.written().0 }
    }

    /// Looks whether it is time for the next step. `stack` are the directories that are open; `waits_for` is the file that the fold cannot go on without.
    pub(super) fn tick(&mut self, stack: &[Open], waits_for: Option<&Place>) -> Result<()> {
        let checkpoints = &self.shared.checkpoints;
        let Some(every) = checkpoints.every else { return Ok(()) };
        match &self.state {
            State::Resting => {
                let now = self.shared.session.repository().host.elapsed();
                if now.saturating_sub(self.last) < every {
                    return Ok(());
                }
                self.last = now;
                // Where nothing new is stored there is nothing to keep.
                if self.shared.session.written().0 == self.stored_bytes {
                    return Ok(());
                }
                let root = self.partial_root(stack, None)?;
                let number = checkpoints.wanted() + 1;
                checkpoints.wanted.store(number, Ordering::Release);
                self.state = State::Flushing { number, root, waits_for: waits_for.cloned() };
            }
            State::Flushing { number, root, waits_for: before } => {
                if !checkpoints.all_flushed(*number) {
                    return Ok(());
                }
                let mut root = *root;
                // Nothing was folded meanwhile: the file that all wait for comes next.
                if let Some(place) = waits_for.filter(|place| before.as_ref() == Some(*place))
                    && let Some(node) = checkpoints.unfinished(place)
                {
                    root = self.partial_root(stack, Some(node))?;
                }
                self.state = State::Storing { blocks: checkpoints.handed.load(Ordering::SeqCst), root };
            }
            State::Storing { blocks, root } => {
                if checkpoints.stored.load(Ordering::SeqCst) < *blocks {
                    return Ok(());
                }
                let root = *root;
                self.state = State::Resting;
                (self.shared.put_checkpoint)(root)?;
                self.stored_bytes = self.shared.session.written().0;
            }
        }
        Ok(())
    }

    /// Completes copies of all open directories.
    fn partial_root(&self, stack: &[Open], next: Option<Node>) -> Result<TreeId> {
        let session = self.shared.session;
        let keys = &session.repository().keys;
        let split = |name: &[u8]| keys.split_number(name);
        let mut sink = |bytes: Vec<u8>| session.store_tree(&bytes);
        let mut entry = next;
        for open in stack.iter().rev() {
            let mut builder = open.builder.clone();
            if let Some(node) = entry {
                builder.push(&node, &split, &mut sink)?;
            }
            let id = builder.finish(&split, &mut sink)?;
            match &open.node {
                Some(node) => entry = Some(Node { content: Content::Directory(id), ..(**node).clone() }),
                None => return Ok(id),
            }
        }
        unreachable!("the root has no entry and is always open")
    }
}
