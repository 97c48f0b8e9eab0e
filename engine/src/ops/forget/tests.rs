//! The policy as a function, and forgetting and undeleting on a store.

use super::policy::{Calendar, Count, GroupBy, Period, Policy, Reason, Span, is_good, judge, source_of};
use super::undelete::{forgotten, undelete};
use super::{by_hand, forget};
use crate::format::id::{ObjectId, TreeId};
use crate::format::layout::{ObjectKind, ObjectName};
use crate::format::node::Time;
use crate::format::snapshot::{Pin, Snapshot, Status, Summary};
use crate::ops::monitor::Cancel;
use crate::ops::testing::{Builder, reopened, repository};
use crate::store::Store as _;
use crate::store::error::RepositoryError;
use crate::store::repository::StoredSnapshot;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Months of thirty days and years of twelve of them, without time zones.
struct Even;

impl Calendar for Even {
    fn number(&self, period: Period, at: Time) -> i64 {
        let hours = at.seconds.div_euclid(3600);
        hours.div_euclid(match period {
            Period::Hour => 1,
            Period::Day => 24,
            Period::Week => 7 * 24,
            Period::Month => 30 * 24,
            Period::Quarter => 90 * 24,
            Period::Year => 360 * 24,
        })
    }

    fn before(&self, at: Time, span: Span) -> Time {
        let hours = i64::from(span.hours) + 24 * (i64::from(span.days) + 30 * i64::from(span.months) + 360 * i64::from(span.years));
        Time { seconds: at.seconds - 3600 * hours, ..at }
    }
}

fn stored(n: u16, hours: i64, change: impl FnOnce(&mut StoredSnapshot)) -> StoredSnapshot {
    let time = Time { seconds: hours * 3600 + i64::from(n % 3000), nanoseconds: 0 };
    let mut id = [0; 32];
    id[..2].copy_from_slice(&n.to_be_bytes());
    let mut stored = StoredSnapshot {
        id: ObjectId(id),
        confirmed: true,
        forgotten: false,
        session: None,
        snapshot: Snapshot {
            begun: time,
            ended: time,
            host: "h".into(),
            user: String::new(),
            source: None,
            paths: vec![b"/a".to_vec()],
            tags: Vec::new(),
            root: TreeId([0; 32]),
            parent: None,
            writer: "h".into(),
            sequence: 1,
            predecessor: None,
            original: None,
            summary: Summary::default(),
            status: Status::Complete,
            missing: 0,
            program: String::new(),
            pinned: None,
        },
    };
    change(&mut stored);
    stored
}

fn nothing(_: &mut StoredSnapshot) {}

const LATER: Time = Time { seconds: 1 << 40, nanoseconds: 0 };

/// Numbers of those that stay.
fn kept(all: &[StoredSnapshot], policy: &Policy) -> Vec<u16> {
    let groups = judge(all, &|_| true, policy, None, &Even, LATER, false);
    let verdicts = groups.iter().flat_map(|group| &group.verdicts);
    verdicts.filter(|verdict| !verdict.reasons.is_empty()).map(|verdict| u16::from_be_bytes(verdict.stored.id.0[..2].try_into().unwrap())).collect()
}

fn last(count: u32) -> Policy {
    Policy { last: Some(Count::Of(count)), ..Policy::default() }
}

fn of(period: Period, count: u32) -> Policy {
    Policy { periods: [(period, Count::Of(count))].into(), ..Policy::default() }
}

