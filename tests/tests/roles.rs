//! Keys of roles: one that backs up and reads nothing back, one that prunes and reads no contents.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use vault_tests::call::{Call, contains, text};
use vault_tests::clean_room::{CleanRoom, files_below, inside};
use vault_tests::compare::assert_same;
use vault_tests::damage::{self, Action};
use vault_tests::tree;

/// What a key of a role refuses.
const REFUSED: i32 = 12;

/// A repository with a backup of `source`, and key files of both roles in the room: `backup` and `prune`.
struct World {
    room: CleanRoom,
    source: PathBuf,
}

impl World {
    fn new(room: CleanRoom) -> Self {
        let source = room.path("source");
        tree::write(&source, &[tree::dir("dir"), tree::noise("dir/large", 3_000_000, 1), tree::noise("dir/small", 5000, 2), tree::file("note", "of no use")]);
        room.backup(&source);
        for role in ["backup", "prune"] {
            room.vault(["key", "add", "--role", role, "--new-key-file"]).arg(room.path(role)).run().ok();
        }
        let mut room = room;
        room.guard_key_files();
        Self { room, source }
    }

    /// A call of `vault` with the key of a role.
    fn vault<A: AsRef<OsStr>>(&self, role: &str, arguments: impl IntoIterator<Item = A>) -> Call {
        self.room.vault(arguments).arg("--key-file").arg(self.room.path(role))
    }

    /// `vault backup` of the source with the backup key; its summary.
    fn back_up(&self) -> serde_json::Value {
        self.vault("backup", [OsStr::new("backup"), OsStr::new("--json"), self.source.as_os_str()]).run().ok().summary()
    }

    /// The bytes of all packs of contents.
    fn data_bytes(&self) -> u64 {
        files_below(&self.room.repository().join("data")).iter().map(|path| path.metadata().unwrap().len()).sum()
    }

    fn restores(&self, name: &str) {
        let target = self.room.restore("latest", &self.source, name);
        assert_same(&self.source, &target);
    }

