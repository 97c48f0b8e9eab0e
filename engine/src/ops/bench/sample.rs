//! The sample: what the walk shows, and parts of it read as a backup reads them.

use super::{BenchError, Watch};
use crate::format::chunker::SINGLE_CHUNK_MAX;
use crate::format::node::NodeType;
use crate::ops::source::{Item, Skipped, Source, Stat, Stop, Visitor};
use std::io;
use std::iter::once;
use std::ops::Range;
use std::time::Duration;

/// Most bytes in a sample, all in memory.
const SAMPLE_BYTES_MAX: u64 = 64 << 20;
/// It is taken from this many places, evenly spread over what the walk showed.
const PLACES: u64 = 16;
/// Bytes asked for at once.
const READ: usize = 1 << 20;
/// Entries between two looks at the clock.
const ENTRIES: u64 = 64;

/// Part of a file.
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    /// Length of the whole file in bytes.
    pub(super) size: u64,
}

/// What the walk showed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Walked {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) unreadable: u64,
    pub(super) elapsed: Duration,
    pub(super) busy: Duration,
    /// Its time was up before its end.
    pub(super) cut_short: bool,
}

/// What was read of it.
#[derive(Default)]
pub(super) struct Sample {
    pub(super) pieces: Vec<Piece>,
    pub(super) bytes: u64,
    pub(super) unreadable: u64,
    pub(super) elapsed: Duration,
    pub(super) busy: Duration,
}

/// Bytes of a file that are data, holes left out. Some file systems keep short files where they show no blocks.
fn data_bytes(stat: &Stat) -> u64 {
    match stat.node_type {
        NodeType::File if stat.size <= SINGLE_CHUNK_MAX as u64 => stat.size,
        NodeType::File => stat.size.min(stat.allocated),
        _ => 0,
    }
}

/// Walks and describes as a backup does, but for `span` at most once there are contents.
pub(super) fn walk(source: &dyn Source, watch: Watch<'_>, span: Duration) -> Result<Walked, BenchError> {
    let (start, busy) = (watch.host.elapsed(), watch.host.busy());
    let mut counter = Counter { watch, end: start + span, walked: Walked::default() };
    let stopped = source.walk(&mut counter).is_err();
    watch.check()?;
    Ok(Walked { elapsed: watch.host.elapsed().saturating_sub(start), busy: watch.host.busy().saturating_sub(busy), cut_short: stopped, ..counter.walked })
}

struct Counter<'a> {
    watch: Watch<'a>,
    end: Duration,
    walked: Walked,
}

impl Counter<'_> {
    fn entry(&mut self, item: Item<'_>) -> Result<(), Stop> {
        self.walked.entries += 1;
        self.walked.bytes += data_bytes(item.stat);
        // Files are described by those who read them.
        if item.stat.node_type != NodeType::File && item.dir.metadata(item.name, item.stat).is_err() {
            self.walked.unreadable += 1;
        }
        let looks = self.walked.entries.is_multiple_of(ENTRIES);
        let is_over = || self.walked.bytes > 0 && self.watch.host.elapsed() > self.end;
        if looks && (self.watch.cancel.is_cancelled() || is_over()) { Err(Stop) } else { Ok(()) }
    }
}

impl Visitor for Counter<'_> {
    fn enter(&mut self, item: Item<'_>) -> Result<bool, Stop> {
        self.entry(item).map(|()| true)
    }

    fn leaf(&mut self, item: Item<'_>) -> Result<(), Stop> {
        self.entry(item)
    }

    fn leave(&mut self) -> Result<(), Stop> {
        Ok(())
    }

    fn failed(&mut self, _: &[u8], _: io::Error) -> Result<(), Stop> {
        self.walked.unreadable += 1;
        Ok(())
    }

    fn skipped(&mut self, _: &[u8], _: Skipped) -> Result<(), Stop> {
        Ok(())
    }
}

/// Which bytes of all that the walk showed are in the sample: the first `taken` of each `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Windows {
    taken: u64,
    period: u64,
}

