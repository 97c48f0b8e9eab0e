//! Text for people: sizes, times, tables, and names made safe for a terminal.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::Duration;
use vault_engine::format::node::{NodeType, Time};

/// `bytes` as text that cannot steer a terminal. What is plain stays as it is, backslashes too; otherwise control characters,
/// direction marks and bytes that are no UTF-8 become `\n`, `\x1b`, `\u{202e}`, and backslashes are doubled. `--json` is exact.
pub fn visible(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(is_dangerous)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 16);
    for piece in bytes.utf8_chunks() {
        for char in piece.valid().chars() {
            match char {
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\r' => out.push_str("\\r"),
                '\\' => out.push_str("\\\\"),
                '\0'..='\x1f' | '\x7f' => {
                    let _ = write!(out, "\\x{:02x}", u32::from(char));
                }
                _ if is_dangerous(char) => {
                    let _ = write!(out, "\\u{{{:x}}}", u32::from(char));
                }
                _ => out.push(char),
            }
        }
        for byte in piece.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    Cow::Owned(out)
}

/// Control characters (C0, DEL, C1), line and paragraph separators, and marks that turn the direction of text.
pub fn is_dangerous(char: char) -> bool {
    char.is_control() || matches!(char, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A number of bytes as restic prints it: `12 B`, `1.500 KiB`, `3.250 GiB`.
pub fn bytes(count: u64) -> String {
    in_units(count, 3)
}

/// The same for lines that have little room: `3.2 GiB`.
pub fn bytes_short(count: u64) -> String {
    in_units(count, 1)
}

fn in_units(count: u64, decimals: usize) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.decimals$} {}", UNITS[unit])
}

/// A span of time: `0:07`, `12:34`, `1:02:03`.
pub fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// A span of time in a report: `0.27 s` below a minute, else as [`clock`].
pub fn span(span: Duration) -> String {
    if span < Duration::from_mins(1) { format!("{:.2} s", span.as_secs_f64()) } else { clock(span) }
}

