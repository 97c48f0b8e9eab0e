//! Restores a snapshot into an empty directory, never following a symbolic link.

use crate::entry::{Entry, Type};
use crate::fault::{Fault, Result, Rule, fail};
use crate::keys::{Bytes32, Class};
use crate::repository::Repository;
use crate::show::escape;
use crate::tree::Extent;
use crate::walk::{Extents, Step, Walk};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where first names of linked inodes are kept until all their other names are made.
const STAGING: &str = ".vault-rescue-links";

fn errno(error: Errno) -> Fault {
    Fault::new(Rule::Io, error.to_string())
}

fn open_directory(at: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(at, name, flags, Mode::empty()).map_err(errno)
}

/// A directory above the one being filled: where `..` must lead.
struct Above {
    device: u64,
    inode: u64,
    entry: Box<Entry>,
}

struct Extraction<'a> {
    repository: &'a mut Repository,
    report: &'a mut dyn FnMut(Fault),
    root: bool,
    target: OwnedFd,
    here: OwnedFd,
    above: Vec<Above>,
    path: Vec<u8>,
    staging: Option<OwnedFd>,
    links: HashMap<(u32, u64), (usize, Type)>,
}

/// Restores everything below a snapshot's root into `target`, which must be empty or not be there yet.
pub fn extract(repository: &mut Repository, root: &Bytes32, target: &Path, report: &mut dyn FnMut(Fault)) -> Result<()> {
    repository.require(Class::Data)?;
    let io = |error: std::io::Error| Fault::new(Rule::Io, error.to_string()).of(&target.to_string_lossy());
    std::fs::create_dir_all(target).map_err(io)?;
    if std::fs::read_dir(target).map_err(io)?.next().is_some() {
        return fail(Rule::Io, "the target is not empty").map_err(|fault: Fault| fault.of(&target.to_string_lossy()));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let here = fs::open(target, flags, Mode::empty()).map_err(errno)?;
    let top = fs::open(target, flags, Mode::empty()).map_err(errno)?;
    let mut extraction = Extraction {
        repository,
        report,
        root: rustix::process::geteuid().is_root(),
        target: top,
        here,
        above: Vec::new(),
        path: Vec::new(),
        staging: None,
        links: HashMap::new(),
    };
    let done = extraction.run(root);
    let links = extraction.links.values().map(|(number, _)| *number).collect::<Vec<_>>();
    if let Some(staging) = &extraction.staging {
        for number in links {
            // What stays behind is only a second name in the staging directory.
            let _ = fs::unlinkat(staging, number.to_string(), AtFlags::empty());
        }
        let _ = fs::unlinkat(&extraction.target, STAGING, AtFlags::REMOVEDIR);
    }
    done
}

impl Extraction<'_> {
    fn run(&mut self, root: &Bytes32) -> Result<()> {
        let mut walk = Walk::new(*root);
        while let Some(step) = walk.next(self.repository) {
            match step {
                Step::Fault(fault) => self.complain(fault, &[]),
                Step::Entry(entry) => {
                    if let Err(fault) = self.entry(&entry) {
                        self.complain(fault, &entry.name);
                    }
                }
                Step::Enter(entry) => {
                    let name = entry.name.clone();
                    if let Err(fault) = self.enter(entry) {
                        self.complain(fault, &name);
                        walk.skip();
                        // The `Leave` that follows belongs to the directory that was not entered.
                        walk.next(self.repository);
                    }
                }
                Step::Leave => self.leave()?,
            }
        }
        Ok(())
    }

    fn complain(&mut self, fault: Fault, name: &[u8]) {
        let mut path = self.path.clone();
        if !name.is_empty() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        let detail = if fault.object.is_empty() { fault.detail } else { format!("{} ({})", fault.detail, fault.object) };
        (self.report)(Fault { object: escape(&path), rule: fault.rule, detail });
    }

    fn enter(&mut self, entry: Box<Entry>) -> Result<()> {
        fs::mkdirat(&self.here, entry.name.as_slice(), Mode::RWXU).map_err(errno)?;
        let inside = open_directory(self.here.as_fd(), &entry.name)?;
        let stat = fs::fstat(&self.here).map_err(errno)?;
        self.path.push(b'/');
        self.path.extend_from_slice(&entry.name);
        self.above.push(Above { device: stat.st_dev, inode: stat.st_ino, entry });
        self.here = inside;
        Ok(())
    }

    fn leave(&mut self) -> Result<()> {
        let Some(above) = self.above.pop() else { return Ok(()) };
        let up = open_directory(self.here.as_fd(), b"..")?;
        let stat = fs::fstat(&up).map_err(errno)?;
        if (stat.st_dev, stat.st_ino) != (above.device, above.inode) {
            return fail(Rule::Io, "somebody moved a directory of the target; stopping");
        }
        let inside = std::mem::replace(&mut self.here, up);
        let keep = self.path.len() - above.entry.name.len() - 1;
        self.path.truncate(keep);
        for fault in metadata(&inside, &above.entry, self.root) {
            self.complain(fault, &above.entry.name);
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry) -> Result<()> {
        if let Some(group) = entry.links
            && let Some((number, kind)) = self.links.get(&group)
        {
            if *kind != entry.kind {
                return fail(Rule::BadStructure, "names of one inode have different types");
            }
            let Some(staging) = &self.staging else { return fail(Rule::Io, "no staging directory") };
            let name = entry.name.as_slice();
            return fs::linkat(staging, number.to_string(), &self.here, name, AtFlags::empty()).map_err(errno);
        }
        match entry.kind {
            Type::File => self.file(entry)?,
            Type::Link => fs::symlinkat(entry.target.as_slice(), &self.here, entry.name.as_slice()).map_err(errno)?,
            Type::Directory => return fail(Rule::BadStructure, "a directory without a node"),
            kind => {
                let (major, minor) = entry.device.unwrap_or_default();
                let what = match kind {
                    Type::CharacterDevice => FileType::CharacterDevice,
                    Type::BlockDevice => FileType::BlockDevice,
                    Type::Fifo => FileType::Fifo,
                    _ => FileType::Socket,
                };
                let device = fs::makedev(major, minor);
                fs::mknodat(&self.here, entry.name.as_slice(), what, Mode::RUSR | Mode::WUSR, device).map_err(errno)?;
            }
        }
        if entry.kind != Type::File {
            self.metadata_at(entry);
        }
        self.stage(entry)
    }

    fn file(&mut self, entry: &Entry) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.here, entry.name.as_slice(), flags, Mode::RUSR | Mode::WUSR).map_err(errno)?;
        let file = File::from(file);
        let io = |error: std::io::Error| Fault::new(Rule::Io, error.to_string());
        let mut extents = Extents::new(entry);
        let mut offset = 0u64;
        while let Some(extent) = extents.next(self.repository) {
            let extent = match extent {
                Ok(extent) => extent,
                Err(fault) => {
                    self.complain(fault, &entry.name);
                    break;
                }
            };
            if let Extent::Chunk(name, length) = extent {
                match self.repository.chunk(Class::Data, &name) {
                    Ok(bytes) if bytes.len() as u64 == length => file.write_all_at(&bytes, offset).map_err(io)?,
                    Ok(_) => self.complain(Fault::new(Rule::BadStructure, "a chunk of another length"), &entry.name),
                    // A hole stays where the chunk is lost; the rest of the file is restored.
                    Err(fault) => self.complain(fault, &entry.name),
                }
            }
            offset = offset.saturating_add(extent.length());
        }
        file.set_len(entry.size).map_err(io)?;
        let owned = OwnedFd::from(file);
        for fault in metadata(&owned, entry, self.root) {
            self.complain(fault, &entry.name);
        }
        Ok(())
    }

    /// Owner, mode, attributes and times of what cannot be opened.
    fn metadata_at(&mut self, entry: &Entry) {
        let (name, nofollow) = (entry.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW);
        let mut faults = Vec::new();
        let mut note = |what: &str, done: std::result::Result<(), Errno>| {
            if let Err(error) = done {
                faults.push(Fault::new(Rule::Io, format!("{what}: {error}")));
            }
        };
        if self.root {
            let (uid, gid) = (fs::Uid::from_raw(entry.uid), fs::Gid::from_raw(entry.gid));
            note("owner", fs::chownat(&self.here, name, Some(uid), Some(gid), nofollow));
        }
        // The path through /proc names the directory that is open, and the last step is not followed.
        let mut path = format!("/proc/self/fd/{}/", self.here.as_raw_fd()).into_bytes();
        path.extend_from_slice(name);
        for (attribute, value) in &entry.attributes {
            let done = fs::lsetxattr(path.as_slice(), attribute.as_slice(), value, XattrFlags::empty());
            note(&format!("attribute {}", escape(attribute)), done);
        }
        if entry.kind != Type::Link {
            // Nobody else writes here; what the name means was made a moment ago.
            note("mode", fs::chmodat(&self.here, name, Mode::from_raw_mode(entry.mode), AtFlags::empty()));
        }
        note("times", fs::utimensat(&self.here, name, &times(entry), nofollow));
        for fault in faults {
            self.complain(fault, name);
        }
    }

    /// Keeps the first name of a linked inode where the others can be made from.
    fn stage(&mut self, entry: &Entry) -> Result<()> {
        let Some(group) = entry.links else { return Ok(()) };
        if self.staging.is_none() {
            fs::mkdirat(&self.target, STAGING, Mode::RWXU).map_err(errno)?;
            self.staging = Some(open_directory(self.target.as_fd(), STAGING.as_bytes())?);
        }
        let Some(staging) = &self.staging else { return Ok(()) };
        let number = self.links.len();
        let name = entry.name.as_slice();
        fs::linkat(&self.here, name, staging, number.to_string(), AtFlags::empty()).map_err(errno)?;
        self.links.insert(group, (number, entry.kind));
        Ok(())
    }
}

fn times(entry: &Entry) -> Timestamps {
    let time = Timespec { tv_sec: entry.mtime.seconds, tv_nsec: entry.mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Owner, attributes, mode and times of an open file or directory.
fn metadata(file: &OwnedFd, entry: &Entry, root: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut note = |what: &str, done: std::result::Result<(), Errno>| {
        if let Err(error) = done {
            faults.push(Fault::new(Rule::Io, format!("{what}: {error}")));
        }
    };
    if root {
        let (uid, gid) = (fs::Uid::from_raw(entry.uid), fs::Gid::from_raw(entry.gid));
        note("owner", fs::fchown(file, Some(uid), Some(gid)));
    }
    for (attribute, value) in &entry.attributes {
        let done = fs::fsetxattr(file, attribute.as_slice(), value, XattrFlags::empty());
        note(&format!("attribute {}", escape(attribute)), done);
    }
    note("mode", fs::fchmod(file, Mode::from_raw_mode(entry.mode)));
    note("times", fs::futimens(file, &times(entry)));
    faults
}
