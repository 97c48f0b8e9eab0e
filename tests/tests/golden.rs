//! Every repository that a version of the format wrote is kept in `tests/golden` and must open, verify and restore for ever, in both readers.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vault_tests::can::{self, Can};
use vault_tests::clean_room::CleanRoom;

fn golden() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let mut found: Vec<PathBuf> = fs::read_dir(here).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn manifest(of: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/manifest");
    let done = Command::new(script).arg(of).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn every_golden_repository_opens_in_both_readers() {
    let all = golden();
    assert!(!all.is_empty(), "there is no golden repository");
    for place in all {
        let mut room = CleanRoom::new();
        // A copy: a reader may want to write beside it, and git does not keep empty directories.
        let copied = Command::new("cp").arg("-r").args([&place.join("repository"), &room.path("repo")]).status().unwrap();
        assert!(copied.success());
        room.set("VAULT_REPOSITORY", room.path("repo"));
        room.set("VAULT_KEY_FILE", place.join("key"));
        room.verify();
        assert_eq!(room.vault(["snapshots", "--json"]).run().ok().events_of("snapshot").len(), 2, "{}", place.display());
        let hello = room.vault(["dump", "latest~1", "/golden/dir/hello"]).run().ok();
        assert_eq!(hello.text(), "hello\n");
        if !can::or_skip(Can::Xattrs) {
            continue;
        }
        let expected = fs::read_to_string(place.join("manifest")).unwrap();
        let restored = room.restore("latest", Path::new("/golden"), "restored");
        assert_eq!(manifest(&restored), expected, "{}", place.display());
        let (repository, key, target) = (room.repository(), place.join("key"), room.path("rescued"));
        let options = [OsStr::new("--repo"), repository.as_os_str(), OsStr::new("--key-file"), key.as_os_str()];
        room.rescue(options.into_iter().chain(["extract".as_ref(), "latest".as_ref(), target.as_os_str()])).run().ok();
        assert_eq!(manifest(&target.join("golden")), expected, "{}", place.display());
    }
}
