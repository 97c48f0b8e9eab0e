//! Names and numbers of users and groups, as this machine knows them, each looked up once.

use nix::unistd::{Gid, Group, Uid, User};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

/// Answers of the system's user and group databases (files, LDAP, …), remembered: one lookup can take milliseconds.
#[derive(Debug, Default)]
pub struct Owners {
    users: RwLock<HashMap<u32, Vec<u8>>>,
    groups: RwLock<HashMap<u32, Vec<u8>>>,
    uids: RwLock<HashMap<Vec<u8>, Option<u32>>>,
    gids: RwLock<HashMap<Vec<u8>, Option<u32>>>,
}

impl Owners {
    /// The name of user `uid`; empty where none is known or the database does not answer.
    pub fn user(&self, uid: u32) -> Vec<u8> {
        let ask = |&uid: &u32| User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name.into_bytes());
        remembered(&self.users, &uid, |uid| ask(uid).unwrap_or_default())
    }

    /// The name of group `gid`; empty where none is known or the database does not answer.
    pub fn group(&self, gid: u32) -> Vec<u8> {
        let ask = |&gid: &u32| Group::from_gid(Gid::from_raw(gid)).ok().flatten().map(|group| group.name.into_bytes());
        remembered(&self.groups, &gid, |gid| ask(gid).unwrap_or_default())
    }

    /// The number this machine gives user `name`.
    pub fn uid(&self, name: &[u8]) -> Option<u32> {
        remembered(&self.uids, name, |name| {
            let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
            Some(User::from_name(name).ok()??.uid.as_raw())
        })
    }

    /// The number this machine gives group `name`.
    pub fn gid(&self, name: &[u8]) -> Option<u32> {
        remembered(&self.gids, name, |name| {
            let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
            Some(Group::from_name(name).ok()??.gid.as_raw())
        })
    }
}

/// The answer for `key` from `known`, asked for when it is not there yet. The lock is not held while asking.
fn remembered<Key, Asked, Answer>(known: &RwLock<HashMap<Key, Answer>>, key: &Asked, ask: impl FnOnce(&Asked) -> Answer) -> Answer
where
    Key: Eq + Hash + std::borrow::Borrow<Asked>,
    Asked: ToOwned<Owned = Key> + Eq + Hash + ?Sized,
    Answer: Clone,
{
    if let Some(answer) = known.read().unwrap_or_else(PoisonError::into_inner).get(key) {
        return answer.clone();
    }
    let answer = ask(key);
    known.write().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), answer.clone());
    answer
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn root_is_known_and_nonsense_is_not() {
        let owners = Owners::default();
        for _ in 0..2 {
            assert_eq!(owners.user(0), b"root");
            assert_eq!(owners.group(0), b"root");
            assert_eq!(owners.uid(b"root"), Some(0));
            assert_eq!(owners.gid(b"root"), Some(0));
            assert_eq!(owners.user(3_999_999_999), b"");
            assert_eq!(owners.uid(b"no such user, surely"), None);
            assert_eq!(owners.uid(b"\xff"), None);
            assert_eq!(owners.gid(b""), None);
        }
    }
}
