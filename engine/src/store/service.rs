//! Stores through OpenDAL: the one file that knows async, and what OpenDAL's `fs` leaves out or is slow at: durability, reading.

use super::direct::DirectWriter;
use super::error::kind_of_io;
use super::healed::Listing;
use super::reserve::{self, RESERVE_BYTES};
use super::{Store, StoreError, StoreErrorKind};
use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
use opendal::{ErrorKind, Operator};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Where `fs` writes objects before it renames them into place.
pub(super) const TEMPORARY: &str = "tmp";

/// Packs of at least this many bytes are written past the page cache.
const DIRECT_BYTES_MIN: usize = 1 << 20;

/// A local directory.
pub struct DirectoryStore {
    root: PathBuf,
    operator: Operator,
    runtime: tokio::runtime::Runtime,
    direct: DirectWriter,
    /// Folders whose entries changed since the last barrier.
    touched: Mutex<BTreeSet<PathBuf>>,
    /// The temporary folder was not there before this program looked.
    made_temporary: bool,
}

pub(super) fn translate(object: impl ToString, error: &opendal::Error) -> StoreError {
    let mut source = std::error::Error::source(error);
    let mut io_kind = None;
    while let Some(cause) = source {
        io_kind = io_kind.or_else(|| cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind));
        source = cause.source();
    }
    let kind = match error.kind() {
        ErrorKind::NotFound => StoreErrorKind::Missing,
        ErrorKind::PermissionDenied => StoreErrorKind::Denied,
        ErrorKind::AlreadyExists | ErrorKind::ConditionNotMatch => StoreErrorKind::Exists,
        ErrorKind::Unsupported | ErrorKind::ConfigInvalid => StoreErrorKind::Unsupported,
        ErrorKind::RateLimited => StoreErrorKind::Transient,
        ErrorKind::RangeNotSatisfied => StoreErrorKind::Corrupt,
        _ => io_kind.map_or(if error.is_temporary() { StoreErrorKind::Transient } else { StoreErrorKind::Other }, kind_of_io),
    };
    let reason = io_kind.map_or_else(|| error.message().to_owned(), |kind| kind.to_string());
    StoreError::new(kind, object, reason)
}

/// What keeps an object from being read.
fn unreadable(name: &ObjectName, error: &std::io::Error) -> StoreError {
    // A disk that cannot read a sector is rot in one object, and no reason to give up the others.
    if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) {
        return StoreError::new(StoreErrorKind::Corrupt, name, "the disk cannot read all of it");
    }
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => StoreError::new(StoreErrorKind::Corrupt, name, "the object is shorter than it should be"),
        kind => StoreError::new(kind_of_io(kind), name, kind),
    }
}

impl DirectoryStore {
    /// The store at `root`, which need not exist yet. Nothing is read or written.
    pub fn new(root: &Path) -> Result<Self, StoreError> {
        let shown = root.display().to_string();
        let root = std::path::absolute(root).map_err(|error| StoreError::from_io(&shown, &error))?;
        let (Some(root_text), Some(temporary)) = (root.to_str(), root.join(TEMPORARY).to_str().map(str::to_owned)) else {
            return Err(StoreError::new(StoreErrorKind::Unsupported, shown, "the path of a repository must be UTF-8"));
        };
        // Building the service makes the temporary folder; a directory that turns out to be somebody's gets it taken away again.
        let made_temporary = !root.join(TEMPORARY).exists();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(8)
            .build()
            .map_err(|error| StoreError::from_io(&shown, &error))?;
        // Building the service makes its root directory; `open` has looked before that there is one, or `prepare` made it.
        let builder = opendal::services::Fs::default().root(root_text).atomic_write_dir(&temporary);
        let operator = {
            let _inside = runtime.enter();
            Operator::new(builder).map_err(|error| translate(&shown, &error))?
        };
        Ok(Self { root, operator, runtime, direct: DirectWriter::default(), made_temporary, touched: Mutex::default() })
    }

    /// Whether a repository may lie at `root`: one of its two key folders is there.
    pub fn holds_repository(root: &Path) -> bool {
        [ObjectKind::Key, ObjectKind::KeyCopy].iter().any(|kind| root.join(kind.folder()).is_dir())
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn touch(&self, name: &ObjectName) {
        if let Some(folder) = self.root.join(name.path()).parent() {
            self.touched.lock().unwrap_or_else(PoisonError::into_inner).insert(folder.to_owned());
        }
    }

    /// Takes away what a failed put of this object left in the temporary folder: on a full disk it is what fills it. Best effort.
    fn tidy_up(&self, name: &ObjectName) {
        let prefix = format!("{}.", name.id.to_hex());
        let entries = fs::read_dir(self.root.join(TEMPORARY)).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(|found| found.starts_with(&prefix))) {
            let _ = fs::remove_file(entry.path());
        }
    }

    /// An error of a full disk says which disk that is.
    fn explain(&self, error: StoreError) -> StoreError {
        if error.kind != StoreErrorKind::Full {
            return error;
        }
        let reason = format!("the file system that holds {} is full", self.root.display());
        StoreError { reason, ..error }
    }

