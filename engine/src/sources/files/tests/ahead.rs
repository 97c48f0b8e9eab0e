//! The walk with threads ahead of it shows what the plain one shows.

use super::*;
use proptest::prelude::*;

/// A tree from a list of numbers: each says where something goes and what it is.
fn plant(top: &Path, numbers: &[u32]) -> Vec<std::path::PathBuf> {
    let mut folders = vec![top.to_owned()];
    let mut entries = Vec::new();
    for (index, number) in numbers.iter().enumerate() {
        let parent = &folders[(number >> 8) as usize % folders.len()];
        let path = parent.join(format!("{}{index}", ["a", "b.tmp", "-", "z", "Z"][(number >> 4) as usize % 5]));
        match number % 16 {
            0..6 => {
                std::fs::create_dir(&path).unwrap();
                folders.push(path.clone());
            }
            6 => std::os::unix::fs::symlink("nowhere", &path).unwrap(),
            7 if !entries.is_empty() => {
                let target: &std::path::PathBuf = &entries[*number as usize % entries.len()];
                if target.symlink_metadata().unwrap().is_dir() || std::fs::hard_link(target, &path).is_err() {
                    continue;
                }
            }
            8 => std::fs::write(parent.join("CACHEDIR.TAG"), b"Signature: 8a477f597d28d172789f06886806bc55").unwrap(),
            9 => std::fs::set_permissions(parent, std::fs::Permissions::from_mode(0o755)).unwrap(),
            length => std::fs::write(&path, vec![7; length as usize]).unwrap(),
        }
        if path.symlink_metadata().is_ok() {
            entries.push(path);
        }
    }
    entries
}

fn options(top: &Path, choice: u8) -> Options {
    let mut excludes = Excludes::default();
    if choice & 1 == 1 {
        excludes.add_lines(b"*.tmp\n!b.tmp2*\nz1*", false).unwrap();
    }
    Options {
        paths: vec![top.to_owned()],
        excludes,
        one_file_system: choice & 2 == 2,
        exclude_caches: choice & 4 == 4,
        exclude_larger_than: (choice & 8 == 8).then_some(12),
        ..Options::default()
    }
}

/// Refuses some directories, and takes away entries as it goes.
struct Picky {
    seen: Seen,
    victims: Vec<std::path::PathBuf>,
    every: usize,
}

impl Picky {
    fn take_away(&mut self) {
        if self.seen.leaves.is_multiple_of(self.every)
            && let Some(victim) = self.victims.pop()
        {
            let _ = std::fs::remove_file(&victim);
            let _ = std::fs::remove_dir_all(&victim);
        }
    }
}

impl Visitor for Picky {
    fn enter(&mut self, item: Item<'_>) -> Result<bool, Stop> {
        self.take_away();
        if item.name.starts_with(b"Z") {
            self.seen.events.push(format!("refused {}", item.dir.path(item.name).escape_ascii()));
            return Ok(false);
        }
        if self.seen.short(&item.dir.path(item.name)).is_some() && self.victims.is_empty() {
            let (metadata, unread) = item.dir.metadata(item.name, item.stat).unwrap();
            self.seen.events.push(format!("{metadata:?} {unread:?}"));
        }
        self.seen.enter(item)
    }
    fn leaf(&mut self, item: Item<'_>) -> Result<(), Stop> {
        self.seen.leaf(item)?;
        self.take_away();
        Ok(())
    }
    fn leave(&mut self) -> Result<(), Stop> {
        self.seen.leave()
    }
    fn failed(&mut self, path: &[u8], error: io::Error) -> Result<(), Stop> {
        self.seen.failed(path, error)
    }
    fn skipped(&mut self, path: &[u8], why: Skipped) -> Result<(), Stop> {
        self.seen.skipped(path, why)
    }
}

