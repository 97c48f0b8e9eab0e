//! What an operation means for the model: promises are opened when it begins, and kept or closed when it ends.

use super::model::{Attempt, Model, Promise};
use super::plan::{Act, SOURCES, contents};
use super::task::{Done, Program, Task};
use super::{Begun, Life, WRITERS};
use crate::disk::ModelStore;
use crate::files::Files;
use std::sync::Arc;
use vault_engine::format::id::ObjectId;
use vault_engine::store::Store;
use vault_engine::store::error::Result;

impl Life {
    /// What an act is here and now; nothing if there is nothing to do it to.
    pub(super) fn begun(&mut self, machine: usize, act: &Act) -> Option<Begun> {
        let kept = self.model.kept();
        let line = |which: usize| kept.get(which % kept.len().max(1)).map(|number| &self.model.lines[*number]);
        let one = |which: usize| line(which).and_then(|line| Some((line.origin, line.id?)));
        let mut attempt = None;
        let (task, origin) = match act {
            Act::Backup { source, changes, unreadable, has_checkpoints, has_parent } => {
                let files = &mut self.sources[*source];
                for (path, number) in changes {
                    match number {
                        Some(number) => drop(files.0.insert(path.clone(), contents(*number))),
                        None => drop(files.0.remove(path)),
                    }
                }
                let (files, label, unreadable) = (files.clone(), SOURCES[*source], unreadable.clone());
                let begun = Attempt { label, files: files.clone(), unreadable: unreadable.clone() };
                self.model.attempts.push(begun.clone());
                attempt = Some(begun);
                (Task::Backup { files, label, unreadable, has_checkpoints: *has_checkpoints, has_parent: *has_parent }, None)
            }
            Act::Forget { which } => {
                // One of a source stays mostly, as with people.
                let line = line(*which).filter(|_| kept.len() > 1)?;
                let ids = line.id.map_or_else(|| self.listed(line.origin), |id| vec![id]);
                (Task::Forget(ids), Some(line.origin))
            }
            Act::Prune { unused_percent_max, repack_bytes_max } => (Task::Prune(*unused_percent_max, *repack_bytes_max), None),
            Act::Tag { which, tag } => one(*which).map(|(origin, id)| (Task::Tag(id, *tag), Some(origin)))?,
            Act::Pin { which, on } => one(*which).map(|(origin, id)| (Task::Pin(id, *on), Some(origin)))?,
            Act::Rewrite { which, path } => one(*which).map(|(origin, id)| (Task::Rewrite(id, path.clone()), Some(origin)))?,
            Act::Undelete { which } => (Task::Undelete(*which), None),
            Act::Look { which } => one(*which).map_or((Task::Look(None), None), |(origin, id)| (Task::Look(Some(id)), Some(origin))),
            Act::RepairIndex => (Task::RepairIndex, None),
            Act::Repair => (Task::Repair, None),
            Act::Heal => (Task::Heal, None),
            Act::AddKey => (Task::AddKey(self.new_key()), None),
            Act::ChangeKey => (Task::ChangeKey(self.new_key()), None),
            Act::RotateKeys => (Task::RotateKeys(self.new_key()), None),
        };
        let begun = Begun { machine, task, attempt, origin };
        self.open_promises(&begun);
        Some(begun)
    }

    pub(super) fn new_key(&mut self) -> u8 {
        self.keys_made += 1;
        // From now on it may open the repository, and be the only one.
        self.secrets.insert(0, self.keys_made);
        self.keys_made
    }

    /// The names of the snapshots of a line that are there.
    pub(super) fn listed(&self, origin: ObjectId) -> Vec<ObjectId> {
        let store: Arc<dyn Store> = Arc::new(ModelStore::new(self.disk.lock().unwrap().clone()));
        let repository = Program { cache: None, ..self.program(0) }.open(&store).unwrap();
        let list = repository.snapshots().unwrap().snapshots;
        list.iter().filter(|stored| stored.snapshot.original.unwrap_or(stored.id) == origin).map(|stored| stored.id).collect()
    }

