//! Chapter 7, across slots: which of them a secret opens, and which one counts.

use crate::bundle::Bundle;
use crate::fault::{Fault, Result, Rule};
use crate::keys::{Bytes16, Keys};
use crate::slot::{self, Secret, Slot};
use crate::store::{Place, Store};
use std::cmp::Reverse;

/// Reads the slots and opens one.
pub fn open_slots(store: &Store, secret: &Secret, problems: &mut Vec<Fault>) -> Result<(Bytes16, Bundle)> {
    let mut slots = Vec::new();
    let names = store.list(Place::Keys)?;
    if names.len() > slot::MAX_SLOTS {
        problems.push(Fault::new(Rule::TooLarge, "more than 64 key slots; the first 64 are read").of("keys"));
    }
    for name in names.iter().take(slot::MAX_SLOTS) {
        let object = Place::Keys.object(name);
        match store.read(Place::Keys, name, slot::MAX_LEN).and_then(|bytes| Slot::parse(&bytes)) {
            Ok(slot) => slots.push((object, slot)),
            Err(fault) => problems.push(fault.of(&object)),
        }
    }
    if slots.is_empty() {
        return Err(Fault::new(Rule::Missing, "no key slot can be read").of("keys"));
    }
    // Slow and plain: every slot is tried, so that the one with the most epochs is found, and a second repository too.
    // SPEC.md leaves open which of several with equally many counts; here it is the one that can do the most.
    let rank = |keys: &Bundle| (keys.epochs(), Reverse(keys.role));
    let mut last = Fault::new(Rule::WrongKey, "the secret opens no key slot").of("keys");
    let mut found: Option<(Bytes16, Bundle)> = None;
    for (object, slot) in &slots {
        match slot.open(secret) {
            Ok(keys) => {
                if found.as_ref().is_some_and(|(id, _)| *id != slot.id) {
                    return Err(Fault::new(Rule::BadStructure, "the secret opens slots of different repositories").of(object));
                }
                if found.as_ref().is_none_or(|(_, other)| rank(other) < rank(&keys)) {
                    found = Some((slot.id, keys));
                }
            }
            Err(fault) if fault.rule == Rule::WrongKey => {}
            Err(fault) => last = fault.of(object),
        }
    }
    let Some((id, keys)) = found else { return Err(last) };
    for (object, slot) in &slots {
        if slot.id != id {
            problems.push(Fault::new(Rule::BadStructure, "a key slot of another repository").of(object));
        } else if let Err(fault) = slot.label(&keys) {
            problems.push(Fault { detail: format!("label: {}", fault.detail), ..fault }.of(object));
        }
    }
    if last.rule != Rule::WrongKey {
        problems.push(last);
    }
    Ok((id, keys))
}