#[test]
fn each_rule_keeps_what_it_says() {
    // Two a day for ten days.
    let all: Vec<_> = (0..20).map(|n| stored(n, i64::from(n) * 12, nothing)).collect();
    assert_eq!(kept(&all, &last(3)), [17, 18, 19]);
    assert_eq!(kept(&all, &of(Period::Day, 3)), [15, 17, 19]);
    assert_eq!(kept(&all, &of(Period::Hour, 2)), [18, 19]);
    assert_eq!(kept(&all, &of(Period::Week, 5)), [0, 13, 19], "the oldest too, while there are fewer than five");
    assert_eq!(kept(&all, &of(Period::Year, 1)), [19]);
    let within = Policy { within: Some(Span { days: 2, ..Span::default() }), ..Policy::default() };
    assert_eq!(kept(&all, &within), [16, 17, 18, 19], "15 is a few seconds too old");
    let daily = Policy { within_periods: [(Period::Day, Span { days: 3, ..Span::default() })].into(), ..Policy::default() };
    assert_eq!(kept(&all, &daily), [15, 17, 19], "13 is a few seconds too old");
    let everything = Policy { last: Some(Count::All), ..Policy::default() };
    assert_eq!(kept(&all, &everything).len(), 20);
    let none = Policy { last: Some(Count::Of(0)), ..Policy::default() };
    assert_eq!(kept(&all, &none), [19], "the last good one");
}

#[test]
fn tags_pins_and_groups() {
    let tagged = |tags: &[&str]| {
        let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
        move |stored: &mut StoredSnapshot| stored.snapshot.tags = tags
    };
    let pinned = |until| move |stored: &mut StoredSnapshot| stored.snapshot.pinned = Some(Pin { reason: "why".into(), until });
    let all = [
        stored(0, 0, tagged(&["a", "b"])),
        stored(1, 1, tagged(&["a"])),
        stored(2, 2, pinned(None)),
        stored(3, 3, pinned(Some(Time::default()))),
        stored(4, 4, |stored| stored.snapshot.host = "other".into()),
        stored(5, 5, |stored| stored.snapshot.source = Some("db".into())),
        stored(6, 6, |stored| (stored.snapshot.source, stored.snapshot.host) = (Some("db".into()), "other".into())),
        stored(7, 7, nothing),
    ];
    let by_tag = Policy { tags: vec![vec!["a".into(), "b".into()]], ..Policy::default() };
    assert_eq!(
        kept(&all, &by_tag).into_iter().collect::<BTreeSet<_>>(),
        [0, 2, 4, 6].into(),
        "the tagged, the pinned, and the last good one of each other source"
    );
    let untagged = Policy { tags: vec![Vec::new()], ..Policy::default() };
    assert_eq!(kept(&all, &untagged).len(), 6);
    let groups = judge(&all, &|_| true, &last(1), Some(&[GroupBy::Host]), &Even, LATER, true);
    assert_eq!(groups.len(), 2);
    let reasons: Vec<_> = groups.iter().flat_map(|group| &group.verdicts).filter(|verdict| !verdict.reasons.is_empty()).map(|v| v.reasons.clone()).collect();
    assert_eq!(reasons, [vec![Reason::Pinned("why".into())], vec![Reason::Last], vec![Reason::Last]]);
}

