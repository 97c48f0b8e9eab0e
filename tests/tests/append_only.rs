//! Stores that take objects and give none away: everything works but pruning and the removal of keys.

use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vault_engine::format::id::ObjectId;
use vault_engine::format::keys::{Key, Role};
use vault_engine::format::layout::{ObjectKind, ObjectName};
use vault_engine::format::slot::Secret;
use vault_engine::format::snapshot::Pin;
use vault_engine::ops::backup::{BackupOptions, backup};
use vault_engine::ops::edit::{TagChange, pin, rewrite, tag};
use vault_engine::ops::forget::forget;
use vault_engine::ops::forget::undelete::{forgotten, undelete};
use vault_engine::ops::monitor::{Cancel, Quiet};
use vault_engine::ops::prune::{PruneOptions, prune};
use vault_engine::ops::verify::{VerifyOptions, verify};
use vault_engine::sources::files::{FileSource, Options};
use vault_engine::store::error::RepositoryError;
use vault_engine::store::host::SystemHost;
use vault_engine::store::memory::MemoryStore;
use vault_engine::store::repository::{InitOptions, Repository, StoredSnapshot};
use vault_engine::store::{Store, StoreError, StoreErrorKind};
use vault_tests::can::{self, Can};
use vault_tests::clean_room::CleanRoom;
use vault_tests::tree;

/// As a bucket whose policy denies deleting, and putting over what is there.
#[derive(Default)]
struct AppendOnly {
    inner: MemoryStore,
    gives: AtomicBool,
}

fn denied(name: &ObjectName) -> StoreError {
    StoreError::new(StoreErrorKind::Denied, name, "the policy denies it")
}

