//! A sweeper: from the first listing to the end of its sweep.

use super::{NameSet, Rule, Rules, SweepsSeen};

/// The call that a sweeper makes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SweeperCall<S: NameSet, W> {
    /// List `gc/` and read what is in it. Answer: [`SweeperAnswer::Sweeps`].
    ListSweeps,
    /// List snapshots, find what they need, choose what to delete; put what is needed of it into new packs, and an index segment for these,
    /// durably. Packs of sweeps that others left are worth choosing: they have no other use. Answer: [`SweeperAnswer::Planned`].
    Plan,
    /// Put the condemn record. Answer: [`SweeperAnswer::Done`].
    PutCondemn,
    /// Put the sweep record with exactly the chosen packs, durably. Answer: [`SweeperAnswer::Done`].
    PutSweep,
    /// Wait twice as long as listings may be late. Answer: [`SweeperAnswer::Done`].
    Wait,
    /// List the snapshots again and find what those that are new need. Answer: [`SweeperAnswer::Done`].
    ListSnapshots,
    /// See which packs are physically there; by a listing only where listings are never late. Answer: [`SweeperAnswer::Packs`].
    SeePacks,
    /// Ask the index which packs there are: what a rule that is switched off does instead.
    #[cfg(test)]
    AskIndex,
    /// Find the packs of the set that hold a chunk which any snapshot seen needs and which no pack has that [`Sweeper::is_copy`] says yes to.
    /// Answer: [`SweeperAnswer::Spared`].
    Judge,
    /// Put index segments that do not speak of the victims, durably, and delete those that do. Answer: [`SweeperAnswer::Done`].
    PutIndex,
    /// Delete the pack. Answer: [`SweeperAnswer::Done`].
    Delete(S::Name),
    /// All deletes must be durable; then put the done record. Answer: [`SweeperAnswer::Done`].
    PutDone,
    /// See whether any pack of this sweep of another is there. Answer: [`SweeperAnswer::Gone`].
    SeeSweep(W),
    /// Put the done record of this sweep of another. Answer: [`SweeperAnswer::Done`].
    PutDoneOf(W),
    /// Nothing more.
    Finished,
}

/// What came of the call.
#[derive(Clone, Debug)]
pub enum SweeperAnswer<S: NameSet, W> {
    /// The records in `gc/`, without the own ones, and the active sweeps among them by name.
    Sweeps(SweepsSeen<S>, Vec<W>),
    /// What was chosen; nothing: there is nothing to sweep.
    Planned {
        /// The packs.
        victims: S,
        /// Whether writers shall be warned first.
        condemn: bool,
    },
    /// It is done.
    Done,
    /// The packs that are there.
    Packs(S),
    /// The packs of the set that stay.
    Spared(S),
    /// Nothing of that sweep is there any more, or something is.
    Gone(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Begin,
    Planning,
    Condemning,
    Flagging,
    WaitingToList,
    Others,
    Snapshots,
    Packs,
    Judging,
    Indexing,
    Deleting,
    WaitingToEnd,
    Ending,
    Elsewhere,
    EndingOther,
    Finished,
}

/// A sweeper of names `S` whose sweeps of others are called `W`. Ask [`Sweeper::next`], do it, tell [`Sweeper::answer`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sweeper<S: NameSet, W> {
    rules: Rules,
    at: At,
    listings_are_late: bool,
    others: S,
    other_sweeps: Vec<W>,
    victims: S,
    there: S,
    left: S,
}

impl<S: NameSet, W: Copy + std::fmt::Debug> Sweeper<S, W> {
    /// A new one. `listings_are_late`: the store may show an old listing for a while.
    pub fn begin(rules: Rules, listings_are_late: bool) -> Self {
        let none = S::default;
        Self { rules, at: At::Begin, listings_are_late, others: none(), other_sweeps: Vec::new(), victims: none(), there: none(), left: none() }
    }

    /// The packs of the other active sweeps, as last listed.
    pub fn others(&self) -> &S {
        &self.others
    }

    /// The other active sweeps, as last listed.
    pub fn other_sweeps(&self) -> &[W] {
        &self.other_sweeps
    }

    /// The packs of the own set; once the judgement is in, those of them that are deleted.
    pub fn victims(&self) -> &S {
        &self.victims
    }

    /// Whether a chunk in this pack outlives the sweep: only then may another copy of it go.
    pub fn is_copy(&self, pack: S::Name) -> bool {
        self.there.has(pack)
            && !(self.rules.hold(Rule::CopyOutsideSet) && self.victims.has(pack))
            && !(self.rules.hold(Rule::CopyNotSwept) && self.others.has(pack))
    }

