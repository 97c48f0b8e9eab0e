//! Which snapshots a policy keeps, and why. A pure function: it is given the snapshots, the time and a calendar.

use crate::format::id::ObjectId;
use crate::format::node::Time;
use crate::format::snapshot::Status;
use crate::store::repository::StoredSnapshot;
use std::collections::{BTreeMap, HashSet};

/// A stretch of the calendar, of each of which one snapshot may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Period {
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Period {
    /// Every one, the shortest first.
    pub const ALL: [Self; 6] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];
}

/// A length of time as people count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Span {
    pub years: i32,
    pub months: i32,
    pub days: i32,
    pub hours: i32,
}

/// What the policy needs of a calendar: it knows time zones, this floor does not.
pub trait Calendar {
    /// A number that is the same for two times in the same period, and greater for later ones.
    fn number(&self, period: Period, at: Time) -> i64;
    /// The time `span` before `at`.
    fn before(&self, at: Time, span: Span) -> Time;
}

/// How many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// So many.
    Of(u32),
    /// All.
    All,
}

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The newest ones.
    pub last: Option<Count>,
    /// The newest one of each of the last periods that have any.
    pub periods: BTreeMap<Period, Count>,
    /// All that are not older than the newest by more than this.
    pub within: Option<Span>,
    /// The newest one of each period within this of the newest.
    pub within_periods: BTreeMap<Period, Span>,
    /// Those with all tags of one of these lists. An empty list means: without any tags.
    pub tags: Vec<Vec<String>>,
}

impl Policy {
    /// Whether it keeps nothing by itself.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What snapshots of one group have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum GroupBy {
    Host,
    Paths,
    Tags,
    Source,
}

/// What a group has in common: those fields that it is made by.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub struct GroupKey {
    pub source: Option<String>,
    pub host: Option<String>,
    pub paths: Option<Vec<Vec<u8>>>,
    pub tags: Option<Vec<String>>,
}

/// Why a snapshot stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// One of the newest.
    Last,
    /// The newest of its period.
    Of(Period),
    /// The oldest of its group, while there are fewer than the policy would keep.
    OldestOf(Period),
    /// Young enough.
    Within,
    /// The newest of its period, and young enough.
    WithinOf(Period),
    /// It has these tags.
    Tagged(Vec<String>),
    /// Pinned, for this reason.
    Pinned(String),
    /// Unconfirmed: its run may still go on, or is finished by the next one.
    Unconfirmed,
    /// Partial, and nothing newer of its source is good.
    Unfinished,
    /// The last good one of its source.
    LastGood,
    /// An alarm stands over its source.
    Alarm,
}

/// A snapshot and what becomes of it.
#[derive(Clone, Debug)]
pub struct Verdict<'a> {
    /// The snapshot.
    pub stored: &'a StoredSnapshot,
    /// Why it stays; it goes if this is empty.
    pub reasons: Vec<Reason>,
}

/// Snapshots that the policy looks at together, oldest first.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// What they have in common.
    pub key: GroupKey,
    /// Each with its verdict.
    pub verdicts: Vec<Verdict<'a>>,
}

/// Whether a snapshot counts as a backup: confirmed, not forgotten, made at its run's end. One that lacks some source data does.
pub fn is_good(stored: &StoredSnapshot) -> bool {
    stored.confirmed && !stored.forgotten && stored.snapshot.status != Status::Partial
}

/// Whether a snapshot is pinned at this time.
pub fn is_pinned(stored: &StoredSnapshot, now: Time) -> bool {
    stored.snapshot.pinned.as_ref().is_some_and(|pin| pin.until.is_none_or(|until| now < until))
}

/// What a snapshot is a backup of: its source if that has a name, else its host and paths.
pub fn source_of(stored: &StoredSnapshot) -> GroupKey {
    let snapshot = &stored.snapshot;
    match &snapshot.source {
        Some(source) => GroupKey { source: Some(source.clone()), ..GroupKey::default() },
        None => group_of(stored, &[GroupBy::Host, GroupBy::Paths]),
    }
}

fn group_of(stored: &StoredSnapshot, by: &[GroupBy]) -> GroupKey {
    let snapshot = &stored.snapshot;
    let mut key = GroupKey::default();
    for by in by {
        match by {
            GroupBy::Host => key.host = Some(snapshot.host.clone()),
            GroupBy::Paths => key.paths = Some(snapshot.paths.clone()),
            GroupBy::Tags => key.tags = Some(snapshot.tags.clone()),
            GroupBy::Source => key.source = Some(snapshot.source.clone().unwrap_or_default()),
        }
    }
    key
}

struct Left {
    count: Option<Count>,
    last: Option<i64>,
}

impl Left {
    /// Whether one more is kept; the oldest counts for a period that is not full.
    fn takes(&mut self, number: i64, is_oldest: bool) -> Option<bool> {
        let is_new = self.last != Some(number);
        match &mut self.count {
            None | Some(Count::Of(0)) => return None,
            _ if !is_new && !is_oldest => return None,
            Some(Count::Of(left)) => *left -= 1,
            Some(Count::All) => {}
        }
        self.last = Some(number);
        Some(is_new)
    }
}

