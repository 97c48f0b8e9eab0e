//! How vault speaks: exit codes, JSON, pipes, colours, terminals, signals.

use rustix::process::Signal;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;
use vault_tests::call::contains;
use vault_tests::clean_room::CleanRoom;
use vault_tests::tree;

fn backed_up() -> (CleanRoom, PathBuf) {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::types(), tree::odd_names()].concat());
    room.backup(&source);
    (room, source)
}

/// Every command that can be called again and again, with words that succeed.
fn harmless(source: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["backup", source],
        vec!["backup", "--dry-run", "-vv", source],
        vec!["snapshots"],
        vec!["ls", "latest"],
        vec!["ls", "-l", "latest"],
        vec!["find", "plain"],
        vec!["cat", "config"],
        vec!["cat", "snapshot", "latest"],
        vec!["verify"],
        vec!["verify", "--read-data"],
        vec!["verify", "--tables", "--sample", "50%"],
        vec!["verify", "--within", "30d", "--budget", "1G"],
        vec!["verify", "--restore", "-v"],
        vec!["verify", "-v", "--against", source],
        vec!["diff", "latest~1", "latest"],
        vec!["stats"],
        vec!["stats", "--mode", "raw-data"],
        vec!["bench", "--seconds", "1", source],
        vec!["key", "list"],
        vec!["config"],
        vec!["restore", "latest", "--target", "target", "-vv"],
        vec!["tag", "--add", "t", "latest"],
        vec!["rewrite", "--exclude", "plain", "--dry-run", "latest"],
    ]
}

#[test]
fn every_line_of_json_parses_and_has_a_type() {
    let (room, source) = backed_up();
    for command in harmless(source.to_str().unwrap()) {
        let done = room.vault(&command).arg("--json").run().ok();
        let events = done.events();
        assert!(!events.is_empty(), "{done}");
        for event in events.iter().flat_map(|event| event.as_array().cloned().unwrap_or_else(|| vec![event.clone()])) {
            assert!(event["message_type"].is_string(), "{event} of {done}");
        }
    }
    let failed = room.vault(["restore", "nonesuch", "--target", "t", "--json"]).run();
    assert_ne!(failed.code, Some(0));
    let errors = failed.events_of("exit_error");
    assert_eq!(errors.len(), 1, "a failure is an event too: {failed}");
    assert_eq!(errors[0]["code"].as_i64(), failed.code.map(i64::from));
}

#[test]
fn no_escape_sequences_without_a_terminal_or_with_no_color() {
    let (room, source) = backed_up();
    for command in harmless(source.to_str().unwrap()) {
        let done = room.vault(&command).run().ok();
        assert!(!contains(&done.stdout, b"\x1b") && !contains(&done.stderr, b"\x1b"), "{done}");
    }
    for command in [vec!["snapshots"], vec!["ls", "latest"], vec!["diff", "latest~1", "latest"]] {
        let done = room.on_terminal(&command).env("NO_COLOR", "1").run().ok();
        assert!(!contains(&done.stdout, b"\x1b[3") && !contains(&done.stdout, b"\x1b[1m"), "colour in spite of NO_COLOR: {done:?}");
        assert!(!contains(&done.stdout, b"\x1b[31mred"), "a file name must not steer the terminal: {done:?}");
    }
}

#[test]
fn progress_is_drawn_on_a_terminal_only() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::noise("f", 60 << 20, 1)]);
    let drawn = room.on_terminal([OsStr::new("backup"), source.as_os_str()]).run().ok();
    assert!(contains(&drawn.stdout, b"\r") || contains(&drawn.stdout, b"\x1b["), "a bar on a terminal: {drawn:?}");
    tree::write(&source, &[tree::noise("g", 60 << 20, 2)]);
    let plain = room.vault([OsStr::new("backup"), source.as_os_str()]).run().ok();
    assert!(!contains(&plain.stdout, b"\r") && !contains(&plain.stderr, b"\r"), "none in a pipe: {plain:?}");
}

#[test]
fn quiet_is_quiet() {
    let (room, source) = backed_up();
    let done = room.vault([OsStr::new("-q"), OsStr::new("backup"), source.as_os_str()]).run().ok();
    assert!(done.stdout.is_empty() && done.stderr.is_empty(), "{done}");
}

