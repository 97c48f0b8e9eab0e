//! Behind the seals: what a holder of the keys who is no friend could write. Each part of an object is made from the input, then
//! sealed with good keys, so that tables, envelopes and bundles are read past their authentication.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_engine::format::cbor::{self, MapWriter};
use vault_engine::format::compress::{self, Compression};
use vault_engine::format::control::{self, SealedBy};
use vault_engine::format::keys::{Key, KeyClass, Role};
use vault_engine::format::node::Time;
use vault_engine::format::pack::{self, ChunkRow, CompressedBlock, PackBuilder, PackKind};
use vault_engine::format::parity::ParityScheme;
use vault_engine::format::seal::{Cipher, SealKey, Sealed, padded_length};
use vault_engine::format::slot::{self, Argon2Cost, Secret, SlotLabel, SlotRandom};
use vault_fuzz::feed::Feed;
use vault_fuzz::packs::{self, End, seal_table};
use vault_fuzz::slots;
use vault_fuzz::{controls, records, world};
use vault_rescue::keys::{dk, kx};

fuzz_target!(|data: &[u8]| {
    let mut feed = Feed(data);
    match feed.byte() % 7 {
        0 => table(&mut feed),
        1 => crooked_pack(&mut feed),
        2 => honest_pack(&mut feed),
        3 => envelope(&mut feed),
        4 => honest_control(&mut feed),
        5 => bundle(&mut feed),
        _ => honest_slot(&mut feed),
    }
});

fn kind(code: u8) -> PackKind {
    if code & 1 == 0 { PackKind::Data } else { PackKind::Meta }
}

/// A table of any bytes, in a pack whose header may be changed as well, under a good seal.
fn table(feed: &mut Feed<'_>) {
    let (kind_code, cipher, epoch, region) = (feed.byte(), feed.byte(), feed.byte(), feed.short() % 2048);
    let (scheme, parity, shard, changes) = (feed.byte() & 1, feed.byte(), feed.byte(), feed.byte() & 3);
    let changes: Vec<[u8; 2]> = (0..changes).map(|_| feed.array()).collect();
    let message = feed.0;
    let parity = if scheme == 0 { (0, 0, 0) } else { (scheme, u64::from(parity), u64::from(shard)) };
    let mut end = End::new(1 + (kind_code & 1), 1 + (cipher & 1), u32::from(epoch % 3 == 1), (128 + region as u64, message.len() as u32 + 40), parity);
    for [at, xor] in changes {
        end.0[8 + usize::from(at) % 88] ^= xor;
    }
    let end = end.hashed();
    let mut bytes = end.0.to_vec();
    bytes.resize(128 + region, 0);
    bytes.extend_from_slice(&seal_table(&end, message));
    bytes.resize(bytes.len() + parity.1 as usize + 2 * parity.2 as usize, 0);
    bytes.extend_from_slice(&end.footer().0);
    packs::geometry(&bytes[..128]);
    packs::whole(kind(kind_code), &bytes);
}

