//! Gives an entry all its metadata back, in the one order that works, and tells what it could not.
//!
//! Owner first, since a change of owner clears setuid bits and capabilities; then mode; then attributes, of which ACLs change the mode and
//! capabilities must come after the owner; then flags; then mtime; and what forbids further changes, immutable and append-only, last of all.

use super::owner::Ownership;
use crate::format::node::{KEPT_FLAGS, Metadata, NodeType};
use crate::ops::target::Loss;
use crate::sources::files::metadata::is_kept;
use crate::sources::system::handle::Handle;
use crate::sources::system::statx_of;
use std::ffi::CString;
use std::fmt::Display;
use std::io;
use std::sync::OnceLock;

/// Immutable and append-only: while they stand, nothing else of the entry can be changed.
pub const FROZEN: u32 = 0x30;

const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

/// Flags by their letters, as `chattr` has them.
const LETTERS: [(u32, char); 13] = [
    (0x1, 's'),
    (0x2, 'u'),
    (0x4, 'c'),
    (0x8, 'S'),
    (0x10, 'i'),
    (0x20, 'a'),
    (0x40, 'd'),
    (0x80, 'A'),
    (0x4000, 'j'),
    (0x8000, 't'),
    (0x1_0000, 'D'),
    (0x2_0000, 'T'),
    (0x80_0000, 'C'),
];

/// Takes immutable and append-only off, where they are on. Whether they were.
pub fn thaw(handle: Handle<'_>) -> io::Result<bool> {
    match handle.flags()? {
        Some(flags) if flags & FROZEN != 0 => handle.set_flags(flags & !FROZEN).map(|()| true),
        _ => Ok(false),
    }
}

/// What an entry is like before it is dressed.
struct Before {
    owner: (u32, u32),
    flags: Option<u32>,
    /// Attributes that may have to go.
    xattrs: Vec<CString>,
}

/// What new files of a directory are like: learned from one of them, true of the others, and of those in directories made in it meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Newborn {
    owner: (u32, u32),
    flags: Option<u32>,
}

impl Before {
    /// Looks, and takes off what would forbid all else.
    fn of(handle: Handle<'_>, metadata: &Metadata, losses: &mut Losses) -> io::Result<Self> {
        let mut flags = handle.flags().unwrap_or_else(|error| {
            if metadata.flags != 0 {
                losses.add("flags", error);
            }
            None
        });
        if let Some(now) = flags.filter(|now| now & FROZEN != 0) {
            match handle.set_flags(now & !FROZEN) {
                Ok(()) => flags = Some(now & !FROZEN),
                Err(error) => losses.add("flags", error),
            }
        }
        let found = statx_of(handle.fd())?;
        // Where attributes cannot be listed nothing is known to be wrong; setting those of the snapshot will tell.
        let mut xattrs = handle.xattrs().unwrap_or_default();
        // Labels that this machine's security modules put on every file belong to the place, not to the file.
        let of_the_place = [&b"security.selinux"[..], b"security.SMACK64", b"security.ima", b"security.evm"];
        xattrs.retain(|name| is_kept(name.to_bytes()) && !of_the_place.contains(&name.to_bytes()));
        Ok(Self { owner: (found.stx_uid, found.stx_gid), flags, xattrs })
    }
}

/// Sets all metadata of the entry behind `handle`, and removes attributes and flags that `metadata` does not have. What cannot be set is a
/// [`Loss`]; an error means that the entry could not even be looked at.
pub fn dress(handle: Handle<'_>, metadata: &Metadata, ownership: &Ownership) -> io::Result<Vec<Loss>> {
    let mut losses = Losses::default();
    let before = Before::of(handle, metadata, &mut losses)?;
    put_on(handle, metadata, ownership, &before, losses).map(|(losses, _)| losses)
}

