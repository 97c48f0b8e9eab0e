//! Whole lives of a repository: a few machines run the engine's operations on one disk, one after another or two at the same time, any of them cut
//! short at any call, with the power or without; a plain model beside it judges after each step.
//!
//! Any bytes are a life ([`plan::Plan::of`]): a fuzzer writes them, a test draws them from seeds. What is left to chance is the order in which the threads
//! of one program make their calls.

mod host;
mod mishaps;
mod model;
mod plan;
mod promises;
mod reading;
mod story;
mod task;
mod turns;

use crate::disk::{Disk, ModelStore, Power};
use crate::files::Files;
use crate::lab::secret;
use host::LifeHost;
use model::{Attempt, Look, Model};
use plan::{Act, Cut, MACHINES, Plan, SOURCES, Step, first_files};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
pub use story::Lived;
use story::Story;
use task::{Program, ROLES, Task, first_secrets};
use vault_engine::format::id::ObjectId;
use vault_engine::format::parity::ParityScheme;
use vault_engine::store::Store;
use vault_engine::store::error::RepositoryError;
use vault_engine::store::repository::{InitOptions, Repository};

const WRITERS: [&str; MACHINES] = ["first", "second", "third"];

/// A task under way: what it is of the model.
struct Begun {
    machine: usize,
    task: Task,
    attempt: Option<Attempt>,
    /// The line that it touches.
    origin: Option<ObjectId>,
}

struct Life {
    disk: Arc<Mutex<Disk>>,
    host: Arc<LifeHost>,
    scratch: PathBuf,
    sources: [Files; SOURCES.len()],
    secrets: Vec<u8>,
    keys_made: u8,
    model: Model,
    lived: Lived,
    has_parity: bool,
    /// Power cuts took something that programs had seen: an alarm may be right.
    was_set_back: bool,
    story: Story,
}

/// The bytes of a life that is drawn from a seed.
pub fn drawn(seed: u64) -> Vec<u8> {
    Plan::drawn(seed)
}

/// Lives the life that these bytes are. Its machines keep their caches in folders of `scratch`, which are gone at the end.
///
/// # Panics
/// If anything does not hold; the story is told before.
pub fn live(input: &[u8], scratch: &Path) -> Lived {
    let plan = Plan::of(input);
    let mut life = Life::begin(&plan, scratch);
    for step in plan.steps {
        life.tell(&step);
        life.lived.steps += 1;
        life.step(step);
    }
    life.end()
}

impl Life {
    fn begin(plan: &Plan, scratch: &Path) -> Self {
        for writer in WRITERS {
            let _ = fs::remove_dir_all(scratch.join(writer));
        }
        let host = Arc::new(LifeHost::new(1));
        let disk = Arc::new(Mutex::new(Disk::default()));
        let parity = Some(if plan.has_parity { ParityScheme::ReedSolomon } else { ParityScheme::None });
        let options = InitOptions { pack_size_bytes: 64 << 10, parity, ..InitOptions::default() };
        let repository = Repository::init(Arc::new(ModelStore::shared(disk.clone())), host.clone(), &first_secrets(), &options, None).unwrap();
        for (_, role, number) in ROLES {
            repository.add_key(&secret(number), role, "role", "first").unwrap();
        }
        drop(repository);
        let sources = [0, 1, 2].map(first_files);
        let mut life = Self {
            disk,
            host,
            scratch: scratch.to_owned(),
            sources,
            secrets: vec![1],
            keys_made: 1,
            model: Model::default(),
            lived: Lived::default(),
            has_parity: plan.has_parity,
            was_set_back: false,
            story: Story::default(),
        };
        // Something to lose, something forgotten, and packs that are needed in part.
        let changed = || ["file-0", "file-2"].map(|path| (path.to_owned(), Some(17))).to_vec();
        for (machine, source, changes) in [(0, 0, Vec::new()), (1, 1, Vec::new()), (0, 0, changed())] {
            life.alone(machine, &Act::Backup { source, changes, unreadable: None, has_checkpoints: false, has_parent: true }, None);
        }
        life.alone(1, &Act::Forget { which: 0 }, None);
        life.judge(Look::Usual);
        life
    }

