//! Repositories that were released once and must stay readable for ever: `tests/golden`. Both readers open them and tell the same story.

mod source;
mod story;

use crate::vectors::whole::listing;
use source::Tree;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vault_engine::format::keys::{Key, Role};
use vault_engine::format::layout::{ObjectKind, ObjectName};
use vault_engine::format::node::{Content, Time};
use vault_engine::format::parity::ParityScheme;
use vault_engine::format::secret;
use vault_engine::format::slot::Secret;
use vault_engine::format::tree::TreeNode;
use vault_engine::ops::backup::{BackupOptions, ParentChoice, backup};
use vault_engine::ops::edit::{self, TagChange};
use vault_engine::ops::heal::{HealOptions, heal};
use vault_engine::ops::monitor::{Cancel, Quiet};
use vault_engine::ops::scrub::{Remedy, scrub};
use vault_engine::store::host::{Host, SystemHost};
use vault_engine::store::repository::{InitOptions, Repository};
use vault_engine::store::service::DirectoryStore;
use vault_engine::store::{Store, StoreErrorKind};
use vault_rescue::keys::kh;

const PASSWORD: &str = "pässword of the golden repository";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() { copy(&entry.path(), &target) } else { assert!(fs::copy(entry.path(), target).is_ok()) }
    }
}

/// Removes what is empty: such folders do not live in git.
fn prune(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            prune(&path);
            let _ = fs::remove_dir(path);
        }
    }
}

/// A clock that moves a second at each look, and dice that always fall the same way.
struct Fixed {
    looks: AtomicU64,
    throws: AtomicU64,
    dice: &'static [u8; 32],
}

impl Host for Fixed {
    fn now(&self) -> Time {
        Time { seconds: 1_800_000_000 + self.looks.fetch_add(1, Ordering::Relaxed) as i64, nanoseconds: 987_654_321 }
    }

    fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn fill_random(&self, out: &mut [u8]) {
        for part in out.chunks_mut(32) {
            let throw = self.throws.fetch_add(1, Ordering::Relaxed);
            part.copy_from_slice(&kh(self.dice, &[&throw.to_le_bytes()])[..part.len()]);
        }
    }
}

#[test]
#[ignore = "by hand: makes tests/golden/v1, which must not be there yet"]
fn make_the_golden_repository() {
    make("v1", ParityScheme::None, false, b"dice of the golden repository ..");
}

#[test]
#[ignore = "by hand: makes tests/golden/v1-parity, which must not be there yet"]
fn make_the_golden_repository_with_parity() {
    make("v1-parity", ParityScheme::ReedSolomon, false, b"dice of the golden repository 2.");
}

#[test]
#[ignore = "by hand: makes tests/golden/v1-roles, which must not be there yet"]
fn make_the_golden_repository_with_roles() {
    make("v1-roles", ParityScheme::ReedSolomon, true, b"dice of the golden repository 3.");
}