    /// The folder in which the backup key's cache lies.
    fn own_cache(&self) -> PathBuf {
        let folders = fs::read_dir(self.room.cache().join("vault")).unwrap().map(|entry| entry.unwrap().path());
        folders.into_iter().find(|path| path.to_str().unwrap().contains("-backup-")).expect("the backup key has a cache of its own")
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[test]
fn a_backup_key_stores_nothing_twice_and_its_backups_restore() {
    let world = World::new(CleanRoom::with_repository());
    let before = world.data_bytes();
    let first = world.back_up();
    assert_eq!(world.data_bytes(), before, "everything is there already: {first}");
    assert_eq!(first["files_new"], 3, "it has no parent: {first}");
    let second = world.back_up();
    assert_eq!((&second["files_unmodified"], &second["bytes_read"]), (&3.into(), &0.into()), "it remembers what it did: {second}");
    tree::write(&world.source, &[tree::noise("dir/new", 400_000, 3)]);
    let third = world.back_up();
    assert_eq!((&third["files_new"], &third["files_unmodified"], &third["bytes_read"]), (&1.into(), &3.into(), &400_000.into()), "{third}");
    world.restores("out");
    world.room.verify();
    // A stream, and an owner who goes on where it ended.
    world.vault("backup", ["backup", "--stdin", "--stdin-filename", "dump"]).input("dumped").run().ok();
    let summary = world.room.backup(&world.source);
    assert_eq!(summary["files_unmodified"], 4, "its snapshots are parents for who reads them: {summary}");
}

#[test]
fn a_backup_key_reads_nothing_back() {
    let world = World::new(CleanRoom::with_repository());
    world.back_up();
    let out = world.room.path("out");
    let objects = files_below(&world.room.repository());
    let commands: &[&[&str]] = &[
        &["snapshots"],
        &["ls", "latest"],
        &["find", "note"],
        &["diff", "latest~1", "latest"],
        &["dump", "latest", "/"],
        &["restore", "latest", "--target", out.to_str().unwrap()],
        &["stats"],
        &["cat", "snapshot", "latest"],
        &["cat", "tree", "latest"],
        &["verify"],
        &["verify", "--read-data"],
        &["verify", "--restore"],
        &["verify", "--against", world.source.to_str().unwrap()],
        &["forget", "--keep-last", "1"],
        &["forget", "latest"],
        &["undelete"],
        &["prune"],
        &["tag", "--add", "x", "latest"],
        &["pin", "latest"],
        &["rewrite", "--exclude", "note", "--forget"],
        &["repair"],
        &["key", "add", "--new-key-file", "more"],
        &["key", "add", "--role", "backup", "--new-key-file", "more"],
        &["key", "recovery", "--output", "more"],
        &["key", "rotate", "--new-key-file", "more"],
    ];
    for command in commands {
        world.vault("backup", *command).run().code(REFUSED).says("role backup");
    }
    assert!(!out.exists() && !world.room.path("more").exists());
    let slot = world.room.vault(["key", "list", "--json"]).run().ok().events_of("key").iter().find(|key| key["current"] == true).map(|key| text(key, "id"));
    world.vault("backup", ["key", "remove", &slot.unwrap()]).run().code(REFUSED);
    assert_eq!(files_below(&world.room.repository()), objects, "nothing was written");
    // Its own key it can change, and is what it was.
    world.vault("backup", ["key", "passwd", "--new-key-file", "changed"]).run().ok();
    world.vault("changed", ["snapshots"]).run().code(REFUSED);
    world.vault("backup", ["key", "list"]).run().code(REFUSED);
    world.room.verify();
}

#[test]
fn what_a_backup_key_remembers_is_sealed_and_may_be_lost() {
    let world = World::new(CleanRoom::with_repository());
    tree::write(&world.source, &[tree::file("dir/a-name-to-be-hidden", "a word to be hidden")]);
    world.back_up();
    let cache = world.own_cache();
    for file in files_below(&cache) {
        let bytes = fs::read(&file).unwrap();
        assert!(!contains(&bytes, b"to-be-hidden") && !contains(&bytes, b"to be hidden"), "{}", file.display());
    }
    let old = world.room.path("old-cache");
    copy(&cache, &old);
    tree::write(&world.source, &[tree::file("later", "more")]);
    world.back_up();

    // A machine that was set back to an older state does not count on from there: its numbers would come twice.
    fs::remove_dir_all(&cache).unwrap();
    copy(&old, &cache);
    let before = world.data_bytes();
    let summary = world.back_up();
    assert_eq!((&summary["files_new"], world.data_bytes()), (&1.into(), before), "the parent is the older one, and nothing is stored twice: {summary}");
    world.room.verify();
    // The same with no memory at all, and with another's.
    fs::remove_dir_all(&cache).unwrap();
    let summary = world.back_up();
    assert_eq!((&summary["files_unmodified"], world.data_bytes()), (&0.into(), before), "{summary}");
    world.room.verify();
    let stranger = World::new(CleanRoom::with_repository());
    stranger.back_up();
    fs::remove_dir_all(&cache).unwrap();
    copy(&stranger.own_cache(), &cache);
    world.back_up();
    for file in files_below(&cache) {
        let mut bytes = fs::read(&file).unwrap();
        let half = bytes.len() / 2;
        bytes.iter_mut().skip(half).step_by(7).for_each(|byte| *byte ^= 0x55);
        fs::write(&file, bytes).unwrap();
    }
    world.back_up();
    world.room.verify();
    world.restores("out");
}

#[test]
fn what_was_pruned_under_a_backup_key_is_stored_again() {
    let world = World::new(CleanRoom::with_repository());
    tree::write(&world.source, &[tree::noise("dir/own", 300_000, 9)]);
    world.back_up();
    world.back_up();
    // Everything goes, its parent too.
    let ids: Vec<OsString> = world.room.snapshots().into_iter().map(OsString::from).collect();
    world.room.vault(["forget", "--force"].map(OsString::from).into_iter().chain(ids)).run().ok();
    world.room.vault(["prune", "--max-unused", "0", "--grace", "0s"]).run().ok();
    assert_eq!(world.data_bytes(), 0);
    world.back_up();
    world.room.verify();
    world.restores("out");
    world.back_up();
    world.room.verify();
}

#[test]
fn a_prune_key_forgets_and_prunes_and_reads_no_contents() {
    let world = World::new(CleanRoom::with_repository());
    // Packs of which a part is needed: what it cannot take apart it moves whole.
    tree::write(&world.source, &[tree::noise("dir/goes", 900_000, 4), tree::noise("dir/goes too", 5000, 5), tree::noise("dir/stays", 5000, 6)]);
    world.back_up();
    fs::remove_file(world.source.join("dir/goes")).unwrap();
    fs::remove_file(world.source.join("dir/goes too")).unwrap();
    world.back_up();
    let out = world.room.path("out");
    let commands: &[&[&str]] = &[
        &["dump", "latest", "/note"],
        &["restore", "latest", "--target", out.to_str().unwrap()],
        &["verify", "--read-data"],
        &["verify", "--sample", "50%"],
        &["verify", "--restore"],
        &["repair"],
        &["backup", world.source.to_str().unwrap()],
        &["key", "add", "--new-key-file", "more"],
        &["key", "rotate", "--new-key-file", "more"],
    ];
    let objects = files_below(&world.room.repository());
    for command in commands {
        world.vault("prune", *command).run().code(REFUSED).says("role prune");
    }
    assert_eq!(files_below(&world.room.repository()), objects, "nothing was written");
    for command in [&["snapshots"][..], &["ls", "latest"], &["stats"], &["verify"]] {
        world.vault("prune", command).run().ok();
    }
    let before = world.data_bytes();
    world.vault("prune", ["tag", "--add", "seen", "latest"]).run().ok();
    world.vault("prune", ["forget", "--keep-last", "1", "--group-by", ""]).run().ok();
    world.vault("prune", ["prune", "--max-unused", "0", "--grace", "0s"]).run().ok();
    assert!(world.data_bytes() + 900_000 <= before, "{} of {before} bytes are left", world.data_bytes());
    world.room.verify();
    world.restores("out");
    // The client whose snapshots it forgot goes on.
    world.back_up();
    world.room.verify();
}

#[test]
fn a_prune_key_copies_no_damage() {
    for (room, has_parity) in [(CleanRoom::with_repository(), true), (CleanRoom::without_parity(), false)] {
        let world = World::new(room);
        // Little of the only pack is still needed, and the damage is in the rest.
        fs::remove_file(world.source.join("dir/large")).unwrap();
        world.back_up();
        for pack in damage::objects(&world.room.repository(), "data") {
            damage::damage(&pack, Action::Flip);
        }
        world.vault("prune", ["forget", "--keep-last", "1", "--group-by", ""]).run().ok();
        let pruned = world.vault("prune", ["prune", "--max-unused", "0", "--grace", "0s"]).run();
        if has_parity {
            pruned.ok();
            world.restores("out");
            world.room.vault(["heal"]).run().ok();
            world.room.verify();
        } else {
            pruned.says("data/");
            world.room.vault(["verify", "--read-data"]).run().code(6);
        }
    }
}

#[test]
fn a_rotation_shuts_keys_of_roles_out() {
    let world = World::new(CleanRoom::with_repository());
    world.back_up();
    world.room.vault(["key", "rotate"]).run().ok();
    for role in ["backup", "prune"] {
        world.vault(role, ["key", "list"]).run().code(REFUSED);
    }
    world.room.vault(["key", "add", "--role", "backup", "--new-key-file"]).arg(world.room.path("again")).run().ok();
    world.vault("again", [OsStr::new("backup"), world.source.as_os_str()]).run().ok();
    world.room.verify();
    world.restores("out");
}

/// What a backup key wrote, read by the program that was written from the text alone.
#[test]
fn the_second_reader_restores_what_a_backup_key_wrote() {
    let world = World::new(CleanRoom::with_repository());
    tree::write(&world.source, &[tree::noise("dir/own", 300_000, 9)]);
    world.back_up();
    let rescue = |role: Option<&str>, words: &[&OsStr]| {
        let key = role.map_or_else(|| world.room.key_file(), |role| world.room.path(role));
        let repo = world.room.repository();
        let options = [OsStr::new("--repo"), repo.as_os_str(), OsStr::new("--key-file"), key.as_os_str()];
        world.room.rescue(options.into_iter().chain(words.iter().copied())).run()
    };
    let target = world.room.path("rescued");
    rescue(None, &["extract".as_ref(), "latest".as_ref(), target.as_os_str()]).ok();
    assert_same(&world.source, &target.join(inside(&world.source)));
    rescue(None, &["check".as_ref()]).ok();
    let refused = world.room.path("refused");
    for role in ["backup", "prune"] {
        assert_ne!(rescue(Some(role), &["extract".as_ref(), "latest".as_ref(), refused.as_os_str()]).code, Some(0));
        assert!(files_below(&refused).is_empty());
    }
}

/// The repository beside the vectors that a third account of the format made: blocks under keys of both kinds, moved into one pack.
#[test]
fn a_repository_that_roles_wrote_together_restores() {
    let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("../format-spec/vectors/repository-roles");
    let mut room = CleanRoom::new();
    copy(&given.join("repo"), &room.path("repo"));
    room.set("VAULT_REPOSITORY", room.path("repo"));
    let with = |role: &str, words: &[&str]| room.vault(words).arg("--key-file").arg(given.join(format!("{role}.txt")));
    with("owner", &["verify", "--read-data"]).run().ok();
    let (ours, theirs) = (room.path("ours"), room.path("theirs"));
    with("owner", &["restore", "latest", "--target", ours.to_str().unwrap()]).run().ok();
    let (repo, key) = (room.path("repo"), given.join("owner.txt"));
    let words = ["--repo".as_ref(), repo.as_os_str(), "--key-file".as_ref(), key.as_os_str(), "extract".as_ref(), "latest".as_ref(), theirs.as_os_str()];
    room.rescue(words).run().ok();
    // The targets themselves are whoever made them.
    fs::set_permissions(&ours, fs::metadata(&theirs).unwrap().permissions()).unwrap();
    for place in [&ours, &theirs] {
        tree::set_mtime(place, 1, 0).unwrap();
    }
    assert_same(&theirs, &ours);
    with("prune", &["verify"]).run().ok();
    with("prune", &["restore", "latest", "--target", "no"]).run().code(REFUSED);
    with("backup", &["ls", "latest"]).run().code(REFUSED);
    with("prune", &["prune", "--max-unused", "0", "--grace", "0s"]).run().ok();
    with("owner", &["verify", "--read-data"]).run().ok();
}

/// Whose rights a secret gives must be certain.
#[test]
fn one_secret_opens_one_slot() {
    let world = World::new(CleanRoom::with_repository());
    for known in [world.room.key_file(), world.room.path("backup")] {
        world.room.vault(["key", "add", "--role", "prune", "--new-key-file"]).arg(&known).run().code(2).says("already");
    }
}
