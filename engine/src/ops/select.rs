//! Which snapshot somebody means: id prefixes, `latest`, `latest~2`, `ID:path`, and filters.

use crate::format::node::Time;
use crate::format::snapshot::{Snapshot, Status};
use crate::store::error::{RepositoryError, Result};
use crate::store::repository::StoredSnapshot;

/// Snapshots that fit every condition given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// One of these hosts.
    pub hosts: Vec<String>,
    /// All of these paths are among the snapshot's.
    pub paths: Vec<Vec<u8>>,
    /// One of these lists: the snapshot has every tag in it. An empty list means: no tags at all.
    pub tags: Vec<Vec<String>>,
    /// This explicit source.
    pub source: Option<String>,
    /// Begun at this time or before.
    pub before: Option<Time>,
}

impl Filter {
    /// Whether a snapshot fits.
    pub fn matches(&self, snapshot: &Snapshot) -> bool {
        let tagged = |wanted: &Vec<String>| if wanted.is_empty() { snapshot.tags.is_empty() } else { wanted.iter().all(|tag| snapshot.tags.contains(tag)) };
        (self.hosts.is_empty() || self.hosts.contains(&snapshot.host))
            && self.paths.iter().all(|path| snapshot.paths.contains(path))
            && (self.tags.is_empty() || self.tags.iter().any(tagged))
            && self.source.as_ref().is_none_or(|source| snapshot.source.as_ref() == Some(source))
            && self.before.is_none_or(|before| snapshot.begun <= before)
    }
}

/// A selector in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// `latest`, `latest~N` or an id prefix.
    pub snapshot: String,
    /// What follows the first colon, without slashes at either end; `None` without a colon.
    pub path: Option<Vec<u8>>,
}

impl Selector {
    /// Reads `SNAPSHOT` or `SNAPSHOT:PATH`.
    pub fn parse(text: &[u8]) -> Self {
        let (snapshot, path) = match text.iter().position(|byte| *byte == b':') {
            Some(at) => (&text[..at], Some(text[at + 1..].to_vec())),
            None => (text, None),
        };
        Self { snapshot: String::from_utf8_lossy(snapshot).into_owned(), path }
    }
}

/// The names in a path of a snapshot, without empty ones and `.`; `..` is refused since nothing lies above the root.
pub fn components(path: &[u8]) -> Result<Vec<&[u8]>> {
    let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty() && *name != b".").collect();
    if names.contains(&&b".."[..]) {
        return Err(RepositoryError::Invalid(format!("{:?}: `..` has no meaning in a snapshot", String::from_utf8_lossy(path))));
    }
    Ok(names)
}

fn is_good(stored: &StoredSnapshot) -> bool {
    stored.confirmed && !stored.forgotten && stored.snapshot.status != Status::Partial
}

/// The snapshot that `selector` means among `snapshots` (oldest first). `latest` counts only confirmed, whole ones if there
/// are any, and never one that was forgotten; an id prefix finds whatever is there and looks at no filter.
pub fn find<'a>(snapshots: &'a [StoredSnapshot], filter: &Filter, selector: &str) -> Result<&'a StoredSnapshot> {
    let none = || RepositoryError::NoSnapshot(selector.to_owned());
    let back = match selector.strip_prefix("latest") {
        Some("") => Some(0),
        Some(rest) => Some(rest.strip_prefix('~').and_then(|n| n.parse::<usize>().ok()).ok_or_else(none)?),
        None => None,
    };
    if let Some(back) = back {
        let fitting = || snapshots.iter().filter(|stored| !stored.forgotten && filter.matches(&stored.snapshot));
        let any_good = fitting().any(is_good);
        return fitting().filter(|stored| !any_good || is_good(stored)).rev().nth(back).ok_or_else(none);
    }
    if selector.is_empty() {
        return Err(none());
    }
    let wanted = selector.to_ascii_lowercase();
    let mut fitting = snapshots.iter().filter(|stored| stored.id.to_hex().starts_with(&wanted));
    match (fitting.next(), fitting.next()) {
        (Some(stored), None) => Ok(stored),
        (Some(_), Some(_)) => Err(RepositoryError::Ambiguous(selector.to_owned())),
        (None, _) => Err(none()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::id::{ObjectId, TreeId};
    use crate::format::snapshot::Summary;

    fn stored(n: u8, confirmed: bool, tags: &[&str]) -> StoredSnapshot {
        let time = Time { seconds: i64::from(n), nanoseconds: 0 };
        StoredSnapshot {
            id: ObjectId([n; 32]),
            confirmed,
            forgotten: false,
            session: None,
            snapshot: Snapshot {
                begun: time,
                ended: time,
                host: format!("h{}", n % 2),
                user: String::new(),
                source: None,
                paths: vec![b"/a".to_vec()],
                tags: tags.iter().map(ToString::to_string).collect(),
                root: TreeId([0; 32]),
                parent: None,
                writer: String::new(),
                sequence: 1,
                predecessor: None,
                original: None,
                summary: Summary::default(),
                status: Status::Complete,
                missing: 0,
                program: String::new(),
                pinned: None,
            },
        }
    }

    #[test]
    fn selectors_find_what_they_mean() {
        let all = [stored(0x10, true, &[]), stored(0x11, true, &["a", "b"]), stored(0x12, true, &["a"]), stored(0x20, false, &[])];
        let filter = Filter::default();
        let id = |selector: &str| find(&all, &filter, selector).map(|stored| stored.id.0[0]);
        assert_eq!(id("latest").unwrap(), 0x12);
        assert_eq!(id("latest~2").unwrap(), 0x10);
        assert!(matches!(id("latest~3"), Err(RepositoryError::NoSnapshot(_))));
        assert!(matches!(id("latest~x"), Err(RepositoryError::NoSnapshot(_))));
        assert_eq!(id("20").unwrap(), 0x20);
        assert_eq!(id("1212").unwrap(), 0x12);
        assert!(matches!(id("1"), Err(RepositoryError::Ambiguous(_))));
        assert!(matches!(id(""), Err(RepositoryError::NoSnapshot(_))));
        let forget = |forgotten: [usize; 3]| {
            let mut all = all.clone();
            forgotten.iter().for_each(|at| all[*at].forgotten = true);
            find(&all, &filter, "latest").map(|stored| stored.id.0[0]).ok()
        };
        assert_eq!(forget([2, 2, 2]), Some(0x11));
        assert_eq!(forget([0, 1, 2]), Some(0x20), "an unconfirmed one rather than a forgotten one");
        let tagged = Filter { tags: vec![vec!["a".into(), "b".into()]], ..Filter::default() };
        assert_eq!(find(&all, &tagged, "latest").unwrap().id.0[0], 0x11);
        let host = Filter { hosts: vec!["h1".into()], ..Filter::default() };
        assert_eq!(find(&all, &host, "latest").unwrap().id.0[0], 0x11);
        let before = Filter { before: Some(Time { seconds: 0x10, nanoseconds: 0 }), ..Filter::default() };
        assert_eq!(find(&all, &before, "latest").unwrap().id.0[0], 0x10);
    }

    #[test]
    fn selectors_split_at_the_first_colon() {
        assert_eq!(Selector::parse(b"latest:/a:b"), Selector { snapshot: "latest".into(), path: Some(b"/a:b".to_vec()) });
        assert_eq!(Selector::parse(b"abc"), Selector { snapshot: "abc".into(), path: None });
        assert_eq!(components(b"//a/./b/").unwrap(), [b"a", b"b"]);
        assert!(components(b"a/../b").is_err());
    }
}
