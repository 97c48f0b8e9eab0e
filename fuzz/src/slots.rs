//! Key slots, read by both readers. Deriving is only worth its time where it is cheap: 64 KiB, one pass.

use crate::judge::agree;
use crate::records;
use crate::world;
use vault_engine::format::keys::{Bundle, Key};
use vault_engine::format::slot::{Secret, Slot};
use vault_rescue::bundle as rescue_bundle;
use vault_rescue::keys::Keys as _;
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
        same_bundle(ring.bundle(), &roots);
        let (label, other_label) = (slot.label(&ring), other.label(&roots));
        if agree(bytes, &label, &other_label) {
            let (label, other) = (label.expect("both accept"), other_label.expect("both accept"));
            assert_eq!((&label.label, &label.host), (&other.text, &other.host));
            assert_eq!(label.role as u64, other.role.number());
            assert_eq!((label.created.seconds, label.created.nanoseconds), (other.made.seconds, other.made.nanoseconds));
        }
    }
}

/// Both hold the same keys.
fn same_bundle(engine: &Bundle, second: &rescue_bundle::Bundle) {
    assert_eq!((engine.role() as u64, engine.epochs() as u32), (second.role.number(), second.epochs()));
    let all = |keys: &[Key]| keys.iter().map(|key| key.0).collect::<Vec<_>>();
    let (held, wrap_tree, public) = match engine {
        Bundle::Owner(roots) => {
            assert_eq!(all(roots), second.all());
            return;
        }
        Bundle::Backup { held, data, tree } => (held, Vec::new(), [Some(data.encode()), Some(tree.encode())]),
        Bundle::Prune { held, wrap_tree } => (held, all(wrap_tree), [None, None]),
    };
    assert_eq!((all(&held.control), all(&held.confirm), wrap_tree), (second.control.clone(), second.confirm.clone(), second.wrap_tree.clone()));
    assert_eq!(public, [second.data_public.clone(), second.tree_public.clone()]);
    let one = |key: &Key| Some(key.0);
    assert_eq!([one(&held.hedge), one(&held.tree_name), one(&held.split), one(&held.own)], [second.hedge, second.tree_name, second.split, second.own]);
    let names = held.data_names.as_ref().map(|[name, chunker]| [name.0, chunker.0]);
    assert_eq!(names, second.data_name.zip(second.chunker).map(|(name, chunker)| [name, chunker]));
}

/// Reads the message of a slot with both readers.
pub fn bundle(bytes: &[u8]) {
    let engine = records::read(bytes, Bundle::decode);
    let second = rescue_bundle::Bundle::parse(bytes);
    if agree(bytes, &engine.as_ref().map(|_| ()).map_err(Clone::clone), &second.as_ref().map(|_| ()).map_err(Clone::clone)) {
        let (engine, second) = (engine.expect("both accept"), second.ok().expect("both accept"));
        same_bundle(&engine, &second);
        assert!(Bundle::decode(&engine.encode()).expect("what is made is read") == engine);
    }
}