/// Makes a golden repository where there is none: by hand, once for each version of the format or what was added to it, then never again.
fn make(folder: &str, parity: ParityScheme, has_roles: bool, dice: &'static [u8; 32]) {
    let target = golden().join(folder);
    assert!(!target.exists(), "{} is kept for ever", target.display());
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("repo");
    fs::create_dir(&root).unwrap();
    let store = || Arc::new(DirectoryStore::new(&root).unwrap());
    let host = Arc::new(Fixed { looks: AtomicU64::new(0), throws: AtomicU64::new(0), dice });
    let (key, recovery) = (Key([0x47; 32]), Key([0x52; 32]));
    let secrets = [
        (Secret::Password(PASSWORD.as_bytes().to_vec().into()), "password"),
        (Secret::KeyFile(key.clone()), "key file"),
        (Secret::Recovery(recovery.clone()), "recovery"),
    ];
    let options = |tag: &str| BackupOptions {
        host: "lupine".into(),
        writer: "lupine".into(),
        user: "me".into(),
        tags: vec![tag.into()],
        read_concurrency: 1,
        ..BackupOptions::default()
    };
    let run = |repository: &Repository, tree: &Tree, options: &BackupOptions| {
        let outcome = backup(repository, tree, options, &Quiet, &Cancel::default()).unwrap();
        assert!(outcome.unconfirmed.is_none(), "{outcome:?}");
        outcome.snapshot.unwrap()
    };

    let init = InitOptions { host: "lupine".into(), parity: Some(parity), ..InitOptions::default() };
    let repository = Repository::init(store(), host.clone(), &secrets, &init, None).unwrap();
    let first = run(&repository, &Tree::first(), &options("first"));
    let bytes = |kind| {
        let objects = store().list(kind).unwrap().into_iter().map(|(id, _)| ObjectName::new(kind, id));
        objects.map(|name| (name, store().get(&name).unwrap())).collect::<Vec<_>>()
    };
    let before = [bytes(ObjectKind::Snapshot), bytes(ObjectKind::Confirmation)].concat();
    repository.rotate_keys(&secrets, "lupine").unwrap();

    let repository = Repository::open(store(), host.clone(), &[secrets[1].0.clone()], None).unwrap();
    assert_eq!(repository.keys.epoch(), 1);
    let role_keys = [(Role::Backup, Key([0x42; 32])), (Role::Prune, Key([0x50; 32]))];
    if has_roles {
        for (role, key) in &role_keys {
            repository.add_key(&Secret::KeyFile(key.clone()), *role, &role.to_string(), "lupine").unwrap();
        }
        // Trees and contents under keys that are wrapped to the public keys.
        let backup = Repository::open(store(), host.clone(), &[Secret::KeyFile(role_keys[0].1.clone())], None).unwrap();
        let of_role = BackupOptions { source: Some("role".into()), parent: ParentChoice::None, ..options("role") };
        run(&backup, &Tree::first(), &of_role);
    }
    let second = run(&repository, &Tree::second(), &options("second"));
    let old = repository.snapshots().unwrap().snapshots.into_iter().find(|stored| stored.id == first).unwrap();
    edit::tag(&repository, "lupine", &old, &TagChange { add: vec!["kept".into()], ..TagChange::default() }).unwrap().unwrap();
    // The store brings the replaced snapshot back, confirmation and all: it stays forgotten.
    before.into_iter().for_each(|(name, bytes)| store().put(&name, bytes).unwrap());
    // And loses a confirmation.
    let other = BackupOptions { source: Some("other".into()), parent: ParentChoice::None, ..options("third") };
    let third = run(&repository, &Tree::first(), &other);
    let name = repository.keys.confirmation_names(third, 1).next().unwrap();
    store().delete(&ObjectName::new(ObjectKind::Confirmation, name)).unwrap();

    let story = story::by_engine(&repository);
    assert_eq!(story, story::by_rescue(&root, &vault_rescue::slot::Secret::KeyFile(key.0)));
    for (path, hash) in Tree::second().hashes() {
        let end = format!(" {path}\t{hash}\t");
        assert!(story.lines().any(|entry| entry.contains(&end)), "{path} came back otherwise");
    }
    assert!(story.contains(&format!("latest {}\n", second.to_hex())));
    // Every kind of node is there.
    let list = repository.snapshots().unwrap().snapshots;
    let (mut split, mut lists) = (false, false);
    listing(&repository, list.last().unwrap().snapshot.root, &mut |_, node| {
        match node.content {
            Content::Directory(id) => split |= matches!(repository.tree(id)?, TreeNode::Split(_)),
            Content::List(id) => lists |= matches!(repository.tree(id)?, TreeNode::Lists(_)),
            _ => {}
        }
        Ok(())
    })
    .unwrap();
    assert!(split && lists, "a split directory {split}, a list of lists {lists}");
    // Room set aside for a full disk is no object.
    let _ = fs::remove_file(root.join("reserve"));
    prune(&root);
    copy(&root, &target.join("repo"));
    fs::write(target.join("password.txt"), format!("{PASSWORD}\n")).unwrap();
    fs::write(target.join("key.txt"), secret::write_key_file(&key)).unwrap();
    fs::write(target.join("recovery.txt"), secret::write_recovery_key(&recovery) + "\n").unwrap();
    if has_roles {
        for (role, key) in &role_keys {
            fs::write(target.join(format!("{role}.txt")), secret::write_key_file(key)).unwrap();
        }
    }
    fs::write(target.join("story.txt"), story).unwrap();
}

