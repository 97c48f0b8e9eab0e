//! Chapter 10: where a writer cuts. Reading does not need it; the vectors do.

use crate::fault::{Result, Rule, fail};
use crate::keys::{Bytes32, le};

/// The secret table.
pub struct Gear([u64; 256]);

impl Gear {
    /// Makes the table of `K_chunker`.
    pub fn new(key: &Bytes32) -> Gear {
        let mut bytes = [0; 2048];
        blake3::Hasher::new_keyed(key).finalize_xof().fill(&mut bytes);
        let mut table = [0; 256];
        for (i, value) in table.iter_mut().enumerate() {
            *value = le(&bytes, i * 8, 8);
        }
        Gear(table)
    }

    /// The table's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn at(&self, byte: u8) -> u64 {
        self.0[usize::from(byte)]
    }
}

struct Sizes {
    min: usize,
    avg: usize,
    max: usize,
    mask_s: u64,
    mask_l: u64,
}

/// The lengths of the chunks of a file without holes.
pub fn cut(gear: &Gear, class: u8, file: &[u8]) -> Result<Vec<usize>> {
    let sizes = match class {
        1 => Sizes { min: 262_144, avg: 1_048_576, max: 4_194_304, mask_s: 0x0000_d937_6753_7000, mask_l: 0x0000_d907_0753_7000 },
        2 => Sizes { min: 65_536, avg: 262_144, max: 1_048_576, mask_s: 0x0000_d917_4753_7000, mask_l: 0x0000_d903_0353_7000 },
        3 => {
            return Ok(file.chunks(65_536).map(<[u8]>::len).collect());
        }
        _ => return fail(Rule::Unsupported, format!("chunker class {class}")),
    };
    if file.is_empty() {
        return Ok(Vec::new());
    }
    if file.len() <= 262_144 {
        return Ok(vec![file.len()]);
    }
    let mut lengths = Vec::new();
    let mut rest = file;
    while !rest.is_empty() {
        let length = next(gear, &sizes, rest);
        lengths.push(length);
        rest = &rest[length..];
    }
    Ok(lengths)
}

/// The length of the chunk at the start of the remaining bytes.
fn next(gear: &Gear, sizes: &Sizes, rest: &[u8]) -> usize {
    if rest.len() <= sizes.min {
        return rest.len();
    }
    let most = rest.len().min(sizes.max);
    let center = sizes.avg.min(most);
    let mut hash = 0u64;
    let mut at = sizes.min;
    while at / 2 < most / 2 {
        let mask = if at / 2 < center / 2 { sizes.mask_s } else { sizes.mask_l };
        hash = (hash << 2).wrapping_add(gear.at(rest[at]) << 1);
        if hash & (mask << 1) == 0 {
            return at;
        }
        hash = hash.wrapping_add(gear.at(rest[at + 1]));
        if hash & mask == 0 {
            return at + 1;
        }
        at += 2;
    }
    most
}
