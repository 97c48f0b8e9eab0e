//! The runs that this machine holds: found again in the cache, and merged before there are too many to ask.

use crate::format::id::{ObjectId, hex};
use crate::store::cache::Cache;
use crate::store::run::Run;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// A run is merged with the newer ones once these have more than one row for so many of its own. So there are few runs to ask, and a row is
/// written again only as often as the index grows by a third.
const RATIO: usize = 3;

/// A run, and what it stands for.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) run: Arc<Run>,
    /// Its file in the cache's folder, if it is listed there.
    pub(super) file: Option<String>,
    /// The segments in it.
    pub(super) segments: Vec<ObjectId>,
}

/// The runs of the cache that speak of wanted segments only; these are then not missing any more. Longest first.
pub(super) fn cached(cache: &Cache, missing: &mut HashMap<ObjectId, u64>) -> Vec<Held> {
    let Some(folder) = cache.folder() else { return Vec::new() };
    let (mut held, mut stale) = (Vec::new(), Vec::new());
    for (file, segments) in cache.runs() {
        // A run that speaks of a segment that is gone may speak of packs that are gone.
        let run = segments.iter().all(|segment| missing.contains_key(segment)).then(|| Run::open(&folder.join(&file)).ok()).flatten();
        match run {
            Some(run) => {
                for segment in &segments {
                    missing.remove(segment);
                }
                held.push(Held { run: Arc::new(run), file: Some(file), segments });
            }
            None => stale.push(file),
        }
    }
    if !stale.is_empty() {
        cache.replace_runs(None, &stale);
        stale.iter().for_each(|file| drop(std::fs::remove_file(folder.join(file))));
    }
    sort(&mut held);
    held
}

fn sort(held: &mut [Held]) {
    held.sort_by_key(|held| std::cmp::Reverse(held.run.rows()));
}

/// How many of the runs with so many rows, longest first, stay as they are when `new` rows come.
fn staying(rows: &[usize], new: usize) -> usize {
    let mut sum = new;
    for (place, rows) in rows.iter().enumerate().rev() {
        if *rows > RATIO * sum {
            return place + 1;
        }
        sum += rows;
    }
    0
}

/// Adds runs that are in no file yet, which together have the rows of `segments`, and merges what must be. If `listed`, the cache is told.
pub(super) fn add(cache: &Cache, listed: bool, mut held: Vec<Held>, new: Vec<Run>, segments: Vec<ObjectId>) -> Vec<Held> {
    let rows: Vec<usize> = held.iter().map(|held| held.run.rows()).collect();
    let mut merged = held.split_off(staying(&rows, new.iter().map(Run::rows).sum()));
    let all: Vec<&Run> = merged.iter().map(|held| &*held.run).chain(&new).collect();
    let all_segments: Vec<ObjectId> = merged.iter().flat_map(|held| &held.segments).chain(&segments).copied().collect();
    let made = match cache.folder() {
        None => Some(Held { run: Arc::new(Run::merge_in_memory(&all)), file: None, segments: all_segments }),
        Some(folder) => {
            let file = name_of(&all_segments);
            let path = folder.join(&file);
            let run = if listed { Run::merge(&path, &all) } else { Run::merge_unnamed(&path, &all) };
            run.ok().map(|run| Held { run: Arc::new(run), file: listed.then_some(file), segments: all_segments })
        }
    };
    let made = made.unwrap_or_else(|| {
        // No room for a file: what is there stays, and the rest is held in memory.
        held.append(&mut merged);
        Held { run: Arc::new(Run::merge_in_memory(&new.iter().collect::<Vec<_>>())), file: None, segments }
    });
    if let (Some(folder), Some(file)) = (cache.folder(), &made.file) {
        let old: Vec<String> = merged.iter().filter_map(|held| held.file.clone()).collect();
        cache.replace_runs(Some((file, made.run.rows() as u64, &made.segments)), &old);
        old.iter().filter(|old| *old != file).for_each(|old| drop(std::fs::remove_file(folder.join(old))));
        remove_leftovers(folder);
    }
    held.push(made);
    sort(&mut held);
    held
}

/// The same segments always make the same file.
fn name_of(segments: &[ObjectId]) -> String {
    let mut sorted = segments.to_vec();
    sorted.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for segment in &sorted {
        hasher.update(&segment.0);
    }
    format!("run-{}", hex(&hasher.finalize().as_bytes()[..16]))
}

/// Removes what killed processes were writing: files named `run-….PROCESS-NUMBER`. They can be gigabytes.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = folder.read_dir() else { return };
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        let is_run = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"run-"));
        let process = path.extension().and_then(|extension| extension.to_str()?.split('-').next()?.parse::<u32>().ok());
        if let Some(process) = process.filter(|_| is_run)
            && !Path::new(&format!("/proc/{process}")).exists()
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_stay_few_and_rows_are_seldom_written_again() {
        let (mut runs, mut written): (Vec<usize>, usize) = (Vec::new(), 0);
        for _ in 0..10_000 {
            let merged = runs.split_off(staying(&runs, 1000));
            runs.push(1000 + merged.iter().sum::<usize>());
            written += runs.last().unwrap_or(&0);
            assert!(runs.is_sorted_by(|a, b| a > b) && runs.len() <= 8, "{runs:?}");
        }
        assert_eq!(runs.iter().sum::<usize>(), 10_000_000);
        assert!(written < 25 * 10_000_000, "each row was written {} times", written / 10_000_000);
        assert_eq!(staying(&[100, 10], 1), 2);
        assert_eq!(staying(&[100, 10], 4), 1);
        assert_eq!(staying(&[100, 10], 25), 0);
    }
}
