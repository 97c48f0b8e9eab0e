//! A call of a program: how it is made, how it runs, and what it said when it had ended.

use serde_json::Value;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A command that takes longer is taken for hung. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(5);

/// A call about to be made.
pub struct Call {
    pub(crate) command: Command,
    pub(crate) input: Option<Vec<u8>>,
    pub(crate) prompt: Option<String>,
    pub(crate) secrets: Vec<String>,
    pub(crate) may_panic: bool,
}

impl Call {
    /// One argument more.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// A variable for this call alone.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without a variable, for this call alone.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs in another directory.
    #[must_use]
    pub fn within(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// What standard input holds; without it, it is empty.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// The input is typed only when this has been printed: a terminal echoes what comes before the prompt turned that off.
    #[must_use]
    pub fn after(mut self, prompt: &str) -> Self {
        self.prompt = Some(prompt.to_owned());
        self
    }

    /// The one call that is meant to show a secret.
    #[must_use]
    pub fn may_show_secrets(mut self) -> Self {
        self.secrets.clear();
        self
    }

    /// A call that is made to panic; without this a panic fails the test.
    #[must_use]
    pub fn may_panic(mut self) -> Self {
        self.may_panic = true;
        self
    }

    /// As an account without rights (uid 65534), in a copy of the binary that it can reach.
    #[must_use]
    pub fn as_plain_user(self) -> Self {
        let room = self.command.get_current_dir().unwrap().to_owned();
        let copy = room.join("bin-for-all");
        if !copy.exists() {
            fs::copy(self.command.get_program(), &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(&copy).args(self.command.get_args());
        command.env_clear().current_dir(&room);
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Self { command, ..self }
    }

    /// Under another program, for example a tracer: `wrapper` comes before the program.
    #[must_use]
    pub fn under(self, wrapper: &[&OsStr]) -> Self {
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(self.command.get_program()).args(self.command.get_args()).env_clear();
        command.current_dir(self.command.get_current_dir().unwrap());
        for (name, value) in self.command.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        Self { command, ..self }
    }

    /// Starts it and hands out the running child.
    pub fn start(mut self) -> Running {
        let words: Vec<&OsStr> = [self.command.get_program()].into_iter().chain(self.command.get_args()).collect();
        let line = format!("{words:?} in {}", self.command.get_current_dir().unwrap().display());
        let stdin = if self.input.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = self.command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
        let stdout = Drain::of(child.stdout.take().unwrap());
        let stderr = Drain::of(child.stderr.take().unwrap());
        if let Some(bytes) = self.input.take() {
            let (mut stdin, printed, prompt) = (child.stdin.take().unwrap(), Arc::clone(&stdout.bytes), self.prompt.take());
            std::thread::spawn(move || {
                let start = Instant::now();
                while prompt.as_ref().is_some_and(|prompt| !contains(&printed.lock().unwrap(), prompt.as_bytes())) && start.elapsed() < PATIENCE {
                    std::thread::sleep(Duration::from_millis(5));
                }
                // A child that ends early closes the pipe; that is its right.
                let _ = stdin.write_all(&bytes);
            });
        }
        Running { child, line, stdout, stderr, secrets: self.secrets, may_panic: self.may_panic }
    }

    /// Runs it to its end.
    pub fn run(self) -> Done {
        self.start().wait()
    }
}

/// What a pipe has given so far, gathered by a thread.
struct Drain {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: JoinHandle<()>,
}

impl Drain {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&bytes);
        let thread = std::thread::spawn(move || {
            let mut piece = vec![0; 65_536];
            loop {
                match pipe.read(&mut piece).unwrap() {
                    0 => break,
                    length => gathered.lock().unwrap().extend_from_slice(&piece[..length]),
                }
            }
        });
        Self { bytes, thread }
    }

    fn end(self) -> Vec<u8> {
        self.thread.join().unwrap();
        std::mem::take(&mut self.bytes.lock().unwrap())
    }
}

/// A call that is under way.
pub struct Running {
    child: Child,
    line: String,
    stdout: Drain,
    stderr: Drain,
    secrets: Vec<String>,
    may_panic: bool,
}

impl Running {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        // It may have ended a moment ago.
        let _ = rustix::process::kill_process(pid, signal);
    }

    /// Waits for the end; a child that does not end within five minutes is killed and fails the test.
    pub fn wait(mut self) -> Done {
        let start = Instant::now();
        let mut pause = Duration::from_micros(500);
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                panic!("does not end: {}", self.line);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        let done = Done { line: self.line, code: status.code(), signal: status.signal(), stdout: self.stdout.end(), stderr: self.stderr.end() };
        for secret in &self.secrets {
            let told = [&done.stdout, &done.stderr].into_iter().any(|bytes| contains(bytes, secret.as_bytes()));
            assert!(!told, "a secret was printed by {}", done.line);
        }
        assert!(self.may_panic || !contains(&done.stderr, b"panicked at"), "{done}");
        done
    }
}

/// Whether `needle` lies in `haystack`.
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// A call that has ended.
#[derive(Debug)]
pub struct Done {
    /// The command line, for messages.
    pub line: String,
    /// The exit code, unless a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Everything on standard output.
    pub stdout: Vec<u8>,
    /// Everything on standard error.
    pub stderr: Vec<u8>,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (out, err) = (String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
        write!(f, "{}\n  exit code {:?}, signal {:?}\n--- stdout\n{out}\n--- stderr\n{err}", self.line, self.code, self.signal)
    }
}

impl Done {
    /// Fails the test unless the exit code is 0.
    pub fn ok(self) -> Self {
        self.code(0)
    }

    /// Fails the test unless this is the exit code.
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn complaint(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Both.
    pub fn all(&self) -> String {
        self.text() + &self.complaint()
    }

    /// Fails the test unless output or complaint has this text.
    pub fn says(self, text: &str) -> Self {
        assert!(self.all().contains(text), "does not say {text:?}: {self}");
        self
    }

    /// Every line of standard output as JSON; a line that is none fails the test.
    pub fn events(&self) -> Vec<Value> {
        let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line:?} of {self}"));
        self.text().lines().map(parse).collect()
    }

    /// The events of one kind.
    pub fn events_of(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["message_type"] == kind).collect()
    }

    /// The summary event.
    pub fn summary(&self) -> Value {
        self.events_of("summary").pop().unwrap_or_else(|| panic!("no summary: {self}"))
    }
}

/// A number in an event; missing is an error, so that a renamed field cannot pass for zero.
pub fn number(event: &Value, field: &str) -> u64 {
    event[field].as_u64().unwrap_or_else(|| panic!("no number {field:?} in {event}"))
}

/// A text in an event.
pub fn text(event: &Value, field: &str) -> String {
    event[field].as_str().unwrap_or_else(|| panic!("no text {field:?} in {event}")).to_owned()
}
