//! zstd with a recorded method and an output bounded by a length that was promised (SPEC chapter 6).

use super::error::{FormatError, Result};
use std::cell::RefCell;
use std::io::Cursor;
use zstd_safe::{CCtx, CParameter, DCtx, ResetDirective, WriteBuf};

/// How bytes were stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Method {
    /// As they are.
    Stored = 0,
    /// One zstd frame with its content size.
    Zstd = 1,
}

impl Method {
    /// The method behind a number of the format.
    pub fn from_code(code: u8) -> Result<Self> {
        match code {
            0 => Ok(Self::Stored),
            1 => Ok(Self::Zstd),
            _ => Err(FormatError::Unsupported { what: "compression method", number: u64::from(code) }),
        }
    }
}

/// What to try on new data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Store everything as it is.
    Off,
    /// zstd at this level (1 to 19); data that do not shrink are stored.
    Level(i32),
}

/// The level that is the default.
const LEVEL_USUAL: i32 = 3;
/// Logarithms of the lengths of its two tables: with 2^17 and 2^16 entries they push each other and the data out of a core's second cache. So it is 9 %
/// faster for 0.9 % more bytes (kernel sources in blocks of 2 MiB); level 2 would be 18 % faster for 6.3 %.
const TABLES_USUAL: (u32, u32) = (16, 14);

impl Default for Compression {
    fn default() -> Self {
        Self::Level(LEVEL_USUAL)
    }
}

thread_local! {
    static COMPRESSOR: RefCell<CCtx<'static>> = RefCell::new(CCtx::create());
    static DECOMPRESSOR: RefCell<DCtx<'static>> = RefCell::new(DCtx::create());
}

/// A sample must shrink by more than one part in this many, or the whole is taken for incompressible.
const SAMPLE_GAIN: usize = 32;
const SAMPLE_LENGTH: usize = 8 * 1024;

const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A frame may ask for a window of this many bytes, or of its plain length if that is more.
const WINDOW_MAX: u64 = 16 << 20;

/// The window that a frame asks for; `None` if it is no frame, or names a dictionary (RFC 8878, 3.1.1.1).
fn window_of(frame: &[u8], plain_length: usize) -> Option<u64> {
    let [descriptor, window, ..] = frame.strip_prefix(&ZSTD_MAGIC)? else { return None };
    if descriptor & 3 != 0 {
        return None;
    }
    // A single segment's window is its contents.
    let base = 1u64 << (10 + (window >> 3));
    Some(if descriptor & 0x20 == 0 { base + base / 8 * u64::from(window & 7) } else { plain_length as u64 })
}

fn compress_into<C: WriteBuf + ?Sized>(level: i32, plain: &[u8], out: &mut C) -> Option<usize> {
    COMPRESSOR.with_borrow_mut(|context| {
        // After output that did not fit, a context refuses parameters until its session is reset: everything to come would be stored.
        context.reset(ResetDirective::SessionOnly).ok()?;
        context.set_parameter(CParameter::CompressionLevel(level)).ok()?;
        context.set_parameter(CParameter::ChecksumFlag(false)).ok()?;
        // 0 is the level's own choice.
        let (hash_log, chain_log) = if level == LEVEL_USUAL { TABLES_USUAL } else { (0, 0) };
        context.set_parameter(CParameter::HashLog(hash_log)).ok()?;
        context.set_parameter(CParameter::ChainLog(chain_log)).ok()?;
        context.compress2(out, plain).ok()
    })
}

/// Whether three samples of `plain` say that compressing is not worth the time: 0.005 s/GB instead of 0.11 on random data.
fn looks_incompressible(plain: &[u8]) -> bool {
    if plain.len() < 8 * SAMPLE_LENGTH {
        return false;
    }
    let mut out = [0; SAMPLE_LENGTH + SAMPLE_LENGTH / 4];
    let step = (plain.len() - SAMPLE_LENGTH) / 2;
    (0..3).all(|n| {
        let sample = &plain[n * step..n * step + SAMPLE_LENGTH];
        compress_into(-1, sample, &mut out[..]).is_none_or(|length| length > SAMPLE_LENGTH - SAMPLE_LENGTH / SAMPLE_GAIN)
    })
}

