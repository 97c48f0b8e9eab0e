//! Walk: a made tree on disk, looked at as a backup does before it reads.

use super::group;
use criterion::{Criterion, Throughput};
use std::{fs, io};
use vault_engine::ops::source::{Item, Skipped, Source as _, Stop, Visitor};
use vault_engine::sources::files::{FileSource, Options};

const FOLDERS: usize = 40;
const FILES: usize = 50;

#[derive(Default)]
struct Counter(usize);

impl Visitor for Counter {
    fn enter(&mut self, _: Item<'_>) -> Result<bool, Stop> {
        Ok(true)
    }

    fn leaf(&mut self, _: Item<'_>) -> Result<(), Stop> {
        self.0 += 1;
        Ok(())
    }

    fn leave(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn failed(&mut self, path: &[u8], error: io::Error) -> Result<(), Stop> {
        panic!("{}: {error}", String::from_utf8_lossy(path));
    }

    fn skipped(&mut self, _: &[u8], _: Skipped) -> Result<(), Stop> {
        Ok(())
    }
}

pub fn walk(c: &mut Criterion) {
    let root = tempfile::tempdir().unwrap();
    for folder in 0..FOLDERS {
        let folder = root.path().join(format!("folder-{folder}"));
        fs::create_dir(&folder).unwrap();
        (0..FILES).for_each(|file| fs::write(folder.join(format!("file-{file}.txt")), b"contents").unwrap());
    }
    let source = FileSource::new(Options { paths: vec![root.path().to_owned()], ..Options::default() }).unwrap();
    let mut group = group(c, "walk");
    group.throughput(Throughput::Elements((FOLDERS * FILES) as u64));
    group.bench_function("2,000 files in 40 folders", |b| {
        b.iter(|| {
            let mut counter = Counter::default();
            source.walk(&mut counter).unwrap();
            assert_eq!(counter.0, FOLDERS * FILES);
        });
    });
    group.finish();
}