impl Windows {
    fn over(bytes: u64) -> Self {
        if bytes <= SAMPLE_BYTES_MAX { Self { taken: 1, period: 1 } } else { Self { taken: SAMPLE_BYTES_MAX / PLACES, period: bytes.div_ceil(PLACES) } }
    }

    /// The ranges to read of a file of `size` bytes that begins at `position` of all bytes. Files that are one chunk are taken whole or not at all.
    fn of_file(self, position: u64, size: u64) -> Vec<Range<u64>> {
        if self.taken == self.period {
            return once(0..size).collect();
        }
        if size <= SINGLE_CHUNK_MAX as u64 {
            return once(0..size).filter(|_| position % self.period < self.taken).collect();
        }
        let (first, last) = (position / self.period, (position + size) / self.period);
        let of_window = |number: u64| {
            let start = number * self.period;
            start.max(position) - position..(start + self.taken).min(position + size).saturating_sub(position)
        };
        (first..=last).map(of_window).filter(|range| range.start < range.end).collect()
    }
}

/// Reads the sample of what `walked` showed, one file after the other, for `span` at most. Each place gets the same part of it, so that a slow disk makes the
/// sample smaller, not one-sided.
pub(super) fn read(source: &dyn Source, walked: &Walked, watch: Watch<'_>, span: Duration) -> Result<Sample, BenchError> {
    let mut reader = Reader {
        watch,
        span,
        end: Duration::ZERO,
        place: None,
        windows: Windows::over(walked.bytes),
        walked_bytes: walked.bytes,
        entries_left: walked.entries,
        position: 0,
        buffer: vec![0xff; READ],
        sample: Sample::default(),
    };
    // Only it itself stops: where the first walk did, or when it is cancelled.
    let _ = source.walk(&mut reader);
    watch.check()?;
    Ok(reader.sample)
}

struct Reader<'a> {
    watch: Watch<'a>,
    span: Duration,
    /// When the time of the place at hand is up.
    end: Duration,
    place: Option<u64>,
    windows: Windows,
    walked_bytes: u64,
    entries_left: u64,
    position: u64,
    buffer: Vec<u8>,
    sample: Sample,
}

impl Reader<'_> {
    fn entry(&mut self) -> Result<(), Stop> {
        let is_over = self.entries_left == 0 || self.watch.cancel.is_cancelled();
        self.entries_left = self.entries_left.saturating_sub(1);
        if is_over { Err(Stop) } else { Ok(()) }
    }

    /// Whether the place of what lies at `position` has time left.
    fn has_time(&mut self, position: u64) -> bool {
        let now = self.watch.host.elapsed();
        let place = (u128::from(position) * u128::from(PLACES) / u128::from(self.walked_bytes.max(1))) as u64;
        if self.place != Some(place) {
            self.place = Some(place);
            self.end = now + self.span / PLACES as u32;
        }
        now < self.end
    }

    /// Opens, reads and describes as a backup does.
    fn file(&mut self, item: Item<'_>, ranges: Vec<Range<u64>>) -> io::Result<()> {
        let mut timer = Timer::start(self.watch);
        let mut body = item.dir.open(item.name)?;
        for range in ranges {
            let mut bytes = Vec::new();
            let mut at = range.start;
            if !self.has_time(self.position + range.start) {
                continue;
            }
            while at < range.end {
                let Some(data) = body.next_data(at)?.filter(|data| data.start < data.end) else { break };
                at = data.start;
                let end = data.end.min(range.end);
                while at < end {
                    let most = (end - at).min(READ as u64) as usize;
                    let read = body.read(&mut self.buffer[..most])?;
                    timer.pause();
                    bytes.extend_from_slice(&self.buffer[..read]);
                    timer.resume();
                    at += read as u64;
                    if read == 0
                        || self.watch.host.elapsed() > self.end
                        || self.watch.cancel.is_cancelled()
                        || self.sample.bytes + bytes.len() as u64 >= 2 * SAMPLE_BYTES_MAX
                    {
                        at = u64::MAX;
                    }
                }
            }
            timer.pause();
            self.sample.bytes += bytes.len() as u64;
            if !bytes.is_empty() {
                self.sample.pieces.push(Piece { bytes, size: item.stat.size });
            }
            timer.resume();
        }
        body.stat()?;
        body.release();
        item.dir.metadata(item.name, item.stat)?;
        timer.pause();
        self.sample.elapsed += timer.elapsed;
        self.sample.busy += timer.busy;
        Ok(())
    }
}

