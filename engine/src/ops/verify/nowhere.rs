//! A destination that keeps nothing, and sees that every byte of every file comes, and comes once.

use crate::format::node::Metadata;
use crate::ops::parallel::lock;
use crate::ops::source::Stat;
use crate::ops::target::{Loss, TargetDir, TargetFile};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex};

/// Which bytes of a file came: runs by their first byte, with the byte behind their last one. None touch.
type Runs = BTreeMap<u64, u64>;

/// The files of a directory that are under way.
type Files = Arc<Mutex<HashMap<Vec<u8>, Arc<Mutex<Runs>>>>>;

/// A directory. It knows of the files in it that are under way, and of nothing else.
#[derive(Default)]
pub struct Nowhere {
    files: Files,
}

struct File {
    name: Vec<u8>,
    runs: Arc<Mutex<Runs>>,
    files: Files,
}

/// Takes down that the bytes from `start` to `end` came. `false`: some of them came before.
fn add(runs: &mut Runs, start: u64, end: u64) -> bool {
    let before = runs.range(..=start).next_back().map(|(start, end)| (*start, *end));
    let after = runs.range(start..).next().map(|(start, end)| (*start, *end));
    if before.is_some_and(|(_, before_end)| before_end > start) || after.is_some_and(|(after_start, _)| after_start < end) {
        return false;
    }
    let start = before.filter(|(_, before_end)| *before_end == start).map_or(start, |(before_start, _)| before_start);
    let end = match after {
        Some((after_start, after_end)) if after_start == end => {
            runs.remove(&after_start);
            after_end
        }
        _ => end,
    };
    runs.insert(start, end);
    true
}

fn wrong(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

impl TargetDir for Nowhere {
    fn stat(&self, _name: &[u8]) -> io::Result<Option<Stat>> {
        Ok(None)
    }

    fn list(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }

    fn directory(&self, _name: &[u8]) -> io::Result<Arc<dyn TargetDir>> {
        Ok(Arc::new(Self::default()))
    }

    fn file(&self, name: &[u8], fresh: bool) -> io::Result<Arc<dyn TargetFile>> {
        let mut files = lock(&self.files);
        if fresh {
            files.remove(name);
        }
        // Closed and opened again while it is under way, it is the same file.
        let runs = Arc::clone(files.entry(name.to_vec()).or_default());
        Ok(Arc::new(File { name: name.to_vec(), runs, files: Arc::clone(&self.files) }))
    }

    fn special(&self, _name: &[u8], _metadata: &Metadata) -> io::Result<Vec<Loss>> {
        Ok(Vec::new())
    }

    fn link(&self, _name: &[u8], _from: &dyn TargetDir, _existing: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn dress(&self, _name: &[u8], _metadata: &Metadata) -> io::Result<Vec<Loss>> {
        Ok(Vec::new())
    }

    fn dress_self(&self, _metadata: &Metadata) -> io::Result<Vec<Loss>> {
        Ok(Vec::new())
    }

    fn remove(&self, name: &[u8]) -> io::Result<()> {
        lock(&self.files).remove(name);
        Ok(())
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        name.to_vec()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl TargetFile for File {
    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let end = offset.checked_add(bytes.len() as u64).ok_or_else(|| wrong("it ends beyond all sizes".to_owned()))?;
        if add(&mut lock(&self.runs), offset, end) { Ok(()) } else { Err(wrong(format!("some of its bytes from {offset} to {end} came twice"))) }
    }

    /// Holes are asked for as zeros, which are written.
    fn punch(&self, _offset: u64, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_length(&self, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(0)
    }

    /// Called when the last byte came: then all of them must have.
    fn dress(&self, metadata: &Metadata) -> io::Result<Vec<Loss>> {
        lock(&self.files).remove(&self.name);
        let runs = lock(&self.runs);
        let whole = if metadata.size == 0 { runs.is_empty() } else { runs.len() == 1 && runs.first_key_value() == Some((&0, &metadata.size)) };
        if whole {
            return Ok(Vec::new());
        }
        let came: u64 = runs.iter().map(|(start, end)| end - start).sum();
        Err(wrong(format!("{came} of its {} bytes came", metadata.size)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::format::node::NodeType;
    use proptest::prelude::*;

    fn sized(size: u64) -> Metadata {
        Metadata { size, ..Metadata::plain(NodeType::File, 0) }
    }

    #[test]
    fn a_file_is_whole_when_each_byte_came_once() {
        let dir = Nowhere::default();
        let file = dir.file(b"f", true).unwrap();
        file.write_at(&[1; 4], 4).unwrap();
        let again = dir.file(b"f", false).unwrap();
        again.write_at(&[1; 4], 0).unwrap();
        assert!(again.write_at(&[1], 7).is_err(), "twice");
        assert!(again.write_at(&[1; 9], 0).is_err());
        assert!(file.dress(&sized(9)).is_err());
        assert!(file.dress(&sized(8)).unwrap().is_empty());
        assert!(dir.file(b"f", false).unwrap().dress(&sized(8)).is_err(), "another file by now");
        assert!(dir.file(b"empty", true).unwrap().dress(&sized(0)).is_ok());
        assert!(dir.file(b"far", true).unwrap().write_at(&[1; 2], u64::MAX - 1).is_err());
        assert!(lock(&dir.files).len() <= 1, "files that are done are forgotten");
    }

    proptest! {
        #[test]
        fn runs_are_the_bytes_that_came(writes in proptest::collection::vec((0u64..40, 1u64..9), 0..30)) {
            let (mut runs, mut came) = (Runs::new(), [false; 64]);
            for (start, length) in writes {
                let range = start as usize..(start + length) as usize;
                let fits = came[range.clone()].iter().all(|came| !came);
                prop_assert_eq!(add(&mut runs, start, start + length), fits);
                if fits {
                    came[range].fill(true);
                }
                let listed: Vec<bool> = (0..64).map(|byte| runs.iter().any(|(start, end)| (start..end).contains(&&byte))).collect();
                prop_assert_eq!(&listed[..], &came[..]);
                prop_assert!(runs.iter().zip(runs.iter().skip(1)).all(|(a, b)| a.1 < b.0));
            }
        }
    }
}
