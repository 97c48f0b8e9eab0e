//! Hostile bytes: changed vectors, and changed plaintexts under good seals, are refused or accepted, but never the end of the program.

use std::path::Path;
use vault_rescue::bundle::{Bundle, Role};
use vault_rescue::fault::Rule;
use vault_rescue::keys::{Class, Keys, Purpose, Wrapped, dk, h, kx, le, part};
use vault_rescue::pack::Pack;
use vault_rescue::snapshot::Forget;
use vault_rescue::vectors::{FOLDERS, Vector};
use vault_rescue::wrapped::ToPublic;
use vault_rescue::{control, seal, vector_ops};

struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }

    /// Changes some bytes; the length too, if `resize`.
    fn change(&mut self, bytes: &mut Vec<u8>, resize: bool) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(if resize { 6 } else { 3 }) {
                5 => bytes.truncate(at),
                4 => bytes.insert(at, self.below(256) as u8),
                3 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                _ => {
                    let value = [0, 1, 0x7f, 0x80, 0xff, 0x9b, 0x5b, self.below(256) as u8][self.below(8)];
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = value;
                    }
                }
            }
        }
    }
}

fn vector(path: &Path) -> Vector {
    let bytes = std::fs::read(path).expect("the vector can be read");
    Vector::parse(&bytes).expect("the vector is one")
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors")
}

#[test]
fn changed_vectors() {
    let mut random = Random(1);
    let mut runs = 0;
    for chapter in FOLDERS {
        for entry in std::fs::read_dir(folder().join(chapter)).expect("the folder is there").flatten() {
            let mut vector = vector(&entry.path());
            // A changed slot may ask for a gigabyte; cutting does not read; repositories need a directory.
            let slow = matches!(vector.fields.get("op").map(String::as_str), Some("slot" | "cut" | "repository"));
            if slow || vector.input.len() > 5000 {
                continue;
            }
            let original = vector.input.clone();
            for _ in 0..200 {
                vector.input.clone_from(&original);
                random.change(&mut vector.input, true);
                let _ = vector_ops::run(&vector);
                runs += 1;
            }
        }
    }
    assert!(runs > 50_000, "only {runs}");
}

#[test]
fn changed_tables_under_good_seals() {
    let vector = vector(&folder().join("packs/data.vec"));
    let (roots, id) = (vector.roots().expect("roots"), vector.id().expect("id"));
    let good = &vector.input;
    let key = roots.of_epoch("control", 0).expect("epoch 0");
    let (start, length) = (le(good, 32, 8) as usize, le(good, 40, 4) as usize);
    let extra = &good[8..96];
    let table = seal::open(&key, 1, 3, &id, extra, &good[start..start + length]).expect("the table opens");
    let mut random = Random(2);
    let mut accepted = 0;
    for _ in 0..20_000 {
        let mut message = table.clone();
        random.change(&mut message, false);
        let sealed = seal::seal(&key, 1, 3, &id, extra, &[7; 32], &message).expect("it seals");
        let mut pack = good.clone();
        pack[start..start + length].copy_from_slice(&sealed);
        let source = pack.as_slice();
        let Ok(opened) = Pack::open(&source, Class::Data, &roots, &id) else { continue };
        accepted += 1;
        for number in 0..opened.blocks.len() {
            if let Ok(plain) = opened.block(&source, number, &roots, &id) {
                let _ = opened.compare(number, &plain, &roots);
            }
        }
    }
    assert!(accepted > 100, "changed names are found later, so some tables are accepted: {accepted}");
}

#[test]
fn changed_messages_under_good_seals() {
    let vector = vector(&folder().join("control/zstd.vec"));
    let (roots, id) = (vector.roots().expect("roots"), vector.id().expect("id"));
    let (extra, sealed) = vector.input.split_at(34);
    let key = roots.of_epoch("control", 0).expect("epoch 0");
    let message = seal::open(&key, 1, 16, &id, extra, sealed).expect("it opens");
    let mut random = Random(3);
    for _ in 0..20_000 {
        let mut changed = message.clone();
        random.change(&mut changed, true);
        let mut object = extra.to_vec();
        object.extend(seal::seal(&key, 1, 16, &id, extra, &[7; 32], &changed).expect("it seals"));
        let _ = control::open(&object, &[16], &roots, &id);
    }
}