/// Every golden repository that tells its story here, with it.
fn all() -> Vec<(PathBuf, String)> {
    let folders = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.join("story.txt").is_file());
    let mut all: Vec<_> = folders.map(|path| (path.clone(), fs::read_to_string(path.join("story.txt")).unwrap())).collect();
    all.sort();
    assert!(["v1", "v1-parity", "v1-roles"].iter().all(|name| all.iter().any(|(folder, _)| folder.ends_with(name))));
    all
}

#[test]
fn the_engine_reads_every_golden_repository_with_every_secret() {
    for (folder, story) in all() {
        let place = tempfile::tempdir().unwrap();
        copy(&folder.join("repo"), place.path());
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let secrets = [
            Secret::Password(text("password.txt").trim_end_matches('\n').as_bytes().to_vec().into()),
            Secret::KeyFile(secret::read_key_file(&text("key.txt")).unwrap()),
            Secret::Recovery(secret::read_recovery_key(&text("recovery.txt")).unwrap()),
        ];
        for secret in secrets {
            let open =
                || Repository::open(Arc::new(DirectoryStore::new(place.path()).unwrap()), Arc::new(SystemHost::default()), std::slice::from_ref(&secret), None);
            let repository = open().unwrap();
            let left_out = repository.take_left_out();
            assert!(left_out.is_empty(), "{left_out:?}");
            assert!(repository.key_slots().unwrap().iter().all(|slot| slot.label.is_some()));
            assert_eq!(story::by_engine(&repository), story, "{}", folder.display());
        }
        // The index is only a hint.
        let index = place.path().join("index");
        fs::remove_dir_all(&index).unwrap();
        let key = Secret::KeyFile(secret::read_key_file(&text("key.txt")).unwrap());
        let store = Arc::new(DirectoryStore::new(place.path()).unwrap());
        assert_eq!(store.list(ObjectKind::Index).map_err(|error| error.kind), Ok::<_, StoreErrorKind>(Vec::new()));
        let repository = Repository::open(store, Arc::new(SystemHost::default()), &[key], None).unwrap();
        assert_eq!(story::by_engine(&repository), story, "without an index");
    }
}

#[test]
fn keys_of_roles_open_what_their_role_opens() {
    let (folder, _) = all().into_iter().find(|(folder, _)| folder.ends_with("v1-roles")).unwrap();
    let open = |name: &str| {
        let key = secret::read_key_file(&fs::read_to_string(folder.join(name)).unwrap()).unwrap();
        let place = tempfile::tempdir().unwrap();
        copy(&folder.join("repo"), place.path());
        let store = Arc::new(DirectoryStore::new(place.path()).unwrap());
        (Repository::open(store, Arc::new(SystemHost::default()), &[Secret::KeyFile(key)], None).unwrap(), place)
    };
    let (backup, _place) = open("backup.txt");
    assert_eq!((backup.keys.role(), backup.snapshots().unwrap().snapshots.len()), (Role::Backup, 0));
    let (prune, _place) = open("prune.txt");
    let (owner, _place) = open("key.txt");
    let ids = |repository: &Repository| repository.snapshots().unwrap().snapshots.iter().map(|stored| stored.id).collect::<Vec<_>>();
    // What is of the first epoch too: a role's slot has all epochs.
    assert_eq!((prune.keys.role(), ids(&prune)), (Role::Prune, ids(&owner)));
    assert_eq!(backup.snapshots().unwrap().damaged.len(), ids(&owner).len());
}

