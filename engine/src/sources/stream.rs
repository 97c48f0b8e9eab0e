//! A stream as a source: whatever can be read once (standard input, a command's output) as one regular file of a given path.

use crate::format::node::{Metadata, NodeType, Time};
use crate::ops::source::{Body, Item, Source, SourceDir, Stat, Stop, Visitor};
use crate::sources::files::body::FileBody;
use crate::sources::files::directory::Shared;
use crate::sources::system::component;
use crate::sources::system::owners::Owners;
use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

/// The stream until it is taken.
type Input = Arc<Mutex<Option<Box<dyn Body>>>>;

/// What a pipe holds at most, in bytes: with the usual 64 KiB writer and reader would change places 16 times as often.
const PIPE_BYTES: usize = 1 << 20;

/// One stream that becomes one file. It can be opened once; its length is not known before its end.
pub struct StreamSource {
    names: Vec<Vec<u8>>,
    stat: Stat,
    input: Input,
}

impl StreamSource {
    /// Like [`StreamSource::new`], from an open file of any kind. A regular file that stands at its beginning (`< disk.raw`) has holes that need not be
    /// read, and a length that is known.
    pub fn from_fd(path: &[u8], fd: OwnedFd, mtime: Time) -> io::Result<Self> {
        let mut file = File::from(fd);
        let metadata = file.metadata()?;
        if !metadata.is_file() || file.stream_position()? != 0 {
            // Best effort: where it is no pipe, or the user's pipes are used up, it stays as it is.
            let _ = rustix::pipe::fcntl_setpipe_size(&file, PIPE_BYTES);
            return Self::new(path, Box::new(file), mtime);
        }
        let size = metadata.len();
        let body = FileBody::new(file.into(), Arc::new(Shared::default()));
        let mut source = Self::of(path, Box::new(StreamFile(body)), mtime)?;
        // Nothing is said of how much of it is allocated: so holes are looked for.
        (source.stat.size, source.stat.allocated) = (size, 0);
        Ok(source)
    }

    /// `path` (`db/dump.sql`, with or without `/` before it) names the file, mode 0600, and the directories around it, mode 0700; all of them get
    /// `mtime`, and this process as owner. A path that has `.`, `..`, a NUL or no name at all in it is `InvalidInput`.
    pub fn new(path: &[u8], reader: Box<dyn Read + Send>, mtime: Time) -> io::Result<Self> {
        Self::of(path, Box::new(StreamBody { reader }), mtime)
    }

    fn of(path: &[u8], body: Box<dyn Body>, mtime: Time) -> io::Result<Self> {
        let relative = path.strip_prefix(b"/").unwrap_or(path);
        let names: Vec<Vec<u8>> = relative.split(|&byte| byte == b'/').map(<[u8]>::to_vec).collect();
        names.iter().try_for_each(|name| component(name).map(drop))?;
        let stat = Stat {
            node_type: NodeType::File,
            mode: 0o600,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            size: 0,
            allocated: 0,
            mtime,
            ctime: mtime,
            inode: 0,
            link_group: None,
            device: (0, 0),
        };
        Ok(Self { names, stat, input: Arc::new(Mutex::new(Some(body))) })
    }
}

impl std::fmt::Debug for StreamSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StreamSource").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Source for StreamSource {
    fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        let directory_stat = Stat { node_type: NodeType::Directory, mode: 0o700, size: 0, allocated: 0, ..self.stat };
        let (file, directories) = self.names.split_last().expect("a path was split into at least one name");
        let mut path = Vec::new();
        let mut entered = 0;
        for name in directories {
            let dir: Arc<dyn SourceDir> = Arc::new(StreamDir { path: path.clone(), file: None });
            if !visitor.enter(Item { name, stat: &directory_stat, dir: &dir })? {
                break;
            }
            entered += 1;
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if entered == directories.len() {
            let dir: Arc<dyn SourceDir> = Arc::new(StreamDir { path, file: Some((file.clone(), Arc::clone(&self.input))) });
            visitor.leaf(Item { name: file, stat: &self.stat, dir: &dir })?;
        }
        (0..entered).try_for_each(|_| visitor.leave())
    }

    fn paths(&self) -> Vec<Vec<u8>> {
        vec![self.names.iter().flat_map(|name| [&b"/"[..], name]).flatten().copied().collect()]
    }

    fn is_one_file(&self) -> bool {
        true
    }

    fn can_be_read_again(&self) -> bool {
        false
    }
}

/// A made-up directory; the innermost holds the file.
struct StreamDir {
    path: Vec<u8>,
    file: Option<(Vec<u8>, Input)>,
}

