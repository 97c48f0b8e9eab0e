//! The small repository beside the vectors: listed, checked, extracted, damaged and healed.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use vault_rescue::bundle::Role;
use vault_rescue::fault::{Fault, Rule};
use vault_rescue::keys::{Class, h, hex};
use vault_rescue::repository::Repository;
use vault_rescue::slot::{KEY_FILE, RECOVERY, Secret, read_text};
use vault_rescue::walk::{Step, Walk};
use vault_rescue::{check, extract, show};

fn given() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/repository")
}

fn of_roles() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/repository-roles")
}

/// The repository that an owner and a backup role wrote, opened with the key of a role.
fn with_key_of(role: &str) -> Repository {
    let text = fs::read(of_roles().join(format!("{role}.txt"))).unwrap();
    Repository::open(&of_roles().join("repo"), &Secret::KeyFile(read_text(&text, KEY_FILE).unwrap())).unwrap()
}

fn password() -> Secret {
    Secret::Password("pass wörd".as_bytes().to_vec())
}

/// A directory of this test alone, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = std::env::temp_dir().join(format!("vault-rescue-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Place(path)
    }

    fn with_copy(name: &str) -> Place {
        let place = Place::new(name);
        copy(&given().join("repo"), &place.0);
        place
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn listing(repository: &mut Repository) -> String {
    listing_of(repository, "latest")
}

fn listing_of(repository: &mut Repository, call: &str) -> String {
    let mut walk = Walk::new(repository.find(call).unwrap().snapshot.root);
    let (mut lines, mut path) = (String::new(), Vec::new());
    while let Some(step) = walk.next(repository) {
        match step {
            Step::Entry(entry) => lines += &(show::entry(&entry, &path) + "\n"),
            Step::Enter(entry) => {
                lines += &(show::entry(&entry, &path) + "\n");
                path.push(b'/');
                path.extend_from_slice(&entry.name);
            }
            Step::Leave => path.truncate(path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)),
            Step::Fault(fault) => panic!("{fault}"),
        }
    }
    lines
}

fn faults(repository: &mut Repository) -> Vec<Fault> {
    let mut faults = Vec::new();
    check::check(repository, &mut |fault| faults.push(fault)).unwrap();
    faults
}

#[test]
fn every_secret_opens_and_everything_is_there() {
    let text = |name: &str| fs::read(given().join(name)).unwrap();
    let key = Secret::KeyFile(read_text(&text("key.txt"), KEY_FILE).unwrap());
    let recovery = Secret::Recovery(read_text(&text("recovery.txt"), RECOVERY).unwrap());
    for secret in [password(), key, recovery] {
        let mut repository = Repository::open(&given().join("repo"), &secret).unwrap();
        assert_eq!(repository.problems(), []);
        assert_eq!(repository.config().unwrap().sequence, 2);
        let (snapshots, bad) = repository.snapshots().unwrap();
        assert_eq!(bad, []);
        let seen: Vec<_> = snapshots.iter().map(|listed| (listed.snapshot.status, listed.confirmed, listed.forgotten)).collect();
        assert_eq!(seen, [(2, false, false), (0, true, false), (0, true, false)]);
        assert_eq!(listing(&mut repository).into_bytes(), text("listing.txt"));
        assert_eq!(faults(&mut repository), []);
    }
}

#[test]
fn other_secrets_do_not_open() {
    for secret in [Secret::Password(b"pass".to_vec()), Secret::KeyFile([1; 32]), Secret::Recovery([1; 32])] {
        let fault = Repository::open(&given().join("repo"), &secret).err().unwrap();
        assert_eq!(fault.rule, Rule::WrongKey);
    }
}

