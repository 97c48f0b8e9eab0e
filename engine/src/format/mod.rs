//! Floor 0: the SPEC in code, one module a chapter; bytes in, bytes out: no IO, no clock, no dice.

pub mod id;
pub mod node;