#[test]
fn what_is_no_good_backup_takes_no_place_and_is_not_taken_away() {
    let all = [
        stored(0, 0, |stored| stored.snapshot.status = Status::Partial),
        stored(1, 1, |stored| stored.snapshot.status = Status::Incomplete),
        stored(2, 2, |stored| stored.confirmed = false),
        stored(3, 3, |stored| (stored.snapshot.status, stored.confirmed) = (Status::Partial, false)),
        stored(4, 4, |stored| stored.forgotten = true),
    ];
    assert_eq!(kept(&all, &last(1)), [1, 2, 3], "the first partial one is superseded, the last is not");
    let hand = |wanted: &[usize], force| by_hand(&all, &wanted.iter().map(|at| all[*at].id).collect::<Vec<_>>(), LATER, force).map(|chosen| chosen.len());
    assert!(matches!(hand(&[1], false), Err(RepositoryError::Invalid(_))));
    assert_eq!(hand(&[1], true).unwrap(), 1);
    assert_eq!(hand(&[0, 2, 3], false).unwrap(), 3);
    let pin = [stored(0, 0, |stored| stored.snapshot.pinned = Some(Pin { reason: String::new(), until: None })), stored(1, 1, nothing)];
    assert!(by_hand(&pin, &[pin[0].id], LATER, true).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever the policy: each source keeps a good one; keeping more never forgets what keeping less kept; what is pinned or unconfirmed stays.
    #[test]
    fn policies_never_take_the_last_and_more_keeps_more(
        made in prop::collection::vec((0i64..3000, 0u8..10, 0u8..3), 1..40),
        counts in prop::collection::vec(0u32..5, 7),
        more in 0usize..7,
    ) {
        let mut all: Vec<_> = made.iter().enumerate().map(|(n, (hours, state, source))| stored(n as u16, *hours, |stored| {
            stored.confirmed = *state != 0;
            stored.forgotten = *state == 1;
            stored.snapshot.status = if *state == 2 { Status::Partial } else { Status::Complete };
            stored.snapshot.pinned = (*state == 3).then(|| Pin { reason: String::new(), until: None });
            stored.snapshot.source = (*source > 0).then(|| source.to_string());
        })).collect();
        all.sort_by_key(|stored| (stored.snapshot.begun, stored.id));
        let policy = |counts: &[u32]| Policy {
            last: Some(Count::Of(counts[0])),
            periods: Period::ALL.into_iter().zip(counts[1..].iter().map(|count| Count::Of(*count))).collect(),
            ..Policy::default()
        };
        let stay: BTreeSet<u16> = kept(&all, &policy(&counts)).into_iter().collect();
        let number = |stored: &StoredSnapshot| u16::from_be_bytes(stored.id.0[..2].try_into().unwrap());
        for one in &all {
            if is_good(one) {
                prop_assert!(all.iter().any(|other| is_good(other) && source_of(other) == source_of(one) && stay.contains(&number(other))));
            }
            let must_stay = (one.snapshot.pinned.is_some() || (!one.confirmed && one.snapshot.status != Status::Partial)) && !one.forgotten;
            prop_assert!(!must_stay || stay.contains(&number(one)));
        }
        let mut larger = counts.clone();
        larger[more] += 1;
        let stay_larger: BTreeSet<u16> = kept(&all, &policy(&larger)).into_iter().collect();
        prop_assert!(stay.is_subset(&stay_larger));
    }
}

#[test]
fn a_forgotten_snapshot_can_be_put_again_until_its_packs_are_gone() {
    let (repository, store) = repository();
    let mut ids = Vec::new();
    for text in [&b"one"[..], b"two"] {
        let builder = Builder::new(&repository);
        let root = builder.tree(vec![builder.file("a", text)]);
        ids.push(builder.commit(root));
    }
    let list = repository.snapshots().unwrap().snapshots;
    forget(&repository, &[&list[0]]).unwrap();
    assert_eq!(repository.snapshots().unwrap().snapshots.len(), 1);
    let gone = forgotten(&repository).unwrap();
    assert_eq!((gone.len(), gone[0].id, &gone[0].snapshot), (1, ids[0], &list[0].snapshot));

    let back = undelete(&repository, "there", &gone[0], &Cancel::default()).unwrap();
    let list = reopened(&store).snapshots().unwrap().snapshots;
    let new = list.iter().find(|stored| stored.id == back).unwrap();
    assert!(new.confirmed && new.snapshot.original == Some(ids[0]) && new.snapshot.root == gone[0].snapshot.root);

    let repository = reopened(&store);
    forget(&repository, &[new]).unwrap();
    let gone = forgotten(&repository).unwrap().into_iter().find(|one| one.id == back).unwrap();
    let place = repository.loader.must_place(&repository, crate::format::pack::PackKind::Meta, &gone.snapshot.root.0).unwrap();
    store.delete(&ObjectName::new(ObjectKind::MetaPack, place.pack.id)).unwrap();
    let before = store.list(ObjectKind::Snapshot).unwrap();
    let repository = reopened(&store);
    assert!(undelete(&repository, "there", &gone, &Cancel::default()).is_err());
    assert_eq!(store.list(ObjectKind::Snapshot).unwrap(), before, "nothing was put");
}
