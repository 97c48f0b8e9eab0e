//! A writer: from the first look at sweeps to the acknowledgement of a snapshot.

use super::{NameSet, Rule, Rules, SweepsSeen};

/// The call that a writer makes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterCall<S: NameSet> {
    /// List `gc/` and read what is in it. Answer: [`WriterAnswer::Sweeps`].
    ListSweeps,
    /// Put packs and index segments, durably; chunks in packs that [`Writer::may_rely`] refuses count as absent. Answer: [`WriterAnswer::Stored`].
    /// As often as it likes in between: put a snapshot of what is stored so far, and list sweeps. Answer to that: [`WriterAnswer::Sweeps`].
    Store,
    /// Put the snapshot, durably. Answer: [`WriterAnswer::Put`].
    PutSnapshot,
    /// Look whether the parent is there and no forget record names it. Answer: [`WriterAnswer::There`].
    LookAtParent,
    /// Name every pack that the whole snapshot needs, none that [`Writer::may_rely`] refuses. Answer: [`WriterAnswer::Stored`], or
    /// [`WriterAnswer::There`] with `false` if something of it is gone.
    NameEveryPack,
    /// Look whether the pack is physically there. Answer: [`WriterAnswer::There`].
    LookAtPack(S::Name),
    /// Ask the index whether it knows the pack: what a rule that is switched off does instead.
    #[cfg(test)]
    LookInIndex(S::Name),
    /// Chunks in these packs are lost to the snapshot: store them again, in packs of fresh names, and put the snapshot again if it is another one
    /// now; or give up, unacknowledged. Answer: [`WriterAnswer::Stored`].
    StoreAgain(S),
    /// Put the confirmation, durably. Answer: [`WriterAnswer::Put`].
    PutConfirmation,
    /// Nothing more: the snapshot is acknowledged.
    Acknowledged,
}

/// What came of the call.
#[derive(Clone, Debug)]
pub enum WriterAnswer<S: NameSet> {
    /// The records in `gc/`.
    Sweeps(SweepsSeen<S>),
    /// All is stored. The packs that the snapshot relies on, put or found, apart from those that only entries taken from the parent need.
    Stored {
        /// The packs.
        relied: S,
        /// A confirmed parent covers the rest.
        by_parent: bool,
    },
    /// It is put.
    Put,
    /// It is there, or not.
    There(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Begin,
    Storing,
    Committing,
    Listing,
    Parent,
    Naming,
    Packs,
    /// With [`Rule::SweepsBeforePacks`] switched off: the packs were looked at, the sweeps come last.
    ListingLate,
    StoringAgain,
    Confirming,
    Acknowledged,
}

/// A writer. Ask [`Writer::next`], do it, tell [`Writer::answer`], until the snapshot is acknowledged or somebody gives up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Writer<S: NameSet> {
    rules: Rules,
    at: At,
    listings_are_late: bool,
    /// Packs that must not be relied on.
    refused: S,
    /// Packs that were swept actively at the last listing.
    active: S,
    relied: S,
    by_parent: bool,
    unseen: S,
    lost: S,
}

impl<S: NameSet> Writer<S> {
    fn at(at: At, rules: Rules, listings_are_late: bool) -> Self {
        let none = S::default;
        Self { rules, at, listings_are_late, refused: none(), active: none(), relied: none(), by_parent: false, unseen: none(), lost: none() }
    }

    /// A new session. `listings_are_late`: the store may show an old listing for a while.
    pub fn begin(rules: Rules, listings_are_late: bool) -> Self {
        Self::at(At::Begin, rules, listings_are_late)
    }

    /// For a snapshot that stands in the store already: an unconfirmed one of a killed run. All that it needs is looked at.
    pub fn resume(rules: Rules, listings_are_late: bool) -> Self {
        Self::at(At::Listing, rules, listings_are_late)
    }

    /// Whether a chunk that lies in this pack may count as stored.
    pub fn may_rely(&self, pack: S::Name) -> bool {
        !self.refused.has(pack)
    }

    /// The packs that must not be relied on.
    pub fn refused(&self) -> &S {
        &self.refused
    }

