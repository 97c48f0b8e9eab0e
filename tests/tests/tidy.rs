//! The rules of the layout (`vault_tests::rules`) held against this workspace.

use std::fs;
use std::path::{Path, PathBuf};
use vault_tests::rules::tables::LONG;
use vault_tests::rules::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(root: &Path, path: &Path) -> File {
    let name = path.strip_prefix(root).unwrap().to_str().unwrap();
    File::new(name, &fs::read_to_string(path).unwrap())
}

/// Every Rust file of the workspace; `target` and hidden directories are not ours.
fn sources() -> Vec<File> {
    let root = root();
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = ["engine", "cli", "format-spec", "tests", "benches", "fuzz"].iter().map(|name| root.join(name)).collect();
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(read(&root, &path));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// The names in a directory, without extension; empty if there is no such directory.
fn names(directory: &str, keep: fn(&Path) -> bool) -> Vec<String> {
    let entries = fs::read_dir(root().join(directory)).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = entries.filter(|path| keep(path)).map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

fn is_rust(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "rs")
}

fn hold(rule: impl Fn(&File) -> Vec<String>) {
    let files = sources();
    assert!(files.len() > 20, "the scan itself is broken: {} files", files.len());
    let faults: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn imports_only_go_down() {
    hold(imports_go_down);
}

#[test]
fn the_format_touches_nothing() {
    hold(format_is_pure);
}

#[test]
fn each_dependency_has_one_home() {
    hold(dependencies_stay_home);
    let root = root();
    let manifests = ["engine", "cli", "format-spec", "tests", "benches", "fuzz"].map(|name| root.join(name).join("Cargo.toml"));
    let faults: Vec<String> = manifests.iter().filter(|path| path.exists()).flat_map(|path| dependencies_have_homes(&read(&root, path))).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_clock_and_the_dice_have_one_home() {
    hold(clock_and_dice_are_handed_in);
}

#[test]
fn nobody_prints_but_the_cli() {
    hold(only_the_cli_prints);
}

#[test]
fn no_unfinished_code() {
    hold(nothing_is_unfinished);
}

#[test]
fn every_file_says_what_it_is_for() {
    hold(says_what_it_is_for);
}

#[test]
fn no_file_is_too_long() {
    hold(|file| is_not_long(file, LONG));
    let root = root();
    let gone: Vec<&str> = LONG.iter().map(|(path, _)| *path).filter(|path| !root.join(path).exists()).collect();
    assert!(gone.is_empty(), "on the table of long files, but gone: {gone:?}");
}

#[test]
fn no_test_is_forgotten() {
    let main = read(&root(), &root().join("tests/tests/main.rs"));
    assert_eq!(every_test_is_declared(&main, &names("tests/tests", is_rust)), Vec::<String>::new());
}

#[test]
fn one_chapter_is_one_module_one_folder_one_target() {
    let spec = fs::read_to_string(root().join("format-spec/SPEC.md")).unwrap();
    let modules = names("engine/src/format", |path| is_rust(path) || path.is_dir());
    let vectors = names("format-spec/vectors", Path::is_dir);
    let targets = names("fuzz/targets", is_rust);
    assert_eq!(one_chapter_one_module(&spec, &modules, &vectors, &targets), Vec::<String>::new());
}
