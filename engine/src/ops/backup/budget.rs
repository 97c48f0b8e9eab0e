//! How much memory each part of a backup may take: a plan made from one limit before anything begins.

use crate::store::session::DATA_BLOCK_BYTES;

/// What a program takes that backs up nothing: code, SQLite, tables of the repository's packs, names of chunks not yet in an index segment.
const BASE_BYTES: usize = 30 << 20;
/// A reader's window over a large file.
const WINDOW_BYTES: usize = 3 << 20;
/// Two packs of trees.
const META_BYTES: usize = 8 << 20;
/// Blocks are filled at least to this.
const BLOCK_BYTES_MIN: usize = 256 << 10;
/// A limit below this is not kept.
pub const MEMORY_LIMIT_BYTES_MIN: usize = 64 << 20;
/// What two cores take, and each core more.
const USUAL_BYTES: usize = 92 << 20;
const USUAL_BYTES_A_CORE: usize = 5 << 20;
/// Packs for which that is meant.
const USUAL_PACK_BYTES: usize = 16 << 20;

/// Sizes and numbers that keep a backup below its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    /// Data packs are closed at this many bytes at the latest; two are held.
    pub(super) pack_bytes: usize,
    /// Blocks of small files are filled to this.
    pub(super) block_bytes: usize,
    /// Files read at the same time.
    pub(super) readers: usize,
    /// Threads that compress and seal.
    pub(super) sealers: usize,
}

impl Budget {
    /// The plan for `limit` bytes, or for what `cores` cores and packs of `pack_bytes` usually take. `readers`: files to read at the same time; `None`: there is
    /// one. Then its reader leaves the cores time while a sealer waits for the store, so that one sealer more uses them (a sixth of the time for a disk image).
    pub(super) fn new(limit: Option<usize>, pack_bytes: usize, cores: usize, readers: Option<usize>) -> Self {
        let cores = cores.max(1);
        let (readers, threads) = readers.map_or((1, cores + 1), |readers| (readers, cores));
        let usual = USUAL_BYTES + cores.saturating_sub(2) * USUAL_BYTES_A_CORE + 2 * pack_bytes.saturating_sub(USUAL_PACK_BYTES);
        let pack_bytes = limit.map_or(pack_bytes, |limit| pack_bytes.min(limit / 6));
        let limit = limit.unwrap_or(usual).max(MEMORY_LIMIT_BYTES_MIN);
        let rest = limit.saturating_sub(BASE_BYTES + META_BYTES + 2 * pack_bytes);
        // Half for the threads at most, so that each still has room to work in.
        let readers = readers.clamp(1, (rest / 2 / (WINDOW_BYTES + BLOCK_BYTES_MIN)).max(1));
        let rest = rest.saturating_sub(readers * WINDOW_BYTES);
        // Every reader fills a block, every sealer holds one and the box made of it.
        let sealers = threads.min((rest / BLOCK_BYTES_MIN).saturating_sub(readers) / 2).max(1);
        let block_bytes = (rest / (readers + 2 * sealers)).clamp(BLOCK_BYTES_MIN, DATA_BLOCK_BYTES);
        Self { pack_bytes, block_bytes, readers, sealers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(budget: Budget) -> usize {
        let blocks = budget.readers + 2 * budget.sealers;
        BASE_BYTES + META_BYTES + 2 * budget.pack_bytes + budget.readers * WINDOW_BYTES + blocks * budget.block_bytes
    }

    #[test]
    fn every_plan_keeps_its_limit() {
        for limit in [64usize, 80, 96, 128, 256, 1024].map(|mib| mib << 20) {
            for cores in [1, 2, 4, 16, 64, 256] {
                for readers in [None, Some(1), Some(2), Some(8), Some(64)] {
                    let budget = Budget::new(Some(limit), 32 << 20, cores, readers);
                    assert!(sum(budget) <= limit + (4 << 20), "{limit} {cores} {readers:?}: {budget:?} takes {}", sum(budget));
                    assert!(budget.readers >= 1 && budget.sealers >= 1);
                }
            }
        }
    }

    #[test]
    fn usually_blocks_are_large_and_every_core_seals() {
        for cores in [1, 2, 4, 8] {
            let budget = Budget::new(None, 16 << 20, cores, Some(2));
            assert_eq!((budget.readers, budget.sealers), (2, cores));
            assert!(budget.block_bytes >= 7 << 18, "{budget:?}");
        }
        assert_eq!(Budget::new(None, 64 << 20, 2, Some(2)).pack_bytes, 64 << 20);
    }
}