/// A pack of good blocks, with numbers in its rows that may be off.
fn crooked_pack(feed: &mut Feed<'_>) {
    let (kind_code, count, keys) = (feed.byte(), 1 + feed.byte() % 3, 1 + feed.byte() % 3);
    let kind = kind(kind_code);
    let (ring, roots_key) = (world::ring(), world::session(kind.key_class()));
    let other = world::session(if kind == PackKind::Data { KeyClass::Tree } else { KeyClass::Data });
    let (mut body, mut block_rows, mut chunk_rows) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let (chunks, method, cipher, key, off, by) = (1 + feed.byte() % 3, feed.byte(), feed.byte(), feed.byte(), feed.byte(), feed.byte());
        let mut plain = Vec::new();
        for _ in 0..chunks {
            let (length, times, wrong) = (feed.byte(), 1 + usize::from(feed.byte() % 32), feed.byte());
            let chunk = feed.take(usize::from(length)).repeat(times);
            let mut name = pack::name(ring, kind, &chunk).unwrap().0;
            name[0] ^= u8::from(wrong == 255);
            chunk_rows.extend_from_slice(&name);
            chunk_rows.extend_from_slice(&(chunk.len() as u32).wrapping_add(u32::from(off == 1) * u32::from(by)).to_le_bytes());
            plain.extend_from_slice(&chunk);
        }
        let mut stored = Vec::new();
        let method = match method % 8 {
            0..=3 => compress::compress(&plain, Compression::default(), &mut stored) as u8,
            4 => {
                stored.clone_from(&plain);
                0
            }
            // Bytes that say they are a frame.
            5 => {
                stored.clone_from(&plain);
                1
            }
            6 => {
                compress::compress(&plain, Compression::default(), &mut stored);
                stored.push(by);
                1
            }
            other => other,
        };
        let plain_length = (plain.len() as u32).wrapping_add(u32::from(off == 2) * u32::from(by));
        let cipher = cipher % 4;
        let mut extra = vec![method];
        extra.extend_from_slice(&plain_length.to_le_bytes());
        let sealed = if kind == PackKind::Data { Sealed::DataBlock } else { Sealed::TreeBlock };
        let boxed = roots_key.seal.seal(ring.repository, sealed, Cipher::from_code(cipher).unwrap_or_default(), &extra, &[6; 32], &stored);
        block_rows.extend_from_slice(&(boxed.len() as u32).wrapping_add(u32::from(off == 3) * u32::from(by)).to_le_bytes());
        block_rows.extend_from_slice(&plain_length.to_le_bytes());
        block_rows.extend_from_slice(&u32::from(chunks).wrapping_add(u32::from(off == 4) * u32::from(by)).to_le_bytes());
        block_rows.extend_from_slice(&u16::from(key % 4 / 3).to_le_bytes());
        block_rows.extend_from_slice(&[method, cipher]);
        body.extend_from_slice(&boxed);
    }
    let mut message = MapWriter::new();
    cbor::put_bytes(message.key(1), &[3; 16]);
    let list = message.key(2);
    cbor::put_array(list, usize::from(keys));
    for n in 0..keys {
        cbor::put_bytes(list, if n == 2 { &other.wrapped } else { &roots_key.wrapped });
    }
    cbor::put_bytes(message.key(3), &block_rows);
    cbor::put_bytes(message.key(4), &chunk_rows);
    let message = message.finish();
    let end = End::new(kind as u8, 1, 1, (128 + body.len() as u64, message.len() as u32 + 40), (0, 0, 0));
    let mut bytes = [&end.0[..], &body, &seal_table(&end, &message), &end.clone().footer().0].concat();
    // One end may be gone: the other is enough.
    match feed.byte() {
        1 => bytes[0] ^= 1,
        2 => *bytes.last_mut().expect("not empty") ^= 1,
        _ => {}
    }
    packs::whole(kind, &bytes);
}

/// What the engine's builder makes, both readers read.
fn honest_pack(feed: &mut Feed<'_>) {
    let kind = kind(feed.byte());
    let (ring, key) = (world::ring(), world::session(kind.key_class()));
    let scheme = if feed.byte() & 1 == 0 { ParityScheme::None } else { ParityScheme::ReedSolomon };
    let mut builder = PackBuilder::new(kind, [3; 16], key, Vec::new()).with_parity(scheme);
    let mut plains = Vec::new();
    let padding = usize::from(feed.byte());
    while !feed.0.is_empty() && plains.len() < 8 {
        let (chunks, cipher, level) = (1 + feed.byte() % 4, feed.byte(), feed.byte() % 8);
        let (mut plain, mut rows) = (Vec::new(), Vec::new());
        for _ in 0..chunks {
            let (length, times) = (feed.byte(), 1 + usize::from(feed.byte()));
            let mut chunk = feed.take(usize::from(length)).repeat(times);
            chunk.push(length);
            rows.push(ChunkRow { id: pack::name(ring, kind, &chunk).unwrap(), length: chunk.len() as u32 });
            plain.extend_from_slice(&chunk);
        }
        let compression = if level == 0 { Compression::Off } else { Compression::Level(i32::from(level)) };
        let cipher = if cipher & 1 == 0 { Cipher::XChaCha20Poly1305 } else { Cipher::Aes256Gcm };
        builder.push(&CompressedBlock::new(&plain, compression, Vec::new()).seal(ring.repository, kind, &key.seal, cipher, &[6; 32], rows));
        plains.push(plain);
    }
    if plains.is_empty() {
        return;
    }
    let most = builder.estimated_length(padding);
    let (bytes, _) = builder.close(ring, &[7; 32], &vec![0x5a; padding]).expect("far below every limit");
    assert!(bytes.len() <= most);
    assert_eq!(packs::whole(kind, &bytes), Some(plains));
}