impl SourceDir for StreamDir {
    fn metadata(&self, _name: &[u8], stat: &Stat) -> io::Result<(Metadata, Vec<String>)> {
        let owners = Owners::default();
        let metadata = Metadata {
            uid: stat.uid,
            gid: stat.gid,
            user: owners.user(stat.uid),
            group: owners.group(stat.gid),
            mtime: stat.mtime,
            ctime: stat.ctime,
            ..Metadata::plain(stat.node_type, stat.mode)
        };
        Ok((metadata, Vec::new()))
    }

    fn open(&self, name: &[u8]) -> io::Result<Box<dyn Body>> {
        let Some((_, input)) = self.file.as_ref().filter(|(file, _)| file == name) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let taken = input.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| io::Error::other("a stream can be read only once"))
    }

    fn is_stream(&self) -> bool {
        true
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        crate::sources::system::joined(&self.path, name)
    }
}

/// The stream itself.
struct StreamBody {
    reader: Box<dyn Read + Send>,
}

impl Body for StreamBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.reader.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    /// A stream stands where it stands: only the caller knows whether that is `from`, and asks for nothing else.
    fn next_data(&mut self, from: u64) -> io::Result<Option<Range<u64>>> {
        Ok(Some(from..u64::MAX))
    }

    fn stat(&mut self) -> io::Result<Option<Stat>> {
        Ok(None)
    }

    fn rewind(&mut self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "a stream cannot be read again"))
    }
}

/// A stream that is a file: it has holes, and can be gone through again.
struct StreamFile(FileBody);

impl Body for StreamFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn next_data(&mut self, from: u64) -> io::Result<Option<Range<u64>>> {
        self.0.next_data(from)
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.0.seek(offset)
    }

    /// What is recorded of a stream is not the file's.
    fn stat(&mut self) -> io::Result<Option<Stat>> {
        Ok(None)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.0.rewind()
    }

    fn release(&mut self) {
        self.0.release();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ops::source::Skipped;

    #[derive(Default)]
    struct Seen(Vec<String>, Vec<u8>);

    impl Visitor for Seen {
        fn enter(&mut self, item: Item<'_>) -> Result<bool, Stop> {
            self.0.push(format!("{} {:o}", String::from_utf8_lossy(&item.dir.path(item.name)), item.stat.mode));
            Ok(item.name != b"refused")
        }
        fn leaf(&mut self, item: Item<'_>) -> Result<(), Stop> {
            self.0.push(format!("{} {:o}", String::from_utf8_lossy(&item.dir.path(item.name)), item.stat.mode));
            let (metadata, unread) = item.dir.metadata(item.name, item.stat).unwrap();
            assert_eq!((metadata.mtime.seconds, unread.len()), (77, 0));
            let mut body = item.dir.open(item.name).unwrap();
            assert_eq!(body.next_data(0).unwrap(), Some(0..u64::MAX));
            let mut buffer = [0; 4];
            loop {
                match body.read(&mut buffer).unwrap() {
                    0 => break,
                    length => self.1.extend(&buffer[..length]),
                }
            }
            assert!(body.rewind().is_err() && body.stat().unwrap().is_none());
            assert!(item.dir.open(item.name).is_err(), "once");
            assert!(item.dir.open(b"other").is_err());
            Ok(())
        }
        fn leave(&mut self) -> Result<(), Stop> {
            self.0.push("leave".to_owned());
            Ok(())
        }
        fn failed(&mut self, _: &[u8], error: io::Error) -> Result<(), Stop> {
            panic!("{error}")
        }
        fn skipped(&mut self, _: &[u8], why: Skipped) -> Result<(), Stop> {
            panic!("{why:?}")
        }
    }

    fn source(path: &[u8]) -> io::Result<StreamSource> {
        StreamSource::new(path, Box::new(&b"hello world"[..]), Time { seconds: 77, nanoseconds: 0 })
    }

    #[test]
    fn a_stream_is_one_file() {
        let stream = source(b"db/dump.sql").unwrap();
        assert_eq!(stream.paths(), [b"/db/dump.sql"]);
        let mut seen = Seen::default();
        stream.walk(&mut seen).unwrap();
        assert_eq!(seen.0, ["/db 700", "/db/dump.sql 600", "leave"]);
        assert_eq!(seen.1, b"hello world");
        let mut seen = Seen::default();
        source(b"/a/refused/x").unwrap().walk(&mut seen).unwrap();
        assert_eq!(seen.0, ["/a 700", "/a/refused 700", "leave"]);
    }

    #[test]
    fn names_are_checked() {
        for bad in [&b""[..], b"/", b"a//b", b"a/../b", b"./a", b"a/", b"a\0"] {
            assert_eq!(source(bad).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
