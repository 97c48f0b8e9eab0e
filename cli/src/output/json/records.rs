//! Events that show what lies in a repository: snapshots, entries, differences, keys.

// Names of fields are the interface's, whatever their struct is called.
#![allow(clippy::struct_field_names)]

use serde::Serialize;

/// A snapshot.
#[derive(Debug, Default, Serialize)]
pub struct Snapshot {
    pub id: String,
    pub short_id: String,
    pub time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
    pub tree: String,
    pub paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths_hex: Vec<String>,
    pub hostname: String,
    pub username: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub tags: Vec<String>,
    pub program_version: String,
    pub confirmed: bool,
    pub complete: bool,
    pub partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<SnapshotSummary>,
}

/// The counts a snapshot carries.
#[derive(Debug, Default, Serialize)]
pub struct SnapshotSummary {
    pub backup_start: String,
    pub backup_end: String,
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
}

/// An entry of a snapshot.
#[derive(Debug, Default, Serialize)]
pub struct Node {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    pub name: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    #[serde(rename = "type")]
    pub node_type: &'static str,
    pub mode: u32,
    pub permissions: String,
    pub uid: u32,
    pub gid: u32,
    pub user: String,
    pub group: String,
    pub size: u64,
    pub mtime: String,
    pub ctime: String,
    pub inode: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linktarget: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linktarget_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<[u32; 2]>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub xattrs: Vec<String>,
    pub changed_while_read: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}

/// One difference between two snapshots.
#[derive(Debug, Serialize)]
pub struct Change {
    pub modifier: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
}

/// The sums of a diff.
#[derive(Debug, Default, Serialize)]
pub struct Statistics {
    pub source_snapshot: String,
    pub target_snapshot: String,
    pub changed_files: u64,
    pub added: Side,
    pub removed: Side,
}

/// One side of a diff.
#[derive(Debug, Default, Serialize)]
pub struct Side {
    pub files: u64,
    pub dirs: u64,
    pub others: u64,
    pub bytes: u64,
}

/// Sizes of snapshots or of the repository.
#[derive(Debug, Default, Serialize)]
pub struct Stats {
    pub mode: &'static str,
    pub snapshots_count: u64,
    pub total_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_file_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_blob_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_uncompressed_size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parity_bytes: Option<u64>,
    pub packed_bytes: u64,
    pub unproved_bytes: u64,
    pub never_proved_bytes: u64,
    pub within_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_proof: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_unproved_seconds: Option<u64>,
}

/// An object of the repository, as `cat` shows it.
#[derive(Debug, Serialize)]
pub struct Object {
    pub kind: &'static str,
    pub id: String,
    pub value: serde_json::Value,
}

/// A key slot.
#[derive(Debug, Serialize)]
pub struct Key {
    pub action: &'static str,
    pub id: String,
    pub kind: &'static str,
    pub role: String,
    pub label: String,
    pub hostname: String,
    pub created: String,
    pub current: bool,
}

/// A snapshot whose tags changed or that was rewritten: a new record took its place.
#[derive(Debug, Serialize)]
pub struct Tagged {
    pub old_snapshot_id: String,
    pub new_snapshot_id: String,
}

/// What a policy, or somebody by hand, says about a snapshot.
#[derive(Debug, Serialize)]
pub struct Verdict {
    pub action: &'static str,
    pub reasons: Vec<String>,
    #[serde(flatten)]
    pub snapshot: Snapshot,
}

/// What was forgotten.
#[derive(Debug, Default, Serialize)]
pub struct ForgetSummary {
    pub dry_run: bool,
    pub kept: u64,
    pub forgotten: u64,
}

/// What a prune did.
#[derive(Debug, Default, Serialize)]
pub struct PruneSummary {
    pub dry_run: bool,
    pub packs: u64,
    pub packs_deleted: u64,
    pub bytes_deleted: u64,
    pub packs_added: u64,
    pub bytes_moved: u64,
    pub bytes_freed: u64,
    pub bytes_unused_before: u64,
    pub bytes_unused: u64,
    pub packs_spared: u64,
    pub packs_unfinished: u64,
    pub temporary_bytes: u64,
    pub trees_read: u64,
    pub lost: u64,
    pub finished: bool,
    pub total_duration: f64,
}

/// What a repair did.
#[derive(Debug, Default, Serialize)]
pub struct RepairSummary {
    pub dry_run: bool,
    pub configuration: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_packs: Option<u64>,
    pub recovered: Vec<Recovered>,
    pub mended: Vec<Mended>,
    pub packs_damaged: u64,
    pub packs_deleted: u64,
    pub records_deleted: u64,
}

/// A snapshot that was found by its tree.
#[derive(Debug, Default, Serialize)]
pub struct Recovered {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    pub time: String,
    pub entries: u64,
    pub marked: u64,
}

/// A snapshot that lost something.
#[derive(Debug, Default, Serialize)]
pub struct Mended {
    pub old_snapshot_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_snapshot_id: Option<String>,
    pub marked: u64,
}
