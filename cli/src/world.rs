//! All that comes from outside: environment, home, terminal, host, user, limits, signals. Nothing else in vault asks for them.

use crate::exit::Exit;
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use rustix::termios::{OptionalActions, Termios};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use vault_engine::ops::monitor::Cancel;

/// The outside, as it was when the program began. Not `Debug`: a variable may hold a password.
#[derive(Default)]
pub struct World {
    variables: BTreeMap<OsString, OsString>,
    home: Option<PathBuf>,
    program: PathBuf,
    /// This machine's name.
    pub host: String,
    /// Standard input is a terminal.
    pub stdin_is_terminal: bool,
    /// Standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// What an operation looks at to see whether it should end.
    pub cancel: Arc<Cancel>,
    signals: Arc<Signals>,
}

/// What the thread that waits for signals needs to know.
#[derive(Default)]
struct Signals {
    /// The first signal asks politely; otherwise it ends the program at once.
    polite: AtomicBool,
    /// The terminal before a prompt changed it.
    terminal: Mutex<Option<(File, Termios)>>,
}

impl World {
    /// Looks around, raises the limit of open files, and begins to listen for signals.
    pub fn enter() -> Self {
        let world = Self {
            variables: std::env::vars_os().collect(),
            // Asks the user database where HOME is unset, as in cron.
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            program: std::env::args_os().next().unwrap_or_default().into(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
            ..Self::default()
        };
        raise_open_files();
        world.listen();
        world
    }

    /// A world made of nothing but variables, for tests.
    #[cfg(test)]
    pub fn of(variables: &[(&str, &str)], home: Option<&str>) -> Self {
        Self { variables: variables.iter().map(|(name, value)| (name.into(), value.into())).collect(), home: home.map(PathBuf::from), ..Self::default() }
    }

    /// The variable `name`, also if it is empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }

    /// What to type to run this program again.
    pub fn program(&self) -> String {
        // Found in PATH, it has no slash; run by its path, as cargo does, it may not be in PATH.
        self.program.to_str().filter(|path| path.contains('/')).unwrap_or("vault").to_owned()
    }

    /// `$XDG_CONFIG_HOME/vault`.
    pub fn config_dir(&self) -> Option<PathBuf> {
        self.xdg("XDG_CONFIG_HOME", ".config")
    }

    /// `$XDG_DATA_HOME/vault`.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.xdg("XDG_DATA_HOME", ".local/share")
    }

