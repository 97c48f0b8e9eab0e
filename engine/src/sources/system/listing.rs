//! The names of one directory: read with getdents64 into one arena, sorted by bytes.

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;

/// Bytes asked of the kernel at a time: large directories take few calls, and one buffer serves all directories.
const BUFFER: usize = 256 << 10;

/// An arena above this many bytes is given back rather than kept for the next directory.
const KEPT: usize = 1 << 20;

/// The position behind the last name on file systems that have one (ext4's hashed directories): none can be greater, so nothing follows.
const AT_END: u64 = i64::MAX as u64;

/// The buffer that the kernel fills.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);

impl Default for Buffer {
    fn default() -> Self {
        Self(Vec::with_capacity(BUFFER))
    }
}

/// Names, each with a NUL behind it, in one arena: 17 bytes a name on top of its own.
#[derive(Debug, Default)]
pub struct Listing {
    arena: Vec<u8>,
    spans: Vec<Span>,
    /// How many of the names are directories; counted when they are sorted.
    directories: usize,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    length: u32,
    /// The listing itself said so; where it does not say what entries are, this is unset.
    directory: bool,
}

impl Listing {
    /// Reads all names of `dir` but `.` and `..`, sorted, each once (a rename during the listing can show a name twice).
    /// After an error the names read so far are there, so that what can be saved is saved.
    pub fn read(&mut self, dir: BorrowedFd<'_>, buffer: &mut Buffer) -> io::Result<()> {
        self.read_at_most(dir, buffer, usize::MAX).map(drop)
    }

    /// The same, but gives up with `false` once there are more than `most` names.
    pub fn read_at_most(&mut self, dir: BorrowedFd<'_>, buffer: &mut Buffer, most: usize) -> io::Result<bool> {
        self.clear();
        let mut outcome = Ok(true);
        let mut entries = RawDir::new(dir, buffer.0.spare_capacity_mut());
        let mut at_end = false;
        while !(at_end && entries.is_buffer_empty()) {
            match entries.next() {
                None => break,
                Some(Ok(entry)) => {
                    at_end = entry.next_entry_cookie() == AT_END;
                    let name = entry.file_name().to_bytes();
                    if name != b"." && name != b".." {
                        self.add(name, entry.file_type() == FileType::Directory);
                    }
                }
                Some(Err(Errno::INTR)) => {}
                Some(Err(error)) => {
                    outcome = Err(error.into());
                    break;
                }
            }
            if self.spans.len() > most {
                return Ok(false);
            }
        }
        self.sort();
        outcome
    }

    /// Appends a name (without NUL); [`Listing::sort`] afterwards.
    pub fn push(&mut self, name: &[u8]) {
        self.add(name, false);
    }

    fn add(&mut self, name: &[u8], directory: bool) {
        self.spans.push(Span { start: self.arena.len(), length: name.len() as u32, directory });
        self.arena.extend_from_slice(name);
        self.arena.push(0);
    }

    /// Puts the names in byte order and drops those that are there twice.
    pub fn sort(&mut self) {
        let arena = &self.arena;
        self.spans.sort_unstable_by(|left, right| left.of(arena).cmp(right.of(arena)));
        self.spans.dedup_by(|left, right| left.of(arena) == right.of(arena));
        self.count();
    }

    fn count(&mut self) {
        self.directories = self.spans.iter().filter(|span| span.directory).count();
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The name at `place` with its NUL; panics past the end.
    pub fn name(&self, place: usize) -> &CStr {
        let span = self.spans[place];
        let bytes = &self.arena[span.start..=span.start + span.length as usize];
        CStr::from_bytes_with_nul(bytes).expect("names come from C strings and components, which hold no NUL")
    }

    /// Whether the listing said that the name at `place` is a directory. It may be none any more, and others may be directories too.
    pub fn is_directory(&self, place: usize) -> bool {
        self.spans[place].directory
    }

    /// How many names [`Listing::is_directory`] holds for.
    pub fn directories(&self) -> usize {
        self.directories
    }

    /// Whether `name` is among the sorted names.
    pub fn holds(&self, name: &[u8]) -> bool {
        self.spans.binary_search_by(|span| span.of(&self.arena).cmp(name)).is_ok()
    }

    /// Keeps only the names that `wanted` says yes to.
    pub fn retain(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) {
        let arena = &self.arena;
        self.spans.retain(|span| wanted(span.of(arena)));
        self.count();
    }

    /// Forgets all names, keeping a modest amount of memory for the next.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.arena.shrink_to(KEPT);
        self.spans.clear();
        self.spans.shrink_to(KEPT / size_of::<Span>());
        self.directories = 0;
    }
}

impl Span {
    fn of(self, arena: &[u8]) -> &[u8] {
        &arena[self.start..self.start + self.length as usize]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn names_come_sorted_by_bytes_and_once() {
        let mut listing = Listing::default();
        for name in [&b"b"[..], b"a\xff", b"a", b"b", b"B", b"a\n"] {
            listing.push(name);
        }
        listing.sort();
        let names: Vec<&[u8]> = (0..listing.len()).map(|place| listing.name(place).to_bytes()).collect();
        assert_eq!(names, [&b"B"[..], b"a", b"a\n", b"a\xff", b"b"]);
        assert!(listing.holds(b"a\n") && !listing.holds(b"c"));
        listing.retain(|name| name != b"a");
        assert_eq!(listing.len(), 4);
    }

    #[test]
    fn a_real_directory() {
        let home = tempfile::tempdir().unwrap();
        for number in 0..2_000 {
            std::fs::write(home.path().join(format!("{number:0>200}")), b"").unwrap();
        }
        std::fs::write(home.path().join(std::ffi::OsStr::from_bytes(b"\xfe")), b"").unwrap();
        let fd = std::fs::File::open(home.path()).unwrap();
        let mut listing = Listing::default();
        listing.read(fd.as_fd(), &mut Buffer::default()).unwrap();
        assert_eq!(listing.len(), 2_001);
        assert_eq!(listing.name(2_000).to_bytes(), b"\xfe");
        assert!(listing.name(7).to_bytes().ends_with(b"07"));
    }
}
