//! What happens in a life: bytes become a plan. Any bytes are a plan, and bytes that are like each other become plans that are.

use crate::disk::{Effect, Power};
use crate::files::Files;
use crate::random::Random;
use std::sync::{Arc, OnceLock};
use vault_engine::format::layout::ObjectKind;

/// Programs that use the repository: two with a cache each, one without.
pub const MACHINES: usize = 3;
/// What is backed up; any machine may back up each.
pub const SOURCES: [&str; 3] = ["/one", "/two", "/three"];
/// Steps of a life at most.
pub const STEPS_MAX: usize = 12;
/// Bytes that each step is made of.
const STEP_BYTES: usize = 24;

/// A plan for a whole life.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Packs carry parity.
    pub has_parity: bool,
    /// What happens, in this order.
    pub steps: Vec<Step>,
}

/// One of two programs that run at the same time: its machine, what it does, and the call it dies in.
pub type Part = (usize, Act, Option<(u64, Effect)>);

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum Step {
    /// A program runs, to its end or to one of its calls.
    Alone { machine: usize, act: Act, cut: Option<Cut> },
    /// Two programs run at the same time.
    Together { programs: [Part; 2], turns: Vec<u64>, blackout: Option<(u64, Power)> },
    /// The power goes while nobody runs, and takes what dead programs left.
    Blackout(Power),
    /// A machine loses its cache.
    LoseCache(usize),
    /// One object is damaged.
    Harm { kind: ObjectKind, which: usize, how: How },
}

/// Where a program ends that runs alone.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// The call that is its last one, counted from 1.
    pub at: u64,
    /// Whether that call does its work.
    pub effect: Effect,
    /// What the power takes.
    pub power: Power,
}

/// What is done to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is gone.
    Deleted,
    /// One bit of it is another.
    Flipped(usize),
    /// Its second half is gone.
    Halved,
    /// All of it is gone but its name.
    Emptied,
}

/// What a program does.
#[derive(Clone, Debug)]
pub enum Act {
    /// The source changes, and is backed up.
    Backup { source: usize, changes: Vec<(String, Option<u8>)>, unreadable: Option<String>, has_checkpoints: bool, has_parent: bool },
    /// The snapshots of a line are forgotten.
    Forget { which: usize },
    /// Space is freed.
    Prune { unused_percent_max: f64, repack_bytes_max: u64 },
    /// A tag is added.
    Tag { which: usize, tag: u8 },
    /// It is pinned or unpinned.
    Pin { which: usize, on: bool },
    /// A file is dropped.
    Rewrite { which: usize, path: String },
    /// One that was forgotten is put again.
    Undelete { which: usize },
    /// A snapshot is read with what the machine's cache knows, and the repository verified.
    Look { which: usize },
    /// The index is made anew.
    RepairIndex,
    /// All is repaired.
    Repair,
    /// What rotted is mended.
    Heal,
    /// Another key slot.
    AddKey,
    /// The machine's slot is put under another secret.
    ChangeKey,
    /// A new epoch of keys.
    RotateKeys,
}

