//! What to back up: paths made absolute, merged into one tree of wanted names, and the lists that `--files-from` reads.

use super::exclude::glob::Glob;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A path that cannot be backed up as it was given.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", .path.display())]
pub struct PathError {
    /// As it was given.
    pub path: PathBuf,
    /// What the system says about it.
    #[source]
    pub error: io::Error,
}

/// The names that lead to what is wanted. A wanted node stands for everything beneath it; children of a wanted node are paths that were named
/// too, which matters where they lie on other file systems.
#[derive(Debug, Default)]
pub struct Wanted {
    /// This entry and all beneath it.
    pub whole: bool,
    /// Further names beneath it, in byte order.
    pub children: BTreeMap<Vec<u8>, Wanted>,
}

impl Wanted {
    /// Merges absolute paths.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut root = Self::default();
        for path in paths {
            let names = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
            let node = names.fold(&mut root, |node, name| node.children.entry(name.to_vec()).or_default());
            node.whole = true;
        }
        root
    }
}

/// The absolute path that `path` means: its directory with all links resolved, its last component as it stands, so that a link is backed up as a
/// link. `x/`, `x/.`, `.` and `..` mean the directory behind. An entry that is not there is an error.
pub fn absolute(path: &Path) -> Result<Vec<u8>, PathError> {
    let resolve = || -> io::Result<PathBuf> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "an empty path"));
        }
        // `Path` hides trailing slashes and dots, so the bytes are asked.
        let last = bytes.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        if matches!(last, b"" | b"." | b"..") {
            return path.canonicalize();
        }
        let parent = match &bytes[..bytes.len() - last.len()] {
            b"" => Path::new("."),
            parent => Path::new(OsStr::from_bytes(parent)),
        };
        let found = parent.canonicalize()?.join(OsStr::from_bytes(last));
        found.symlink_metadata()?;
        Ok(found)
    };
    match resolve() {
        Ok(found) => Ok(found.into_os_string().into_vec()),
        Err(error) => Err(PathError { path: path.to_owned(), error }),
    }
}

/// Lines of a list (`--files-from`, `--exclude-file`): blanks around them dropped, empty ones and those beginning with `#` skipped.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty() && !line.starts_with(b"#"))
}

/// Paths of a `--files-from-verbatim` list: every line is one, as it stands; only empty lines are skipped.
pub fn lines_verbatim(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty())
}

/// What is wrong with a `--files-from-raw` list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadList {
    /// Its writer was cut short: backing up the first half of a name would be wrong.
    #[error("the last path does not end with a NUL byte; is the list complete?")]
    Unfinished,
    /// An empty path names nothing.
    #[error("the list holds an empty path")]
    EmptyPath,
}

/// Paths of a `--files-from-raw` list: each ends with a NUL byte, the last one too.
pub fn paths_raw(list: &[u8]) -> Result<Vec<&[u8]>, BadList> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let list = list.strip_suffix(&[0]).ok_or(BadList::Unfinished)?;
    let paths: Vec<&[u8]> = list.split(|&byte| byte == 0).collect();
    if paths.iter().any(|path| path.is_empty()) { Err(BadList::EmptyPath) } else { Ok(paths) }
}

