//! Every call of every operation is its last one, and the power may go with it: the repository opens, verifies, every acknowledged snapshot
//! restores, the next backup takes up what was stored, and a prune after that loses nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vault_engine::format::id::ObjectId;
use vault_engine::format::keys::Role;
use vault_engine::format::layout::ObjectKind;
use vault_engine::format::snapshot::Pin;
use vault_engine::ops::edit::{TagChange, pin, rewrite, tag};
use vault_engine::ops::forget::forget;
use vault_engine::ops::forget::undelete::{forgotten, undelete};
use vault_engine::ops::monitor::Cancel;
use vault_engine::ops::verify::DamageKind;
use vault_engine::store::error::Result;
use vault_engine::store::repository::{Repository, StoredSnapshot};
use vault_tests::disk::{Disk, Effect, ModelStore, Power, WRITES};
use vault_tests::files::Files;
use vault_tests::lab;
use vault_tests::tree::Random;

/// The writer that `BackupOptions` names by default.
const HOST: &str = "localhost";
/// Opens a slot of the role backup, and one of the role prune.
const BACKUP_KEY: u8 = 4;
const PRUNE_KEY: u8 = 5;
/// The file that a rewrite drops.
const DROPPED: &str = "file-2";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Backup,
    /// With a key that reads nothing back.
    BackupByRole,
    Tag,
    Pin,
    Forget,
    Undelete,
    Prune,
    /// With a key that reads no contents.
    PruneByRole,
    Rewrite,
    AddKey,
    ChangeKey,
    RemoveKey,
    RotateKeys,
}

impl Operation {
    /// Whether it puts another snapshot in place of the first one, or takes that away.
    fn touches_the_first(self) -> bool {
        matches!(self, Self::Tag | Self::Pin | Self::Forget | Self::Rewrite)
    }

    fn backs_up(self) -> bool {
        matches!(self, Self::Backup | Self::BackupByRole)
    }

    /// The secret it is run with.
    fn secret(self) -> u8 {
        match self {
            Self::BackupByRole => BACKUP_KEY,
            Self::PruneByRole => PRUNE_KEY,
            _ => 1,
        }
    }

    /// The secrets that whoever runs it knows; one of them must open the repository, and write to it, however the run ended.
    fn secrets(self) -> &'static [u8] {
        if matches!(self, Self::ChangeKey | Self::RotateKeys) { &[1, 3] } else { &[1] }
    }

    fn run(self, repository: &Repository, world: &World) -> Result<()> {
        let first = || lab::stored(repository, world.good[0].0);
        match self {
            Self::Backup | Self::BackupByRole => lab::back_up(repository, &world.next, "/one").map(drop),
            Self::Tag => tag(repository, HOST, &first()?, &TagChange { add: vec!["kept".into()], ..TagChange::default() }).map(drop),
            Self::Pin => pin(repository, HOST, &first()?, Some(Pin { reason: "why".into(), until: None })).map(drop),
            Self::Forget => forget(repository, &[&first()?]).map(drop),
            Self::Undelete => undelete(repository, HOST, forgotten(repository)?.last().unwrap(), &Cancel::default()).map(drop),
            Self::Prune | Self::PruneByRole => lab::prune_all(repository),
            Self::Rewrite => {
                let drops = |path: &[u8], _: &vault_engine::format::node::Node| path == format!("/{DROPPED}").as_bytes();
                rewrite(repository, HOST, &first()?, &drops, false, &Cancel::default()).map(drop)
            }
            Self::AddKey => repository.add_key(&lab::secret(3), Role::Owner, "third", HOST).map(drop),
            Self::ChangeKey => repository.replace_key(&lab::secret(3), "third", HOST).map(drop),
            Self::RemoveKey => {
                let slot = repository.key_slots()?.into_iter().find(|slot| !slot.current).unwrap();
                repository.remove_key(slot.id)
            }
            Self::RotateKeys => repository.rotate_keys(&[(lab::secret(3), "third")], HOST).map(drop),
        }
    }
}

/// A repository with snapshots that are acknowledged, others that were forgotten, and the next state of the first source.
struct World {
    disk: Disk,
    cache: tempfile::TempDir,
    good: Vec<(ObjectId, Files)>,
    next: Files,
    /// Bytes in data packs after an undisturbed backup of `next`.
    whole_bytes: u64,
}

fn data_bytes(disk: &Disk) -> u64 {
    disk.objects().iter().filter(|(name, _)| name.kind == ObjectKind::DataPack).map(|(_, bytes)| bytes.len() as u64).sum()
}

