//! Made data: the same bytes on every machine, so that numbers can be compared.

use crate::format::id::hex;

/// What data look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKind {
    /// Lines of words, as source code and logs are: compresses well.
    Text,
    /// Records of numbers, as programs and databases are: compresses somewhat.
    Binary,
    /// Nothing repeats, as in pictures and archives: does not compress.
    Noise,
}

impl DataKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Text, Self::Binary, Self::Noise];

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Noise => "noise",
        }
    }
}

/// Splitmix64: repeatable, and of no use for secrets.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Every text is made of these many words.
const WORDS: u64 = 4096;

fn words() -> Vec<Vec<u8>> {
    let mut numbers = Numbers(1);
    (0..WORDS)
        .map(|_| (0..2 + numbers.below(9)).map(|_| b"etaoinshrdlucmfwypvbgkjqxz"[(numbers.below(26) * numbers.below(26) / 26) as usize]).collect())
        .collect()
}

fn text(numbers: &mut Numbers, length: usize) -> Vec<u8> {
    let words = words();
    let mut out = Vec::with_capacity(length + 64);
    while out.len() < length {
        out.resize(out.len() + 4 * numbers.below(5) as usize, b' ');
        for _ in 0..=numbers.below(9) {
            // Few words are frequent, most are rare.
            let rank = numbers.below(WORDS) * numbers.below(WORDS) / WORDS * numbers.below(WORDS) / WORDS;
            out.extend_from_slice(&words[rank as usize]);
            out.push(b" .,(;=_ "[numbers.below(8) as usize]);
        }
        out.push(b'\n');
    }
    out.truncate(length);
    out
}

fn binary(numbers: &mut Numbers, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 32);
    let mut address = numbers.next() >> 24;
    while out.len() < length {
        address += 16 * (1 + numbers.below(40));
        out.extend_from_slice(&address.to_le_bytes());
        out.extend_from_slice(&(numbers.below(200) as u32).to_le_bytes());
        out.extend_from_slice(&(numbers.next() as u32).to_le_bytes());
        out.extend_from_slice(&[0; 6]);
        out.extend_from_slice(&[b"\x01\x02\x04\x08"[numbers.below(4) as usize], 0xff]);
    }
    out.truncate(length);
    out
}

fn noise(numbers: &mut Numbers, length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        out.extend_from_slice(&numbers.next().to_le_bytes());
    }
    out.truncate(length);
    out
}

/// `length` bytes that depend on nothing but what is given.
pub fn data(kind: DataKind, seed: u64, length: usize) -> Vec<u8> {
    let mut numbers = Numbers(seed);
    match kind {
        DataKind::Text => text(&mut numbers, length),
        DataKind::Binary => binary(&mut numbers, length),
        DataKind::Noise => noise(&mut numbers, length),
    }
}

/// About 48 MiB of files with their paths: many small texts, some records, some noise.
pub fn files() -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut numbers = Numbers(7);
    let kinds = [(DataKind::Text, 960, 1 << 10, 33 << 10), (DataKind::Binary, 16, 512 << 10, 1 << 20), (DataKind::Noise, 8, 1 << 20, 2 << 20)];
    kinds.into_iter().flat_map(|(kind, count, least, more)| (0..count).map(move |number| (kind, number, least, more))).map(
        move |(kind, number, least, more)| {
            let (seed, length) = (numbers.next(), least + numbers.below(more) as usize);
            (format!("{}/{:02}/{}", kind.word(), number / 24, hex(&seed.to_le_bytes())), data(kind, seed, length))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::compress::{Compression, compress};

    #[test]
    fn each_kind_compresses_as_its_name_says() {
        let ratio = |kind| {
            let mut out = Vec::new();
            compress(&data(kind, 3, 1 << 20), Compression::default(), &mut out);
            out.len() as f64 / f64::from(1 << 20)
        };
        let [text, binary, noise] = DataKind::ALL.map(ratio);
        assert!((0.15..0.45).contains(&text), "text {text}");
        assert!((0.3..0.7).contains(&binary), "binary {binary}");
        assert!((noise - 1.0).abs() < 1e-9, "noise {noise}");
    }

    #[test]
    fn the_same_seed_makes_the_same_bytes() {
        for kind in DataKind::ALL {
            assert_eq!(data(kind, 5, 1000), data(kind, 5, 1000)[..]);
            assert_eq!(data(kind, 5, 1000)[..10], data(kind, 5, 10));
            assert_ne!(data(kind, 5, 1000), data(kind, 6, 1000));
        }
        let (count, bytes) = files().fold((0, 0), |(count, bytes), (_, data)| (count + 1, bytes + data.len()));
        assert_eq!(count, 984);
        assert!((40 << 20..56 << 20).contains(&bytes), "{bytes} bytes");
    }
}
