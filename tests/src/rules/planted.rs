//! Planted faults: each rule must see them, and must not see faults where there are none.

use super::*;

/// Runs a rule over one planted file and says how many faults it saw.
fn seen(rule: impl Fn(&File) -> Vec<String>, path: &str, text: &str) -> usize {
    rule(&File::new(path, text)).len()
}

#[test]
fn upward_imports_are_seen() {
    let rule = imports_go_down;
    assert_eq!(seen(rule, "engine/src/format/pack.rs", "use crate::store::Store;"), 1);
    assert_eq!(seen(rule, "engine/src/store/x.rs", "fn f() { crate::ops::backup() }"), 1);
    assert_eq!(seen(rule, "engine/src/ops/a/b.rs", "use crate::sources::files;"), 1);
    assert_eq!(seen(rule, "engine/src/sources/a.rs", "use crate::jobs;"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "use crate::{id, ops};"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "use crate::*;"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "use crate as all;"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "use super::super::ops;"), 1);
    assert_eq!(seen(rule, "engine/src/format/mod.rs", "use super::ops;"), 1);
    assert_eq!(seen(rule, "engine/src/format.rs", "use super::ops;"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "use vault_engine::ops;"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "#[cfg(test)]\nmod tests { use crate::store::S; }"), 1);
    let fine = "//! crate::ops is not for us\nuse crate::format::id;\nuse crate::store::S; use super::x; const A: &str = \"crate::ops\";";
    assert_eq!(seen(rule, "engine/src/store/a.rs", fine), 0);
    assert_eq!(seen(rule, "engine/src/lib.rs", "use crate::jobs;"), 0);
}

#[test]
fn impure_formats_are_seen() {
    let rule = format_is_pure;
    for name in IMPURE {
        assert_eq!(seen(rule, "engine/src/format/a.rs", &format!("use std::{name}::x;")), 1, "{name}");
    }
    assert_eq!(seen(rule, "engine/src/format/a.rs", "use std::{fmt, io::{self, Read}, fs};"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "use std::{\n    fmt,\n    time::Duration,\n};"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "use std::fmt; // std::fs\n#[cfg(test)]\nmod t { use std::fs; }"), 0);
    assert_eq!(seen(rule, "engine/src/store/a.rs", "use std::fs;"), 0);
}

#[test]
fn misplaced_dependencies_are_seen() {
    let rule = dependencies_stay_home;
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "use opendal::Operator;"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "fn f() { rusqlite::Connection::open() }"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "fn f(x: ::tokio::X) {}"), 1);
    assert_eq!(seen(rule, "cli/src/main.rs", "use indicatif;"), 1);
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "use rand::Rng;"), 1);
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "use crate::store::opendal::X; let rand = 1; self::rand::f(); // tokio::x"), 0);
    assert_eq!(seen(rule, "engine/src/store/remote.rs", "use opendal::Operator;"), 0);
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nblake3.workspace = true\nleft-pad = \"1\"\n[lints]\nworkspace = true";
    assert_eq!(seen(dependencies_have_homes, "engine/Cargo.toml", manifest), 1);
}

#[test]
fn own_clocks_and_dice_are_seen() {
    let rule = clock_and_dice_are_handed_in;
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "let t = std::time::SystemTime::now();"), 1);
    assert_eq!(seen(rule, "cli/src/commands/a.rs", "let t = Instant::now();"), 1);
    assert_eq!(seen(rule, "engine/src/format/a.rs", "getrandom::fill(&mut b)"), 1);
    assert_eq!(seen(rule, "engine/src/store/host.rs", "SystemTime::now()"), 0);
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "#[cfg(test)]\nmod t { fn f() { Instant::now() } }"), 0);
}

#[test]
fn prints_are_seen() {
    let rule = only_the_cli_prints;
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "println!(\"x\"); eprint!(\"y\");"), 2);
    assert_eq!(seen(rule, "cli/src/commands/a.rs", "eprintln!(\"x\")"), 1);
    assert_eq!(seen(rule, "cli/src/output/text.rs", "println!(\"x\")"), 0);
}

