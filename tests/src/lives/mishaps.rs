//! What befalls a repository: two programs at the same time, power cuts, damage.

use super::model::{Line, Look, Promise};
use super::plan::{Act, How, Part};
use super::task::{Done, Task};
use super::turns::Turns;
use super::{Begun, Life};
use crate::disk::{ModelStore, Power};
use std::sync::Arc;
use vault_engine::format::id::ObjectId;
use vault_engine::format::layout::{ObjectKind, ObjectName};
use vault_engine::store::Store;
use vault_engine::store::error::Result;

impl Life {
    pub(super) fn together(&mut self, programs: &[Part; 2], turns: &[u64], blackout: Option<(u64, Power)>) {
        let [(first_machine, first, _), (second_machine, second, _)] = programs;
        let mut begin = |machine: usize, act: &Act| {
            let look = || Begun { machine, task: Task::Look(None), attempt: None, origin: None };
            self.begun(machine, act).unwrap_or_else(look)
        };
        let (first, second) = (begin(*first_machine, first), begin(*second_machine, second));
        self.lived.pairs += 1;
        self.model.may_have_wrecks = true;
        let turns = Arc::new(Turns::new(turns, blackout.map(|(at, _)| at)));
        let begun = [first, second];
        let stores: Vec<Arc<ModelStore>> = programs
            .iter()
            .enumerate()
            .map(|(who, (_, _, death))| {
                let gate = turns.clone();
                let store = ModelStore::shared(self.disk.clone()).behind(Box::new(move || gate.wait(who)));
                Arc::new(if let Some((at, effect)) = death { store.dies(*at, *effect) } else { store })
            })
            .collect();
        let life = &*self;
        let done: Vec<Result<Done>> = std::thread::scope(|scope| {
            let running: Vec<_> = begun
                .iter()
                .enumerate()
                .map(|(who, begun)| {
                    let (turns, store): (_, Arc<dyn Store>) = (turns.clone(), stores[who].clone());
                    scope.spawn(move || {
                        let _playing = turns.playing(who);
                        life.program(begun.machine).run(&store, &begun.task)
                    })
                })
                .collect();
            running.into_iter().map(|running| running.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        self.lived.stalls += turns.stalls();
        self.tell(&("calls", stores[0].calls(), stores[1].calls(), &done));
        let touched = |who: usize| match &done[who] {
            Ok(Done::Undeleted { origin, .. }) => Some(*origin),
            _ => begun[who].origin,
        };
        let conflict = touched(0).filter(|origin| Some(*origin) == touched(1));
        for (begun, done) in begun.iter().zip(&done) {
            match done {
                // What it saw is of no moment that anybody knows.
                Ok(Done::Seen { .. } | Done::Repaired(_)) => self.lived.done += 1,
                Ok(done) => self.acknowledge(begun, done),
                Err(_) => self.lived.failed += 1,
            }
        }
        if let Some(line) = conflict.and_then(|origin| self.model.line(origin)) {
            (line.promise, line.id) = (Promise::Open, None);
        }
        if begun.iter().zip(&done).any(|(begun, done)| matches!(begun.task, Task::Undelete(_)) && done.is_err()) {
            // It may have brought back what the other one forgot.
            self.open_gone();
        }
        if let Some((_, power)) = blackout.filter(|_| turns.is_dark()) {
            self.lived.cuts += 1;
            self.blackout(power);
        }
    }

    pub(super) fn blackout(&mut self, power: Power) {
        if power == Power::On {
            return;
        }
        let mut disk = self.disk.lock().unwrap();
        if !disk.is_settled() {
            self.was_set_back = true;
        }
        let torn = disk.cut_power(power);
        self.model.torn.extend(torn.iter().map(ToString::to_string));
    }

    pub(super) fn harm(&mut self, kind: ObjectKind, which: usize, how: How) {
        let mut disk = self.disk.lock().unwrap();
        let names: Vec<ObjectName> = disk.objects().keys().copied().filter(|name| name.kind == kind).collect();
        let Some(name) = names.get(which % names.len().max(1)).copied() else { return };
        let mut bytes = disk.objects()[&name].to_vec();
        let twin = ObjectName::new(if kind == ObjectKind::Key { ObjectKind::KeyCopy } else { ObjectKind::Key }, name.id);
        let is_last = kind.is_slot() && (self.model.torn.contains(&twin.to_string()) || !disk.objects().contains_key(&twin));
        // Without any key slot nobody ever opens it again.
        if bytes.is_empty() || is_last {
            return;
        }
        let length = bytes.len();
        match how {
            How::Deleted => disk.set(name, None),
            How::Flipped(place) => {
                bytes[place % length] ^= 1 << (place % 8);
                disk.set(name, Some(bytes));
            }
            How::Halved => {
                bytes.truncate(length / 2);
                disk.set(name, Some(bytes));
            }
            How::Emptied => disk.set(name, Some(Vec::new())),
        }
        drop(disk);
        self.tell(&name.to_string());
        self.model.torn.insert(name.to_string());
        self.lived.harms += 1;
        self.model.is_harmed = true;
        // A machine that saw what is gone now says so until a person settles it, repaired or not.
        self.was_set_back = true;
        let before = self.touched();
        self.judge(Look::Whole);
        let may_lose = match kind {
            ObjectKind::Snapshot => true,
            ObjectKind::DataPack | ObjectKind::MetaPack => !(self.has_parity && matches!(how, How::Flipped(_))),
            _ => false,
        };
        assert!(may_lose || before == self.touched(), "damage of {name} touches snapshots");
    }

    fn touched(&self) -> Vec<ObjectId> {
        self.model.lines.iter().filter(|line| line.is_touched).map(|line: &Line| line.origin).collect()
    }
}