impl Visitor for Reader<'_> {
    fn enter(&mut self, _: Item<'_>) -> Result<bool, Stop> {
        self.entry().map(|()| true)
    }

    fn leaf(&mut self, item: Item<'_>) -> Result<(), Stop> {
        self.entry()?;
        let length = data_bytes(item.stat);
        let ranges = if length == 0 { Vec::new() } else { self.windows.of_file(self.position, item.stat.size) };
        // A file of several places is opened in any case.
        let is_wanted = match &ranges[..] {
            [] => false,
            [range] => self.has_time(self.position + range.start),
            _ => true,
        };
        if is_wanted {
            self.sample.unreadable += u64::from(self.file(item, ranges).is_err());
        }
        self.position += length;
        Ok(())
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

/// Adds up the time between its starts and pauses.
pub(super) struct Timer<'a> {
    watch: Watch<'a>,
    since: (Duration, Duration),
    pub(super) elapsed: Duration,
    pub(super) busy: Duration,
}

impl<'a> Timer<'a> {
    pub(super) fn start(watch: Watch<'a>) -> Self {
        Self { watch, since: (watch.host.elapsed(), watch.host.busy()), elapsed: Duration::ZERO, busy: Duration::ZERO }
    }

    pub(super) fn pause(&mut self) {
        self.busy += self.watch.host.busy().saturating_sub(self.since.1);
        self.elapsed += self.watch.host.elapsed().saturating_sub(self.since.0);
    }

    pub(super) fn resume(&mut self) {
        self.since = (self.watch.host.elapsed(), self.watch.host.busy());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_taken_whole_and_much_in_even_places() {
        let all = Windows::over(SAMPLE_BYTES_MAX);
        assert!(all.of_file(12345, 100 << 20).into_iter().eq(once(0..100 << 20)));
        let bytes = 100 * SAMPLE_BYTES_MAX;
        let windows = Windows::over(bytes);
        let one_file = windows.of_file(0, bytes);
        assert_eq!(one_file.len() as u64, PLACES);
        assert_eq!(one_file.iter().map(|range| range.end - range.start).sum::<u64>(), SAMPLE_BYTES_MAX);
        assert!(one_file.windows(2).all(|two| two[1].start - two[0].start == bytes / PLACES));
    }

    #[test]
    fn many_files_are_sampled_like_one() {
        let bytes = 40 * SAMPLE_BYTES_MAX;
        let windows = Windows::over(bytes);
        for size in [1 << 10, 100 << 10, 300 << 10, 5 << 20] {
            let taken: u64 = (0..bytes / size).flat_map(|n| windows.of_file(n * size, size)).map(|range| range.end - range.start).sum();
            assert!(taken.abs_diff(SAMPLE_BYTES_MAX) < PLACES * size.min(256 << 10) + size, "files of {size}: {taken}");
        }
    }

    #[test]
    fn a_small_file_is_taken_whole_or_not_at_all() {
        let windows = Windows { taken: 100 << 10, period: 1 << 30 };
        let is = |position, size, wanted| windows.of_file(position, size).into_iter().eq(once(wanted));
        assert!(is(99 << 10, 50 << 10, 0..50 << 10));
        assert!(windows.of_file(101 << 10, 50 << 10).is_empty());
        assert!(is(99 << 10, 1 << 20, 0..1 << 10));
        assert!(is((1 << 30) - (1 << 20), 2 << 20, 1 << 20..(1 << 20) + (100 << 10)));
    }
}