    /// The next call.
    pub fn next(&self) -> SweeperCall<S, W> {
        match self.at {
            At::Begin | At::Others => SweeperCall::ListSweeps,
            At::Planning => SweeperCall::Plan,
            At::Condemning => SweeperCall::PutCondemn,
            At::Flagging => SweeperCall::PutSweep,
            At::WaitingToList | At::WaitingToEnd => SweeperCall::Wait,
            At::Snapshots => SweeperCall::ListSnapshots,
            At::Packs => {
                #[cfg(test)]
                if !self.rules.hold(Rule::CopySeen) {
                    return SweeperCall::AskIndex;
                }
                SweeperCall::SeePacks
            }
            At::Judging => SweeperCall::Judge,
            At::Indexing => SweeperCall::PutIndex,
            At::Deleting => match self.left.first() {
                Some(pack) => SweeperCall::Delete(pack),
                None => unreachable!("there is a pack to delete in this state"),
            },
            At::Ending => SweeperCall::PutDone,
            At::Elsewhere => match self.other_sweeps.last() {
                Some(sweep) => SweeperCall::SeeSweep(*sweep),
                None => unreachable!("there is a sweep to look at in this state"),
            },
            At::EndingOther => match self.other_sweeps.last() {
                Some(sweep) => SweeperCall::PutDoneOf(*sweep),
                None => unreachable!("there is a sweep to end in this state"),
            },
            At::Finished => SweeperCall::Finished,
        }
    }

    /// Takes the answer to the call that [`Sweeper::next`] names. An answer to another call changes nothing.
    pub fn answer(&mut self, answer: SweeperAnswer<S, W>) {
        let late = self.listings_are_late && self.rules.hold(Rule::WaitForListings);
        match (self.at, answer) {
            (At::Begin, SweeperAnswer::Sweeps(seen, sweeps)) => {
                (self.others, self.other_sweeps) = (seen.active, sweeps);
                self.at = At::Planning;
            }
            (At::Planning, SweeperAnswer::Planned { victims, condemn }) => {
                self.victims = victims;
                self.at = match (self.victims.is_empty(), condemn) {
                    (true, _) => self.elsewhere(),
                    (false, true) => At::Condemning,
                    (false, false) => self.flag(),
                };
            }
            (At::Condemning, SweeperAnswer::Done) => self.at = self.flag(),
            // From here on whoever looks for sweeps sees this one. Only what is listed later can be complete.
            (At::Flagging, SweeperAnswer::Done) => {
                self.at = match (self.rules.hold(Rule::SnapshotsAfterFlag), self.rules.hold(Rule::OthersAfterFlag)) {
                    (false, _) => At::Packs,
                    (true, false) => At::Snapshots,
                    (true, true) if late => At::WaitingToList,
                    (true, true) => At::Others,
                };
            }
            (At::WaitingToList, SweeperAnswer::Done) => self.at = At::Others,
            (At::Others, SweeperAnswer::Sweeps(seen, sweeps)) => {
                (self.others, self.other_sweeps) = (seen.active, sweeps);
                self.at = At::Snapshots;
            }
            (At::Snapshots, SweeperAnswer::Done) => self.at = if self.rules.hold(Rule::SnapshotsAfterFlag) { At::Packs } else { At::Flagging },
            (At::Packs, SweeperAnswer::Packs(there)) => {
                self.there = there;
                self.at = At::Judging;
            }
            (At::Judging, SweeperAnswer::Spared(spared)) => {
                self.left = self.victims.clone();
                self.left.keep(|pack| !spared.has(pack));
                self.victims = self.left.clone();
                // Judged once and for all: nothing that comes later counts.
                (self.there, self.others) = (S::default(), S::default());
                self.at = if self.left.is_empty() { self.end() } else { At::Indexing };
            }
            (At::Indexing, SweeperAnswer::Done) => self.at = if self.rules.hold(Rule::DoneAfterDeletes) { At::Deleting } else { At::Ending },
            (At::Deleting, SweeperAnswer::Done) => {
                self.left.pop();
                if self.left.is_empty() {
                    self.at = if self.rules.hold(Rule::DoneAfterDeletes) { self.end() } else { self.elsewhere() };
                }
            }
            (At::WaitingToEnd, SweeperAnswer::Done) => self.at = At::Ending,
            (At::Ending, SweeperAnswer::Done) => {
                self.at = if self.left.is_empty() { self.elsewhere() } else { At::Deleting };
            }
            (At::Elsewhere, SweeperAnswer::Gone(gone)) => {
                if gone || !self.rules.hold(Rule::OthersDoneWhenGone) {
                    self.at = At::EndingOther;
                } else {
                    self.other_sweeps.pop();
                    self.at = self.elsewhere();
                }
            }
            (At::EndingOther, SweeperAnswer::Done) => {
                self.other_sweeps.pop();
                self.at = self.elsewhere();
            }
            (at, answer) => debug_assert!(false, "{answer:?} is no answer to {at:?}"),
        }
    }

    fn flag(&self) -> At {
        if self.rules.hold(Rule::SnapshotsAfterFlag) { At::Flagging } else { At::Snapshots }
    }

    fn end(&self) -> At {
        if self.listings_are_late && self.rules.hold(Rule::WaitForListings) { At::WaitingToEnd } else { At::Ending }
    }

    fn elsewhere(&self) -> At {
        if self.other_sweeps.is_empty() { At::Finished } else { At::Elsewhere }
    }
}