    /// The first thing in the directory that no interrupted `init` can have left there: that leaves empty folders and, at most, a configuration.
    fn foreign(&self) -> std::io::Result<Option<PathBuf>> {
        let ours: Vec<PathBuf> = ObjectKind::ALL.iter().flat_map(|kind| kind.leaf_folders()).map(|folder| self.root.join(folder)).collect();
        let (temporary, configurations) = (self.root.join(TEMPORARY), self.root.join(ObjectKind::Config.folder()));
        let reserve = reserve::path(&self.root);
        let mut waiting = vec![self.root.clone()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type()?.is_dir() && ours.iter().any(|leaf| leaf.starts_with(&path)) {
                    waiting.push(path);
                } else if path != temporary && path != reserve && folder != configurations {
                    return Ok(Some(path));
                }
            }
        }
        Ok(None)
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| StoreError::from_io(folder.display(), &error))
}

impl Store for DirectoryStore {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<(), StoreError> {
        // `fs` writes to a temporary file, syncs it and renames it; the folder's entry is the barrier's.
        self.runtime.block_on(self.operator.write(&name.path(), bytes)).map_err(|error| {
            self.tidy_up(name);
            let error = self.explain(translate(name, &error));
            // What is not there is the temporary file, which somebody took for a leftover: nothing of ours is missing.
            if error.kind == StoreErrorKind::Missing { StoreError { kind: StoreErrorKind::Transient, ..error } } else { error }
        })?;
        self.touch(name);
        Ok(())
    }

    fn put_pack(&self, name: &ObjectName, mut bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        if bytes.len() < DIRECT_BYTES_MIN {
            return self.put(name, bytes).map(|()| Vec::new());
        }
        match self.direct.write(&self.root.join(TEMPORARY), &self.root.join(name.path()), &bytes) {
            Ok(true) => {
                self.touch(name);
                bytes.clear();
                Ok(bytes)
            }
            Ok(false) => self.put(name, bytes).map(|()| Vec::new()),
            // As above: what is missing can only be the temporary file.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(StoreError::new(StoreErrorKind::Transient, name, error)),
            Err(error) => Err(self.explain(StoreError::from_io(name, &error))),
        }
    }

