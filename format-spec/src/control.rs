//! Chapter 8: the envelope of control objects.

use crate::fault::{Result, Rule, fail};
use crate::keys::{Bytes16, Class, Keys, Purpose, Wrapped, le, part};
use crate::seal;

/// The longest control object, plain and stored.
pub const MAX_LEN: u64 = 64 << 20;

/// 16: configuration.
pub const CONFIGURATION: u8 = 16;
/// 17: snapshot.
pub const SNAPSHOT: u8 = 17;
/// 18: forget record.
pub const FORGET: u8 = 18;
/// 19: index segment.
pub const INDEX: u8 = 19;
/// 20 to 22: sweep records.
pub const SWEEPS: [u8; 3] = [20, 21, 22];

/// Rounds a length up to its Padmé length; lengths below 2 stay.
pub fn padme(length: u64) -> Option<u64> {
    if length < 2 {
        return Some(length);
    }
    let e = length.ilog2();
    let s = e.ilog2() + 1;
    length.checked_next_multiple_of(1 << (e - s))
}

/// Opens a control object of one of the kinds that its place allows and returns its record.
pub fn open(bytes: &[u8], kinds: &[u8], keys: &dyn Keys, id: &Bytes16) -> Result<Vec<u8>> {
    if bytes.len() as u64 > MAX_LEN {
        return fail(Rule::TooLarge, "a control object above 64 MiB");
    }
    if bytes.len() < 34 {
        return fail(Rule::Truncated, "a control object without its head");
    }
    if !bytes.starts_with(b"VAULTOB1") {
        return fail(Rule::BadStructure, "no control object's magic");
    }
    let (kind, cipher, method) = (bytes[8], bytes[9], bytes[10]);
    if !kinds.contains(&kind) {
        if (16..=22).contains(&kind) {
            return fail(Rule::BadStructure, format!("a control object of kind {kind} at this place"));
        }
        return fail(Rule::Unsupported, format!("control object of kind {kind}"));
    }
    if bytes[11] != 0 {
        return fail(Rule::BadStructure, "a control object's reserved field is not zero");
    }
    let epoch = le(bytes, 12, 4) as u32;
    if part::<16>(bytes, 16)? != *id {
        return fail(Rule::BadStructure, "a control object of another repository");
    }
    let length = le(bytes, 32, 2) as usize;
    let Some((extra, sealed)) = bytes.split_at_checked(34 + length) else {
        return fail(Rule::Truncated, "a control object's wrapped key is cut off");
    };
    let key = if kind == SNAPSHOT {
        if length == 0 {
            return fail(Rule::BadStructure, "a snapshot without a wrapped key");
        }
        let wrapped = Wrapped::parse(&extra[34..])?;
        if wrapped.class != Class::Tree {
            return fail(Rule::BadStructure, "a snapshot sealed under a data key");
        }
        if wrapped.epoch != epoch {
            return fail(Rule::BadStructure, "a snapshot's epochs differ");
        }
        wrapped.open(keys, id)?
    } else {
        if length != 0 {
            return fail(Rule::BadStructure, "a wrapped key where there should be none");
        }
        keys.held(Purpose::Control, epoch)?
    };
    let message = seal::open(&key, cipher, kind, id, extra, sealed)?;
    unpad(&message, method)
}

/// The epoch that an envelope which opened was sealed in.
pub fn epoch_of(bytes: &[u8]) -> u32 {
    le(bytes, 12, 4) as u32
}

fn unpad(message: &[u8], method: u8) -> Result<Vec<u8>> {
    if message.len() < 8 {
        return fail(Rule::Truncated, "a control object's message without lengths");
    }
    let stored = le(message, 0, 4);
    let plain = le(message, 4, 4);
    if plain > MAX_LEN {
        return fail(Rule::TooLarge, "a record above 64 MiB");
    }
    let Some((stored, zeros)) = message[8..].split_at_checked(stored as usize) else {
        return fail(Rule::Truncated, "a control object's stored length is beyond its message");
    };
    if zeros.iter().any(|byte| *byte != 0) {
        return fail(Rule::BadStructure, "padding that is not zero");
    }
    if zeros.len() * 8 >= message.len() + 128 {
        return fail(Rule::BadStructure, "too much padding");
    }
    seal::decompress(method, stored.to_vec(), plain as usize)
}
