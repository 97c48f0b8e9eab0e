//! A monitor that is drawn: a bar on a terminal, a line a minute without one, an event a second in JSON, nothing with `-q`.

use super::Output;
use super::json::{self, Event};
use super::text::{bytes_short, clock, count, shorten, visible, width};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use vault_engine::ops::alarm::Alarm;
use vault_engine::ops::monitor::{Fate, Monitor, Progress};

const DRAW_EVERY: Duration = Duration::from_millis(200);
const EVENT_EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_mins(1);

/// What an operation is called while it runs.
#[derive(Clone, Copy, Debug)]
pub struct Activity {
    /// `backup`, for lines.
    pub name: &'static str,
    /// restic's word for it in `error` events.
    pub during: &'static str,
    /// Removed entries are listed without `-v`: a dry run is asked for to see them.
    pub lists_removed: bool,
}

/// The monitor of one operation. Workers only touch atomics; a thread of its own draws.
pub struct Screen {
    shared: Arc<Shared>,
    ticker: Option<JoinHandle<()>>,
}

struct Shared {
    output: Arc<Output>,
    activity: Activity,
    began: Instant,
    files_done: AtomicU64,
    files_total: AtomicU64,
    bytes_done: AtomicU64,
    bytes_total: AtomicU64,
    total_known: AtomicBool,
    problems: AtomicU64,
    /// The drawer wants to know what is being worked on; whoever comes next tells.
    name_wanted: AtomicBool,
    name: Mutex<Vec<u8>>,
    ended: Mutex<bool>,
    wake: Condvar,
}

impl Screen {
    /// Begins to draw.
    pub fn start(output: &Arc<Output>, activity: Activity) -> Self {
        let shared = Arc::new(Shared {
            output: Arc::clone(output),
            activity,
            began: Instant::now(),
            files_done: AtomicU64::new(0),
            files_total: AtomicU64::new(0),
            bytes_done: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            total_known: AtomicBool::new(false),
            problems: AtomicU64::new(0),
            name_wanted: AtomicBool::new(true),
            name: Mutex::new(Vec::new()),
            ended: Mutex::new(false),
            wake: Condvar::new(),
        });
        let drawn = Arc::clone(&shared);
        let ticker = (!output.quiet).then(|| std::thread::Builder::new().name("progress".into())).and_then(|thread| thread.spawn(move || drawn.tick()).ok());
        Self { shared, ticker }
    }

    /// Takes the bar away. Returns how long the operation took and how many problems it told.
    pub fn finish(mut self) -> (Duration, u64) {
        self.end();
        (self.shared.began.elapsed(), self.shared.problems.load(Relaxed))
    }

    fn end(&mut self) {
        *self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.wake.notify_all();
        if let Some(ticker) = self.ticker.take() {
            let _ = ticker.join();
        }
    }
}

/// An operation that failed leaves no bar behind.
impl Drop for Screen {
    fn drop(&mut self) {
        self.end();
    }
}

impl Monitor for Screen {
    fn progress(&self, progress: &Progress) {
        self.shared.files_done.store(progress.files_done, Relaxed);
        self.shared.files_total.store(progress.files_total, Relaxed);
        self.shared.bytes_done.store(progress.bytes_done, Relaxed);
        self.shared.bytes_total.store(progress.bytes_total, Relaxed);
        self.shared.total_known.store(progress.total_known, Relaxed);
    }

    fn wants_entries(&self) -> bool {
        let shared = &self.shared;
        shared.name_wanted.load(Relaxed) || shared.output.verbose > 0 || shared.activity.lists_removed
    }

    fn entry(&self, path: &[u8], fate: Fate, size_bytes: u64) {
        let shared = &self.shared;
        if shared.name_wanted.load(Relaxed)
            && shared.name_wanted.swap(false, Relaxed)
            && let Ok(mut name) = shared.name.try_lock()
        {
            name.clear();
            name.extend_from_slice(path);
        }
        if shared.output.verbose > 0 || (fate == Fate::Removed && shared.activity.lists_removed) {
            shared.tell_entry(path, fate, size_bytes);
        }
    }

    fn problem(&self, path: &[u8], what: &str) {
        let shared = &self.shared;
        shared.problems.fetch_add(1, Relaxed);
        let (item, item_hex) = json::lossy(path);
        let _ = shared.output.event(&Event::Error(json::Error {
            error: json::ErrorText { message: what.to_owned() },
            during: shared.activity.during,
            item,
            item_hex,
        }));
        let mut line = path.to_vec();
        if !line.is_empty() {
            line.extend_from_slice(b": ");
        }
        line.extend_from_slice(what.as_bytes());
        shared.output.warn(&visible(&line));
    }

    fn note(&self, text: &str) {
        let _ = self.shared.output.event(&Event::Note(json::Note { message: text.to_owned() }));
        self.shared.output.note(text);
    }

