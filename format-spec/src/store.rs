//! Chapter 2: a local directory of objects.

use crate::fault::{Fault, Result, Rule, fail};
use crate::keys::{Bytes32, Class, h, hex, unhex};
use crate::pack::Source;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The places where objects lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// `keys/` and `keys2/`
    Keys,
    /// `config/`
    Config,
    /// `snapshots/`
    Snapshots,
    /// `confirmed/`
    Confirmed,
    /// `forget/`
    Forget,
    /// `meta/xx/`
    Meta,
    /// `data/xx/`
    Data,
    /// `index/`
    Index,
    /// `gc/`
    Sweeps,
}

impl Place {
    /// Every place.
    pub const ALL: [Place; 9] = [
        Place::Keys,
        Place::Config,
        Place::Snapshots,
        Place::Confirmed,
        Place::Forget,
        Place::Meta,
        Place::Data,
        Place::Index,
        Place::Sweeps,
    ];

    /// The first part of its objects' names.
    pub fn folder(self) -> &'static str {
        match self {
            Place::Keys => "keys",
            Place::Config => "config",
            Place::Snapshots => "snapshots",
            Place::Confirmed => "confirmed",
            Place::Forget => "forget",
            Place::Meta => "meta",
            Place::Data => "data",
            Place::Index => "index",
            Place::Sweeps => "gc",
        }
    }

    /// The place of the packs of a class.
    pub fn of_packs(class: Class) -> Place {
        match class {
            Class::Data => Place::Data,
            Class::Tree => Place::Meta,
        }
    }

    fn sharded(self) -> bool {
        matches!(self, Place::Meta | Place::Data)
    }

    /// The object's whole name.
    pub fn object(self, name: &Bytes32) -> String {
        let name = hex(name);
        if self.sharded() { format!("{}/{}/{name}", self.folder(), &name[..2]) } else { format!("{}/{name}", self.folder()) }
    }
}

/// A directory that holds a repository.
pub struct Store {
    root: PathBuf,
}

/// A file that is read by ranges.
pub struct Ranges {
    file: File,
    length: u64,
}

fn io(error: &std::io::Error) -> Fault {
    let rule = if error.kind() == std::io::ErrorKind::NotFound { Rule::Missing } else { Rule::Io };
    Fault::new(rule, error.to_string())
}

impl Source for Ranges {
    fn length(&self) -> u64 {
        self.length
    }

    fn range(&self, offset: u64, length: u64) -> Result<Vec<u8>> {
        if offset.checked_add(length).is_none_or(|end| end > self.length) {
            return fail(Rule::Truncated, "a range beyond the end");
        }
        let mut bytes = vec![0; length as usize];
        self.file.read_exact_at(&mut bytes, offset).map_err(|error| io(&error))?;
        Ok(bytes)
    }
}

impl Store {
    /// Takes a directory.
    pub fn new(root: &Path) -> Store {
        Store { root: root.to_owned() }
    }

    /// The names of all objects at a place, ascending; those too of which only a healed copy is there.
    pub fn list(&self, place: Place) -> Result<Vec<Bytes32>> {
        let mut names = Vec::new();
        if place.sharded() {
            for shard in 0..=255u8 {
                let shard = hex(&[shard]);
                self.list_folder(&format!("{}/{shard}", place.folder()), &shard, &mut names)?;
            }
        } else {
            self.list_folder(place.folder(), "", &mut names)?;
            if place == Place::Keys {
                self.list_folder("keys2", "", &mut names)?;
            }
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn list_folder(&self, folder: &str, prefix: &str, names: &mut Vec<Bytes32>) -> Result<()> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(io(&error).of(folder)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| io(&error).of(folder))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let healed = name.strip_suffix(".h1").filter(|_| !folder.starts_with("keys"));
            let name = healed.unwrap_or(name);
            if !name.starts_with(prefix) {
                continue;
            }
            if let Some(Ok(name)) = unhex(name).map(Bytes32::try_from) {
                names.push(name);
            }
        }
        Ok(())
    }

    fn paths(&self, place: Place, name: &Bytes32) -> Vec<PathBuf> {
        let object = place.object(name);
        // Slots have a second copy instead of a healed one.
        let other = if place == Place::Keys { format!("keys2/{}", hex(name)) } else { format!("{object}.h1") };
        vec![self.root.join(&object), self.root.join(other)]
    }

    /// Reads a whole object, of at most `most` bytes, whose hash is its name; from whichever copy is good.
    pub fn read(&self, place: Place, name: &Bytes32, most: u64) -> Result<Vec<u8>> {
        let mut worst = Fault::new(Rule::Missing, "the object is not there");
        for path in self.paths(place, name) {
            match read_file(&path, name, most) {
                Ok(bytes) => return Ok(bytes),
                Err(fault) if fault.rule == Rule::Missing => {}
                Err(fault) => worst = fault,
            }
        }
        Err(worst.of(&place.object(name)))
    }

    /// The copies of an object that there are, to be read by ranges.
    pub fn ranges(&self, place: Place, name: &Bytes32) -> Vec<Ranges> {
        let mut copies = Vec::new();
        for path in self.paths(place, name) {
            let Ok(file) = File::open(&path) else { continue };
            if let Ok(metadata) = file.metadata()
                && metadata.is_file()
            {
                copies.push(Ranges { file, length: metadata.len() });
            }
        }
        copies
    }

    /// Compares the hash of every copy of an object with its name, in pieces.
    pub fn check_hashes(&self, place: Place, name: &Bytes32) -> Vec<Fault> {
        let mut faults = Vec::new();
        for path in self.paths(place, name) {
            let Err(fault) = hash_file(&path, name) else { continue };
            if fault.rule != Rule::Missing {
                faults.push(fault.of(&path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy()));
            }
        }
        faults
    }
}

fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| io(&error))?;
    if !file.metadata().map_err(|error| io(&error))?.is_file() {
        return fail(Rule::Io, "no regular file");
    }
    Ok(file)
}

fn read_file(path: &Path, name: &Bytes32, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(most + 1).read_to_end(&mut bytes).map_err(|error| io(&error))?;
    if bytes.len() as u64 > most {
        return fail(Rule::TooLarge, format!("an object above {most} bytes"));
    }
    if h(&bytes) != *name {
        return fail(Rule::WrongHash, "the object's hash is not its name");
    }
    Ok(bytes)
}

fn hash_file(path: &Path, name: &Bytes32) -> Result<()> {
    let mut file = open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(|error| io(&error))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    if hasher.finalize() != *name {
        return fail(Rule::WrongHash, "the object's hash is not its name");
    }
    Ok(())
}
