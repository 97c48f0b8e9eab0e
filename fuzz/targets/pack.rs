//! Chapter 11: packs as they lie in a hostile store. With an odd first byte the hashes of both ends are put right first.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_engine::format::pack::PackKind;
use vault_fuzz::packs::{self, End};

fuzz_target!(|data: &[u8]| {
    let Some((mode, bytes)) = data.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if mode & 1 != 0 && bytes.len() >= 256 {
        let last = bytes.len() - 128;
        for at in [0, last] {
            let mut end = End(bytes[at..at + 128].try_into().expect("128 bytes"));
            if mode & 2 != 0 {
                end.0[80..88].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
            }
            bytes[at..at + 128].copy_from_slice(&end.hashed().0);
        }
    }
    if let Some(end) = bytes.first_chunk::<128>() {
        packs::geometry(end);
    }
    if let Some(end) = bytes.last_chunk::<128>() {
        packs::geometry(end);
    }
    packs::whole(PackKind::Data, &bytes);
    packs::whole(PackKind::Meta, &bytes);
});
