//! Two programs at one store take turns: the first makes so many calls, then the other so many, and so on; whose turn it is when the numbers
//! are used up runs to its end.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Duration;

/// After so long the turn is taken from a program that makes no call: it waits for the other one.
const PATIENCE: Duration = Duration::from_millis(400);

struct State {
    /// How many calls each turn has, the next one last.
    turns: Vec<u64>,
    /// Whose turn it is.
    turn: usize,
    /// Calls that are left of it.
    left: u64,
    ended: [bool; 2],
    /// Calls of both.
    calls: u64,
    stalls: u64,
}

/// The turns.
pub struct Turns {
    state: Mutex<State>,
    moved: Condvar,
    /// This call, of both together, is not made, and none after it.
    last: Option<u64>,
}

impl Turns {
    /// Turns of so many calls each. At call number `last` of both together, counted from 1, the power goes.
    pub fn new(turns: &[u64], last: Option<u64>) -> Self {
        let turns: Vec<u64> = turns.iter().rev().copied().collect();
        let mut state = State { turns, turn: 1, left: 0, ended: [false; 2], calls: 0, stalls: 0 };
        state.pass();
        Self { state: Mutex::new(state), moved: Condvar::new(), last }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Waits for the turn of program `who`; `false` if the power is gone.
    pub fn wait(&self, who: usize) -> bool {
        let mut state = self.state();
        loop {
            if self.is_over(&state) {
                return false;
            }
            if state.ended[1 - who] {
                break;
            }
            if state.turn == who {
                if state.left > 0 {
                    state.left -= 1;
                    break;
                }
                state.pass();
                self.moved.notify_all();
                continue;
            }
            let before = (state.calls, state.turn);
            let (woken, waited) = self.moved.wait_timeout(state, PATIENCE).unwrap();
            state = woken;
            if waited.timed_out() && before == (state.calls, state.turn) {
                state.stalls += 1;
                state.pass();
                self.moved.notify_all();
            }
        }
        state.calls += 1;
        if self.is_over(&state) {
            self.moved.notify_all();
            return false;
        }
        true
    }

    fn is_over(&self, state: &State) -> bool {
        self.last.is_some_and(|last| state.calls >= last)
    }

    /// Whether the power went.
    pub fn is_dark(&self) -> bool {
        self.is_over(&self.state())
    }

    /// How often the turn was taken from one that waited for the other.
    pub fn stalls(&self) -> u64 {
        self.state().stalls
    }

    /// Says when it is dropped that program `who` has ended, even by a panic.
    pub fn playing(&self, who: usize) -> Playing<'_> {
        Playing(self, who)
    }
}

impl State {
    fn pass(&mut self) {
        self.turn = 1 - self.turn;
        self.left = self.turns.pop().unwrap_or(u64::MAX);
    }
}

/// A program that takes part.
pub struct Playing<'a>(&'a Turns, usize);

impl Drop for Playing<'_> {
    fn drop(&mut self) {
        self.0.state().ended[self.1] = true;
        self.0.moved.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn played(turns: &[u64], last: Option<u64>) -> (String, bool) {
        let turns = Arc::new(Turns::new(turns, last));
        let order = Arc::new(Mutex::new(String::new()));
        let programs: Vec<_> = ["A", "B"]
            .into_iter()
            .enumerate()
            .map(|(who, name)| {
                let (turns, order) = (turns.clone(), order.clone());
                std::thread::spawn(move || {
                    let _playing = turns.playing(who);
                    for _ in 0..5 {
                        if !turns.wait(who) {
                            return;
                        }
                        order.lock().unwrap().push_str(name);
                    }
                })
            })
            .collect();
        programs.into_iter().for_each(|program| program.join().unwrap());
        let order = order.lock().unwrap().clone();
        (order, turns.is_dark())
    }

    #[test]
    fn each_has_as_many_calls_as_the_turns_say() {
        assert_eq!(played(&[2, 3, 1], None), ("AABBBABBAA".into(), false));
        assert_eq!(played(&[0, 1, 9], None), ("BAAAAABBBB".into(), false));
        assert_eq!(played(&[], None), ("AAAAABBBBB".into(), false));
    }

    #[test]
    fn when_the_power_goes_nobody_calls_any_more() {
        assert_eq!(played(&[2, 3], Some(4)), ("AAB".into(), true));
        assert_eq!(played(&[2, 3], Some(1)), (String::new(), true));
        assert_eq!(played(&[2, 3], Some(11)), ("AABBBAAABB".into(), false));
    }
}