impl Store for AppendOnly {
    fn location(&self) -> String {
        self.inner.location()
    }
    fn put(&self, name: &ObjectName, bytes: Vec<u8>) -> Result<(), StoreError> {
        match self.inner.objects().get(name) {
            Some(there) if *there == bytes => return Ok(()),
            Some(_) => return Err(denied(name)),
            None => {}
        }
        self.inner.put(name, bytes)
    }
    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
        self.inner.get(name)
    }
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        self.inner.get_range(name, range)
    }
    fn list(&self, kind: ObjectKind) -> Result<Vec<(ObjectId, u64)>, StoreError> {
        self.inner.list(kind)
    }
    fn stat(&self, name: &ObjectName) -> Result<Option<u64>, StoreError> {
        self.inner.stat(name)
    }
    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        // Also for what is not there, as S3 does.
        if self.gives.load(Ordering::Relaxed) { self.inner.delete(name) } else { Err(denied(name)) }
    }
    fn adopt(&self, _: &ObjectName) {}
    fn barrier(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn prepare(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

fn back_up(repository: &Repository, path: &Path) {
    let source = FileSource::new(Options { paths: vec![path.to_owned()], ..Options::default() }).unwrap();
    assert!(backup(repository, &source, &BackupOptions::default(), &Quiet, &Cancel::default()).unwrap().unconfirmed.is_none());
}

/// Good snapshots, oldest first.
fn good(repository: &Repository) -> Vec<StoredSnapshot> {
    repository.snapshots().unwrap().snapshots.into_iter().filter(|stored| stored.confirmed && !stored.forgotten).collect()
}

#[test]
fn only_pruning_and_removing_keys_need_the_right_to_delete() {
    let store = Arc::new(AppendOnly::default());
    let secret = || Secret::KeyFile(Key([1; 32]));
    let repository = Repository::init(store.clone(), Arc::new(SystemHost::default()), &[(secret(), "test")], &InitOptions::default(), None).unwrap();
    let source = tempfile::tempdir().unwrap();
    for n in 0..3 {
        fs::write(source.path().join(format!("file-{n}")), format!("contents of {n}").repeat(900)).unwrap();
        back_up(&repository, source.path());
    }
    let objects = store.inner.objects().clone();

    let change = TagChange { add: vec!["new".into()], ..TagChange::default() };
    tag(&repository, "here", &good(&repository)[0], &change).unwrap();
    assert_eq!((good(&repository).len(), &good(&repository)[0].snapshot.tags[..]), (3, &["new".to_owned()][..]));
    pin(&repository, "here", &good(&repository)[1], Some(Pin { reason: "why".into(), until: None })).unwrap();
    let drops = |path: &[u8], _: &_| path.ends_with(b"file-0");
    assert_eq!(rewrite(&repository, "here", &good(&repository)[2], &drops, false, &Cancel::default()).unwrap().unwrap().dropped, 1);
    assert_eq!(good(&repository).len(), 3);
    assert!(!forget(&repository, &[&good(&repository)[0]]).unwrap(), "it stays, recorded as forgotten");
    assert_eq!(good(&repository).len(), 2);
    let gone = forgotten(&repository).unwrap();
    undelete(&repository, "here", gone.last().unwrap(), &Cancel::default()).unwrap();
    assert_eq!(good(&repository).len(), 3);
    let key = repository.add_key(&Secret::KeyFile(Key([2; 32])), Role::Owner, "new", "here").unwrap();
    assert!(verify(&repository, &VerifyOptions { read_data: true, ..VerifyOptions::default() }, &Quiet, &Cancel::default()).unwrap().damage.is_empty());

    let before = store.inner.objects().clone();
    assert!(matches!(repository.remove_key(key), Err(RepositoryError::NoDeletion(_))));
    let options = PruneOptions { grace: std::time::Duration::ZERO, unused_percent_max: 0.0, ..PruneOptions::default() };
    assert!(matches!(prune(&repository, &options, &Quiet, &Cancel::default()), Err(RepositoryError::NoDeletion(_))));
    let left: Vec<ObjectName> = store.inner.objects().keys().filter(|name| !before.contains_key(name)).copied().collect();
    assert!(left.len() <= 1 && left.iter().all(|name| name.kind == ObjectKind::Sweep), "a refused prune leaves a record that says nothing: {left:?}");
    back_up(&repository, source.path());
    assert!(objects.iter().all(|(name, bytes)| store.inner.objects().get(name) == Some(bytes)), "nothing was changed or taken away");

    // Somebody who may delete does the rest.
    store.gives.store(true, Ordering::Relaxed);
    let repository = Repository::open(store.clone(), Arc::new(SystemHost::default()), &[secret()], None).unwrap();
    let list = repository.snapshots().unwrap().snapshots;
    let marked: Vec<&StoredSnapshot> = list.iter().filter(|stored| stored.forgotten).collect();
    assert_eq!(marked.len(), 4);
    assert!(forget(&repository, &marked).unwrap());
    prune(&repository, &options, &Quiet, &Cancel::default()).unwrap();
    repository.remove_key(key).unwrap();
    assert_eq!((good(&repository).len(), repository.snapshots().unwrap().snapshots.len()), (4, 4));
    assert!(store.inner.list(ObjectKind::Sweep).unwrap().is_empty());
}

/// New keys are put before old ones go; that these stay undoes nothing.
#[test]
fn keys_are_changed_and_rotated_and_the_old_ones_stay() {
    let store = Arc::new(AppendOnly::default());
    let secret = |byte| Secret::KeyFile(Key([byte; 32]));
    let open = |byte| Repository::open(store.clone(), Arc::new(SystemHost::default()), &[secret(byte)], None).unwrap();
    let keys = [(secret(1), "one"), (secret(2), "two")];
    let repository = Repository::init(store.clone(), Arc::new(SystemHost::default()), &keys, &InitOptions::default(), None).unwrap();
    let source = tempfile::tempdir().unwrap();
    fs::write(source.path().join("before"), "before").unwrap();
    back_up(&repository, source.path());
    let (_, old) = repository.replace_key(&secret(3), "three", "here").unwrap();
    assert_eq!((old.removed, old.left.len()), (0, 1));
    assert!([1, 2, 3].iter().all(|byte| good(&open(*byte)).len() == 1));

    let rotated = open(3).rotate_keys(&[(secret(3), "three"), (secret(4), "four")], "here").unwrap();
    assert_eq!((rotated.removed, rotated.left.len()), (0, 3));
    // The same secret opens an old slot and a new one: the new one counts.
    let repository = open(3);
    assert_eq!(repository.keys.epoch(), 1);
    fs::write(source.path().join("after"), "after").unwrap();
    back_up(&repository, source.path());
    assert_eq!((good(&repository).len(), good(&open(4)).len()), (2, 2));
    let whole = VerifyOptions { read_data: true, ..VerifyOptions::default() };
    assert_eq!(verify(&repository, &whole, &Quiet, &Cancel::default()).unwrap().damage, []);
    // Old keys read what they could, nothing newer, and write nothing.
    for byte in [1, 2] {
        let old = open(byte);
        assert_eq!((old.keys.epoch(), good(&old).len()), (0, 1));
        assert!(old.check_writable().is_err());
    }

    store.gives.store(true, Ordering::Relaxed);
    let repository = open(3);
    rotated.left.iter().for_each(|id| repository.remove_key(*id).unwrap());
    assert_eq!(repository.key_slots().unwrap().len(), 2);
    assert!(matches!(Repository::open(store.clone(), Arc::new(SystemHost::default()), &[secret(1)], None), Err(RepositoryError::WrongKey { .. })));
    assert_eq!(good(&open(4)).len(), 2);
}

/// Folders in which the kernel lets nobody delete, rename or replace.
struct Sealed(PathBuf);

impl Sealed {
    fn flag(&self, flag: &str) {
        // Where puts begin, they also end.
        let folders = "find \"$1\" -type d -not -path \"$1/tmp\" -exec chattr \"$2\" {} +";
        assert!(Command::new("sh").args(["-euc", folders, "sh"]).arg(&self.0).arg(flag).status().unwrap().success());
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        self.flag("-a");
    }
}

#[test]
fn folders_in_which_nothing_can_be_deleted() {
    if !can::or_skip(Can::AppendOnly) {
        return;
    }
    let mut room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::file("a", "one"), tree::noise("b", 3 << 20, 1)]);
    let sealed = Sealed(room.repository());
    sealed.flag("+a");
    room.backup(&source);
    fs::write(source.join("a"), "two").unwrap();
    room.backup(&source);
    room.vault(["tag", "--add", "t", "latest"]).run().ok();
    room.vault(["pin", "latest"]).run().ok();
    fs::write(source.join("a"), "three").unwrap();
    room.backup(&source);
    assert_eq!(room.snapshots().len(), 3);
    room.vault(["forget", "--keep-last", "1"]).run().ok().says("does not let").says("1 snapshot forgotten");
    assert_eq!(room.snapshots().len(), 2);
    let file = room.path("new-key");
    room.vault([OsStr::new("key"), OsStr::new("add"), OsStr::new("--new-key-file"), file.as_os_str()]).run().ok();
    room.verify();
    assert_eq!(fs::read(room.restore("latest", &source, "target").join("a")).unwrap(), b"three");
    room.vault(["prune"]).run().code(13).says("may delete");
    let listed = room.vault(["key", "list", "--json"]).run().ok().events_of("key");
    let other = listed.iter().find(|key| key["current"] == false).unwrap();
    room.vault(["key", "remove", other["id"].as_str().unwrap()]).run().code(13).says("may delete");
    room.vault(["forget", "--keep-last", "1"]).run().ok().says("0 snapshots forgotten");
    room.verify();
    // A rotation is done without; what stays is told, and the new recovery key is there.
    let rotated = room.vault(["key", "rotate", "--json"]).run().code(13).says("the keys are rotated, but 3 old keys stay");
    let recovery = rotated.events_of("recovery_key")[0]["file"].as_str().unwrap().to_owned();
    room.guard_key_files();
    room.backup(&source);
    room.verify();
    let by_recovery = room.vault(["--recovery-key-file", &recovery, "snapshots", "--json"]).run().ok();
    assert_eq!(by_recovery.events_of("snapshot").len(), room.snapshots().len());

    drop(sealed);
    let folder = room.repository().join("snapshots");
    assert!(fs::read_dir(&folder).unwrap().count() > 2);
    room.vault(["forget", "--keep-last", "1", "--prune"]).run().ok();
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    room.verify();
}

/// Who holds the keys of a client that may only add can record that everything was forgotten. Who may delete does not follow him to the last snapshot.
#[test]
fn the_last_good_snapshot_is_not_taken_because_a_record_says_so() {
    let room = CleanRoom::with_repository();
    let source = room.path("source");
    tree::write(&source, &[tree::file("a", "one")]);
    room.backup(&source);
    let kept = room.path("kept");
    let copy = |from: &Path, to: &Path| assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
    copy(&room.repository().join("snapshots"), &kept);
    room.vault(["forget", "--force", "latest"]).run().ok();
    // The store brings back what was deleted, or never deleted it.
    fs::remove_dir_all(room.repository().join("snapshots")).unwrap();
    copy(&kept, &room.repository().join("snapshots"));
    room.vault(["forget", "--keep-last", "1"]).run().ok().says("vault undelete brings them back");
    assert_eq!(fs::read_dir(room.repository().join("snapshots")).unwrap().count(), 1);
    room.vault(["forget", "--keep-last", "1", "--force"]).run().ok();
    assert_eq!(fs::read_dir(room.repository().join("snapshots")).unwrap().count(), 0);
}
