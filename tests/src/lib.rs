//! What the whole-system tests share: a clean room to run the binary in, trees to back up, judges to compare them, damage to do.
//!
//! `README.md` says which test goes where and how each kind of fault is made.
#![allow(clippy::unwrap_used, clippy::return_self_not_must_use, clippy::format_collect)]

#[cfg(feature = "system")]
pub mod call;
#[cfg(feature = "system")]
pub mod can;
#[cfg(feature = "system")]
pub mod clean_room;
#[cfg(feature = "system")]
pub mod compare;
#[cfg(feature = "system")]
pub mod damage;
pub mod disk;
pub mod files;
pub mod hostile;
pub mod lab;
pub mod lives;
#[cfg(feature = "system")]
pub mod mount;
#[cfg(feature = "system")]
pub mod plain;
pub mod random;
pub mod rules;
#[cfg(feature = "system")]
pub mod servers;
pub mod source_text;
#[cfg(feature = "system")]
pub mod tree;
