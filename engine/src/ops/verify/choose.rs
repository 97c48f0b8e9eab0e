//! Which packs are read whole, and in which order: a plan, made of what there is and what the ledger remembers.

use super::sample::{self, Share};
use crate::format::index::IndexedPack;
use crate::store::ledger::Proof;
use std::cmp::Reverse;
use std::time::Duration;

/// What a run may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// So many bytes of packs are read, but one pack at least.
    Bytes(u64),
    /// No pack is begun after this time.
    Time(Duration),
}

/// A part of the packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackChoice {
    /// So many of them, drawn by lot.
    Share(Share),
    /// As many, drawn by lot, as it takes to say that fewer than the share `bad` of them are damaged.
    Confidence {
        /// The share that must not go unnoticed.
        bad: Share,
        /// With which probability it must not.
        confidence: Share,
    },
    /// Those that were not read for the longest time: so many that, with a run now and then, every byte is read again `within` a time; or as the budget has it.
    Oldest {
        /// Not more than this.
        budget: Option<Budget>,
        /// What is due for that; without it all of them.
        within: Option<Duration>,
    },
}

/// A pack that may be read, and what the ledger knows about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The pack.
    pub pack: IndexedPack,
    /// When it was read last.
    pub proof: Proof,
}

/// What is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In this order.
    pub packs: Vec<IndexedPack>,
    /// No pack is begun later.
    pub time_max: Option<Duration>,
    /// Bytes that are due, and more than the budget allows.
    pub left_out_bytes: u64,
}

/// When it is, by a clock that may be wrong: seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// Now.
    pub now: i64,
    /// When work was last spread; the next time is expected as far off.
    pub last_run: Option<i64>,
}

/// Decides. Without a choice all packs are read, those first that were not read for the longest time, so that a run which is killed got somewhere.
pub fn choose(mut candidates: Vec<Candidate>, choice: Option<PackChoice>, clock: Clock, dice: &mut dyn FnMut(u64) -> u64) -> Plan {
    candidates.sort_unstable_by_key(|candidate| (candidate.proof.proved, candidate.proof.seen, candidate.pack.kind, candidate.pack.id));
    let population = candidates.len();
    let mut plan = Plan::default();
    let drawn = match choice {
        None => None,
        Some(PackChoice::Share(share)) => Some(share.of(population as u64)),
        Some(PackChoice::Confidence { bad, confidence }) => Some(sample::needed(population as u64, bad, confidence)),
        Some(PackChoice::Oldest { budget, within }) => {
            if let Some(within) = within {
                candidates = due(candidates, within, clock);
            }
            match budget {
                Some(Budget::Bytes(bytes_max)) => plan.left_out_bytes = cut(&mut candidates, bytes_max, within.is_some()),
                Some(Budget::Time(time)) => plan.time_max = Some(time),
                None => {}
            }
            None
        }
    };
    plan.packs = match drawn {
        None => candidates.into_iter().map(|candidate| candidate.pack).collect(),
        Some(count) => sample::draw(population, count as usize, dice).into_iter().map(|at| candidates[at].pack).collect(),
    };
    plan
}

/// Keeps what `bytes_max` bytes allow, and one pack at least: else a small budget would never get anywhere. Returns the bytes left out, if they are due.
fn cut(candidates: &mut Vec<Candidate>, bytes_max: u64, are_due: bool) -> u64 {
    let mut bytes = 0u64;
    let fits = candidates.iter().take_while(|candidate| {
        bytes = bytes.saturating_add(candidate.pack.length);
        bytes <= bytes_max
    });
    let count = fits.count().max(1).min(candidates.len());
    let left_out = candidates.split_off(count);
    if are_due { left_out.iter().map(|candidate| candidate.pack.length).sum() } else { 0 }
}

/// What is due now, so that every byte is read again within a time.
///
/// Packs are taken in the order of their age. If all that lie behind a pack are read at an even rate, that is all bytes within the window, its turn comes
/// after the part of the window that the bytes before it are of all; it must not be older than the window then. So much is due that this holds for
/// every pack. The window is that of the wish less the time to the next run, which is expected as far off as the last one, and a day at least. Whoever
/// runs seldom reads more each time; whoever runs twice a day reads nothing the second time.
fn due(mut candidates: Vec<Candidate>, within: Duration, clock: Clock) -> Vec<Candidate> {
    const DAY: i64 = 86_400;
    let within = i64::try_from(within.as_secs()).unwrap_or(i64::MAX).max(1);
    let interval = clock.last_run.map_or(DAY, |last| clock.now.saturating_sub(last).max(DAY)).min(within);
    let window = (within - interval).max(0);
    // What was never read counts as met a run ago: the first run reads its share, too.
    let since = |candidate: &Candidate| candidate.proof.proved.unwrap_or_else(|| candidate.proof.seen.saturating_sub(interval));
    candidates.sort_by_key(|candidate| (since(candidate), Reverse(candidate.proof.proved.is_none())));
    let total: u64 = candidates.iter().map(|candidate| candidate.pack.length).sum();
    let (mut before, mut due) = (0u64, 0u64);
    for candidate in &candidates {
        before += candidate.pack.length;
        let left = window.saturating_sub(clock.now.saturating_sub(since(candidate))).max(0);
        let in_time = if window == 0 { 0 } else { (u128::from(total) * left as u128 / window as u128) as u64 };
        due = due.max(before.saturating_sub(in_time));
    }
    // Down to whole packs: one that is due for certain is never left by that, since all before it are due as well.
    let mut bytes = 0u64;
    let count = candidates.iter().take_while(|candidate| {
        bytes += candidate.pack.length;
        bytes <= due
    });
    let count = count.count();
    candidates.truncate(count);
    candidates
}

#[cfg(test)]
mod tests;
