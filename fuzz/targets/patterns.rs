//! Exclude patterns and lists of paths. The input: a byte of flags, patterns one a line, a NUL byte, paths one a line.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vault_engine::sources::files::exclude::Excludes;
use vault_engine::sources::files::exclude::glob::Glob;
use vault_engine::sources::files::paths::{self, Wanted};

/// A character as patterns count them: of UTF-8 where it is, else a byte.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
enum One {
    Char(char),
    Byte(u8),
}

fn first(bytes: &[u8], fold: bool) -> Option<(One, &[u8])> {
    let byte = *bytes.first()?;
    for length in 1..=bytes.len().min(4) {
        if let Ok(text) = std::str::from_utf8(&bytes[..length]) {
            let c = text.chars().next()?;
            let lower: Vec<char> = c.to_lowercase().collect();
            return Some((One::Char(if fold && lower.len() == 1 { lower[0] } else { c }), &bytes[length..]));
        }
    }
    Some((One::Byte(byte), &bytes[1..]))
}

enum Step {
    Run,
    Any,
    Literal(One),
    Class(bool, Vec<(One, One)>),
}

/// Go's `filepath.Match` grammar, straight from its documentation.
fn parse(mut text: &[u8], fold: bool) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    while let Some((c, rest)) = first(text, fold) {
        text = rest;
        steps.push(match c {
            One::Char('*') => Step::Run,
            One::Char('?') => Step::Any,
            One::Char('\\') => {
                let (c, rest) = first(text, fold)?;
                text = rest;
                Step::Literal(c)
            }
            One::Char('[') => {
                let negated = text.first() == Some(&b'^');
                text = &text[usize::from(negated)..];
                let mut ranges = Vec::new();
                while ranges.is_empty() || text.first() != Some(&b']') {
                    let low = bound(&mut text, fold)?;
                    let high = if text.first() == Some(&b'-') {
                        text = &text[1..];
                        bound(&mut text, fold)?
                    } else {
                        low
                    };
                    ranges.push((low, high));
                }
                text = &text[1..];
                Step::Class(negated, ranges)
            }
            c => Step::Literal(c),
        });
    }
    Some(steps)
}

fn bound(text: &mut &[u8], fold: bool) -> Option<One> {
    match text.first()? {
        b'-' | b']' => return None,
        b'\\' => *text = &text[1..],
        _ => {}
    }
    let (c, rest) = first(text, fold)?;
    *text = rest;
    Some(c)
}

/// Which lengths of `name` the steps can take, all at once: no cleverness to be wrong.
fn glob(steps: &[Step], name: &[u8], fold: bool) -> bool {
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for step in steps {
        let mut next = vec![false; name.len() + 1];
        for at in (0..=name.len()).filter(|at| reached[*at]) {
            if let Step::Run = step {
                next[at..].fill(true);
                break;
            }
            let Some((c, rest)) = first(&name[at..], fold) else { continue };
            let takes = match step {
                Step::Literal(literal) => *literal == c,
                Step::Class(negated, ranges) => ranges.iter().any(|(low, high)| order(*low) <= order(c) && order(c) <= order(*high)) != *negated,
                _ => true,
            };
            if takes {
                next[name.len() - rest.len()] = true;
            }
        }
        reached = next;
    }
    reached[name.len()]
}

/// Bytes that are no UTF-8 come after all of Unicode.
fn order(one: One) -> u32 {
    match one {
        One::Char(c) => u32::from(c),
        One::Byte(byte) => 0x20_0000 + u32::from(byte),
    }
}

fn components(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect()
}

/// What one pattern says of a path: whether it matches, from the words of its documentation.
fn one_pattern(pattern: &[u8], path: &[&[u8]], fold: bool) -> Option<bool> {
    let anchored = pattern.starts_with(b"/");
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in pattern.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if parts.last().is_some_and(|last| *last != b"..") => drop(parts.pop()),
            b".." if anchored => {}
            part => parts.push(part),
        }
    }
    if !anchored {
        parts.insert(0, b"**");
    }
    // reached[n]: the parts so far can stand for the first n components.
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for part in &parts {
        let mut next = vec![false; path.len() + 1];
        if part == b"**" {
            let from = reached.iter().position(|reached| *reached).unwrap_or(path.len() + 1);
            next[from.min(path.len() + 1)..].fill(true);
        } else {
            let steps = parse(part, fold)?;
            for at in (0..path.len()).filter(|at| reached[*at]) {
                next[at + 1] |= glob(&steps, path[at], fold);
            }
        }
        reached = next;
    }
    // What lies beneath a match is matched too.
    Some(reached.contains(&true))
}

fn lists(text: &[u8]) {
    for line in paths::lines(text) {
        assert!(!line.is_empty() && line[0] != b'#' && line.trim_ascii() == line && !line.contains(&b'\n'));
    }
    assert!(paths::lines_verbatim(text).all(|line| !line.is_empty() && !line.contains(&b'\n')));
    if let Ok(list) = paths::paths_raw(text) {
        assert_eq!(list.iter().flat_map(|path| [*path, b"\0"]).collect::<Vec<_>>().concat(), text);
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((flags, text)) = data.split_first() else { return };
    lists(text);
    if text.len() > 2048 {
        return;
    }
    let (patterns, tested) = text.split_at(text.iter().position(|byte| *byte == 0).unwrap_or(text.len()));
    let tested = tested.strip_prefix(b"\0").unwrap_or(tested);

    let mut excludes = Excludes::default();
    let mut accepted: Vec<(&[u8], bool)> = Vec::new();
    for (number, line) in paths::lines(patterns).enumerate() {
        let fold = flags >> (number % 8) & 1 == 1;
        let added = excludes.add(line, fold);
        let (negated, bare) = line.strip_prefix(b"!").map_or((false, line), |bare| (true, bare));
        let sound = !(negated && bare.is_empty()) && one_pattern(bare, &[], fold).is_some();
        assert_eq!(added.is_ok(), sound, "{:?}", String::from_utf8_lossy(line));
        if sound {
            accepted.push((line, fold));
        }
        let _ = Glob::parse(bare, fold);
    }
    let mut all = Excludes::default();
    assert_eq!(all.add_lines(patterns, false).is_ok(), paths::lines(patterns).all(|line| Excludes::default().add(line, false).is_ok()));

    for path in paths::lines_verbatim(tested).take(8) {
        let names = components(path);
        let mut last = [None, None];
        for (line, fold) in &accepted {
            let (negated, bare) = line.strip_prefix(b"!").map_or((false, *line), |bare| (true, bare));
            if one_pattern(bare, &names, *fold) == Some(true) {
                last[usize::from(*fold)] = Some(!negated);
            }
        }
        let expected = last.contains(&Some(true));
        assert_eq!(excludes.matches(path), expected, "{:?} on {:?}", String::from_utf8_lossy(patterns), String::from_utf8_lossy(path));
        // The walk asks name by name; the answer at the last one is the same.
        let mut progress = excludes.begin();
        for (at, name) in names.iter().enumerate() {
            let excluded = excludes.excludes(&progress, name);
            assert_eq!(excluded, excludes.matches(&names[..=at].join(&b'/')));
            let mut next = progress.clone();
            excludes.advance(&progress, name, &mut next);
            progress = next;
        }
    }
    let wanted = Wanted::of(paths::lines_verbatim(tested));
    for path in paths::lines_verbatim(tested) {
        let node = components(path).into_iter().fold(&wanted, |node, name| &node.children[name]);
        assert!(node.whole);
    }
});
