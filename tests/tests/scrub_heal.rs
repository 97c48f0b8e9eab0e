//! Rot, in every region of every object: found without a key, mended or told, and never restored wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vault_engine::format::id::TreeId;
use vault_engine::format::keys::Key;
use vault_engine::format::layout::{ObjectKind, ObjectName};
use vault_engine::format::node::{Content, Extent};
use vault_engine::format::parity::ParityScheme;
use vault_engine::format::slot::Secret;
use vault_engine::format::tree::TreeNode;
use vault_engine::ops::backup::{BackupOptions, backup};
use vault_engine::ops::heal::{HealOptions, heal};
use vault_engine::ops::monitor::{Cancel, Quiet};
use vault_engine::ops::scrub::scrub;
use vault_engine::sources::files::{FileSource, Options};
use vault_engine::store::error::{RepositoryError, Result};
use vault_engine::store::host::SystemHost;
use vault_engine::store::memory::MemoryStore;
use vault_engine::store::repository::{InitOptions, Repository};
use vault_tests::clean_room::{CleanRoom, files_below, selector};
use vault_tests::compare::assert_same;
use vault_tests::damage::objects;
use vault_tests::tree;

/// A repository with a snapshot, and a room without any secret.
fn rooms() -> (CleanRoom, CleanRoom, PathBuf) {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::types(), vec![tree::noise("big", 3_000_000, 1), tree::file("words", tree::Random(1).words(500_000))]].concat());
    room.backup(&source);
    (room, CleanRoom::new(), source)
}

