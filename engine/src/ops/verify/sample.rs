//! How many packs tell enough about all of them: sampling without replacement, where one bad pack settles it.
//!
//! Of `population` packs `bad` are damaged, and `drawn` are read, each set of them as likely as any other. That none of the bad ones is among them has
//! the probability C(population − bad, drawn) ÷ C(population, drawn), by the hypergeometric distribution. A plan with confidence c against a share f of
//! bad packs draws the fewest with which that probability, at f, is at most 1 − c: acceptance sampling with acceptance number 0
//! (Schilling and Neubauer, *Acceptance Sampling in Quality Control*, chapter on single sampling by attributes; auditors call it discovery sampling).
//! For a very large population it becomes ln(1 − c) ÷ ln(1 − f): 4,603 packs for 0.1 % and 99 %.

/// A share of something, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(1_000_000);

    fn value(self) -> f64 {
        f64::from(self.0.min(Self::WHOLE.0)) / f64::from(Self::WHOLE.0)
    }

    /// So much of `whole`, rounded up.
    pub fn of(self, whole: u64) -> u64 {
        (u128::from(whole) * u128::from(self.0.min(Self::WHOLE.0))).div_ceil(u128::from(Self::WHOLE.0)) as u64
    }
}

/// The logarithm of the probability that none of `bad` packs is among `drawn` of `population`.
fn unnoticed_ln(population: u64, bad: u64, drawn: u64) -> f64 {
    if bad == 0 || drawn == 0 {
        return 0.0;
    }
    if bad.saturating_add(drawn) > population {
        return f64::NEG_INFINITY;
    }
    // The product is symmetric in both; the shorter one has fewer factors.
    let (few, many) = (bad.min(drawn), bad.max(drawn));
    (0..few).map(|at| (-(many as f64) / (population - at) as f64).ln_1p()).sum()
}

/// The smallest number below or at `most` for which `holds`, which stays true once it is; `most` if it never is.
fn first(most: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, most);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The logarithm of what may go wrong; a hair more, since a plan that hits it exactly must not miss it by rounding.
fn limit(confidence: Share) -> f64 {
    (1.0 - confidence.value()).ln() + 1e-12
}

/// How many of `population` packs must be read, none of them being bad, to say that fewer than the share `bad` of them are, with this confidence.
pub fn needed(population: u64, bad: Share, confidence: Share) -> u64 {
    let bad = bad.of(population).max(1);
    let limit = limit(confidence);
    first(population, |drawn| unnoticed_ln(population, bad, drawn) <= limit)
}

/// After `drawn` of `population` packs were read and found good: how many of the population may be bad at most, with this confidence.
pub fn bad_most(population: u64, drawn: u64, confidence: Share) -> u64 {
    let limit = limit(confidence);
    // The first number that would have been noticed; one less may not.
    first(population.saturating_add(1), |bad| unnoticed_ln(population, bad, drawn) <= limit).saturating_sub(1).min(population)
}

/// `count` of the numbers below `population`, each set of them as likely as any other. `dice(n)` gives a number below `n`.
pub fn draw(population: usize, count: usize, dice: &mut dyn FnMut(u64) -> u64) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..population).collect();
    let count = count.min(population);
    for at in 0..count {
        let other = at + dice((population - at) as u64) as usize;
        numbers.swap(at, other);
    }
    numbers.truncate(count);
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERCENT: u32 = 10_000;
    const CONFIDENT: Share = Share(99 * PERCENT);

    /// The probability by counting: the binomial coefficients themselves.
    fn unnoticed(population: u64, bad: u64, drawn: u64) -> f64 {
        let choose = |n: u64, k: u64| (0..k).fold(1.0, |product, at| product * (n as f64 - at as f64) / (at + 1) as f64);
        if bad + drawn > population { 0.0 } else { choose(population - bad, drawn) / choose(population, drawn) }
    }

    #[test]
    fn the_plan_is_the_smallest_that_would_notice() {
        for population in [1, 2, 7, 60, 240, 1000] {
            for bad in [1, 5, 20, 50] {
                let share = Share(bad * PERCENT);
                let drawn = needed(population, share, CONFIDENT);
                let bad = share.of(population).max(1);
                assert!(unnoticed(population, bad, drawn) <= 0.01 + 1e-9, "{population} {bad} {drawn}");
                assert!(drawn == 0 || unnoticed(population, bad, drawn - 1) > 0.01 - 1e-9, "{population} {bad} {drawn} is more than needed");
                assert!(bad_most(population, drawn, CONFIDENT) < bad, "what the plan promises is what is said afterwards");
            }
        }
    }

    #[test]
    fn known_numbers() {
        // Large populations: ln 0.01 / ln 0.999 = 4602.8, and the rule of three: 0 of 300 leaves 1 % at 95 %.
        assert_eq!(needed(1_000_000_000, Share(1000), CONFIDENT), 4603);
        let most = bad_most(1_000_000_000, 300, Share(95 * PERCENT)) as f64 / 1e9;
        assert!((0.0099..0.01).contains(&most), "{most}");
        // A single bad pack of a hundred is found with 99 % by reading 99 of them.
        assert_eq!(needed(100, Share(1000), CONFIDENT), 99);
        assert_eq!(needed(0, Share(1000), CONFIDENT), 0);
        assert_eq!((bad_most(10, 10, CONFIDENT), bad_most(10, 0, CONFIDENT), bad_most(0, 0, CONFIDENT)), (0, 10, 0));
        assert_eq!((Share(50_000).of(240), Share(50_000).of(1), Share(0).of(9)), (12, 1, 0));
    }

    /// What is promised, seen happening: with a share of bad packs, a sample of the planned size misses them all no oftener than promised.
    #[test]
    fn bad_packs_are_missed_as_seldom_as_promised() {
        let (population, share) = (200usize, Share(5 * PERCENT));
        let drawn = needed(population as u64, share, Share(90 * PERCENT)) as usize;
        let mut state = 1u64;
        let mut dice = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((u128::from(state) * u128::from(below)) >> 64) as u64
        };
        let mut missed = 0;
        let mut hits = vec![0usize; population];
        for _ in 0..4000 {
            let sample = draw(population, drawn, &mut dice);
            missed += usize::from(sample.iter().all(|at| *at >= 10));
            sample.iter().for_each(|at| hits[*at] += 1);
        }
        assert!((200..=440).contains(&missed), "{missed} of 4000, and 10 % at most are promised");
        let expected = 4000 * drawn / population;
        assert!(hits.iter().all(|hit| hit.abs_diff(expected) < expected / 4), "every pack is as likely as any other: {hits:?}");
        let mut all = draw(50, 80, &mut dice);
        all.sort_unstable();
        assert!(all.into_iter().eq(0..50));
    }
}
