//! Chapter 6: boxes and compression.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_engine::format::compress::{self, Compression, Method};
use vault_engine::format::id::RepositoryId;
use vault_engine::format::seal::{Cipher, SealKey, Sealed, padded_length};
use vault_fuzz::feed::Feed;
use vault_fuzz::judge::agree;
use vault_fuzz::{heap, world};
use vault_rescue::seal as rescue;

const SEALED: [Sealed; 10] = [
    Sealed::DataBlock,
    Sealed::TreeBlock,
    Sealed::PackTable,
    Sealed::SlotBundle,
    Sealed::SlotLabel,
    Sealed::WrappedKey,
    Sealed::Config,
    Sealed::Snapshot,
    Sealed::Forget,
    Sealed::Index,
];

fn decompress(code: u8, stored: &[u8], plain: usize) {
    let engine = Method::from_code(code).and_then(|method| {
        let mut out = vec![9];
        out.reserve(plain);
        heap::bounded(plain + (512 << 10), || compress::decompress(stored, method, plain, &mut out)).map(|()| out[1..].to_vec())
    });
    let second = rescue::decompress(code, stored.to_vec(), plain);
    if agree(stored, &engine, &second) {
        assert_eq!(engine.as_ref().ok(), second.as_ref().ok());
        assert_eq!(engine.map(|plain| plain.len()), Ok(plain));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut feed = Feed(data);
    let (mode, code) = (feed.byte(), feed.byte());
    match mode % 4 {
        // A box, opened by both, and one that is made.
        0 => {
            let key = [code; 32];
            let sealed = SEALED[usize::from(feed.byte()) % SEALED.len()];
            let cipher = feed.byte();
            let extra_length = usize::from(feed.byte());
            let extra = feed.take(extra_length);
            let engine = Cipher::from_code(cipher).and_then(|cipher| SealKey::new(&key).open(RepositoryId(world::ID), sealed, cipher, extra, feed.0));
            let second = rescue::open(&key, cipher, sealed as u8, &world::ID, extra, feed.0);
            agree(feed.0, &engine, &second);
            let engine = Cipher::from_code(cipher).map(|cipher| SealKey::new(&key).seal(RepositoryId(world::ID), sealed, cipher, extra, &[8; 32], feed.0));
            let second = rescue::seal(&key, cipher, sealed as u8, &world::ID, extra, &[8; 32], feed.0);
            if agree(feed.0, &engine, &second) {
                let mut boxed = engine.expect("both accept");
                assert_eq!(Ok(&boxed), second.as_ref());
                assert_eq!(rescue::open(&key, cipher, sealed as u8, &world::ID, extra, &boxed).as_deref(), Ok(feed.0));
                let at = usize::from(mode) % boxed.len();
                boxed[at] ^= 1 << (code & 7);
                let cipher = Cipher::from_code(cipher).expect("it sealed");
                assert!(SealKey::new(&key).open(RepositoryId(world::ID), sealed, cipher, extra, &boxed).is_err());
            }
        }
        // Stored bytes as they come.
        1 => {
            let plain = feed.short() * (1 + usize::from(feed.byte() & 15));
            decompress(code, feed.0, plain);
        }
        // A frame of good bytes, and the same with some changed.
        2 => {
            let (times, changes) = (1 + usize::from(feed.byte()), feed.byte() & 7);
            let changes: Vec<[u8; 3]> = (0..changes).map(|_| feed.array()).collect();
            let plain = feed.0.repeat(times.min(1 + (256 << 10) / (feed.0.len() + 1)));
            let mut stored = Vec::new();
            let method = compress::compress(&plain, Compression::Level(i32::from(code % 19) + 1), &mut stored);
            assert!(stored.len() <= plain.len());
            let mut back = Vec::new();
            assert_eq!(compress::decompress(&stored, method, plain.len(), &mut back), Ok(()));
            assert_eq!(back, plain);
            let mut length = plain.len();
            for [low, high, xor] in changes {
                let at = usize::from(low) | usize::from(high) << 8;
                match stored.len().checked_sub(1) {
                    Some(last) if at == 0xffff => stored.truncate(last),
                    Some(_) if at < 0xff00 => {
                        let at = at % stored.len();
                        stored[at] ^= xor;
                    }
                    _ => length = (length + usize::from(xor)).saturating_sub(128),
                }
            }
            decompress(method as u8, &stored, length);
        }
        _ => {
            let length = u64::from_le_bytes(feed.array()) >> 8;
            assert_eq!(Some(padded_length(length)), vault_rescue::control::padme(length));
            assert!(padded_length(length) >= length && padded_length(length) as u128 * 100 <= length as u128 * 112 + 100);
        }
    }
});
