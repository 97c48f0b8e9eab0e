//! Floor 0: the SPEC in code, one module a chapter; bytes in, bytes out: no IO, no clock, no dice.

pub mod cbor;
pub mod chunker;
pub mod compress;
pub mod config;
pub mod contents;
pub mod control;
pub mod error;
pub mod id;
pub mod index;
pub mod keys;
pub mod layout;
pub mod node;
pub mod pack;
pub mod parity;
pub mod seal;
pub mod secret;
pub mod slot;
pub mod snapshot;
pub mod sweep;
pub mod tree;

pub use error::FormatError;
