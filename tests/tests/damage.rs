//! One object of each kind is deleted, flipped, cut or emptied: verify says so, restore never gives wrong bytes; caches never matter.

use std::fs;
use std::path::{Path, PathBuf};
use vault_tests::clean_room::{CleanRoom, files_below, selector};
use vault_tests::compare::assert_same;
use vault_tests::damage::{ACTIONS, Action, KINDS, damage, objects};
use vault_tests::plain::Plain;
use vault_tests::tree;

/// A repository with two snapshots.
fn small() -> (CleanRoom, PathBuf) {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::types(), vec![tree::noise("big", 3_000_000, 1), tree::file("words", tree::Random(1).words(500_000))]].concat());
    room.backup(&source);
    fs::write(source.join("words"), tree::Random(2).words(400_000)).unwrap();
    room.backup(&source);
    (room, source)
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

/// Whatever lies in `target` is equal to the source's or not there; nothing is wrong.
fn assert_nothing_wrong(source: &Plain, target: &Path, what: &str) {
    if !target.exists() {
        return;
    }
    for (path, state) in Plain::read(target).0 {
        let right = &source.0[&path];
        assert_eq!(state.kind, right.kind, "{what}: {}", path.escape_ascii());
        if state.kind == 'f' {
            assert!(state.content == right.content, "{what}: wrong bytes in {}", path.escape_ascii());
        }
    }
}

#[test]
fn every_damage_is_found_and_none_gives_wrong_bytes() {
    let (room, source) = small();
    let state = Plain::read(&source);
    let whole = room.path("whole");
    copy(&room.repository(), &whole);
    for kind in KINDS {
        for action in ACTIONS {
            copy(&whole, &room.repository());
            // Without a cache, so that nothing is known from before.
            let _ = fs::remove_dir_all(room.cache());
            let all = objects(&room.repository(), kind);
            assert!(!all.is_empty(), "no objects of kind {kind}");
            for object in &all {
                damage(object, action);
            }
            let what = format!("{action:?} {kind}");
            let verified = room.vault(["verify", "--read-data"]).run();
            let expected: &[i32] = match (kind, action) {
                // An index is a hint; without it nothing is lost.
                ("index", Action::Delete) => &[0],
                // One copy of the slots is enough, and an unconfirmed snapshot is none that is damaged.
                ("keys" | "keys2" | "confirmed", Action::Delete) => &[0, 6],
                // Without a configuration there is no repository to speak of.
                ("config", _) => &[6, 10, 1],
                _ => &[6],
            };
            assert!(verified.code.is_some_and(|code| expected.contains(&code)), "{what}: verify must end with one of {expected:?}: {verified}");
            let target = room.path("target");
            let _ = fs::remove_dir_all(&target);
            let words = ["restore".as_ref(), selector("latest", &source).as_os_str(), "--target".as_ref(), target.as_os_str()].map(std::ffi::OsStr::to_owned);
            let restored = room.vault(words).run();
            assert_nothing_wrong(&state, &target, &what);
            if restored.code == Some(0) {
                assert_same(&source, &target);
            }
            if matches!(kind, "keys" | "keys2" | "index" | "confirmed") {
                assert_eq!(restored.code, Some(0), "{what} must not stop a restore: {restored}");
            }
            // Parity makes up for one flipped bit of a pack, and of a small pack the second half is parity.
            let mended = matches!((kind, action), ("data" | "meta", Action::Flip) | ("meta", Action::Truncate));
            if matches!(kind, "data" | "meta" | "snapshots") && !mended {
                assert_ne!(restored.code, Some(0), "{what} cannot have been restored: {restored}");
            }
            if mended {
                assert_eq!(restored.code, Some(0), "{what} must have been mended on the way: {restored}");
            }
        }
    }
}

#[test]
fn a_lost_data_pack_is_healed_by_the_next_backup() {
    let (room, source) = small();
    for object in objects(&room.repository(), "data") {
        damage(&object, Action::Delete);
    }
    room.vault(["verify"]).run().code(6);
    room.vault(["backup".as_ref(), "--force".as_ref(), source.as_os_str()]).run().ok();
    let target = room.restore("latest", &source, "target");
    assert_same(&source, &target);
}