    // Reading goes past OpenDAL, which hands each call to a thread of its own and copies what that one read, piece by piece.
    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
        fs::read(self.root.join(name.path())).map_err(|error| unreadable(name, &error))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; (range.end - range.start) as usize];
        self.read_into(name, range.start, &mut bytes)?;
        Ok(bytes)
    }

    fn read_into(&self, name: &ObjectName, start: u64, out: &mut [u8]) -> Result<(), StoreError> {
        File::open(self.root.join(name.path())).and_then(|file| file.read_exact_at(out, start)).map_err(|error| unreadable(name, &error))
    }

    fn list(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>, StoreError> {
        let mut found = Listing::default();
        for folder in kind.leaf_folders() {
            let path = self.root.join(&folder);
            let entries = match fs::read_dir(&path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::from_io(folder, &error)),
            };
            for entry in entries {
                let entry = entry.map_err(|error| StoreError::from_io(&folder, &error))?;
                let name = entry.file_name();
                let Some(name) = name.to_str().and_then(|name| ObjectName::parse(&format!("{folder}{name}"))) else { continue };
                match entry.metadata() {
                    Ok(metadata) => found.push(&name, metadata.len()),
                    // Deleted since the listing began.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(StoreError::from_io(name, &error)),
                }
            }
        }
        Ok(found.finish())
    }

    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        match self.runtime.block_on(self.operator.stat(&name.path())) {
            Ok(metadata) => Ok(Some(metadata.content_length())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(translate(name, &error)),
        }
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        // The healed copy first: what is left of a delete that was cut short is the object that was listed.
        for copy in name.healed().into_iter().chain([*name]) {
            match fs::remove_file(self.root.join(copy.path())) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::from_io(copy, &error)),
                _ => {}
            }
        }
        self.touch(name);
        Ok(())
    }

    fn replace(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.direct.exchange(&self.root.join(TEMPORARY), &self.root.join(name.path()), bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Unsupported => StoreError::new(StoreErrorKind::Unsupported, name, error),
            _ => StoreError::from_io(name, &error),
        })?;
        self.touch(name);
        Ok(())
    }

    fn is_disk(&self) -> bool {
        true
    }

    fn adopt(&self, name: &ObjectName) {
        // What is seen under its name was synced before it got that name; only the folder's entry may be lost.
        self.touch(name);
    }

    fn put_at(&self, name: &ObjectName) -> Result<Option<i64>, StoreError> {
        use std::os::unix::fs::MetadataExt as _;
        match fs::metadata(self.root.join(name.path())) {
            Ok(metadata) => Ok(Some(metadata.mtime())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::from_io(name, &error)),
        }
    }

    fn sweep_temporary(&self, age_seconds: u64, dry_run: bool) -> Result<u64, StoreError> {
        use std::os::unix::fs::MetadataExt as _;
        let folder = self.root.join(TEMPORARY);
        let fail = |error: &std::io::Error| StoreError::from_io(folder.display(), error);
        // A put that is under way loses its file at worst, and fails: nothing half written can get a name.
        let files: Vec<_> = match fs::read_dir(&folder) {
            Ok(entries) => entries.flatten().filter_map(|entry| Some((entry.path(), entry.metadata().ok()?))).collect(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(fail(&error)),
        };
        if files.is_empty() {
            return Ok(0);
        }
        // The file system's own idea of now: this machine's clock may be another one.
        let probe = folder.join(format!("now-{}", std::process::id()));
        // Asked through the open file: another sweeper may take its name away.
        let now = File::create(&probe).and_then(|file| file.metadata()).map(|metadata| metadata.mtime());
        let _ = fs::remove_file(&probe);
        let now = now.map_err(|error| fail(&error))?;
        let mut freed = 0;
        for (path, metadata) in files {
            let age = u64::try_from(now - metadata.mtime()).unwrap_or(0);
            if metadata.is_file() && age >= age_seconds && (dry_run || fs::remove_file(path).is_ok()) {
                freed += metadata.len();
            }
        }
        Ok(freed)
    }

    fn keep_reserve(&self, bytes: u64) -> Result<(), StoreError> {
        reserve::keep(&self.root, bytes).map_err(|error| StoreError::from_io(reserve::path(&self.root).display(), &error))
    }

    fn use_reserve(&self) -> Result<u64, StoreError> {
        reserve::give_up(&self.root).map_err(|error| StoreError::from_io(reserve::path(&self.root).display(), &error))
    }

    fn barrier(&self) -> Result<(), StoreError> {
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(PoisonError::into_inner));
        for folder in &touched {
            if let Err(error) = sync_folder(folder) {
                // Not yet durable: the next barrier must try all of them again.
                self.touched.lock().unwrap_or_else(PoisonError::into_inner).extend(touched);
                return Err(error);
            }
        }
        Ok(())
    }

    fn prepare(&self) -> Result<(), StoreError> {
        let fail = |path: &Path, error: &std::io::Error| StoreError::from_io(path.display(), error);
        if let Some(path) = self.foreign().map_err(|error| fail(&self.root, &error))? {
            if self.made_temporary {
                let _ = fs::remove_dir(self.root.join(TEMPORARY));
            }
            let reason = format!("the directory is not empty (it holds {})", path.display());
            return Err(StoreError::new(StoreErrorKind::Exists, self.location(), reason));
        }
        self.make_folders()
    }

    fn make_folders(&self) -> Result<(), StoreError> {
        let fail = |path: &Path, error: &std::io::Error| StoreError::from_io(path.display(), error);
        let mut folders: Vec<PathBuf> = vec![self.root.join(TEMPORARY)];
        folders.extend(ObjectKind::ALL.iter().flat_map(|kind| kind.leaf_folders()).map(|folder| self.root.join(folder)));
        for folder in &folders {
            fs::create_dir_all(folder).map_err(|error| fail(folder, &error))?;
        }
        self.keep_reserve(RESERVE_BYTES)?;
        for kind in ObjectKind::ALL {
            sync_folder(&self.root.join(kind.folder()))?;
        }
        // Every folder above too: `prepare` may have been the first to make them.
        self.root.ancestors().try_for_each(|folder| match sync_folder(folder) {
            Err(error) if error.kind == StoreErrorKind::Denied => Ok(()),
            other => other,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_exact_or_an_error() {
        let home = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(home.path()).unwrap();
        store.prepare().unwrap();
        let name = |n| ObjectName::new(ObjectKind::DataPack, ObjectId([n; 32]));
        store.put(&name(1), b"0123456789".to_vec()).unwrap();
        assert_eq!(store.get(&name(1)).unwrap(), b"0123456789");
        assert_eq!(store.get_range(&name(1), 2..5).unwrap(), b"234");
        assert_eq!(store.get_range(&name(1), 10..10).unwrap(), b"");
        let mut out = [0; 4];
        store.read_into(&name(1), 6, &mut out).unwrap();
        assert_eq!(&out, b"6789");
        assert_eq!(store.read_into(&name(1), 7, &mut out).unwrap_err().kind, StoreErrorKind::Corrupt);
        assert_eq!(store.get_range(&name(1), 9..11).unwrap_err().kind, StoreErrorKind::Corrupt);
        assert_eq!(store.read_into(&name(2), 0, &mut out).unwrap_err().kind, StoreErrorKind::Missing);
        assert_eq!(store.get(&name(2)).unwrap_err().kind, StoreErrorKind::Missing);
        let memory = super::super::memory::MemoryStore::default();
        memory.put(&name(1), b"0123456789".to_vec()).unwrap();
        memory.read_into(&name(1), 3, &mut out).unwrap();
        assert_eq!(&out, b"3456");
        assert_eq!(memory.read_into(&name(1), 7, &mut out).unwrap_err().kind, StoreErrorKind::Corrupt);
    }
}
