//! All whole-system tests in one binary.
#![allow(clippy::unwrap_used, clippy::format_collect, clippy::wildcard_imports)]

mod golden_repositories;
mod vectors;
mod writers;