/// Appends `plain` to `out`, compressed where that saves space.
pub fn compress(plain: &[u8], compression: Compression, out: &mut Vec<u8>) -> Method {
    let start = out.len();
    if let Compression::Level(level) = compression
        && plain.len() > 64
        && !looks_incompressible(plain)
    {
        // zstd writes behind what is there, into room that nobody has to clear first.
        out.reserve_exact(zstd_safe::compress_bound(plain.len()));
        let mut behind = Cursor::new(&mut *out);
        behind.set_position(start as u64);
        // What does not shrink is not wanted.
        if compress_into(level, plain, &mut behind).is_some_and(|length| length < plain.len() - plain.len() / 64) {
            return Method::Zstd;
        }
        out.truncate(start);
    }
    out.extend_from_slice(plain);
    Method::Stored
}

/// Appends to `out` the `plain_length` bytes that `stored` stands for; the caller has bounded `plain_length`.
pub fn decompress(stored: &[u8], method: Method, plain_length: usize, out: &mut Vec<u8>) -> Result<()> {
    match method {
        Method::Stored => {
            if stored.len() != plain_length {
                return Err(FormatError::BadStructure("stored bytes differ in length from the plain length"));
            }
            out.extend_from_slice(stored);
            Ok(())
        }
        Method::Zstd => {
            let bad = FormatError::BadStructure("not one zstd frame of the stated length");
            if window_of(stored, plain_length).ok_or(bad.clone())? > WINDOW_MAX.max(plain_length as u64) {
                return Err(FormatError::TooLarge("window of a zstd frame"));
            }
            if !matches!(zstd_safe::get_frame_content_size(stored), Ok(Some(length)) if length == plain_length as u64)
                || zstd_safe::find_frame_compressed_size(stored) != Ok(stored.len())
            {
                return Err(bad);
            }
            let start = out.len();
            let written = if start == 0 {
                // zstd writes into the reserved memory: nothing need be made zero first.
                out.reserve_exact(plain_length);
                DECOMPRESSOR.with_borrow_mut(|context| context.decompress(out, stored))
            } else {
                out.resize(start + plain_length, 0);
                DECOMPRESSOR.with_borrow_mut(|context| context.decompress(&mut out[start..], stored))
            };
            if written == Ok(plain_length) {
                Ok(())
            } else {
                out.truncate(start);
                Err(bad)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_there_and_back() {
        let noise: Vec<u8> = (0..100_000u32).flat_map(|n| blake3::hash(&n.to_le_bytes()).as_bytes()[..1].to_vec()).collect();
        for plain in [Vec::new(), vec![7; 3], vec![0; 100_000], noise] {
            let mut stored = vec![1, 2];
            let method = compress(&plain, Compression::default(), &mut stored);
            let mut back = vec![9];
            decompress(&stored[2..], method, plain.len(), &mut back).unwrap();
            assert_eq!(back[1..], plain);
            // Memory that was used before, and is longer than needed.
            let mut again = vec![8; 200_000];
            again.clear();
            decompress(&stored[2..], method, plain.len(), &mut again).unwrap();
            assert_eq!(again, plain);
            assert!(stored.len() <= plain.len() + 2);
        }
    }

    #[test]
    fn what_did_not_shrink_says_nothing_about_what_comes_after() {
        let mut hardly: Vec<u8> = vec![0; 1 << 20];
        blake3::Hasher::new().finalize_xof().fill(&mut hardly);
        hardly[..SAMPLE_LENGTH].fill(0);
        assert!(!looks_incompressible(&hardly), "it is tried");
        assert_eq!(compress(&hardly, Compression::default(), &mut Vec::new()), Method::Stored, "and does not shrink");
        assert_eq!(compress(&[0; 5000], Compression::default(), &mut Vec::new()), Method::Zstd);
    }

    #[test]
    fn a_lie_about_the_length_is_refused() {
        let mut stored = Vec::new();
        let method = compress(&[0; 5000], Compression::default(), &mut stored);
        assert_eq!(method, Method::Zstd);
        for length in [0, 1, 4999, 5001] {
            assert!(decompress(&stored, method, length, &mut Vec::new()).is_err());
        }
        let cut = &stored[..stored.len() - 1];
        assert!(decompress(cut, method, 5000, &mut Vec::new()).is_err());
        stored.push(0);
        assert!(decompress(&stored, method, 5000, &mut Vec::new()).is_err());
    }
}
