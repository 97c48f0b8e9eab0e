//! Chapter 10: cut points. The input is a recipe for a file of up to 6 MiB, and for the buffer it is read through.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::sync::OnceLock;
use vault_engine::format::chunker::{CLUSTER, ChunkClass, Chunker, SINGLE_CHUNK_MAX};
use vault_fuzz::feed::Feed;
use vault_fuzz::world;
use vault_rescue::chunker::Gear;

const LENGTH_MAX: usize = 6 << 20;

/// The masks of the published table, by the exponent of the average they are for.
fn mask(bits: u32) -> u64 {
    match bits {
        16 => 0x0000_d903_0353_7000,
        18 => 0x0000_d907_0753_7000,
        20 => 0x0000_d917_4753_7000,
        22 => 0x0000_d937_6753_7000,
        _ => unreachable!(),
    }
}

/// `gear[i]`; the second reader's, since a vector pins it.
fn gear() -> &'static [u64; 256] {
    static GEAR: OnceLock<[u64; 256]> = OnceLock::new();
    GEAR.get_or_init(|| {
        let bytes = Gear::new(&world::roots().lasting("chunker")).bytes();
        std::array::from_fn(|i| u64::from_le_bytes(*bytes[8 * i..].first_chunk().expect("256 times eight bytes")))
    })
}

/// The length of the first chunk of `d`, which is all that is left: the chapter, line by line.
fn naive(bits: u32, d: &[u8]) -> usize {
    let gear = gear();
    let (min, avg, max) = (1usize << (bits - 2), 1usize << bits, 1usize << (bits + 2));
    let (mask_s, mask_l) = (mask(bits + 2), mask(bits - 2));
    let n = d.len();
    if n <= min {
        return n;
    }
    let m = n.min(max);
    let c = avg.min(m);
    let (mut h, mut a) = (0u64, min);
    while a / 2 < m / 2 {
        let mask = if a / 2 < c / 2 { mask_s } else { mask_l };
        h = (h << 2).wrapping_add(gear[usize::from(d[a])] << 1);
        if h & (mask << 1) == 0 {
            return a;
        }
        h = h.wrapping_add(gear[usize::from(d[a + 1])]);
        if h & mask == 0 {
            return a + 1;
        }
        a += 2;
    }
    m
}

/// A file: runs of noise, of one byte, of a repeated pattern, of raw bytes.
fn file(feed: &mut Feed<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..feed.byte() % 8 {
        let (kind, seed) = (feed.byte(), feed.byte());
        let length = (feed.short() << 8 | usize::from(feed.byte())) % (LENGTH_MAX / 2) >> (kind >> 4 & 7);
        let length = length.min(LENGTH_MAX - out.len());
        match kind % 4 {
            0 => {
                // Noise: xorshift64.
                let mut state = 0x9e37_79b9_7f4a_7c15 ^ u64::from(seed);
                out.extend((0..length).map(|_| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 32) as u8
                }));
            }
            1 => out.resize(out.len() + length, seed),
            2 => {
                let pattern_length = 1 + usize::from(seed);
                let mut pattern = feed.take(pattern_length).to_vec();
                pattern.push(seed);
                out.extend(pattern.iter().cycle().take(length));
            }
            _ => out.extend_from_slice(feed.take(length.min(usize::from(seed)))),
        }
    }
    out
}

/// Cuts a file that comes in pieces of `steps` bytes, as a reader does that keeps no more than it must.
fn through_a_buffer(chunker: &Chunker, class: ChunkClass, file: &[u8], steps: &[u8]) -> Vec<usize> {
    let (mut buffer, mut read, mut cuts) = (Vec::new(), 0, Vec::new());
    let mut steps = steps.iter().cycle().map(|step| 1 + (usize::from(*step) << 12));
    loop {
        while read < file.len() && buffer.len() < class.length_max() {
            let step = steps.next().unwrap_or(usize::MAX).min(file.len() - read);
            buffer.extend_from_slice(&file[read..read + step]);
            read += step;
        }
        if buffer.is_empty() {
            return cuts;
        }
        let length = chunker.cut(class, &buffer);
        buffer.drain(..length);
        cuts.push(length);
    }
}

fuzz_target!(|data: &[u8]| {
    static CHUNKER: OnceLock<Chunker> = OnceLock::new();
    let chunker = CHUNKER.get_or_init(|| Chunker::new(world::ring().data_names().unwrap().gear()));
    let mut feed = Feed(data);
    let (class, number, bits) = [(ChunkClass::Files, 1, 20), (ChunkClass::Dumps, 2, 18), (ChunkClass::Images, 3, 0)][usize::from(feed.byte() % 3)];
    let steps = feed.array::<4>();
    let file = file(&mut feed);

    let (mut cuts, mut at) = (Vec::new(), 0);
    while at < file.len() {
        let rest = &file[at..];
        let length = chunker.cut(class, rest);
        assert!(length > 0 && length <= rest.len().min(class.length_max()));
        let expected = if class == ChunkClass::Images { rest.len().min(CLUSTER) } else { naive(bits, rest) };
        assert_eq!(length, expected, "at {at}");
        cuts.push(length);
        at += length;
    }
    assert_eq!(cuts.iter().sum::<usize>(), file.len());
    assert_eq!(through_a_buffer(chunker, class, &file, &steps), cuts);
    // Small files are not cut.
    let (mut cuts, mut at) = (Vec::new(), 0);
    while at < file.len() {
        let length = chunker.cut_in_file(class, file.len() as u64, &file[at..]);
        assert!(file.len() > SINGLE_CHUNK_MAX || class == ChunkClass::Images || length == file.len());
        cuts.push(length);
        at += length;
    }
    let gear = Gear::new(&world::roots().lasting("chunker"));
    assert_eq!(vault_rescue::chunker::cut(&gear, number, &file), Ok(cuts));
});
