//! Chapter 14: index segments.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| vault_fuzz::records::index(data));
