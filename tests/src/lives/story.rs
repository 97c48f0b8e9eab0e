//! What a life was: its numbers, and what happened in it.

/// What a life was.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lived {
    /// Steps.
    pub steps: u64,
    /// Operations that succeeded.
    pub done: u64,
    /// Operations that ended with an error.
    pub failed: u64,
    /// Operations that were cut short.
    pub cuts: u64,
    /// Pairs of programs that ran at the same time.
    pub pairs: u64,
    /// Objects that were damaged.
    pub harms: u64,
    /// Backups that were acknowledged.
    pub acknowledged: u64,
    /// Snapshots that were read and compared.
    pub compared: u64,
    /// Turns that were taken from a program that waited for the other.
    pub stalls: u64,
}

impl std::ops::AddAssign for Lived {
    fn add_assign(&mut self, other: Self) {
        self.steps += other.steps;
        self.done += other.done;
        self.failed += other.failed;
        self.cuts += other.cuts;
        self.pairs += other.pairs;
        self.harms += other.harms;
        self.acknowledged += other.acknowledged;
        self.compared += other.compared;
        self.stalls += other.stalls;
    }
}

/// What happened; told when the life ends in a panic, or as it happens where `VAULT_TESTS_TELL` is set: a fuzzer ends the program before.
#[derive(Default)]
pub struct Story(Vec<String>);

fn is_wanted() -> bool {
    std::env::var_os("VAULT_TESTS_TELL").is_some()
}

impl Story {
    /// The next thing that happened.
    pub fn tell(&mut self, line: String) {
        if is_wanted() {
            eprintln!("{line}");
        }
        self.0.push(line);
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        if std::thread::panicking() && !is_wanted() {
            eprintln!("the life:\n  {}", self.0.join("\n  "));
        }
    }
}
