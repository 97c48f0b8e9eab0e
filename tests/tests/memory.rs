//! What a backup takes of memory stays below what it was given.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use vault_tests::can::{self, Can};
use vault_tests::clean_room::CleanRoom;
use vault_tests::tree::Random;

/// A control group with so many bytes and no more; gone when dropped.
struct Group(PathBuf);

impl Group {
    fn new(limit_bytes: u64) -> Self {
        let (root, file) = can::memory_groups().unwrap();
        let path = root.join(format!("vault-tests-{}-{limit_bytes}", std::process::id()));
        fs::create_dir(&path).unwrap();
        fs::write(path.join(file), limit_bytes.to_string()).unwrap();
        Self(path)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Everything that takes memory: files of all sizes, data that shrink and data that do not, a large directory.
fn heap(root: &Path) {
    let mut random = Random(29);
    fs::create_dir_all(root.join("many")).unwrap();
    for number in 0..8000 {
        let length = 1 + random.below(3000) as usize;
        fs::write(root.join("many").join(format!("file {number}")), random.words(length)).unwrap();
    }
    for number in 0..60 {
        let length = 1 + random.below(4 << 20) as usize;
        let bytes = if number % 2 == 0 { random.bytes(length) } else { random.words(length) };
        fs::write(root.join(format!("large {number}")), bytes).unwrap();
    }
    fs::write(root.join("noise"), random.bytes(90 << 20)).unwrap();
}

#[test]
fn a_backup_keeps_its_memory_limit() {
    if !can::or_skip(Can::LimitMemory) {
        return;
    }
    let room = CleanRoom::with_repository();
    let source = room.path("heap");
    heap(&source);
    for (limit, name) in [(64u64 << 20, "64M"), (92 << 20, "92M"), (160 << 20, "160M")] {
        // What goes beyond the limit by more than the program itself takes gets killed: there is no swap to go to.
        let group = Group::new(limit + (32 << 20));
        let wrapper = ["sh", "-c", "echo $$ >\"$1/cgroup.procs\"; shift; exec \"$@\"", "sh"].map(OsStr::new);
        let words = ["backup", "--force", "--memory-limit", name].map(OsStr::new);
        room.vault(words.into_iter().chain([source.as_os_str()])).under(&[&wrapper[..], &[group.0.as_os_str()]].concat()).run().ok();
    }
    room.verify();
}
