//! Hostile bytes: changed vectors, and changed plaintexts under good seals, are refused or accepted, but never the end of the program.

use std::path::Path;
use vault_rescue::keys::{Class, le};
use vault_rescue::pack::Pack;
use vault_rescue::vectors::{FOLDERS, Vector};
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
