//! The file system as a source: what to walk, what to leave out.

mod ahead;
pub(super) mod body;
pub(super) mod directory;
pub mod exclude;
pub(super) mod metadata;
pub mod paths;
mod scan;
mod walk;

use crate::ops::source::{Source, Stop, Visitor};
use crate::sources::system::Identity;
use directory::Shared;
use exclude::Excludes;
use paths::{PathError, Wanted};
use rustix::fs::{AtFlags, StatxFlags};
use std::path::PathBuf;
use std::sync::Arc;

/// Threads that read ahead of a walk are as many as there are cores, but no more than this: the kernel's locks let no more through.
const THREADS_MAX: usize = 4;

/// What to back up and what not.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Files and directories to back up, absolute or from the current directory. A symbolic link is backed up itself, `link/` is what it leads to.
    pub paths: Vec<PathBuf>,
    /// Patterns of what is left out; they also hold for the paths above, but not for directories on the way to them.
    pub excludes: Excludes,
    /// Stay on the file systems of the paths: other ones below them are shown as the empty directories they are mounted on.
    pub one_file_system: bool,
    /// Leave out the contents of directories with a valid `CACHEDIR.TAG`, all but the tag.
    pub exclude_caches: bool,
    /// Leave out the contents of directories that hold one of these, all but the mark itself.
    pub exclude_if_present: Vec<Mark>,
    /// Leave out regular files longer than this many bytes.
    pub exclude_larger_than: Option<u64>,
    /// Repository and caches of this program, as far as they exist when the source is made: recognised wherever the walk meets them.
    pub own: Vec<PathBuf>,
}

/// A file whose presence says that its directory is not worth a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Its name.
    pub name: Vec<u8>,
    /// What it must begin with to count.
    pub header: Option<Vec<u8>>,
}

impl Mark {
    /// Reads `name` or `name:header` (`--exclude-if-present`); `None` if the name is not that of an entry in a directory.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut parts = text.splitn(2, |&byte| byte == b':');
        let name = parts.next()?.to_vec();
        crate::sources::system::component(&name).ok()?;
        Some(Self { name, header: parts.next().map(<[u8]>::to_vec) })
    }

    /// The tag of <https://bford.info/cachedir/>.
    fn cache() -> Self {
        Self { name: b"CACHEDIR.TAG".to_vec(), header: Some(b"Signature: 8a477f597d28d172789f06886806bc55".to_vec()) }
    }
}

/// Files and directories of this machine.
#[derive(Debug)]
pub struct FileSource {
    options: Options,
    marks: Vec<Mark>,
    paths: Vec<Vec<u8>>,
    wanted: Wanted,
    own: Vec<Identity>,
    /// Threads that read ahead of the walk.
    threads: usize,
    shared: Arc<Shared>,
}

impl FileSource {
    /// Looks up all paths. The first that does not exist (or cannot be reached) is the error; whether to go on without it is the caller's choice.
    pub fn new(options: Options) -> Result<Self, PathError> {
        let mut paths = options.paths.iter().map(|path| paths::absolute(path)).collect::<Result<Vec<_>, _>>()?;
        paths.sort_unstable();
        paths.dedup();
        let identity = |path: &PathBuf| {
            let found = rustix::fs::statx(rustix::fs::CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS).ok()?;
            Some(Identity::of(&found))
        };
        let own = options.own.iter().filter_map(identity).collect();
        let mut marks = options.exclude_if_present.clone();
        marks.extend(options.exclude_caches.then(Mark::cache));
        let wanted = Wanted::of(paths.iter().map(Vec::as_slice));
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, THREADS_MAX);
        Ok(Self { options, marks, paths, wanted, own, threads, shared: Arc::default() })
    }
}

impl Source for FileSource {
    fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        walk::walk(self, visitor)
    }

    fn paths(&self) -> Vec<Vec<u8>> {
        self.paths.clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
