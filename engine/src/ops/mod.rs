//! Floor 2: the verbs, all of one shape: options in, monitor told, outcome out.

pub mod alarm;
pub mod backup;
pub mod bench;
pub mod browse;
pub mod confirm;
pub mod diff;
pub mod edit;
pub mod forget;
pub mod heal;
pub mod monitor;
pub mod prune;
pub mod repair;
pub mod restore;
pub mod scrub;
pub mod select;
pub mod source;
pub mod stats;
pub mod target;
pub mod verify;
pub mod walk;

use crate::store::parallel;

#[cfg(test)]
mod testing;
