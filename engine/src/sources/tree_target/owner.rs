//! Who owns what is restored: by map, by name, by number.

use super::Options;
use crate::format::node::Metadata;
use crate::sources::system::owners::Owners;
use std::io;

/// Owners that become others at the destination (`--map-owner`), in the order given; the first that fits counts.
///
/// `FROM:TO` is for users, `@FROM:@TO` for groups. Each is a name or, if it is all digits, a number. A name on the left is the one the snapshot
/// has, a name on the right one that this machine knows: `alice:bob`, `1000:backup`, `@users:@100`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnerMap {
    users: Vec<(Who, Who)>,
    groups: Vec<(Who, Who)>,
}

/// A rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("owner map `{0}`: expected FROM:TO for users or @FROM:@TO for groups, each a name or a number")]
pub struct BadOwnerMap(pub String);

/// One side of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Name(Vec<u8>),
    Number(u32),
}

impl OwnerMap {
    /// Appends one rule.
    pub fn add(&mut self, rule: &str) -> Result<(), BadOwnerMap> {
        let bad = || BadOwnerMap(rule.to_owned());
        let (from, to) = rule.split_once(':').ok_or_else(bad)?;
        let (from, to, rules) = match (from.strip_prefix('@'), to.strip_prefix('@')) {
            (Some(from), Some(to)) => (from, to, &mut self.groups),
            (None, None) => (from, to, &mut self.users),
            _ => return Err(bad()),
        };
        rules.push((Who::parse(from).ok_or_else(bad)?, Who::parse(to).ok_or_else(bad)?));
        Ok(())
    }
}

impl Who {
    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.contains([':', '@']) {
            None
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            // All ones stands for "leave alone" in the system's calls.
            text.parse().ok().filter(|&number| number != u32::MAX).map(Self::Number)
        } else {
            Some(Self::Name(text.as_bytes().to_vec()))
        }
    }

    fn is(&self, name: &[u8], number: u32) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Number(own) => *own == number,
        }
    }

    fn local(&self, lookup: impl FnOnce(&[u8]) -> Option<u32>) -> io::Result<u32> {
        match self {
            Self::Number(number) => Ok(*number),
            Self::Name(name) => lookup(name).ok_or_else(|| {
                let problem = format!("owner map: `{}` is not known on this machine", String::from_utf8_lossy(name));
                io::Error::new(io::ErrorKind::InvalidInput, problem)
            }),
        }
    }
}

/// The decided rules, and what this machine knows.
#[derive(Debug)]
pub struct Ownership {
    numeric: bool,
    users: Vec<(Who, u32)>,
    groups: Vec<(Who, u32)>,
    owners: Owners,
}

impl Ownership {
    /// Looks up the right-hand sides; one that is not known is `InvalidInput`.
    pub fn new(options: Options) -> io::Result<Self> {
        let owners = Owners::default();
        let decided = |rules: Vec<(Who, Who)>, lookup: &dyn Fn(&[u8]) -> Option<u32>| {
            rules.into_iter().map(|(from, to)| Ok((from, to.local(lookup)?))).collect::<io::Result<Vec<_>>>()
        };
        let users = decided(options.map_owner.users, &|name| owners.uid(name))?;
        let groups = decided(options.map_owner.groups, &|name| owners.gid(name))?;
        Ok(Self { numeric: options.numeric_ids, users, groups, owners })
    }

    /// User and group that an entry gets here: what the map says, else who has its owner's name here, else its owner's number.
    pub fn of(&self, metadata: &Metadata) -> (u32, u32) {
        let mapped = |rules: &[(Who, u32)], name: &[u8], number| rules.iter().find(|(from, _)| from.is(name, number)).map(|&(_, to)| to);
        let uid = mapped(&self.users, &metadata.user, metadata.uid)
            .or_else(|| if self.numeric { None } else { self.owners.uid(&metadata.user) })
            .unwrap_or(metadata.uid);
        let gid = mapped(&self.groups, &metadata.group, metadata.gid)
            .or_else(|| if self.numeric { None } else { self.owners.gid(&metadata.group) })
            .unwrap_or(metadata.gid);
        (uid, gid)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::format::node::NodeType;

    fn ownership(numeric_ids: bool, rules: &[&str]) -> Ownership {
        let mut map_owner = OwnerMap::default();
        for rule in rules {
            map_owner.add(rule).unwrap();
        }
        Ownership::new(Options { numeric_ids, map_owner }).unwrap()
    }

    fn entry(user: &str, uid: u32, group: &str, gid: u32) -> Metadata {
        Metadata { user: user.into(), uid, group: group.into(), gid, ..Metadata::plain(NodeType::File, 0) }
    }

    #[test]
    fn map_then_name_then_number() {
        let rules = ["alice:root", "1000:7", "@staff-of-elsewhere:@root"];
        assert_eq!(ownership(false, &rules).of(&entry("alice", 1000, "staff-of-elsewhere", 9)), (0, 0));
        assert_eq!(ownership(false, &rules).of(&entry("nobody knows", 1000, "x", 9)), (7, 9));
        assert_eq!(ownership(false, &[]).of(&entry("root", 55, "root", 56)), (0, 0));
        assert_eq!(ownership(true, &[]).of(&entry("root", 55, "root", 56)), (55, 56));
        assert_eq!(ownership(true, &["root:3"]).of(&entry("root", 55, "", 56)), (3, 56));
    }

    #[test]
    fn bad_rules_are_named() {
        for bad in ["", "a", ":", "a:", ":b", "a:@b", "@a:b", "@:@", "a:b:c", "a:4294967295", "a:99999999999"] {
            assert_eq!(OwnerMap::default().add(bad), Err(BadOwnerMap(bad.to_owned())));
        }
        let mut map_owner = OwnerMap::default();
        map_owner.add("a:no-such-user-here").unwrap();
        assert_eq!(Ownership::new(Options { map_owner, ..Options::default() }).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