    fn alarm(&self, alarm: &Alarm) {
        let _ = self.shared.output.alarm(alarm);
    }
}

impl Shared {
    fn tell_entry(&self, path: &[u8], fate: Fate, size_bytes: u64) {
        let (action, rank) = match fate {
            Fate::New => ("new", 1),
            Fate::Changed => ("modified", 1),
            Fate::Unchanged | Fate::Kept => ("unchanged", 2),
            Fate::Skipped => ("excluded", 2),
            Fate::Restored => ("restored", 1),
            Fate::Removed => ("deleted", u8::from(!self.activity.lists_removed)),
        };
        if self.output.verbose < rank {
            return;
        }
        let (item, item_hex) = json::lossy(path);
        // That standard output is gone must not end a backup; its end will be told by the exit code of whatever comes last.
        let _ = self.output.event(&Event::VerboseStatus(json::VerboseStatus { action, item, item_hex, data_size: size_bytes }));
        let _ = self.output.line(format_args!("{action:<10} {}", visible(path)));
    }

    /// The drawing thread.
    fn tick(&self) {
        let bar = self.output.draws.then(new_bar);
        (*self.output.bar()).clone_from(&bar);
        let period = match (&bar, self.output.json) {
            (Some(_), _) => DRAW_EVERY,
            (None, true) => EVENT_EVERY,
            (None, false) => LINE_EVERY,
        };
        let mut rate = Rate::default();
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*ended {
            ended = self.wake.wait_timeout(ended, period).unwrap_or_else(PoisonError::into_inner).0;
            if *ended {
                break;
            }
            let view = self.view(&mut rate);
            if let Some(bar) = &bar {
                draw(bar, &view);
            } else if self.output.json {
                let _ = self.output.event(&view.event());
                let _ = self.output.flush();
            } else {
                self.output.say(&format!("{}: {}", self.activity.name, view.line()));
            }
            self.name_wanted.store(true, Relaxed);
        }
        drop(ended);
        *self.output.bar() = None;
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    fn view(&self, rate: &mut Rate) -> View {
        let elapsed = self.began.elapsed();
        let bytes_done = self.bytes_done.load(Relaxed);
        View {
            elapsed,
            files_done: self.files_done.load(Relaxed),
            files_total: self.files_total.load(Relaxed),
            bytes_done,
            bytes_total: self.bytes_total.load(Relaxed),
            total_known: self.total_known.load(Relaxed),
            problems: self.problems.load(Relaxed),
            bytes_a_second: rate.feed(elapsed, bytes_done),
            name: self.name.lock().map(|name| visible(&name).into_owned()).unwrap_or_default(),
        }
    }
}

fn new_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is a constant; should it be refused, indicatif's own style does.
    if let Ok(style) = ProgressStyle::with_template("{msg}") {
        bar.set_style(style);
    }
    bar
}

/// One message, so that each tick is one write to the terminal.
fn draw(bar: &ProgressBar, view: &View) {
    // A terminal without a size is drawn on as one of 80 columns; indicatif holds it the same way.
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok().filter(|size| size.ws_row > 0 && size.ws_col > 0);
    bar.set_message(view.drawn(size.map_or(80, |size| usize::from(size.ws_col))));
}

/// The state at one moment.
struct View {
    elapsed: Duration,
    files_done: u64,
    files_total: u64,
    bytes_done: u64,
    bytes_total: u64,
    total_known: bool,
    problems: u64,
    bytes_a_second: f64,
    name: String,
}

impl View {
    /// How much is done, from 0 to 1, once the whole is known.
    fn share(&self) -> Option<f64> {
        if !self.total_known {
            return None;
        }
        let (done, total) = if self.bytes_total > 0 { (self.bytes_done, self.bytes_total) } else { (self.files_done, self.files_total) };
        Some(if total == 0 { 1.0 } else { (done as f64 / total as f64).min(1.0) })
    }

    fn remaining(&self) -> Option<Duration> {
        if !self.total_known || self.bytes_a_second < 1.0 {
            return None;
        }
        let left = self.bytes_total.saturating_sub(self.bytes_done) as f64;
        Duration::try_from_secs_f64(left / self.bytes_a_second).ok()
    }

    /// The line on a terminal of so many columns; it leaves the last one free, where terminals differ.
    fn drawn(&self, columns: usize) -> String {
        let room = columns.saturating_sub(1);
        let share = self.share();
        let mut text = share.map_or_else(|| "  ?% ".to_owned(), |share| format!("{:>3.0}% ", share * 100.0));
        let cells = match columns {
            ..80 => 0,
            80..110 => 10,
            _ => 20,
        };
        if cells > 0 {
            let full = (share.unwrap_or(0.0) * cells as f64) as usize;
            let _ = write!(text, "[{:<cells$}] ", "=".repeat(full));
        }
        text.push_str(&self.line());
        let left = room.saturating_sub(width(&text) + 2);
        if left >= 8 {
            text.push_str("  ");
            text.push_str(&shorten(&self.name, left));
        }
        text.chars().take(room).collect()
    }

