//! Which entries a backup leaves out: restic's exclude patterns over raw bytes.

pub mod glob;

use glob::Glob;

/// Compiled `--exclude` and `--iexclude` patterns.
///
/// * A pattern is a path whose components are globs (see [`glob`]); `**` as a whole component stands for any number of components, also none.
/// * It matches consecutive components anywhere (`a/b` leaves out `/x/a/b`); beginning with `/` it matches from the root only. Like restic, it is
///   tidied first: `./x`, `x/` and `y/../x` are `x`.
/// * What lies beneath a match is matched too.
/// * `!` takes back: of all patterns that match, the last given decides. Nothing beneath an excluded directory is looked at, so only what is
///   matched itself can be taken back. Patterns with and without case do not take back from each other.
/// * `[!a]` is a class of `!` and `a`; the negated class is `[^a]`.
///
/// `$VAR` is not expanded here: this is a pure function of its bytes; whoever reads the file expands.
#[derive(Clone, Debug, Default)]
pub struct Excludes {
    patterns: Vec<Pattern>,
}

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exclude pattern `{}`: {problem}", String::from_utf8_lossy(.pattern))]
pub struct BadPattern {
    /// As it was given.
    pub pattern: Vec<u8>,
    /// What is wrong with it.
    pub problem: &'static str,
}

#[derive(Clone, Debug)]
struct Pattern {
    steps: Vec<Step>,
    /// From here on all steps are `**`: whoever gets here has matched.
    done: usize,
    negated: bool,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum Step {
    /// `**`; also put before every pattern that is not anchored at the root.
    Anything,
    /// One component.
    Name(Glob),
}

/// How far each pattern has come on the way to a directory: pairs of pattern and steps behind it, in order.
#[derive(Clone, Debug, Default)]
pub struct Progress(Vec<(u32, u32)>);

impl Excludes {
    /// Appends one pattern. An empty one is ignored, as restic does.
    pub fn add(&mut self, pattern: &[u8], ignore_case: bool) -> Result<(), BadPattern> {
        if pattern.is_empty() {
            return Ok(());
        }
        let problem = |problem| BadPattern { pattern: pattern.to_vec(), problem };
        let (negated, text) = match pattern {
            [b'!'] => return Err(problem("a `!` with nothing after it")),
            [b'!', text @ ..] => (true, text),
            text => (false, text),
        };
        let anchored = text.starts_with(b"/");
        let mut steps = Vec::new();
        if !anchored {
            steps.push(Step::Anything);
        }
        for component in tidied(text, anchored) {
            steps.push(if component == b"**" { Step::Anything } else { Step::Name(Glob::parse(component, ignore_case).map_err(problem)?) });
        }
        let done = steps.iter().rposition(|step| matches!(step, Step::Name(_))).map_or(0, |last| last + 1);
        self.patterns.push(Pattern { steps, done, negated, ignore_case });
        Ok(())
    }

    /// Appends the patterns of an exclude file: one a line, blanks around it dropped, empty lines and those beginning with `#` skipped.
    pub fn add_lines(&mut self, text: &[u8], ignore_case: bool) -> Result<(), BadPattern> {
        super::paths::lines(text).try_for_each(|line| self.add(line, ignore_case))
    }

    /// Whether `path` (absolute) is left out.
    pub fn matches(&self, path: &[u8]) -> bool {
        let mut progress = self.begin();
        let mut next = Progress::default();
        for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
            self.advance(&progress, name, &mut next);
            std::mem::swap(&mut progress, &mut next);
        }
        self.verdict(progress.0.iter().filter(|&&(pattern, behind)| behind as usize >= self.patterns[pattern as usize].done).map(|&(pattern, _)| pattern))
    }

    /// Where all patterns stand at the root directory.
    pub fn begin(&self) -> Progress {
        let mut progress = Progress::default();
        for (index, pattern) in self.patterns.iter().enumerate() {
            progress.push(index as u32, 0, pattern);
        }
        progress
    }

    /// Where they stand at `name` in a directory where they stood at `from`; written over `to`.
    pub fn advance(&self, from: &Progress, name: &[u8], to: &mut Progress) {
        to.0.clear();
        for &(index, behind) in &from.0 {
            let pattern = &self.patterns[index as usize];
            match pattern.steps.get(behind as usize) {
                // Matched: so is everything beneath.
                None | Some(Step::Anything) => to.push(index, behind, pattern),
                Some(Step::Name(glob)) if glob.matches(name) => to.push(index, behind + 1, pattern),
                Some(Step::Name(_)) => {}
            }
        }
        to.0.sort_unstable();
        to.0.dedup();
    }

    /// Whether `name` is left out of a directory where the patterns stand at `from`: the answer of [`Excludes::matches`], without any allocation.
    pub fn excludes(&self, from: &Progress, name: &[u8]) -> bool {
        let matched = from.0.iter().filter_map(|&(index, behind)| {
            let (pattern, behind) = (&self.patterns[index as usize], behind as usize);
            let reaches = behind >= pattern.done || behind + 1 == pattern.done && matches!(&pattern.steps[behind], Step::Name(glob) if glob.matches(name));
            reaches.then_some(index)
        });
        self.verdict(matched)
    }

    /// The last pattern that matched decides, with and without case by themselves.
    fn verdict(&self, matched: impl Iterator<Item = u32>) -> bool {
        let mut last = [None, None];
        for index in matched {
            let seat = &mut last[usize::from(self.patterns[index as usize].ignore_case)];
            *seat = (*seat).max(Some(index));
        }
        last.into_iter().flatten().any(|index| !self.patterns[index as usize].negated)
    }
}

