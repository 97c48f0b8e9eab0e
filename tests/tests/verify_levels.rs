//! The levels of `vault verify` through the command: what each sees, the ledger behind budgets, a restore to nowhere, and the source held against a snapshot.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use vault_tests::call::{Done, number, text};
use vault_tests::clean_room::{CleanRoom, selector};
use vault_tests::damage::{Action, damage, objects};
use vault_tests::tree;

/// Two snapshots of a folder; the second has a file more.
fn backed_up() -> (CleanRoom, PathBuf) {
    // Without parity: what rots is lost.
    let room = CleanRoom::without_parity();
    let source = room.path("source");
    tree::write(
        &source,
        &[tree::types(), tree::odd_names(), tree::sparse(), vec![tree::dir("deep"), tree::dir("deep/er"), tree::noise("deep/er/big", 3_000_000, 1)]].concat(),
    );
    room.backup(&source);
    fs::write(source.join("late"), tree::Random(2).words(400_000)).unwrap();
    // A time this close to the beginning of a run would explain a change.
    std::thread::sleep(std::time::Duration::from_millis(100));
    room.backup(&source);
    (room, source)
}

fn verify(room: &CleanRoom, words: &[&str]) -> Done {
    room.vault([&["verify", "--json"], words].concat()).run()
}

#[test]
fn each_level_sees_a_rotten_pack_and_says_which_files_it_costs() {
    let (room, source) = backed_up();
    let levels: [&[&str]; 7] =
        [&[], &["--tables"], &["--sample", "100%"], &["--sample", "0.1%@99.9%"], &["--budget", "1T"], &["--read-data"], &["--restore", "latest", "latest~1"]];
    let words = ["structure", "tables", "sample", "sample", "budget", "read-data", "restore"];
    for (level, word) in levels.into_iter().zip(words) {
        let done = verify(&room, level).ok();
        assert_eq!(text(&done.summary(), "level"), word);
        assert!(done.events_of("damage").is_empty() && done.events_of("affected").is_empty());
    }
    // The pack of the first session, which both snapshots need.
    let first = objects(&room.repository(), "data").into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    // Wherever its blocks lie, one of these hits the large file, which is most of it.
    let mut bytes = fs::read(&first).unwrap();
    for quarter in 1..4 {
        let at = bytes.len() * quarter / 4;
        bytes[at] ^= 1;
    }
    fs::write(&first, bytes).unwrap();
    for (at, level) in levels.into_iter().enumerate() {
        let done = verify(&room, level).code(if at < 2 { 0 } else { 6 });
        let (affected, paths) = (done.events_of("affected"), done.events_of("affected_path"));
        if at < 2 {
            assert!(affected.is_empty() && paths.is_empty());
            continue;
        }
        assert_eq!(affected.len(), 1, "one host, one source: {done}");
        let snapshots = affected[0]["affected_snapshots"].as_array().unwrap();
        assert_eq!((snapshots.len(), number(&affected[0], "snapshots_count"), &affected[0]["newest_is_whole"]), (2, 2, &serde_json::json!(false)));
        let sum: u64 = snapshots.iter().map(|snapshot| number(snapshot, "affected_files")).sum();
        assert_eq!((paths.len() as u64, number(&done.summary(), "affected_files")), (sum, sum));
        assert!(paths.iter().all(|path| path["path"].as_str().unwrap().starts_with(source.to_str().unwrap())), "{done}");
        assert!(paths.iter().any(|path| path["path"].as_str().unwrap().ends_with("/deep/er/big")), "{done}");
    }
    let told = room.vault(["verify", "--read-data"]).run().code(6);
    assert!(told.text().contains("Cannot be restored whole: ") && told.text().contains(": 2 of 2 snapshots; the newest is not whole."), "{told}");
    assert!(told.text().contains("/deep/er/big\n") && told.text().contains("vault backup --force") && told.text().contains("vault repair"), "{told}");
    assert!(!told.text().contains("data/"), "objects are for those who ask: {told}");
    let told = room.vault(["verify", "--read-data", "-v"]).run().code(6);
    assert!(told.text().contains("data/"), "{told}");
    // What the advice says is true: what lay in a pack that was found damaged is stored again, and likewise in one that is gone.
    room.vault([OsStr::new("backup"), OsStr::new("--force"), source.as_os_str()]).run().ok();
    verify(&room, &["--restore", "latest", "latest~1", "latest~2"]).ok();
    damage(&first, Action::Delete);
    room.vault([OsStr::new("backup"), OsStr::new("--force"), source.as_os_str()]).run().ok();
    verify(&room, &["--restore", "latest", "latest~1", "latest~2", "latest~3"]).ok();
}