    fn line(&self) -> String {
        let mut line = count(self.files_done, "file", "files");
        let _ = write!(line, ", {}", bytes_short(self.bytes_done));
        if self.total_known && self.bytes_total > 0 {
            let _ = write!(line, " of {}", bytes_short(self.bytes_total));
        }
        let _ = write!(line, ", {}/s", bytes_short(self.bytes_a_second as u64));
        if let Some(remaining) = self.remaining() {
            let _ = write!(line, ", {} left", clock(remaining));
        } else {
            let _ = write!(line, ", {}", clock(self.elapsed));
        }
        if self.problems > 0 {
            let _ = write!(line, ", {}", count(self.problems, "problem", "problems"));
        }
        line
    }

    fn event(&self) -> Event {
        Event::Status(json::Status {
            seconds_elapsed: self.elapsed.as_secs(),
            seconds_remaining: self.remaining().map(|left| left.as_secs()),
            percent_done: self.share().unwrap_or(0.0),
            total_files: self.files_total,
            files_done: self.files_done,
            total_bytes: self.bytes_total,
            bytes_done: self.bytes_done,
            error_count: self.problems,
            current_files: vec![self.name.clone()],
        })
    }
}

/// Bytes a second over the last few seconds: an average that forgets with a half-life of about five.
#[derive(Default)]
struct Rate {
    at: Duration,
    done: u64,
    value: f64,
}

impl Rate {
    fn feed(&mut self, at: Duration, done: u64) -> f64 {
        let span = at.saturating_sub(self.at).as_secs_f64();
        if span > 0.0 {
            let now = done.saturating_sub(self.done) as f64 / span;
            let weight = if self.at.is_zero() { 1.0 } else { 1.0 - (-span / 7.0).exp() };
            self.value += (now - self.value) * weight;
            self.at = at;
            self.done = done;
        }
        self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        View {
            elapsed: Duration::from_secs(10),
            files_done: 1,
            files_total: 4,
            bytes_done: 1 << 20,
            bytes_total: 4 << 20,
            total_known: true,
            problems: 0,
            bytes_a_second: 1024.0 * 1024.0,
            name: "/a".into(),
        }
    }

    #[test]
    fn says_files_bytes_rate_and_time_left() {
        assert_eq!(view().line(), "1 file, 1.0 MiB of 4.0 MiB, 1.0 MiB/s, 0:03 left");
        assert_eq!(view().share(), Some(0.25));
        let unknown = View { total_known: false, problems: 2, ..view() };
        assert_eq!(unknown.line(), "1 file, 1.0 MiB, 1.0 MiB/s, 0:10, 2 problems");
        assert_eq!(unknown.share(), None);
    }

    #[test]
    fn the_drawn_line_never_wraps() {
        let long = View { name: "/very/long/".repeat(30), ..view() };
        for columns in [1, 5, 20, 79, 80, 100, 110, 200] {
            assert!(width(&long.drawn(columns)) < columns.max(2), "{columns}");
        }
        assert_eq!(long.drawn(80), " 25% [==        ] 1 file, 1.0 MiB of 4.0 MiB, 1.0 MiB/s, 0:03 left  /ve…y/long/");
    }

    #[test]
    fn nothing_to_do_is_done() {
        let nothing = View { bytes_total: 0, files_total: 0, bytes_a_second: 0.0, ..view() };
        assert_eq!(nothing.share(), Some(1.0));
        assert_eq!(nothing.remaining(), None);
    }

    #[test]
    fn the_rate_follows_and_smooths() {
        let mut rate = Rate::default();
        let first = rate.feed(Duration::from_secs(1), 100);
        assert!((first - 100.0).abs() < 1e-9);
        let second = rate.feed(Duration::from_secs(2), 100);
        assert!(second > 50.0 && second < 100.0, "{second}");
        assert!((rate.feed(Duration::from_secs(2), 500) - second).abs() < 1e-9);
    }

    #[test]
    fn counts_reach_the_view() {
        let quiet = crate::args::Global { quiet: true, ..Default::default() };
        let output = Arc::new(Output::new(&quiet, false, false));
        let screen = Screen::start(&output, Activity { name: "backup", during: "archival", lists_removed: false });
        screen.progress(&Progress { files_done: 3, bytes_done: 5, ..Progress::default() });
        screen.entry(b"/x\x1b", Fate::New, 1);
        let view = screen.shared.view(&mut Rate::default());
        assert_eq!((view.files_done, view.bytes_done), (3, 5));
        assert_eq!(view.name, "/x\\x1b");
        assert_eq!(screen.finish().1, 0);
    }
}
