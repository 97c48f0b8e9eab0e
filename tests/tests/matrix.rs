//! The damage matrix: every kind of damage × every kind of object and every region of a pack. Is it told, what is lost, what does the next backup mend?
//!
//! The answers are held in `tests/damage-matrix.md`; `VAULT_TESTS_BLESS=1` writes them anew. Wrong bytes are never given: that is asserted, not recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use vault_engine::format::id::ObjectId;
use vault_engine::format::layout::{ObjectKind, ObjectName};
use vault_engine::format::pack::{END_LENGTH, Geometry};
use vault_engine::ops::backup::{BackupOptions, ParentChoice, backup};
use vault_engine::ops::forget::forget;
use vault_engine::ops::heal::{HealOptions, heal};
use vault_engine::ops::monitor::{Cancel, Quiet};
use vault_engine::ops::verify::{VerifyOptions, verify};
use vault_engine::store::repository::Repository;
use vault_tests::disk::{Disk, Effect, ModelStore};
use vault_tests::files::{Files, FilesSource};
use vault_tests::lab;
use vault_tests::tree::Random;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Delete,
    Truncate,
    Empty,
    Flip,
    Swap,
    Foreign,
    Older,
    Duplicate,
}

const ACTIONS: [(Action, &str); 8] = [
    (Action::Delete, "deleted"),
    (Action::Truncate, "cut to its half"),
    (Action::Empty, "emptied"),
    (Action::Flip, "one bit flipped"),
    (Action::Swap, "swapped with another of its kind"),
    (Action::Foreign, "replaced by another repository's"),
    (Action::Older, "all of the kind as they were before"),
    (Action::Duplicate, "copied to a second name"),
];

/// Parts of a pack.
const REGIONS: [&str; 5] = ["header", "blocks", "table", "parity", "footer"];

