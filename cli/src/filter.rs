//! Which snapshots are meant: the flags that many commands share, and lists written with commas.

use crate::complaint::Complaint;
use crate::units;
use clap::Args;
use std::ffi::OsString;
use vault_engine::format::node::Time;

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

    /// Only snapshots of this source (can be repeated)
    #[arg(long, value_name = "NAME")]
    pub source: Vec<String>,

    /// Only snapshots made at this time or before
    #[arg(long, value_name = "BEFORE", value_parser = time)]
    pub time: Option<Time>,
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
