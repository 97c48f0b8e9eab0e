//! The machine's view: every event that `--json` prints, one object a line. `JSON.md` describes each of them; a test holds it to that.

// Names of fields are the interface's, whatever their struct is called.
#![allow(clippy::struct_field_names)]

mod bench;
mod records;
mod verify;

pub use bench::{Bench, BenchBottleneck, BenchCipher, BenchLevel, BenchPackSize, BenchRecommended, BenchStage};
pub use records::{
    Change, ForgetSummary, Key, Mended, Node, Object, PruneSummary, Recovered, RepairSummary, Side, Snapshot, SnapshotSummary, Statistics, Stats, Tagged,
    Verdict,
};
pub use verify::{Affected, AffectedPath, AffectedSnapshot, Damage, Difference, Touched, VerifySummary};

use super::text;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use vault_engine::format::id::hex;

/// One line of `--json`. Names and fields are restic's wherever restic has them.
#[derive(Debug, Serialize)]
#[serde(tag = "message_type", rename_all = "snake_case")]
pub enum Event {
    Status(Status),
    VerboseStatus(VerboseStatus),
    Error(Error),
    Damage(Damage),
    Affected(Affected),
    AffectedPath(AffectedPath),
    Difference(Difference),
    Healed(Healed),
    Note(Note),
    Alarm(Alarm),
    Summary(Summary),
    Snapshot(Snapshot),
    Verdict(Verdict),
    Node(Node),
    Change(Change),
    Statistics(Statistics),
    Stats(Stats),
    Bench(Box<Bench>),
    Object(Object),
    Key(Key),
    Tagged(Tagged),
    Setting(Setting),
    Initialized(Initialized),
    RecoveryKey(RecoveryKey),
    Completions(Completions),
    Man(Man),
    Version(Version),
    ExitError(ExitError),
    Exit(Exit),
}

/// How far a long operation is; once a second.
#[derive(Debug, Default, Serialize)]
pub struct Status {
    pub seconds_elapsed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_remaining: Option<u64>,
    pub percent_done: f64,
    pub total_files: u64,
    pub files_done: u64,
    pub total_bytes: u64,
    pub bytes_done: u64,
    pub error_count: u64,
    pub current_files: Vec<String>,
}

/// What became of one entry (with `-v`).
#[derive(Debug, Serialize)]
pub struct VerboseStatus {
    pub action: &'static str,
    pub item: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_hex: Option<String>,
    pub data_size: u64,
}

/// Something that went wrong with one object, while the operation goes on.
#[derive(Debug, Serialize)]
pub struct Error {
    pub error: ErrorText,
    pub during: &'static str,
    pub item: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item_hex: Option<String>,
}

/// The words of an error, nested as in restic.
#[derive(Debug, Serialize)]
pub struct ErrorText {
    pub message: String,
}

/// An object that was mended.
#[derive(Debug, Serialize)]
pub struct Healed {
    pub object: String,
    pub what: String,
    pub remedy: String,
    pub placed: &'static str,
}

/// Something worth knowing that is no error.
#[derive(Debug, Serialize)]
pub struct Note {
    pub message: String,
}

/// Something that a person should look at today.
#[derive(Debug, Serialize)]
pub struct Alarm {
    pub kind: &'static str,
    pub message: String,
}

/// What an operation did in the end; which one, `operation` says.
#[derive(Debug, Serialize)]
#[serde(tag = "operation", rename_all = "snake_case")]
pub enum Summary {
    Backup(BackupSummary),
    Restore(RestoreSummary),
    Verify(Box<VerifySummary>),
    Scrub(ScrubSummary),
    Heal(HealSummary),
    Rewrite(RewriteSummary),
    Forget(ForgetSummary),
    Prune(PruneSummary),
    Repair(RepairSummary),
}

/// What a backup did.
#[derive(Debug, Default, Serialize)]
pub struct BackupSummary {
    pub dry_run: bool,
    pub files_new: u64,
    pub files_changed: u64,
    pub files_unmodified: u64,
    pub dirs_new: u64,
    pub dirs_changed: u64,
    pub dirs_unmodified: u64,
    pub data_added: u64,
    pub data_added_packed: u64,
    pub total_files_processed: u64,
    pub total_bytes_processed: u64,
    pub bytes_read: u64,
    pub error_count: u64,
    pub total_duration: f64,
    pub stage_seconds: BTreeMap<&'static str, f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<bool>,
}

/// What a restore did.
#[derive(Debug, Default, Serialize)]
pub struct RestoreSummary {
    pub dry_run: bool,
    pub seconds_elapsed: u64,
    pub total_files: u64,
    pub files_restored: u64,
    pub files_skipped: u64,
    pub files_deleted: u64,
    pub total_bytes: u64,
    pub bytes_restored: u64,
    pub bytes_skipped: u64,
    pub losses: u64,
    pub error_count: u64,
}

/// What a scrub found.
#[derive(Debug, Default, Serialize)]
pub struct ScrubSummary {
    pub objects: u64,
    pub bytes_read: u64,
    pub num_errors: u64,
    pub mendable: u64,
    pub healed_copies: u64,
    pub seconds_elapsed: u64,
}

/// What was healed.
#[derive(Debug, Default, Serialize)]
pub struct HealSummary {
    pub dry_run: bool,
    pub objects: u64,
    pub bytes_read: u64,
    pub objects_healed: u64,
    pub num_errors: u64,
    pub seconds_elapsed: u64,
}

