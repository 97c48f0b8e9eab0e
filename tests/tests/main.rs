//! All whole-system tests in one binary; `tidy` sees that no file is forgotten.
#![allow(clippy::unwrap_used, clippy::format_collect, clippy::wildcard_imports)]

mod bench;
mod checkpoints;
mod crash;
mod cuts;
mod damage;
mod faults;
mod first_minute;
mod golden_repositories;
mod history;
mod hostile;
mod incomplete;
mod keys;
mod matrix;
mod memory;
mod model;
mod ordering;
mod output;
mod power;
mod prune;
mod real_trees;
mod repair;
mod rescue;
mod restore;
mod round_trip;
mod s3;
mod scrub_heal;
mod secrets;
mod selection;
mod streams;
mod tidy;
mod vectors;
mod verify_levels;
mod writers;