/// A control object of any record, its envelope's numbers as the input wants them.
fn envelope(feed: &mut Feed<'_>) {
    let (place, sealed, cipher, method, epoch, wrapped) = (feed.byte(), feed.byte(), feed.byte(), feed.byte(), feed.byte(), feed.byte());
    let (stored_off, plain_off, zeros) = (feed.byte(), feed.byte(), feed.byte());
    let place = controls::KINDS[usize::from(place) % controls::KINDS.len()];
    let sealed = if sealed < 240 { place } else { controls::KINDS[usize::from(sealed) % controls::KINDS.len()] };
    let record = feed.0;
    let mut stored = Vec::new();
    let mut code = if method & 1 == 0 { Compression::Off } else { Compression::default() };
    if record.len() > 1 << 20 {
        code = Compression::Off;
    }
    let mut method_code = compress::compress(record, code, &mut stored) as u8;
    if method >= 252 {
        method_code = method - 252;
    }
    let off = |length: usize, by: u8| if by >= 0xf0 { (length as u32).wrapping_add(u32::from(by)).wrapping_sub(0xf8) } else { length as u32 };
    let mut message = Vec::new();
    message.extend_from_slice(&off(stored.len(), stored_off).to_le_bytes());
    message.extend_from_slice(&if plain_off == 0xef { 64 << 20 } else { off(record.len(), plain_off) }.to_le_bytes());
    message.extend_from_slice(&stored);
    let length = if zeros & 1 == 0 { padded_length(message.len() as u64) as usize } else { message.len() + usize::from(zeros >> 1) };
    message.resize(length, 0);
    if zeros == 0xfe {
        *message.last_mut().expect("eight bytes") |= 1;
    }

    let ring = world::ring();
    let epoch = u32::from(epoch % 8 < 4);
    let tree = world::session(KeyClass::Tree);
    // A snapshot has its key with it, the others have none; one in eight times it is the other way round.
    let wrapped: &[u8] = match (wrapped % 8, sealed == Sealed::Snapshot) {
        (0, _) => &world::session(KeyClass::Data).wrapped,
        (1, true) => &[],
        (1, false) | (_, true) => &tree.wrapped,
        (_, false) => &[],
    };
    let cipher = cipher % 16;
    let cipher_code = if cipher < 14 { 1 + cipher % 2 } else { cipher };
    let mut out = b"VAULTOB1".to_vec();
    out.extend_from_slice(&[sealed as u8, cipher_code, method_code, 0]);
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&world::ID);
    out.extend_from_slice(&(wrapped.len() as u16).to_le_bytes());
    out.extend_from_slice(wrapped);
    let key = if sealed == Sealed::Snapshot { &tree.seal } else { ring.control(epoch).expect("two epochs") };
    let boxed = key.seal(ring.repository, sealed, Cipher::from_code(cipher_code).unwrap_or_default(), &out, &[1; 32], &message);
    out.extend_from_slice(&boxed);
    controls::compare(place, &out);
    records::tree(record);
}

/// What the engine puts, both readers open.
fn honest_control(feed: &mut Feed<'_>) {
    let place = controls::KINDS[usize::from(feed.byte()) % controls::KINDS.len()];
    let by = if place == Sealed::Snapshot { SealedBy::Session(world::session(KeyClass::Tree)) } else { SealedBy::Control };
    let times = 1 + usize::from(feed.byte() % 16);
    let record = feed.0.repeat(times);
    let bytes = control::create(world::ring(), place, &by, &record, &[1; 32]).expect("far below every limit");
    assert_eq!(control::open(world::ring(), place, &bytes).as_ref(), Ok(&record));
    assert_eq!(vault_rescue::control::open(&bytes, &[place as u8], world::roots(), &world::ID).as_ref(), Ok(&record));
}

