//! What went wrong, said to people: what failed, on which object, why, and what to try.

mod engine;

use crate::exit::Exit;
use crate::output::text::visible;
use std::fmt::Write as _;
use std::io;
use std::path::Path;

/// A reason to end the run.
#[derive(Debug)]
pub struct Complaint {
    /// The code to end with.
    pub exit: Exit,
    /// What failed, on which object; a clause without a full stop. Empty: there is nothing left to say.
    pub what: String,
    /// Why, from the nearest cause to the farthest.
    pub causes: Vec<String>,
    /// What to try.
    pub hints: Vec<String>,
}

impl Complaint {
    /// A complaint with the code `exit`.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// Something failed.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// The command line or a setting is wrong.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// A signal asked to end.
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted")
    }

    /// Ends with a code and without a word: everything was said already, or nobody listens any more.
    pub fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// A file of the user's own that could not be read or written.
    pub fn file(exit: Exit, doing: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(exit, format!("cannot {doing} {}", shown(path))).because(error)
    }

    /// Adds an error and all that caused it.
    #[must_use]
    pub fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            cause = error.source();
        }
        self
    }

    /// Adds a reason in words.
    #[must_use]
    pub fn since(mut self, why: impl Into<String>) -> Self {
        self.causes.push(why.into());
        self
    }

    /// Adds something to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Whether there is anything to say.
    pub fn is_silent(&self) -> bool {
        self.what.is_empty()
    }

    /// What and why, in one line.
    pub fn sentence(&self) -> String {
        let mut text = self.what.clone();
        for cause in &self.causes {
            let _ = write!(text, ": {cause}");
        }
        visible(text.as_bytes()).into_owned()
    }

    /// The whole of it, with its hints, ready for the terminal.
    pub fn paragraph(&self, color: bool) -> String {
        let (red, cyan, plain) = if color { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
        let mut text = format!("{red}error:{plain} {}\n", self.sentence());
        for hint in &self.hints {
            let _ = writeln!(text, "{cyan}hint:{plain} {}", visible(hint.as_bytes()));
        }
        text
    }
}

/// How a run that is over ends: that its report could not be printed counts only where there is nothing worse to say.
pub fn settle(told: Result<(), Complaint>, exit: Exit) -> Result<Exit, Complaint> {
    match told {
        Err(complaint) if exit == Exit::Complete => Err(complaint),
        _ => Ok(exit),
    }
}

/// What is left to do when standard output failed: nothing if its reader went away, else a complaint.
impl From<io::Error> for Complaint {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::silent(Exit::Complete) } else { Self::failed("cannot write to standard output").because(&error) }
    }
}

/// A path for people, safe on a terminal.
pub fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    visible(path.as_os_str().as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_why_and_what_to_try() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let complaint = Complaint::file(Exit::Usage, "read", Path::new("/etc/x\x1b[2J"), &denied).hint("run it as the owner");
        assert_eq!(complaint.sentence(), "cannot read /etc/x\\x1b[2J: permission denied");
        assert_eq!(complaint.paragraph(false), "error: cannot read /etc/x\\x1b[2J: permission denied\nhint: run it as the owner\n");
    }

    #[test]
    fn a_broken_pipe_is_no_failure() {
        let complaint = Complaint::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(complaint.is_silent());
        assert_eq!(complaint.exit, Exit::Complete);
        let gone = || Err(Complaint::silent(Exit::Complete));
        assert_eq!(settle(gone(), Exit::Damaged).expect("what was found counts"), Exit::Damaged);
        assert!(settle(gone(), Exit::Complete).is_err());
        let full = Complaint::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.exit, Exit::Failed);
    }
}
