//! Chapter 13: snapshots, forget records and confirmations; the bytes are read as each.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_fuzz::records;

fuzz_target!(|data: &[u8]| {
    records::snapshot(data);
    records::forget(data);
    records::confirmation(data);
});