/// A key slot whose bundle and label are any bytes; for a key file or a recovery key, which need no stretching.
fn bundle(feed: &mut Feed<'_>) {
    let (kind, kdf, optional, label_epoch, length) = (2 + u64::from(feed.byte() % 2), feed.byte(), feed.byte(), feed.byte(), feed.short());
    let (bundle, label) = (feed.take(length), feed.0);
    let salt = [kdf; 32];
    let secrets = slots::secrets();
    let mut derivation = MapWriter::new();
    cbor::put_uint(derivation.key(1), 0);
    if optional & 1 != 0 {
        cbor::put_uint(derivation.key(100), 1);
    }
    let derivation = derivation.finish();
    let secret = world::bytes32(if kind == 2 { world::KEY_FILE } else { world::RECOVERY });
    let (kek, commitment) = kx(&dk("vault v1 slot", &secret), &[&salt, &world::ID]);
    let head = |map: &mut MapWriter| {
        cbor::put_bytes(map.key(1), &world::ID);
        cbor::put_uint(map.key(2), kind);
        map.key(3).extend_from_slice(&derivation);
        cbor::put_bytes(map.key(4), &salt);
        cbor::put_bytes(map.key(5), &commitment);
    };
    let (mut extra, mut map, mut label_extra) = (MapWriter::new(), MapWriter::new(), MapWriter::new());
    head(&mut extra);
    head(&mut map);
    head(&mut label_extra);
    let ring = world::ring();
    let boxed = SealKey::new(&kek).seal(ring.repository, Sealed::SlotBundle, Cipher::XChaCha20Poly1305, &extra.finish(), &[1; 32], bundle);
    for map in [&mut map, &mut label_extra] {
        cbor::put_bytes(map.key(6), &boxed);
        cbor::put_uint(map.key(7), u64::from(label_epoch % 3));
    }
    let by = ring.control(u32::from(label_epoch % 3).min(1)).expect("two epochs");
    cbor::put_bytes(map.key(8), &by.seal(ring.repository, Sealed::SlotLabel, Cipher::XChaCha20Poly1305, &label_extra.finish(), &[2; 32], label));
    if optional & 2 != 0 {
        cbor::put_text(map.key(127), "?");
    }
    let mut bytes = b"VAULTKY1".to_vec();
    map.finish_into(&mut bytes);
    slots::compare(&bytes, &secrets);
}

/// What the engine makes, both readers open.
fn honest_slot(feed: &mut Feed<'_>) {
    let (kind, salt, seconds, nanoseconds, length) =
        (feed.byte() % 3, feed.array(), i64::from_le_bytes(feed.array()), u32::from_le_bytes(feed.array()), feed.byte());
    let label = String::from_utf8_lossy(feed.take(usize::from(length))).into_owned();
    let host = String::from_utf8_lossy(feed.0).into_owned();
    let label = SlotLabel { label, created: Time { seconds, nanoseconds: nanoseconds % 1_000_000_000 }, host, role: Role::Owner };
    let secrets = slots::secrets();
    let secret = &secrets[usize::from(kind)].0;
    let cost = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };
    let bytes =
        slot::create(world::ring(), world::ring().bundle(), secret, cost, &label, &SlotRandom { salt, bundle: [1; 32], label: [2; 32] }).expect("a small cost");
    if bytes.len() > slot::SLOT_LENGTH_MAX {
        return;
    }
    let read = slot::Slot::decode(&bytes).expect("what is made is read");
    let ring = read.open(secret).expect("its own secret");
    assert_eq!(ring.roots().unwrap(), world::ring().roots().unwrap());
    assert_eq!(read.label(&ring), Ok(label));
    let wrong = Secret::KeyFile(Key([0; 32]));
    assert!(read.open(&wrong).is_err());
    slots::compare(&bytes, &secrets);
}
