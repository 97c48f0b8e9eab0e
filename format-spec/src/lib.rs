//! A second reader of vault repositories, written from `SPEC.md` alone; plain, strict and slow.
//!
//! As a judge: `Repository::open`, then `check::check` (everything that is wrong), `Repository::snapshots` and `find`,
//! `walk::Walk` with `show::entry` (a listing that can be compared), `extract::extract`; for single objects the modules of the
//! chapters; for the vectors `vectors::run_all`.

pub mod bundle;
pub mod cbor;
pub mod check;
pub mod chunker;
pub mod config;
pub mod control;
pub mod entry;
pub mod extract;
pub mod fault;
pub mod index;
pub mod keys;
pub mod pack;
pub mod parity;
pub mod repository;
pub mod seal;
pub mod show;
pub mod slot;
pub mod snapshot;
pub mod store;
pub mod tree;
pub mod unlock;
pub mod vector_keys;
pub mod vector_ops;
pub mod vectors;
pub mod walk;
pub mod wrapped;
