//! The plain model beside the repository: which snapshots were promised, and what they hold; and the judge of what is found.

use super::reading::{Reading, read};
use crate::files::Files;
use crate::lab;
use std::collections::{BTreeMap, BTreeSet};
use vault_engine::format::id::ObjectId;
use vault_engine::format::snapshot::Status;
use vault_engine::ops::repair::RECOVERED_TAG;
use vault_engine::ops::verify::{Damage, DamageKind};
use vault_engine::store::repository::{Repository, StoredSnapshot};

/// What is known of a snapshot, and of those that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// It was acknowledged: it must be there.
    Kept,
    /// Somebody began to make it or to take it away, and nobody heard how that ended: it may be there.
    Open,
    /// That it was forgotten was acknowledged: it must not be there.
    Gone,
}

/// A snapshot and those that took its place.
#[derive(Clone, Debug)]
pub struct Line {
    /// The first one's name.
    pub origin: ObjectId,
    /// Today's, where that is certain.
    pub id: Option<ObjectId>,
    /// What it may hold.
    pub versions: Vec<Files>,
    /// Whether it must be there.
    pub promise: Promise,
    /// Damage that somebody did touches it: it may be lost in part or as a whole.
    pub is_touched: bool,
}

/// What was begun, and holds that.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What was backed up.
    pub label: &'static str,
    /// All of it.
    pub files: Files,
    /// What may be missing.
    pub unreadable: Option<String>,
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The lines.
    pub lines: Vec<Line>,
    /// The backups.
    pub attempts: Vec<Attempt>,
    /// What snapshots held when they were read first.
    contents: BTreeMap<ObjectId, Files>,
    /// Snapshots that a rewrite took a file out of.
    pub dropped: BTreeMap<ObjectId, String>,
    /// Snapshots that nobody confirmed, and that cannot be read.
    wrecks: BTreeSet<ObjectId>,
    /// Objects that a power cut left cut short, or that somebody damaged.
    pub torn: BTreeSet<String>,
    /// Two programs ran at the same time: what was not confirmed may lack something.
    pub may_have_wrecks: bool,
    /// Somebody damaged something, and nobody repaired it so far.
    pub is_harmed: bool,
    /// How many snapshots were read and compared.
    pub compared: u64,
}

/// How a judge looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Snapshots that were read before are verified, not read again.
    Usual,
    /// All is read again.
    Whole,
}

fn origin_of(stored: &StoredSnapshot) -> ObjectId {
    stored.snapshot.original.unwrap_or(stored.id)
}

impl Attempt {
    /// Whether a snapshot that holds `found` may have come of it.
    fn fits(&self, found: &Files) -> bool {
        let Some(path) = &self.unreadable else { return *found == self.files };
        *found == self.files || *found == self.files.clone().without(path)
    }
}

/// Whether all that is in `found` is in `whole`, too; of a checkpoint a file may be there in part.
fn is_part(found: &Files, whole: &Files, in_part: bool) -> bool {
    found.0.iter().all(|(path, bytes)| whole.0.get(path).is_some_and(|all| all == bytes || (in_part && all.starts_with(bytes))))
}