#[test]
fn the_ledger_knows_what_was_read_back() {
    let (room, _) = backed_up();
    let stats = || room.vault(["stats", "--json"]).run().ok().events_of("stats")[0].clone();
    let all = number(&stats(), "packed_bytes");
    assert_eq!((number(&stats(), "unproved_bytes"), number(&stats(), "never_proved_bytes"), number(&stats(), "within_seconds")), (all, all, 30 * 86_400));
    let one = verify(&room, &["--budget", "1K"]).ok().summary();
    assert_eq!((number(&one, "packs_read"), number(&one, "packed_bytes")), (1, all));
    assert_eq!(number(&stats(), "never_proved_bytes"), all - number(&one, "bytes_read"));
    verify(&room, &["--within", "30d"]).ok();
    verify(&room, &["--read-data"]).ok();
    let proved = stats();
    assert_eq!((number(&proved, "unproved_bytes"), number(&proved, "never_proved_bytes")), (0, 0));
    assert!(proved["oldest_proof"].is_string() && number(&proved, "oldest_unproved_seconds") < 600);
    assert!(room.vault(["stats"]).run().ok().text().contains("Oldest byte: last read back"));
    // Everything is new: nothing is due, and that is said.
    assert!(room.vault(["verify", "--within", "30d"]).run().ok().text().contains("No pack is due"));
    fs::remove_dir_all(room.cache()).unwrap();
    assert_eq!(number(&stats(), "never_proved_bytes"), all, "it is a cache, and says so when it is lost");
    for wrong in [&["--budget", "20m"][..], &["--sample", "5"], &["--sample", "5%", "--read-data"], &["--restore", "--tables"], &["--within", "30d", "latest"]]
    {
        verify(&room, wrong).code(2);
    }
}

fn against(room: &CleanRoom, snapshot: &OsStr, path: &Path, code: i32) -> Done {
    room.vault([OsStr::new("verify"), OsStr::new("--json"), snapshot, OsStr::new("--against"), path.as_os_str()]).run().code(code)
}

/// Each difference in short.
fn differences(done: &Done) -> Vec<String> {
    let short = |event: &serde_json::Value| {
        let aspects: Vec<&str> = event["aspects"].as_array().unwrap().iter().map(|aspect| aspect.as_str().unwrap()).collect();
        let name = event["path"].as_str().unwrap().rsplit('/').next().unwrap();
        format!("{} {name} {}{}", event["action"].as_str().unwrap(), aspects.join(","), if event["explained"] == true { "" } else { "!" })
    };
    done.events_of("difference").iter().map(short).collect()
}

