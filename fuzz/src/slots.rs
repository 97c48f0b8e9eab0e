//! Key slots, read by both readers. Deriving is only worth its time where it is cheap: 64 KiB, one pass.

use crate::judge::agree;
use crate::records;
use crate::world;
use vault_engine::format::keys::Key;
use vault_engine::format::slot::{Secret, Slot};
use vault_rescue::slot as rescue;

/// Cost above which nothing is derived here.
pub const MEMORY_KIB: u32 = 64;

/// The secrets of the vectors, for both readers.
pub fn secrets() -> [(Secret, rescue::Secret); 3] {
    let (file, recovery) = (world::bytes32(world::KEY_FILE), world::bytes32(world::RECOVERY));
    let password = world::PASSWORD.as_bytes().to_vec();
    [
        (Secret::Password(password.clone().into()), rescue::Secret::Password(password)),
        (Secret::KeyFile(Key(file)), rescue::Secret::KeyFile(file)),
        (Secret::Recovery(Key(recovery)), rescue::Secret::Recovery(recovery)),
    ]
}

/// Reads a slot, and opens it with the secret of its kind.
pub fn compare(bytes: &[u8], secrets: &[(Secret, rescue::Secret); 3]) {
    let engine = records::read(bytes, Slot::decode);
    let second = rescue::Slot::parse(bytes);
    if !agree(bytes, &engine, &second) {
        return;
    }
    let (slot, other) = (engine.expect("both accept"), second.expect("both accept"));
    assert_eq!((slot.repository.0, slot.kind as u64), (other.id, other.kind));
    if other.cost.is_some_and(|cost| cost.memory > MEMORY_KIB || cost.passes > 1) {
        return;
    }
    for (secret, other_secret) in secrets {
        let (ring, roots) = (slot.open(secret), other.open(other_secret));
        if !agree(bytes, &ring, &roots.as_ref().map(|_| ()).map_err(Clone::clone)) {
            continue;
        }
        let (ring, roots) = (ring.expect("both accept"), roots.ok().expect("both accept"));
        assert!(ring.roots().unwrap().iter().map(|key| key.0).eq(roots.all().iter().copied()));
        let (label, other_label) = (slot.label(&ring), other.label(&roots));
        if agree(bytes, &label, &other_label) {
            let (label, other) = (label.expect("both accept"), other_label.expect("both accept"));
            assert_eq!((&label.label, &label.host), (&other.text, &other.host));
            assert_eq!((label.created.seconds, label.created.nanoseconds), (other.made.seconds, other.made.nanoseconds));
        }
    }
}
