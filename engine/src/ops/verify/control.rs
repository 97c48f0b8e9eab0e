//! Control objects: each readable and what its name says, and the chains of snapshots without a gap.

use super::report::{DamageKind, Report};
use crate::format::FormatError;
use crate::format::config::Config;
use crate::format::control;
use crate::format::id::ObjectId;
use crate::format::index::Segment;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::seal::Sealed;
use crate::format::slot::Slot;
use crate::format::snapshot::{Forget, Snapshot, Status};
use crate::format::sweep::SweepRecord;
use crate::ops::monitor::Cancel;
use crate::store::StoreErrorKind;
use crate::store::error::{RepositoryError, Result};
use crate::store::healed::get_checked;
use crate::store::last_seen::{Head, Shown};
use crate::store::repository::{Repository, StoredSnapshot};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Checks them all; returns the snapshots that can be read, oldest first.
pub fn check(repository: &Repository, report: &Report, cancel: &Cancel) -> Result<Vec<StoredSnapshot>> {
    let shown = repository.begin_listing();
    let all = Control { repository, report, cancel };
    all.slots()?;
    all.each(ObjectKind::Config, |bytes| Config::decode(&control::open(&repository.keys, Sealed::Config, bytes)?).map(drop))?;
    if repository.store.list(ObjectKind::Config)?.is_empty() {
        report.blame(DamageKind::Control, &ObjectKind::Config.folder(), &"the repository has no configuration: it can be read, but not written to");
    }
    all.each(ObjectKind::Index, |bytes| Segment::decode(&control::open(&repository.keys, Sealed::Index, bytes)?).map(drop))?;
    let snapshots = all.each(ObjectKind::Snapshot, |bytes| {
        let record = control::open(&repository.keys, Sealed::Snapshot, bytes)?;
        Ok((control::stated_epoch(bytes)?, control::session_of(bytes), Snapshot::decode(&record)?))
    })?;
    let forgotten =
        all.each(ObjectKind::Forget, |bytes| Ok((Forget::decode(&control::open(&repository.keys, Sealed::Forget, bytes)?)?, control::stated_epoch(bytes)?)))?;
    let forgotten: Vec<(Forget, u32)> = forgotten.into_iter().map(|(_, forget)| forget).collect();
    // Snapshots that are confirmed, with the latest epoch in which that was said.
    let mut confirmed: HashMap<ObjectId, u32> = HashMap::new();
    for (_, (snapshot, epoch)) in all.each(ObjectKind::Confirmation, |bytes| repository.keys.read_confirmation(bytes))? {
        confirmed.entry(snapshot).and_modify(|latest| *latest = epoch.max(*latest)).or_insert(epoch);
    }
    let mut open: HashMap<ObjectId, usize> = HashMap::new();
    let mut over = HashSet::new();
    for (id, record) in all.each(ObjectKind::Sweep, |bytes| SweepRecord::decode(control::sweep_kind(bytes), &control::open_sweep(&repository.keys, bytes)?))? {
        match record {
            SweepRecord::Condemn(_) => {}
            SweepRecord::Sweep(victims) => drop(open.insert(id, victims.data.len() + victims.meta.len())),
            SweepRecord::Done { sweep, .. } => drop(over.insert(sweep)),
        }
    }
    for (id, packs) in open.into_iter().filter(|(id, _)| !over.contains(id)) {
        let name = ObjectName::new(ObjectKind::Sweep, id);
        report.note(&name, &format!("a sweep of {packs} packs is under way, or was killed: the next prune finishes it"));
    }
    let listed: HashSet<ObjectId> = repository.store.list(ObjectKind::Snapshot)?.into_iter().map(|(id, _)| id).collect();
    last_seen(repository, shown, &snapshots, &listed, &forgotten, report)?;
    let mut stored: Vec<StoredSnapshot> = snapshots
        .into_iter()
        .map(|(id, (epoch, session, snapshot))| {
            let is_confirmed = confirmed.get(&id).is_some_and(|confirmed| *confirmed >= epoch);
            let is_forgotten = forgotten.iter().any(|(forget, by)| forget.snapshot == id && *by >= epoch);
            StoredSnapshot { id, snapshot, confirmed: is_confirmed, forgotten: is_forgotten, session }
        })
        .collect();
    let forgotten: Vec<Forget> = forgotten.into_iter().map(|(forget, _)| forget).collect();
    confirmed.retain(|id, _| !listed.contains(id) && forgotten.iter().all(|forget| forget.snapshot != *id));
    stored.sort_by_key(|stored| (stored.snapshot.begun, stored.snapshot.sequence, stored.id));
    states(&stored, report);
    chains(&stored, &forgotten, &listed, report);
    if !confirmed.is_empty() {
        // A confirmed snapshot goes only with a forget record: this is the one trace of it when all records of its writer are gone.
        let gone = format!("{} confirmed snapshots are not there, and nobody recorded that they were removed: somebody removed or hid them", confirmed.len());
        report.blame(DamageKind::Hidden, &ObjectKind::Confirmation.folder(), &gone);
    }
    Ok(stored)
}

