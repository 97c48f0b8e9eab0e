//! Alarms: what a person should look at today. Here the judgement about a backup whose source was replaced by data that does not compress, as ransomware does.

use crate::format::snapshot::Summary;
use crate::ops::forget::policy::{Group, Reason, source_of};
use crate::store::error::Older;
use crate::store::repository::StoredSnapshot;

/// The tag of a snapshot that was alarming when it was made; who looked at it takes the tag away.
pub const ALARM_TAG: &str = "alarm";

/// Something that a person should look at today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The store shows an older state than this machine saw before.
    OlderState(Older),
    /// Much of the source was replaced by data that does not compress.
    Replaced(Replaced),
}

/// How much was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replaced {
    /// Files of the parent that have other contents or are gone.
    pub files: u64,
    /// Files that the parent has.
    pub files_before: u64,
    /// Bytes of new chunks.
    pub new_bytes: u64,
    /// Of these, in blocks that did not compress.
    pub incompressible_bytes: u64,
}

/// At least so many files of the parent have other contents or are gone …
const FILES_MIN: u64 = 20;
/// … so many in a hundred of them …
const FILES_PERCENT_MIN: u64 = 30;
/// … and what is new is at least so many hundredths of all contents …
const NEW_PERCENT_MIN: u64 = 10;
/// … and so many hundredths of it do not compress.
const INCOMPRESSIBLE_PERCENT_MIN: u64 = 80;
/// Where earlier data did not compress either, so many earlier backups must have been unlike this one.
const HISTORY_MIN: usize = 3;
/// So many earlier backups tell what is usual.
const HISTORY_MAX: usize = 10;

/// What a backup replaced, if it was as much as ransomware does. Says nothing of a first backup, and of one whose counts are not known.
fn replaced(summary: &Summary) -> Option<Replaced> {
    let (new_bytes, incompressible_bytes) = (summary.new_bytes, summary.incompressible_bytes?);
    let (gone, rewritten) = (summary.files_gone?, summary.files_rewritten?);
    let (files, files_before) = (gone + rewritten, gone + summary.files_changed + summary.files_unmodified);
    let reaches = |part: u64, whole: u64, percent: u64| u128::from(part) * 100 >= u128::from(whole) * u128::from(percent);
    let is_much = files >= FILES_MIN && reaches(files, files_before, FILES_PERCENT_MIN) && reaches(new_bytes, summary.content_bytes, NEW_PERCENT_MIN);
    let is_noise = new_bytes > 0 && reaches(incompressible_bytes, new_bytes, INCOMPRESSIBLE_PERCENT_MIN);
    (is_much && is_noise).then_some(Replaced { files, files_before, new_bytes, incompressible_bytes })
}

/// Judges a backup by what it counted and by the earlier ones of the same source, the newest first, apart from those that were alarming themselves.
///
/// An alarm is a backup that replaces at least 30 in 100 files of its parent (and 20 files), brings at least a tenth of all contents anew, and of that 80 in
/// 100 do not compress; if the data of earlier backups did compress for the most part, or if at least three are known; and if none of the last ten was
/// like that.
pub fn judge(now: &Summary, earlier: &[Summary]) -> Option<Replaced> {
    let found = replaced(now)?;
    let known: Vec<&Summary> = earlier.iter().filter(|summary| summary.incompressible_bytes.is_some()).collect();
    if known.iter().take(HISTORY_MAX).any(|summary| replaced(summary).is_some()) {
        return None;
    }
    let sum = |bytes: fn(&Summary) -> u64| known.iter().map(|summary| u128::from(bytes(summary))).sum::<u128>();
    let (all, incompressible) = (sum(|summary| summary.new_bytes), sum(|summary| summary.incompressible_bytes.unwrap_or_default()));
    let did_compress = all > 0 && 2 * incompressible < all;
    (did_compress || known.len() >= HISTORY_MIN).then_some(found)
}

/// The snapshots whose alarms nobody has settled.
pub fn standing(snapshots: &[StoredSnapshot]) -> Vec<&StoredSnapshot> {
    snapshots.iter().filter(|stored| !stored.forgotten && has_alarm(stored)).collect()
}

/// Whether a snapshot was alarming when it was made, and nobody took the mark away.
pub fn has_alarm(stored: &StoredSnapshot) -> bool {
    stored.snapshot.tags.iter().any(|tag| tag == ALARM_TAG)
}