fn world() -> World {
    let cache = tempfile::tempdir().unwrap();
    let store = Arc::new(ModelStore::new(Disk::default()));
    let noise = |seed| Random(seed).bytes(40_000);
    let one = Files::drawn(1, 8, 9_000);
    let changed = one.clone().with("file-4", noise(50)).with("folder/file-5", noise(51));
    let doomed = changed.clone().with("doomed-1", noise(52)).with("doomed-2", noise(53)).with("file-6", noise(54));
    let two = Files::drawn(2, 4, 9_000).with("shared", one.0[DROPPED].to_vec());
    let latest = doomed.clone().without("doomed-1").without("doomed-2").with("file-0", noise(55));
    let repository = lab::init(store.clone(), &[1, 2], Some(cache.path())).unwrap();
    let mut made = Vec::new();
    for (files, label) in [(&one, "/one"), (&changed, "/one"), (&two, "/two"), (&doomed, "/one"), (&latest, "/one")] {
        made.push((lab::back_up(&repository, files, label).unwrap(), files.clone()));
    }
    for (key, role) in [(BACKUP_KEY, Role::Backup), (PRUNE_KEY, Role::Prune)] {
        repository.add_key(&lab::secret(key), role, "role", HOST).unwrap();
    }
    let by_role = lab::open(store.clone(), BACKUP_KEY, Some(cache.path())).unwrap();
    made.push((lab::back_up(&by_role, &latest, "/one").unwrap(), latest.clone()));
    drop(by_role);
    for gone in [3, 1] {
        forget(&repository, &[&lab::stored(&repository, made[gone].0).unwrap()]).unwrap();
        made.remove(gone);
    }
    drop(repository);
    let disk = store.disk();
    assert!(disk.is_settled(), "what returned is durable");
    let next = latest.with("new-1", noise(56)).with("new-2", noise(57)).with("folder/new-3", noise(58)).without("file-4");
    let mut world = World { disk, cache, good: made, next, whole_bytes: 0 };
    let store = Arc::new(ModelStore::new(world.disk.clone()));
    lab::back_up(&lab::open(store.clone(), 1, None).unwrap(), &world.next, "/one").unwrap();
    world.whole_bytes = data_bytes(&store.disk());
    world
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Opens with a secret that may also write.
fn open(disk: &Disk, secrets: &[u8], cache: Option<&Path>, what: &str) -> (Repository, Arc<ModelStore>) {
    let store = Arc::new(ModelStore::new(disk.clone()));
    let mut last = None;
    for secret in secrets {
        match lab::open(store.clone(), *secret, cache).and_then(|repository| repository.check_writable().map(|()| repository)) {
            Ok(repository) => return (repository, store),
            Err(error) => last = Some(error),
        }
    }
    panic!("{what}: nobody can open and write: {}", last.unwrap());
}

/// What was found after a crash, and what must be so.
struct Check<'a> {
    world: &'a World,
    operation: Operation,
    /// The operation said that it was done.
    is_done: bool,
    torn: Vec<String>,
    what: String,
}