struct World {
    disk: Disk,
    /// The same repository some operations before.
    earlier: Disk,
    /// Another repository with the same contents.
    foreign: Disk,
    snapshots: BTreeMap<ObjectId, Files>,
    latest: [(Files, &'static str); 2],
}

fn made() -> World {
    let noise = |seed| Random(seed).bytes(30_000);
    let one = Files::drawn(1, 6, 8_000);
    let changed = one.clone().with("file-4", noise(50)).with("folder/file-5", noise(51));
    let two = Files::drawn(2, 4, 9_000).with("shared", one.0["file-2"].to_vec());
    let make = || {
        let store = Arc::new(ModelStore::new(Disk::default()));
        let repository = lab::init(store.clone(), &[1], None).unwrap();
        let mut snapshots = BTreeMap::new();
        let gone = lab::back_up(&repository, &Files::drawn(9, 2, 9_000), "/gone").unwrap();
        snapshots.insert(lab::back_up(&repository, &one, "/one").unwrap(), one.clone());
        forget(&repository, &[&lab::stored(&repository, gone).unwrap()]).unwrap();
        let earlier = store.disk();
        repository.rotate_keys(&[(lab::secret(1), "one"), (lab::secret(2), "two")], "localhost").unwrap();
        let repository = lab::open(store.clone(), 1, None).unwrap();
        let gone = lab::back_up(&repository, &Files::drawn(8, 2, 9_000), "/gone").unwrap();
        snapshots.insert(lab::back_up(&repository, &changed, "/one").unwrap(), changed.clone());
        snapshots.insert(lab::back_up(&repository, &two, "/two").unwrap(), two.clone());
        forget(&repository, &[&lab::stored(&repository, gone).unwrap()]).unwrap();
        (store.disk(), earlier, snapshots)
    };
    let (disk, earlier, snapshots) = make();
    let foreign = make().0;
    World { disk, earlier, foreign, snapshots, latest: [(changed.clone(), "/one"), (two.clone(), "/two")] }
}

/// The same repository in the middle of a prune: its sweep is recorded and not over.
fn swept(world: &World) -> Disk {
    (1..1000)
        .map(|at| {
            let store = Arc::new(ModelStore::dying(world.disk.clone(), at, Effect::Before));
            lab::open(store.clone(), 1, None).and_then(|repository| lab::prune_all(&repository)).unwrap_err();
            store.disk()
        })
        .find(|disk| disk.objects().keys().any(|name| name.kind == ObjectKind::Sweep))
        .unwrap()
}

fn of_kind(disk: &Disk, kind: ObjectKind) -> Vec<ObjectName> {
    disk.objects().keys().copied().filter(|name| name.kind == kind).collect()
}

/// Does it, in every way there is: disks with the damage; none if there is nothing to do it with.
fn damaged(world: &World, disk: &Disk, name: ObjectName, action: Action) -> Vec<Disk> {
    let partners: Vec<Option<ObjectName>> = match action {
        Action::Swap => of_kind(disk, name.kind).into_iter().filter(|other| *other > name).map(Some).collect(),
        Action::Foreign => of_kind(&world.foreign, name.kind).into_iter().take(1).map(Some).collect(),
        _ => vec![None],
    };
    let harmed = partners.into_iter().map(|partner| {
        let mut harmed = disk.clone();
        damage(world, &mut harmed, name, action, partner).then_some(harmed)
    });
    harmed.flatten().collect()
}

fn damage(world: &World, disk: &mut Disk, name: ObjectName, action: Action, partner: Option<ObjectName>) -> bool {
    let bytes = disk.objects()[&name].to_vec();
    let middle = bytes.len() / 2;
    let changed = match action {
        Action::Delete => None,
        Action::Truncate => Some(bytes[..middle].to_vec()),
        Action::Empty => Some(Vec::new()),
        Action::Flip => Some(flipped(bytes, middle)),
        Action::Swap => {
            let Some(other) = partner else { return false };
            let theirs = disk.objects()[&other].to_vec();
            disk.set(other, Some(bytes));
            Some(theirs)
        }
        Action::Foreign => partner.map(|theirs| world.foreign.objects()[&theirs].to_vec()),
        Action::Older => {
            let before = of_kind(&world.earlier, name.kind);
            if before == of_kind(disk, name.kind) {
                return false;
            }
            of_kind(disk, name.kind).into_iter().for_each(|name| disk.set(name, None));
            before.into_iter().for_each(|name| disk.set(name, Some(world.earlier.objects()[&name].to_vec())));
            return true;
        }
        Action::Duplicate => {
            disk.set(ObjectName::new(name.kind, ObjectId([0x5a; 32])), Some(bytes));
            return true;
        }
    };
    disk.set(name, changed);
    true
}

fn flipped(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 1;
    bytes
}

/// Where a region of a pack lies; `None` if it has none.
fn region(bytes: &[u8], name: &str) -> Option<std::ops::Range<usize>> {
    let geometry = Geometry::decode(&bytes[..END_LENGTH]).unwrap();
    let (table, end) = (geometry.table_offset as usize, bytes.len() - END_LENGTH);
    let range = match name {
        "header" => 0..END_LENGTH,
        "blocks" => END_LENGTH..table,
        "table" => table..geometry.table_end() as usize,
        "parity" => geometry.table_end() as usize..end,
        _ => end..bytes.len(),
    };
    (!range.is_empty()).then_some(range)
}

/// What came of one damage.
#[derive(Default)]
struct Outcome {
    told: BTreeSet<&'static str>,
    lost: BTreeSet<&'static str>,
    next: BTreeSet<&'static str>,
    forced: BTreeSet<&'static str>,
    mended: BTreeSet<&'static str>,
    healed: BTreeSet<&'static str>,
}

fn word(is_so: bool) -> &'static str {
    if is_so { "yes" } else { "no" }
}

/// What of the snapshots is lost, in a word. Whatever is given must be right.
fn lost(world: &World, repository: &Repository, what: &str) -> &'static str {
    let list = repository.snapshots().unwrap();
    let (mut snapshots, mut files) = (0, 0);
    for (id, expected) in &world.snapshots {
        let Some(stored) = list.snapshots.iter().find(|stored| stored.id == *id) else {
            snapshots += 1;
            continue;
        };
        match Files::of(repository, stored) {
            Ok(found) => assert!(found == *expected, "{what}: {} gives wrong bytes", id.short()),
            Err(error) => {
                assert!(error.concerns_one_object(), "{what}: {error}");
                files += 1;
            }
        }
    }
    match (snapshots, files) {
        (0, 0) => "nothing",
        (0, _) => "files",
        (_, 0) => "snapshots",
        _ => "files, snapshots",
    }
}

/// Backs up both sources; whether all came back.
fn backups(world: &World, repository: &Repository, parent: ParentChoice) -> &'static str {
    let is_whole = |(files, label): &(Files, &'static str)| {
        let options = BackupOptions { parent, ..BackupOptions::default() };
        let Ok(outcome) = backup(repository, &FilesSource::new(files, label), &options, &Quiet, &Cancel::default()) else { return None };
        let id = outcome.snapshot.filter(|_| outcome.unconfirmed.is_none())?;
        Some(lab::stored(repository, id).and_then(|stored| Files::of(repository, &stored)).is_ok_and(|found| found == *files))
    };
    let both: Vec<Option<bool>> = world.latest.iter().map(is_whole).collect();
    if both.contains(&None) { "refused" } else { word(both.iter().all(|whole| *whole == Some(true))) }
}

