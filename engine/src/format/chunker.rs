//! FastCDC under the repository's secret table; the cut points are pinned by vectors, not by the dependency (SPEC chapter 10).

use fastcdc::v2020;

/// How contents are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChunkClass {
    /// Files: 256 KiB, 1 MiB, 4 MiB.
    Files,
    /// Dumps and logs: 64 KiB, 256 KiB, 1 MiB.
    Dumps,
    /// Disk images: fixed clusters of 64 KiB, runs of zeros become holes.
    Images,
}

/// Length in bytes of a disk image's cluster.
pub const CLUSTER: usize = 64 * 1024;
/// A file of at most this many bytes is one chunk (classes Files and Dumps).
pub const SINGLE_CHUNK_MAX: usize = 256 * 1024;

impl ChunkClass {
    /// Longest chunk in bytes.
    pub fn length_max(self) -> usize {
        match self {
            Self::Files => 4 << 20,
            Self::Dumps => 1 << 20,
            Self::Images => CLUSTER,
        }
    }
}

/// The secret table that the chunker's key stands for.
pub(super) fn gear(key: &[u8; 32]) -> Box<[u64; 256]> {
    let mut bytes = [0; 2048];
    blake3::Hasher::new_keyed(key).finalize_xof().fill(&mut bytes);
    let mut table = Box::new([0; 256]);
    for (entry, bytes) in table.iter_mut().zip(bytes.chunks_exact(8)) {
        *entry = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    }
    table
}

/// Finds cut points.
pub struct Chunker {
    gear: Box<[u64; 256]>,
    gear_shifted: Box<[u64; 256]>,
}

struct Sizes {
    min: usize,
    avg: usize,
    max: usize,
    strict: u64,
    loose: u64,
}

const FILES: Sizes = Sizes { min: 256 << 10, avg: 1 << 20, max: 4 << 20, strict: 0x0000_d937_6753_7000, loose: 0x0000_d907_0753_7000 };
const DUMPS: Sizes = Sizes { min: 64 << 10, avg: 256 << 10, max: 1 << 20, strict: 0x0000_d917_4753_7000, loose: 0x0000_d903_0353_7000 };

impl Chunker {
    /// A chunker with a secret table ([`super::keys::KeyRing::gear`]).
    pub fn new(gear: Box<[u64; 256]>) -> Self {
        let mut gear_shifted = gear.clone();
        gear_shifted.iter_mut().for_each(|entry| *entry <<= 1);
        Self { gear, gear_shifted }
    }

    /// The length of the first chunk of `rest` in a file of `size` bytes, holes included: a small file's runs of data are not cut.
    pub fn cut_in_file(&self, class: ChunkClass, size: u64, rest: &[u8]) -> usize {
        if size <= SINGLE_CHUNK_MAX as u64 && rest.len() <= SINGLE_CHUNK_MAX && class != ChunkClass::Images { rest.len() } else { self.cut(class, rest) }
    }

    /// The length of the first chunk of `rest`, which is all that is left of the contents, or at least
    /// [`ChunkClass::length_max`] bytes of it. 0 only for nothing.
    pub fn cut(&self, class: ChunkClass, rest: &[u8]) -> usize {
        let sizes = match class {
            ChunkClass::Files => &FILES,
            ChunkClass::Dumps => &DUMPS,
            ChunkClass::Images => return rest.len().min(CLUSTER),
        };
        let (_, length) = v2020::cut_gear(
            rest,
            sizes.min,
            sizes.avg,
            sizes.max,
            sizes.strict,
            sizes.loose,
            sizes.strict << 1,
            sizes.loose << 1,
            &self.gear[..],
            &self.gear_shifted[..],
        );
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut bytes);
        bytes
    }

    fn cuts(chunker: &Chunker, class: ChunkClass, mut rest: &[u8]) -> Vec<usize> {
        let mut cuts = Vec::new();
        while !rest.is_empty() {
            let length = chunker.cut(class, rest);
            cuts.push(length);
            rest = &rest[length..];
        }
        cuts
    }

    #[test]
    fn the_masks_are_those_of_the_published_table() {
        let level = v2020::Normalization::Level2;
        assert_eq!(v2020::select_masks(FILES.avg, level), (FILES.strict, FILES.loose));
        assert_eq!(v2020::select_masks(DUMPS.avg, level), (DUMPS.strict, DUMPS.loose));
    }

    #[test]
    fn cut_points_are_pinned() {
        let chunker = Chunker::new(gear(&[42; 32]));
        assert_eq!(cuts(&chunker, ChunkClass::Files, &noise(6 << 20)), GOLDEN_FILES);
        assert_eq!(cuts(&chunker, ChunkClass::Dumps, &noise(1 << 20)), GOLDEN_DUMPS);
        assert_eq!(cuts(&chunker, ChunkClass::Images, &noise(150_000)), [65_536, 65_536, 18_928]);
        assert_eq!(cuts(&chunker, ChunkClass::Files, &vec![0; 9 << 20]), [4 << 20, 4 << 20, 1 << 20]);
    }

    const GOLDEN_FILES: &[usize] = &[1_104_730, 1_101_684, 1_064_904, 1_379_862, 1_307_880, 332_396];
    const GOLDEN_DUMPS: &[usize] = &[275_131, 269_516, 503_929];

    #[test]
    fn more_bytes_behind_do_not_move_a_cut() {
        let chunker = Chunker::new(gear(&[42; 32]));
        let bytes = noise(12 << 20);
        for class in [ChunkClass::Files, ChunkClass::Dumps, ChunkClass::Images] {
            let first = chunker.cut(class, &bytes);
            assert_eq!(first, chunker.cut(class, &bytes[..class.length_max()]));
        }
    }
}
