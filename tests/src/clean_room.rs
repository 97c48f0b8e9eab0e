//! A room of its own for every test: the `vault` binary in an empty environment, with its own home, caches and repository.
//!
//! The binaries come from `VAULT_TESTS_BIN`, a directory, which `tests/run` sets after it has built them; without it (`cargo test` by
//! hand) they are built once per test process, in the profile of the running test, and found beside it.

use crate::call::Call;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The directory that holds `vault` and `vault-rescue`.
pub fn binaries() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(|| std::env::var_os("VAULT_TESTS_BIN").map_or_else(build, PathBuf::from))
}

fn build() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "vault-cli", "--package", "vault-rescue", "--bins"]);
    cargo.arg("--target-dir").arg(profile.parent().unwrap());
    if profile.file_name() == Some(OsStr::new("release")) {
        cargo.arg("--release");
    }
    let built = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap();
    assert!(built.success(), "the binaries did not build");
    profile.to_owned()
}

/// A temporary directory with everything a run may touch; removed with the room.
pub struct CleanRoom {
    dir: tempfile::TempDir,
    environment: Vec<(OsString, OsString)>,
    secrets: Vec<String>,
}

impl Default for CleanRoom {
    fn default() -> Self {
        Self::new()
    }
}

impl CleanRoom {
    /// An empty home; no repository, no configuration.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("vault-test-").tempdir().unwrap();
        // A plain user must be able to pass through; what is secret inside guards itself.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut room = Self { dir, environment: Vec::new(), secrets: Vec::new() };
        for name in ["home", "run"] {
            fs::create_dir(room.path(name)).unwrap();
        }
        room.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        room.set("LC_ALL", "C.UTF-8");
        room.set("TZ", "UTC");
        for (variable, place) in [
            ("HOME", "home"),
            ("XDG_DATA_HOME", "home/data"),
            ("XDG_CONFIG_HOME", "home/config"),
            ("XDG_STATE_HOME", "home/state"),
            ("XDG_CACHE_HOME", "home/cache"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            let place = room.path(place);
            room.set(variable, place);
        }
        room
    }

    /// A room whose environment names a repository (`repo`), made by `vault init` with a key file in the home.
    pub fn with_repository() -> Self {
        let mut room = Self::new();
        room.set("VAULT_REPOSITORY", room.path("repo"));
        room.vault(["init"]).run().ok();
        room.guard_key_files();
        room
    }

    /// The same without parity, so that what rots is lost.
    pub fn without_parity() -> Self {
        let mut room = Self::new();
        room.set("VAULT_REPOSITORY", room.path("repo"));
        room.vault(["init", "--parity", "none"]).run().ok();
        room.guard_key_files();
        room
    }

    /// A path in the room.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The key file that `init` makes where none is named.
    pub fn key_file(&self) -> PathBuf {
        self.path("home/config/vault/key")
    }

    /// The repository of [`CleanRoom::with_repository`].
    pub fn repository(&self) -> PathBuf {
        self.path("repo")
    }

    /// Sets a variable for every later call.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.unset(name);
        self.environment.push((name.into(), value.into()));
    }

    /// Takes a variable away.
    pub fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// A text that no later call may print.
    pub fn keep_secret(&mut self, secret: impl Into<String>) {
        self.secrets.push(secret.into());
    }

    /// Keeps secret what the room's key files and recovery files hold. The key itself, without its comment lines.
    pub fn guard_key_files(&mut self) {
        for path in files_below(self.dir.path()) {
            if path.starts_with(self.path("repo")) || path.starts_with(self.path("source")) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            self.secrets.extend(secret_words(&text));
        }
    }

    /// Where the cache lies by default.
    pub fn cache(&self) -> PathBuf {
        self.path("home/cache")
    }

    /// A call of `vault`.
    pub fn vault<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Call {
        self.program(binaries().join("vault"), arguments)
    }

    /// A call of `vault-rescue`.
    pub fn rescue<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Call {
        self.program(binaries().join("vault-rescue"), arguments)
    }

    /// A call of any program in the room's environment.
    pub fn program<A: AsRef<OsStr>>(&self, program: impl AsRef<OsStr>, arguments: impl IntoIterator<Item = A>) -> Call {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.environment.iter().cloned()).current_dir(self.dir.path());
        Call { command, input: None, prompt: None, secrets: self.secrets.clone(), may_panic: false }
    }

    /// The same on a terminal (`script` makes one), `input` typed into it. What is printed comes as standard output.
    pub fn on_terminal<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Call {
        let quote = |word: &OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
        let mut line = quote(binaries().join("vault").as_os_str());
        for argument in arguments {
            line.push(' ');
            line.push_str(&quote(argument.as_ref()));
        }
        let mut call = self.program("script", ["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
        call.command.env("TERM", "xterm").env("SHELL", "/bin/sh");
        call
    }

    /// `vault backup PATH`, which must succeed; the summary event.
    pub fn backup(&self, source: &Path) -> Value {
        self.vault([OsStr::new("backup"), OsStr::new("--json"), source.as_os_str()]).run().ok().summary()
    }

    /// `vault restore SNAPSHOT:/the/source --target NAME`, which must succeed; the target.
    pub fn restore(&self, snapshot: &str, source: &Path, name: &str) -> PathBuf {
        let target = self.path(name);
        let selector = selector(snapshot, source);
        self.vault([OsStr::new("restore"), &selector, OsStr::new("--target"), target.as_os_str()]).run().ok();
        target
    }

    /// The ids of all snapshots, oldest first.
    pub fn snapshots(&self) -> Vec<String> {
        let listed = self.vault(["snapshots", "--json"]).run().ok();
        let mut snapshots: Vec<(String, String)> = Vec::new();
        for event in listed.events() {
            let list = event.as_array().cloned().unwrap_or_else(|| vec![event]);
            for snapshot in list {
                if let (Some(id), Some(time)) = (snapshot["id"].as_str(), snapshot["time"].as_str()) {
                    snapshots.push((time.to_owned(), id.to_owned()));
                }
            }
        }
        snapshots.sort();
        snapshots.into_iter().map(|(_, id)| id).collect()
    }

    /// `vault verify --read-data`, which must find nothing.
    pub fn verify(&self) {
        self.vault(["verify", "--read-data"]).run().ok();
    }
}

/// `SNAPSHOT:PATH`.
pub fn selector(snapshot: &str, path: &Path) -> OsString {
    let mut text = OsString::from(snapshot);
    text.push(":");
    text.push(path);
    text
}

/// The path inside a target or snapshot that a source has: without its leading slash.
pub fn inside(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap()
}

/// Raw bytes of a path.
pub fn raw(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// All regular files below a directory.
pub fn files_below(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let entry = entry.unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// The words of a text that are keys in the repository's own spelling.
pub fn secret_words(text: &str) -> Vec<String> {
    let is_key = |word: &&str| {
        let lower = word.to_lowercase();
        (lower.starts_with("vaultkey1") || lower.starts_with("vaultrecovery")) && word.len() > 40
    };
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(is_key).map(str::to_owned).collect()
}