/// What a rewrite did.
#[derive(Debug, Default, Serialize)]
pub struct RewriteSummary {
    pub dry_run: bool,
    pub snapshots: u64,
    pub rewritten: u64,
    pub removed: u64,
}

/// A setting and where it came from.
#[derive(Debug, Serialize)]
pub struct Setting {
    pub name: &'static str,
    pub value: serde_json::Value,
    pub origin: String,
}

/// A repository was made.
#[derive(Debug, Serialize)]
pub struct Initialized {
    pub id: String,
    pub repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
}

/// A recovery key was made; the key itself is never in an event.
#[derive(Debug, Serialize)]
pub struct RecoveryKey {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// A completion script.
#[derive(Debug, Serialize)]
pub struct Completions {
    pub shell: String,
    pub script: String,
}

/// A manual page that was written.
#[derive(Debug, Serialize)]
pub struct Man {
    pub path: String,
}

/// Which program this is.
#[derive(Debug, Serialize)]
pub struct Version {
    pub version: &'static str,
    pub os: &'static str,
    pub arch: &'static str,
}

/// Why the run failed.
#[derive(Debug, Serialize)]
pub struct ExitError {
    pub code: u8,
    pub message: String,
    pub hints: Vec<String>,
}

/// The last line.
#[derive(Debug, Serialize)]
pub struct Exit {
    pub code: u8,
    pub result: &'static str,
}

impl Event {
    /// The event as a line. Control characters that JSON allows are escaped too, since the line may meet a terminal.
    pub fn line(&self) -> String {
        let plain = serde_json::to_string(self).unwrap_or_else(|error| {
            // Cannot happen: keys are text, and all values have a JSON form.
            format!("{{\"message_type\":\"error\",\"error\":{{\"message\":\"{error}\"}}}}")
        });
        tame(&plain).into_owned()
    }
}

/// JSON in which control characters and marks that JSON itself allows are escaped too; they can only stand in strings.
pub fn tame(plain: &str) -> Cow<'_, str> {
    if !plain.chars().any(text::is_dangerous) {
        return Cow::Borrowed(plain);
    }
    let mut safe = String::with_capacity(plain.len() + 16);
    for char in plain.chars() {
        if text::is_dangerous(char) {
            let _ = write!(safe, "\\u{:04x}", u32::from(char));
        } else {
            safe.push(char);
        }
    }
    Cow::Owned(safe)
}

/// Bytes as text, with the hex form beside it where the text lost something.
pub fn lossy(bytes: &[u8]) -> (String, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (String::from_utf8_lossy(bytes).into_owned(), Some(hex(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_one_line_and_cannot_steer_a_terminal() {
        let event = Event::Note(Note { message: "a\n\x1b[2J\u{9b}\u{202e}\u{7f}b".into() });
        let line = event.line();
        assert!(!line.chars().any(text::is_dangerous), "{line}");
        let back: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(back["message"], "a\n\x1b[2J\u{9b}\u{202e}\u{7f}b");
        assert_eq!(back["message_type"], "note");
    }

    #[test]
    fn names_that_are_no_utf8_keep_their_bytes() {
        assert_eq!(lossy(b"ab"), ("ab".into(), None));
        assert_eq!(lossy(b"a\xff"), ("a\u{fffd}".into(), Some("61ff".into())));
    }

    /// Reads this very file and its neighbours, so that no event and no field can be forgotten in `JSON.md`, and none stays there that is gone.
    #[test]
    fn every_event_and_field_is_described() {
        let own = include_str!("json.rs");
        let source =
            [&own[..own.find("#[cfg(test)]").expect("tests")], include_str!("json/records.rs"), include_str!("json/bench.rs"), include_str!("json/verify.rs")]
                .concat();
        let guide = include_str!("../../JSON.md");
        let snake = |name: &str| {
            let mut out = String::new();
            for (at, char) in name.char_indices() {
                if char.is_uppercase() && at > 0 {
                    out.push('_');
                }
                out.extend(char.to_lowercase());
            }
            out
        };
        let mut rename = None;
        let (mut events, mut fields) = (Vec::new(), Vec::new());
        let mut within = "";
        for line in source.lines() {
            let trimmed = line.trim();
            if let Some(name) = line.strip_prefix("pub enum ").or(line.strip_prefix("pub struct ")) {
                within = name.trim_end_matches(" {");
            } else if let Some(name) = trimmed.strip_prefix("#[serde(rename = \"") {
                rename = name.split('"').next();
            } else if let Some(field) = trimmed.strip_prefix("pub ")
                && let Some((name, _)) = field.split_once(": ")
                && line.starts_with("    ")
            {
                fields.push((within, rename.take().unwrap_or(name)));
            } else if within == "Event"
                && let Some((variant, _)) = trimmed.split_once('(')
                && trimmed.ends_with("),")
            {
                events.push(snake(variant));
            }
        }
        assert!(events.len() > 15 && fields.len() > 90, "the scan works");
        let headings: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("## `")?.strip_suffix('`')).collect();
        assert_eq!(events, headings, "events in json.rs and headings in JSON.md");
        for (owner, field) in &fields {
            assert!(guide.contains(&format!("| `{field}`")), "{owner}.{field} is missing in JSON.md");
        }
        let known: Vec<&str> = fields.iter().map(|(_, field)| *field).collect();
        for row in guide.lines().filter_map(|line| line.strip_prefix("| `")) {
            let name = row.split('`').next().unwrap_or_default();
            assert!(known.contains(&name) || ["message_type", "operation"].contains(&name), "JSON.md describes {name}, which is no field");
        }
    }
}