    /// `$XDG_CACHE_HOME/vault`.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        self.xdg("XDG_CACHE_HOME", ".cache")
    }

    /// `$TMPDIR`, else `/tmp`.
    pub fn temporary_dir(&self) -> PathBuf {
        self.variable("TMPDIR").filter(|value| !value.is_empty()).unwrap_or(OsStr::new("/tmp")).into()
    }

    /// Relative values are invalid and ignored, as the XDG specification asks.
    fn xdg(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        self.variable(variable)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(self.home.as_ref()?.join(below_home)))
            .map(|path| path.join("vault"))
    }

    /// The name of the user, or `uid N`. Cron and services often say nothing; the superuser needs no saying.
    pub fn user(&self) -> String {
        ["USER", "LOGNAME"].into_iter().find_map(|name| self.variable(name)?.to_str().filter(|name| !name.is_empty())).map_or_else(
            || match rustix::process::geteuid().as_raw() {
                0 => "root".to_owned(),
                uid => format!("uid {uid}"),
            },
            str::to_owned,
        )
    }

    /// Whether somebody is there to answer and to read.
    pub fn has_terminal(&self) -> bool {
        self.stdin_is_terminal && self.stderr_is_terminal
    }

    /// Whether colours are wanted on a terminal: <https://no-color.org>.
    pub fn allows_color(&self) -> bool {
        self.variable("NO_COLOR").is_none_or(OsStr::is_empty) && self.variable("TERM").is_none_or(|term| term != "dumb")
    }

    /// From now on the first signal only asks the running operation to end.
    pub fn be_polite(&self) -> Arc<Cancel> {
        self.signals.polite.store(true, Ordering::Relaxed);
        Arc::clone(&self.cancel)
    }

    /// Asks on the terminal for a secret. A signal meanwhile puts the terminal back as it was.
    pub fn prompt(&self, question: &str) -> io::Result<String> {
        if let Ok(terminal) = File::open("/dev/tty")
            && let Ok(state) = rustix::termios::tcgetattr(&terminal)
        {
            *self.signals.terminal() = Some((terminal, state));
        }
        let answer = rpassword::prompt_password(question);
        *self.signals.terminal() = None;
        answer
    }

    /// A thread waits for signals. Those the parent told us to ignore (`nohup`, `&` in scripts) stay ignored.
    fn listen(&self) {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let ignored = ignored_signals();
        let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| ignored & (1 << (signal - 1)) == 0);
        let Ok(mut stream) = signal_hook::iterator::Signals::new(wanted) else {
            return; // The system's own handling, which ends the program, is no worse.
        };
        let (cancel, signals) = (Arc::clone(&self.cancel), Arc::clone(&self.signals));
        let waiter = move || {
            for _ in stream.forever() {
                if signals.polite.load(Ordering::Relaxed) && !cancel.is_cancelled() {
                    cancel.cancel();
                } else {
                    signals.leave();
                }
            }
        };
        // Without the thread a signal would be swallowed; then the program can only be killed. Threads are there or nothing works.
        let _ = std::thread::Builder::new().name("signals".into()).spawn(waiter);
    }
}

impl Signals {
    fn terminal(&self) -> std::sync::MutexGuard<'_, Option<(File, Termios)>> {
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the program at once.
    fn leave(&self) -> ! {
        if let Some((terminal, state)) = self.terminal().take() {
            let _ = rustix::termios::tcsetattr(terminal, OptionalActions::Now, &state);
        }
        signal_hook::low_level::exit(i32::from(Exit::Interrupted.code()))
    }
}

/// Keeps memory out of core files and from other processes of the same user: keys will be in it. The first thing to be done; what a system does not
/// know is done without.
pub fn shield_memory() {
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    // The soft limit alone: a producer that is started may raise it again.
    let limit = rustix::process::getrlimit(Resource::Core);
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: limit.maximum });
}

/// The soft limit of open files becomes the hard one; a large restore holds many.
fn raise_open_files() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let _ = rustix::process::setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The mask of signals that are ignored; there is no call for it that is not unsafe.
fn ignored_signals() -> u64 {
    std::fs::read_to_string("/proc/self/status").ok().and_then(|status| parse_ignored(&status)).unwrap_or(0)
}

fn parse_ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_follow_xdg_and_ignore_relative_values() {
        let world = World::of(&[("XDG_DATA_HOME", "relative"), ("XDG_CONFIG_HOME", "/c")], Some("/home/me"));
        assert_eq!(world.config_dir(), Some("/c/vault".into()));
        assert_eq!(world.data_dir(), Some("/home/me/.local/share/vault".into()));
        assert_eq!(World::of(&[], None).cache_dir(), None);
    }

    #[test]
    fn color_is_refused_by_no_color_and_dumb_terminals() {
        assert!(World::of(&[], None).allows_color());
        assert!(World::of(&[("NO_COLOR", "")], None).allows_color());
        assert!(!World::of(&[("NO_COLOR", "1")], None).allows_color());
        assert!(!World::of(&[("TERM", "dumb")], None).allows_color());
    }

    #[test]
    fn reads_the_mask_of_ignored_signals() {
        assert_eq!(parse_ignored("Name:\tx\nSigIgn:\t0000000000001003\n"), Some(0x1003));
        assert_eq!(parse_ignored("Name:\tx\n"), None);
    }
}
