//! Floor 3: where data come from and go to: the file system, streams.

pub mod files;
pub mod stream;
mod system;
pub mod tree_target;
