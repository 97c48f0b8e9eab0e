//! A small repeatable source of randomness, for everything that is drawn from a seed.

/// A small repeatable generator (splitmix64): the same seed gives the same tree on every machine.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    /// `length` bytes that do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.draw().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// `length` bytes of words that compress well.
    pub fn words(&mut self, length: usize) -> Vec<u8> {
        const WORDS: [&str; 8] = ["vault ", "chunk ", "block ", "pack\n", "tree ", "snapshot ", "sweep ", "source\n"];
        let mut bytes = Vec::with_capacity(length + 16);
        while bytes.len() < length {
            bytes.extend_from_slice(WORDS[self.below(8) as usize].as_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}