#[test]
fn changed_bits_of_a_key_wrapped_to_a_public_key_are_refused() {
    let vector = vector(&folder().join("keys/wrapped-public-1.vec"));
    let (roots, id) = (vector.roots().expect("roots"), vector.id().expect("id"));
    let open = |record: &[u8]| Wrapped::parse(record).and_then(|wrapped| wrapped.open(&roots, &id));
    let mut record = vector.input.clone();
    assert!(open(&record).is_ok());
    // All of the head and the box, and every fifth of the encapsulation, at which each time costs a decapsulation.
    for bit in (0..record.len() * 8).filter(|bit| !(56 * 8..1176 * 8).contains(bit) || bit % 5 == 0) {
        record[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&record).is_err(), "bit {bit}");
        record[bit / 8] ^= 1 << (bit % 8);
    }
}

#[test]
fn public_keys_that_are_none_wrap_nothing_or_something_but_end_nothing() {
    let mut random = Random(4);
    let (id, session, key) = ([1; 16], [2; 16], [3; 32]);
    let wrapped = ToPublic { id: &id, class: Class::Tree, epoch: 0, session: &session, key: &key };
    let (mut refused, mut taken) = (0, 0);
    for round in 0..200usize {
        let length = if round % 4 == 0 { random.below(3000) } else { 1216 };
        let small = round % 2 == 1;
        let public: Vec<u8> = (0..length).map(|_| if small { 0x11 } else { random.below(256) as u8 }).collect();
        match wrapped.wrap(&public, &[4; 64], &[5; 32]) {
            Ok(record) => {
                taken += 1;
                assert!(Wrapped::parse(&record).is_ok());
            }
            Err(_) => refused += 1,
        }
    }
    assert!(taken >= 50 && refused >= 50, "{taken} taken, {refused} refused");
}

/// The message of the bundle of a key file's slot.
fn bundle_of(vector: &Vector) -> Vec<u8> {
    let slot = &vector.input;
    let secret: [u8; 32] = vector.fixed("secret").expect("32 bytes");
    // Key 6 is the first byte string with a length of two bytes; before it lie the pairs that it is bound to.
    let at = 9 + slot[9..].windows(2).position(|pair| pair == [0x06, 0x59]).expect("a long bundle");
    let length = usize::from(u16::from_be_bytes([slot[at + 2], slot[at + 3]]));
    let (id, salt) = (part(slot, 11).expect("id"), &slot[at - 67..at - 35]);
    let (kek, commitment) = kx(&dk("vault v1 slot", &secret), &[salt, &id]);
    assert_eq!(commitment, slot[at - 32..at]);
    let extra = [&[0xa5], &slot[9..at]].concat();
    seal::open(&kek, 1, 4, &id, &extra, &slot[at + 4..at + 4 + length]).expect("the bundle opens")
}

#[test]
fn changed_bundles() {
    let mut random = Random(5);
    for name in ["role-backup", "role-prune", "role-prune-epochs-256"] {
        let message = bundle_of(&vector(&folder().join(format!("slots/{name}.vec"))));
        assert!(Bundle::parse(&message).is_ok());
        let (mut accepted, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut changed = message.clone();
            random.change(&mut changed, true);
            let Ok(bundle) = Bundle::parse(&changed) else {
                refused += 1;
                continue;
            };
            accepted += 1;
            assert!(bundle.role != Role::Owner && bundle.epochs() > 0);
            for epoch in [0, bundle.epochs() - 1, bundle.epochs(), u32::MAX] {
                for purpose in [Purpose::Control, Purpose::Confirm, Purpose::WrapData, Purpose::WrapTree] {
                    let held = bundle.held(purpose, epoch);
                    assert_eq!(epoch >= bundle.epochs(), held.is_err_and(|fault| fault.rule == Rule::UnknownEpoch));
                }
            }
        }
        assert!(accepted > 100 && refused > 100, "{name}: {accepted} accepted, {refused} refused");
    }
}

#[test]
fn changed_objects_in_forget_records() {
    let vector = vector(&folder().join("snapshots/forget-kept-object.vec"));
    let (roots, id) = (vector.roots().expect("roots"), vector.id().expect("id"));
    let kept = Forget::kept(&vector.input, &roots, &id).expect("it is one").expect("it is kept");
    // The record ends with the object, and begins with its hash.
    let start = vector.input.windows(8).position(|bytes| bytes == b"VAULTOB1").expect("the object");
    let mut random = Random(6);
    for round in 0..4000 {
        let mut object = vector.input[start..].to_vec();
        random.change(&mut object, false);
        let mut record = [&vector.input[..start], &object[..]].concat();
        if round % 4 != 0 {
            record[4..36].copy_from_slice(&h(&object));
        }
        let found = Forget::kept(&record, &roots, &id).expect("only the object has changed");
        assert!(found.is_none_or(|record| record == kept));
    }
}