impl Check<'_> {
    fn is_whole(&self, repository: &Repository, stored: &StoredSnapshot, expected: &[&Files]) {
        let found = Files::of(repository, stored).unwrap_or_else(|error| panic!("{}: {} cannot be read: {error}", self.what, stored.id.short()));
        assert!(expected.contains(&&found), "{}: {} holds something else", self.what, stored.id.short());
    }

    /// Every acknowledged snapshot is there and right.
    fn acknowledged(&self, repository: &Repository, more: &[(ObjectId, Files)]) {
        let list = repository.snapshots().unwrap();
        for (number, (id, files)) in self.world.good.iter().chain(more).enumerate() {
            let of_it = list.snapshots.iter().filter(|stored| stored.confirmed && !stored.forgotten);
            let of_it: Vec<&StoredSnapshot> = of_it.filter(|stored| stored.id == *id || stored.snapshot.original == Some(*id)).collect();
            let may_differ = number == 0 && self.operation.touches_the_first();
            let dropped = files.clone().without(DROPPED);
            let expected = if may_differ && self.operation == Operation::Rewrite { vec![files, &dropped] } else { vec![files] };
            of_it.iter().for_each(|stored| self.is_whole(repository, stored, &expected));
            if !(may_differ && self.operation == Operation::Forget) {
                assert!(!of_it.is_empty(), "{}: acknowledged snapshot {} is lost", self.what, id.short());
                assert!(may_differ || of_it.iter().any(|stored| stored.id == *id), "{}: {} is another", self.what, id.short());
            }
        }
    }

    /// Nothing is damaged, but for what was cut short and nobody needs.
    fn verified(&self, repository: &Repository) {
        let mut damage = lab::damage(repository, None).unwrap();
        damage.retain(|one| !(self.torn.contains(&one.object) && one.lost == 0 && matches!(one.kind, DamageKind::Control | DamageKind::Pack)));
        assert!(damage.is_empty(), "{}: {damage:?}", self.what);
    }

    /// All that must hold of this disk, which is left alone.
    fn run(&self, disk: &Disk, cache: Option<&Path>, is_light: bool) {
        let secrets = self.operation.secrets();
        let (repository, store) = open(disk, secrets, cache, &self.what);
        self.acknowledged(&repository, &[]);
        self.verified(&repository);
        if is_light {
            return;
        }
        if self.is_done && self.operation.backs_up() {
            let list = repository.snapshots().unwrap().snapshots;
            assert!(list.iter().filter(|stored| stored.confirmed).count() > self.world.good.len(), "{}: not acknowledged after all", self.what);
        }
        let by = if self.operation == Operation::BackupByRole { lab::open(store.clone(), BACKUP_KEY, cache).ok() } else { None };
        let next = lab::back_up(by.as_ref().unwrap_or(&repository), &self.world.next, "/one");
        let next = next.unwrap_or_else(|error| panic!("{}: the next backup: {error}", self.what));
        let more = [(next, self.world.next.clone())];
        if self.operation.backs_up() && cache.is_some() && disk.is_settled() == self.is_done {
            let (bytes, most) = (data_bytes(&store.disk()), self.world.whole_bytes * 11 / 10 + 16_384);
            assert!(bytes <= most, "{}: what was stored is stored again: {bytes} bytes of {most}", self.what);
        }
        drop(repository);
        // What the dead run put and no barrier kept may still go: the new snapshot was acknowledged after that.
        let settle = |mut disk: Disk| {
            disk.cut_power(Power::Lost);
            disk
        };
        let later = settle(store.disk());
        let (repository, store) = open(&later, secrets, cache, &self.what);
        self.acknowledged(&repository, &more);
        lab::prune_all(&repository).unwrap_or_else(|error| panic!("{}: the next prune: {error}", self.what));
        let (repository, _) = open(&settle(store.disk()), secrets, None, &self.what);
        self.acknowledged(&repository, &more);
        self.verified(&repository);
    }
}

/// Runs an operation once for each of its calls, which is the last one, and checks what is left.
fn every_cut(operation: Operation, powers: &[fn(u64) -> Power]) {
    let world = world();
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| -> PathBuf { scratch.path().join(name) };
    let (mut points, mut states) = (0, 0);
    for at in 1.. {
        let mut was_cut = false;
        for effect in [Effect::Before, Effect::After] {
            let cache = place("cache");
            let _ = fs::remove_dir_all(&cache);
            copy(world.cache.path(), &cache);
            let store = Arc::new(ModelStore::dying(world.disk.clone(), at, effect));
            let done = lab::open(store.clone(), operation.secret(), Some(&cache)).and_then(|repository| operation.run(&repository, &world));
            let Some(call) = store.died_in() else {
                done.unwrap();
                break;
            };
            was_cut = true;
            let is_write = WRITES.contains(&call);
            if !is_write && effect == Effect::After {
                continue;
            }
            points += 1;
            // A cut in a read leaves what a cut before the next write leaves, which is looked at more closely.
            for power in powers.iter().take(if is_write { powers.len() } else { 1 }).map(|power| power(at)) {
                let mut disk = store.disk();
                let torn = if power == Power::On { Vec::new() } else { disk.cut_power(power) };
                let what = format!("{operation:?} cut {effect:?} call {at} ({call}), power {power:?}");
                let used = place("cache-of-check");
                let _ = fs::remove_dir_all(&used);
                let has_cache = !matches!(power, Power::Drawn(_));
                if has_cache {
                    copy(&cache, &used);
                }
                let torn = torn.iter().map(ToString::to_string).collect();
                Check { world: &world, operation, is_done: done.is_ok(), torn, what }.run(&disk, has_cache.then_some(&used), !is_write);
                states += 1;
            }
        }
        if !was_cut {
            break;
        }
    }
    eprintln!("{operation:?}: {points} crash points, {states} states checked");
}

