//! Floor 2: the verbs, all of one shape: options in, monitor told, outcome out.

pub mod monitor;
pub mod source;
pub mod target;
pub mod walk;

#[cfg(test)]
mod testing;
