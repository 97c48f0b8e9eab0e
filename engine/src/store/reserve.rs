//! Room set aside on a disk: on a full one it is given up, so that a prune can record what it is about to delete.

use crate::store::StoreErrorKind;
use crate::store::error::kind_of_io;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a new repository sets aside: enough for the sweep record of 60,000 packs, or for the index segment of 190,000 chunks.
pub const RESERVE_BYTES: u64 = 4 << 20;
/// It takes at most this part of what is free.
const SHARE: u64 = 16;
/// Less than this is of no use.
const RESERVE_BYTES_MIN: u64 = 64 << 10;
const PIECE: usize = 64 << 10;

/// Where it lies in a repository: a name that is no object's, so that readers and writers leave it alone.
pub(super) fn path(root: &Path) -> PathBuf {
    root.join("reserve")
}

/// Makes the reserve at least `bytes` long, or as long as there is room for. It is filled with noise: a file system may keep nothing of zeros.
pub(super) fn keep(root: &Path, bytes: u64) -> io::Result<()> {
    let path = path(root);
    let there = fs::metadata(&path).map_or(0, |found| found.len());
    let free = rustix::fs::statvfs(root).map(|found| found.f_bavail.saturating_mul(found.f_frsize))?;
    let wanted = bytes.min((free + there) / SHARE) / PIECE as u64 * PIECE as u64;
    if wanted <= there || wanted < RESERVE_BYTES_MIN {
        return Ok(());
    }
    let filled = fill(&path, wanted);
    match filled {
        // Somebody else was faster: what is left of the room is theirs.
        Err(error) if kind_of_io(error.kind()) == StoreErrorKind::Full => {
            let _ = fs::remove_file(path);
            Ok(())
        }
        filled => filled,
    }
}

fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut noise = blake3::Hasher::new_derive_key("vault reserve file").finalize_xof();
    let mut piece = vec![0; PIECE];
    let mut file = File::create(path)?;
    for _ in 0..bytes / PIECE as u64 {
        noise.fill(&mut piece);
        file.write_all(&piece)?;
    }
    file.sync_all()
}

/// Gives it up; returns how many bytes that freed.
pub(super) fn give_up(root: &Path) -> io::Result<u64> {
    let path = path(root);
    let Ok(found) = fs::metadata(&path) else { return Ok(0) };
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        removed => removed.map(|()| found.len()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_grows_and_is_given_up_once() {
        let root = tempfile::tempdir().unwrap();
        let length = || fs::metadata(path(root.path())).map_or(0, |found| found.len());
        keep(root.path(), 128 << 10).unwrap();
        assert_eq!(length(), 128 << 10);
        keep(root.path(), 64 << 10).unwrap();
        assert_eq!(length(), 128 << 10, "it does not shrink");
        keep(root.path(), 256 << 10).unwrap();
        assert_eq!(length(), 256 << 10);
        let allocated = std::os::unix::fs::MetadataExt::blocks(&fs::metadata(path(root.path())).unwrap()) * 512;
        assert!(allocated >= 256 << 10, "it takes the room that it stands for: {allocated}");
        assert_eq!(give_up(root.path()).unwrap(), 256 << 10);
        assert_eq!(give_up(root.path()).unwrap(), 0);
    }
}