    fn tell(&mut self, what: &dyn std::fmt::Debug) {
        let mut line = format!("{what:?}");
        if let Some((end, _)) = line.char_indices().nth(400) {
            line.truncate(end);
        }
        self.story.tell(line);
    }

    fn program(&self, machine: usize) -> Program {
        // The last machine keeps nothing.
        let cache = (machine + 1 < MACHINES).then(|| self.scratch.join(WRITERS[machine]));
        Program { host: self.host.clone(), writer: WRITERS[machine], cache, secrets: self.secrets.clone() }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Alone { machine, act, cut } => self.alone(machine, &act, cut),
            Step::Together { programs, turns, blackout } => self.together(&programs, &turns, blackout),
            Step::Blackout(power) => self.blackout(power),
            Step::LoseCache(machine) => drop(fs::remove_dir_all(self.scratch.join(WRITERS[machine]))),
            Step::Harm { kind, which, how } => self.harm(kind, which, how),
        }
        self.judge(Look::Usual);
    }

    fn settled(&self) -> bool {
        self.disk.lock().unwrap().is_settled()
    }

    fn judge(&mut self, look: Look) {
        let store: Arc<dyn Store> = Arc::new(ModelStore::new(self.disk.lock().unwrap().clone()));
        let program = Program { cache: None, ..self.program(0) };
        let repository = program.open(&store).unwrap_or_else(|error| panic!("nobody can open it: {error}"));
        if !self.model.is_harmed {
            repository.check_writable().unwrap_or_else(|error| panic!("nobody can write to it: {error}"));
        }
        let settled = self.settled();
        self.model.judge(&repository, look, settled);
    }

    /// Everybody comes back once more, then all is read.
    fn end(mut self) -> Lived {
        for machine in 0..MACHINES {
            let step = Step::Alone { machine, act: Act::Look { which: machine }, cut: None };
            self.tell(&("at the end", &step));
            self.step(step);
        }
        let backup = Act::Backup { source: 0, changes: Vec::new(), unreadable: None, has_checkpoints: false, has_parent: true };
        for act in [backup, Act::Prune { unused_percent_max: 0.0, repack_bytes_max: u64::MAX }] {
            self.tell(&("at the end", &act));
            self.alone(0, &act, None);
            self.judge(Look::Whole);
        }
        for writer in WRITERS {
            let _ = fs::remove_dir_all(self.scratch.join(writer));
        }
        self.lived.compared = self.model.compared;
        self.lived
    }

    fn alone(&mut self, machine: usize, act: &Act, cut: Option<Cut>) {
        let gone_before: Vec<ObjectId> = self.gone();
        let id_before: Vec<Option<ObjectId>> = self.model.lines.iter().map(|line| line.id).collect();
        let Some(begun) = self.begun(machine, act) else { return };
        let store = ModelStore::shared(self.disk.clone());
        let store = Arc::new(match cut {
            Some(cut) => store.dies(cut.at, cut.effect),
            None => store,
        });
        let shared: Arc<dyn Store> = store.clone();
        let done = self.program(machine).run(&shared, &begun.task);
        self.tell(&("calls", store.calls(), &done));
        if store.died_in().is_some() {
            self.lived.cuts += 1;
            if let Some(cut) = cut.filter(|cut| cut.power != Power::On) {
                self.blackout(cut.power);
            }
            if let Ok(done) = &done {
                // It said so before it died, or did not need the call.
                self.acknowledge(&begun, done);
            }
            return;
        }
        match &done {
            Ok(done) => self.acknowledge(&begun, done),
            Err(error) => {
                self.lived.failed += 1;
                let is_swept = matches!(error, RepositoryError::Swept(_)) || error.concerns_one_object();
                let is_old = matches!(error, RepositoryError::OlderState(_)) && self.was_set_back;
                let may_fail = self.model.is_harmed || is_old || (is_swept && matches!(begun.task, Task::Undelete(_)));
                assert!(may_fail, "{:?} failed: {error}", begun.task);
            }
        }
        self.close(&begun, &done, &gone_before, &id_before);
    }
}
