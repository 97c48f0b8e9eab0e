//! Lists that people keep in files: patterns (`$VAR` is expanded here, the engine reads no environment) and names of what to back up.

use crate::complaint::{Complaint, shown};
use crate::exit::Exit;
use crate::world::World;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use vault_engine::sources::files::exclude::Excludes;
use vault_engine::sources::files::paths;

/// Longer lists are a mistake: somebody named the wrong file.
const LIST_BYTES_MAX: u64 = 256 << 20;

/// Patterns from the command line and from files, with and without case.
pub struct PatternArgs<'a> {
    pub plain: &'a [OsString],
    pub ignoring_case: &'a [OsString],
    pub files: &'a [PathBuf],
    pub files_ignoring_case: &'a [PathBuf],
}

impl PatternArgs<'_> {
    /// Adds them to `all`.
    pub fn add_to(&self, all: &mut Excludes, world: &World) -> Result<(), Complaint> {
        let mut add = |pattern: &[u8], ignore_case: bool| all.add(pattern, ignore_case).map_err(|error| Complaint::usage(error.to_string()));
        for (patterns, ignore_case) in [(self.plain, false), (self.ignoring_case, true)] {
            patterns.iter().try_for_each(|pattern| add(pattern.as_bytes(), ignore_case))?;
        }
        for (files, ignore_case) in [(self.files, false), (self.files_ignoring_case, true)] {
            for path in files {
                let text = read_list(path)?;
                for line in paths::lines(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text)) {
                    let pattern = expand(line, |name| world.variable(std::str::from_utf8(name).ok()?));
                    add(&pattern, ignore_case).map_err(|complaint| complaint.since(format!("in {}", shown(path))))?;
                }
            }
        }
        Ok(())
    }
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
pub fn read_names(path: &Path, form: ListForm, unmatched: &mut dyn FnMut(&[u8])) -> Result<Vec<PathBuf>, Complaint> {
    let text = read_list(path)?;
    let named = |name: &[u8]| PathBuf::from(OsString::from_vec(name.to_vec()));
    let wrong = |why: String| Complaint::usage(format!("the list {} is wrong", shown(path))).since(why);
    Ok(match form {
        ListForm::Verbatim => paths::lines_verbatim(&text).map(named).collect(),
        ListForm::Raw => paths::paths_raw(&text).map_err(|error| wrong(error.to_string()))?.into_iter().map(named).collect(),
        ListForm::Globs => {
            let mut names = Vec::new();
            for line in paths::lines(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text)) {
                let found = paths::expand(line).map_err(|error| wrong(format!("{}: {error}", shown(Path::new(OsStr::from_bytes(line))))))?;
                if found.is_empty() {
                    unmatched(line);
                }
                names.extend(found);
            }
            names
        }
    })
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
        return Err(Complaint::usage(format!("the list {} is longer than 256 MiB", shown(path))));
    }
    Ok(bytes)
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
    fn a_wrong_pattern_names_its_file() {
        let path = std::env::temp_dir().join(format!("vault-patterns-{}", std::process::id()));
        std::fs::write(&path, "# fine\n\n*.o\n[open\n").expect("written");
        let files = [path.clone()];
        let args = PatternArgs { plain: &[], ignoring_case: &[], files: &files, files_ignoring_case: &[] };
        let complaint = args.add_to(&mut Excludes::default(), &World::of(&[], None)).expect_err("an open class");
        assert!(complaint.sentence().contains("vault-patterns-"), "{}", complaint.sentence());
        assert_eq!(complaint.exit, Exit::Usage);
        std::fs::remove_file(&path).expect("tidy");
    }
}