#[test]
fn a_source_is_held_against_its_snapshot() {
    let (room, source) = backed_up();
    let latest = OsStr::new("latest");
    let done = against(&room, latest, &source, 0);
    assert!(differences(&done).is_empty(), "{done}");
    assert!(number(&done.summary(), "total_bytes") > 3_000_000);
    // A restored copy is as good a source; only the contents of a folder are there, wherever they lie.
    let copy = room.restore("latest", &source, "copy");
    assert_eq!(differences(&against(&room, &selector("latest", &source), &copy, 0)), Vec::<String>::new());
    // One file by itself, and a folder above.
    against(&room, latest, &source.join("deep/er/big"), 0);
    assert_eq!(number(&against(&room, latest, &source.join("deep"), 0).summary(), "total_files"), 3);
    // No pack of contents is needed for any of this.
    let packs = objects(&room.repository(), "data");
    let kept = room.path("kept");
    fs::create_dir(&kept).unwrap();
    packs.iter().for_each(|pack| fs::rename(pack, kept.join(pack.file_name().unwrap())).unwrap());
    against(&room, latest, &source, 0);

    // What changes after the backup is told, and explained by its times.
    std::thread::sleep(std::time::Duration::from_millis(50));
    fs::write(source.join("late"), b"other").unwrap();
    fs::write(source.join("new"), b"new").unwrap();
    fs::remove_file(source.join("deep/er/big")).unwrap();
    fs::set_permissions(source.join("deep"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let told = differences(&against(&room, latest, &source, 0));
    for expected in ["changed late contents,mtime", "extra new ", "missing big ", "changed er mtime", "changed deep mode"] {
        assert!(told.iter().any(|told| told == expected), "{expected}: {told:?}");
    }
    assert!(told.iter().all(|told| !told.ends_with('!')), "{told:?}");
    let quiet = room.vault([OsStr::new("verify"), latest, OsStr::new("--against"), source.as_os_str()]).run().ok();
    assert!(!quiet.text().contains("changed  ") && quiet.text().contains("0 of them without an explanation"), "{quiet}");
}

#[test]
fn what_no_time_explains_is_told_by_the_exit_code() {
    let (room, source) = backed_up();
    let latest = OsStr::new("latest");
    // A byte that flips on the disk leaves no trace in the times: here they are set back by hand.
    let late = source.join("late");
    let (kept, mut bytes) = (late.metadata().unwrap().modified().unwrap(), fs::read(&late).unwrap());
    bytes[200_000] ^= 1;
    fs::write(&late, &bytes).unwrap();
    fs::File::options().write(true).open(&late).unwrap().set_times(fs::FileTimes::new().set_modified(kept)).unwrap();
    let done = against(&room, latest, &source, 3);
    assert_eq!(differences(&done), ["changed late contents!"]);
    assert_eq!(number(&done.summary(), "unexplained"), 1);
    let told = room.vault([OsStr::new("verify"), latest, OsStr::new("--against"), source.as_os_str()]).run().code(3);
    assert!(told.text().contains("/late (contents): no time says so"), "{told}");

    // A file that goes without its folder noticing.
    bytes[200_000] ^= 1;
    fs::write(&late, &bytes).unwrap();
    fs::File::options().write(true).open(&late).unwrap().set_times(fs::FileTimes::new().set_modified(kept)).unwrap();
    against(&room, latest, &source, 0);
    let folder = source.join("deep/er");
    let kept = folder.metadata().unwrap().modified().unwrap();
    fs::remove_file(folder.join("big")).unwrap();
    fs::File::open(&folder).unwrap().set_times(fs::FileTimes::new().set_modified(kept)).unwrap();
    assert_eq!(differences(&against(&room, latest, &source, 3)), ["missing big !"]);

    against(&room, OsStr::new("nonesuch"), &source, 1);
    against(&room, latest, &room.path("nowhere"), 1);
    // Trees are what is needed; without them the repository is damaged, whatever the source is like.
    for pack in objects(&room.repository(), "meta") {
        damage(&pack, Action::Flip);
    }
    fs::remove_dir_all(room.cache()).unwrap();
    against(&room, latest, &source, 6);
}

#[test]
fn what_a_backup_left_out_is_no_difference_by_the_same_flags() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(
        &source,
        &[
            vec![tree::file("kept", "k"), tree::file("a.o", "o"), tree::file("B.TMP", "t"), tree::noise("large", 300_000, 1), tree::dir("deep")],
            vec![tree::dir("cache"), tree::file("cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55"), tree::file("cache/x", "x")],
            vec![tree::dir("marked"), tree::file("marked/.nobackup", ""), tree::file("marked/y", "y"), tree::file("deep/b.o", "o"), tree::file("deep/c", "c")],
        ]
        .concat(),
    );
    let patterns = room.path("patterns");
    fs::write(&patterns, "/**/deep/c\n").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let flags =
        ["-e", "*.o", "--iexclude", "*.tmp", "--exclude-larger-than", "200K", "--exclude-caches", "--exclude-if-present", ".nobackup", "--exclude-file"];
    let flags: Vec<&OsStr> = flags.iter().map(OsStr::new).chain([patterns.as_os_str()]).collect();
    room.vault([&[OsStr::new("backup"), source.as_os_str()], &flags[..]].concat()).run().ok();
    let compare = |flags: &[&OsStr], path: &Path| {
        room.vault([&[OsStr::new("verify"), OsStr::new("--json"), OsStr::new("--against"), path.as_os_str()], flags].concat()).run()
    };

    let without = compare(&[], &source).ok();
    let expected = ["a.o", "B.TMP", "large", "b.o", "c", "x", "y"];
    assert_eq!((differences(&without).len(), number(&without.summary(), "left_out")), (expected.len(), 0), "{without}");
    for name in expected {
        assert!(differences(&without).iter().any(|told| told.starts_with(&format!("extra {name} "))), "{name}: {without}");
    }
    let with = compare(&flags, &source).ok();
    assert_eq!(differences(&with), Vec::<String>::new());
    let summary = with.summary();
    assert_eq!((number(&summary, "left_out"), number(&summary, "total_files")), (7, 7), "{summary}");

    // What the configuration file leaves out of every backup is left out here, too.
    let config = room.path("config.toml");
    fs::write(&config, "[backup]\nexclude = [\"*.o\", \"c\"]\niexclude = [\"*.tmp\"]\nexclude-caches = true\n").unwrap();
    let words = [OsStr::new("verify"), OsStr::new("--json"), OsStr::new("--against"), source.as_os_str()];
    assert_eq!(differences(&room.vault(words).env("VAULT_CONFIG", &config).run().ok()).len(), 2);

    // The rest is compared as ever.
    let deep = source.join("deep");
    fs::write(source.join("a.o"), "other").unwrap();
    let kept = source.join("kept");
    let before = kept.metadata().unwrap().modified().unwrap();
    fs::write(&kept, "K").unwrap();
    fs::File::options().write(true).open(&kept).unwrap().set_times(fs::FileTimes::new().set_modified(before)).unwrap();
    assert_eq!(differences(&compare(&flags, &source).code(3)), ["changed kept contents!"]);
    assert_eq!(number(&compare(&flags, &deep).ok().summary(), "total_files"), 1);

    // That nothing differs says nothing where nothing was compared.
    compare(&[OsStr::new("--exclude"), source.as_os_str()], &source).code(2).says("nothing was compared");
    compare(&[OsStr::new("--exclude"), OsStr::new("[")], &source).code(2);
    room.vault(["verify", "--exclude", "x"]).run().code(2).says("--against PATH");
}
