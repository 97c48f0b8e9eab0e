//! Every reachable state of a few writers and sweepers, one call at a time; a crash is a process that makes no further call.

use super::world::{Config, PLAIN, World, successors};
use crate::store::protocol::{Rule, Rules, SweeperCall, WriterCall};
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// Hashes well enough for 2¹²⁸ places, and fast.
#[derive(Default)]
struct Mix(u64, u64);

impl Mix {
    fn fold(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        self.1 = (self.1.rotate_left(17) ^ value).wrapping_mul(0xd6e8_feb8_6659_fd93) ^ (self.1 >> 31);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0 ^ self.1
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.fold(u64::from(*byte)));
    }
    fn write_u8(&mut self, value: u8) {
        self.fold(u64::from(value));
    }
    fn write_u16(&mut self, value: u16) {
        self.fold(u64::from(value));
    }
    fn write_usize(&mut self, value: usize) {
        self.fold(value as u64);
    }
    fn write_isize(&mut self, value: isize) {
        self.fold(value as u64);
    }
    fn write_u128(&mut self, value: u128) {
        self.fold(value as u64);
        self.fold((value >> 64) as u64);
    }
}

/// Where a world stands among all. Of who makes no further call nothing counts.
fn place(world: &World) -> u128 {
    let mut mix = Mix::default();
    (world.packs, world.index, world.snapshots, world.confirmed, world.forgotten, world.condemned, world.sweeps).hash(&mut mix);
    for writer in &world.writers {
        match writer.rules.next() {
            _ if writer.given_up => mix.fold(1),
            WriterCall::Acknowledged => mix.fold(2),
            _ => writer.hash(&mut mix),
        }
    }
    for sweeper in &world.sweepers {
        if sweeper.rules.next() == SweeperCall::Finished { mix.fold(1) } else { sweeper.hash(&mut mix) }
    }
    u128::from(mix.0) << 64 | u128::from(mix.1)
}

/// Tries everything. `Ok`: safe, with the number of states; `Err`: the calls that led to a loss.
fn explore(config: &Config, rules: Rules) -> Result<usize, usize> {
    let start = World::new(config, rules);
    let mut seen: HashSet<u128, BuildHasherDefault<Mix>> = HashSet::default();
    seen.insert(place(&start));
    let mut waiting = vec![(start, 0)];
    let mut out = Vec::new();
    while let Some((world, depth)) = waiting.pop() {
        if world.has_lost() {
            return Err(depth);
        }
        successors(&world, config, rules, &mut out);
        for next in out.drain(..) {
            if seen.insert(place(&next)) {
                waiting.push((next, depth + 1));
            }
        }
    }
    Ok(seen.len())
}

/// What fits into every run of the tests; together they have each process and each event beside each other.
fn configs() -> Vec<Config> {
    let pair = Config { first: true, forget: true, repack: true, ..PLAIN };
    vec![
        PLAIN,
        Config { sweepers: 2, packs: 0, ..PLAIN },
        Config { sweepers: 2, ..PLAIN },
        Config { sweepers: 2, packs: 2, first: true, ..PLAIN },
        Config { writers: 2, packs: 2, ..PLAIN },
        pair,
        Config { condemn: true, ..pair },
        Config { cover: true, ..pair },
        Config { undelete: true, ..pair },
        Config { checkpoint: true, packs: 2, ..pair },
        Config { sweepers: 2, ..pair },
        Config { sweepers: 2, cover: true, ..pair },
        Config { sweepers: 2, undelete: true, ..pair },
        Config { writers: 2, ..pair },
        Config { writers: 2, cover: true, ..pair },
        Config { writers: 2, undelete: true, ..pair },
        Config { writers: 2, sweepers: 2, packs: 0, stores: 1, ..PLAIN },
        Config { writers: 2, sweepers: 2, stores: 0, ..PLAIN },
    ]
}

/// Larger ones: minutes and gigabytes.
fn large_configs() -> Vec<Config> {
    let all = Config { writers: 2, sweepers: 2, first: true, forget: true, repack: true, ..PLAIN };
    vec![
        Config { writers: 1, packs: 2, ..all },
        Config { writers: 2, sweepers: 2, packs: 0, ..PLAIN },
        all,
        Config { cover: true, ..all },
        Config { undelete: true, ..all },
        Config { checkpoint: true, condemn: true, ..all },
    ]
}

/// With `VAULT_EXPLORE_ALL` set the large ones too: `VAULT_EXPLORE_ALL=1 cargo test --release -p vault-engine in_any_order -- --nocapture`.
#[test]
fn nothing_acknowledged_is_lost_in_any_order() {
    let large = std::env::var_os("VAULT_EXPLORE_ALL").map(|_| large_configs()).unwrap_or_default();
    for config in configs().into_iter().chain(large) {
        let states = explore(&config, Rules::default());
        eprintln!("{states:?} {config:?}");
        assert!(states.is_ok(), "{config:?}");
    }
}

/// The rules that the explorer can show to be needed; the others need late listings ([`super::random`]).
const SHOWN: [Rule; 14] = [
    Rule::PostCheck,
    Rule::SweepsBeforePacks,
    Rule::PackSeen,
    Rule::PackNotSwept,
    Rule::ParentSeen,
    Rule::FreshName,
    Rule::NewBeforeOld,
    Rule::SnapshotsAfterFlag,
    Rule::OthersAfterFlag,
    Rule::CopyNotSwept,
    Rule::CopyOutsideSet,
    Rule::CopySeen,
    Rule::DoneAfterDeletes,
    Rule::OthersDoneWhenGone,
];

#[test]
fn each_rule_is_needed() {
    let mut idle = Vec::new();
    for rule in SHOWN {
        let found = configs().into_iter().find_map(|config| explore(&config, Rules::without(rule)).err().map(|calls| (calls, config)));
        match found {
            Some((calls, config)) => eprintln!("without {rule:?} data is lost after {calls} calls: {config:?}"),
            None => idle.push(rule),
        }
    }
    assert_eq!(idle, [], "rules that change nothing");
}
