//! The rules of the layout, each a function over text that returns the faults it sees; at the foot, each against planted faults.

pub mod tables;

use crate::source_text::{code, places, production};
use std::collections::BTreeSet;
use tables::{CHAPTERS, CLOCK_AND_DICE, CLOCK_AND_DICE_HOMES, FLOORS, HOMES, IMPURE, NO_CHAPTER, NO_CHAPTER_TARGETS, NO_CHAPTER_VECTORS, PRINTERS};

/// A source file: path from the root of the workspace, and text.
pub struct File {
    /// From the root of the workspace.
    pub path: String,
    /// All of it.
    pub text: String,
}

impl File {
    /// A file with this text.
    pub fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn fault(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    /// Unit tests in a file of their own (`tests`) and what several of them share (`testing`).
    fn is_unit_tests(&self) -> bool {
        let named = |name: &str| self.path.ends_with(&format!("/{name}.rs")) || self.path.contains(&format!("/{name}/"));
        self.path.contains("/src/") && ["tests", "testing"].into_iter().any(named)
    }

    /// Only what ships: neither unit tests nor the crates that exist for tests.
    fn production(&self) -> String {
        let for_tests = ["tests/", "benches/", "fuzz/", "format-spec/tests/", "engine/tests/", "cli/tests/"];
        let ships = !self.is_unit_tests() && !for_tests.iter().any(|place| self.path.starts_with(place));
        if ships { production(&self.text) } else { String::new() }
    }

    fn lies_in(&self, place: &str) -> bool {
        self.path == place || place.ends_with('/') && self.path.starts_with(place)
    }
}

fn floor_of(path: &str) -> Option<usize> {
    let rest = path.strip_prefix("engine/src/")?;
    FLOORS.iter().position(|floor| rest.strip_prefix(floor).is_some_and(|rest| rest.starts_with('/') || rest == ".rs"))
}

/// A file of the engine names only its own floor and those below, and hides none.
pub fn imports_go_down(file: &File) -> Vec<String> {
    let Some(own) = floor_of(&file.path) else {
        return Vec::new();
    };
    let text = code(&file.text);
    let mut faults = Vec::new();
    for (line, rest) in places(&text, "crate") {
        let Some(rest) = rest.strip_prefix("::") else {
            if rest.trim_start().starts_with("as ") {
                faults.push(file.fault(line, "`crate as` hides a floor"));
            }
            continue;
        };
        if rest.starts_with(['{', '*']) {
            faults.push(file.fault(line, "a group or wildcard of `crate` hides a floor"));
        }
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if FLOORS.iter().position(|floor| *floor == name).is_some_and(|other| other > own) {
            faults.push(file.fault(line, &format!("{} must not know {name}", FLOORS[own])));
        }
    }
    // From the page of a floor, one step up is the whole crate; from anywhere else, two steps may be.
    let root = file.path.ends_with(&format!("/{}/mod.rs", FLOORS[own])) || file.path.ends_with(&format!("/{}.rs", FLOORS[own]));
    let steps = if root { "super::" } else { "super::super" };
    let shipped = file.production();
    faults.extend(places(&shipped, steps).into_iter().map(|(line, _)| file.fault(line, "climbs by `super` where a floor could be hidden")));
    faults.extend(places(&text, "vault_engine").into_iter().map(|(line, _)| file.fault(line, "the engine names itself")));
    faults
}

/// The format uses nothing of the system.
pub fn format_is_pure(file: &File) -> Vec<String> {
    if floor_of(&file.path) != Some(0) {
        return Vec::new();
    }
    let text = file.production();
    let mut faults = Vec::new();
    for (line, rest) in places(&text, "std") {
        let Some(rest) = rest.strip_prefix("::") else {
            continue;
        };
        let named = if rest.starts_with('{') { group_at(&text, line) } else { vec![first_word(rest)] };
        for name in named.into_iter().filter(|name| IMPURE.contains(&name.as_str())) {
            faults.push(file.fault(line, &format!("the format is pure and must not use std::{name}")));
        }
    }
    faults
}

fn first_word(text: &str) -> String {
    text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first words of the members of the group `std::{…}` that begins on a line.
fn group_at(text: &str, line: usize) -> Vec<String> {
    let rest: String = text.lines().skip(line - 1).collect::<Vec<_>>().join("\n");
    let inside = rest.split_once("std::{").map_or("", |(_, inside)| inside);
    let (mut depth, mut members, mut member) = (0, Vec::new(), String::new());
    for c in inside.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => members.push(std::mem::take(&mut member)),
            _ => member.push(c),
        }
    }
    members.push(member);
    members.iter().map(|member| first_word(member)).collect()
}

