//! Trees that nobody here wrote, in sizes for every run; `tests/corpora` has the large ones.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use vault_tests::can::{self, Can};
use vault_tests::clean_room::{CleanRoom, raw};
use vault_tests::compare::assert_same;

/// Backs up, restores, compares; then changes a little, and both snapshots must come back.
fn there_and_back(room: &CleanRoom, source: &Path) {
    // A file as young as the last run is read again; let the clock pass it.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let first = room.backup(source);
    assert!(first["files_new"].as_u64() > Some(20), "hardly a tree: {first}");
    let target = room.restore("latest", source, "target");
    assert_same(source, &target);
    fs::remove_dir_all(&target).unwrap();
    let second = room.backup(source);
    assert_eq!(second["files_new"].as_u64(), Some(0), "{second}");
    assert_eq!(second["files_changed"].as_u64(), Some(0), "{second}");
    room.verify();
}

/// Copies files under their absolute paths, folders above them included.
fn copy(files: &[PathBuf], to: &Path) {
    let list: Vec<u8> = files.iter().flat_map(|file| [raw(file), b"\0"].concat()).collect();
    let mut child = Command::new("rsync").args(["-aHAX", "--from0", "--files-from=-", "/"]).arg(to).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&list).unwrap();
    assert!(child.wait().unwrap().success());
}

fn limited(root: &str, count: usize) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = vault_tests::clean_room::files_below(Path::new(root));
    files.truncate(count);
    files
}

/// Headers and shared data of the installed packages: what source trees look like.
#[test]
fn sources_of_installed_packages() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    let files = [limited("/usr/include", 3000), limited("/usr/share", 3000)].concat();
    copy(&files, &source);
    there_and_back(&room, &source);
}

/// A small system tree: programs, libraries, configuration, with device nodes, capabilities and set-id programs.
#[test]
fn a_system_tree_with_devices_and_capabilities() {
    if !can::or_skip(Can::Root) {
        return;
    }
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    let parts = ["/usr/bin", "/usr/sbin", "/etc"].into_iter().map(PathBuf::from).filter(|part| part.is_dir());
    let files: Vec<PathBuf> = parts.flat_map(|part| limited(part.to_str().unwrap(), 400)).collect();
    copy(&files, &source);
    let script = "mkdir -p dev run tmp var/log; mknod -m 666 dev/null c 1 3; mknod -m 666 dev/zero c 1 5; mknod -m 660 dev/loop0 b 7 0; mkfifo run/initctl
        ln -s usr/bin bin; ln -s /proc/self/fd dev/fd; chmod 1777 tmp; cp /bin/true ping; setcap cap_net_raw+ep ping; cp /bin/true su; chmod 4755 su
        touch var/log/btmp; chgrp 43 var/log/btmp; chmod 660 var/log/btmp; chattr +d var/log 2>/dev/null || true";
    assert!(Command::new("sh").args(["-euc", script]).current_dir(&source).status().unwrap().success());
    there_and_back(&room, &source);
}

/// Many small files of JavaScript.
#[test]
fn a_node_modules_tree() {
    if !can::or_skip(Can::Npm) {
        return;
    }
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    fs::create_dir(&source).unwrap();
    let words = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error", "--prefix"];
    // npm is given the caller's environment: it knows where packages come from.
    let mut npm = Command::new("npm");
    npm.args(words).arg(&source).arg("eslint@9").env("npm_config_cache", can::keep().unwrap_or_else(|| room.path("npm")));
    let installed = npm.output().unwrap();
    assert!(installed.status.success(), "{}", String::from_utf8_lossy(&installed.stderr));
    there_and_back(&room, &source);
}
