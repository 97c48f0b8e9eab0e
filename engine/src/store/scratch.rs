//! A folder of our own to measure in, gone when dropped: beside a repository's objects, where no reader looks, or anywhere else.

use super::StoreError;
use super::host::Host;
use super::service::{DirectoryStore, TEMPORARY};
use crate::format::id::hex;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PREFIX: &str = "vault-bench-";
/// What is older than this is a killed run's. No run takes nearly as long.
const STALE: Duration = Duration::from_hours(24);

/// A folder that only its owner may look into.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// In the temporary folder of the repository at `root`, which must be there: on its file system, and no reader, writer or sweeper takes what
    /// lies there for an object. What killed runs left is removed.
    pub fn in_repository(root: &Path, host: &dyn Host) -> Result<Self, StoreError> {
        let parent = root.join(TEMPORARY);
        match fs::create_dir(&parent) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(StoreError::from_io(parent.display(), &error)),
            _ => {}
        }
        let scratch = Self::below(&parent, host)?;
        scratch.remove_stale(&parent);
        Ok(scratch)
    }

    /// In the directory `parent`.
    pub fn below(parent: &Path, host: &dyn Host) -> Result<Self, StoreError> {
        let folder = parent.join(format!("{PREFIX}{}", hex(&host.random::<8>())));
        DirBuilder::new().mode(0o700).create(&folder).map_err(|error| StoreError::from_io(folder.display(), &error))?;
        Ok(Self { folder })
    }

    /// The clock is the file system's own: our folder was made just now.
    fn remove_stale(&self, parent: &Path) {
        let modified = |path: &Path| path.symlink_metadata().and_then(|found| found.modified()).ok();
        let Some(now) = modified(&self.folder) else { return };
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
            let age = modified(&entry.path()).and_then(|then| now.duration_since(then).ok());
            if is_ours && age.is_some_and(|age| age > STALE) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Writes a file; `name` may have folders, which are made.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let path = self.folder.join(name);
        let fail = |error| StoreError::from_io(path.display(), &error);
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(fail)?;
        fs::write(&path, bytes).map_err(fail)
    }

    /// A store in it, empty and of no repository.
    pub fn store(&self) -> Result<DirectoryStore, StoreError> {
        DirectoryStore::new(&self.folder.join("store"))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::host::SystemHost;
    use std::fs::{File, FileTimes};

    #[test]
    fn it_goes_and_takes_only_stale_ones_with_it() {
        let root = tempfile::tempdir().unwrap();
        let temporary = root.path().join(TEMPORARY);
        let host = SystemHost::default();
        let (stale, fresh, foreign) = (temporary.join("vault-bench-old"), temporary.join("vault-bench-new"), temporary.join("abc.tmp"));
        for folder in [&stale, &fresh, &foreign] {
            fs::create_dir_all(folder.join("inside")).unwrap();
        }
        let long_ago = File::open(&fresh).unwrap().metadata().unwrap().modified().unwrap() - 2 * STALE;
        for folder in [&stale, &foreign] {
            File::open(folder).unwrap().set_times(FileTimes::new().set_modified(long_ago)).unwrap();
        }
        let scratch = Scratch::in_repository(root.path(), &host).unwrap();
        scratch.write("a/b", b"x").unwrap();
        assert_eq!(fs::read(scratch.path().join("a/b")).unwrap(), b"x");
        assert!(!stale.exists() && fresh.exists() && foreign.exists());
        let folder = scratch.path().to_owned();
        drop(scratch);
        assert!(!folder.exists());
    }
}
