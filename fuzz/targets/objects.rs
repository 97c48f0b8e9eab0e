//! Chapters 2 and 3: names of objects.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_engine::format::id::{ObjectId, hex, parse_hex32};
use vault_engine::format::layout::ObjectName;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(name) = ObjectName::parse(text) {
        assert_eq!(name.path(), text);
    }
    let id = parse_hex32(text);
    assert_eq!(id.map(|id| id.to_vec()), vault_rescue::keys::unhex(text).filter(|bytes| bytes.len() == 32));
    if let Some(id) = id {
        assert_eq!(hex(&id), text);
        assert_eq!(ObjectId(id).to_hex(), text);
    }
    assert_eq!(vault_rescue::keys::unhex(&hex(data)).as_deref(), Some(data));
});
