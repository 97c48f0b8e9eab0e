//! The only place that spells the names of objects in a store (SPEC chapter 2).

use super::id::ObjectId;

/// A kind of object; each has its own folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A key slot.
    Key,
    /// The second copy of a key slot.
    KeyCopy,
    /// A configuration record.
    Config,
    /// A snapshot.
    Snapshot,
    /// A confirmation.
    Confirmation,
    /// A forget record.
    Forget,
    /// A pack of trees.
    MetaPack,
    /// A pack of file contents.
    DataPack,
    /// An index segment.
    Index,
    /// A sweep record.
    Sweep,
}

impl ObjectKind {
    /// Every kind, in the order a repository is laid out.
    pub const ALL: [Self; 10] =
        [Self::Key, Self::KeyCopy, Self::Config, Self::Snapshot, Self::Confirmation, Self::Forget, Self::MetaPack, Self::DataPack, Self::Index, Self::Sweep];

    /// The folder, with the slash at its end.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Key => "keys/",
            Self::KeyCopy => "keys2/",
            Self::Config => "config/",
            Self::Snapshot => "snapshots/",
            Self::Confirmation => "confirmed/",
            Self::Forget => "forget/",
            Self::MetaPack => "meta/",
            Self::DataPack => "data/",
            Self::Index => "index/",
            Self::Sweep => "gc/",
        }
    }

    /// Whether it is a key slot, in either of its two places.
    pub fn is_slot(self) -> bool {
        matches!(self, Self::Key | Self::KeyCopy)
    }

    /// Whether it is a pack.
    pub fn is_pack(self) -> bool {
        matches!(self, Self::MetaPack | Self::DataPack)
    }

    fn is_fanned_out(self) -> bool {
        self.is_pack()
    }

    /// The folders that hold objects of this kind directly: 256 for packs, else one.
    pub fn leaf_folders(self) -> Vec<String> {
        if self.is_fanned_out() { (0..256).map(|byte| format!("{}{byte:02x}/", self.folder())).collect() } else { vec![self.folder().to_owned()] }
    }
}

/// Behind the name of a healed copy.
const HEALED: &str = ".h1";

/// An object of a repository: what it is and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The kind of object.
    pub kind: ObjectKind,
    /// BLAKE3 of its bytes.
    pub id: ObjectId,
    /// Its healed copy is meant: the same bytes again, beside what was damaged or lost.
    pub is_healed: bool,
}

impl ObjectName {
    /// The object of `kind` whose bytes hash to `id`.
    pub fn new(kind: ObjectKind, id: ObjectId) -> Self {
        Self { kind, id, is_healed: false }
    }

    /// The healed copy of the object; key slots have none, since each lies there twice anyway.
    pub fn healed(self) -> Option<Self> {
        (!self.kind.is_slot()).then_some(Self { is_healed: true, ..self })
    }

    /// Where it lies in the store.
    pub fn path(&self) -> String {
        let (folder, hex) = (self.kind.folder(), self.id.to_hex());
        let healed = if self.is_healed { HEALED } else { "" };
        if self.kind.is_fanned_out() { format!("{folder}{}/{hex}{healed}", &hex[..2]) } else { format!("{folder}{hex}{healed}") }
    }

    /// The object at a path; `None` for whatever is not part of a repository.
    pub fn parse(path: &str) -> Option<Self> {
        let kind = ObjectKind::ALL.into_iter().find(|kind| path.starts_with(kind.folder()))?;
        let rest = &path[kind.folder().len()..];
        let hex = if kind.is_fanned_out() {
            let (fan, hex) = rest.split_once('/')?;
            if !hex.starts_with(fan) || fan.len() != 2 {
                return None;
            }
            hex
        } else {
            rest
        };
        match hex.strip_suffix(HEALED) {
            Some(hex) => Self::new(kind, ObjectId::from_hex(hex)?).healed(),
            None => Some(Self::new(kind, ObjectId::from_hex(hex)?)),
        }
    }
}

impl std::fmt::Display for ObjectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_go_there_and_back() {
        for kind in ObjectKind::ALL {
            let name = ObjectName::new(kind, ObjectId([0xa7; 32]));
            assert_eq!(ObjectName::parse(&name.path()), Some(name));
            let healed = name.healed();
            assert_eq!(ObjectName::parse(&format!("{}.h1", name.path())), healed);
            assert_eq!(healed.is_none(), kind.is_slot());
            assert_eq!(healed.map(|healed| healed.path()), healed.map(|_| format!("{}.h1", name.path())));
            assert_eq!(ObjectName::parse(&format!("{}.h1.h1", name.path())), None);
        }
        assert_eq!(ObjectName::parse("data/00/a7"), None);
        assert_eq!(ObjectName::parse(&format!("data/00/{}", "a7".repeat(32))), None);
    }
}