/// The reasons to keep each of the good snapshots of a group, which come oldest first.
fn reasons(good: &[&StoredSnapshot], policy: &Policy, calendar: &dyn Calendar) -> Vec<Vec<Reason>> {
    let mut reasons = vec![Vec::new(); good.len()];
    let Some(newest) = good.last().map(|stored| stored.snapshot.begun) else { return reasons };
    let mut last = Left { count: policy.last, last: None };
    let mut periods: Vec<(Period, Left)> = policy.periods.iter().map(|(period, count)| (*period, Left { count: Some(*count), last: None })).collect();
    let mut within: Vec<(Period, Time, Left)> =
        policy.within_periods.iter().map(|(period, span)| (*period, calendar.before(newest, *span), Left { count: Some(Count::All), last: None })).collect();
    let since = policy.within.map(|span| calendar.before(newest, span));
    for (at, stored) in good.iter().enumerate().rev() {
        let (snapshot, own) = (&stored.snapshot, &mut reasons[at]);
        if last.takes(at as i64, false).is_some() {
            own.push(Reason::Last);
        }
        for (period, left) in &mut periods {
            match left.takes(calendar.number(*period, snapshot.begun), at == 0) {
                Some(true) => own.push(Reason::Of(*period)),
                Some(false) => own.push(Reason::OldestOf(*period)),
                None => {}
            }
        }
        if since.is_some_and(|since| snapshot.begun > since) {
            own.push(Reason::Within);
        }
        for (period, since, left) in &mut within {
            if snapshot.begun > *since && left.takes(calendar.number(*period, snapshot.begun), false).is_some() {
                own.push(Reason::WithinOf(*period));
            }
        }
        let fits = |list: &&Vec<String>| if list.is_empty() { snapshot.tags.is_empty() } else { list.iter().all(|tag| snapshot.tags.contains(tag)) };
        if let Some(list) = policy.tags.iter().find(fits) {
            own.push(Reason::Tagged(list.clone()));
        }
    }
    reasons
}

/// What becomes of those of `all` snapshots (oldest first) that are `looked_at`. `by` is `None` for the source of each.
///
/// Only good snapshots are counted, so a partial or unconfirmed one never takes the place of a good one. Unconfirmed ones stay; partial ones go when
/// their source has a newer good one. Unless `force`, every source keeps its last good snapshot.
pub fn judge<'a>(
    all: &'a [StoredSnapshot],
    looked_at: &dyn Fn(&StoredSnapshot) -> bool,
    policy: &Policy,
    by: Option<&[GroupBy]>,
    calendar: &dyn Calendar,
    now: Time,
    force: bool,
) -> Vec<Group<'a>> {
    let mut groups: BTreeMap<GroupKey, Vec<&StoredSnapshot>> = BTreeMap::new();
    for stored in all.iter().filter(|stored| !stored.forgotten && looked_at(stored)) {
        let key = by.map_or_else(|| source_of(stored), |by| group_of(stored, by));
        groups.entry(key).or_default().push(stored);
    }
    let is_superseded = |partial: &StoredSnapshot| {
        let later = |other: &StoredSnapshot| is_good(other) && other.snapshot.begun >= partial.snapshot.begun && source_of(other) == source_of(partial);
        all.iter().any(later)
    };
    let mut judged: Vec<Group<'a>> = Vec::new();
    for (key, members) in groups {
        let good: Vec<&StoredSnapshot> = members.iter().copied().filter(|stored| is_good(stored)).collect();
        let mut kept = reasons(&good, policy, calendar).into_iter();
        let verdict = |stored: &'a StoredSnapshot| {
            let mut reasons = if is_good(stored) { kept.next().unwrap_or_default() } else { Vec::new() };
            if stored.snapshot.status == Status::Partial {
                if !is_superseded(stored) {
                    reasons.push(Reason::Unfinished);
                }
            } else if !stored.confirmed {
                reasons.push(Reason::Unconfirmed);
            }
            if let Some(pin) = stored.snapshot.pinned.as_ref().filter(|_| is_pinned(stored, now)) {
                reasons.push(Reason::Pinned(pin.reason.clone()));
            }
            Verdict { stored, reasons }
        };
        judged.push(Group { key, verdicts: members.into_iter().map(verdict).collect() });
    }
    if !force {
        keep_last_good(all, &mut judged);
    }
    judged
}

fn keep_last_good(all: &[StoredSnapshot], judged: &mut [Group<'_>]) {
    let gone: HashSet<ObjectId> =
        judged.iter().flat_map(|group| &group.verdicts).filter(|verdict| verdict.reasons.is_empty()).map(|verdict| verdict.stored.id).collect();
    let mut last: BTreeMap<GroupKey, (&StoredSnapshot, bool)> = BTreeMap::new();
    for stored in all.iter().filter(|stored| is_good(stored)) {
        let entry = last.entry(source_of(stored)).or_insert((stored, false));
        *entry = (stored, entry.1 || !gone.contains(&stored.id));
    }
    let saved: HashSet<ObjectId> = last.into_values().filter(|(_, has_left)| !has_left).map(|(stored, _)| stored.id).collect();
    for verdict in judged.iter_mut().flat_map(|group| &mut group.verdicts) {
        if saved.contains(&verdict.stored.id) {
            verdict.reasons.push(Reason::LastGood);
        }
    }
}
