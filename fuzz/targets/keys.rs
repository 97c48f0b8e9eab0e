//! Chapter 5: wrapped keys; the first byte says which parts are put right before reading.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_engine::format::FormatError;
use vault_engine::format::id::ChunkId;
use vault_engine::format::keys::{KeyClass, SessionRandom, WrapPlace};
use vault_engine::format::seal::{Cipher, SealKey, Sealed};
use vault_fuzz::judge::agree;
use vault_fuzz::world;
use vault_rescue::keys::{Class, Wrapped, kh, kx, session_key};

/// Gives a record of 56 bytes and more the commitment and the box that its head asks for.
fn put_right(record: &mut Vec<u8>) {
    if record.first() == Some(&1) {
        return put_right_to_public(record);
    }
    record.resize(128, 0);
    let epoch = u32::from_le_bytes(record[4..8].try_into().expect("four bytes"));
    let purpose = if record[1] == 1 { "wrap data" } else { "wrap tree" };
    let Ok(wrap) = world::roots().of_epoch(purpose, epoch) else { return };
    let (kek, commitment) = kx(&wrap, &[&record[1..2], &record[8..24]]);
    record[24..56].copy_from_slice(&commitment);
    let key: [u8; 32] = record[96..128].try_into().expect("32 bytes");
    let boxed = SealKey::new(&kek).seal(world::ring().repository, Sealed::WrappedKey, Cipher::XChaCha20Poly1305, &record[..56], &[1; 32], &key);
    record[56..].copy_from_slice(&boxed);
}

/// The same to the public key that the head asks for; the encapsulation is what the record's bytes make of it, and then some of them stand over it.
fn put_right_to_public(record: &mut Vec<u8>) {
    let given = std::mem::take(record);
    let at = |from: usize, length: usize| (from..from + length).map(|at| given.get(at).copied().unwrap_or_default()).collect::<Vec<u8>>();
    let class = if given.get(1) == Some(&1) { KeyClass::Data } else { KeyClass::Tree };
    let epoch = u32::from(given.get(4).copied().unwrap_or_default() % 2);
    let place = WrapPlace { repository: world::ring().repository, class, epoch, session: at(8, 16).try_into().expect("16") };
    let random: [u8; 64] = at(24, 64).try_into().expect("64");
    let key: [u8; 32] = at(88, 32).try_into().expect("32");
    *record = place.wrap_to(world::public_key(class, epoch), &random, &key, &[1; 32]);
    for change in given.get(120..).unwrap_or_default().chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % record.len();
        record[at] ^= change[2];
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((flags, record)) = data.split_first() else { return };
    let (ring, roots) = (world::ring(), world::roots());
    let mut record = record.to_vec();
    if flags & 2 != 0 {
        put_right(&mut record);
    }
    let (class, other_class) = if flags & 1 == 0 { (KeyClass::Data, Class::Data) } else { (KeyClass::Tree, Class::Tree) };
    let engine = ring.unwrap(class, &record);
    let second = Wrapped::parse(&record).and_then(|wrapped| {
        if wrapped.class == other_class { wrapped.open(roots, &world::ID) } else { vault_rescue::fault::fail(vault_rescue::fault::Rule::BadStructure, "class") }
    });
    if agree(&record, &engine.as_ref().map(|_| ()).map_err(Clone::clone), &second) {
        // A seal key shows nothing of itself but what it seals.
        let seal = |key: &SealKey| key.seal(ring.repository, Sealed::DataBlock, Cipher::Aes256Gcm, b"", &[2; 32], b"the same");
        assert_eq!(seal(&engine.ok().expect("both accept")), seal(&SealKey::new(&second.expect("both accept"))));
    }

    assert_eq!(ring.data_names().unwrap().name(&record), ChunkId(kh(&roots.naming(Class::Data), &[&record])));
    assert_eq!(ring.name_tree(&record).0, kh(&roots.naming(Class::Tree), &[&record]));
    if let Ok(host) = std::str::from_utf8(&record[record.len().min(48)..]) {
        let mut random = [*flags; 48];
        random[..record.len().min(48)].copy_from_slice(&record[..record.len().min(48)]);
        let (random, session): ([u8; 32], [u8; 16]) = (random[..32].try_into().expect("32"), random[32..].try_into().expect("16"));
        let made = ring.session_key(class, &session, host, &SessionRandom { key: random, nonce: [9; 32], encapsulation: [7; 32] }).unwrap();
        let wrapped = Wrapped::parse(&made.wrapped).expect("what is made is read");
        let key = session_key(roots, 1, &random, host, &session, other_class).expect("epoch 1 is known");
        assert_eq!(wrapped.open(roots, &world::ID), Ok(key));
        assert!(ring.unwrap(class, &made.wrapped).is_ok());
        // One that reads nothing back wraps the same key, and cannot unwrap it.
        let backup = world::backup_ring();
        let made = backup.session_key(class, &session, host, &SessionRandom { key: random, nonce: [9; 32], encapsulation: random }).unwrap();
        assert_eq!(Wrapped::parse(&made.wrapped).expect("what is made is read").open(roots, &world::ID), Ok(key));
        assert!(matches!(backup.unwrap(class, &made.wrapped), Err(FormatError::NotAllowed { .. })));
    }
});
