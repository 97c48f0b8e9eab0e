//! What a policy says about each snapshot, for people and machines.

use crate::complaint::Complaint;
use crate::output::describe;
use crate::output::json::{self, Event};
use crate::output::text::{Table, count, local, visible};
use crate::session::Session;
use vault_engine::ops::forget::policy::{Group, GroupKey, Period, Reason, Verdict};

fn adjective(period: Period) -> &'static str {
    match period {
        Period::Hour => "hourly",
        Period::Day => "daily",
        Period::Week => "weekly",
        Period::Month => "monthly",
        Period::Quarter => "quarterly",
        Period::Year => "yearly",
    }
}

/// A reason in words.
pub fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Last => "last".to_owned(),
        Reason::Of(period) => adjective(*period).to_owned(),
        Reason::OldestOf(period) => format!("oldest {}", adjective(*period)),
        Reason::Within => "within".to_owned(),
        Reason::WithinOf(period) => format!("{} within", adjective(*period)),
        Reason::Tagged(tags) if tags.is_empty() => "no tags".to_owned(),
        Reason::Tagged(tags) => format!("tags {}", visible(tags.join(",").as_bytes())),
        Reason::Pinned(why) if why.is_empty() => "pinned".to_owned(),
        Reason::Pinned(why) => format!("pinned: {}", visible(why.as_bytes())),
        Reason::Unconfirmed => "unconfirmed".to_owned(),
        Reason::Unfinished => "partial, nothing newer".to_owned(),
        Reason::LastGood => "last good one".to_owned(),
        Reason::Alarm => "alarm".to_owned(),
    }
}

fn title(key: &GroupKey) -> String {
    let mut parts = Vec::new();
    parts.extend(key.source.as_ref().map(|name| format!("source {}", visible(name.as_bytes()))));
    parts.extend(key.host.as_ref().map(|name| format!("host {}", visible(name.as_bytes()))));
    parts.extend(key.paths.as_ref().map(|paths| paths.iter().map(|path| visible(path).into_owned()).collect::<Vec<_>>().join(", ")));
    parts.extend(key.tags.as_ref().map(|tags| format!("tags {}", visible(tags.join(",").as_bytes()))));
    parts.join(", ")
}

/// One snapshot as an event.
pub fn verdict(verdict: &Verdict<'_>, session: &Session) -> Result<(), Complaint> {
    session.output.event(&Event::Verdict(json::Verdict {
        action: if verdict.reasons.is_empty() { "forget" } else { "keep" },
        reasons: verdict.reasons.iter().map(reason).collect(),
        snapshot: describe::snapshot(verdict.stored.id, &verdict.stored.snapshot, verdict.stored.confirmed),
    }))
}

/// All groups.
pub fn groups(groups: &[Group<'_>], dry_run: bool, session: &Session) -> Result<(), Complaint> {
    let output = &session.output;
    for group in groups {
        for one in &group.verdicts {
            verdict(one, session)?;
        }
        let title = title(&group.key);
        if !title.is_empty() {
            output.remark(format_args!("{title}:"))?;
        }
        let (kept, gone): (Vec<&Verdict<'_>>, Vec<&Verdict<'_>>) = group.verdicts.iter().partition(|verdict| !verdict.reasons.is_empty());
        let mut table = Table::new(&["ID", "Time", "Host", "Tags", "", "Why"]);
        let forget = if dry_run { "would forget" } else { "forget" };
        for one in &group.verdicts {
            let snapshot = &one.stored.snapshot;
            let reasons: Vec<String> = one.reasons.iter().map(reason).collect();
            table.row(vec![
                one.stored.id.short(),
                local(snapshot.begun),
                visible(snapshot.host.as_bytes()).into_owned(),
                visible(snapshot.tags.join(",").as_bytes()).into_owned(),
                if reasons.is_empty() { forget.to_owned() } else { "keep".to_owned() },
                reasons.join(", "),
            ]);
        }
        for line in table.lines() {
            output.remark(line)?;
        }
        output.remark(format_args!("{} of {} kept\n", kept.len(), count((kept.len() + gone.len()) as u64, "snapshot", "snapshots")))?;
    }
    Ok(())
}