impl Model {
    /// The line that a snapshot is of.
    pub fn line(&mut self, origin: ObjectId) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.origin == origin)
    }

    /// Numbers of the lines that must be there.
    pub fn kept(&self) -> Vec<usize> {
        (0..self.lines.len()).filter(|number| self.lines[*number].promise == Promise::Kept && !self.lines[*number].is_touched).collect()
    }

    /// A backup was acknowledged.
    pub fn acknowledge(&mut self, id: ObjectId, attempt: &Attempt) {
        let mut versions = vec![attempt.files.clone()];
        versions.extend(attempt.unreadable.as_ref().map(|path| attempt.files.clone().without(path)));
        self.lines.push(Line { origin: id, id: Some(id), versions, promise: Promise::Kept, is_touched: false });
    }

    /// Looks at everything that must hold of a repository where nobody works. `settled`: no power cut can change what is there.
    ///
    /// # Panics
    /// If something does not hold.
    pub fn judge(&mut self, repository: &Repository, look: Look, settled: bool) {
        let list = repository.snapshots().unwrap();
        if !self.is_harmed {
            let unknown = |id: &ObjectId| !self.torn.iter().any(|torn| torn.contains(&id.to_hex()));
            let damaged: Vec<_> = list.damaged.iter().filter(|(id, _)| unknown(id)).collect();
            assert!(damaged.is_empty(), "records are damaged: {damaged:?}");
        }
        let mut broken = BTreeSet::new();
        for stored in &list.snapshots {
            if look == Look::Usual && stored.confirmed && !self.is_harmed && self.contents.contains_key(&stored.id) {
                continue;
            }
            let reading = read(repository, stored);
            self.compared += 1;
            self.hold_against(stored, &reading);
            if reading.failure.is_some() {
                broken.insert(stored.id);
            } else {
                self.wrecks.remove(&stored.id);
                self.contents.insert(stored.id, reading.files);
            }
        }
        let damage = self.verify(repository, &list.snapshots);
        // What is told as damage of a snapshot that was read before.
        for touched in damage.iter().flat_map(|damage| &damage.touched) {
            broken.insert(touched.snapshot);
        }
        let is_told = damage.iter().any(|damage| damage.lost > 0 || matches!(damage.kind, DamageKind::Hidden | DamageKind::Control));
        for stored in list.snapshots.iter().filter(|stored| !stored.forgotten && stored.snapshot.status != Status::Partial) {
            self.adopt(stored, broken.contains(&stored.id), settled);
        }
        let there: Vec<&StoredSnapshot> = list.snapshots.iter().filter(|stored| !stored.forgotten && stored.snapshot.status != Status::Partial).collect();
        for line in &mut self.lines {
            let of_it = || there.iter().filter(|stored| origin_of(stored) == line.origin);
            let good = |stored: &&&&StoredSnapshot| (stored.confirmed || self.is_harmed) && !broken.contains(&stored.id);
            match line.promise {
                Promise::Kept if !line.is_touched => {
                    let found = of_it().any(|stored| good(&&stored) && line.id.is_none_or(|id| id == stored.id));
                    if !found && self.is_harmed {
                        assert!(is_told, "{} is lost, and nobody tells", line.origin.short());
                        line.is_touched = true;
                    } else {
                        assert!(
                            found,
                            "acknowledged snapshot {} (now {:?}) is lost; of it there is {:?}",
                            line.origin.short(),
                            line.id.map(|id| id.short()),
                            of_it().map(|stored| (stored.id.short(), stored.confirmed, broken.contains(&stored.id))).collect::<Vec<_>>()
                        );
                        line.id = line.id.or_else(|| of_it().next().filter(|_| settled && of_it().count() == 1).map(|stored| stored.id));
                    }
                }
                Promise::Gone if !self.is_harmed => {
                    assert_eq!(of_it().map(|stored| stored.id.short()).collect::<Vec<_>>(), Vec::<String>::new(), "forgotten, and there again");
                }
                _ => {}
            }
        }
        if !self.is_harmed {
            let unread: Vec<&ObjectId> = broken.iter().filter(|id| !self.wrecks.contains(id)).collect();
            assert!(unread.is_empty(), "snapshots cannot be read: {unread:?}: {damage:?}");
        }
    }

    /// What was read of a snapshot must be what was to be in it, whoever promised it.
    fn hold_against(&mut self, stored: &StoredSnapshot, reading: &Reading) {
        let id = stored.id.short();
        if let Some(error) = &reading.failure {
            let line = self.lines.iter().find(|line| line.origin == origin_of(stored));
            let is_promised = line.is_some_and(|line| line.promise == Promise::Kept && line.id.is_none_or(|id| id == stored.id));
            if !stored.confirmed && self.may_have_wrecks && !is_promised {
                self.wrecks.insert(stored.id);
            } else {
                assert!(self.is_harmed, "{id} cannot be read: {error}");
            }
        }
        let found = &reading.files;
        if let Some(before) = self.contents.get(&stored.id) {
            assert!(is_part(found, before, false), "{id} holds something else than before");
            assert!(reading.failure.is_some() || found == before, "{id} holds less than before");
            return;
        }
        let is_there = self.dropped.get(&stored.id).is_some_and(|path| found.0.contains_key(path));
        assert!(!is_there, "{id} holds what was taken out of it");
        let in_part = stored.snapshot.status == Status::Partial;
        let is_whole = reading.failure.is_none() && !reading.has_marks && !in_part;
        let is_recovered = stored.snapshot.tags.iter().any(|tag| tag == RECOVERED_TAG);
        let labels: Vec<&[u8]> = stored.snapshot.paths.iter().map(Vec::as_slice).collect();
        let attempts = self.attempts.iter().filter(|attempt| is_recovered || labels == [attempt.label.as_bytes()]);
        let versions = self.lines.iter().filter(|line| is_recovered || line.origin == origin_of(stored)).flat_map(|line| &line.versions);
        let fits = if is_whole && !is_recovered {
            // One that is the first of its line may be of a backup that nobody heard the end of.
            versions.clone().any(|files| files == found) || (origin_of(stored) == stored.id && attempts.clone().any(|attempt| attempt.fits(found)))
        } else {
            attempts.map(|attempt| &attempt.files).chain(versions).any(|files| is_part(found, files, in_part))
        };
        let names = || found.0.iter().map(|(path, bytes)| format!("{path}: {}", bytes.len())).collect::<Vec<_>>();
        assert!(fits, "{id} ({:?}) holds what was never backed up: {:?}", stored.snapshot.status, names());
    }

    /// A snapshot that is there and that nobody promised becomes one that may be there; one that is confirmed for good is promised from now on.
    fn adopt(&mut self, stored: &StoredSnapshot, is_broken: bool, settled: bool) {
        let origin = origin_of(stored);
        let files = self.contents.get(&stored.id).cloned();
        if self.line(origin).is_none() {
            self.lines.push(Line { origin, id: None, versions: files.clone().into_iter().collect(), promise: Promise::Open, is_touched: false });
        }
        let is_harmed = self.is_harmed;
        let Some(line) = self.line(origin) else { unreachable!("it was just put") };
        if line.promise == Promise::Open && stored.confirmed && settled && !is_broken && !is_harmed {
            (line.promise, line.id, line.is_touched) = (Promise::Kept, None, false);
        }
        if let Some(files) = files.filter(|files| !line.versions.contains(files)) {
            line.versions.push(files);
        }
    }

    /// Every byte of everything; what is cut short and nobody needs is no damage, and what nobody confirmed and cannot be read none of ours.
    fn verify(&self, repository: &Repository, snapshots: &[StoredSnapshot]) -> Vec<Damage> {
        let readable = || snapshots.iter().map(|stored| stored.id).filter(|id| !self.wrecks.contains(id)).collect();
        let mut damage = lab::damage(repository, if self.wrecks.is_empty() { None } else { Some(readable()) }).unwrap();
        let is_torn = |one: &Damage| self.torn.contains(&one.object) && one.lost == 0 && matches!(one.kind, DamageKind::Control | DamageKind::Pack);
        damage.retain(|one| self.is_harmed || !is_torn(one));
        assert!(self.is_harmed || damage.is_empty(), "damage: {damage:?}");
        damage
    }

    /// Checkpoints of a backup that was acknowledged are gone.
    ///
    /// # Panics
    /// If they are not.
    pub fn no_checkpoints(repository: &Repository, writer: &str, label: &str) {
        let list = repository.snapshots().unwrap().snapshots;
        let is_left = |stored: &&StoredSnapshot| {
            let snapshot = &stored.snapshot;
            !stored.forgotten && snapshot.status == Status::Partial && snapshot.writer == writer && snapshot.paths == [label.as_bytes()]
        };
        assert_eq!(list.iter().filter(is_left).count(), 0, "checkpoints are left");
    }

    /// What was harmed is whole again, as far as it can be: what lost something is nobody's promise any more.
    pub fn is_repaired(&mut self) {
        self.is_harmed = false;
        // One whose confirmation was damaged is promised again when a backup of its host has confirmed it.
        for line in self.lines.iter_mut().filter(|line| line.is_touched || line.promise == Promise::Kept) {
            line.promise = Promise::Open;
        }
    }
}
