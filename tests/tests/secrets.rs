//! Secrets stay where they belong: in no output, in no file of ours, and in a process that others cannot look into.

use rustix::process::Signal;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use vault_tests::call::contains;
use vault_tests::can::{self, Can};
use vault_tests::clean_room::{CleanRoom, files_below, secret_words};
use vault_tests::tree;

const PASSWORD: &str = "marker-of-the-password-\u{fc}\u{df}";
const OTHER: &str = "marker-of-another-password";
const WRONG: &str = "marker-of-a-wrong-password";
/// A key with one character changed: what is in a file that is no key may be a mistyped key.
const BROKEN: &str = "vaultkey1marker0of0a0broken0key0qqqqqqqqqqqqqqqqqqqqqqqqqqq";
const NOBODY: u32 = 65_534;

fn secret_file(room: &CleanRoom, name: &str, text: &str) -> String {
    let path = room.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn room_with_secrets() -> (CleanRoom, PathBuf) {
    let mut room = CleanRoom::new();
    room.set("VAULT_REPOSITORY", room.path("repo"));
    room.set("VAULT_PASSWORD", PASSWORD);
    for secret in [PASSWORD, OTHER, WRONG, BROKEN, "marker-of"] {
        room.keep_secret(secret);
    }
    let source = room.path("source");
    tree::write(&source, &[tree::file("f", "f"), tree::noise("g", 3 << 20, 4)]);
    (room, source)
}

/// Every call fails the test if it prints one of the room's secrets.
#[test]
fn no_output_has_a_secret() {
    let (mut room, source) = room_with_secrets();
    let source = source.to_str().unwrap().to_owned();
    let (other, wrong, broken) =
        (secret_file(&room, "other", &format!("{OTHER}\n")), secret_file(&room, "wrong", WRONG), secret_file(&room, "broken", &format!("{BROKEN}\n")));
    room.vault(["init", "-v", "--json"]).run().ok();
    room.guard_key_files();
    let new = room.path("new-key").to_str().unwrap().to_owned();
    let recovery = room.path("recovery").to_str().unwrap().to_owned();
    for words in [
        &["backup", &source][..],
        &["snapshots"],
        &["ls", "latest"],
        &["verify"],
        &["stats"],
        &["config"],
        &["config", "check"],
        &["config", "repository"],
        &["cat", "config"],
        &["key", "list"],
        &["key", "add", "--new-key-file", &new],
        &["key", "recovery", "--output", &recovery],
        &["key", "add", "--new-password-file", &other],
        &["forget", "--keep-last", "1", "--prune"],
        &["key", "rotate"],
        &["help"],
        &["backup", "--help"],
    ] {
        for flags in [&["-vv"][..], &["--json"], &["-q"]] {
            // Some have done their work at the second time, and say so.
            let _ = room.vault(words.iter().chain(flags)).run();
            room.guard_key_files();
        }
    }
    let bare = |words: &[&str]| room.vault(words.iter().chain(&["-v"])).without("VAULT_PASSWORD").run();
    for file in [&wrong, &broken, &other, &source] {
        for flag in ["--password-file", "--key-file", "--recovery-key-file"] {
            assert_ne!(bare(&["snapshots", flag, file]).code, Some(0), "{flag} {file}");
        }
    }
    // A command that fails after it printed, and one whose words are wrong.
    bare(&["snapshots", "--password-command", &format!("cat {wrong}; exit 3")]);
    bare(&["snapshots", "--password-command", &format!("cat {wrong}; cat {wrong} >&2")]);
    for words in
        [&["restore"][..], &["nonsense"], &["ls", "latest:/nowhere"], &["snapshots", "-r", "/nowhere"], &["restore", "latest", "--target", "/proc/nowhere"]]
    {
        assert_ne!(room.vault(words).run().code, Some(0));
    }
    room.vault(["snapshots"]).env("VAULT_PASSWORD", WRONG).run().code(12);
    room.vault(["snapshots"]).env("VAULT_KEY_FILE", &broken).run().code(2);

    let mut words: Vec<String> = [PASSWORD, OTHER, WRONG].map(str::to_owned).to_vec();
    let secret_files = [new.clone(), recovery.clone(), other, wrong, broken];
    for file in files_below(&room.path("home")).iter().map(|path| path.to_str().unwrap()).chain([&*new, &recovery]) {
        words.extend(secret_words(&fs::read_to_string(file).unwrap_or_default()));
    }
    assert!(words.len() > 5, "the keys of all files: {}", words.len());
    let places = files_below(&room.cache()).into_iter().chain(files_below(&room.path("repo")));
    for file in places.filter(|path| !secret_files.iter().any(|secret| Path::new(secret) == path)) {
        let bytes = fs::read(&file).unwrap();
        assert!(words.iter().all(|word| !contains(&bytes, word.as_bytes())), "a secret in {}", file.display());
    }
}

/// A home and a repository of somebody without rights.
fn room_of_nobody() -> CleanRoom {
    let (mut room, _) = room_with_secrets();
    let mine = room.path("mine");
    fs::create_dir(&mine).unwrap();
    rustix::fs::chown(&mine, Some(rustix::fs::Uid::from_raw(NOBODY)), None).unwrap();
    for (variable, place) in
        [("HOME", "home"), ("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data"), ("XDG_CACHE_HOME", "cache"), ("VAULT_REPOSITORY", "repo")]
    {
        room.set(variable, mine.join(place));
    }
    room.vault(["init"]).as_plain_user().run().ok();
    room.guard_key_files();
    room
}

#[test]
fn a_panic_tells_no_secret() {
    if !can::or_skip(Can::PlainUser) {
        return;
    }
    let room = room_of_nobody();
    // A process that may have no second thread panics where it needs one.
    let limit = ["prlimit", "--nproc=1:1", "--"].map(OsStr::new);
    for words in [&["backup", "source"][..], &["-vv", "backup", "source"], &["--json", "backup", "source"]] {
        let start = Instant::now();
        let done = loop {
            let done = room.vault(words).env("RUST_BACKTRACE", "full").as_plain_user().under(&limit).may_panic().run();
            // The limit counts all processes of the user, also those of other tests.
            if !contains(&done.stderr, b"failed to execute") || start.elapsed() > Duration::from_mins(2) {
                break done;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(contains(&done.stderr, b"panicked at"), "it was to panic: {done}");
        assert_ne!(done.code, Some(0));
    }
}

/// Whether somebody with the same user id can run this shell command on the process.
fn nobody_can(script: &str, pid: u32) -> bool {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", "sh", "-euc", script, "sh", &pid.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
}

/// Ways into a process: its environment, its map, its memory, its open files, a debugger.
const WAYS: [&str; 4] = [
    "cat /proc/$1/environ",
    "cat /proc/$1/maps",
    "ls -l /proc/$1/fd/",
    "at=$(grep -m1 rw-p /proc/$1/maps | cut -d- -f1); dd if=/proc/$1/mem bs=1 count=1 skip=$((0x$at))",
];

#[test]
fn nobody_of_the_same_user_looks_into_a_running_vault() {
    if !can::or_skip(Can::PlainUser) {
        return;
    }
    let room = room_of_nobody();
    let unlimited = ["prlimit", "--core=unlimited:unlimited", "--"].map(OsStr::new);
    let words = ["backup", "--stdin", "--stdin-filename", "f"];
    // The input comes after something that is never said: it waits, with the keys in memory.
    let running = room.vault(words).as_plain_user().under(&unlimited).input("x").after("never said").start();
    let (pid, start) = (running.pid(), Instant::now());
    let limits = || fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let is_shielded = || limits().lines().any(|line| line.starts_with("Max core file size") && line.split_whitespace().nth(4) == Some("0"));
    while !is_shielded() {
        assert!(start.elapsed() < Duration::from_mins(1), "core files are allowed: {}", limits());
        std::thread::sleep(Duration::from_millis(5));
    }
    // Until it waits for its input, with the repository open.
    while !files_below(&room.path("mine/cache")).iter().any(|file| file.to_string_lossy().contains("control.sqlite")) {
        assert!(start.elapsed() < Duration::from_mins(1), "it never opened the repository");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid(), 0, "the system takes the process for root's");
    for way in WAYS {
        assert!(!nobody_can(way, pid), "{way}");
    }
    let can_trace = can::test(Can::Strace);
    let trace = "timeout 2 strace -o /dev/null -p $1; test $? -eq 124";
    assert!(!can_trace || !nobody_can(trace, pid), "a debugger");
    running.signal(Signal::ABORT);
    assert_eq!(running.wait().signal, Some(Signal::ABORT.as_raw()));
    let cores: Vec<PathBuf> = files_below(&room.path("")).into_iter().filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("core")).collect();
    assert!(cores.is_empty(), "{cores:?}");

    // The same ways lead into another program of the same user, so it was not the test that failed.
    let mut sleep = Command::new("setpriv").args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", "sleep", "60"]).spawn().unwrap();
    while fs::read_to_string(format!("/proc/{}/comm", sleep.id())).unwrap().trim() != "sleep" {
        std::thread::sleep(Duration::from_millis(1));
    }
    let open: Vec<bool> = WAYS.iter().map(|way| nobody_can(way, sleep.id())).collect();
    sleep.kill().unwrap();
    sleep.wait().unwrap();
    assert_eq!(open, [true; 4]);
}