#[test]
fn extracts_what_it_lists() {
    let place = Place::new("extract");
    let target = place.0.join("target");
    let mut repository = Repository::open(&given().join("repo"), &password()).unwrap();
    let root = repository.find("latest").unwrap().snapshot.root;
    let mut bad = Vec::new();
    extract::extract(&mut repository, &root, &target, &mut |fault| bad.push(fault)).unwrap();
    if rustix::process::geteuid().is_root() {
        assert_eq!(bad, []);
    }
    let home = target.join("home");
    assert_eq!(fs::read(home.join("big")).unwrap().len(), 37_004);
    assert_eq!(fs::read(home.join("hard-two")).unwrap(), b"linked");
    assert_eq!(fs::read_link(home.join("to-etc")).unwrap(), Path::new("/etc/passwd"));
    let sparse = fs::read(home.join("sparse")).unwrap();
    assert_eq!((sparse.len(), sparse[1 << 20]), ((2 << 20) + 1, b'x'));
    assert_eq!(fs::read_dir(home.join("many")).unwrap().count(), 300);
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "the staging directory is gone");
    // A second time is refused: the target is not empty.
    assert!(extract::extract(&mut repository, &root, &target, &mut |_| {}).is_err());
}

#[test]
fn index_config_and_first_slots_are_not_needed() {
    let place = Place::with_copy("needless");
    for folder in ["index", "config", "keys"] {
        fs::remove_dir_all(place.0.join(folder)).unwrap();
    }
    let mut repository = Repository::open(&place.0, &password()).unwrap();
    assert_eq!(listing(&mut repository).into_bytes(), fs::read(given().join("listing.txt")).unwrap());
    let found = faults(&mut repository);
    assert_eq!(found.len(), 1, "only the configuration is missed: {found:?}");
}

