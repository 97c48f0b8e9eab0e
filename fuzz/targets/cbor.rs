//! Chapter 4: deterministic CBOR.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_engine::format::FormatError;
use vault_engine::format::cbor::{self, Decoder};
use vault_fuzz::judge::agree;
use vault_fuzz::{heap, records};
use vault_rescue::cbor as rescue;

fn whole<'a, T>(data: &'a [u8], read: impl FnOnce(&mut Decoder<'a>) -> Result<T, FormatError>) -> Result<T, FormatError> {
    let mut decoder = Decoder::new(data);
    let value = read(&mut decoder)?;
    decoder.finish()?;
    Ok(value)
}

/// A map of which every key is unknown: what is kept of it.
fn record(data: &[u8]) -> Result<Vec<(u64, &[u8])>, FormatError> {
    whole(data, |decoder| {
        let mut map = decoder.map(1, "record")?;
        let mut pairs = Vec::new();
        while let Some(key) = map.key(decoder)? {
            pairs.push((key, map.unknown(key, decoder)?));
        }
        Ok(pairs)
    })
}

fuzz_target!(|data: &[u8]| {
    // Stepping over an item holds a few words a level, whatever the bytes say.
    let item = heap::bounded(4096, || whole(data, |decoder| decoder.skip(1).map(<[u8]>::len)));
    let other = rescue::decode(data);
    if agree(data, &item, &other) {
        assert_eq!(item, Ok(data.len()));
        let mut out = Vec::new();
        records::rewrite(other.clone().expect("both accept"), &mut out);
        assert_eq!(out, data);
    }

    let pairs = heap::bounded(heap::for_record(data.len()), || record(data));
    let others = other.clone().and_then(|item| item.map(&[]));
    if agree(data, &pairs, &others) {
        let (pairs, others) = (pairs.expect("both accept"), others.expect("both accept"));
        assert!(pairs.iter().map(|pair| pair.0).eq(others.pairs().map(|pair| pair.key)));
        assert!(others.pairs().zip(&pairs).all(|(other, (_, value))| other.raw.ends_with(value)));
    }

    let time = whole(data, |decoder| decoder.time("time"));
    let other_time = other.clone().and_then(rescue::Item::time);
    if agree(data, &time, &other_time) {
        let (time, other) = (time.expect("both accept"), other_time.expect("both accept"));
        assert_eq!((time.seconds, time.nanoseconds), (other.seconds, other.nanoseconds));
        let mut out = Vec::new();
        cbor::put_time(&mut out, time);
        assert_eq!(out, data);
    }
    let int = whole(data, |decoder| decoder.int("integer"));
    let other_int = other.clone().and_then(rescue::Item::signed);
    assert!(!agree(data, &int, &other_int) || int.ok() == other_int.ok());
    let uint = whole(data, |decoder| decoder.uint32("number"));
    let other_uint = other.clone().and_then(rescue::Item::small);
    assert!(!agree(data, &uint, &other_uint) || uint.ok() == other_uint.ok());
    let text = whole(data, |decoder| decoder.text("text"));
    let other_text = other.clone().and_then(rescue::Item::text);
    assert!(!agree(data, &text, &other_text) || text.ok() == other_text.ok());
    let fixed = whole(data, |decoder| decoder.bytes_exact::<16>("bytes"));
    let other_fixed = other.and_then(rescue::Item::fixed::<16>);
    assert!(!agree(data, &fixed, &other_fixed) || fixed.ok() == other_fixed.ok());
});