/// A snapshot with the epoch of its envelope and the session that put it.
type Found = (u32, Option<[u8; 16]>, Snapshot);

/// What this machine saw before, and is neither there nor forgotten now.
fn last_seen(
    repository: &Repository,
    mut shown: Shown,
    snapshots: &[(ObjectId, Found)],
    listed: &HashSet<ObjectId>,
    forgotten: &[(Forget, u32)],
    report: &Report,
) -> Result<()> {
    let head = |(id, (epoch, _, snapshot)): &(ObjectId, Found)| (snapshot.writer.clone(), Head { sequence: snapshot.sequence, id: *id, epoch: *epoch });
    // One that was there at the first look may have been forgotten since.
    shown.listed = listed.iter().copied().chain(snapshots.iter().map(|(id, _)| *id)).collect();
    shown.snapshots = snapshots.iter().map(head).collect();
    for older in repository.check_last_seen(shown, forgotten)? {
        report.blame(DamageKind::Hidden, &"an older state", &older);
    }
    Ok(())
}

struct Control<'a> {
    repository: &'a Repository,
    report: &'a Report,
    cancel: &'a Cancel,
}

impl Control<'_> {
    /// Reads all objects of a kind; those that can be read come back.
    fn each<T>(&self, kind: ObjectKind, read: impl Fn(&[u8]) -> std::result::Result<T, FormatError>) -> Result<Vec<(ObjectId, T)>> {
        let mut names = self.repository.store.list(kind)?;
        names.sort_unstable();
        let mut found = Vec::new();
        for (id, _) in names {
            if self.cancel.is_cancelled() {
                return Err(RepositoryError::Cancelled);
            }
            let name = ObjectName::new(kind, id);
            match get_checked(&*self.repository.store, &name).and_then(|bytes| read(&bytes).map_err(RepositoryError::of(&name))) {
                Ok(object) => found.push((id, object)),
                // Removed between listing and reading.
                Err(RepositoryError::Store(error)) if error.kind == StoreErrorKind::Missing => {}
                Err(error) if error.concerns_one_object() => {
                    self.report.fault(DamageKind::Control, &name, &error);
                    if kind == ObjectKind::Index {
                        self.report.blame(DamageKind::Control, &name, &"it is only a hint: nothing is lost by it");
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn slots(&self) -> Result<()> {
        let mut copies: BTreeMap<ObjectId, usize> = BTreeMap::new();
        for kind in [ObjectKind::Key, ObjectKind::KeyCopy] {
            let slots = self.each(kind, |bytes| {
                let slot = Slot::decode(bytes)?;
                Ok((slot.repository, slot.label(&self.repository.keys).err()))
            })?;
            for (id, (repository, label)) in slots {
                *copies.entry(id).or_default() += 1;
                if repository != self.repository.keys.repository {
                    self.report.note(&ObjectName::new(kind, id), &FormatError::WrongRepository);
                } else if let Some(error) = label {
                    self.report.note(&ObjectName::new(kind, id), &format!("its label cannot be read: {error}"));
                }
            }
        }
        for (id, _) in copies.iter().filter(|(_, copies)| **copies < 2) {
            self.report.note(&format!("key slot {}", id.short()), &"only one of its two copies is there and readable");
        }
        Ok(())
    }
}

/// Snapshots that are less than good.
fn states(snapshots: &[StoredSnapshot], report: &Report) {
    for stored in snapshots {
        let name = ObjectName::new(ObjectKind::Snapshot, stored.id);
        match stored.snapshot.status {
            Status::Complete => {}
            Status::Incomplete => report.note(&name, &format!("incomplete: {} entries could not be read when it was made", stored.snapshot.missing)),
            Status::Partial => report.note(&name, &"partial: made before its run ended"),
        }
        if stored.forgotten {
            report.note(&name, &"forgotten: its removal was recorded, but it is still there");
        } else if !stored.confirmed {
            report.note(&name, &"unconfirmed: its run did not get to the end of its checks");
        }
    }
}

/// Gaps in the sequences of writers, and predecessors that are neither there nor forgotten (SPEC chapter 13).
/// `listed` are all snapshots there are, those that cannot be read among them.
fn chains(snapshots: &[StoredSnapshot], forgotten: &[Forget], listed: &HashSet<ObjectId>, report: &Report) {
    let is_known = |id: &ObjectId| listed.contains(id) || forgotten.iter().any(|forget| forget.snapshot == *id);
    let unreadable = listed.iter().any(|id| snapshots.iter().all(|stored| stored.id != *id));
    let hidden = if unreadable { "it is one of those that cannot be read, or somebody removed or hid it" } else { "somebody removed or hid it" };
    let mut writers: BTreeMap<&str, HashMap<u64, HashSet<ObjectId>>> = BTreeMap::new();
    let records = snapshots.iter().map(|stored| (&*stored.snapshot.writer, stored.snapshot.sequence, stored.id));
    for (writer, sequence, id) in records.chain(forgotten.iter().map(|forget| (&*forget.writer, forget.sequence, forget.snapshot))) {
        writers.entry(writer).or_default().entry(sequence).or_default().insert(id);
    }
    for (writer, records) in writers {
        let mut numbers: Vec<u64> = records.keys().copied().collect();
        numbers.sort_unstable();
        let mut expected = 1;
        for number in numbers {
            if number > expected {
                let which = if number - expected == 1 { format!("snapshot {expected}") } else { format!("snapshots {expected} to {}", number - 1) };
                let what = format!("{which} of this host, neither there nor forgotten: {hidden}");
                report.blame(DamageKind::Hidden, &format!("host {writer}"), &what);
            }
            if records[&number].len() > 1 {
                report.note(
                    &format!("host {writer}"),
                    &format!("{} snapshots with the number {number}: two runs at a time, or two machines of one name", records[&number].len()),
                );
            }
            expected = number.saturating_add(1);
        }
    }
    for stored in snapshots {
        let name = ObjectName::new(ObjectKind::Snapshot, stored.id);
        match stored.snapshot.predecessor {
            Some(predecessor) if !is_known(&predecessor) => {
                let what = format!("snapshot {} before it is neither there nor forgotten: somebody removed or hid it", predecessor.short());
                report.blame(DamageKind::Hidden, &name, &what);
            }
            None if stored.snapshot.sequence > 1 => {
                report.blame(DamageKind::Hidden, &name, &format!("number {} of its host names none before it", stored.snapshot.sequence));
            }
            _ => {}
        }
    }
}