/// Dependencies are named only where the table says.
pub fn dependencies_stay_home(file: &File) -> Vec<String> {
    if file.is_unit_tests() {
        return Vec::new();
    }
    let text = code(&file.text);
    let mut faults = Vec::new();
    for (name, homes) in HOMES.iter().copied() {
        if homes.iter().any(|home| file.lies_in(home)) {
            continue;
        }
        for (line, rest) in places(&text, name) {
            let start = text.lines().nth(line - 1).unwrap();
            let before = start[..start.len() - rest.len() - name.len()].trim_end();
            // `crate::rand::f` and `x.rand` are ours; `rand::f`, `::rand::f` and `use rand;` are the dependency.
            let inside = before.strip_suffix("::");
            let ours = before.ends_with('.') || inside.is_some_and(|path| path.ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            let whole = before.ends_with("use") || before.ends_with("extern crate");
            if !ours && (rest.starts_with("::") || whole) {
                faults.push(file.fault(line, &format!("{name} does not live here; its homes: {homes:?}")));
            }
        }
    }
    faults
}

/// Every dependency of a manifest is in the table.
pub fn dependencies_have_homes(manifest: &File) -> Vec<String> {
    let mut faults = Vec::new();
    let mut inside = false;
    for (number, line) in manifest.text.lines().enumerate() {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
            continue;
        }
        let name: String = line.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '-').collect();
        let known = HOMES.iter().any(|(home, _)| *home == name.replace('-', "_"));
        if inside && !name.is_empty() && !known {
            faults.push(manifest.fault(number + 1, &format!("{name} has no home in tidy's table")));
        }
    }
    faults
}

/// Nobody asks the system for time or randomness but the one place that hands them in.
pub fn clock_and_dice_are_handed_in(file: &File) -> Vec<String> {
    if CLOCK_AND_DICE_HOMES.iter().any(|(home, _)| file.lies_in(home)) {
        return Vec::new();
    }
    let text = file.production();
    let found = CLOCK_AND_DICE.iter().flat_map(|name| places(&text, name).into_iter().map(move |(line, _)| (line, name)));
    found.map(|(line, name)| file.fault(line, &format!("{name}: the clock and the dice come from store/host.rs"))).collect()
}

/// Printing is for the CLI's output and for programs.
pub fn only_the_cli_prints(file: &File) -> Vec<String> {
    if PRINTERS.iter().any(|place| file.lies_in(place)) {
        return Vec::new();
    }
    let text = file.production();
    let found = ["println!", "print!", "eprintln!", "eprint!"].into_iter().flat_map(|name| places(&text, name).into_iter().map(move |(line, _)| (line, name)));
    found.map(|(line, name)| file.fault(line, &format!("{name}: only the CLI's output prints"))).collect()
}