/// The same for a file that was made a moment ago; `newborn` saves looking at each first, and is found out where it is not known.
pub fn dress_new(handle: Handle<'_>, metadata: &Metadata, ownership: &Ownership, newborn: &OnceLock<Newborn>) -> io::Result<Vec<Loss>> {
    // A program must not get the rights of an owner that is only supposed.
    if let Some(&Newborn { owner, flags }) = newborn.get().filter(|_| metadata.mode & 0o6000 == 0) {
        let supposed = Before { owner, flags, xattrs: Vec::new() };
        let (losses, is_owned) = put_on(handle, metadata, ownership, &supposed, Losses::default())?;
        return if is_owned { Ok(losses) } else { dress(handle, metadata, ownership) };
    }
    let mut losses = Losses::default();
    let before = Before::of(handle, metadata, &mut losses)?;
    if before.xattrs.is_empty() && losses.0.is_empty() {
        newborn.get_or_init(|| Newborn { owner: before.owner, flags: before.flags });
    }
    put_on(handle, metadata, ownership, &before, losses).map(|(losses, _)| losses)
}

/// Dresses an entry that is like `before`. Answers whether it has the owner that it then must have, too.
fn put_on(handle: Handle<'_>, metadata: &Metadata, ownership: &Ownership, before: &Before, mut losses: Losses) -> io::Result<(Vec<Loss>, bool)> {
    let flags = before.flags;
    let (uid, gid) = ownership.of(metadata);
    let mut mode = metadata.mode & 0o7777;
    let (user_set, group_set) = set_owner(handle, before.owner, (uid, gid), &mut losses);
    if metadata.node_type != NodeType::Directory {
        // A program must not run with the rights of whoever happens to restore it.
        if !user_set && mode & 0o4000 != 0 {
            mode &= !0o4000;
            losses.add("setuid bit", "the owner could not be set");
        }
        if !group_set && mode & 0o2000 != 0 {
            mode &= !0o2000;
            losses.add("setgid bit", "the group could not be set");
        }
    }
    for name in before.xattrs.iter().filter(|name| metadata.xattrs.iter().all(|xattr| xattr.name != name.to_bytes())) {
        losses.unless(&format!("removal of xattr {}", name.to_string_lossy()), handle.remove_xattr(name));
    }
    let has_mode = metadata.node_type != NodeType::Symlink;
    if has_mode {
        losses.unless("mode", handle.set_mode(mode));
    }
    for xattr in &metadata.xattrs {
        let set = CString::new(xattr.name.as_slice()).map_err(io::Error::from).and_then(|name| handle.set_xattr(&name, &xattr.value));
        if set.is_err() && xattr.name == ACCESS_ACL && has_mode {
            mode = without_acl(mode, &xattr.value);
            losses.unless("mode", handle.set_mode(mode));
        }
        losses.unless(&format!("xattr {}", String::from_utf8_lossy(&xattr.name)), set);
    }
    let has_flags = matches!(metadata.node_type, NodeType::File | NodeType::Directory);
    if has_flags {
        set_flags(handle, flags, KEPT_FLAGS & !FROZEN, metadata.flags, &mut losses);
    }
    losses.unless("mtime", handle.set_mtime(metadata.mtime));
    // Some file systems take everything and keep half of it (owners on vfat, odd seconds, years beyond 2106): ask what came of it.
    let after = statx_of(handle.fd())?;
    let is_owned = (after.stx_uid, after.stx_gid) == (uid, gid) || !user_set || !group_set;
    if !is_owned {
        losses.add("owner", "the file system kept another");
    }
    if has_mode && u32::from(after.stx_mode) & 0o7777 != mode {
        losses.add("mode", format!("the system made it {:o}", after.stx_mode & 0o7777));
    }
    if (after.stx_mtime.tv_sec, after.stx_mtime.tv_nsec) != (metadata.mtime.seconds, metadata.mtime.nanoseconds) {
        losses.add("mtime", "the file system kept another");
    }
    if has_flags && metadata.flags & FROZEN != 0 {
        let now = handle.flags().ok().flatten();
        set_flags(handle, now, FROZEN, metadata.flags, &mut losses);
    }
    Ok((losses.0, is_owned))
}

