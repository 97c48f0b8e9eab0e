//! One entry of a directory: its type, its metadata, and where its contents lie (SPEC chapter 9).

use super::id::{ChunkId, TreeId};

/// What kind of thing an entry is; the numbers are those of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum NodeType {
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
    /// A symbolic link.
    Symlink = 3,
    /// A character device.
    CharDevice = 4,
    /// A block device.
    BlockDevice = 5,
    /// A named pipe.
    Fifo = 6,
    /// A Unix socket: noted, since only its owner can bring it to life again.
    Socket = 7,
}

impl NodeType {
    /// The type behind a number of the format.
    pub fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            1 => Self::File,
            2 => Self::Directory,
            3 => Self::Symlink,
            4 => Self::CharDevice,
            5 => Self::BlockDevice,
            6 => Self::Fifo,
            7 => Self::Socket,
            _ => return None,
        })
    }

    /// The word restic and its parsers use for this type.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "dir",
            Self::Symlink => "symlink",
            Self::CharDevice => "chardev",
            Self::BlockDevice => "dev",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
        }
    }
}

/// An instant: seconds since 1970 (negative before) and nanoseconds within that second (below 1e9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// Whole seconds, rounded towards the past.
    pub seconds: i64,
    /// Nanoseconds after `seconds`.
    pub nanoseconds: u32,
}

/// Which inode several names share: the device, numbered within the snapshot, and the inode on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkGroup {
    /// The how-manieth device the walk met, counted from 0; the system's own device numbers change at every boot.
    pub device: u32,
    /// The inode number on that device.
    pub inode: u64,
}

/// One extended attribute. POSIX ACLs are `system.posix_acl_access` and `system.posix_acl_default`, capabilities `security.capability`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Xattr {
    /// The whole name with its namespace, for example `user.comment`.
    pub name: Vec<u8>,
    /// The raw value as the system returns it.
    pub value: Vec<u8>,
}

/// What the system keeps about an entry, apart from its name and contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The kind of entry.
    pub node_type: NodeType,
    /// Permission and special bits (12 bits, 0o7777).
    pub mode: u32,
    /// Owner by number.
    pub uid: u32,
    /// Group by number.
    pub gid: u32,
    /// Owner by name; empty where the system knows none.
    pub user: Vec<u8>,
    /// Group by name; empty where the system knows none.
    pub group: Vec<u8>,
    /// Time of the last change of contents.
    pub mtime: Time,
    /// Time of the last change of anything; compared at the next backup, never set on restore.
    pub ctime: Time,
    /// Inode number; compared at the next backup.
    pub inode: u64,
    /// Length in bytes of a regular file, 0 for everything else.
    pub size: u64,
    /// Set where more than one name leads to this inode (never for directories).
    pub link_group: Option<LinkGroup>,
    /// Where a symbolic link points, raw bytes; empty for everything else.
    pub link_target: Vec<u8>,
    /// Major and minor number of a device; zeros for everything else.
    pub device: (u32, u32),
    /// Extended attributes in byte order of their names.
    pub xattrs: Vec<Xattr>,
    /// Inode flags a user may set (`chattr`), as `FS_IOC_GETFLAGS` numbers them; see [`KEPT_FLAGS`].
    pub flags: u32,
}

/// The `chattr` flags that are kept: secrm `s`, undelete `u`, compress `c`, sync `S`, immutable `i`, append-only `a`, nodump `d`,
/// noatime `A`, journal data `j`, no tail `t`, dirsync `D`, top dir `T`, nocow `C`.
pub const KEPT_FLAGS: u32 = 0x0083_C0FF;

impl Metadata {
    /// Plain metadata of a given type: no names, no attributes, time zero.
    pub fn plain(node_type: NodeType, mode: u32) -> Self {
        Self {
            node_type,
            mode,
            uid: 0,
            gid: 0,
            user: Vec::new(),
            group: Vec::new(),
            mtime: Time::default(),
            ctime: Time::default(),
            inode: 0,
            size: 0,
            link_group: None,
            link_target: Vec::new(),
            device: (0, 0),
            xattrs: Vec::new(),
            flags: 0,
        }
    }
}

/// A run of a file's bytes, in file order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Bytes that a chunk holds, whole.
    Chunk {
        /// Name of the chunk.
        id: ChunkId,
        /// Its plaintext length in bytes, at least 1.
        length: u32,
    },
    /// Bytes that were never written: a hole.
    Hole {
        /// Length in bytes, at least 1.
        length: u64,
    },
}

impl Extent {
    /// Length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Chunk { length, .. } => u64::from(*length),
            Self::Hole { length } => *length,
        }
    }
}

/// Where an entry's contents lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Content {
    /// Nothing: an empty file, or not a file.
    #[default]
    None,
    /// A short list of extents, in the entry itself.
    Extents(Vec<Extent>),
    /// A long list, in a tree of list nodes of its own (SPEC chapter 9).
    List(TreeId),
    /// The node of a directory.
    Directory(TreeId),
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Raw name bytes: not empty, no `/`, no NUL, not `.` or `..`.
    pub name: Vec<u8>,
    /// What the system keeps about it.
    pub metadata: Metadata,
    /// Where its contents lie.
    pub content: Content,
    /// The file changed while it was read, and again on the second try: its bytes may mix two states.
    pub changed_while_read: bool,
    /// A repair found some of it lost: holes stand for contents, or entries of a directory are not there. The next backup reads it again.
    pub lost: bool,
    /// Optional fields that this program does not know, key and encoded value, kept when the entry is copied unchanged.
    pub unknown: Vec<(u64, Vec<u8>)>,
}
