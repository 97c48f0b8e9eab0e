//! A clock and dice that give the same in every run of a life.

use crate::random::Random;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vault_engine::format::node::Time;
use vault_engine::store::host::Host;

/// Time goes on by itself a little with each look at it.
pub struct LifeHost {
    moments: AtomicU64,
    random: Mutex<Random>,
}

impl LifeHost {
    /// The host of the life with this seed.
    pub fn new(seed: u64) -> Self {
        Self { moments: AtomicU64::new(0), random: Mutex::new(Random(seed)) }
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::Relaxed)
    }
}

impl Host for LifeHost {
    fn now(&self) -> Time {
        Time { seconds: 1_000_000 + self.moment() as i64, nanoseconds: 0 }
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.moment())
    }

    fn fill_random(&self, out: &mut [u8]) {
        let drawn = self.random.lock().unwrap().bytes(out.len());
        out.copy_from_slice(&drawn);
    }
}