/// Sets what differs; answers whether user and group are what they should be. One loss at most.
fn set_owner(handle: Handle<'_>, now: (u32, u32), wanted: (u32, u32), losses: &mut Losses) -> (bool, bool) {
    let (user_differs, group_differs) = (now.0 != wanted.0, now.1 != wanted.1);
    if !user_differs && !group_differs {
        return (true, true);
    }
    let Err(error) = handle.set_owner(user_differs.then_some(wanted.0), group_differs.then_some(wanted.1)) else {
        return (true, true);
    };
    // Without root one may still give one's own file to another group one is in.
    let group_set = !group_differs || user_differs && handle.set_owner(None, Some(wanted.1)).is_ok();
    losses.add(if user_differs { "owner" } else { "group" }, error);
    (!user_differs, group_set)
}

/// The mode an entry gets when its access ACL cannot be set. With an ACL the group bits are its mask, the most that anyone named in it may do;
/// without one they would give the owning group that much, so they become what the ACL gives the group.
fn without_acl(mode: u32, acl: &[u8]) -> u32 {
    const GROUP: u16 = 0x04;
    const MASK: u16 = 0x10;
    let permissions = |wanted: u16| {
        let entries = acl.get(4..).unwrap_or_default().chunks_exact(8);
        let of = |entry: &[u8]| (u16::from_le_bytes([entry[0], entry[1]]), u16::from_le_bytes([entry[2], entry[3]]));
        entries.map(of).find(|&(tag, _)| tag == wanted).map(|(_, permissions)| u32::from(permissions) & 7)
    };
    let group = permissions(GROUP).unwrap_or(0) & permissions(MASK).unwrap_or(7);
    mode & !0o070 | group << 3
}

/// Makes the flags in `mask`, `now` being all there are, those of `wanted`, all at once or, where that is refused, one by one, and tells of each that is not so in the end.
fn set_flags(handle: Handle<'_>, now: Option<u32>, mask: u32, wanted: u32, losses: &mut Losses) {
    let mut why: Option<io::Error> = None;
    let mut set = |flags: u32| {
        if let Err(error) = handle.set_flags(flags) {
            why = Some(error);
        }
        handle.flags().ok().flatten().unwrap_or(0)
    };
    let wanted = wanted & mask;
    let Some(mut now) = now else {
        if wanted != 0 {
            losses.add(&name_flags(wanted), "not to be had here");
        }
        return;
    };
    if now & mask != wanted {
        now = set(now & !mask | wanted);
    }
    for (bit, _) in LETTERS {
        if (now & mask ^ wanted) & bit != 0 {
            now = set(now ^ bit);
        }
    }
    let different = now & mask ^ wanted;
    if different != 0 {
        let why = why.map_or_else(|| "the file system ignores it".to_owned(), |error| error.to_string());
        losses.add(&name_flags(different), why);
    }
}

fn name_flags(flags: u32) -> String {
    let letters: String = LETTERS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, letter)| letter).collect();
    format!("flags {letters}")
}

/// What was lost so far, each thing once.
#[derive(Default)]
struct Losses(Vec<Loss>);

impl Losses {
    fn add(&mut self, what: &str, why: impl Display) {
        if self.0.iter().all(|loss| loss.what != what) {
            self.0.push(Loss { what: what.to_owned(), why: why.to_string() });
        }
    }

    fn unless(&mut self, what: &str, done: io::Result<()>) {
        if let Err(error) = done {
            self.add(what, error);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_acl_gives_nobody_more() {
        // user::rwx, user:1:rwx, group::r--, mask::rwx, other::---
        let entry = |tag: u8, permissions: u8| [tag, 0, permissions, 0, 1, 0, 0, 0];
        let acl = [&[2, 0, 0, 0][..], &entry(1, 7), &entry(2, 7), &entry(4, 4), &entry(16, 7), &entry(32, 0)].concat();
        assert_eq!(without_acl(0o4770, &acl), 0o4740);
        assert_eq!(without_acl(0o770, b"nonsense"), 0o700);
        assert_eq!(without_acl(0o770, b""), 0o700);
    }

    #[test]
    fn every_kept_flag_has_its_letter() {
        assert_eq!(LETTERS.iter().map(|(bit, _)| bit).sum::<u32>(), KEPT_FLAGS);
        assert_eq!(name_flags(0x51), "flags sid");
    }
}
