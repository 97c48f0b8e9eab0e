//! Which snapshots are meant: the flags that many commands share, and lists written with commas.

use crate::complaint::Complaint;
use crate::output::json::{self, Event};
use crate::session::Session;
use crate::units;
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use vault_engine::format::id::ObjectId;
use vault_engine::format::node::Time;
use vault_engine::ops::alarm::Alarm;
use vault_engine::ops::browse::{self, Place};
use vault_engine::ops::select::{self, Filter, Selector};
use vault_engine::store::error::RepositoryError;
use vault_engine::store::repository::{Repository, SnapshotList, StoredSnapshot};

/// Narrows down which snapshots are looked at.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Which snapshots")]
pub struct FilterArgs {
    /// Only snapshots of this host (can be repeated)
    #[arg(short = 'H', long, value_name = "HOST")]
    pub host: Vec<String>,

    /// Only snapshots of this path (can be repeated; all of them have to be in the snapshot)
    #[arg(long, value_name = "PATH")]
    pub path: Vec<OsString>,

    /// Only snapshots with all of these tags, separated by commas (can be repeated: one of the lists has to fit)
    #[arg(long, value_name = "TAG,…")]
    pub tag: Vec<String>,

    /// Only snapshots of this source
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,

    /// Only snapshots made at this time or before
    #[arg(long, value_name = "BEFORE", value_parser = time)]
    pub time: Option<Time>,
}

impl FilterArgs {
    /// Whether nothing narrows the choice.
    pub fn is_empty(&self) -> bool {
        self.filter() == Filter::default()
    }

    /// As the engine takes it.
    pub fn filter(&self) -> Filter {
        let absolute = |path: &OsString| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
            path.into_os_string().into_vec()
        };
        Filter {
            hosts: self.host.clone(),
            paths: self.path.iter().map(absolute).collect(),
            tags: tag_lists(&self.tag),
            source: self.source.clone(),
            before: self.time,
        }
    }

    /// The snapshots that `ids` mean, or all that fit, oldest first; and whether there are others that cannot be read (which is told).
    pub fn snapshots(&self, repository: &Repository, ids: &[OsString], session: &Session) -> Result<(Vec<StoredSnapshot>, bool), Complaint> {
        let list = repository.snapshots()?;
        tell_older(&list, session)?;
        for (id, error) in &list.damaged {
            tell_damaged(*id, error, session)?;
        }
        let filter = self.filter();
        let mut wanted: Vec<ObjectId> = Vec::with_capacity(ids.len());
        for id in ids {
            wanted.push(select::find(&list.snapshots, &filter, &id.to_string_lossy())?.id);
        }
        // What was forgotten and is still there waits for its removal; only who names it wants to see it.
        let fits = |stored: &StoredSnapshot| if ids.is_empty() { !stored.forgotten && filter.matches(&stored.snapshot) } else { wanted.contains(&stored.id) };
        Ok((list.snapshots.into_iter().filter(fits).collect(), !list.damaged.is_empty()))
    }

    /// The snapshot that `selector` means, and the path behind its colon.
    pub fn snapshot(&self, repository: &Repository, selector: &OsStr, session: &Session) -> Result<(StoredSnapshot, Option<Vec<u8>>), Complaint> {
        let selector = Selector::parse(selector.as_bytes());
        let list = repository.snapshots()?;
        tell_older(&list, session)?;
        let stored = select::find(&list.snapshots, &self.filter(), &selector.snapshot)?.clone();
        Ok((stored, selector.path))
    }

    /// The place in a snapshot that `selector` means: its root, or the path behind its colon.
    pub fn place(&self, repository: &Repository, selector: &OsStr, session: &Session) -> Result<(StoredSnapshot, Place), Complaint> {
        let (stored, path) = self.snapshot(repository, selector, session)?;
        let place = browse::resolve(repository, &stored, path.as_deref().unwrap_or(b"/"))?;
        Ok((stored, place))
    }
}

/// What `path` means below `place`: paths of snapshots are typed with or without a slash before them.
pub fn below(place: &Place, path: &OsStr) -> Vec<u8> {
    let bytes = path.as_bytes();
    let slashes = bytes.iter().take_while(|byte| **byte == b'/').count();
    browse::join(&place.path, &bytes[slashes..])
}

fn tell_older(list: &SnapshotList, session: &Session) -> Result<(), Complaint> {
    list.older.iter().try_for_each(|older| session.output.alarm(&Alarm::OlderState(older.clone())))
}

fn tell_damaged(id: ObjectId, error: &RepositoryError, session: &Session) -> Result<(), Complaint> {
    let item = format!("snapshot {}", id.short());
    session.output.warn(&format!("{item} cannot be read: {error}"));
    let error = json::ErrorText { message: error.to_string() };
    session.output.event(&Event::Error(json::Error { error, during: "list", item, item_hex: None }))
}

/// A time on the command line.
pub fn time(text: &str) -> Result<Time, String> {
    units::time(text)
}

/// A size on the command line.
pub fn size(text: &str) -> Result<u64, String> {
    units::size(text)
}

/// Comma lists become single tags, sorted, each once.
pub fn tags<'a>(lists: impl IntoIterator<Item = &'a String>) -> Result<Vec<String>, Complaint> {
    let mut tags: Vec<String> = Vec::new();
    for list in lists {
        for tag in list.split(',').map(str::trim) {
            if tag.is_empty() {
                return Err(Complaint::usage(format!("the list of tags `{list}` has an empty tag")));
            }
            tags.push(tag.to_owned());
        }
    }
    tags.sort_unstable();
    tags.dedup();
    Ok(tags)
}

/// Each list as alternatives of tags that have to be there together; an empty list means "without tags", as in restic.
pub fn tag_lists(lists: &[String]) -> Vec<Vec<String>> {
    lists.iter().map(|list| list.split(',').map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comma_lists_become_tags() {
        let lists = ["b,a".to_owned(), " a , c".to_owned()];
        assert_eq!(tags(&lists).expect("tags"), ["a", "b", "c"]);
        assert!(tags(&["a,,b".to_owned()]).is_err());
        assert_eq!(tag_lists(&["a,b".into(), String::new()]), [vec!["a", "b"], vec![]]);
    }
}
