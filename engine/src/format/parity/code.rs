//! The Reed-Solomon code of parity scheme 1: four of a group's shards can be computed from all the others (SPEC chapter 11).
//!
//! Ours and not a library's: those that are fast hold 8 MiB of tables and a copy of the group, and need milliseconds to begin. This one holds 8 KiB.

use super::{Layout, PARITY_SHARDS};

/// Bytes of each shard that are worked on at a time: the sums stay in the first cache.
const STRIP: usize = 2048;

/// Twice `byte` in GF(2^8) modulo 0x11D.
#[inline]
const fn double(byte: u8) -> u8 {
    let carry = ((byte as i8) >> 7) as u8;
    byte.wrapping_add(byte) ^ (carry & 0x1d)
}

/// The product in the field.
pub(super) fn multiply(a: u8, b: u8) -> u8 {
    (0..8).rev().fold(0, |sum, bit| double(sum) ^ if a >> bit & 1 == 1 { b } else { 0 })
}

/// 2 to the power of `exponent`.
fn power(exponent: usize) -> u8 {
    (0..exponent % 255).fold(1, |product, _| double(product))
}

/// `1 / a`; `a` is not 0.
fn inverse(a: u8) -> u8 {
    // All but 0 are a 255th root of 1.
    (0..253).fold(a, |product, _| multiply(product, a))
}

/// The four sums of a strip: of shard times 2 to the power of (position times r), for r = 0 to 3.
type Sums = [[u8; STRIP]; PARITY_SHARDS];

/// Horner's rule, one position further down; `shard` may be shorter than the strip, and then goes on with zeros.
fn step(sums: &mut Sums, shard: &[u8]) {
    let [one, two, four, eight] = sums;
    let length = shard.len();
    // Equal lengths, so that the compiler knows it and takes many bytes at once.
    let (one, two_first, four_first, eight_first) = (&mut one[..length], &mut two[..length], &mut four[..length], &mut eight[..length]);
    for at in 0..length {
        let byte = shard[at];
        one[at] ^= byte;
        two_first[at] = double(two_first[at]) ^ byte;
        four_first[at] = double(double(four_first[at])) ^ byte;
        eight_first[at] = double(double(double(eight_first[at]))) ^ byte;
    }
    for at in length..STRIP {
        two[at] = double(two[at]);
        four[at] = double(double(four[at]));
        eight[at] = double(double(double(eight[at])));
    }
}

/// Adds `factor` times `sum` to `out`.
fn add_product(out: &mut [u8; STRIP], sum: &[u8; STRIP], factor: u8) {
    let mut doubled = *sum;
    for bit in 0..8 {
        if factor >> bit & 1 == 1 {
            out.iter_mut().zip(&doubled).for_each(|(out, byte)| *out ^= byte);
        }
        doubled.iter_mut().for_each(|byte| *byte = double(*byte));
    }
}

/// What each missing shard is of the sums: the inverse of the matrix of 2 to the power of (position times r).
fn solution(missing: &[usize]) -> [[u8; PARITY_SHARDS]; PARITY_SHARDS] {
    let count = missing.len();
    let mut left = [[0; PARITY_SHARDS]; PARITY_SHARDS];
    let mut right = [[0; PARITY_SHARDS]; PARITY_SHARDS];
    for r in 0..count {
        for (column, position) in missing.iter().enumerate() {
            left[r][column] = power(r * position);
        }
        right[r][r] = 1;
    }
    for column in 0..count {
        // Powers of different numbers: the matrix is Vandermonde's, and what is left of it is never singular.
        let pivot = (column..count).find(|row| left[*row][column] != 0).expect("positions differ");
        left.swap(column, pivot);
        right.swap(column, pivot);
        let scale = inverse(left[column][column]);
        for at in 0..count {
            left[column][at] = multiply(left[column][at], scale);
            right[column][at] = multiply(right[column][at], scale);
        }
        for row in (0..count).filter(|row| *row != column) {
            let factor = left[row][column];
            for at in 0..count {
                left[row][at] ^= multiply(left[column][at], factor);
                right[row][at] ^= multiply(right[column][at], factor);
            }
        }
    }
    right
}

/// Computes the shards of `group` at the positions `missing` (at most four, all different) from all others of it. `object` holds what is
/// covered and the parity behind it; what stands at the missing places is not looked at.
pub(super) fn fill(object: &mut [u8], layout: &Layout, group: usize, missing: &[usize]) {
    let factors = solution(missing);
    let mut offset = 0;
    while offset < layout.shard_length {
        let end = (offset + STRIP).min(layout.shard_length);
        let mut sums: Sums = [[0; STRIP]; PARITY_SHARDS];
        for position in (0..layout.positions(group)).rev() {
            let shard = if missing.contains(&position) { 0..0 } else { layout.range(layout.shard_at(group, position)) };
            let strip = shard.end.min(shard.start + offset)..shard.end.min(shard.start + end);
            step(&mut sums, &object[strip]);
        }
        for (row, position) in missing.iter().enumerate() {
            let shard = layout.range(layout.shard_at(group, *position));
            let strip = shard.end.min(shard.start + offset)..shard.end.min(shard.start + end);
            let mut out = [0; STRIP];
            for (r, sum) in sums.iter().enumerate().take(missing.len()) {
                add_product(&mut out, sum, factors[row][r]);
            }
            let length = strip.len();
            object[strip].copy_from_slice(&out[..length]);
        }
        offset = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_one() {
        assert_eq!((multiply(0x80, 2), multiply(3, 3), multiply(0xff, 0)), (0x1d, 5, 0));
        for a in 1..=255u8 {
            assert_eq!(multiply(a, inverse(a)), 1, "{a}");
            assert_eq!(multiply(a, 0x53), multiply(0x53, a));
        }
        // 2 makes all of it, so that 132 positions differ.
        let mut powers: Vec<u8> = (0..255).map(power).collect();
        powers.sort_unstable();
        assert_eq!(powers, (1..=255).collect::<Vec<u8>>());
    }

    /// The textbook: the remainder of the message, as a polynomial with its last byte first, by (x-1)(x-2)(x-4)(x-8).
    fn by_division(message: &[u8]) -> [u8; 4] {
        let mut generator = [1, 0, 0, 0, 0];
        for root in [1, 2, 4, 8] {
            for at in (0..5).rev() {
                generator[at] = multiply(generator[at], root) ^ if at > 0 { generator[at - 1] } else { 0 };
            }
        }
        let mut rest = [0u8; 4];
        for byte in message.iter().rev() {
            let factor = byte ^ rest[3];
            for at in (0..4).rev() {
                rest[at] = multiply(generator[at], factor) ^ if at > 0 { rest[at - 1] } else { 0 };
            }
        }
        rest
    }

    #[test]
    fn parity_is_the_remainder_of_the_textbook() {
        for shards in [1usize, 2, 5, 128] {
            let covered = shards * 1024 - 100;
            let layout = Layout::new(covered as u64);
            let mut object: Vec<u8> = (0..covered + layout.parity_length()).map(|at| (at * at % 251) as u8).collect();
            fill(&mut object, &layout, 0, &[0, 1, 2, 3]);
            for at in [0, 1, 500, 923, 924, 1023] {
                let byte = |shard: usize| object[..covered].get(shard * 1024 + at).copied().unwrap_or(0);
                let message: Vec<u8> = (0..shards).map(byte).collect();
                let parity = [0, 1, 2, 3].map(|shard| object[covered + shard * 1024 + at]);
                assert_eq!(parity, by_division(&message), "{shards} shards, byte {at}");
            }
        }
    }
}
