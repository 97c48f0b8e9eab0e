//! Damage in the words of whoever owns the files: what cannot be restored whole, of which snapshots, of which source on which host.

use crate::format::id::ObjectId;
use crate::format::node::Time;
use crate::format::snapshot::Snapshot;
use crate::store::repository::StoredSnapshot;
use std::collections::HashMap;

/// Paths that are remembered for each snapshot.
const PATHS_MAX: usize = 10;

/// What cannot be restored whole of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedSource {
    /// The host that was backed up.
    pub host: String,
    /// The explicit name of the source, if it has one.
    pub source: Option<String>,
    /// What was backed up, as the newest affected snapshot says.
    pub paths: Vec<Vec<u8>>,
    /// Snapshots of this source that were looked at.
    pub snapshots_total: u64,
    /// The newest of these can be restored whole, as far as was looked.
    pub newest_is_whole: bool,
    /// Those that cannot, newest first.
    pub snapshots: Vec<AffectedSnapshot>,
}

/// What cannot be restored whole of one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffectedSnapshot {
    /// The snapshot.
    pub id: ObjectId,
    /// When it was begun.
    pub begun: Time,
    /// Entries that are no directories, and lack some or all of their contents.
    pub files: u64,
    /// Directories of which some or all entries cannot be read; these are not counted one by one.
    pub directories: u64,
    /// The first paths, and whether each is a directory.
    pub first: Vec<(Vec<u8>, bool)>,
}

/// What is counted of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    files: u64,
    directories: u64,
    first: Vec<(Vec<u8>, bool)>,
    last: Option<(Vec<u8>, bool)>,
}

impl Tally {
    /// A path is affected. `false`: that was known; a path comes up for each thing that it lacks, one after the other.
    pub(super) fn add(&mut self, path: &[u8], is_directory: bool) -> bool {
        if self.last.as_ref().is_some_and(|(last, was_directory)| last == path && *was_directory == is_directory) {
            return false;
        }
        self.last = Some((path.to_vec(), is_directory));
        if is_directory {
            self.directories += 1;
        } else {
            self.files += 1;
        }
        if self.first.len() < PATHS_MAX {
            self.first.push((path.to_vec(), is_directory));
        }
        true
    }
}

/// What makes snapshots those of one source: host and name, or host and paths.
fn origin(snapshot: &Snapshot) -> (&str, Option<&str>, &[Vec<u8>]) {
    let source = snapshot.source.as_deref();
    (&snapshot.host, source, if source.is_some() { &[] } else { &snapshot.paths })
}

/// Puts tallies of snapshots together. `snapshots` are all that were looked at, oldest first.
pub(super) fn group(snapshots: &[StoredSnapshot], mut tallies: HashMap<ObjectId, Tally>) -> Vec<AffectedSource> {
    let mut sources: Vec<AffectedSource> = Vec::new();
    let mut numbers = HashMap::new();
    for stored in snapshots.iter().rev() {
        let Some(tally) = tallies.remove(&stored.id) else { continue };
        let snapshot = &stored.snapshot;
        let number = *numbers.entry(origin(snapshot)).or_insert_with(|| {
            let (host, source, paths) = (snapshot.host.clone(), snapshot.source.clone(), snapshot.paths.clone());
            sources.push(AffectedSource { host, source, paths, snapshots_total: 0, newest_is_whole: false, snapshots: Vec::new() });
            sources.len() - 1
        });
        let Tally { files, directories, first, .. } = tally;
        sources[number].snapshots.push(AffectedSnapshot { id: stored.id, begun: snapshot.begun, files, directories, first });
    }
    for stored in snapshots {
        let Some(number) = numbers.get(&origin(&stored.snapshot)) else { continue };
        let source = &mut sources[*number];
        source.snapshots_total += 1;
        // The last one that comes by is the newest. What was forgotten is no backup any more.
        if !stored.forgotten {
            source.newest_is_whole = source.snapshots.iter().all(|affected| affected.id != stored.id);
        }
    }
    sources.sort_by(|a, b| (&a.host, &a.source, &a.paths).cmp(&(&b.host, &b.source, &b.paths)));
    sources
}

/// The newest good snapshot of each source: confirmed and not forgotten; where there is none, the newest there is. `snapshots` oldest first.
pub fn newest_of_each(snapshots: &[StoredSnapshot]) -> Vec<StoredSnapshot> {
    let mut newest: HashMap<_, &StoredSnapshot> = HashMap::new();
    let rank = |stored: &StoredSnapshot| (!stored.forgotten, stored.confirmed);
    for stored in snapshots {
        let kept = newest.entry(origin(&stored.snapshot)).or_insert(stored);
        if rank(stored) >= rank(kept) {
            *kept = stored;
        }
    }
    snapshots.iter().filter(|stored| newest.values().any(|kept| kept.id == stored.id)).cloned().collect()
}
