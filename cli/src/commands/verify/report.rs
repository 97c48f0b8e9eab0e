//! What a verification of packs and structure says in the end.

use super::args::Level;
use super::words;
use crate::commands::stats::proof_line;
use crate::complaint::Complaint;
use crate::output::json::{self, Event};
use crate::output::text::{bytes, count, span};
use crate::session::Session;
use std::time::Duration;
use vault_engine::ops::stats::proof_stats;
use vault_engine::ops::verify::{PackChoice, ReadOutcome, Share, VerifyOutcome};
use vault_engine::store::repository::Repository;

/// Notes, damage, sums.
pub fn tell(
    outcome: &VerifyOutcome,
    level: Level<'_>,
    repository: &Repository,
    within: Duration,
    duration: Duration,
    session: &Session,
) -> Result<(), Complaint> {
    let output = &session.output;
    for note in &outcome.notes {
        let message = format!("{}: {}", note.object, note.what);
        output.note(&message);
        output.event(&Event::Note(json::Note { message }))?;
    }
    words::tell_affected(&outcome.affected, session)?;
    words::tell_objects(&outcome.damage, session)?;
    output.event(&Event::Summary(json::Summary::Verify(Box::new(event(outcome, level, duration)))))?;
    let mut lines = lines(outcome, level, duration);
    if outcome.read.is_some() {
        // That the ledger's word cannot be had is no reason to fail.
        lines.extend(
            proof_stats(repository, within).ok().and_then(|stats| proof_line(&stats)).map(|line| format!("Byte unproved for the longest time: {line}.")),
        );
    }
    lines.iter().try_for_each(|line| output.remark(line))
}

fn event(outcome: &VerifyOutcome, level: Level<'_>, duration: Duration) -> json::VerifySummary {
    let sums = words::sums(&outcome.affected);
    let read = outcome.read.as_ref();
    let sampled = read.and_then(|read| read.sampled);
    json::VerifySummary {
        level: level.word(),
        num_errors: outcome.damage.len() as u64,
        snapshots: outcome.snapshots,
        trees: outcome.trees,
        packs: outcome.packs,
        bytes_read: outcome.bytes_read,
        seconds_elapsed: duration.as_secs(),
        affected_files: sums.files,
        affected_folders: sums.folders,
        packs_read: read.map(|read| read.read.0),
        packs_total: read.map(|read| read.of.0),
        packed_bytes: read.map(|read| read.of.1),
        bytes_left_out: read.map(|read| read.left_out_bytes + read.out_of_time_bytes),
        bad_packs_max: sampled.map(|sampled| sampled.bad_most),
        confidence: sampled.map(|sampled| f64::from(sampled.confidence.0) / f64::from(Share::WHOLE.0)),
        ..json::VerifySummary::default()
    }
}

fn lines(outcome: &VerifyOutcome, level: Level<'_>, duration: Duration) -> Vec<String> {
    let seen = format!(
        "{}, {}, {}",
        count(outcome.snapshots, "snapshot", "snapshots"),
        count(outcome.trees, "folder node", "folder nodes"),
        count(outcome.packs, "pack", "packs")
    );
    let read = if outcome.read.is_some() { format!(", {} read", bytes(outcome.bytes_read)) } else { String::new() };
    let mut lines = vec![format!("Checked {seen}{read} in {}.", span(duration))];
    if let (Level::Choice(choice), Some(read)) = (level, &outcome.read) {
        lines.extend(of_choice(choice, read));
    }
    if outcome.damage.is_empty() {
        lines.push("No damage was found.".into());
    } else {
        lines.push(format!("{} damaged. Everything that is not listed can be restored.", count(outcome.damage.len() as u64, "object is", "objects are")));
        lines.extend(words::advice(!outcome.affected.is_empty()));
    }
    lines
}

fn of_choice(choice: PackChoice, read: &ReadOutcome) -> Vec<String> {
    let packs = format!("{} of {} ({} of {})", read.read.0, count(read.of.0, "pack", "packs"), bytes(read.read.1), bytes(read.of.1));
    let mut lines = Vec::new();
    match choice {
        PackChoice::Oldest { within: Some(_), .. } if read.read.0 == 0 && read.left_out_bytes + read.out_of_time_bytes == 0 => {
            lines.push("No pack is due to be read again.".to_owned());
        }
        PackChoice::Oldest { .. } => lines.push(format!("Read {packs}, those that were not read for the longest time.")),
        PackChoice::Share(_) | PackChoice::Confidence { .. } => lines.push(format!("Read {packs}, drawn by lot.")),
    }
    if let Some(sampled) = read.sampled.filter(|_| read.of.0 > 0) {
        let share = sampled.bad_most as f64 * 100.0 / read.of.0 as f64;
        let confidence = f64::from(sampled.confidence.0) / 10_000.0;
        lines.push(match sampled.bad_most {
            0 => "All packs were read.".to_owned(),
            bad => format!("None of them is damaged: of all packs at most {bad} are ({share:.3} %), with a confidence of {confidence} %."),
        });
    }
    let due = matches!(choice, PackChoice::Oldest { within: Some(_), .. });
    let missed = read.left_out_bytes + if due { read.out_of_time_bytes } else { 0 };
    if missed > 0 {
        lines.push(format!("The budget left out {} that are due: with it, not every byte is read again within the time asked for.", bytes(missed)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::ops::verify::{Budget, Damage, DamageKind, Sampled};

    #[test]
    fn the_last_words_say_what_was_proved() {
        let pack =
            Damage { kind: DamageKind::Pack, object: "data/00".into(), what: Vec::new(), mendable: false, lost: 0, touched: Vec::new(), touched_total: 0 };
        let outcome = VerifyOutcome { damage: vec![pack], ..VerifyOutcome::default() };
        assert!(lines(&outcome, Level::Structure, Duration::ZERO)[1].starts_with("1 object is damaged."));
        let read = ReadOutcome { of: (240, 24 << 30), read: (12, 1 << 30), ..ReadOutcome::default() };
        let sampled = Some(Sampled { bad_most: 52, confidence: Share(950_000) });
        let lot = of_choice(PackChoice::Share(Share(50_000)), &ReadOutcome { sampled, ..read });
        assert_eq!(lot[0], "Read 12 of 240 packs (1.000 GiB of 24.000 GiB), drawn by lot.");
        assert_eq!(lot[1], "None of them is damaged: of all packs at most 52 are (21.667 %), with a confidence of 95 %.");
        assert_eq!(of_choice(PackChoice::Share(Share(50_000)), &read).len(), 1, "nothing is said of the others when one of them is damaged");
        let within = PackChoice::Oldest { budget: Some(Budget::Bytes(1)), within: Some(Duration::from_hours(1)) };
        assert!(of_choice(within, &ReadOutcome { left_out_bytes: 5, ..read })[1].starts_with("The budget left out 5 B"));
        let nothing = ReadOutcome { read: (0, 0), ..read };
        assert_eq!(of_choice(within, &nothing), ["No pack is due to be read again."]);
    }
}
