//! Lists that people keep in files: exclude patterns (`$VAR` is expanded here) and names of what to back up.

use crate::complaint::{Complaint, shown};
use crate::exit::Exit;
use crate::world::World;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Longer lists are a mistake: somebody named the wrong file.
const LIST_BYTES_MAX: u64 = 256 << 20;

/// The patterns of an exclude file: lines that are empty or begin with `#` are left out, white space around a line too, `$VAR` and
/// `${VAR}` are expanded, `$$` is a dollar sign.
pub fn read_patterns(path: &Path, world: &World) -> Result<Vec<Vec<u8>>, Complaint> {
    let bytes = read_list(path)?;
    Ok(lines(&bytes).map(|line| expand(line, |name| world.variable(OsStr::from_bytes(name).to_str()?))).collect())
}

/// How `--files-from` and its relatives read a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListForm {
    /// Lines with globs and comments.
    Globs,
    /// Lines, each a name as it stands.
    Verbatim,
    /// Names that end with NUL.
    Raw,
}

/// The names in a list of what to back up. A glob that fits nothing is told through `unmatched`.
pub fn read_names(path: &Path, form: ListForm, unmatched: &mut dyn FnMut(&str)) -> Result<Vec<PathBuf>, Complaint> {
    let bytes = read_list(path)?;
    let named = |name: &[u8]| PathBuf::from(OsString::from_vec(name.to_vec()));
    match form {
        ListForm::Verbatim => Ok(bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(named).collect()),
        ListForm::Raw => {
            let Some(list) = bytes.strip_suffix(b"\0") else {
                return if bytes.is_empty() { Ok(Vec::new()) } else { Err(wrong_list(path, "its last name does not end with a NUL byte")) };
            };
            let names: Vec<&[u8]> = list.split(|byte| *byte == 0).collect();
            if names.iter().any(|name| name.is_empty()) {
                return Err(wrong_list(path, "it holds an empty name"));
            }
            Ok(names.into_iter().map(named).collect())
        }
        ListForm::Globs => {
            let mut names = Vec::new();
            for line in lines(&bytes) {
                let found = glob(line);
                if found.is_empty() {
                    unmatched(&format!("{}: nothing fits {}", shown(path), shown(Path::new(OsStr::from_bytes(line)))));
                }
                names.extend(found);
            }
            Ok(names)
        }
    }
}

fn wrong_list(path: &Path, why: &str) -> Complaint {
    Complaint::usage(format!("the list {} is wrong", shown(path))).since(why)
}

fn read_list(path: &Path) -> Result<Vec<u8>, Complaint> {
    let mut bytes = Vec::new();
    let reading = |reader: &mut dyn std::io::Read, bytes: &mut Vec<u8>| reader.take(LIST_BYTES_MAX + 1).read_to_end(bytes).map(drop);
    let result = if path == Path::new("-") {
        reading(&mut std::io::stdin().lock(), &mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| reading(&mut file, &mut bytes))
    };
    result.map_err(|error| Complaint::file(Exit::Usage, "read", path, &error))?;
    if bytes.len() as u64 > LIST_BYTES_MAX {
        return Err(wrong_list(path, "it is longer than 256 MiB"));
    }
    Ok(bytes)
}

/// Lines without white space around them, without empty ones and comments. A byte order mark at the start is dropped.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty() && line[0] != b'#')
}

/// `$NAME` and `${NAME}` become the variable's value (nothing, where it is not set), `$$` a dollar sign.
fn expand<'a>(line: &[u8], value: impl Fn(&[u8]) -> Option<&'a OsStr>) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, after) = match rest {
            [b'$', after @ ..] => {
                out.push(b'$');
                rest = after;
                continue;
            }
            [b'{', inner @ ..] => match inner.iter().position(|byte| *byte == b'}') {
                Some(end) => (&inner[..end], &inner[end + 1..]),
                None => (&rest[..0], rest),
            },
            _ => {
                let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_').unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        if name.is_empty() {
            out.push(b'$');
        } else if let Some(value) = value(name) {
            out.extend_from_slice(value.as_bytes());
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out
}

/// What fits a pattern with `*`, `?`, `[…]` and `\` in its components, sorted. Hidden names need no dot in the pattern, as in Go and so in restic.
fn glob(pattern: &[u8]) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from(if pattern.starts_with(b"/") { "/" } else { "" })];
    for part in pattern.split(|byte| *byte == b'/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for base in &found {
            if !part.iter().any(|byte| b"*?[\\".contains(byte)) {
                let path = base.join(OsStr::from_bytes(part));
                if path.symlink_metadata().is_ok() {
                    next.push(path);
                }
                continue;
            }
            let dir = if base.as_os_str().is_empty() { Path::new(".") } else { base };
            let mut names: Vec<OsString> =
                std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name()).filter(|name| fits(part, name.as_bytes())).collect();
            names.sort_unstable();
            next.extend(names.iter().map(|name| base.join(name)));
        }
        found = next;
    }
    found.retain(|path| !path.as_os_str().is_empty());
    found
}

/// Whether one name fits one component of a pattern. Linear in memory, at most quadratic in time.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], name[n]),
            Some(b'\\') if p + 1 < pattern.len() => (pattern[p + 1] == name[n]).then_some(2),
            Some(byte) => (*byte == name[n]).then_some(1),
            None => None,
        };
        if let Some(length) = step {
            p += length;
            n += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            n = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The length of the class `[…]` that `pattern` begins with, if `byte` is in it.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let mut at = 1;
    let negated = matches!(pattern.get(at), Some(b'^' | b'!'));
    at += usize::from(negated);
    let (first, mut hit) = (at, false);
    loop {
        let low = *pattern.get(at)?;
        if low == b']' && at > first {
            break;
        }
        let mut high = low;
        if pattern.get(at + 1) == Some(&b'-') && pattern.get(at + 2).is_some_and(|end| *end != b']') {
            high = pattern[at + 2];
            at += 2;
        }
        hit |= (low..=high).contains(&byte);
        at += 1;
    }
    (hit != negated).then_some(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded() {
        let get = |line: &str| {
            let value = |name: &[u8]| (name == b"HOME").then_some(OsStr::new("/h"));
            String::from_utf8(expand(line.as_bytes(), value)).expect("text")
        };
        assert_eq!(get("$HOME/x"), "/h/x");
        assert_eq!(get("${HOME}x"), "/hx");
        assert_eq!(get("$HOMEx|$NONE|"), "||");
        assert_eq!(get("a$$b$"), "a$b$");
        assert_eq!(get("${open"), "${open");
        assert_eq!(get("$/x"), "$/x");
    }

    #[test]
    fn lists_lose_comments_and_white_space() {
        let found: Vec<&[u8]> = lines(b"\xef\xbb\xbf a \r\n#b\n\n  # c\nd").collect();
        assert_eq!(found, [b"a", b"d"]);
    }

    #[test]
    fn names_fit_patterns() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("*.rs", "a.rs", true),
            ("*.rs", "a.rsx", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("?", "ü", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends() {
        let pattern = [&b"*a".repeat(500)[..], b"b"].concat();
        assert!(!fits(&pattern, &b"a".repeat(5000)));
    }

    #[test]
    fn globs_look_at_the_file_system() {
        let here = glob(b"src/ex*.rs");
        assert_eq!(here, [PathBuf::from("src/exit.rs")]);
        assert!(glob(b"src/nothing*").is_empty());
        assert_eq!(glob(b"/"), [PathBuf::from("/")]);
    }
}
