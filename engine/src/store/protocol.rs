//! Many writers and many sweepers on one store, with no lock: the rules, as machines that say which call comes next and take its answer.
//!
//! No IO, no clock, no dice. [`Writer`] decides when a snapshot may be acknowledged, [`Sweeper`] when a pack may be deleted. What runs on a real
//! repository (`store/session`, `ops/prune`) and what the explorer tries in every order (`protocol/tests`) is this very code.
//!
//! The argument in short. A writer puts its snapshot and *then* looks for sweeps; a sweeper puts its sweep and *then* looks for snapshots: at least
//! one sees the other. If the sweeper sees the snapshot it spares the pack; if the writer sees the sweep it stores the chunk again. Two sweepers
//! see each other in the same way, so they never both rely on the copy that the other deletes. Pack names are never used again, so "gone" is final.
//!
//! Each rule below bears load: a test switches it off and sees data lost.

mod sweeper;
#[cfg(test)]
mod tests;
mod writer;

pub use sweeper::{Sweeper, SweeperAnswer, SweeperCall};
pub use writer::{Writer, WriterAnswer, WriterCall};

use std::collections::BTreeSet;
use std::fmt::Debug;

/// A set of names of packs. The machines only need these calls, so that the explorer can use bits where a repository uses names.
pub trait NameSet: Clone + Default + Debug {
    /// A name.
    type Name: Copy + Eq + Debug;

    /// Whether a name is in it.
    fn has(&self, name: Self::Name) -> bool;
    /// Adds a name.
    fn add(&mut self, name: Self::Name);
    /// One of the names; the same as long as the set is.
    fn first(&self) -> Option<Self::Name>;
    /// Takes out what [`NameSet::first`] gives.
    fn pop(&mut self) -> Option<Self::Name>;
    /// Adds all names of another set.
    fn join(&mut self, other: &Self);
    /// Keeps the names that `keep` says yes to.
    fn keep(&mut self, keep: impl Fn(Self::Name) -> bool);
    /// Whether there is nothing in it.
    fn is_empty(&self) -> bool;
}

impl<N: Copy + Ord + Debug> NameSet for BTreeSet<N> {
    type Name = N;

    fn has(&self, name: N) -> bool {
        self.contains(&name)
    }

    fn add(&mut self, name: N) {
        self.insert(name);
    }

    fn first(&self) -> Option<N> {
        Self::first(self).copied()
    }

    fn pop(&mut self) -> Option<N> {
        self.pop_first()
    }

    fn join(&mut self, other: &Self) {
        self.extend(other);
    }

    fn keep(&mut self, keep: impl Fn(N) -> bool) {
        self.retain(|name| keep(*name));
    }

    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }
}

/// What a listing of `gc/` says, read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SweepsSeen<S> {
    /// Packs of condemn records.
    pub condemned: S,
    /// Packs of active sweeps: of records that no done record names.
    pub active: S,
}

/// The rules that bear load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Writer: no snapshot is acknowledged before a look at what it relies on.
    PostCheck,
    /// Writer: in that look, sweeps are listed before packs are looked at. The other way round a pack is seen, swept, and its sweep is over.
    SweepsBeforePacks,
    /// Writer: a pack counts as there when it is seen in the store, not when an index speaks of it: the index may be older than a sweep.
    PackSeen,
    /// Writer: a pack in an active sweep counts as gone, though it is still there.
    PackNotSwept,
    /// Writer: what a parent covers needs no look only if the parent is there and not forgotten after sweeps were listed.
    ParentSeen,
    /// Writer: where listings are late, a parent covers nothing while there are active sweeps. One of them may list the snapshots when the parent
    /// was just forgotten and the new one is not yet listed.
    ParentOrSweeps,
    /// Writer: what is stored again gets a fresh name. An old name may be about to be deleted.
    FreshName,
    /// Sweeper: what is still needed is put elsewhere before its pack is deleted.
    NewBeforeOld,
    /// Sweeper: snapshots are listed again after the sweep is put.
    SnapshotsAfterFlag,
    /// Sweeper: the other sweeps are listed after the own one is put.
    OthersAfterFlag,
    /// Sweeper: a copy in a pack of another active sweep is no copy.
    CopyNotSwept,
    /// Sweeper: a copy in a pack of the own set is no copy.
    CopyOutsideSet,
    /// Sweeper: a copy counts when its pack is seen in the store, not when an index speaks of it.
    CopySeen,
    /// Sweeper: a sweep is over only when what was not spared is gone.
    DoneAfterDeletes,
    /// Sweeper: the sweep of another is over only when all of its set is gone: only its owner knows what it spares.
    OthersDoneWhenGone,
    /// Sweeper: where listings are late, it waits before it lists.
    WaitForListings,
}

/// Which rules hold: all of them. In tests one may be switched off, to see what it is good for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rules {
    #[cfg(test)]
    off: Option<Rule>,
}

impl Rules {
    #[cfg(test)]
    fn without(rule: Rule) -> Self {
        Self { off: Some(rule) }
    }

    #[cfg(test)]
    fn hold(self, rule: Rule) -> bool {
        self.off != Some(rule)
    }

    #[cfg(not(test))]
    #[allow(clippy::unused_self)] // the same call as in tests
    const fn hold(self, _: Rule) -> bool {
        true
    }
}