#[test]
fn swapped_objects_are_found() {
    let (room, _) = small();
    let data = objects(&room.repository(), "data");
    assert!(data.len() >= 2, "two sessions made two packs");
    let (one, two) = (fs::read(&data[0]).unwrap(), fs::read(&data[1]).unwrap());
    fs::write(&data[0], two).unwrap();
    fs::write(&data[1], one).unwrap();
    let _ = fs::remove_dir_all(room.cache());
    room.vault(["verify", "--read-data"]).run().code(6);
}

/// Deleting, cutting, flipping or swapping the cache changes speed, never a result.
#[test]
fn the_cache_never_matters() {
    let (room, source) = small();
    let other = {
        let (other, _) = small();
        let kept = room.path("other-cache");
        copy(&other.cache(), &kept);
        kept
    };
    let packs = objects(&room.repository(), "data");
    let check = |what: &str| {
        let _ = fs::remove_dir_all(room.path("target"));
        // All is read again, and all of it is known.
        room.vault(["backup".as_ref(), "--force".as_ref(), source.as_os_str()]).run().ok();
        assert_eq!(packs, objects(&room.repository(), "data"), "{what}: contents were stored twice");
        let target = room.restore("latest", &source, "target");
        assert_same(&source, &target);
        room.verify();
    };
    check("untouched");
    assert!(!files_below(&room.cache()).is_empty(), "there is a cache to harm");
    for action in ACTIONS {
        for file in files_below(&room.cache()) {
            damage(&file, action);
        }
        check(&format!("{action:?}"));
    }
    let _ = fs::remove_dir_all(room.cache());
    check("gone");
    // Each file by itself ends early.
    for file in files_below(&room.cache()) {
        for length in [0, 1, 4096, file.metadata().unwrap().len().saturating_sub(1)] {
            if length < file.metadata().map_or(0, |found| found.len()) {
                fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(length).unwrap();
                check(&format!("{} cut to {length}", file.display()));
            }
        }
    }
    // All of the other repository's cache under this repository's name.
    let folder_of = |cache: &Path| {
        let inside = files_below(cache).into_iter().find(|file| file.ends_with("control.sqlite")).unwrap();
        inside.parent().unwrap().to_owned()
    };
    let folder = folder_of(&room.cache());
    copy(&folder_of(&other), &folder);
    check("another repository's whole");
    // The other repository's files under this repository's names.
    let mine = files_below(&room.cache());
    for (mine, theirs) in mine.iter().zip(files_below(&other)) {
        fs::copy(theirs, mine).unwrap();
    }
    check("swapped");
    fs::set_permissions(room.cache(), std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    check("read-only");
}

/// The repository is an older state of itself, copied back after a loss; the cache knows what came later.
#[test]
fn a_cache_from_the_future_never_matters() {
    let (room, source) = small();
    let first = Plain::read(&source);
    let older = room.path("older");
    copy(&room.repository(), &older);
    let kept = room.snapshots();
    tree::write(&source, &[tree::noise("later", 2_000_000, 7), tree::file("words", tree::Random(3).words(450_000))]);
    let later = Plain::read(&source);
    room.backup(&source);
    room.vault(["forget", "--keep-last", "1", "--prune", "--max-unused", "0", "--grace", "0"]).run().ok();
    room.verify();
    copy(&older, &room.repository());

    // That the repository is an older one is told; the cache of the newer one shows nothing that is not there, and breaks nothing that is.
    assert_eq!(room.snapshots(), kept, "nothing is shown that is not there");
    room.vault(["verify", "--read-data"]).run().code(6).says("1 object is damaged").says("an older state");
    for file in files_below(&room.cache()).iter().filter(|path| path.to_string_lossy().contains("seen")) {
        fs::remove_file(file).unwrap();
    }
    room.verify();
    let target = room.restore("latest", &source, "first");
    assert_eq!(first.differences(&Plain::read(&target)), "");
    room.backup(&source);
    let target = room.restore("latest", &source, "later");
    assert_eq!(later.differences(&Plain::read(&target)), "");
    room.verify();
    room.vault(["prune", "--max-unused", "0", "--grace", "0"]).run().ok();
    let target = room.restore(&kept[1], &source, "first-again");
    assert_eq!(first.differences(&Plain::read(&target)), "");
    room.verify();
}
