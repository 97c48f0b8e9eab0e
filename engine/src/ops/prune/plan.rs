//! Which packs go and which blocks move first: a pure function of what is used.

use crate::format::id::ObjectId;
use crate::format::index::IndexedPack;
use crate::format::pack::{CHUNKS_MAX, KEYS_MAX, PackKind};

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Of all bytes in packs, so many in a hundred may be unused afterwards.
    pub unused_percent_max: f64,
    /// So many bytes may be moved.
    pub repack_bytes_max: u64,
    /// So many bytes are moved before their old packs are deleted.
    pub round_bytes_max: u64,
}

/// A block that is needed, in whole or in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Its number in the pack.
    pub block: u32,
    /// Length of its box in bytes.
    pub box_bytes: u32,
    /// The part of them that belongs to needed chunks.
    pub live_bytes: u32,
    /// How many chunks it has.
    pub chunks: u32,
    /// How many of them are needed.
    pub live_chunks: u32,
    /// When it was first needed: newer snapshots first.
    pub order: u32,
    /// It moves as it is, however little of it is needed: who sweeps cannot open it.
    pub is_sealed: bool,
}

/// A block of which less than this is needed is taken apart when its pack goes: what is needed of it goes into new blocks. The others move as they are,
/// which costs a fiftieth of the time.
const WHOLE_MIN: f64 = 0.8;

impl Needed {
    /// Whether it is taken apart.
    pub fn is_thin(&self) -> bool {
        !self.is_sealed && f64::from(self.live_bytes) < WHOLE_MIN * f64::from(self.box_bytes)
    }

    /// Bytes of it that move; of a block that is taken apart about so many.
    pub fn moved_bytes(&self) -> u64 {
        u64::from(if self.is_thin() { self.live_bytes } else { self.box_bytes })
    }

    /// Chunks of it that move.
    pub fn moved_chunks(&self) -> u32 {
        if self.is_thin() { self.live_chunks } else { self.chunks }
    }
}

/// What is used of a pack.
#[derive(Clone, Debug, PartialEq)]
pub struct Use {
    /// The pack.
    pub pack: IndexedPack,
    /// Bytes of chunks that are not needed, as stored.
    pub unused_bytes: u64,
    /// Bytes that moving what is needed frees: blocks that are not needed at all, and what does not move of those that are taken apart.
    pub idle_bytes: u64,
    /// Its needed blocks; none: the pack is of no use.
    pub needed: Vec<Needed>,
    /// It stays, whatever is in it: it belongs to a run that may go on.
    pub stays: bool,
    /// A sweep of another holds it, so it has no future: what is needed of it has to move.
    pub is_swept: bool,
}

/// A block on its way: number in the list of uses, and the block.
pub type Moved = (usize, Needed);

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Packs of no use, by their numbers in the list of uses.
    pub dead: Vec<usize>,
    /// Packs whose needed blocks move, in rounds: each can be finished by itself.
    pub rounds: Vec<Vec<usize>>,
    /// Bytes in packs now.
    pub total_bytes: u64,
    /// Bytes of packs that go.
    pub freed_bytes: u64,
    /// Bytes of blocks that move.
    pub moved_bytes: u64,
    /// Bytes that nothing needs now, and afterwards.
    pub unused_bytes: (u64, u64),
}

/// A pack is worth moving if at least this part of it is freed.
const GAIN_MIN: f64 = 0.02;

fn moved_bytes(used: &Use) -> u64 {
    used.needed.iter().map(Needed::moved_bytes).sum()
}