/// The paths that a line of `--files-from` stands for, as Go's `filepath.Glob` has it: `*`, `?`, `[…]` within components, no `**`, names beginning
/// with a dot like all others, sorted. Directories that cannot be read are passed over; no match at all is an empty answer, for the caller to tell.
/// A pattern that cannot be read is `InvalidInput`.
pub fn expand(pattern: &[u8]) -> io::Result<Vec<PathBuf>> {
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let exists = |path: &PathBuf| path.symlink_metadata().is_ok();
    if !pattern.iter().any(|byte| b"*?[\\".contains(byte)) {
        return Ok(Some(path(pattern)).filter(exists).into_iter().collect());
    }
    let mut found = vec![path(if pattern.starts_with(b"/") { b"/" } else { b"" })];
    for component in pattern.split(|&byte| byte == b'/').filter(|component| !component.is_empty()) {
        let glob = Glob::parse(component, false)
            .map_err(|problem| io::Error::new(io::ErrorKind::InvalidInput, format!("pattern `{}`: {problem}", String::from_utf8_lossy(pattern))))?;
        let mut next = Vec::new();
        for directory in found {
            if matches!(glob, Glob::Literal(_)) {
                next.extend(Some(directory.join(OsStr::from_bytes(component))).filter(exists));
                continue;
            }
            let listed = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
            let Ok(entries) = listed.read_dir() else {
                continue;
            };
            let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
            next.extend(names.filter(|name| glob.matches(name.as_bytes())).map(|name| directory.join(name)));
        }
        found = next;
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute() {
        let home = tempfile::tempdir().unwrap();
        let top = home.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("real")).unwrap();
        std::os::unix::fs::symlink("real", top.join("link")).unwrap();
        std::fs::write(top.join("real/file"), b"").unwrap();
        let bytes = |name: &str| top.join(name).into_os_string().into_vec();
        let of = |name: &str| absolute(&top.join(name)).unwrap();
        assert_eq!(of("link"), bytes("link"), "a link is backed up as a link");
        for directory in ["link/", "link/.", "real/", "link/../real/."] {
            assert_eq!(of(directory), bytes("real"), "{directory}");
        }
        assert_eq!(of("link/file"), bytes("real/file"));
        assert_eq!(of("real/.."), top.as_os_str().as_bytes());
        assert_eq!(absolute(Path::new("/")).unwrap(), b"/");
        assert_eq!(absolute(Path::new(".")).unwrap(), std::env::current_dir().unwrap().canonicalize().unwrap().as_os_str().as_bytes());
        let error = absolute(&top.join("nothing")).unwrap_err();
        assert_eq!(error.path, top.join("nothing"));
        assert_eq!(error.error.kind(), io::ErrorKind::NotFound);
        assert!(absolute(Path::new("")).is_err());
    }

    #[test]
    fn overlapping_paths_merge() {
        let wanted = Wanted::of([&b"/a/b"[..], b"/a/b/c", b"/a"]);
        assert!(!wanted.whole && wanted.children[&b"a"[..]].whole);
        assert!(wanted.children[&b"a"[..]].children[&b"b"[..]].children[&b"c"[..]].whole);
        assert!(Wanted::of([&b"/"[..]]).whole);
    }

    #[test]
    fn lists() {
        assert_eq!(lines(b"# no\n a b\t\n\n\r\nc").collect::<Vec<_>>(), [&b"a b"[..], b"c"]);
        assert_eq!(lines_verbatim(b" a\n\n#b\r\n").collect::<Vec<_>>(), [&b" a"[..], b"#b\r"]);
        assert_eq!(paths_raw(b"a\nb\0c\0"), Ok(vec![&b"a\nb"[..], b"c"]));
        assert_eq!(paths_raw(b""), Ok(vec![]));
        assert_eq!(paths_raw(b"a\0b"), Err(BadList::Unfinished));
        assert_eq!(paths_raw(b"a\0\0"), Err(BadList::EmptyPath));
    }

    #[test]
    fn globs_expand() {
        let home = tempfile::tempdir().unwrap();
        let top = home.path();
        for name in ["b1/x.c", "b2/.x.c", "b2/y", "c/x.c"] {
            std::fs::create_dir_all(top.join(name).parent().unwrap()).unwrap();
            std::fs::write(top.join(name), b"").unwrap();
        }
        let of = |pattern: &str| expand(top.join(pattern).as_os_str().as_bytes()).unwrap();
        assert_eq!(of("b?/*.c"), [top.join("b1/x.c"), top.join("b2/.x.c")]);
        assert_eq!(of("*/x.c"), [top.join("b1/x.c"), top.join("c/x.c")]);
        assert_eq!(of("c"), [top.join("c")]);
        assert!(of("d").is_empty() && of("d*").is_empty() && of("*/y/*").is_empty());
        assert_eq!(expand(b"/x[").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
