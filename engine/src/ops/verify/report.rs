//! What a verification found, gathered by the object that is to blame.

use super::affected::Tally;
use crate::format::id::{ChunkId, ObjectId, TreeId};
use crate::ops::parallel::lock;
use crate::store::error::RepositoryError;
use crate::store::healed::Remedy;
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::sync::Mutex;

/// Objects to blame that are told one by one.
const OBJECTS_MAX: usize = 1000;
/// Paths that are told for each.
const TOUCHED_MAX: usize = 10;
/// Faults that are told for each.
const FAULTS_MAX: usize = 10;

/// What kind of thing is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// A key slot, configuration, snapshot, confirmation, forget record or index segment.
    Control,
    /// A snapshot that should be there is not, and nobody recorded that it was removed: somebody removed or hid it.
    Hidden,
    /// A pack.
    Pack,
    /// A tree: a directory, or a file's list of contents.
    Tree,
    /// A chunk of contents.
    Chunk,
    /// No damage, but nothing that could be verified either: it needs a newer program, or newer keys.
    Unsupported,
}

/// A path that cannot be restored whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// The snapshot.
    pub snapshot: ObjectId,
    /// The path in it.
    pub path: Vec<u8>,
    /// It is a directory, of which some or all entries cannot be read.
    pub is_directory: bool,
}

/// One damaged object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// What kind of thing it is.
    pub kind: DamageKind,
    /// Its name.
    pub object: String,
    /// What is wrong with it; the first ten faults.
    pub what: Vec<String>,
    /// `heal` can mend it without another copy of the repository.
    pub mendable: bool,
    /// How many trees and chunks cannot be read because of it.
    pub lost: u64,
    /// Which files and directories need these; the first ten.
    pub touched: Vec<Touched>,
    /// How many there are.
    pub touched_total: u64,
}

/// Something that is no damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The object, or what kind of object.
    pub object: String,
    /// What is to be said.
    pub what: String,
}

/// Something that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// A tree node.
    Tree(TreeId),
    /// A list, as a file of another size says it were its contents.
    List(TreeId, u64),
    /// A chunk, as long as some file says.
    Chunk(ChunkId, u32),
}

#[derive(Default)]
struct State {
    damage: Vec<Damage>,
    by_object: HashMap<String, usize>,
    lost: HashMap<Lost, usize>,
    notes: Vec<Note>,
    /// Numbers of those that a healed copy makes up for.
    healed: HashSet<usize>,
    /// The path that each damage touched last.
    last: HashMap<usize, Touched>,
    affected: HashMap<ObjectId, Tally>,
}

/// Gathers what is found, from all threads.
#[derive(Default)]
pub struct Report(Mutex<State>);

impl Report {
    /// An object is damaged. Returns the number of that damage.
    pub fn blame(&self, kind: DamageKind, object: &dyn Display, what: &dyn Display) -> usize {
        let mut state = lock(&self.0);
        let mut object = object.to_string();
        if state.damage.len() >= OBJECTS_MAX && !state.by_object.contains_key(&object) {
            "further objects".clone_into(&mut object);
        }
        let known = state.by_object.get(&object).copied();
        let number = known.unwrap_or(state.damage.len());
        if known.is_none() {
            state.by_object.insert(object.clone(), number);
            state.damage.push(Damage { kind, object, what: Vec::new(), mendable: false, lost: 0, touched: Vec::new(), touched_total: 0 });
        }
        let (faults, what) = (&mut state.damage[number].what, what.to_string());
        if faults.len() < FAULTS_MAX && !faults.contains(&what) {
            faults.push(what);
        }
        number
    }

    /// An object could not be read: damage, or not understood. Returns the number of that damage.
    pub fn fault(&self, kind: DamageKind, object: &dyn Display, error: &RepositoryError) -> usize {
        let kind = if error.is_damage() { kind } else { DamageKind::Unsupported };
        // The object stands beside it already.
        let name = object.to_string();
        match error {
            RepositoryError::Format { object: named, error } => match named.strip_prefix(&name).map(str::trim_start) {
                Some("") => self.blame(kind, object, error),
                Some(inside) => self.blame(kind, object, &format!("{inside}: {error}")),
                None => self.blame(kind, object, &format!("{named}: {error}")),
            },
            error => self.blame(kind, object, error),
        }
    }

    /// Whether something was found to be wrong with an object.
    pub fn blames(&self, object: &dyn Display) -> bool {
        lock(&self.0).by_object.contains_key(&object.to_string())
    }

    /// A damaged object can be read all the same. One with a healed copy beside it is as good as whole.
    pub fn remedy(&self, object: &dyn Display, remedy: Remedy) {
        let mut state = lock(&self.0);
        let Some(number) = state.by_object.get(&object.to_string()).copied() else { return };
        state.damage[number].mendable = true;
        if remedy == Remedy::HealedCopy && state.healed.insert(number) {
            let what = format!("{} (the healed copy beside it serves)", state.damage[number].what.join("; "));
            state.notes.push(Note { object: object.to_string(), what });
        }
    }

    /// Something cannot be read because of a damage.
    pub fn lose(&self, lost: Lost, damage: usize) {
        let mut state = lock(&self.0);
        if state.lost.insert(lost, damage).is_none() {
            state.damage[damage].lost += 1;
        }
    }

    /// A path needs something; if that is lost, the path is touched.
    pub fn touch(&self, lost: &Lost, snapshot: ObjectId, path: &[u8], is_directory: bool) -> Touch {
        let mut guard = lock(&self.0);
        let state = &mut *guard;
        let Some(number) = state.lost.get(lost).copied() else { return Touch::Good };
        let damage = &mut state.damage[number];
        let touched = Touched { snapshot, path: path.to_vec(), is_directory };
        // A path comes up once for each thing that it lacks, one after the other.
        if state.last.get(&number) != Some(&touched) {
            damage.touched_total += 1;
            if damage.touched.len() < TOUCHED_MAX {
                damage.touched.push(touched.clone());
            }
            state.last.insert(number, touched);
        }
        if state.affected.entry(snapshot).or_default().add(path, is_directory) { Touch::New } else { Touch::Known }
    }

    /// Whether anything is damaged.
    pub fn has_damage(&self) -> bool {
        let state = lock(&self.0);
        state.damage.len() > state.healed.len()
    }

    /// Whether anything cannot be read.
    pub fn has_lost(&self) -> bool {
        !lock(&self.0).lost.is_empty()
    }

    /// Something that is no damage.
    pub fn note(&self, object: &dyn Display, what: &dyn Display) {
        lock(&self.0).notes.push(Note { object: object.to_string(), what: what.to_string() });
    }

    /// All of it: damage, notes, and what that means for each snapshot.
    pub fn take(&self) -> (Vec<Damage>, Vec<Note>, HashMap<ObjectId, Tally>) {
        let state = std::mem::take(&mut *lock(&self.0));
        let damage = state.damage.into_iter().enumerate().filter(|(number, _)| !state.healed.contains(number)).map(|(_, damage)| damage);
        (damage.collect(), state.notes, state.affected)
    }
}

/// What losses mean for a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It needs nothing of what is lost.
    Good,
    /// It does, and that was known already.
    Known,
    /// It does.
    New,
}