fn walked_by(options: &Options, top: &Path, threads: usize, victims: Vec<std::path::PathBuf>, every: usize) -> Seen {
    let mut visitor = Picky { seen: Seen::under(top), victims, every };
    let mut source = FileSource::new(options.clone()).unwrap();
    source.threads = threads;
    source.walk(&mut visitor).unwrap();
    visitor.seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_same_in_the_same_order(numbers in proptest::collection::vec(any::<u32>(), 0..400), choice in any::<u8>(), threads in 1..4_usize) {
        let home = tempfile::tempdir().unwrap();
        let top = home.path().canonicalize().unwrap();
        plant(&top, &numbers);
        let options = options(&top, choice);
        let plain = walked_by(&options, &top, 0, Vec::new(), 1);
        for _ in 0..3 {
            prop_assert_eq!(difference(&walked_by(&options, &top, threads, Vec::new(), 1), &plain), None);
        }
    }

    /// Entries that go during the walk are shown, or told, or were not met any more. Of all others everything is as before.
    #[test]
    fn what_vanishes_disturbs_nothing_else(numbers in proptest::collection::vec(any::<u32>(), 20..300), picks in proptest::collection::vec(any::<prop::sample::Index>(), 1..20)) {
        let home = tempfile::tempdir().unwrap();
        let top = home.path().canonicalize().unwrap();
        let entries = plant(&top, &numbers);
        prop_assume!(!entries.is_empty());
        let victims: Vec<_> = picks.iter().map(|pick| pick.get(&entries).clone()).collect();
        let options = options(&top, 0);
        let plain = walked_by(&options, &top, 0, Vec::new(), 1);
        let seen = walked_by(&options, &top, 2, victims.clone(), numbers[0] as usize % 7 + 1);
        let gone: Vec<_> = victims.iter().map(|victim| victim.strip_prefix(&top).unwrap()).collect();
        let spared = |path: &&String| !gone.iter().any(|gone| Path::new(path.trim_end_matches('/')).starts_with(gone));
        let rest = |seen: &Seen| seen.order.iter().filter(spared).cloned().collect::<Vec<_>>();
        prop_assert_eq!(rest(&seen), rest(&plain));
        prop_assert_eq!(seen.depth, 0);
        for (path, kind) in &seen.failed {
            prop_assert!(!spared(&path), "{path}");
            prop_assert_eq!(*kind, io::ErrorKind::NotFound);
        }
    }
}

#[test]
fn a_visitor_that_stops_or_panics_ends_the_threads_too() {
    struct Ending(usize, bool);
    impl Visitor for Ending {
        fn enter(&mut self, _: Item<'_>) -> Result<bool, Stop> {
            Ok(true)
        }
        fn leaf(&mut self, _: Item<'_>) -> Result<(), Stop> {
            self.0 -= 1;
            assert!(self.0 > 0 || !self.1, "as planned");
            if self.0 == 0 { Err(Stop) } else { Ok(()) }
        }
        fn leave(&mut self) -> Result<(), Stop> {
            Ok(())
        }
        fn failed(&mut self, _: &[u8], _: io::Error) -> Result<(), Stop> {
            Ok(())
        }
        fn skipped(&mut self, _: &[u8], _: Skipped) -> Result<(), Stop> {
            Ok(())
        }
    }
    let home = tempfile::tempdir().unwrap();
    for folder in 0..100 {
        make(home.path(), &[&format!("{folder}/a/b/x"), &format!("{folder}/c/x"), &format!("{folder}/c/y")]);
    }
    let mut source = FileSource::new(Options { paths: vec![home.path().to_owned()], ..Options::default() }).unwrap();
    source.threads = 3;
    for leaves in [1, 2, 10, 150] {
        assert_eq!(source.walk(&mut Ending(leaves, false)), Err(Stop));
        assert!(std::panic::catch_unwind(|| source.walk(&mut Ending(leaves, true))).is_err());
    }
}

/// Far more directories than the window has room for, wide and deep, and ones too long to be read ahead.
#[test]
fn windows_that_are_too_small() {
    let home = tempfile::tempdir().unwrap();
    for wide in 0..400 {
        std::fs::create_dir(home.path().join(format!("w{wide}"))).unwrap();
        std::fs::write(home.path().join(format!("w{wide}/x")), b"").unwrap();
    }
    let mut deep = home.path().to_owned();
    for level in 0..200 {
        deep.push(format!("d{level}"));
        std::fs::create_dir_all(deep.join("after/wards")).unwrap();
        std::fs::write(deep.join("f"), b"").unwrap();
    }
    for long in ["l/below"] {
        std::fs::create_dir_all(home.path().join(long)).unwrap();
        for number in 0..5_000 {
            std::fs::write(home.path().join(long).join(number.to_string()), b"").unwrap();
        }
    }
    let seen = walked(home.path(), Options::default());
    assert_eq!(seen.leaves, 400 + 200 + 5_000);
}