/// Chooses: all packs of no use; then of the others those that free most for each byte moved, until little enough is unused.
pub fn plan(uses: &[Use], limits: &Limits) -> Plan {
    let mut plan = Plan { total_bytes: uses.iter().map(|used| used.pack.length).sum(), ..Plan::default() };
    plan.unused_bytes.0 = uses.iter().map(|used| used.unused_bytes).sum();
    let mut left_bytes = plan.total_bytes;
    let mut left_unused = plan.unused_bytes.0;
    let mut moves: Vec<usize> = Vec::new();
    let mut candidates: Vec<(f64, usize)> = Vec::new();
    for (number, used) in uses.iter().enumerate().filter(|(_, used)| !used.stays) {
        let moved = moved_bytes(used);
        if used.needed.is_empty() {
            plan.dead.push(number);
            left_bytes -= used.pack.length;
            left_unused -= used.unused_bytes;
        } else if used.is_swept {
            moves.push(number);
            left_bytes = left_bytes - used.pack.length + moved;
            left_unused -= used.idle_bytes;
            plan.moved_bytes += moved;
        } else {
            let freed = used.idle_bytes as f64;
            if used.idle_bytes > 0 && freed >= GAIN_MIN * used.pack.length as f64 {
                candidates.push((freed / moved.max(1) as f64, number));
            }
        }
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| uses[a.1].pack.id.cmp(&uses[b.1].pack.id)));
    for (_, number) in candidates {
        if left_unused as f64 <= left_bytes as f64 * limits.unused_percent_max / 100.0 {
            break;
        }
        let (length, moved) = (uses[number].pack.length, moved_bytes(&uses[number]));
        if plan.moved_bytes + moved > limits.repack_bytes_max {
            continue;
        }
        plan.moved_bytes += moved;
        left_bytes = left_bytes - length + moved;
        left_unused -= uses[number].idle_bytes;
        moves.push(number);
    }
    plan.unused_bytes.1 = left_unused;
    plan.freed_bytes = plan.dead.iter().chain(&moves).map(|number| uses[*number].pack.length).sum();
    // What the newest snapshots need first moves first, and together.
    moves.sort_by_key(|number| uses[*number].needed.iter().map(|block| block.order).min());
    let mut round_bytes = 0;
    for number in moves {
        let moved = moved_bytes(&uses[number]);
        match plan.rounds.last_mut().filter(|_| round_bytes + moved <= limits.round_bytes_max) {
            Some(round) => {
                round.push(number);
                round_bytes += moved;
            }
            None => {
                plan.rounds.push(vec![number]);
                round_bytes = moved;
            }
        }
    }
    plan
}

/// The new packs of a kind that the blocks of a round make, each a list of blocks in the order they are needed.
pub fn new_packs(uses: &[Use], round: &[usize], kind: PackKind, size_bytes: u64) -> Vec<Vec<Moved>> {
    let mut blocks: Vec<Moved> =
        round.iter().filter(|number| uses[**number].pack.kind == kind).flat_map(|number| uses[*number].needed.iter().map(|block| (*number, *block))).collect();
    blocks.sort_by_key(|(number, block)| (block.order, uses[*number].pack.id, block.block));
    let mut packs: Vec<Vec<Moved>> = Vec::new();
    let (mut bytes, mut chunks) = (0u64, 0usize);
    for moved in blocks {
        let (own_bytes, own_chunks) = (moved.1.moved_bytes() + 36 * u64::from(moved.1.moved_chunks()), moved.1.moved_chunks() as usize);
        let fits = |pack: &&mut Vec<Moved>| bytes + own_bytes <= size_bytes && chunks + own_chunks <= CHUNKS_MAX && pack.len() < KEYS_MAX;
        match packs.last_mut().filter(fits) {
            Some(pack) => {
                pack.push(moved);
                (bytes, chunks) = (bytes + own_bytes, chunks + own_chunks);
            }
            None => {
                packs.push(vec![moved]);
                (bytes, chunks) = (own_bytes, own_chunks);
            }
        }
    }
    packs
}

/// The packs that a phase of the plan deletes.
pub fn victims<'a>(uses: &'a [Use], numbers: impl IntoIterator<Item = &'a usize>) -> impl Iterator<Item = ObjectId> {
    numbers.into_iter().map(|number| uses[*number].pack.id)
}