/// An input, taken apart from the front; behind its end all is zero.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: usize) -> Bytes<'a> {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        Bytes(taken)
    }

    fn byte(&mut self) -> u8 {
        self.take(1).0.first().copied().unwrap_or(0)
    }

    /// A number below `limit`, which is at most 256.
    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    fn path(&mut self) -> String {
        let number = self.below(10);
        format!("{}file-{number}", if number & 1 == 0 { "" } else { "folder/" })
    }

    fn effect(&mut self) -> Effect {
        if self.below(2) == 0 { Effect::Before } else { Effect::After }
    }

    fn power(&mut self) -> Power {
        let seed = u64::from(self.byte());
        match self.below(8) {
            0 | 1 => Power::On,
            2 | 3 => Power::Lost,
            4 => Power::OnlyDeletes,
            5 => Power::OnlyPuts,
            6 => Power::Drawn(seed),
            _ => Power::Torn(seed),
        }
    }

    fn death(&mut self) -> Option<(u64, Effect)> {
        let (at, effect) = (self.byte(), self.effect());
        (at % 2 == 1).then_some((u64::from(at / 2 % 64) + 1, effect))
    }

    fn act(&mut self) -> Act {
        let which = |bytes: &mut Self| usize::from(bytes.byte());
        match self.below(20) {
            0..=6 => {
                let source = self.below(SOURCES.len());
                let flags = self.byte();
                let count = 1 + usize::from(flags & 3);
                let mut changes = Vec::with_capacity(count);
                for _ in 0..count {
                    let path = self.path();
                    let contents = self.byte();
                    changes.push((path, (contents < 192).then_some(contents)));
                }
                let unreadable = (flags & 0xc == 0xc).then(|| self.path());
                Act::Backup { source, changes, unreadable, has_checkpoints: flags & 0x70 == 0x70, has_parent: flags & 0x80 == 0 }
            }
            7..=9 => Act::Forget { which: which(self) },
            10..=12 => {
                let flags = self.byte();
                Act::Prune {
                    unused_percent_max: [0.0, 0.0, 20.0, 100.0][usize::from(flags & 3)],
                    repack_bytes_max: [u64::MAX, u64::MAX, 40_000, 0][usize::from(flags >> 2 & 3)],
                }
            }
            13 => Act::Tag { which: which(self), tag: self.byte() },
            14 => match self.below(3) {
                0 => Act::Pin { which: which(self), on: self.below(2) == 0 },
                _ => Act::Rewrite { which: which(self), path: self.path() },
            },
            15 | 16 => Act::Undelete { which: which(self) },
            17 => Act::Look { which: which(self) },
            18 => [Act::RepairIndex, Act::Repair, Act::Heal][self.below(3)].clone(),
            _ => [Act::AddKey, Act::ChangeKey, Act::RotateKeys][self.below(3)].clone(),
        }
    }

    fn step(&mut self, may_harm: bool) -> Step {
        match self.below(16) {
            0..=7 => {
                let machine = self.below(MACHINES);
                let (death, power) = (self.death(), self.power());
                Step::Alone { machine, cut: death.map(|(at, effect)| Cut { at, effect, power }), act: self.act() }
            }
            8..=11 => {
                let machines = self.byte();
                let deaths = [self.death(), None];
                let (at, power) = (self.byte(), self.power());
                let turns = [64, 64, 16].map(|limit| self.below(limit) as u64).to_vec();
                let (mut first, mut second) = (self.take(7), self.take(STEP_BYTES));
                let [first_death, second_death] = deaths;
                let programs =
                    [(usize::from(machines) % MACHINES, first.act(), first_death), (usize::from(machines) / MACHINES % MACHINES, second.act(), second_death)];
                Step::Together { programs, turns, blackout: (at < 64).then(|| (u64::from(at) + 1, power)) }
            }
            12 => Step::Blackout(self.power()),
            13..=15 if may_harm => {
                let kinds = [ObjectKind::DataPack, ObjectKind::MetaPack, ObjectKind::DataPack, ObjectKind::MetaPack];
                let all = [&kinds[..], &ObjectKind::ALL].concat();
                let kind = all[self.below(all.len())];
                let which = usize::from(self.byte());
                let place = usize::from(self.byte()) << 8 | usize::from(self.byte());
                let how = [How::Deleted, How::Flipped(place), How::Halved, How::Emptied][self.below(4)];
                Step::Harm { kind, which, how }
            }
            _ => Step::LoseCache(self.below(MACHINES)),
        }
    }
}

impl Plan {
    /// The plan that these bytes are.
    pub fn of(input: &[u8]) -> Self {
        let mut bytes = Bytes(input);
        let flags = bytes.byte();
        let (has_parity, may_harm) = (flags & 1 != 0, flags & 6 == 6);
        let mut steps = Vec::new();
        while !bytes.0.is_empty() && steps.len() < STEPS_MAX {
            steps.push(bytes.take(STEP_BYTES).step(may_harm));
        }
        Self { has_parity, steps }
    }

    /// The bytes of a plan that is drawn from a seed.
    pub fn drawn(seed: u64) -> Vec<u8> {
        let mut random = Random(seed);
        let steps = 4 + random.below(STEPS_MAX as u64 - 3) as usize;
        random.bytes(1 + steps * STEP_BYTES)
    }
}

/// Contents that several files and sources come to hold: most small, some empty, some like text, some of several chunks.
pub fn contents(number: u8) -> Arc<Vec<u8>> {
    static ALL: OnceLock<Vec<Arc<Vec<u8>>>> = OnceLock::new();
    let made = |number: u64| {
        let mut random = Random(number);
        Arc::new(match number {
            0 => Vec::new(),
            1..=20 => random.bytes(100 + 900 * number as usize),
            21..=26 => random.words(3_000 * (number as usize - 20)),
            27..=30 => random.bytes(60_000),
            _ => random.bytes(700_000),
        })
    };
    let all = ALL.get_or_init(|| (0..32).map(made).collect());
    all[usize::from(number) % all.len()].clone()
}

/// A source as it is in the beginning.
pub fn first_files(source: usize) -> Files {
    let mut files = Files::default();
    for number in 0..3 {
        files.0.insert(format!("file-{}", number * 2), contents((1 + source * 3 + number) as u8));
    }
    files.0.insert("folder/file-1".to_owned(), contents(5));
    files
}
