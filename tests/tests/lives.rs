//! Whole lives with crashes, drawn from seeds: what the fuzz target `lives` does without a fuzzer.
//!
//! `VAULT_TESTS_LIVES` sets the number of lives. `VAULT_TESTS_LIFE` is the seed of a life, or a file that a fuzzer wrote, which alone is lived again.

use std::panic::catch_unwind;
use std::time::Instant;
use vault_tests::lives::{Lived, drawn, live};

/// After so many lives that fail no more are lived.
const FAILED_MAX: usize = 5;

#[test]
fn no_life_loses_what_was_acknowledged() {
    let number = |text: &str| text.parse::<u64>();
    let one = std::env::var("VAULT_TESTS_LIFE").ok();
    let count = std::env::var("VAULT_TESTS_LIVES").map_or(200, |count| number(&count).unwrap());
    let seeds = one.as_deref().map_or(0..count, |one| number(one).map_or(0..1, |seed| seed..seed + 1));
    let bytes = |seed| one.as_ref().filter(|one| number(one).is_err()).map_or_else(|| drawn(seed), |path| std::fs::read(path).unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let (begun, mut count, mut all, mut failed) = (Instant::now(), 0, Lived::default(), Vec::new());
    for seed in seeds {
        count += 1;
        match catch_unwind(|| live(&bytes(seed), scratch.path())) {
            Ok(lived) => all += lived,
            Err(_) => {
                eprintln!("that was life {seed}: VAULT_TESTS_LIFE={seed} lives it again");
                failed.push(seed);
            }
        }
        if failed.len() == FAILED_MAX {
            break;
        }
    }
    eprintln!("{count} lives, {:.1} a second: {all:?}", f64::from(count) / begun.elapsed().as_secs_f64());
    assert!(failed.is_empty(), "lives failed: {failed:?}");
    assert!(count < 100 || (all.cuts > 0 && all.pairs > 0 && all.harms > 0 && all.acknowledged > 0), "nothing was tested");
}
