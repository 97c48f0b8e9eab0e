//! Events of a verification: damage by objects and by files, differences from a source, and the sums.

// Names of fields are the interface's, whatever their struct is called.
#![allow(clippy::struct_field_names)]

use serde::Serialize;

/// A damaged object, from a verification.
#[derive(Debug, Serialize)]
pub struct Damage {
    pub kind: &'static str,
    pub object: String,
    pub what: Vec<String>,
    pub mendable: bool,
    pub lost: u64,
    pub touched: Vec<Touched>,
    pub touched_total: u64,
}

/// A path that cannot be restored whole because of it.
#[derive(Debug, Serialize)]
pub struct Touched {
    pub snapshot: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    pub folder: bool,
}

/// What cannot be restored whole of one source.
#[derive(Debug, Serialize)]
pub struct Affected {
    pub hostname: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    pub paths: Vec<String>,
    pub snapshots_count: u64,
    pub newest_is_whole: bool,
    pub affected_snapshots: Vec<AffectedSnapshot>,
}

/// What cannot be restored whole of one snapshot.
#[derive(Debug, Serialize)]
pub struct AffectedSnapshot {
    pub id: String,
    pub time: String,
    pub affected_files: u64,
    pub affected_folders: u64,
}

/// One path of a snapshot that cannot be restored whole.
#[derive(Debug, Serialize)]
pub struct AffectedPath {
    pub snapshot: String,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    pub folder: bool,
}

/// One difference between a snapshot and its source.
#[derive(Debug, Serialize)]
pub struct Difference {
    pub action: &'static str,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    #[serde(rename = "type")]
    pub node_type: &'static str,
    pub aspects: Vec<&'static str>,
    pub explained: bool,
}

/// What a verification found.
#[derive(Debug, Default, Serialize)]
pub struct VerifySummary {
    pub level: &'static str,
    pub num_errors: u64,
    pub snapshots: u64,
    pub trees: u64,
    pub packs: u64,
    pub bytes_read: u64,
    pub seconds_elapsed: u64,
    pub affected_files: u64,
    pub affected_folders: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packs_read: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packs_total: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packed_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_left_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_packs_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_files: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<u64>,
}
