//! Chapter 11: parity scheme 1, as far as looking whether it is right.

use crate::fault::{Result, Rule, fail};
use crate::keys::{h, le, part};

/// How a pack with parity is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards {
    /// The covered bytes.
    pub covered: u64,
    /// The length of a shard.
    pub length: u64,
    /// Shards of data.
    pub data: u64,
    /// Groups.
    pub groups: u64,
}

impl Shards {
    /// From the number of covered bytes.
    pub fn of(covered: u64) -> Shards {
        let mut length = 1024;
        while length < 65_536 && covered > 128 * length {
            length *= 2;
        }
        let data = covered.div_ceil(length);
        Shards { covered, length, data, groups: data.div_ceil(128) }
    }

    /// The length of the parity.
    pub fn parity(&self) -> u64 {
        4 * self.groups * self.length
    }

    /// The length of a copy of the shard table.
    pub fn table(&self) -> u64 {
        16 * (self.data + 4 * self.groups) + 32
    }

    /// The bytes of data shard `number`, of parity shards behind all of these.
    fn bytes<'a>(&self, object: &'a [u8], number: u64) -> &'a [u8] {
        let (start, end) = if number < self.data {
            (number * self.length, self.covered.min((number + 1) * self.length))
        } else {
            let start = self.covered + (number - self.data) * self.length;
            (start, start + self.length)
        };
        &object[start as usize..end as usize]
    }
}

/// Logarithms and powers of 2 modulo 0x11D.
fn tables() -> ([u8; 256], [u8; 510]) {
    let (mut logs, mut powers) = ([0; 256], [0; 510]);
    let mut power = 1u16;
    for exponent in 0..255 {
        powers[exponent] = power as u8;
        powers[exponent + 255] = power as u8;
        logs[usize::from(power)] = exponent as u8;
        power <<= 1;
        if power > 255 {
            power ^= 0x11d;
        }
    }
    (logs, powers)
}

/// Whether a pack's parity and shard tables are what they must be.
pub fn check(object: &[u8]) -> Result<Shards> {
    let head: [u8; 128] = part(object, 0)?;
    if head[..8] != *b"VAULTPK1" || head[11] != 1 {
        return fail(Rule::BadStructure, "no pack with parity scheme 1");
    }
    let shards = Shards::of(le(&head, 48, 8).clamp(1, 256 << 20));
    let tables_at = shards.covered + shards.parity();
    if tables_at + 2 * shards.table() + 128 != object.len() as u64 {
        return fail(Rule::BadStructure, "parity that does not fit");
    }
    for copy in 0..2 {
        let start = (tables_at + copy * shards.table()) as usize;
        let (rows, hash) = object[start..start + shards.table() as usize].split_at(shards.table() as usize - 32);
        if h(rows) != hash {
            return fail(Rule::WrongHash, "the hash of a copy of the shard table");
        }
        for (number, row) in rows.chunks(16).enumerate() {
            if h(shards.bytes(object, number as u64))[..16] != *row {
                return fail(Rule::WrongHash, format!("the hash of shard {number}"));
            }
        }
    }
    let (logs, powers) = tables();
    for group in 0..shards.groups {
        let mut members: Vec<&[u8]> = (0..4).map(|at| shards.bytes(object, shards.data + at * shards.groups + group)).collect();
        members.extend((group..shards.data).step_by(shards.groups as usize).map(|number| shards.bytes(object, number)));
        for offset in 0..shards.length as usize {
            for r in 0..4 {
                let product = |(at, shard): (usize, &&[u8])| match shard.get(offset) {
                    None | Some(0) => 0,
                    Some(byte) => powers[(at * r) % 255 + usize::from(logs[usize::from(*byte)])],
                };
                if members.iter().enumerate().map(product).fold(0, |sum, term| sum ^ term) != 0 {
                    return fail(
                        Rule::BadStructure,
                        format!("parity that does not belong to the data, byte {offset} of group {group}"),
                    );
                }
            }
        }
    }
    Ok(shards)
}