#[test]
fn unfinished_code_is_seen() {
    let rule = nothing_is_unfinished;
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "x.unwrap(); todo!(); dbg!(y); unimplemented!()"), 4);
    assert_eq!(seen(rule, "engine/src/ops/a.rs", concat!("// FIX", "ME later\n#[ig", "nore]")), 2);
    assert_eq!(seen(rule, "engine/src/ops/a.rs", concat!("#[ig", "nore = \"flaky\"]")), 1);
    assert_eq!(seen(rule, "engine/src/ops/a.rs", concat!("#[ig", "nore = \"by hand: measures\"]")), 0);
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "x.unwrap_or(1); x.expect(\"why\"); #[cfg(test)]\nmod t { fn f() { x.unwrap() } }"), 0);
}

#[test]
fn unit_tests_in_files_of_their_own_are_known() {
    let rule = nothing_is_unfinished;
    assert_eq!(seen(rule, "engine/src/ops/a/tests.rs", "x.unwrap()"), 0);
    assert_eq!(seen(rule, "engine/src/ops/a/tests/b.rs", "x.unwrap()"), 0);
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "#[cfg(test)]\nmod tests;"), 0);
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "mod tests;"), 1);
    assert_eq!(seen(rule, "engine/src/ops/testing.rs", "x.unwrap()"), 0);
    assert_eq!(seen(rule, "engine/src/ops/a.rs", "pub mod testing;"), 1);
    assert_eq!(seen(rule, "engine/src/ops/contesting.rs", "x.unwrap()"), 1);
}

#[test]
fn missing_purposes_and_long_files_are_seen() {
    assert_eq!(seen(says_what_it_is_for, "a.rs", "use x;"), 1);
    assert_eq!(seen(says_what_it_is_for, "a.rs", "//! e\n"), 1);
    assert_eq!(seen(says_what_it_is_for, "a.rs", ""), 1);
    assert_eq!(seen(says_what_it_is_for, "a.rs", "//! What it is for.\n"), 0);
    let lines = |count: usize| "x\n".repeat(count);
    assert_eq!(seen(|file| is_not_long(file, &[]), "a.rs", &lines(501)), 1);
    assert_eq!(seen(|file| is_not_long(file, &[]), "a.rs", &lines(500)), 0);
    assert_eq!(seen(|file| is_not_long(file, &[("a.rs", "why")]), "a.rs", &lines(501)), 0);
    assert_eq!(seen(|file| is_not_long(file, &[("a.rs", "why")]), "a.rs", &lines(400)), 1);
}

#[test]
fn forgotten_tests_and_uneven_chapters_are_seen() {
    let main = File::new("tests/tests/main.rs", "mod a;\n// mod b;\n");
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(every_test_is_declared(&main, &names(&["a", "b", "main"])).len(), 1);

    let spec: String = CHAPTERS.iter().enumerate().map(|(number, row)| format!("## {}. {}\n", number + 1, row.0)).collect();
    let column = |pick: fn(&(&str, &str, &str, &str)) -> String| CHAPTERS.iter().map(pick).filter(|name| !name.is_empty()).collect::<Vec<_>>();
    let (modules, vectors, targets) = (column(|row| row.1.into()), column(|row| row.2.into()), column(|row| row.3.into()));
    assert_eq!(one_chapter_one_module(&spec, &modules, &vectors, &targets), Vec::<String>::new());
    assert_eq!(one_chapter_one_module(&spec, &[], &[], &[]), Vec::<String>::new());
    assert_eq!(one_chapter_one_module(&spec.replace("Trees", "Leaves"), &modules, &vectors, &targets).len(), 1);
    assert_eq!(one_chapter_one_module(&spec, &modules[1..], &vectors, &targets).len(), 1);
    assert_eq!(one_chapter_one_module(&spec, &modules, &vectors[1..], &targets).len(), 1);
    assert_eq!(one_chapter_one_module(&spec, &modules, &vectors, &targets[1..]).len(), 1);
    assert_eq!(one_chapter_one_module(&spec, &[modules.clone(), names(&["extra"])].concat(), &vectors, &targets).len(), 1);
}
