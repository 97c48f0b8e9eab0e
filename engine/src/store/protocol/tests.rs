//! The rules, tried: every order of every call of a few writers and sweepers; random lives of many; and each rule switched off.
#![allow(clippy::unwrap_used)]

mod explore;
mod late_store;
mod random;
mod world;