fn judge(world: &World, disk: &Disk, what: &str, outcome: &mut Outcome) {
    let fresh = |disk: &Disk| {
        let store = Arc::new(ModelStore::new(disk.clone()));
        lab::open(store.clone(), 1, None).map(|repository| (repository, store))
    };
    let Ok((repository, _)) = fresh(disk) else {
        outcome.told.insert("cannot be opened");
        outcome.lost.insert("everything");
        return;
    };
    let left_out = !repository.take_left_out().is_empty();
    let options = VerifyOptions { read_data: true, ..VerifyOptions::default() };
    let found = verify(&repository, &options, &Quiet, &Cancel::default()).unwrap();
    let is_noted = found.notes.iter().any(|note| !note.what.starts_with("forgotten") && !note.what.starts_with("a sweep of"));
    outcome.told.insert(match (found.damage.is_empty(), left_out || is_noted) {
        (false, _) => "damage",
        (true, true) => "a note",
        (true, false) => "no",
    });
    let is_lost = lost(world, &repository, what);
    assert!(!found.damage.is_empty() || is_lost == "nothing", "{what}: {is_lost} lost, and a verification does not tell");
    outcome.lost.insert(is_lost);
    outcome.next.insert(backups(world, &fresh(disk).unwrap().0, ParentChoice::Auto));
    let (repository, store) = fresh(disk).unwrap();
    outcome.forced.insert(backups(world, &repository, ParentChoice::None));
    let again = fresh(&store.disk()).unwrap().0;
    outcome.mended.insert(whole_or(lost(world, &again, what)));
    let (_, store) = fresh(disk).unwrap();
    heal(&*store, &HealOptions::default(), &Quiet, &Cancel::default()).unwrap();
    let repository = fresh(&store.disk()).unwrap().0;
    let is_clean = lab::damage(&repository, None).unwrap().is_empty();
    outcome.healed.insert(match (whole_or(lost(world, &repository, what)), is_clean) {
        ("whole", false) => "whole, still told",
        (lost, _) => lost,
    });
}

fn whole_or(lost: &'static str) -> &'static str {
    if lost == "nothing" { "whole" } else { lost }
}

fn row(table: &mut String, object: &str, action: &str, outcome: &Outcome) {
    let cell = |words: &BTreeSet<&str>| if words.is_empty() { "—".to_owned() } else { words.iter().copied().collect::<Vec<_>>().join(" or ") };
    let all = [&outcome.told, &outcome.lost, &outcome.next, &outcome.forced, &outcome.mended, &outcome.healed].map(cell);
    writeln!(table, "| {object} | {action} | {} |", all.join(" | ")).unwrap();
}

fn matrix() -> String {
    let world = made();
    let mut table = String::from(
        "<!-- What each damage does; made by tests/tests/matrix.rs (VAULT_TESTS_BLESS=1), which fails when it is no longer so. -->\n\
         | object | damage | told by `verify --read-data` | lost | next backups whole | backups with `--force` whole | old snapshots after these | after `heal` |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for kind in ObjectKind::ALL {
        let disk = if kind == ObjectKind::Sweep { swept(&world) } else { world.disk.clone() };
        let object = kind.folder().trim_end_matches('/');
        for (action, words) in ACTIONS {
            let mut outcome = Outcome::default();
            for name in of_kind(&disk, kind) {
                for harmed in damaged(&world, &disk, name, action) {
                    judge(&world, &harmed, &format!("{object} {words}"), &mut outcome);
                }
                if action == Action::Older {
                    break;
                }
            }
            row(&mut table, object, words, &outcome);
        }
    }
    for kind in [ObjectKind::MetaPack, ObjectKind::DataPack] {
        for part in REGIONS {
            for (words, is_cut) in [("one bit flipped", false), ("cut where it begins", true)] {
                let mut outcome = Outcome::default();
                for name in of_kind(&world.disk, kind) {
                    let bytes = world.disk.objects()[&name].to_vec();
                    let Some(range) = region(&bytes, part) else { continue };
                    let changed = if is_cut { bytes[..range.start].to_vec() } else { flipped(bytes, usize::midpoint(range.start, range.end)) };
                    let mut harmed = world.disk.clone();
                    harmed.set(name, Some(changed));
                    judge(&world, &harmed, &format!("{part} of {name} {words}"), &mut outcome);
                }
                if !outcome.told.is_empty() {
                    row(&mut table, &format!("{}, {part}", kind.folder().trim_end_matches('/')), words, &outcome);
                }
            }
        }
    }
    table
}

#[test]
fn the_damage_matrix_is_as_it_is_written_down() {
    let found = matrix();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("damage-matrix.md");
    if std::env::var_os("VAULT_TESTS_BLESS").is_some() {
        std::fs::write(&path, &found).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    let (written, found): (Vec<&str>, Vec<&str>) = (written.lines().collect(), found.lines().collect());
    let is_new = |line: &&&str| !written.contains(*line);
    let differences: Vec<&&str> = found.iter().filter(is_new).collect();
    assert!(differences.is_empty() && written.len() == found.len(), "tests/damage-matrix.md says otherwise than these:\n{differences:#?}");
}