fn state(repository: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files_below(repository).into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn copy(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

fn restored(room: &CleanRoom, source: &Path) {
    let target = room.path("target");
    let _ = fs::remove_dir_all(&target);
    let _ = fs::remove_dir_all(room.cache());
    let words = ["restore".as_ref(), selector("latest", source).as_os_str(), "--target".as_ref(), target.as_os_str()].map(std::ffi::OsStr::to_owned);
    room.vault(words).run().ok();
    assert_same(source, &target);
}

#[test]
fn rot_is_read_through_told_and_healed_without_any_key() {
    let (room, stranger, source) = rooms();
    let repository = room.repository();
    let whole = state(&repository);
    let place = repository.to_str().unwrap();
    stranger.vault(["scrub", place]).run().ok();
    let pack = objects(&repository, "data").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let length = whole[&pack].len();
    let field = |at: usize| u64::from_le_bytes(whole[&pack][at..at + 8].try_into().unwrap()) as usize;
    let (table, parity, tables) = (field(32), field(48), field(64));
    assert!(tables > parity, "a directory's packs have parity");
    let shard = (tables - parity) / 4;
    // Header, a block, the table, the parity, the shard table, the footer; a burst of as many shards as there are of parity; a tail cut off.
    let regions = [(0, 128), (5000, 1), (table, 40), (parity, tables - parity), (tables, 300), (length - 128, 128), (7, 3 * shard), (shard * 5, 4 * shard)];
    for (start, count) in regions {
        let mut rotten = whole[&pack].clone();
        rotten[start..start + count].iter_mut().for_each(|byte| *byte = !*byte);
        fs::write(&pack, &rotten).unwrap();
        let found = stranger.vault(["--json", "scrub", place]).run().code(6);
        assert_eq!((found.summary()["num_errors"].as_u64(), found.summary()["mendable"].as_u64()), (Some(1), Some(1)), "{start}");
        restored(&room, &source);
        let told = room.vault(["verify", "--read-data"]).run().code(6);
        assert!(told.text().contains("vault heal"), "{start}: {told}");
        stranger.vault(["heal", place, "--dry-run"]).run().ok();
        assert!(fs::read(&pack).unwrap() == rotten, "a dry run changes nothing");
        let healed = stranger.vault(["heal", place, "--json"]).run().ok();
        assert_eq!(healed.summary()["objects_healed"].as_u64(), Some(1));
        assert!(state(&repository) == whole, "{start}: the repository is what it was, and nothing lies beside");
    }
    fs::write(&pack, &whole[&pack][..parity + 10]).unwrap();
    stranger.vault(["heal", place]).run().ok();
    assert!(state(&repository) == whole);
    room.verify();
}

#[test]
fn what_is_beyond_parity_comes_from_a_mirror_or_is_told() {
    let (room, stranger, source) = rooms();
    let (repository, mirror) = (room.repository(), room.path("mirror"));
    copy(&repository, &mirror);
    let whole = state(&repository);
    let place = repository.to_str().unwrap();
    for kind in ["data", "meta", "config", "snapshots", "confirmed", "index", "keys"] {
        for object in objects(&repository, kind) {
            let bytes = fs::read(&object).unwrap();
            fs::write(&object, &bytes[..bytes.len() / 3]).unwrap();
        }
    }
    let found = stranger.vault(["--json", "heal", place]).run().code(6);
    assert!(found.summary()["num_errors"].as_u64() > Some(4) && found.summary()["objects_healed"].as_u64() > Some(0), "slots have their second place");
    stranger.vault(["heal", place, "--from", mirror.to_str().unwrap()]).run().ok();
    assert!(state(&repository) == whole);
    // What is missing is brought on request only.
    let pack = objects(&repository, "data").remove(0);
    fs::remove_file(&pack).unwrap();
    stranger.vault(["heal", place, "--from", mirror.to_str().unwrap()]).run().ok();
    assert!(!pack.exists());
    room.vault(["verify"]).run().code(6);
    stranger.vault(["heal", place, "--from", mirror.to_str().unwrap(), "--missing"]).run().ok();
    assert!(!pack.exists(), "never under its own name: it may have been pruned");
    room.verify();
    restored(&room, &source);
    stranger.vault(["scrub", place]).run().ok();
    let rescued = room.rescue(["--repo".as_ref(), repository.as_os_str(), "--key-file".as_ref(), room.key_file().as_os_str(), "check".as_ref()]).run();
    assert_eq!(rescued.code, Some(0), "{rescued}");
    // A backup does not rely on it, and a prune takes it away when it is not needed.
    room.vault(["backup".as_ref(), "--force".as_ref(), source.as_os_str()]).run().ok();
    restored(&room, &source);
}

#[test]
fn parity_can_be_done_without() {
    let mut room = CleanRoom::new();
    room.set("VAULT_REPOSITORY", room.path("repo"));
    room.vault(["init", "--parity", "none"]).run().ok();
    let source = room.path("source");
    tree::write(&source, &[tree::noise("noise", 100_000, 1)]);
    room.backup(&source);
    let pack = objects(&room.repository(), "data").remove(0);
    let mut bytes = fs::read(&pack).unwrap();
    assert!(bytes[11] == 0 && bytes.len() < 115_000);
    bytes[5000] ^= 1;
    fs::write(&pack, bytes).unwrap();
    assert_eq!(room.vault(["--json", "scrub"]).run().code(6).summary()["mendable"].as_u64(), Some(0));
    room.vault(["heal"]).run().code(6);
}

/// Several groups, of which the last shard is short: what no vector is large enough for.
#[test]
fn the_second_reader_finds_the_parity_of_a_large_pack_right() {
    let mut bytes = vec![0; 9_400_001];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let covered = bytes.len() as u64;
    bytes[..12].copy_from_slice(b"VAULTPK1\x01\x01\x01\x01");
    bytes[48..56].copy_from_slice(&covered.to_le_bytes());
    vault_engine::format::parity::append(&mut bytes);
    bytes.extend_from_slice(&[0; 128]);
    let shards = vault_rescue::parity::check(&bytes).unwrap();
    assert_eq!((shards.length, shards.data, shards.groups), (65_536, 144, 2));
    bytes[4_000_000] ^= 1;
    assert!(vault_rescue::parity::check(&bytes).is_err());
}

/// What the one file of the snapshot holds, read with a fresh mind.
fn contents(store: &Arc<MemoryStore>) -> Result<Vec<u8>> {
    let repository = Repository::open(store.clone(), Arc::new(SystemHost::default()), &[Secret::KeyFile(Key([9; 32]))], None)?;
    let list = repository.snapshots()?.snapshots;
    let missing = || RepositoryError::NoSnapshot("latest".into());
    let mut root: TreeId = list.first().ok_or_else(missing)?.snapshot.root;
    loop {
        let TreeNode::Directory(entries) = repository.tree(root)? else { panic!("a directory") };
        match &entries[0].content {
            Content::Directory(below) => root = *below,
            Content::Extents(extents) => {
                let mut bytes = Vec::new();
                for extent in extents {
                    let Extent::Chunk { id, length } = extent else { panic!("no holes") };
                    bytes.extend(repository.chunk(*id, *length)?);
                }
                return Ok(bytes);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The damage matrix: every byte of every object of a small repository, one at a time.
#[test]
fn every_flipped_byte_is_told_or_healed_and_none_is_restored_wrong() {
    let store = Arc::new(MemoryStore::default());
    store.replaces.store(true, std::sync::atomic::Ordering::Relaxed);
    let options = InitOptions { parity: Some(ParityScheme::ReedSolomon), ..InitOptions::default() };
    let secrets = [(Secret::KeyFile(Key([9; 32])), "test")];
    let repository = Repository::init(store.clone(), Arc::new(SystemHost::default()), &secrets, &options, None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "what must come back ".repeat(60)).unwrap();
    let source = FileSource::new(Options { paths: vec![folder.path().to_owned()], ..Options::default() }).unwrap();
    assert!(backup(&repository, &source, &BackupOptions::default(), &Quiet, &Cancel::default()).unwrap().unconfirmed.is_none());
    drop(repository);
    let right = contents(&store).unwrap();
    let whole: Vec<(ObjectName, Vec<u8>)> = store.objects().iter().map(|(name, bytes)| (*name, bytes.clone())).collect();
    let (mut flipped, mut healed, mut refused) = (0u64, 0u64, 0u64);
    for (name, bytes) in &whole {
        for at in 0..bytes.len() {
            let mut rotten = bytes.clone();
            rotten[at] ^= 1 << (at % 8);
            store.objects().insert(*name, rotten);
            flipped += 1;
            let what = format!("{name}, byte {at}");
            let found = scrub(&*store, &Quiet, &Cancel::default()).unwrap().findings;
            assert!(found.len() == 1 && found[0].name == *name, "{what}: {found:?}");
            match contents(&store) {
                Ok(read) => assert!(read == right, "{what}: restored wrong"),
                // A snapshot is one object and has no parity of its own: it is refused, and a mirror has it.
                Err(_) => refused += 1,
            }
            let is_pack = matches!(name.kind, ObjectKind::DataPack | ObjectKind::MetaPack);
            let mends_itself = is_pack || matches!(name.kind, ObjectKind::Key | ObjectKind::KeyCopy);
            assert_eq!(found[0].remedy.is_some(), mends_itself, "{what}");
            let outcome = heal(&*store, &HealOptions::default(), &Quiet, &Cancel::default()).unwrap();
            assert_eq!((outcome.healed.len(), outcome.beyond.len()), if mends_itself { (1, 0) } else { (0, 1) }, "{what}");
            healed += u64::from(mends_itself);
            let now = store.objects().insert(*name, bytes.clone()).unwrap();
            assert!(!mends_itself || now == *bytes, "{what}: healed to something else");
        }
    }
    println!("bytes flipped: {flipped}, healed: {healed}, refused: {refused}");
    assert!(flipped > 10_000 && healed > 9_000 && refused < 1_500, "{flipped} flipped, {healed} healed, {refused} refused");
}