#[test]
fn healed_copies_are_used_and_damage_is_found() {
    let place = Place::with_copy("healed");
    for file in files(&place.0) {
        if file.to_string_lossy().contains("/keys") {
            continue;
        }
        let mut bytes = fs::read(&file).unwrap();
        fs::write(format!("{}.h1", file.display()), &bytes).unwrap();
        let at = bytes.len() / 2;
        bytes[at] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    let mut repository = Repository::open(&place.0, &password()).unwrap();
    assert_eq!(listing(&mut repository).into_bytes(), fs::read(given().join("listing.txt")).unwrap());
    assert!(faults(&mut repository).iter().filter(|fault| fault.rule == Rule::WrongHash).count() >= 10);
}

#[test]
fn an_owner_restores_what_a_backup_role_wrote() {
    let mut repository = with_key_of("owner");
    assert_eq!(repository.keys().role, Role::Owner);
    assert_eq!(listing(&mut repository).into_bytes(), fs::read(of_roles().join("listing.txt")).unwrap());
    assert_eq!(faults(&mut repository), []);
    assert_eq!(check::check(&mut repository, &mut |_| {}).unwrap().locked, 0);
    let place = Place::new("roles");
    let target = place.0.join("target");
    let root = repository.find("latest").unwrap().snapshot.root;
    extract::extract(&mut repository, &root, &target, &mut |_| {}).unwrap();
    let hashes = fs::read_to_string(of_roles().join("hashes.txt")).unwrap();
    assert_eq!(hashes.lines().count(), 4);
    for line in hashes.lines() {
        let (hash, path) = line.split_once(' ').unwrap();
        assert_eq!(hex(&h(&fs::read(target.join(&path[1..])).unwrap())), hash, "{path}");
    }
}

#[test]
fn a_forgotten_snapshot_is_found_in_its_forget_record() {
    let forgotten = fs::read_to_string(of_roles().join("forgotten.txt")).unwrap();
    for role in ["owner", "prune"] {
        let mut repository = with_key_of(role);
        let name = hex(&repository.forgets().unwrap().0[0].0.snapshot);
        let found = repository.find(&name[..10]).unwrap();
        assert!(found.forgotten && !found.confirmed);
        assert_eq!(listing_of(&mut repository, &name), forgotten);
        assert!(repository.snapshots().unwrap().0.iter().all(|listed| hex(&listed.name) != name), "it is not listed");
    }
    let backup = with_key_of("backup");
    let name = hex(&backup.forgets().unwrap().0[0].0.snapshot);
    assert_eq!(backup.find(&name).err().unwrap().rule, Rule::Missing);
}

#[test]
fn a_prune_role_sees_trees_and_restores_nothing() {
    let mut repository = with_key_of("prune");
    assert_eq!((repository.keys().role, repository.problems()), (Role::Prune, &[][..]));
    assert_eq!(listing(&mut repository).into_bytes(), fs::read(of_roles().join("listing.txt")).unwrap());
    assert_eq!(faults(&mut repository), [], "what it cannot open is no damage");
    let counts = check::check(&mut repository, &mut |_| {}).unwrap();
    let data = repository.packs().iter().filter(|found| found.pack.class == Class::Data);
    assert_eq!(counts.locked, data.map(|found| found.pack.blocks.len() as u64).sum::<u64>());
    let place = Place::new("prune-role");
    let target = place.0.join("target");
    let root = repository.find("latest").unwrap().snapshot.root;
    let refused = extract::extract(&mut repository, &root, &target, &mut |_| {}).unwrap_err();
    assert_eq!(refused.rule, Rule::NoKey);
    assert!(!target.exists(), "nothing is made before it is refused");
}

#[test]
fn a_backup_role_opens_no_snapshot_and_no_block() {
    let mut repository = with_key_of("backup");
    assert_eq!((repository.keys().role, repository.problems()), (Role::Backup, &[][..]));
    let (snapshots, refused) = repository.snapshots().unwrap();
    assert!(snapshots.is_empty());
    assert_eq!(refused.iter().map(|fault| fault.rule).collect::<Vec<_>>(), [Rule::NoKey; 2]);
    for class in [Class::Data, Class::Tree] {
        assert_eq!(repository.require(class).unwrap_err().rule, Rule::NoKey);
    }
    assert_eq!(faults(&mut repository), []);
    let counts = check::check(&mut repository, &mut |_| {}).unwrap();
    assert_eq!(counts.locked, counts.blocks + 2);
    assert!(counts.blocks >= 8);
}

#[test]
fn the_program_says_what_a_key_can_and_cannot_do() {
    let run = |role: &str, words: &[&str]| {
        let key = of_roles().join(format!("{role}.txt"));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vault-rescue"));
        let output = command.arg("--repo").arg(of_roles().join("repo")).arg("--key-file").arg(key).args(words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let target = std::env::temp_dir().join(format!("vault-rescue-{}-never", std::process::id()));
    let extract = ["extract", "latest", target.to_str().unwrap()];
    assert_eq!(run("owner", &["list"]).2, "");
    for (role, words, code, said) in [
        ("backup", &["list"][..], 1, "it can restore nothing"),
        ("backup", &["ls", "latest"], 1, "no key for snapshots and trees"),
        ("backup", &["check"], 0, "does not open 10 snapshots and blocks"),
        ("backup", &extract, 1, "no key for snapshots and trees"),
        ("prune", &["list"], 0, "it can list everything and restore nothing"),
        ("prune", &["check"], 0, "does not open 5 snapshots and blocks"),
        ("prune", &extract, 1, "no key for contents"),
    ] {
        let (status, _, text) = run(role, words);
        assert_eq!(status, Some(code), "{role} {words:?}: {text}");
        assert!(text.contains(said), "{role} {words:?}: {text}");
    }
    assert!(!target.exists());
}

/// A role's check still compares every hash, so damage is no matter of what it can open.
#[test]
fn a_role_notices_every_changed_object() {
    for role in ["backup", "prune"] {
        let place = Place::new(&format!("changed-{role}"));
        copy(&of_roles(), &place.0);
        let secret = Secret::KeyFile(read_text(&fs::read(place.0.join(format!("{role}.txt"))).unwrap(), KEY_FILE).unwrap());
        let changed = every_change_is_noticed(&place.0.join("repo"), &secret);
        assert!(changed > 30, "{changed}");
    }
}

/// Whatever byte of whatever object is changed, somebody notices.
#[test]
fn check_notices_every_changed_object() {
    let place = Place::with_copy("changed");
    every_change_is_noticed(&place.0, &password());
}

fn every_change_is_noticed(folder: &Path, secret: &Secret) -> usize {
    let mut changes = 0;
    for file in files(folder) {
        let bytes = fs::read(&file).unwrap();
        for at in [0, bytes.len() / 3, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            fs::write(&file, changed).unwrap();
            let opened = Repository::open(folder, secret);
            changes += 1;
            let Ok(mut repository) = opened else { continue };
            assert!(!faults(&mut repository).is_empty(), "{} at {at}", file.display());
        }
        fs::write(&file, bytes).unwrap();
    }
    changes
}
