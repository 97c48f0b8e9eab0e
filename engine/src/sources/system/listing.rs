//! The names of one directory: read with getdents64 into one arena, sorted by bytes.

use rustix::fs::RawDir;
use rustix::io::Errno;
use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;

/// Bytes asked of the kernel at a time: large directories take few calls, and one buffer serves all directories.
const BUFFER: usize = 256 << 10;

/// An arena above this many bytes is given back rather than kept for the next directory.
const KEPT: usize = 1 << 20;

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
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    length: usize,
}

impl Listing {
    /// Reads all names of `dir` but `.` and `..`, sorted, each once (a rename during the listing can show a name twice).
    /// After an error the names read so far are there, so that what can be saved is saved.
    pub fn read(&mut self, dir: BorrowedFd<'_>, buffer: &mut Buffer) -> io::Result<()> {
        self.clear();
        let mut outcome = Ok(());
        let mut entries = RawDir::new(dir, buffer.0.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => {
                    let name = entry.file_name().to_bytes();
                    if name != b"." && name != b".." {
                        self.push(name);
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    outcome = Err(error.into());
                    break;
                }
            }
        }
        self.sort();
        outcome
    }

    /// Appends a name (without NUL); [`Listing::sort`] afterwards.
    pub fn push(&mut self, name: &[u8]) {
        self.spans.push(Span { start: self.arena.len(), length: name.len() });
        self.arena.extend_from_slice(name);
        self.arena.push(0);
    }

    /// Puts the names in byte order and drops those that are there twice.
    pub fn sort(&mut self) {
        let arena = &self.arena;
        let bytes = |span: &Span| &arena[span.start..span.start + span.length];
        self.spans.sort_unstable_by(|left, right| bytes(left).cmp(bytes(right)));
        self.spans.dedup_by(|left, right| bytes(left) == bytes(right));
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The name at `place` with its NUL; panics past the end.
    pub fn name(&self, place: usize) -> &CStr {
        let span = self.spans[place];
        let bytes = &self.arena[span.start..=span.start + span.length];
        CStr::from_bytes_with_nul(bytes).expect("names come from C strings and components, which hold no NUL")
    }

    /// Whether `name` is among the sorted names.
    pub fn holds(&self, name: &[u8]) -> bool {
        let bytes = |span: &Span| &self.arena[span.start..span.start + span.length];
        self.spans.binary_search_by(|span| bytes(span).cmp(name)).is_ok()
    }

    /// Keeps only the names that `wanted` says yes to.
    pub fn retain(&mut self, mut wanted: impl FnMut(&[u8]) -> bool) {
        let arena = &self.arena;
        self.spans.retain(|span| wanted(&arena[span.start..span.start + span.length]));
    }

    /// Forgets all names, keeping a modest amount of memory for the next.
    pub fn clear(&mut self) {
        self.arena.clear();
        self.arena.shrink_to(KEPT);
        self.spans.clear();
        self.spans.shrink_to(KEPT / size_of::<Span>());
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
