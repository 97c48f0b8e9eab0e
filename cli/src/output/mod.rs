//! The choice between text, JSON and silence, made once; standard output for data, standard error for words about them.

pub mod describe;
pub mod json;
pub mod lister;
pub mod progress;
pub mod text;

use crate::args::Global;
use crate::complaint::Complaint;
use crate::exit::Exit;
use json::Event;
use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use text::visible;
use vault_engine::ops::alarm::Alarm;

/// How this run speaks.
pub struct Output {
    /// One JSON object a line instead of text.
    pub json: bool,
    /// Nothing but data and errors.
    pub quiet: bool,
    /// How often `-v` was given.
    pub verbose: u8,
    /// Standard error takes colours.
    pub color: bool,
    /// Standard error is a terminal that may be drawn on.
    pub draws: bool,
    /// Standard output carries a file's contents: events go to standard error.
    raw: bool,
    out: Mutex<BufWriter<Box<dyn Write + Send>>>,
    /// Set while a progress bar stands on the terminal; other lines have to move it.
    bar: Mutex<Option<indicatif::ProgressBar>>,
}

impl Output {
    /// Speaks on standard output and standard error.
    pub fn new(global: &Global, color: bool, draws: bool) -> Self {
        let Global { json, quiet, verbose, .. } = *global;
        Self {
            json,
            quiet,
            verbose,
            color,
            draws: draws && !json && !quiet,
            raw: false,
            out: Mutex::new(BufWriter::with_capacity(64 * 1024, Box::new(Stdout::open()))),
            bar: Mutex::new(None),
        }
    }

    /// Standard output is for a file's contents from now on.
    pub fn carry_contents(&mut self) {
        self.raw = true;
    }

    /// A line of the answer. In JSON mode nothing: the answer comes as events.
    pub fn line(&self, line: impl Display) -> Result<(), Complaint> {
        if self.json {
            return Ok(());
        }
        self.aside(|| writeln!(self.out(), "{line}"))?;
        Ok(())
    }

    /// A line that `-q` silences.
    pub fn remark(&self, line: impl Display) -> Result<(), Complaint> {
        if self.quiet { Ok(()) } else { self.line(line) }
    }

    /// An event; nothing without `--json`.
    pub fn event(&self, event: &Event) -> Result<(), Complaint> {
        if !self.json {
            return Ok(());
        }
        let line = event.line();
        if self.raw {
            writeln!(io::stderr(), "{line}")?;
        } else {
            writeln!(self.out(), "{line}")?;
        }
        Ok(())
    }

    /// Bytes of a file, as they are.
    pub fn contents(&self, bytes: &[u8]) -> io::Result<()> {
        self.out().write_all(bytes)
    }

    /// What was written so far goes out.
    pub fn flush(&self) -> Result<(), Complaint> {
        self.out().flush()?;
        Ok(())
    }

    /// A line for people on standard error, `-q` or not. That nobody reads it is no error.
    pub fn warn(&self, line: &str) {
        let (yellow, plain) = if self.color { ("\x1b[1;33m", "\x1b[0m") } else { ("", "") };
        self.say(&format!("{yellow}warning:{plain} {}", visible(line.as_bytes())));
    }

    /// Something that a person should look at today: said whatever the flags.
    pub fn alarm(&self, alarm: &Alarm) -> Result<(), Complaint> {
        let (kind, message) = describe::alarm(alarm);
        self.warn(&message);
        self.event(&Event::Alarm(json::Alarm { kind, message }))
    }

    /// A line for people on standard error, silenced by `-q` and `--json`.
    pub fn note(&self, line: &str) {
        if !self.quiet && !self.json {
            self.say(&visible(line.as_bytes()));
        }
    }

    /// A finished line on standard error.
    pub fn say(&self, line: &str) {
        if self.speaks_json_on_stderr() {
            return;
        }
        self.aside(|| {
            // What was said before on standard output comes before, where both are one terminal.
            let _ = self.out().flush();
            let _ = writeln!(io::stderr(), "{line}");
        });
    }

    /// A complaint, and the code to end with.
    pub fn complain(&self, complaint: &Complaint) -> Exit {
        if !complaint.is_silent() {
            let _ = self.flush();
            if !self.speaks_json_on_stderr() {
                let _ = write!(io::stderr(), "{}", complaint.paragraph(self.color));
            }
            let _ =
                self.event(&Event::ExitError(json::ExitError { code: complaint.exit.code(), message: complaint.sentence(), hints: complaint.hints.clone() }));
        }
        complaint.exit
    }

    /// The last words: the exit event, and all that is still in the buffer. A full disk behind standard output is a failure.
    pub fn close(&self, exit: Exit) -> Exit {
        let last = Event::Exit(json::Exit { code: exit.code(), result: exit.word() });
        match self.event(&last).and_then(|()| self.flush()) {
            Err(complaint) if exit == Exit::Complete => {
                if !complaint.is_silent() {
                    let _ = write!(io::stderr(), "{}", complaint.paragraph(self.color));
                }
                complaint.exit
            }
            _ => exit,
        }
    }

    /// Then words for people would be in the way of whoever parses it.
    fn speaks_json_on_stderr(&self) -> bool {
        self.raw && self.json
    }

    /// Does something beside the progress bar, so that lines do not run into it.
    fn aside<R>(&self, act: impl FnOnce() -> R) -> R {
        let bar = self.bar().clone();
        match bar {
            Some(bar) => bar.suspend(|| {
                let result = act();
                let _ = self.out().flush();
                result
            }),
            None => act(),
        }
    }

    fn bar(&self) -> MutexGuard<'_, Option<indicatif::ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn out(&self) -> MutexGuard<'_, BufWriter<Box<dyn Write + Send>>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Standard output without the line buffer of the standard library: a listing of a million entries is not a million writes.
struct Stdout(Option<std::fs::File>);

impl Stdout {
    fn open() -> Self {
        use std::os::fd::AsFd as _;
        Self(io::stdout().as_fd().try_clone_to_owned().ok().map(std::fs::File::from))
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(file) => file.write(bytes),
            None => io::stdout().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Some(file) => file.flush(),
            None => io::stdout().flush(),
        }
    }
}