/// What a file system may leave that syncs contents before it gives them a name.
const POWERS: [fn(u64) -> Power; 5] = [|_| Power::On, |_| Power::Lost, |_| Power::OnlyDeletes, |_| Power::OnlyPuts, Power::Drawn];

macro_rules! cut_everywhere {
    ($($name:ident: $operation:ident,)*) => {
        $(#[test]
        fn $name() {
            every_cut(Operation::$operation, &POWERS);
        })*
    };
}

cut_everywhere! {
    a_backup_cut_at_every_call: Backup,
    a_backup_that_reads_nothing_back_cut_at_every_call: BackupByRole,
    a_tag_cut_at_every_call: Tag,
    a_pin_cut_at_every_call: Pin,
    a_forget_cut_at_every_call: Forget,
    an_undelete_cut_at_every_call: Undelete,
    a_prune_cut_at_every_call: Prune,
    a_prune_that_reads_no_contents_cut_at_every_call: PruneByRole,
    a_rewrite_cut_at_every_call: Rewrite,
    a_new_key_cut_at_every_call: AddKey,
    a_changed_key_cut_at_every_call: ChangeKey,
    a_removed_key_cut_at_every_call: RemoveKey,
    a_rotation_of_keys_cut_at_every_call: RotateKeys,
}

/// On a store that may keep names of contents it lost.
#[test]
fn objects_cut_short_by_a_power_cut_cost_nothing_acknowledged() {
    for operation in [Operation::Backup, Operation::Tag, Operation::Prune, Operation::RotateKeys] {
        every_cut(operation, &[Power::Torn, |at| Power::Torn(1_000_000 + at)]);
    }
}

/// A pin comes behind the snapshot of a killed run in the chain of its writer; then the power goes. The fuzz target `lives` found it.
#[test]
fn who_comes_behind_a_killed_run_keeps_what_it_names() {
    let world = world();
    let chained = (1..).map_while(|at| {
        let store = Arc::new(ModelStore::dying(world.disk.clone(), at, Effect::Before));
        let done = lab::open(store.clone(), 1, None).and_then(|repository| Operation::Backup.run(&repository, &world));
        store.died_in().map(|_| (at, done, store.disk()))
    });
    let mut seen = 0;
    for (at, done, disk) in chained {
        let (repository, store) = open(&disk, &[1], None, "after the death");
        let is_left = done.is_err() && repository.snapshots().unwrap().snapshots.iter().any(|stored| !stored.confirmed);
        Operation::Pin.run(&repository, &world).unwrap();
        let mut disk = store.disk();
        disk.cut_power(Power::Lost);
        let (repository, _) = open(&disk, &[1], None, "after the power cut");
        assert_eq!(lab::damage(&repository, None).unwrap(), [], "a backup that died in call {at}, then a pin");
        seen += u32::from(is_left);
    }
    assert!(seen > 0, "no run died behind its snapshot");
}

#[test]
fn an_init_cut_at_every_call_is_a_repository_or_can_be_made_again() {
    let mut points = 0;
    for at in 1.. {
        let mut was_cut = false;
        for effect in [Effect::Before, Effect::After] {
            for power in [Power::On, Power::Lost, Power::Drawn(at), Power::Drawn(at + 1000)] {
                let store = Arc::new(ModelStore::dying(Disk::default(), at, effect));
                let _ = lab::init(store.clone(), &[1, 2], None);
                let Some(call) = store.died_in() else { break };
                was_cut = true;
                points += 1;
                let mut disk = store.disk();
                disk.cut_power(power);
                let what = format!("init cut {effect:?} call {at} ({call}), power {power:?}");
                let store = Arc::new(ModelStore::new(disk));
                let opened = lab::open(store.clone(), 1, None).or_else(|_| lab::open(store.clone(), 2, None));
                let repository = opened.or_else(|_| lab::init(store.clone(), &[1, 2], None));
                let repository = repository.unwrap_or_else(|error| panic!("{what}: neither there nor to be made: {error}"));
                let files = Files::drawn(1, 3, 1000);
                let id = lab::back_up(&repository, &files, "/one").unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(Files::of(&repository, &lab::stored(&repository, id).unwrap()).unwrap(), files, "{what}");
            }
        }
        if !was_cut {
            break;
        }
    }
    eprintln!("Init: {points} states checked");
}
