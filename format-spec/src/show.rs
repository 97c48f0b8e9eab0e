//! Writes what was read as lines that people and programs can compare.

use crate::entry::{Entry, Type};
use crate::keys::hex;
use crate::repository::Listed;
use std::fmt::Write;

/// Bytes as text: printable ASCII as it is, the rest and backslashes as `\xHH`.
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if (0x20..0x7f).contains(byte) && *byte != b'\\' {
            text.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// One line for an entry: type, mode, uid, gid, size (devices: major:minor), mtime, path, and for links a tab and the target.
pub fn entry(entry: &Entry, directory: &[u8]) -> String {
    let size = match entry.device {
        Some((major, minor)) => format!("{major}:{minor}"),
        None => entry.size.to_string(),
    };
    let mut path = directory.to_vec();
    path.push(b'/');
    path.extend_from_slice(&entry.name);
    let mut line = format!(
        "{} {:04o} {} {} {size} {} {}",
        entry.kind.letter(),
        entry.mode,
        entry.uid,
        entry.gid,
        entry.mtime,
        escape(&path)
    );
    if entry.kind == Type::Link {
        let _ = write!(line, "\t{}", escape(&entry.target));
    }
    line
}

/// One line for a snapshot, the fields between tabs.
pub fn snapshot(listed: &Listed) -> String {
    let snapshot = &listed.snapshot;
    let source = match &snapshot.source {
        Some(source) => escape(source.as_bytes()),
        None => "-".to_owned(),
    };
    let paths: Vec<String> = snapshot.paths.iter().map(|path| escape(path).replace(',', "\\x2c")).collect();
    format!(
        "{}\t{}\t{}\t{source}\t{}\t{}\t{}",
        hex(&listed.name),
        snapshot.begun,
        escape(snapshot.host.as_bytes()),
        paths.join(","),
        snapshot.status_word(),
        listed.state(),
    )
}
