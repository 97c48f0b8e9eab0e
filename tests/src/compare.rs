//! The judge: compares a source and what was restored with tools that nobody here wrote.
//!
//! `rsync` looks at contents, types, modes, owners, hard links, ACLs and attributes; `find` at nanoseconds, link targets and link groups;
//! `getfattr` and `getfacl` at attributes as raw bytes and as lists; `lseek` at holes. Every difference comes back as a line of text.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

/// What is left out of a comparison, and why it may be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lenient {
    /// A plain user cannot give files away or set what needs root.
    pub plain_user: bool,
    /// The root directories themselves differ (only what is below is compared).
    pub not_the_root: bool,
}

/// Fails unless `restored` equals `source` in everything.
pub fn assert_same(source: &Path, restored: &Path) {
    assert_same_but(source, restored, Lenient::default());
}

/// Fails unless `restored` equals `source` in everything but what `lenient` names.
pub fn assert_same_but(source: &Path, restored: &Path, lenient: Lenient) {
    let found = differences(source, restored, lenient);
    assert!(found.is_empty(), "{} and {} differ:\n{found}", source.display(), restored.display());
}

/// Every difference, a line each; empty if there is none.
pub fn differences(source: &Path, restored: &Path, lenient: Lenient) -> String {
    let mut found = rsync(source, restored, lenient);
    let listers: [(&str, Lister); 5] = [("find", find), ("devices", devices), ("getfattr", getfattr), ("getfacl", getfacl), ("holes", holes)];
    for (tool, list) in listers {
        let (mut mine, mut theirs) = (list(source, lenient), list(restored, lenient));
        if lenient.not_the_root {
            mine.remove(b".".as_slice());
            theirs.remove(b".".as_slice());
        }
        found.push_str(&compare(tool, &mine, &theirs));
    }
    found
}

/// A tool that says one line about each path.
type Lister = fn(&Path, Lenient) -> Lines;

/// One line of text for each path.
type Lines = BTreeMap<Vec<u8>, Vec<u8>>;

fn compare(tool: &str, mine: &Lines, theirs: &Lines) -> String {
    let paths: std::collections::BTreeSet<_> = mine.keys().chain(theirs.keys()).collect();
    let show = |line: Option<&Vec<u8>>| line.map_or("nothing".to_owned(), |line| line.escape_ascii().to_string());
    let different = paths.into_iter().filter(|path| mine.get(*path) != theirs.get(*path));
    let line = |path: &Vec<u8>| format!("{tool}: {}\n  - {}\n  + {}\n", path.escape_ascii(), show(mine.get(path)), show(theirs.get(path)));
    different.take(30).map(line).collect()
}

/// Runs a tool and hands out what it printed; a tool that fails or complains fails the test.
fn output(command: &mut Command) -> Vec<u8> {
    let done = command.env("LC_ALL", "C").output().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/run installs what is missing"));
    assert!(done.status.success() && done.stderr.is_empty(), "{command:?}: {} {}", done.status, String::from_utf8_lossy(&done.stderr));
    done.stdout
}

fn with_slash(path: &Path) -> std::ffi::OsString {
    let mut text = path.as_os_str().to_owned();
    text.push("/");
    text
}

fn rsync(source: &Path, restored: &Path, lenient: Lenient) -> String {
    let mut command = Command::new("rsync");
    command.args(["-aHAXn", "--checksum", "--itemize-changes", "--delete", "--numeric-ids", "--modify-window=-1"]);
    if lenient.plain_user {
        command.args(["--no-owner", "--no-group", "--no-devices"]);
    }
    let printed = output(command.arg(with_slash(source)).arg(with_slash(restored)));
    let unwanted = |line: &&[u8]| !(line.is_empty() || lenient.not_the_root && line.ends_with(b" ./"));
    let skipped = |line: &&[u8]| !(lenient.plain_user && line.starts_with(b"skipping non-regular"));
    printed.split(|byte| *byte == b'\n').filter(unwanted).filter(skipped).take(30).map(|line| format!("rsync: {}\n", line.escape_ascii())).collect()
}

/// Splits records that end in NUL and start with a path, a NUL in between.
fn pairs(printed: &[u8]) -> Lines {
    let mut fields = printed.split(|byte| *byte == 0);
    let mut lines = Lines::new();
    while let (Some(path), Some(line)) = (fields.next(), fields.next()) {
        lines.insert(path.to_vec(), line.to_vec());
    }
    lines
}

fn find(root: &Path, lenient: Lenient) -> Lines {
    let format = if lenient.plain_user { r"%p\0%y %m %T@ %l\0" } else { r"%p\0%y %m %U:%G %T@ %l\0" };
    let mut lines = pairs(&output(Command::new("find").arg(".").args(["-printf", format]).current_dir(root)));
    let sizes = pairs(&output(Command::new("find").args([".", "-type", "f", "-printf", r"%p\0 size %s\0"]).current_dir(root)));
    let groups = pairs(&output(Command::new("find").args([".", "!", "-type", "d", "-links", "+1", "-printf", r"%p\0%D:%i\0"]).current_dir(root)));
    let mut first: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (path, inode) in &groups {
        first.entry(inode.clone()).or_insert_with(|| path.clone());
    }
    for (path, line) in &mut lines {
        line.extend_from_slice(sizes.get(path).map_or(b"", Vec::as_slice));
        if let Some(inode) = groups.get(path) {
            line.extend_from_slice(b" same as ");
            line.extend_from_slice(&first[inode]);
        }
    }
    lines
}