/// A number with its noun: `1 file`, `2 files`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// An instant in local time, to the second: `2026-01-31 12:00:00`.
pub fn local(time: Time) -> String {
    timestamp(time).map_or_else(|| format!("@{}", time.seconds), |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// An instant for machines: RFC 3339 with local offset and nanoseconds, as restic prints it; `@seconds` where the calendar ends.
pub fn rfc3339(time: Time) -> String {
    timestamp(time).map_or_else(
        || format!("@{}.{:09}", time.seconds, time.nanoseconds),
        |at| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string(),
    )
}

fn timestamp(time: Time) -> Option<Timestamp> {
    // jiff wants the sign of both parts to agree; ours counts nanoseconds upwards from whole seconds.
    let at = Timestamp::from_second(time.seconds).ok()?;
    at.checked_add(jiff::SignedDuration::from_nanos(i64::from(time.nanoseconds))).ok()
}

/// Type, permissions and special bits as `ls -l` writes them.
pub fn permissions(node_type: NodeType, mode: u32) -> String {
    let mut text = String::with_capacity(10);
    text.push(match node_type {
        NodeType::File => '-',
        NodeType::Directory => 'd',
        NodeType::Symlink => 'l',
        NodeType::CharDevice => 'c',
        NodeType::BlockDevice => 'b',
        NodeType::Fifo => 'p',
        NodeType::Socket => 's',
    });
    for (shift, special, set, unset) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => set,
            (true, false) => unset,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Columns of text, as wide as their widest cell; the last one is not padded.
#[derive(Debug)]
pub struct Table {
    head: Vec<&'static str>,
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings; those that begin with `>` are aligned to the right.
    pub fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.iter().map(|name| name.trim_start_matches('>')).collect(),
            right: head.iter().map(|name| name.starts_with('>')).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row. A cell may hold several lines.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, headings first.
    pub fn lines(&self) -> Vec<String> {
        let mut widths: Vec<usize> = self.head.iter().map(|name| width(name)).collect();
        for row in &self.rows {
            for (cell, widest) in row.iter().zip(&mut widths) {
                *widest = cell.lines().map(width).max().unwrap_or(0).max(*widest);
            }
        }
        let mut lines = vec![self.line(&widths, self.head.iter().copied())];
        lines.push("-".repeat(lines[0].len().max(widths.iter().sum::<usize>() + 2 * (widths.len().max(1) - 1))));
        for row in &self.rows {
            let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(1);
            for number in 0..height.max(1) {
                let cells = row.iter().map(|cell| cell.lines().nth(number).unwrap_or(""));
                lines.push(self.line(&widths, cells));
            }
        }
        lines
    }

    fn line<'a>(&self, widths: &[usize], cells: impl Iterator<Item = &'a str>) -> String {
        let mut line = String::new();
        for (column, cell) in cells.enumerate() {
            let gap = " ".repeat(widths[column].saturating_sub(width(cell)));
            if column > 0 {
                line.push_str("  ");
            }
            if self.right[column] {
                line.push_str(&gap);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&gap);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// Columns that `text` takes on a terminal, near enough.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// `text` in at most `columns`, its middle left out.
pub fn shorten(text: &str, columns: usize) -> Cow<'_, str> {
    let length = width(text);
    if length <= columns {
        return Cow::Borrowed(text);
    }
    if columns < 8 {
        return Cow::Owned(text.chars().take(columns).collect());
    }
    let head = (columns - 1) / 3;
    let tail = columns - 1 - head;
    let mut out: String = text.chars().take(head).collect();
    out.push('…');
    out.extend(text.chars().skip(length - tail));
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_steer_a_terminal() {
        assert_eq!(visible(b"plain \\ name"), "plain \\ name");
        assert_eq!(visible("größe".as_bytes()), "größe");
        assert_eq!(visible(b"a\x1b[2Jb"), "a\\x1b[2Jb");
        assert_eq!(visible(b"a\nb\\c"), "a\\nb\\\\c");
        assert_eq!(visible(b"\xff\xfe"), "\\xff\\xfe");
        assert_eq!(visible("a\u{202e}b\u{9b}".as_bytes()), "a\\u{202e}b\\u{9b}");
        for byte in 0..=255u8 {
            assert!(!visible(&[byte]).chars().any(is_dangerous));
        }
    }

    #[test]
    fn sizes_and_spans() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.500 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.000 TiB");
        assert_eq!(clock(Duration::from_secs(7)), "0:07");
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
    }

    #[test]
    fn times_outside_the_calendar_are_no_panic() {
        let far = Time { seconds: i64::MAX, nanoseconds: 1 };
        assert!(local(far).starts_with('@'));
        assert_eq!(rfc3339(far), format!("@{}.000000001", i64::MAX));
        let before = Time { seconds: -2, nanoseconds: 500_000_000 };
        assert!(rfc3339(before).contains(":58.5"), "{}", rfc3339(before));
    }

    #[test]
    fn permissions_as_ls_writes_them() {
        assert_eq!(permissions(NodeType::File, 0o4755), "-rwsr-xr-x");
        assert_eq!(permissions(NodeType::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(permissions(NodeType::File, 0o2644), "-rw-r-Sr--");
    }

    #[test]
    fn tables_align() {
        let mut table = Table::new(&["ID", ">Size", "Paths"]);
        table.row(vec!["ab".into(), "5 B".into(), "/a\n/b".into()]);
        table.row(vec!["abcd".into(), "10 KiB".into(), "/c".into()]);
        assert_eq!(table.lines(), ["ID      Size  Paths", "-------------------", "ab       5 B  /a", "              /b", "abcd  10 KiB  /c",]);
    }

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shorten("short", 10), "short");
        assert_eq!(shorten("/a/very/long/path/name", 10), "/a/…h/name");
        assert_eq!(width(&shorten(&"ü".repeat(50), 20)), 20);
    }
}
