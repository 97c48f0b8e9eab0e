//! The engine's records as events and as lines.

use super::json::{self, lossy};
use super::text::{bytes, local, permissions, rfc3339, visible};
use vault_engine::format::id::{ObjectId, hex};
use vault_engine::format::node::{Node, NodeType};
use vault_engine::format::snapshot::{Snapshot, Status, Summary};
use vault_engine::ops::alarm::{ALARM_TAG, Alarm, Replaced};
use vault_engine::store::error::Older;

/// A snapshot for machines.
pub fn snapshot(id: ObjectId, record: &Snapshot, confirmed: bool) -> json::Snapshot {
    let named: Vec<(String, Option<String>)> = record.paths.iter().map(|path| lossy(path)).collect();
    let is_lossy = named.iter().any(|(_, exact)| exact.is_some());
    json::Snapshot {
        id: id.to_hex(),
        short_id: id.short(),
        time: rfc3339(record.begun),
        parent: record.parent.map(|parent| parent.to_hex()),
        original: record.original.map(|original| original.to_hex()),
        tree: record.root.to_hex(),
        paths: named.into_iter().map(|(path, _)| path).collect(),
        paths_hex: if is_lossy { record.paths.iter().map(|path| hex(path)).collect() } else { Vec::new() },
        hostname: record.host.clone(),
        username: record.user.clone(),
        source: record.source.clone(),
        tags: record.tags.clone(),
        program_version: record.program.clone(),
        confirmed,
        complete: record.status == Status::Complete,
        partial: record.status == Status::Partial,
        summary: (record.summary != Summary::default()).then(|| json::SnapshotSummary {
            backup_start: rfc3339(record.begun),
            backup_end: rfc3339(record.ended),
            files_new: record.summary.files_new,
            files_changed: record.summary.files_changed,
            files_unmodified: record.summary.files_unmodified,
            dirs_new: record.summary.dirs_new,
            dirs_changed: record.summary.dirs_changed,
            dirs_unmodified: record.summary.dirs_unmodified,
            data_added: record.summary.new_bytes,
            data_added_packed: record.summary.stored_bytes,
            total_files_processed: files(&record.summary),
            total_bytes_processed: record.summary.content_bytes,
        }),
    }
}

/// An alarm: its kind for machines, and in words.
pub fn alarm(alarm: &Alarm) -> (&'static str, String) {
    match alarm {
        Alarm::OlderState(older) => ("older_state", older_state(older)),
        Alarm::Replaced(replaced) => ("replaced", self::replaced(replaced)),
    }
}

/// What is to be done about a store that shows an older state.
pub const OLDER_STATE_HINT: &str = "if an older copy of the repository was put back on purpose, remove the files last-seen-* of this repository in the cache directory (vault config shows it)";

fn older_state(older: &Older) -> String {
    let seen = match older {
        Older::Keys { .. } | Older::Config { .. } => older.to_string(),
        Older::Snapshot { writer, sequence, id } => {
            format!("snapshot {} (number {sequence} of host {writer}), which this machine saw before, is neither there nor forgotten", id.short())
        }
    };
    format!("the store shows an older state, or somebody removed or hid something: {seen}; {OLDER_STATE_HINT}")
}

fn replaced(replaced: &Replaced) -> String {
    let Replaced { files, files_before, new_bytes, incompressible_bytes } = *replaced;
    format!(
        "{files} of {files_before} files have other contents or are gone, and {} of {} of new data do not compress: ransomware does that. Look at the files before older \
         snapshots go. The new snapshot has the tag {ALARM_TAG}; if all is well, vault tag --remove {ALARM_TAG} takes it away",
        bytes(incompressible_bytes),
        bytes(new_bytes)
    )
}

/// Entries that are no directories.
pub fn files(summary: &Summary) -> u64 {
    summary.files()
}

/// An entry for machines.
pub fn node(path: &[u8], node: &Node, snapshot: Option<ObjectId>) -> json::Node {
    let metadata = &node.metadata;
    let (shown_path, path_hex) = lossy(path);
    let is_link = metadata.node_type == NodeType::Symlink;
    let (target, linktarget_hex) = lossy(&metadata.link_target);
    let text = |raw: &[u8]| lossy(raw).0;
    json::Node {
        snapshot: snapshot.map(|id| id.to_hex()),
        name: text(&node.name),
        path: shown_path,
        path_hex,
        node_type: metadata.node_type.word(),
        mode: metadata.mode,
        permissions: permissions(metadata.node_type, metadata.mode),
        uid: metadata.uid,
        gid: metadata.gid,
        user: text(&metadata.user),
        group: text(&metadata.group),
        size: metadata.size,
        mtime: rfc3339(metadata.mtime),
        ctime: rfc3339(metadata.ctime),
        inode: metadata.inode,
        linktarget: is_link.then_some(target),
        linktarget_hex: linktarget_hex.filter(|_| is_link),
        device: is_device(metadata.node_type).then_some([metadata.device.0, metadata.device.1]),
        xattrs: metadata.xattrs.iter().map(|xattr| text(&xattr.name)).collect(),
        changed_while_read: node.changed_while_read,
        lost: node.lost,
    }
}

fn is_device(node_type: NodeType) -> bool {
    matches!(node_type, NodeType::CharDevice | NodeType::BlockDevice)
}

/// An entry as `ls -l` shows it, owners by name where known.
pub fn long_line(path: &[u8], node: &Node, human_readable: bool) -> String {
    let metadata = &node.metadata;
    let owner = |name: &[u8], number: u32| if name.is_empty() { number.to_string() } else { visible(name).into_owned() };
    let size = if is_device(metadata.node_type) {
        format!("{}, {}", metadata.device.0, metadata.device.1)
    } else if human_readable {
        bytes(metadata.size)
    } else {
        metadata.size.to_string()
    };
    let mut line = format!(
        "{} {:<8} {:<8} {size:>12} {} {}",
        permissions(metadata.node_type, metadata.mode),
        owner(&metadata.user, metadata.uid),
        owner(&metadata.group, metadata.gid),
        local(metadata.mtime),
        visible(path)
    );
    if metadata.node_type == NodeType::Symlink {
        line.push_str(" -> ");
        line.push_str(&visible(&metadata.link_target));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::format::node::{Content, Metadata};

    fn link() -> Node {
        let mut metadata = Metadata::plain(NodeType::Symlink, 0o777);
        metadata.link_target = b"to\x1b[2J".to_vec();
        metadata.uid = 7;
        metadata.group = b"staff".to_vec();
        Node { name: b"\xff".to_vec(), metadata, content: Content::None, changed_while_read: false, lost: false, unknown: Vec::new() }
    }

    #[test]
    fn hostile_names_are_tame_in_lines_and_exact_in_events() {
        let line = long_line(b"/a/\xff", &link(), false);
        assert!(line.starts_with("lrwxrwxrwx 7        staff "), "{line}");
        assert!(line.ends_with("/a/\\xff -> to\\x1b[2J"), "{line}");
        let event = node(b"/a/\xff", &link(), None);
        assert_eq!(event.path_hex.as_deref(), Some("2f612fff"));
        assert_eq!(event.linktarget.as_deref(), Some("to\x1b[2J"));
        assert_eq!(event.linktarget_hex, None);
    }
}