fn devices(root: &Path, lenient: Lenient) -> Lines {
    if lenient.plain_user {
        return Lines::new();
    }
    let find = [".", "(", "-type", "b", "-o", "-type", "c", ")", "-exec", "stat", "--printf", r"%n\0%F %t:%T\0", "{}", "+"];
    pairs(&output(Command::new("find").args(find).current_dir(root)))
}

/// Splits the paragraphs of `getfattr` and `getfacl`, each headed by `# file: NAME` (and by owners and flags, which are `find`'s part).
fn paragraphs(printed: &[u8]) -> Lines {
    let text = printed.escape_ascii().to_string().replace("\\n", "\n");
    let paragraph = |paragraph: &str| {
        let (head, rest) = paragraph.split_once('\n')?;
        let name = head.strip_prefix("# file: ")?;
        let mut lines: Vec<&str> = rest.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")).collect();
        lines.sort_unstable();
        Some((name.as_bytes().to_vec(), lines.join(", ").into_bytes()))
    };
    text.split("\n\n").filter_map(paragraph).collect()
}

fn getfattr(root: &Path, lenient: Lenient) -> Lines {
    // `system.*` (ACLs) is getfacl's part; a plain user sees of the rest what is theirs.
    let which = if lenient.plain_user { r"^user\." } else { r"^(user|trusted|security)\." };
    paragraphs(&output(Command::new("getfattr").args(["-R", "-P", "-h", "-d", "-m", which, "-e", "hex", "--absolute-names", "."]).current_dir(root)))
}

fn getfacl(root: &Path, _: Lenient) -> Lines {
    paragraphs(&output(Command::new("getfacl").args(["-R", "-P", "-n", "--skip-base", "--absolute-names", "."]).current_dir(root)))
}

/// Where the data of each sparse file lie.
fn holes(root: &Path, _: Lenient) -> Lines {
    let files = pairs(&output(Command::new("find").args([".", "-type", "f", "-size", "+0", "-printf", r"%p\0%s\0"]).current_dir(root)));
    let describe = |(path, _): (Vec<u8>, Vec<u8>)| {
        let full = root.join(OsStr::from_bytes(&path));
        let metadata = fs::symlink_metadata(&full).unwrap();
        (metadata.blocks() * 512 < metadata.len()).then(|| (path, format!("{:?}", data_ranges(&full)).into_bytes()))
    };
    files.into_iter().filter_map(describe).collect()
}

/// The (offset, length) of every run of data in a file; all of it where the file system knows no holes.
pub fn data_ranges(path: &Path) -> Vec<(u64, u64)> {
    use rustix::fs::SeekFrom;
    let Ok(file) = fs::File::open(path) else {
        return Vec::new();
    };
    let mut ranges = Vec::new();
    let mut position = 0;
    while let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(position)) {
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start)).unwrap();
        ranges.push((start, end - start));
        position = end;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::can::{self, Can};
    use crate::tree::{self, Kind};

    /// The judge must see each single change: a judge that cannot condemn is no judge.
    #[test]
    fn the_judge_sees_every_planted_difference() {
        let scratch = tempfile::tempdir().unwrap();
        let source = scratch.path().join("source");
        tree::write(&source, &[tree::types(), tree::sparse(), tree::odd_names()].concat());
        if can::test(Can::Xattrs) {
            tree::write(&source, &tree::user_xattrs());
        }
        if can::test(Can::Root) {
            tree::write(&source, &tree::privileged());
        }
        let shell = |script: &str, at: &Path| {
            let done = Command::new("sh").args(["-euc", script]).current_dir(at).output().unwrap();
            assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
        };
        let mut faults = vec![
            "touch -d '2001-01-01 00:00:00.000000001' types/plain",
            "chmod 601 types/pipe",
            "printf x > types/empty-a",
            "cp -p types/second s; mv s types/second",
            "rm types/sub/third",
            "touch 'odd/extra\nfile'",
            "ln -snf elsewhere types/broken",
            "touch -h -d @5.000000001 types/loop",
            "mv types/loop x; mv x types/loop2",
            "cp --sparse=never sparse/hole-first h; touch -r sparse/hole-first h; mv h sparse/hole-first",
            "rm types/pipe-too",
        ];
        if can::test(Can::Xattrs) {
            faults.extend(["setfattr -n user.comment -v hullo xattrs/one", "setfattr -x user.second xattrs/binary", "setfacl -m u:33:r xattrs/one"]);
        }
        if can::test(Can::Root) {
            faults.extend(["chown -h 4243 root/link", "setfattr -x trusted.secret root/trusted", "rm root/null; mknod root/null c 1 5; chmod 666 root/null"]);
        }
        for (number, fault) in faults.iter().enumerate() {
            let copy = scratch.path().join(format!("copy{number}"));
            output(Command::new("cp").arg("-a").arg(&source).arg(&copy));
            assert_eq!(differences(&source, &copy, Lenient::default()), "", "an exact copy must pass");
            let tmp = copy.join("types");
            let times = fs::symlink_metadata(&tmp).unwrap();
            shell(fault, &copy);
            tree::set_mtime(&tmp, times.mtime(), times.mtime_nsec()).unwrap();
            assert_ne!(differences(&source, &copy, Lenient::default()), "", "not seen: {fault}");
            output(Command::new("rm").arg("-rf").arg(&copy));
        }
    }

    #[test]
    fn ranges_of_a_sparse_file_are_its_data() {
        let scratch = tempfile::tempdir().unwrap();
        let content = tree::Content::Sparse { length: 1 << 20, data: vec![(65_536, 4096)] };
        tree::write(scratch.path(), &[tree::entry("f", Kind::File(content))]);
        assert_eq!(data_ranges(&scratch.path().join("f")), [(65_536, 4096)]);
    }
}
