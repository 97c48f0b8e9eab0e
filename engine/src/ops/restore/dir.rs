//! A directory on its way back: it knows when all in it stands, and only then loses what does not belong and gets its metadata.

use super::Wanted;
use super::tell::{Shared, add};
use crate::format::id::TreeId;
use crate::format::node::{Metadata, NodeType};
use crate::ops::browse::join;
use crate::ops::monitor::Fate;
use crate::ops::target::TargetDir;
use crate::ops::walk::entries;
use std::cmp::Ordering as Order;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// What stands for a directory at the destination.
pub enum Opened {
    /// It is there.
    Real(Arc<dyn TargetDir>),
    /// It would be made; only in a dry run.
    Absent,
    /// It cannot or must not be; that was told.
    Refused,
}

/// A directory that is being restored.
pub struct Dir {
    parent: Option<Arc<Dir>>,
    /// Name in the parent; for the first its whole path.
    pub name: Vec<u8>,
    /// Its node, if what does not belong is to be removed from it.
    tree: Option<TreeId>,
    /// To be set when all in it stands.
    metadata: Option<Metadata>,
    /// It is wanted itself, not only on the way to something that is.
    pub whole: bool,
    /// Set when the walk first needs it.
    pub opened: OnceLock<Opened>,
    /// It was made by us.
    pub made: AtomicBool,
    /// Some of its entries could not be read: nobody knows what belongs into it.
    unreadable: AtomicBool,
    /// The walk while it is in here, directories and files of it that are not done.
    open: AtomicUsize,
}

impl Drop for Dir {
    /// One by one: a chain of parents dropped by recursion would overflow the stack in a deep tree.
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut above) = next.and_then(Arc::into_inner) {
            next = above.parent.take();
        }
    }
}

impl Dir {
    /// The directory that a restore begins with.
    pub fn first(path: &[u8], target: &Arc<dyn TargetDir>, tree: Option<TreeId>, metadata: Option<Metadata>, whole: bool) -> Arc<Self> {
        let opened = OnceLock::from(Opened::Real(Arc::clone(target)));
        let name = path.strip_suffix(b"/").unwrap_or(path).to_vec();
        let (made, unreadable, open) = (AtomicBool::new(false), AtomicBool::new(false), AtomicUsize::new(1));
        Arc::new(Self { parent: None, name, tree, metadata, whole, opened, made, unreadable, open })
    }

    /// A directory in this one.
    pub fn child(self: &Arc<Self>, name: Vec<u8>, tree: TreeId, metadata: Metadata, whole: bool) -> Arc<Self> {
        self.hold();
        let (made, unreadable, open) = (AtomicBool::new(false), AtomicBool::new(false), AtomicUsize::new(1));
        let (parent, tree, metadata) = (Some(Arc::clone(self)), Some(tree), Some(metadata));
        Arc::new(Self { parent, name, tree, metadata, whole, opened: OnceLock::new(), made, unreadable, open })
    }

    /// The directory above, as far as this restore goes.
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// What the snapshot keeps about it.
    pub fn metadata(&self) -> Option<&Metadata> {
        self.metadata.as_ref()
    }

    /// The open directory at the destination, if there is one.
    pub fn target(&self) -> Option<&Arc<dyn TargetDir>> {
        match self.opened.get() {
            Some(Opened::Real(target)) => Some(target),
            _ => None,
        }
    }

    /// Path in the snapshot.
    pub fn path(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut next = Some(self);
        while let Some(dir) = next {
            names.push(dir.name.as_slice());
            next = dir.parent.as_deref();
        }
        names.reverse();
        if names == [b""] { b"/".to_vec() } else { names.join(&b'/') }
    }

    /// Path of an entry in the snapshot.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        join(&self.path(), name)
    }

    /// Nothing is to be removed from it.
    pub fn mark_unreadable(&self) {
        self.unreadable.store(true, Ordering::Relaxed);
    }

    /// Something in it is not done.
    pub fn hold(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Something in it is done. Whoever is last finishes it, and what thereby becomes complete above.
    pub fn release(self: &Arc<Self>, shared: &Shared<'_>) {
        let mut dir = Some(self);
        while let Some(done) = dir {
            if done.open.fetch_sub(1, Ordering::AcqRel) != 1 {
                break;
            }
            done.finish(shared);
            dir = done.parent.as_ref();
        }
    }

    fn finish(&self, shared: &Shared<'_>) {
        let Some(target) = self.target() else { return };
        if shared.options.delete && self.whole {
            self.remove_strays(shared, &**target);
        }
        let Some(metadata) = self.metadata.as_ref().filter(|_| !shared.options.dry_run) else { return };
        // A directory that was there and is only on the way, or must not be changed, stays as it is.
        if self.made.load(Ordering::Relaxed) || (self.whole && shared.options.overwrite != super::Overwrite::Never) {
            match target.dress_self(metadata) {
                Ok(losses) if losses.is_empty() => {}
                Ok(losses) => shared.losses(&self.path(), losses),
                Err(error) => shared.problem(&self.path(), &format!("its metadata cannot be set: {error}")),
            }
        }
    }

    /// Removes what the snapshot does not have here, as far as it is selected. In doubt nothing.
    fn remove_strays(&self, shared: &Shared<'_>, target: &dyn TargetDir) {
        let Some(tree) = self.tree.filter(|_| !self.unreadable.load(Ordering::Relaxed)) else { return };
        let path = self.path();
        let is_below = |source: &Vec<u8>| {
            let source = source.strip_suffix(b"/").unwrap_or(source);
            path.strip_prefix(source).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        if !shared.options.sources.is_empty() && !shared.options.sources.iter().any(is_below) {
            return;
        }
        let names = match target.list() {
            Ok(names) => names,
            Err(error) => return shared.problem(&path, &format!("it cannot be listed, so nothing is removed from it: {error}")),
        };
        let mut strays = Vec::new();
        let mut nodes = entries(shared.repository, tree);
        let mut node = nodes.next();
        for name in names {
            let order = loop {
                match &node {
                    None => break Order::Less,
                    Some(Err(error)) => return shared.problem(&path, &format!("it cannot be read to its end, so nothing is removed from it: {error}")),
                    Some(Ok(known)) => match name.cmp(&known.name) {
                        Order::Greater => node = nodes.next(),
                        order => break order,
                    },
                }
            };
            if order == Order::Less {
                strays.push(name);
            }
        }
        for name in strays {
            let path = join(&path, &name);
            let outcome = target.stat(&name).and_then(|stat| {
                let Some(stat) = stat else { return Ok(()) };
                if shared.select.wants(&path, stat.node_type == NodeType::Directory) == Wanted::Yes {
                    if !shared.options.dry_run {
                        target.remove(&name)?;
                    }
                    add(&shared.counters.removed, 1);
                    shared.monitor.entry(&path, Fate::Removed, stat.size);
                }
                Ok(())
            });
            if let Err(error) = outcome {
                shared.problem(&path, &format!("it cannot be removed: {error}"));
            }
        }
    }
}
