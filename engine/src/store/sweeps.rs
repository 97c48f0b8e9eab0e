//! What lies in `gc/`: which packs are condemned, which are being swept, which sweeps are over.

use super::StoreErrorKind;
use super::error::{RepositoryError, Result};
use super::healed::get_checked;
use super::protocol::SweepsSeen;
use super::repository::Repository;
use crate::format::control;
use crate::format::id::ObjectId;
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::sweep::{SweepRecord, Victims};
use std::collections::BTreeSet;

/// The records in `gc/`, each with its name.
#[derive(Clone, Debug, Default)]
pub struct Sweeps {
    /// Advice to writers.
    pub condemned: Vec<(ObjectId, Victims)>,
    /// Sweeps that are under way or were killed.
    pub active: Vec<(ObjectId, Victims)>,
    /// Sweeps that are over and whose records are still there.
    pub over: Vec<ObjectId>,
    /// Records that a sweep is over.
    pub ends: Vec<ObjectId>,
}

/// The packs of a record.
pub fn packs(victims: &Victims) -> impl Iterator<Item = ObjectId> + '_ {
    victims.data.iter().chain(&victims.meta).copied()
}

impl Sweeps {
    /// As the rules take it.
    pub fn seen(&self) -> SweepsSeen<BTreeSet<ObjectId>> {
        let all = |records: &[(ObjectId, Victims)]| records.iter().flat_map(|(_, victims)| packs(victims)).collect();
        SweepsSeen { condemned: all(&self.condemned), active: all(&self.active) }
    }
}

impl Repository {
    /// Lists `gc/` and reads what is in it. A record that this program does not understand is an error, since it cannot know what is asked of it;
    /// one that does not open is damage, left out and told: whoever can write to the store can put anything there.
    pub fn sweeps(&self) -> Result<Sweeps> {
        let mut sweeps = Sweeps::default();
        let mut over = BTreeSet::new();
        for (id, _) in self.store.list(ObjectKind::Sweep)? {
            let name = ObjectName::new(ObjectKind::Sweep, id);
            let record = get_checked(&*self.store, &name)
                .and_then(|bytes| {
                    let record = control::open_sweep(&self.keys, &bytes).map_err(RepositoryError::of(&name))?;
                    // It opened: what is wrong with it now is no rubbish, but something that this program does not know.
                    SweepRecord::decode(control::sweep_kind(&bytes), &record).map_err(|_| not_understood(&name))
                })
                .inspect_err(|error| self.note(error));
            match record {
                Ok(SweepRecord::Condemn(victims)) => sweeps.condemned.push((id, victims)),
                Ok(SweepRecord::Sweep(victims)) => sweeps.active.push((id, victims)),
                Ok(SweepRecord::Done { sweep, .. }) => {
                    over.insert(sweep);
                    sweeps.ends.push(id);
                }
                // Deleted since the listing: a sweep's record is deleted only after the sweep is over.
                Err(RepositoryError::Store(error)) if error.kind == StoreErrorKind::Missing => {}
                Err(error) if error.is_damage() => self.leave_out(error),
                Err(error) => return Err(error),
            }
        }
        sweeps.active.retain(|(id, _)| !over.contains(id) || (sweeps.over.push(*id), false).1);
        Ok(sweeps)
    }
}

fn not_understood(name: &ObjectName) -> RepositoryError {
    RepositoryError::format(name, crate::format::FormatError::Unsupported { what: "sweep record", number: 0 })
}
