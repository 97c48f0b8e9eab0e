//! Chapter 7: key slots as they lie in a hostile store, opened with the vectors' secrets.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_fuzz::slots;

fuzz_target!(|data: &[u8]| slots::compare(data, &slots::secrets()));
