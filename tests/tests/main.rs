//! All whole-system tests in one binary.
#![allow(clippy::unwrap_used)]

mod ordering;