    /// From here on until it is acknowledged, what it touches may be so or so.
    pub(super) fn open_promises(&mut self, begun: &Begun) {
        match &begun.task {
            Task::Forget(_) => {
                let line = begun.origin.and_then(|origin| self.model.line(origin)).unwrap();
                line.promise = Promise::Open;
            }
            Task::Tag(..) | Task::Pin(..) | Task::Rewrite(..) => {
                let line = begun.origin.and_then(|origin| self.model.line(origin)).unwrap();
                line.id = None;
                if let Task::Rewrite(_, path) = &begun.task {
                    let without: Vec<Files> = line.versions.iter().map(|files| files.clone().without(path)).collect();
                    line.versions.extend(without);
                }
            }
            Task::Undelete(_) => self.open_gone(),
            Task::Repair if self.model.is_harmed => {
                for line in &mut self.model.lines {
                    line.id = None;
                }
            }
            _ => {}
        }
    }

    pub(super) fn open_gone(&mut self) {
        for line in self.model.lines.iter_mut().filter(|line| line.promise == Promise::Gone) {
            line.promise = Promise::Open;
        }
    }

    pub(super) fn gone(&self) -> Vec<ObjectId> {
        self.model.lines.iter().filter(|line| line.promise == Promise::Gone).map(|line| line.origin).collect()
    }

    /// A program that ran to its end, with nobody beside it, leaves nothing open that it did not touch.
    pub(super) fn close(&mut self, begun: &Begun, done: &Result<Done>, gone: &[ObjectId], ids: &[Option<ObjectId>]) {
        match (&begun.task, done) {
            (Task::Undelete(_), done) => {
                let back = if let Ok(Done::Undeleted { origin, .. }) = done { Some(*origin) } else { None };
                for origin in gone.iter().filter(|origin| Some(**origin) != back) {
                    self.model.line(*origin).unwrap().promise = Promise::Gone;
                }
            }
            (Task::Tag(..) | Task::Pin(..) | Task::Rewrite(..), Ok(Done::Nothing)) => {
                for (line, id) in self.model.lines.iter_mut().zip(ids) {
                    line.id = line.id.or(*id);
                }
            }
            (Task::Backup { label, .. }, Ok(_)) => {
                let store: Arc<dyn Store> = Arc::new(ModelStore::new(self.disk.lock().unwrap().clone()));
                let repository = Program { cache: None, ..self.program(0) }.open(&store).unwrap();
                Model::no_checkpoints(&repository, WRITERS[begun.machine], label);
            }
            (Task::RotateKeys(number), Ok(_)) => self.secrets.retain(|secret| secret == number),
            _ => {}
        }
    }

    pub(super) fn acknowledge(&mut self, begun: &Begun, done: &Done) {
        self.lived.done += 1;
        match (&begun.task, done) {
            (Task::Backup { .. }, Done::Snapshot(id)) => {
                self.lived.acknowledged += 1;
                self.model.acknowledge(*id, begun.attempt.as_ref().unwrap());
            }
            (Task::Forget(_), _) => self.model.line(begun.origin.unwrap()).unwrap().promise = Promise::Gone,
            (Task::Rewrite(_, path), Done::Snapshot(id)) => {
                let line = self.model.line(begun.origin.unwrap()).unwrap();
                (line.id, line.promise) = (Some(*id), Promise::Kept);
                self.model.dropped.insert(*id, path.clone());
            }
            (Task::Tag(..) | Task::Pin(..), Done::Snapshot(id)) => {
                let line = self.model.line(begun.origin.unwrap()).unwrap();
                (line.id, line.promise) = (Some(*id), Promise::Kept);
            }
            (_, Done::Undeleted { origin, id }) => {
                let line = self.model.line(*origin).unwrap_or_else(|| panic!("{} was put again, and never was", origin.short()));
                // One may be put again twice, and then be there twice.
                assert!(line.origin != *id);
                (line.id, line.promise) = (None, Promise::Kept);
            }
            (_, Done::Seen { files, damage, alarms }) => {
                if let (Some(files), Some(origin)) = (files, begun.origin) {
                    let line = self.model.line(origin).unwrap();
                    assert!(line.versions.contains(files), "{} gave something else to the machine {}", origin.short(), WRITERS[begun.machine]);
                }
                // A machine that saw what the power took later is right to say so.
                let is_quiet = self.model.is_harmed || self.model.may_have_wrecks || self.was_set_back;
                assert!(is_quiet || damage.is_empty(), "the machine {} sees damage: {damage}", WRITERS[begun.machine]);
                assert!(is_quiet || alarms.is_empty(), "an alarm: {alarms}");
            }
            (_, Done::Repaired(what)) => {
                assert!(self.model.is_harmed || self.model.may_have_wrecks || what.is_none(), "repaired what was whole: {what:?}");
                if self.model.is_harmed {
                    self.model.is_repaired();
                }
            }
            _ => {}
        }
    }
}
