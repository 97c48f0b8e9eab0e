//! Chapter 6: boxes and compression.

use crate::fault::{Fault, Result, Rule, fail};
use crate::keys::{Bytes16, Bytes32, dk, kh};
use aes_gcm::Aes256Gcm;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};

/// A box is its message and this.
pub const OVERHEAD: usize = 40;

fn aad(id: &Bytes16, kind: u8, cipher: u8, extra: &[u8]) -> Vec<u8> {
    let mut aad = Vec::with_capacity(24 + extra.len());
    aad.extend_from_slice(b"vault1");
    aad.extend_from_slice(id);
    aad.push(kind);
    aad.push(cipher);
    aad.extend_from_slice(extra);
    aad
}

/// Opens a box.
pub fn open(key: &Bytes32, cipher: u8, kind: u8, id: &Bytes16, extra: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
    if cipher != 1 && cipher != 2 {
        return fail(Rule::Unsupported, format!("cipher {cipher}"));
    }
    if sealed.len() < OVERHEAD {
        return fail(Rule::Truncated, "a box is shorter than 40 bytes");
    }
    let (nonce, rest) = sealed.split_at(24);
    let (text, tag) = rest.split_at(rest.len() - 16);
    let (Ok(nonce), Ok(tag)) = (<[u8; 24]>::try_from(nonce), <[u8; 16]>::try_from(tag)) else {
        return fail(Rule::Truncated, "a box is shorter than 40 bytes");
    };
    let aad = aad(id, kind, cipher, extra);
    let mut message = text.to_vec();
    let buffer = message.as_mut_slice().into();
    let done = if cipher == 1 {
        let key = dk("vault v1 cipher 1", key);
        XChaCha20Poly1305::new(&key.into()).decrypt_inout_detached(&XNonce::from(nonce), &aad, buffer, &Tag::from(tag))
    } else {
        let key = kh(&dk("vault v1 cipher 2", key), &[&nonce]);
        Aes256Gcm::new(&key.into()).decrypt_inout_detached(&[0; 12].into(), &aad, buffer, &tag.into())
    };
    if done.is_err() {
        return fail(Rule::NotAuthentic, "a box does not open");
    }
    Ok(message)
}

/// Seals a message as a writer does, given 32 random bytes. Only the vectors need it.
pub fn seal(
    key: &Bytes32,
    cipher: u8,
    kind: u8,
    id: &Bytes16,
    extra: &[u8],
    random: &Bytes32,
    message: &[u8],
) -> Result<Vec<u8>> {
    if cipher != 1 && cipher != 2 {
        return fail(Rule::Unsupported, format!("cipher {cipher}"));
    }
    let aad = aad(id, kind, cipher, extra);
    let lengths = [(aad.len() as u64).to_le_bytes(), (message.len() as u64).to_le_bytes()];
    let made = kh(&dk("vault v1 nonce", key), &[random, &lengths[0], &aad, &lengths[1], message]);
    let mut nonce = [0; 24];
    nonce.copy_from_slice(&made[..24]);
    let mut text = message.to_vec();
    let buffer = text.as_mut_slice().into();
    let tag: Option<[u8; 16]> = if cipher == 1 {
        let key = dk("vault v1 cipher 1", key);
        let done = XChaCha20Poly1305::new(&key.into()).encrypt_inout_detached(&XNonce::from(nonce), &aad, buffer);
        done.ok().map(Into::into)
    } else {
        let key = kh(&dk("vault v1 cipher 2", key), &[&nonce]);
        Aes256Gcm::new(&key.into()).encrypt_inout_detached(&[0; 12].into(), &aad, buffer).ok().map(Into::into)
    };
    let Some(tag) = tag else {
        return fail(Rule::TooLarge, "a message is too long to seal");
    };
    let mut sealed = nonce.to_vec();
    sealed.extend_from_slice(&text);
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Undoes a method of compression. `plain` is the stated length, which callers have compared with their limit.
pub fn decompress(method: u8, stored: Vec<u8>, plain: usize) -> Result<Vec<u8>> {
    match method {
        0 => {
            if stored.len() != plain {
                return fail(Rule::BadStructure, "stored bytes are not as many as stated");
            }
            Ok(stored)
        }
        1 => unzstd(&stored, plain),
        _ => fail(Rule::Unsupported, format!("method {method}")),
    }
}

/// A zstd frame may have a window of this size, or of its plain length if that is more.
const MAX_WINDOW: u64 = 16 << 20;

/// The window that a frame's header states; a single segment states none.
fn window(frame: &[u8]) -> Option<u64> {
    let (descriptor, byte) = (frame.get(4)?, frame.get(5)?);
    let power = 1u64 << (10 + (byte >> 3));
    (descriptor & 0x20 == 0).then(|| power + power / 8 * u64::from(byte & 7))
}

fn unzstd(stored: &[u8], plain: usize) -> Result<Vec<u8>> {
    if !stored.starts_with(&ZSTD_MAGIC) {
        return fail(Rule::BadStructure, "no zstd frame");
    }
    if window(stored).is_some_and(|window| window > MAX_WINDOW.max(plain as u64)) {
        return fail(Rule::TooLarge, "a zstd frame's window");
    }
    match zstd_safe::get_frame_content_size(stored) {
        Ok(Some(size)) if size == plain as u64 => {}
        Ok(Some(_)) => return fail(Rule::BadStructure, "a zstd frame states another length"),
        Ok(None) => return fail(Rule::BadStructure, "a zstd frame states no length"),
        Err(_) => return fail(Rule::BadStructure, "a zstd frame's header is damaged"),
    }
    // Bits 0 and 1 of the frame header descriptor say whether a dictionary is named.
    if stored.get(4).is_some_and(|descriptor| descriptor & 3 != 0) {
        return fail(Rule::BadStructure, "a zstd frame wants a dictionary");
    }
    match zstd_safe::find_frame_compressed_size(stored) {
        Ok(size) if size == stored.len() => {}
        Ok(_) => return fail(Rule::BadStructure, "bytes follow the zstd frame"),
        Err(_) => return fail(Rule::BadStructure, "a zstd frame is damaged"),
    }
    let mut output = vec![0; plain];
    let bad = |_| Fault::new(Rule::BadStructure, "a zstd frame is damaged");
    let length = zstd_safe::decompress(output.as_mut_slice(), stored).map_err(bad)?;
    if length != plain {
        return fail(Rule::BadStructure, "a zstd frame holds another length than stated");
    }
    Ok(output)
}
