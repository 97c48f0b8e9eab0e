//! The walk of a restore: decides about every entry, makes directories and everything without contents, and gathers files into batches.

use super::batch::Batch;
use super::dir::{Dir, Opened};
use super::fetch::Fetch;
use super::job::{Job, Stage};
use super::plan::{Plan, gives_way, looks_same, plan};
use super::tell::{Shared, add};
use super::{Overwrite, Wanted};
use crate::format::node::{Content, LinkGroup, Node, NodeType};
use crate::ops::browse::Place;
use crate::ops::monitor::Fate;
use crate::ops::source::Stat;
use crate::ops::target::{Loss, TargetDir};
use crate::ops::walk::{Visit, extents_of, walk};
use crate::store::error::{RepositoryError, Result};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Scope, ScopedJoinHandle};

/// The first restored name of an inode that has several.
struct First {
    dir: Arc<dyn TargetDir>,
    name: Box<[u8]>,
    stage: Arc<Stage>,
}

/// A later name of an inode whose first is still on its way.
struct Later {
    dir: Arc<Dir>,
    node: Node,
    in_place: bool,
}

/// Restores all of `start`.
pub fn run(shared: &Shared<'_>, start: &Place, target: &Arc<dyn TargetDir>) -> Result<()> {
    std::thread::scope(|scope| {
        let (stack, batch, links, later) = Default::default();
        let batch_bytes = shared.options.memory_bytes / 16;
        let mut walker = Walker { shared, scope, under_way: None, ready: None, stack, batch, batch_bytes, links, later };
        let walked = walker.restore(start, target);
        let outcome = walker.wait().and(walked);
        if outcome.is_err() {
            walker.ready.iter().for_each(|fetch| fetch.abandon(shared));
            walker.batch.abandon(shared);
        }
        outcome
    })
}

struct Walker<'scope, 'a> {
    shared: &'a Shared<'a>,
    scope: &'scope Scope<'scope, 'a>,
    /// The batch that is being restored while others are gathered.
    under_way: Option<ScopedJoinHandle<'scope, Result<()>>>,
    /// The one after it: prepared, so that the one before knows what it wants of the same blocks.
    ready: Option<Arc<Fetch>>,
    /// The directories on the way to the current entry.
    stack: Vec<Arc<Dir>>,
    batch: Batch,
    /// Bytes of a full batch. The first ones are small: until they are full nothing can be restored.
    batch_bytes: usize,
    links: HashMap<LinkGroup, First>,
    later: Vec<Later>,
}

impl Walker<'_, '_> {
    fn restore(&mut self, start: &Place, target: &Arc<dyn TargetDir>) -> Result<()> {
        let shared = self.shared;
        let first = if let Content::Directory(tree) = start.node.content {
            let whole = shared.select.wants(&start.path, true) == Wanted::Yes;
            let metadata = (!start.node.name.is_empty()).then(|| start.node.metadata.clone());
            let first = Dir::first(&start.path, target, Some(tree), metadata, whole);
            self.stack.push(Arc::clone(&first));
            walk(shared.repository, tree, &start.path, self)?;
            first
        } else {
            let above = start.path.strip_suffix(start.node.name.as_slice()).unwrap_or(&start.path);
            let first = Dir::first(above, target, None, None, false);
            self.entry(&first, start.node.clone())?;
            first
        };
        while !self.batch.is_empty() || !self.later.is_empty() || self.ready.is_some() {
            self.flush(false)?;
        }
        self.wait()?;
        first.release(shared);
        Ok(())
    }

