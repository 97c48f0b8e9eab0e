//! Chapter 7: what slots hold. The first byte says which bundle is made and then changed, or that the bytes are one as they are.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_engine::format::keys::{Bundle, Key, Role};
use vault_fuzz::{slots, world};

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    let role = match first % 4 {
        0 => Role::Owner,
        1 => Role::Backup,
        2 => Role::Prune,
        _ => return slots::bundle(rest),
    };
    let roots = world::ring().roots().expect("an owner's");
    let mut bytes = Bundle::of_role(role, &roots[..1 + usize::from(first & 4 != 0)], Key([9; 32])).expect("few epochs").encode();
    for change in rest.chunks_exact(4) {
        if bytes.is_empty() {
            break;
        }
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        match change[2] % 4 {
            0 => bytes[at] ^= change[3],
            1 => bytes.insert(at, change[3]),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at + 1),
        }
    }
    slots::bundle(&bytes);
});