/// Whether one of the standing `alarms` is of the same source: then what was good before may be needed, whatever the clocks say about which is older.
pub fn holds(alarms: &[&StoredSnapshot], stored: &StoredSnapshot) -> bool {
    alarms.iter().any(|alarm| source_of(alarm) == source_of(stored))
}

/// Lets all snapshots stay that the `alarms` hold; returns how many would have gone.
pub fn hold_back(alarms: &[&StoredSnapshot], groups: &mut [Group<'_>]) -> usize {
    let mut held = 0;
    for verdict in groups.iter_mut().flat_map(|group| &mut group.verdicts).filter(|verdict| verdict.reasons.is_empty() && holds(alarms, verdict.stored)) {
        verdict.reasons.push(Reason::Alarm);
        held += 1;
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(changed: u64, gone: u64, unmodified: u64, new_bytes: u64, incompressible: u64) -> Summary {
        Summary {
            files_changed: changed,
            files_rewritten: Some(changed),
            files_gone: Some(gone),
            files_unmodified: unmodified,
            content_bytes: 1000,
            new_bytes,
            incompressible_bytes: Some(incompressible),
            ..Summary::default()
        }
    }

    fn first(incompressible: u64) -> Summary {
        Summary { files_new: 100, files_gone: None, files_rewritten: None, ..backup(0, 0, 0, 1000, incompressible) }
    }

    #[test]
    fn files_that_became_noise_are_an_alarm() {
        let texts = [first(100)];
        assert!(judge(&backup(100, 0, 0, 1000, 1000), &texts).is_some(), "encrypted in place");
        assert!(judge(&backup(0, 100, 0, 1000, 1000), &texts).is_some(), "encrypted and renamed");
        assert!(judge(&backup(20, 10, 70, 300, 240), &texts).is_some(), "a third so far");
        let found = judge(&backup(20, 10, 70, 300, 240), &texts);
        assert_eq!(found, Some(Replaced { files: 30, files_before: 100, new_bytes: 300, incompressible_bytes: 240 }));
    }

    #[test]
    fn what_happens_every_day_is_none() {
        let texts = [first(100)];
        assert!(judge(&first(1000), &texts).is_none(), "a backup without a parent");
        assert!(judge(&backup(19, 0, 0, 1000, 1000), &texts).is_none(), "few files");
        assert!(judge(&backup(29, 0, 71, 1000, 1000), &texts).is_none(), "a small part of them");
        assert!(judge(&Summary { files_rewritten: Some(0), ..backup(100, 0, 0, 900, 900) }, &texts).is_none(), "other owners, and many new photographs");
        assert!(judge(&backup(100, 0, 0, 1000, 790), &texts).is_none(), "it does compress");
        assert!(judge(&backup(100, 0, 0, 0, 0), &texts).is_none(), "owners changed, or folders were renamed");
        assert!(judge(&backup(100, 0, 0, 99, 99), &texts).is_none(), "a small part of the bytes");
        assert!(judge(&Summary { incompressible_bytes: None, ..backup(100, 0, 0, 1000, 0) }, &texts).is_none(), "nothing was compressed");
        assert!(judge(&backup(100, 0, 0, 1000, 1000), &[]).is_none(), "nothing is known of before");
        assert!(judge(&Summary { files_new: 500, ..backup(0, 0, 100, 900, 900) }, &texts).is_none(), "many new photographs");
    }

    #[test]
    fn where_nothing_ever_compressed_only_the_unusual_is_an_alarm() {
        let (photos, quiet, dumps) = (first(1000), backup(1, 0, 99, 10, 10), backup(0, 100, 0, 1000, 1000));
        assert!(judge(&dumps, &[photos]).is_none(), "it may be always so");
        assert!(judge(&dumps, &[quiet, photos]).is_none());
        assert!(judge(&dumps, &[quiet, quiet, photos]).is_some());
        assert!(judge(&dumps, &[quiet, dumps, quiet, quiet, photos]).is_none(), "it was so before");
        let mut long = vec![quiet; HISTORY_MAX];
        long.extend([dumps, photos]);
        assert!(judge(&dumps, &long).is_some(), "long ago");
    }
}
