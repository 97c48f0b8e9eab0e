//! A location as people write it becomes a store.

use super::remote::{RemoteStore, S3Location};
use super::service::DirectoryStore;
use super::{Store, StoreError, StoreErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A local directory.
    Directory(PathBuf),
    /// A bucket.
    S3(S3Location),
}

/// An environment variable, if it holds something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Location {
    /// Reads `/a/path`, `relative/path`, `file:///a/path`, `s3://bucket/prefix` or `s3:https://host/bucket/prefix`. Schemes of services that this version does not speak are refused by name.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let refuse = |reason: &str| Err(StoreError::new(StoreErrorKind::Unsupported, text, reason));
        if text.is_empty() {
            return refuse("the location of the repository is empty");
        }
        if let Some(path) = text.strip_prefix("file://") {
            return if path.starts_with('/') { Ok(Self::Directory(path.into())) } else { refuse("a file location needs an absolute path: file:///path") };
        }
        match text.split_once(':') {
            Some(("s3", place)) => {
                S3Location::parse(place).map_or_else(|| refuse("write s3://bucket/prefix or s3:https://host/bucket/prefix"), |place| Ok(Self::S3(place)))
            }
            Some((scheme @ ("webdav" | "http" | "https" | "onedrive" | "sftp" | "rest" | "b2" | "azure" | "gs" | "swift" | "rclone"), _)) => {
                refuse(&format!("{scheme} is not supported by this version; it stores in local directories and S3"))
            }
            _ => Ok(Self::Directory(text.into())),
        }
    }

    /// The directory, where it is one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(path) => Some(path),
            Self::S3(_) => None,
        }
    }

    /// Size in bytes of data packs in a new repository there, where nobody says otherwise. A bucket's requests cost, so there are half as many of them;
    /// larger packs yet would double the memory of a backup.
    pub fn pack_size_bytes(&self) -> u64 {
        match self {
            Self::Directory(_) => 16 << 20,
            Self::S3(_) => 32 << 20,
        }
    }

    /// The store of an existing repository; [`StoreErrorKind::Missing`] if there is none.
    pub fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::Directory(path) if DirectoryStore::holds_repository(path) => Ok(Arc::new(DirectoryStore::new(path)?)),
            Self::S3(place) => Ok(Arc::new(RemoteStore::s3(place, &variable)?)),
            Self::Directory(path) => match path.join("keys").metadata() {
                Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(StoreError::from_io(path.display(), &error)),
                _ => Err(StoreError::new(StoreErrorKind::Missing, path.display(), "no repository here")),
            },
        }
    }

    /// The store for a repository that is to be made; the directory is made if missing.
    pub fn create(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Self::S3(place) => Ok(Arc::new(RemoteStore::s3(place, &variable)?)),
            Self::Directory(path) => {
                std::fs::create_dir_all(path).map_err(|error| StoreError::from_io(path.display(), &error))?;
                Ok(Arc::new(DirectoryStore::new(path)?))
            }
        }
    }
}