    /// Waits for the batch that is being restored.
    fn wait(&mut self) -> Result<()> {
        self.under_way.take().map_or(Ok(()), |batch| batch.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }

    /// Prepares the batch, begins to restore the one before when the one before that is done, then makes the links whose first name stands by now.
    fn flush(&mut self, continues: bool) -> Result<()> {
        let shared = self.shared;
        shared.check()?;
        let last = self.batch.last().filter(|_| continues);
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = (self.batch_bytes * 2).min(shared.options.memory_bytes);
        let fetch = Arc::new(Fetch::new(batch, continues));
        let prepared = fetch.prepare(shared);
        if let Err(error) = self.wait().and(prepared) {
            fetch.abandon(shared);
            return Err(error);
        }
        let next = Some(fetch).filter(|fetch| !fetch.is_empty());
        if let Some(fetch) = std::mem::replace(&mut self.ready, next) {
            let ahead = self.ready.as_ref().map(|next| fetch.look_ahead(next));
            self.under_way = Some(self.scope.spawn(move || fetch.perform(shared, ahead)));
        }
        if let Some(job) = last {
            // The file goes on in the next batch. Its links, and all others, wait until it is done: nothing here may start another file.
            self.batch.push(job);
            return Ok(());
        }
        for later in std::mem::take(&mut self.later) {
            self.link(&later.dir, later.node, later.in_place)?;
            later.dir.release(self.shared);
        }
        Ok(())
    }

    /// Sees that the directory is open at the destination, and those above it. `false`: nothing can be restored into it.
    fn open(&self, dir: &Arc<Dir>) -> bool {
        let mut missing = vec![dir];
        while let Some(above) = missing.last().filter(|dir| dir.opened.get().is_none()).and_then(|dir| dir.parent()) {
            missing.push(above);
        }
        while let Some(dir) = missing.pop() {
            dir.opened.get_or_init(|| match dir.parent().and_then(|above| above.opened.get()) {
                Some(Opened::Real(above)) => self.open_in(dir, &**above),
                Some(Opened::Absent) => {
                    add(&self.shared.counters.dirs, 1);
                    Opened::Absent
                }
                Some(Opened::Refused) | None => Opened::Refused,
            });
        }
        !matches!(dir.opened.get(), Some(Opened::Refused) | None)
    }

    fn open_in(&self, dir: &Dir, above: &dyn TargetDir) -> Opened {
        let (shared, name) = (self.shared, &dir.name);
        let dry_run = shared.options.dry_run;
        let open = || -> io::Result<Opened> {
            let mut made = true;
            // What we made ourselves was empty.
            let in_new = dir.parent().is_some_and(|above| above.made.load(Ordering::Relaxed));
            match if in_new { None } else { above.stat(name)? } {
                None => {}
                Some(stat) if stat.node_type == NodeType::Directory => made = false,
                Some(stat) if !gives_way(shared.options.overwrite, &stat, dir.metadata()) => {
                    shared.monitor.note(&format!("{} stays as it is: something else than a directory is there", shown(&dir.path())));
                    return Ok(Opened::Refused);
                }
                Some(_) if dry_run => {}
                Some(_) => above.remove(name)?,
            }
            dir.made.store(made, Ordering::Relaxed);
            Ok(if dry_run && made { Opened::Absent } else { Opened::Real(above.directory(name)?) })
        };
        match open() {
            Ok(opened) => {
                if !matches!(opened, Opened::Refused) {
                    add(&shared.counters.dirs, 1);
                }
                opened
            }
            Err(error) => {
                shared.problem(&dir.path(), &format!("the directory cannot be made: {error}"));
                Opened::Refused
            }
        }
    }

    /// An entry that is no directory.
    fn entry(&mut self, dir: &Arc<Dir>, node: Node) -> Result<()> {
        let shared = self.shared;
        if !self.open(dir) {
            return Ok(());
        }
        add(&shared.counters.files_total, 1);
        let size = node.metadata.size;
        let Some(target) = dir.target().cloned() else {
            add(&shared.counters.bytes_total, size);
            add(&shared.counters.bytes_done, size);
            shared.entry(|| dir.path_of(&node.name), Fate::Restored, size);
            return Ok(());
        };
        let stat = if dir.made.load(Ordering::Relaxed) { Ok(None) } else { target.stat(&node.name) };
        let planned = stat.and_then(|stat| Ok((plan(shared.options, &*target, &node, stat.as_ref())?, stat)));
        let (plan, stat) = match planned {
            Ok(planned) => planned,
            Err(error) => {
                shared.problem(&dir.path_of(&node.name), &error.to_string());
                return Ok(());
            }
        };
        if matches!(plan, Plan::Keep) || shared.options.dry_run {
            self.keep_or_tell(dir, &target, node, &plan, stat.as_ref());
            return Ok(());
        }
        self.link(dir, node, matches!(plan, Plan::Correct))
    }

    /// An entry that stays as it is, or a dry run's.
    fn keep_or_tell(&mut self, dir: &Arc<Dir>, target: &Arc<dyn TargetDir>, node: Node, plan: &Plan, stat: Option<&Stat>) {
        let shared = self.shared;
        let (options, metadata) = (shared.options, &node.metadata);
        let is_right = stat.is_some_and(|stat| stat.node_type == NodeType::File && looks_same(stat, metadata));
        let fate = if matches!(plan, Plan::Keep) || (matches!(plan, Plan::Correct) && is_right) { Fate::Kept } else { Fate::Restored };
        add(&shared.counters.bytes_total, metadata.size);
        add(&shared.counters.bytes_done, metadata.size);
        let path = dir.path_of(&node.name);
        shared.entry(|| path.clone(), fate, metadata.size);
        if options.overwrite != Overwrite::IfChanged || options.dry_run || !is_right {
            return;
        }
        // Its contents are taken for right; its metadata are set all the same, where no other name is touched by that.
        if stat.is_some_and(|stat| stat.link_group.is_none()) {
            match target.dress(&node.name, metadata) {
                Ok(losses) => shared.losses(&path, losses),
                Err(error) => shared.problem(&path, &format!("its metadata cannot be set: {error}")),
            }
        }
        if let Some(group) = metadata.link_group {
            self.links.entry(group).or_insert_with(|| First { dir: Arc::clone(target), name: node.name.into(), stage: Stage::good() });
        }
    }

    /// Makes an entry, as another name of one that stands if it has one.
    fn link(&mut self, dir: &Arc<Dir>, node: Node, in_place: bool) -> Result<()> {
        let shared = self.shared;
        let first = node.metadata.link_group.and_then(|group| self.links.get(&group));
        let (Some(first), Some(target)) = (first, dir.target()) else { return self.make(dir, node, in_place) };
        if first.stage.is_failed() {
            return self.make(dir, node, in_place);
        }
        if !first.stage.is_good() {
            dir.hold();
            self.batch.charge(1024 + node.name.len());
            if let Content::Extents(extents) = &node.content {
                self.batch.charge(extents.len() * size_of::<crate::format::node::Extent>());
            }
            self.later.push(Later { dir: Arc::clone(dir), node, in_place });
            return Ok(());
        }
        let group_of = |dir: &dyn TargetDir, name: &[u8]| dir.stat(name).ok().flatten().and_then(|stat| stat.link_group);
        let before = group_of(&**target, &node.name);
        let stood = before.is_some() && before == group_of(&*first.dir, &first.name);
        match target.link(&node.name, &*first.dir, &first.name) {
            Ok(()) => {
                shared.entry(|| dir.path_of(&node.name), if stood { Fate::Kept } else { Fate::Restored }, 0);
                Ok(())
            }
            Err(error) => {
                shared.losses(&dir.path_of(&node.name), vec![Loss { what: "hard link".to_owned(), why: error.to_string() }]);
                self.make(dir, node, in_place)
            }
        }
    }

    /// Makes an entry of its own.
    fn make(&mut self, dir: &Arc<Dir>, mut node: Node, in_place: bool) -> Result<()> {
        let shared = self.shared;
        let Some(target) = dir.target().cloned() else { return Ok(()) };
        if node.metadata.node_type != NodeType::File {
            let path = dir.path_of(&node.name);
            match target.special(&node.name, &node.metadata) {
                Ok(losses) => {
                    shared.losses(&path, losses);
                    shared.entry(|| path, Fate::Restored, 0);
                    self.remember(&node, target, Stage::good());
                }
                Err(error) => shared.problem(&path, &format!("it cannot be made: {error}")),
            }
            return Ok(());
        }
        add(&shared.counters.bytes_total, node.metadata.size);
        let extents = extents_of(shared.repository, &node);
        node.content = Content::None;
        let job = Job::new(dir, node, in_place);
        self.remember(&job.node, target, Arc::clone(&job.stage));
        self.batch.push(Arc::clone(&job));
        for located in extents {
            match located {
                Ok(located) => self.batch.extent(located, shared.options.sparse),
                Err(error) if error.concerns_one_object() => job.fail(shared, &error.to_string()),
                Err(error) => return Err(error),
            }
            if job.is_failed() {
                break;
            }
            if self.batch.is_full(self.batch_bytes) {
                self.flush(true)?;
            }
        }
        Ok(())
    }

    /// Later names of the same inode become links to this one.
    fn remember(&mut self, node: &Node, dir: Arc<dyn TargetDir>, stage: Arc<Stage>) {
        let Some(group) = node.metadata.link_group else { return };
        match self.links.entry(group) {
            Entry::Occupied(mut known) if known.get().stage.is_failed() => drop(known.insert(First { dir, name: node.name.clone().into(), stage })),
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => drop(place.insert(First { dir, name: node.name.clone().into(), stage })),
        }
    }
}

impl Visit for Walker<'_, '_> {
    fn enter(&mut self, path: &[u8], node: Node) -> Result<bool> {
        self.shared.check()?;
        let wanted = self.shared.select.wants(path, true);
        let (Content::Directory(tree), Some(above)) = (node.content, self.stack.last()) else { return Ok(false) };
        if wanted == Wanted::No {
            return Ok(false);
        }
        let dir = above.child(node.name, tree, node.metadata, wanted == Wanted::Yes);
        if node.lost {
            dir.mark_unreadable();
            self.shared.problem(path, "some of its entries were lost to damage, and are not in this snapshot any more");
        }
        if dir.whole && !self.open(&dir) {
            dir.release(self.shared);
            return Ok(false);
        }
        self.stack.push(dir);
        Ok(true)
    }

    fn leaf(&mut self, path: &[u8], node: Node) -> Result<()> {
        self.shared.check()?;
        if self.shared.select.wants(path, false) != Wanted::Yes {
            return Ok(());
        }
        let Some(dir) = self.stack.last().cloned() else { return Ok(()) };
        if node.lost {
            self.shared.problem(path, "some of its contents were lost to damage: zeros stand for them");
        }
        self.entry(&dir, node)?;
        if self.batch.is_full(self.batch_bytes) {
            self.flush(false)?;
        }
        Ok(())
    }

    fn leave(&mut self, _path: &[u8]) -> Result<()> {
        if let Some(dir) = self.stack.pop() {
            dir.release(self.shared);
        }
        Ok(())
    }

    fn damaged(&mut self, path: &[u8], error: RepositoryError) -> Result<()> {
        if let Some(dir) = self.stack.last() {
            dir.mark_unreadable();
        }
        self.shared.problem(path, &format!("some or all of its entries cannot be read: {error}"));
        Ok(())
    }
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
