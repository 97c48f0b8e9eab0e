//! One repository: its id and root keys, which are those of the vectors.

use std::sync::OnceLock;
use vault_engine::format::id::RepositoryId;
use vault_engine::format::keys::{Bundle, Key, KeyClass, KeyRing, PublicKey, Role, SessionKey, SessionRandom};
use vault_rescue::keys::{Bytes16, Bytes32, Roots};

/// The repository id of the vectors.
pub const ID: Bytes16 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const ROOTS: &str = "ebcebd7cf21ed2af72c262326785a3260d461001bda5edbc909109f340b5f8741ac74667684e53cb83275375a066ac8a17970c000a441ee0de152626cf80a8c4";
/// The password of the vectors' slots.
pub const PASSWORD: &str = "pässword";
/// The key file of the vectors' slots.
pub const KEY_FILE: &str = "cf9c26a3b390d803bcabb69de4268179252c55bcc3c8bb2ea9c4657c9f427763";
/// The recovery key of the vectors' slots.
pub const RECOVERY: &str = "da958b3ea5c280f6f19523f6a9f0fa458e4044fd744e658dc60869a16d8b43f8";

/// The bytes behind 64 hex digits.
pub fn bytes32(hex: &str) -> Bytes32 {
    vault_engine::format::id::parse_hex32(hex).expect("64 digits")
}

fn root_keys() -> Vec<Bytes32> {
    vec![bytes32(&ROOTS[..64]), bytes32(&ROOTS[64..])]
}

/// The engine's keys, two epochs.
pub fn ring() -> &'static KeyRing {
    static RING: OnceLock<KeyRing> = OnceLock::new();
    RING.get_or_init(|| KeyRing::new(RepositoryId(ID), root_keys().into_iter().map(Key).collect()))
}

/// The second reader's keys, the same.
pub fn roots() -> &'static Roots {
    static ROOTS: OnceLock<Roots> = OnceLock::new();
    ROOTS.get_or_init(|| Roots::new(root_keys()).expect("two keys"))
}

/// A session's keys, for data and for trees.
pub fn session(class: KeyClass) -> &'static SessionKey {
    static KEYS: OnceLock<[SessionKey; 2]> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        [KeyClass::Data, KeyClass::Tree]
            .map(|class| ring().session_key(class, &[3; 16], "host", &SessionRandom { key: [4; 32], nonce: [5; 32], encapsulation: [7; 32] }).unwrap())
    });
    &keys[class as usize - 1]
}

/// The keys of a client that reads nothing back.
pub fn backup_ring() -> &'static KeyRing {
    static RING: OnceLock<KeyRing> = OnceLock::new();
    RING.get_or_init(|| {
        let roots: Vec<Key> = root_keys().into_iter().map(Key).collect();
        KeyRing::of(RepositoryId(ID), Bundle::of_role(Role::Backup, &roots, Key([9; 32])).expect("two epochs"))
    })
}

/// The public key of a class and epoch.
pub fn public_key(class: KeyClass, epoch: u32) -> &'static PublicKey {
    static KEYS: OnceLock<Vec<[PublicKey; 2]>> = OnceLock::new();
    let keys = KEYS.get_or_init(|| {
        let of = |purpose, epoch| PublicKey::of(&Key(roots().of_epoch(purpose, epoch).expect("two epochs")));
        (0..2).map(|epoch| [of("wrap data", epoch), of("wrap tree", epoch)]).collect()
    });
    &keys[epoch as usize][class as usize - 1]
}
