//! Chapter 8: control objects as they lie in a hostile store.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_fuzz::controls;

fuzz_target!(|data: &[u8]| controls::KINDS[..5].iter().for_each(|place| controls::compare(*place, data)));
