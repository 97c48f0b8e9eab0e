//! What the whole-system tests share: a clean room to run the binary in, trees to back up, judges to compare them, damage to do.
//!
//! `README.md` says which test goes where and how each kind of fault is made.
#![allow(clippy::unwrap_used, clippy::return_self_not_must_use, clippy::format_collect)]

pub mod call;
pub mod can;
pub mod clean_room;
pub mod compare;
pub mod damage;
pub mod disk;
pub mod files;
pub mod hostile;
pub mod lab;
pub mod mount;
pub mod plain;
pub mod rules;
pub mod servers;
pub mod source_text;
pub mod tree;