/// Code that ships does not panic for want of thought, and carries no marks of unfinished work.
pub fn nothing_is_unfinished(file: &File) -> Vec<String> {
    let shipped = file.production();
    let mut faults = Vec::new();
    for name in [".unwrap()", "todo!", "dbg!", "unimplemented!"] {
        faults.extend(places(&shipped, name).into_iter().map(|(line, _)| file.fault(line, &format!("{name} in code that ships"))));
    }
    // A module of unit tests in a file of its own is left out above, so it must really be one.
    for module in ["mod tests", "mod testing"] {
        faults.extend(places(&shipped, module).into_iter().map(|(line, _)| file.fault(line, "tests that are not under #[cfg(test)]")));
    }
    // Marks stand in comments, so the whole text is searched; they are spelled apart here, for this file is searched too.
    for mark in [concat!("FIX", "ME"), concat!("X", "XX"), concat!("#[ig", "nore")] {
        // A measurement that somebody runs by hand is no test that was switched off.
        let unfinished = places(&file.text, mark).into_iter().filter(|(_, rest)| !rest.starts_with(" = \"by hand: "));
        faults.extend(unfinished.map(|(line, _)| file.fault(line, &format!("{mark}: finish it"))));
    }
    faults
}

/// The first line of a file is its purpose.
pub fn says_what_it_is_for(file: &File) -> Vec<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let purpose = first.strip_prefix("//! ").is_some_and(|purpose| purpose.trim().len() > 10);
    if purpose { Vec::new() } else { vec![file.fault(1, "the first line says with //! what the file is for")] }
}

/// A file has at most 500 lines, or a reason.
pub fn is_not_long(file: &File, exceptions: &[(&str, &str)]) -> Vec<String> {
    let lines = file.text.lines().count();
    let allowed = exceptions.iter().any(|(path, _)| *path == file.path);
    match (lines > 500, allowed) {
        (true, false) => vec![file.fault(lines, "more than 500 lines: does it still serve one purpose?")],
        (false, true) => {
            vec![file.fault(lines, "short again: take it off the table of long files")]
        }
        _ => Vec::new(),
    }
}

/// Every file beside `main.rs` is a module of it.
pub fn every_test_is_declared(main: &File, names: &[String]) -> Vec<String> {
    let text = code(&main.text);
    let declared: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';')).collect();
    let forgotten = names.iter().filter(|name| *name != "main" && !declared.contains(name.as_str()));
    forgotten.map(|name| main.fault(1, &format!("tests/tests/{name}.rs is never run"))).collect()
}

/// The chapters of a specification, from its headings `## N. Title`.
fn chapters(spec: &str) -> Vec<String> {
    let heading = |line: &str| line.strip_prefix("## ")?.split_once(". ").map(|(_, title)| title.to_owned());
    spec.lines().filter_map(heading).collect()
}

/// Chapters, modules, folders of vectors and fuzz targets correspond, as far as they exist.
pub fn one_chapter_one_module(spec: &str, modules: &[String], vectors: &[String], targets: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    let titles: Vec<&str> = CHAPTERS.iter().map(|(title, ..)| *title).collect();
    if chapters(spec) != titles {
        faults.push(format!("SPEC.md has the chapters {:?}, tidy's table {titles:?}", chapters(spec)));
    }
    let mut parity = |what: &str, wanted: Vec<&str>, have: &[String], others: &[&str]| {
        // What does not exist at all yet cannot be uneven.
        if have.is_empty() {
            return;
        }
        for name in wanted.iter().filter(|name| !name.is_empty() && !have.iter().any(|have| have == *name)) {
            faults.push(format!("a chapter's {what} is missing: {name}"));
        }
        for name in have.iter().filter(|name| !wanted.contains(&name.as_str()) && !others.contains(&name.as_str())) {
            faults.push(format!("{what} {name} belongs to no chapter"));
        }
    };
    let no_chapter: Vec<&str> = NO_CHAPTER.iter().map(|(name, _)| *name).collect();
    parity("module", CHAPTERS.iter().map(|row| row.1).collect(), modules, &no_chapter);
    let unchaptered: Vec<&str> = NO_CHAPTER_TARGETS.iter().map(|(name, _)| *name).collect();
    let whole: Vec<&str> = NO_CHAPTER_VECTORS.iter().map(|(name, _)| *name).collect();
    parity("folder of vectors", CHAPTERS.iter().map(|row| row.2).collect(), vectors, &whole);
    parity("fuzz target", CHAPTERS.iter().map(|row| row.3).collect(), targets, &unchaptered);
    faults
}

#[cfg(test)]
mod planted;
