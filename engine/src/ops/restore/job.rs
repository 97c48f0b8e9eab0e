//! A file on its way back: opened when first needed, closed when too many are open, finished by whoever brings its last piece.

use super::dir::Dir;
use super::tell::{Shared, add};
use crate::format::node::Node;
use crate::ops::monitor::Fate;
use crate::ops::parallel::lock;
use crate::ops::target::TargetFile;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// Files open at the same time, those in use by a thread not counted.
const OPEN_MAX: usize = 128;

/// How far a file, or the first of a group of links, got.
#[derive(Debug, Default)]
pub struct Stage(AtomicU8);

impl Stage {
    const GOOD: u8 = 1;
    const FAILED: u8 = 2;

    /// It stands already.
    pub fn good() -> Arc<Self> {
        Arc::new(Self(AtomicU8::new(Self::GOOD)))
    }

    /// It stands.
    pub fn is_good(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::GOOD
    }

    /// It will never stand.
    pub fn is_failed(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::FAILED
    }

    /// Nothing more will happen to it.
    pub fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) != 0
    }
}

/// Open files, the one opened longest ago first.
#[derive(Default)]
pub struct Pool(Mutex<VecDeque<Weak<Job>>>);

impl Pool {
    fn register(&self, job: &Arc<Job>) {
        let mut open = lock(&self.0);
        open.push_back(Arc::downgrade(job));
        let mut tries = open.len();
        while open.len() > OPEN_MAX && tries > 0 {
            tries -= 1;
            let Some(oldest) = open.pop_front() else { break };
            let Some(victim) = oldest.upgrade() else { continue };
            // Whoever holds this lock is opening the file: not the one to close, and not one to wait for.
            match victim.handle.try_lock() {
                Ok(mut handle) => drop(handle.take()),
                Err(_) => open.push_back(oldest),
            }
        }
    }
}

/// A regular file that is being restored.
pub struct Job {
    pub dir: Arc<Dir>,
    /// Name and metadata.
    pub node: Node,
    /// A file is there whose contents are compared and corrected; else a new one is made.
    pub in_place: bool,
    pub stage: Arc<Stage>,
    /// Pieces not done, and whoever may add some.
    remaining: AtomicU64,
    failed: AtomicBool,
    created: AtomicBool,
    touched: AtomicBool,
    /// Where what was written ends.
    end: AtomicU64,
    handle: Mutex<Option<Arc<dyn TargetFile>>>,
}

impl Job {
    /// A job that its maker holds.
    pub fn new(dir: &Arc<Dir>, node: Node, in_place: bool) -> Arc<Self> {
        dir.hold();
        Arc::new(Self {
            dir: Arc::clone(dir),
            node,
            in_place,
            stage: Arc::default(),
            remaining: AtomicU64::new(1),
            failed: AtomicBool::new(false),
            created: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            end: AtomicU64::new(0),
            handle: Mutex::default(),
        })
    }

    /// Path in the snapshot.
    pub fn path(&self) -> Vec<u8> {
        self.dir.path_of(&self.node.name)
    }

    /// One more piece belongs to it.
    pub fn hold(&self) {
        self.remaining.fetch_add(1, Ordering::Relaxed);
    }

    /// It cannot be completed. The first reason is told.
    pub fn fail(&self, shared: &Shared<'_>, why: &str) {
        if self.failed.swap(true, Ordering::AcqRel) {
            return;
        }
        let left = match (self.in_place, self.touched.load(Ordering::Relaxed)) {
            (false, _) => "",
            (true, false) => "; the file at the destination is as it was",
            (true, true) => "; the file at the destination is now partly what it was and partly what the snapshot holds",
        };
        shared.problem(&self.path(), &format!("{why}{left}"));
    }

    /// Whether it cannot be completed.
    pub fn is_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Does something with the open file; what goes wrong fails the job.
    pub fn with_file(self: &Arc<Self>, shared: &Shared<'_>, act: impl FnOnce(&dyn TargetFile) -> io::Result<()>) {
        if self.is_failed() {
            return;
        }
        let done = self.open(shared).and_then(|file| act(&*file));
        if let Err(error) = done {
            self.fail(shared, &format!("{error}"));
        }
    }

    /// Writes a piece.
    pub fn write(self: &Arc<Self>, shared: &Shared<'_>, bytes: &[u8], offset: u64) {
        self.with_file(shared, |file| {
            self.touch();
            file.write_at(bytes, offset)?;
            self.end.fetch_max(offset + bytes.len() as u64, Ordering::Relaxed);
            add(&shared.counters.bytes_written, bytes.len() as u64);
            Ok(())
        });
    }

    /// Its contents are about to be changed.
    pub fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    fn open(self: &Arc<Self>, shared: &Shared<'_>) -> io::Result<Arc<dyn TargetFile>> {
        let mut handle = lock(&self.handle);
        if let Some(file) = &*handle {
            return Ok(Arc::clone(file));
        }
        // Given up meanwhile, and taken away: it must not be made once more.
        if self.is_failed() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let target = self.dir.target().ok_or(io::ErrorKind::NotFound)?;
        let fresh = !self.in_place && !self.created.load(Ordering::Relaxed);
        let file = target.file(&self.node.name, fresh)?;
        if fresh {
            self.created.store(true, Ordering::Relaxed);
        }
        *handle = Some(Arc::clone(&file));
        drop(handle);
        // Whoever does the last piece closes the file at once.
        if self.remaining.load(Ordering::Acquire) > 1 {
            shared.pool.register(self);
        }
        Ok(file)
    }

    /// One piece, or whoever could have added some, is done. The last one finishes the file.
    pub fn release(self: &Arc<Self>, shared: &Shared<'_>) {
        if self.remaining.fetch_sub(1, Ordering::AcqRel) != 1 {
            return;
        }
        let metadata = &self.node.metadata;
        self.with_file(shared, |file| {
            let length = if self.in_place { file.length()? } else { self.end.load(Ordering::Relaxed) };
            if length != metadata.size {
                self.touch();
                file.set_length(metadata.size)?;
            }
            let losses = file.dress(metadata)?;
            if !losses.is_empty() {
                shared.losses(&self.path(), losses);
            }
            Ok(())
        });
        self.close();
        if self.is_failed() {
            add(&shared.counters.files_done, 1);
            self.clean_up(shared);
        } else {
            self.stage.0.store(Stage::GOOD, Ordering::Release);
            let fate = if self.in_place && !self.touched.load(Ordering::Relaxed) { Fate::Kept } else { Fate::Restored };
            shared.entry(|| self.path(), fate, metadata.size);
        }
        self.dir.release(shared);
    }

    fn close(&self) {
        lock(&self.handle).take();
    }

    /// A file that is not whole is not left behind, if it is our making.
    fn clean_up(&self, shared: &Shared<'_>) {
        self.stage.0.store(Stage::FAILED, Ordering::Release);
        if !self.created.load(Ordering::Relaxed) {
            return;
        }
        if let Some(Err(error)) = self.dir.target().map(|target| target.remove(&self.node.name)) {
            shared.problem(&self.path(), &format!("the incomplete file cannot be removed: {error}"));
        }
    }

    /// The restore ends before this file is done: it is not left half written if it is our making.
    pub fn abandon(&self, shared: &Shared<'_>) {
        if !self.stage.is_over() {
            if self.in_place && self.touched.load(Ordering::Relaxed) {
                self.fail(shared, "interrupted");
            }
            self.failed.store(true, Ordering::Release);
            self.close();
            self.clean_up(shared);
        }
    }
}
