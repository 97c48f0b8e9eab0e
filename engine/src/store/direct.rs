//! Writes large objects of a local directory past the page cache.
//!
//! A pack is written once and not read again soon. Through the page cache it costs a copy into pages that the kernel must find first, and pushes out what the
//! host had there: of a backup of incompressible data that was a third of all CPU time. Where a file system knows no direct writes, nothing is lost: the
//! object goes the usual way.

use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Offsets, lengths and buffers of direct writes are multiples of this: no device asks for more.
const ALIGNMENT: usize = 4096;
/// Bytes handed to the kernel at once.
const PIECE: usize = 1 << 20;

/// The one buffer that all direct writes of a store go through.
#[derive(Default)]
pub(super) struct DirectWriter {
    buffer: Mutex<Vec<u8>>,
    number: AtomicU64,
}

/// Removes a temporary file that did not get its name.
struct Temporary<'a>(Option<&'a Path>);

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

impl DirectWriter {
    /// Writes `bytes` to a file of its own in `folder`, syncs it, and renames it to `target`. `Ok(false)`: direct writes are not possible here, and
    /// nothing was written.
    pub(super) fn write(&self, folder: &Path, target: &Path, bytes: &[u8]) -> io::Result<bool> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let path: PathBuf = folder.join(format!("{name}.{}-{number}", std::process::id()));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC | OFlags::DIRECT;
        let file = match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o666)) {
            Ok(fd) => File::from(fd),
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::OPNOTSUPP) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut temporary = Temporary(Some(&path));
        let whole = bytes.len() / ALIGNMENT * ALIGNMENT;
        if !self.pieces(&file, &bytes[..whole])? {
            return Ok(false);
        }
        // The last page is not whole, so it goes through the cache.
        let usual = rustix::fs::fcntl_getfl(&file)? - OFlags::DIRECT;
        rustix::fs::fcntl_setfl(&file, usual)?;
        file.write_all_at(&bytes[whole..], whole as u64)?;
        file.sync_all()?;
        match fs::rename(&path, target) {
            // Folders are made with the repository; copying it by a tool that leaves out empty ones loses them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let parent = target.parent().ok_or(error)?;
                fs::create_dir_all(parent)?;
                parent.parent().map_or(Ok(()), |above| File::open(above)?.sync_all())?;
                fs::rename(&path, target)?;
            }
            renamed => renamed?,
        }
        temporary.0 = None;
        Ok(true)
    }

    /// Writes `bytes` to a file of its own in `folder`, syncs it, and lets it change places with `target`, which must be there: a rename would bring back
    /// what somebody deleted meanwhile. Error of kind `InvalidInput` or `Unsupported`: this file system cannot do that.
    pub(super) fn exchange(&self, folder: &Path, target: &Path, bytes: &[u8]) -> io::Result<()> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let path: PathBuf = folder.join(format!("{name}.{}-{number}", std::process::id()));
        fs::create_dir_all(folder)?;
        let file = File::create_new(&path)?;
        let _temporary = Temporary(Some(&path));
        file.write_all_at(bytes, 0)?;
        file.sync_all()?;
        rustix::fs::renameat_with(rustix::fs::CWD, &path, rustix::fs::CWD, target, rustix::fs::RenameFlags::EXCHANGE)?;
        Ok(())
    }

    /// Whether all pieces were accepted as direct writes.
    fn pieces(&self, file: &File, bytes: &[u8]) -> io::Result<bool> {
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.is_empty() {
            buffer.resize(PIECE + ALIGNMENT, 0);
        }
        let start = buffer.as_ptr().align_offset(ALIGNMENT);
        for (number, piece) in bytes.chunks(PIECE).enumerate() {
            let aligned = &mut buffer[start..start + piece.len()];
            aligned.copy_from_slice(piece);
            match file.write_all_at(aligned, (number * PIECE) as u64) {
                Ok(()) => {}
                // The first of its kind that is refused, or the rest of a write that fell short of a whole page.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_length_arrives_whole() {
        let room = tempfile::tempdir().unwrap();
        let writer = DirectWriter::default();
        let noise: Vec<u8> = (0..PIECE as u32 * 2 + 9000).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        for length in [0, 1, 4095, 4096, 4097, PIECE - 1, PIECE, PIECE + 1, PIECE + 4096, 2 * PIECE + 9000] {
            let target = room.path().join("object");
            if writer.write(room.path(), &target, &noise[..length]).unwrap() {
                assert!(fs::read(&target).unwrap() == noise[..length], "{length}");
                fs::remove_file(target).unwrap();
            }
            assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0, "nothing else is left");
        }
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let room = tempfile::tempdir().unwrap();
        fs::write(room.path().join("file"), "").unwrap();
        let target = room.path().join("file").join("object");
        assert!(DirectWriter::default().write(room.path(), &target, &[1; 10_000]).is_err() || !target.exists());
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1);
    }

    #[test]
    fn only_what_is_there_is_exchanged() {
        let room = tempfile::tempdir().unwrap();
        let (folder, target) = (room.path().join("tmp"), room.path().join("object"));
        let writer = DirectWriter::default();
        assert_eq!(writer.exchange(&folder, &target, b"new").unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&target, "old and longer").unwrap();
        writer.exchange(&folder, &target, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "the old bytes are gone");
    }

    #[test]
    fn a_folder_that_got_lost_is_made_again() {
        let room = tempfile::tempdir().unwrap();
        let target = room.path().join("data").join("ab").join("object");
        if DirectWriter::default().write(room.path(), &target, &[1; 10_000]).unwrap() {
            assert_eq!(fs::read(target).unwrap(), [1; 10_000]);
        }
    }
}
