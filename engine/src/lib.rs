//! vault's engine: a folder goes in and comes back, byte for byte.
//!
//! Four floors, imports only go down (`DESIGN.md` has the reasons, a test holds the rule):
//!
//! * [`sources`]: where data come from and go to: the file system, streams.
//! * [`ops`]: what one does with a repository: back up, restore, verify, browse.
//! * [`store`]: where bytes live: services, packs, index, caches.
//! * [`mod@format`]: what the bytes mean; pure: no IO, no clock, no dice.
//!
//! The format itself is written down in `format-spec/SPEC.md`.
#![deny(unsafe_code)]

pub mod format;
pub mod ops;
pub mod sources;
pub mod store;