    /// The next call.
    pub fn next(&self) -> WriterCall<S> {
        match self.at {
            At::Begin | At::Listing | At::ListingLate => WriterCall::ListSweeps,
            At::Storing => WriterCall::Store,
            At::Committing => WriterCall::PutSnapshot,
            At::Parent => WriterCall::LookAtParent,
            At::Naming => WriterCall::NameEveryPack,
            At::Packs => {
                let Some(pack) = self.unseen.first() else { unreachable!("there is a pack to look at in this state") };
                #[cfg(test)]
                if !self.rules.hold(Rule::PackSeen) {
                    return WriterCall::LookInIndex(pack);
                }
                WriterCall::LookAtPack(pack)
            }
            At::StoringAgain => WriterCall::StoreAgain(self.lost.clone()),
            At::Confirming => WriterCall::PutConfirmation,
            At::Acknowledged => WriterCall::Acknowledged,
        }
    }

    /// Takes the answer to the call that [`Writer::next`] names. An answer to another call changes nothing.
    pub fn answer(&mut self, answer: WriterAnswer<S>) {
        match (self.at, answer) {
            (At::Begin, WriterAnswer::Sweeps(seen)) => {
                self.refuse(&seen);
                self.at = At::Storing;
            }
            // A checkpoint of a long run.
            (At::Storing, WriterAnswer::Sweeps(seen)) => self.refuse(&seen),
            (At::Storing | At::StoringAgain, WriterAnswer::Stored { relied, by_parent }) => {
                (self.relied, self.by_parent) = (relied, by_parent);
                self.at = At::Committing;
            }
            (At::Committing, WriterAnswer::Put) => {
                if !self.rules.hold(Rule::PostCheck) {
                    self.at = At::Confirming;
                } else if self.rules.hold(Rule::SweepsBeforePacks) {
                    self.at = At::Listing;
                } else {
                    self.look();
                }
            }
            // The order is the rule: sweeps first, then everything that is looked at.
            (At::Listing, WriterAnswer::Sweeps(seen)) => {
                self.active = seen.active.clone();
                self.refuse(&seen);
                if self.by_parent && self.listings_are_late && self.rules.hold(Rule::ParentOrSweeps) && !self.active.is_empty() {
                    self.by_parent = false;
                    self.at = At::Naming;
                } else if self.by_parent {
                    if self.rules.hold(Rule::ParentSeen) { self.at = At::Parent } else { self.look() }
                } else if self.relied.is_empty() {
                    self.at = At::Naming;
                } else {
                    self.look();
                }
            }
            (At::ListingLate, WriterAnswer::Sweeps(seen)) => {
                let relied = self.relied.clone();
                let mut swept = seen.active.clone();
                swept.keep(|pack| relied.has(pack));
                self.lost.join(&swept);
                self.settle();
            }
            (At::Parent, WriterAnswer::There(there)) => {
                self.by_parent = there;
                if there { self.look() } else { self.at = At::Naming }
            }
            (At::Naming, WriterAnswer::Stored { relied, .. }) => {
                self.relied = relied;
                self.look();
            }
            // All of it is looked at again when it was stored again, and the snapshot put again: sweeps first.
            (At::Naming, WriterAnswer::There(false)) => self.at = At::StoringAgain,
            (At::Packs, WriterAnswer::There(there)) => {
                if let Some(pack) = self.unseen.pop()
                    && (!there || (self.rules.hold(Rule::PackNotSwept) && self.active.has(pack)))
                {
                    self.lost.add(pack);
                }
                if self.unseen.is_empty() {
                    self.looked();
                }
            }
            (At::Confirming, WriterAnswer::Put) => self.at = At::Acknowledged,
            (at, answer) => debug_assert!(false, "{answer:?} is no answer to {at:?}"),
        }
    }

    fn refuse(&mut self, seen: &SweepsSeen<S>) {
        self.refused.join(&seen.condemned);
        self.refused.join(&seen.active);
    }

    fn look(&mut self) {
        self.lost = S::default();
        self.unseen = self.relied.clone();
        self.at = At::Packs;
        if self.unseen.is_empty() {
            self.looked();
        }
    }

    fn looked(&mut self) {
        if self.rules.hold(Rule::SweepsBeforePacks) { self.settle() } else { self.at = At::ListingLate }
    }

    fn settle(&mut self) {
        if self.lost.is_empty() {
            self.at = At::Confirming;
        } else {
            // What is lost once stays so: whoever stores again must not find it.
            self.refused.join(&self.lost);
            self.at = At::StoringAgain;
        }
    }
}
