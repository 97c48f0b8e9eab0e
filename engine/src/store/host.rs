//! The clock and the dice, handed in; the only file that may read the system's.

use crate::format::node::Time;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What the engine needs of the machine.
pub trait Host: Send + Sync {
    /// The time now. Recorded, shown, never trusted.
    fn now(&self) -> Time;

    /// Time since some fixed moment, for measuring.
    fn elapsed(&self) -> Duration;

    /// Time that a processor worked for the calling thread, for measuring. A host that cannot tell says the time that passed.
    fn busy(&self) -> Duration {
        self.elapsed()
    }

    /// Fills `out` with random bytes fit for keys.
    fn fill_random(&self, out: &mut [u8]);
}

impl dyn Host + '_ {
    /// Fresh random bytes.
    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut out = [0; N];
        self.fill_random(&mut out);
        out
    }
}

/// The real machine.
pub struct SystemHost {
    start: Instant,
}

impl Default for SystemHost {
    fn default() -> Self {
        Self { start: Instant::now() }
    }
}

impl Host for SystemHost {
    fn now(&self) -> Time {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => Time { seconds: after.as_secs() as i64, nanoseconds: after.subsec_nanos() },
            Err(_) => Time::default(),
        }
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    fn busy(&self) -> Duration {
        let used = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
    }

    fn fill_random(&self, out: &mut [u8]) {
        getrandom::fill(out).expect("the system's random source does not fail once it is up");
    }
}
