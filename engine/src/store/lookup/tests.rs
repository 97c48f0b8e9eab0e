//! The index over its life: loaded, grown, merged, shortened, found again in the cache.

use super::*;
use crate::format::keys::Key;
use crate::format::pack::PackKind;
use crate::format::slot::Secret;
use crate::store::Store;
use crate::store::host::SystemHost;
use crate::store::memory::MemoryStore;
use crate::store::repository::InitOptions;
use std::path::Path;
use std::sync::Arc;

const SECRET: Secret = Secret::KeyFile(Key([9; 32]));

fn opened(store: &Arc<MemoryStore>, cache: Option<&Path>) -> Repository {
    Repository::open(store.clone(), Arc::new(SystemHost::default()), &[SECRET], cache).unwrap()
}

fn new_store() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::default());
    Repository::init(store.clone(), Arc::new(SystemHost::default()), &[(SECRET, "test")], &InitOptions::default(), None).unwrap();
    store
}

fn name(number: u32) -> [u8; 32] {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}

/// Segment `number`: it has that many hundred rows, in packs of 64.
fn segment(number: u32) -> Segment {
    let pack = |n: u32| IndexedPack { id: ObjectId(name(number << 16 | n)), kind: PackKind::Data, length: 5 };
    let row = |n: u32| IndexRow { prefix: *name(number << 20 | n).first_chunk().unwrap(), pack: n / 64, ordinal: (n % 64) as u16 };
    Segment { packs: (0..=number * 100 / 64).map(pack).collect(), rows: (0..number * 100).map(row).collect(), replaces: Vec::new() }
}

fn assert_known(repository: &Repository, numbers: &[u32], all: u32) {
    for number in 0..all {
        for n in (0..number * 100).step_by(7) {
            let pack = IndexedPack { id: ObjectId(name((number << 16) | (n / 64))), kind: PackKind::Data, length: 5 };
            let expected = if numbers.contains(&number) { vec![(pack, (n % 64) as u16)] } else { Vec::new() };
            assert_eq!(repository.lookup.find(repository, &name(number << 20 | n)).unwrap(), expected, "row {n} of segment {number}");
        }
    }
    let packs = repository.lookup.packs(repository).unwrap();
    assert_eq!(packs.len() as u32, numbers.iter().map(|number| number * 100 / 64 + 1).sum::<u32>());
}

fn run_files(cache: &Path) -> Vec<std::path::PathBuf> {
    let folder = cache.read_dir().unwrap().next().unwrap().unwrap().path();
    let mut files: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("run-"));
    files
}

#[test]
fn an_index_is_loaded_grown_and_found_again() {
    let store = new_store();
    let other = opened(&store, None);
    let all: Vec<u32> = (0..24).collect();
    let ids: Vec<ObjectId> = all.iter().map(|number| other.put_segment_unseen(&mut segment(*number)).unwrap()).collect();
    assert_known(&opened(&store, None), &all, 24);

    let cache = tempfile::tempdir().unwrap();
    let repository = opened(&store, Some(cache.path()));
    assert_known(&repository, &all, 24);
    let size = repository.lookup.size(&repository).unwrap();
    assert_eq!((size.runs, size.rows), (1, 27_600), "many parts become one run");
    assert!((1.0..1.5).contains(&(size.filter_bytes as f64 / size.rows as f64)), "{size:?}");
    assert_eq!(run_files(cache.path()).len(), 1);

    // From now on the segments themselves are not read any more, and what is new makes few and small runs.
    let index = |id: &ObjectId| ObjectName::new(ObjectKind::Index, *id);
    let bytes: Vec<Vec<u8>> = ids.iter().map(|id| store.get(&index(id)).unwrap()).collect();
    ids.iter().for_each(|id| store.put(&index(id), b"damaged".to_vec()).unwrap());
    let repository = opened(&store, Some(cache.path()));
    assert_known(&repository, &all, 24);
    let mut more = all.clone();
    for number in 24..60 {
        repository.put_segment(&mut segment(number)).unwrap();
        more.push(number);
        let size = repository.lookup.size(&repository).unwrap();
        assert!(size.runs <= 5, "{size:?}");
        assert_eq!(run_files(cache.path()).len(), size.runs, "merged files go");
    }
    assert_known(&repository, &more, 60);
    assert_known(&opened(&store, Some(cache.path())), &more, 60);
    // A refresh lists anew, and finds the runs again.
    repository.lookup.refresh();
    assert_known(&repository, &more, 60);

    // Segments that are gone take their runs along; what else was in those is read again.
    ids.iter().zip(bytes).for_each(|(id, bytes)| store.put(&index(id), bytes).unwrap());
    store.delete(&index(&ids[3])).unwrap();
    more.retain(|number| *number != 3);
    assert_known(&opened(&store, Some(cache.path())), &more, 60);
}

#[test]
fn leftovers_of_killed_processes_go_and_a_full_disk_costs_only_memory() {
    let store = new_store();
    let cache = tempfile::tempdir().unwrap();
    let repository = opened(&store, Some(cache.path()));
    repository.put_segment(&mut segment(30)).unwrap();
    let [file] = &run_files(cache.path())[..] else { panic!("one run") };
    let leftover = |process: u32| file.with_file_name(format!("run-part.{process}-3"));
    // No process has this number: it is above the kernel's limit.
    let (ours, theirs) = (leftover(std::process::id()), leftover(1 << 30));
    std::fs::write(&ours, b"").unwrap();
    std::fs::write(&theirs, b"").unwrap();
    repository.put_segment(&mut segment(29)).unwrap();
    assert!(ours.exists() && !theirs.exists());

    // Where no file can be made, what is held stays, and the new rows are held in memory.
    let folder = file.parent().unwrap().to_owned();
    let aside = cache.path().join("aside");
    std::fs::rename(&folder, &aside).unwrap();
    std::fs::write(&folder, b"").unwrap();
    repository.put_segment(&mut segment(28)).unwrap();
    repository.put_segment(&mut segment(27)).unwrap();
    assert_known(&repository, &[27, 28, 29, 30], 31);
    std::fs::remove_file(&folder).unwrap();
    std::fs::rename(&aside, &folder).unwrap();
    assert_known(&opened(&store, Some(cache.path())), &[27, 28, 29, 30], 31);
    repository.put_segment(&mut segment(26)).unwrap();
    assert_known(&repository, &[26, 27, 28, 29, 30], 31);
    assert_known(&opened(&store, Some(cache.path())), &[26, 27, 28, 29, 30], 31);
}
