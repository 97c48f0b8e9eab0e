//! The rules, tried: every order of every call of a few writers and sweepers; random lives of many; and each rule switched off.
#![allow(clippy::unwrap_used)]

mod explore;
mod late_store;
mod random;
mod world;

use super::{Rules, SweepsSeen, Writer, WriterAnswer, WriterCall};
use crate::format::id::ObjectId;
use std::collections::BTreeSet;

/// What was taken from a parent went with it: whoever stores it again begins the look anew, sweeps first.
#[test]
fn what_went_with_a_parent_is_looked_at_from_the_beginning() {
    let mut writer = Writer::<BTreeSet<ObjectId>>::begin(Rules::default(), false);
    let none = || WriterAnswer::Sweeps(SweepsSeen::default());
    let stored = |by_parent| WriterAnswer::Stored { relied: BTreeSet::new(), by_parent };
    for answer in [none(), stored(true), WriterAnswer::Put, none(), WriterAnswer::There(false)] {
        writer.answer(answer);
    }
    assert_eq!(writer.next(), WriterCall::NameEveryPack);
    writer.answer(WriterAnswer::There(false));
    assert!(matches!(writer.next(), WriterCall::StoreAgain(_)));
    writer.answer(stored(false));
    assert_eq!(writer.next(), WriterCall::PutSnapshot);
    writer.answer(WriterAnswer::Put);
    assert_eq!(writer.next(), WriterCall::ListSweeps);
}