impl Progress {
    /// Adds `behind`, and what follows from it: `**` may stand for nothing.
    fn push(&mut self, index: u32, mut behind: u32, pattern: &Pattern) {
        self.0.push((index, behind));
        while let Some(Step::Anything) = pattern.steps.get(behind as usize) {
            behind += 1;
            self.0.push((index, behind));
        }
    }
}

/// The components of a pattern without `.`, doubled slashes, and `..` with what it takes back (Go's `filepath.Clean`). A `..` that is left at the
/// front of a pattern stays, and matches nothing, for no entry has that name.
fn tidied(text: &[u8], anchored: bool) -> Vec<&[u8]> {
    let mut components: Vec<&[u8]> = Vec::new();
    for component in text.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." if components.last().is_some_and(|&last| last != b"..") => drop(components.pop()),
            b".." if anchored => {}
            other => components.push(other),
        }
    }
    components
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn excludes(patterns: &[&str]) -> Excludes {
        let mut excludes = Excludes::default();
        for pattern in patterns {
            excludes.add(pattern.as_bytes(), false).unwrap();
        }
        excludes
    }

    /// From the table of restic's `filter` tests.
    #[test]
    fn as_in_restic() {
        for (pattern, path, expected) in [
            ("*.go", "/foo/bar/test.go", true),
            ("*.c", "/foo/bar/test.go", false),
            ("*", "/foo/bar/test.go", true),
            ("foo*", "/foo/bar/test.go", true),
            ("bar*", "/foo/bar/test.go", true),
            ("/bar*", "/foo/bar/test.go", false),
            ("bar/*", "/foo/bar/test.go", true),
            ("baz/*", "/foo/bar/test.go", false),
            ("bar/test.*", "/foo/bar/test.go", true),
            ("/*/*/bar/test.*", "/foo/bar/test.go", false),
            ("/*/*/bar/test.*", "/foo/bar/bar/test.go", true),
            ("/foo/**/test.*", "/foo/bar/baz/test.go", true),
            ("/foo/*/test.*", "/foo/bar/baz/test.go", false),
            ("/foo/**", "/foo/bar/baz", true),
            ("foo/**/bar/**/x", "/foo/bar/x", true),
            ("foo/**/bar/**/x", "/a/foo/q/bar/w/x/beneath", true),
            ("/home/user", "/home/user/work", true),
            ("/home/user", "/home/username", false),
            ("user/", "/home/user/work", true),
            ("./user", "/home/user/work", true),
            ("x/../user//work", "/home/user/work", true),
            ("../user", "/home/user/work", false),
            ("/../home", "/home/user", true),
            ("/", "/home", true),
        ] {
            assert_eq!(excludes(&[pattern]).matches(path.as_bytes()), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn the_last_match_decides() {
        let list = excludes(&["*.log", "!keep.log", "/var/keep.log"]);
        assert!(list.matches(b"/a.log") && !list.matches(b"/a/keep.log") && list.matches(b"/var/keep.log"));
        let mut mixed = excludes(&["!A"]);
        mixed.add(b"a", true).unwrap();
        mixed.add(b"", true).unwrap();
        assert!(mixed.matches(b"/A"), "patterns without case are a list of their own");
    }

    #[test]
    fn files_of_patterns() {
        let mut list = Excludes::default();
        list.add_lines(b"# a comment\n\n  *.tmp \t\r\n!x.tmp\n$HOME/y\n", false).unwrap();
        assert!(list.matches(b"/a/b.tmp") && !list.matches(b"/a/x.tmp") && list.matches(b"/$HOME/y"));
        let error = list.add_lines(b"fine\n a[b \n", false).unwrap_err();
        assert_eq!(error.to_string(), "exclude pattern `a[b`: a `[` without its `]`");
        assert!(list.add(b"!", false).is_err());
    }

    /// restic's algorithm as it is written there: `**` gradually expanded into `*`, every offset tried.
    fn as_restic_writes_it(pattern: &[&str], anchored: bool, path: &[&str]) -> bool {
        if let Some(wild) = pattern.iter().position(|&component| component == "**") {
            return (0..=path.len()).any(|count| {
                let mut expanded = pattern[..wild].to_vec();
                expanded.extend(std::iter::repeat_n("*", count));
                expanded.extend(&pattern[wild + 1..]);
                as_restic_writes_it(&expanded, anchored, path)
            });
        }
        if pattern.is_empty() {
            return true;
        }
        let offsets = if anchored { 0..1 } else { 0..path.len() };
        offsets.into_iter().any(|offset| {
            pattern.len() + offset <= path.len()
                && pattern.iter().zip(&path[offset..]).all(|(glob, name)| Glob::parse(glob.as_bytes(), false).unwrap().matches(name.as_bytes()))
        })
    }

    proptest! {
        #[test]
        fn agrees_with_the_obvious_definition(
            patterns in proptest::collection::vec((any::<bool>(), any::<bool>(), proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("a*"), Just("*"), Just("**")], 1..5)), 0..4),
            path in proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("ab"), Just("c")], 1..6),
        ) {
            let mut list = Excludes::default();
            let mut expected = false;
            for (negated, anchored, components) in &patterns {
                let text = format!("{}{}{}", if *negated { "!" } else { "" }, if *anchored { "/" } else { "" }, components.join("/"));
                list.add(text.as_bytes(), false).unwrap();
                if as_restic_writes_it(components, *anchored, &path) {
                    expected = !negated;
                }
            }
            prop_assert_eq!(list.matches(format!("/{}", path.join("/")).as_bytes()), expected);
            let (last, above) = path.split_last().unwrap();
            let (mut progress, mut next) = (list.begin(), Progress::default());
            for name in above {
                list.advance(&progress, name.as_bytes(), &mut next);
                std::mem::swap(&mut progress, &mut next);
            }
            prop_assert_eq!(list.excludes(&progress, last.as_bytes()), expected);
        }
    }
}