#[test]
fn the_second_reader_reads_every_golden_repository() {
    use vault_rescue::slot::{KEY_FILE, RECOVERY, Secret, read_text};
    for (folder, story) in all() {
        let text = |name: &str| fs::read(folder.join(name)).unwrap();
        let secrets = [
            Secret::Password(text("password.txt").strip_suffix(b"\n").unwrap().to_vec()),
            Secret::KeyFile(read_text(&text("key.txt"), KEY_FILE).unwrap()),
            Secret::Recovery(read_text(&text("recovery.txt"), RECOVERY).unwrap()),
        ];
        for secret in secrets {
            assert_eq!(story::by_rescue(&folder.join("repo"), &secret), story, "{}", folder.display());
        }
    }
}

/// The bytes of each object.
fn state(store: &dyn Store) -> BTreeMap<ObjectName, Vec<u8>> {
    let names = ObjectKind::ALL.into_iter().flat_map(|kind| store.list(kind).unwrap().into_iter().map(move |(id, _)| ObjectName::new(kind, id)));
    names.map(|name| (name, store.get(&name).unwrap())).collect()
}

#[test]
fn what_rots_in_a_golden_repository_with_parity_is_found_read_through_and_healed() {
    let (folder, story) = all().into_iter().find(|(folder, _)| folder.ends_with("v1-parity")).unwrap();
    let place = tempfile::tempdir().unwrap();
    copy(&folder.join("repo"), place.path());
    let store: Arc<dyn Store> = Arc::new(DirectoryStore::new(place.path()).unwrap());
    let key = secret::read_key_file(&fs::read_to_string(folder.join("key.txt")).unwrap()).unwrap();
    let by_engine = || {
        let repository = Repository::open(Arc::clone(&store), Arc::new(SystemHost::default()), &[Secret::KeyFile(key.clone())], None).unwrap();
        assert_eq!(repository.config.parity, ParityScheme::ReedSolomon);
        story::by_engine(&repository)
    };
    let scrubbed = || scrub(&*store, &Quiet, &Cancel::default()).unwrap().findings;
    assert_eq!(scrubbed(), []);
    let whole = state(&*store);
    let packs: Vec<&ObjectName> = whole.keys().filter(|name| matches!(name.kind, ObjectKind::DataPack | ObjectKind::MetaPack)).collect();
    assert!(packs.len() > 3);
    // As much as the parity makes up for, wherever it lies, and either end.
    let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
    for round in 0..4 {
        for name in &packs {
            let mut bytes = whole[*name].clone();
            let (parity, tables, length) = (number(&bytes, 48), number(&bytes, 64), bytes.len());
            let three = 3 * (tables - parity) / 4;
            let (start, end) = match round {
                0 => (0, three.min(parity)),
                1 => (parity.saturating_sub(three), parity),
                2 => (parity, length - 128),
                _ => (length - 128, length),
            };
            bytes[start..end].iter_mut().for_each(|byte| *byte = !*byte);
            fs::write(place.path().join(name.path()), bytes).unwrap();
        }
        let found = scrubbed();
        assert!(found.len() == packs.len() && found.iter().all(|finding| finding.remedy == Some(Remedy::Parity)), "round {round}: {found:?}");
        assert_eq!(by_engine(), story, "round {round}: through the rot");
        let outcome = heal(&*store, &HealOptions::default(), &Quiet, &Cancel::default()).unwrap();
        assert_eq!((outcome.healed.len(), outcome.beyond.len()), (packs.len(), 0));
        assert!(state(&*store) == whole, "round {round}: it is what it was");
    }
    assert_eq!((scrubbed(), by_engine()), (Vec::new(), story.clone()));
    assert_eq!(story::by_rescue(place.path(), &vault_rescue::slot::Secret::KeyFile(key.0)), story);
}

#[test]
fn golden_repositories_stay_small() {
    fn size(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { size(&path) } else { path.metadata().unwrap().len() }).sum()
    }
    for (folder, _) in all() {
        assert!(size(&folder) < 300_000, "{}: {} bytes", folder.display(), size(&folder));
    }
}