/// A reader that goes away early ends the command without a panic and without a complaint.
#[test]
fn a_broken_pipe_is_no_drama() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    let many: Vec<_> = (0..5000).map(|i| tree::file(format!("{i:05}-{}", "n".repeat(60)), "")).collect();
    tree::write(&source, &many);
    room.backup(&source);
    for command in ["ls latest", "ls --json latest", "find '*'", "--help"] {
        let vault = vault_tests::clean_room::binaries().join("vault");
        let script = format!("{} {command} | head -n 1", vault.display());
        let done = room.program("sh", ["-c", &script]).run().ok();
        assert_eq!(done.text().lines().count(), 1, "{done}");
        assert!(done.stderr.is_empty(), "{done}");
    }
}

#[test]
fn a_full_device_behind_standard_output_is_a_failure() {
    let (room, _) = backed_up();
    let vault = vault_tests::clean_room::binaries().join("vault");
    let script = format!("{} ls latest > /dev/full", vault.display());
    assert_ne!(room.program("sh", ["-c", &script]).run().code, Some(0), "what could not be printed was not printed");
}

#[test]
fn usage_errors_are_2_and_help_and_version_are_0() {
    let (room, _) = backed_up();
    for wrong in [vec!["frobnicate"], vec!["backup", "--no-such-flag", "."], vec!["restore"], vec!["restore", "latest"], vec!["-q", "-v", "snapshots"]] {
        room.vault(&wrong).run().code(2);
    }
    for fine in [vec!["--help"], vec!["--version"], vec!["backup", "--help"], vec!["help", "restore"]] {
        let done = room.vault(&fine).run().ok();
        assert!(!done.stdout.is_empty() && done.stderr.is_empty(), "{done}");
    }
}

#[test]
fn an_error_says_what_and_what_to_try() {
    let (room, _) = backed_up();
    let done = room.vault(["restore", "ffffffff", "--target", "t"]).run();
    assert_eq!(done.code, Some(1), "{done}");
    assert!(done.stdout.is_empty() && done.complaint().contains("ffffffff"), "{done}");
    let done = room.vault(["snapshots"]).env("VAULT_REPOSITORY", room.path("lost")).run().code(10);
    assert!(done.complaint().contains("lost") && done.complaint().contains("init"), "{done}");
}

#[test]
fn variables_of_another_vault_change_nothing() {
    let (room, _) = backed_up();
    room.vault(["snapshots"]).env("VAULT_ADDR", "https://127.0.0.1:1").env("VAULT_TOKEN", "s.x").env("VAULT_NAMESPACE", "n").run().ok();
}

#[test]
fn an_interrupt_is_130_and_leaves_a_repository_that_works() {
    for signal in [Signal::INT, Signal::TERM] {
        let (room, source) = backed_up();
        tree::write(&source, &(0..20).map(|i| tree::noise(format!("noise{i}"), 16 << 20, 100 + i)).collect::<Vec<_>>());
        let mut running = room.vault([OsStr::new("backup"), source.as_os_str()]).start();
        std::thread::sleep(Duration::from_millis(150));
        assert!(!running.ended(), "too fast to be interrupted");
        running.signal(signal);
        running.wait().code(130);
        room.verify();
        room.backup(&source);
        let target = room.restore("latest", &source, "target");
        vault_tests::compare::assert_same(&source, &target);
    }
}

#[test]
fn completions_and_manual_pages() {
    let room = CleanRoom::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = room.vault(["completions", shell]).run().ok();
        assert!(script.text().contains("restore"), "{script}");
    }
    let page = room.vault(["man"]).run().ok();
    assert!(page.text().contains(".TH"), "{page}");
    let pages = room.path("pages");
    room.vault([OsStr::new("man"), pages.as_os_str()]).run().ok();
    assert!(std::fs::read_dir(&pages).unwrap().count() > 15);
    // It is too long for an argument.
    room.program("bash", ["-n"]).input(room.vault(["completions", "bash"]).run().ok().text()).run().ok();
}
