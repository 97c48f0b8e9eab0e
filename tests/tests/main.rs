//! All whole-system tests in one binary; `tidy` sees that no file is forgotten.
#![allow(clippy::unwrap_used, clippy::format_collect, clippy::wildcard_imports)]

mod tidy;
