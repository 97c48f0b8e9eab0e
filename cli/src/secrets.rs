//! Passwords and keys: where they come from. They are wiped after use and appear in no message.

use crate::complaint::{Complaint, shown};
use crate::exit::Exit;
use crate::output::text::visible;
use crate::world::World;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Longer secrets are a mistake: somebody named the wrong file.
const SECRET_BYTES_MAX: u64 = 64 * 1024;
/// How long a password command may take; a person may have to answer it.
const COMMAND_WAIT_MAX: Duration = Duration::from_mins(5);

/// Text that is wiped when dropped and not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(Zeroizing<String>);

impl Hidden {
    /// Takes `text` over.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

/// Where a secret is to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// A password, given by the environment.
    Password(Hidden),
    /// The first line of a file.
    PasswordFile(PathBuf),
    /// What a command prints.
    PasswordCommand(String),
    /// A key file.
    KeyFile(PathBuf),
    /// A file with a recovery key.
    RecoveryKeyFile(PathBuf),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password(_) => f.write_str("a password"),
            Self::PasswordFile(path) => write!(f, "password file {}", shown(path)),
            Self::PasswordCommand(line) => write!(f, "password command `{}`", visible(line.as_bytes())),
            Self::KeyFile(path) => write!(f, "key file {}", shown(path)),
            Self::RecoveryKeyFile(path) => write!(f, "recovery key file {}", shown(path)),
        }
    }
}

/// A secret at hand.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A password, as typed.
    Password(Hidden),
    /// The text of a key file.
    KeyFile(Hidden),
    /// A recovery key as text.
    RecoveryKey(Hidden),
}

impl SecretSource {
    /// The flag that names it; a password itself has none.
    pub fn flag(&self) -> String {
        let quoted = |path: &Path| shlex::try_quote(&path.to_string_lossy()).map_or_else(|_| String::new(), std::borrow::Cow::into_owned);
        match self {
            Self::Password(_) => String::new(),
            Self::PasswordFile(path) => format!("--password-file {}", quoted(path)),
            Self::PasswordCommand(line) => format!("--password-command {}", quoted(Path::new(line))),
            Self::KeyFile(path) => format!("--key-file {}", quoted(path)),
            Self::RecoveryKeyFile(path) => format!("--recovery-key-file {}", quoted(path)),
        }
    }

    /// Fetches it.
    pub fn fetch(&self) -> Result<Secret, Complaint> {
        Ok(match self {
            Self::Password(text) => Secret::Password(text.clone()),
            Self::PasswordFile(path) => Secret::Password(password(&read_file(path)?, &format!("the password file {}", shown(path)))?),
            Self::PasswordCommand(line) => Secret::Password(run_command(line)?),
            Self::KeyFile(path) => Secret::KeyFile(read_file(path)?),
            Self::RecoveryKeyFile(path) => Secret::RecoveryKey(read_file(path)?),
        })
    }

    /// The file it lies in, if others than its owner may read that.
    pub fn exposed_file(&self) -> Option<&Path> {
        let (Self::PasswordFile(path) | Self::KeyFile(path) | Self::RecoveryKeyFile(path)) = self else {
            return None;
        };
        let metadata = path.metadata().ok()?;
        (metadata.is_file() && metadata.mode() & 0o077 != 0).then_some(path)
    }
}

/// Asks for the password of an existing repository.
pub fn prompt(world: &World, location: &str) -> Result<Secret, Complaint> {
    let answer = ask(world, &format!("Password for {location}: "))?;
    Ok(Secret::Password(answer))
}

/// Asks for a new password, twice.
pub fn prompt_new(world: &World, question: &str) -> Result<Secret, Complaint> {
    let first = ask(world, question)?;
    let second = ask(world, "Once more: ")?;
    if first == second { Ok(Secret::Password(first)) } else { Err(Complaint::usage("the two passwords differ")) }
}

fn ask(world: &World, question: &str) -> Result<Hidden, Complaint> {
    let answer = world.prompt(question).map_err(|error| {
        if error.kind() == io::ErrorKind::Interrupted { Complaint::interrupted() } else { Complaint::usage("cannot ask for the password").because(&error) }
    })?;
    password(&Hidden::new(answer), "the password")
}

/// Cuts the line end off and refuses what is left if it is empty.
fn password(text: &Hidden, origin: &str) -> Result<Hidden, Complaint> {
    let trimmed = text.expose().trim_end_matches(['\n', '\r']);
    if trimmed.is_empty() {
        return Err(Complaint::usage(format!("{origin} is empty")));
    }
    Ok(Hidden::new(trimmed.to_owned()))
}

fn read_file(path: &Path) -> Result<Hidden, Complaint> {
    let complain = |error: &io::Error| Complaint::file(Exit::Usage, "read", path, error);
    let file = File::open(path).map_err(|error| complain(&error))?;
    read_bounded(file).map_err(|error| complain(&error))
}

fn read_bounded(reader: impl io::Read) -> io::Result<Hidden> {
    // All the room at once: a buffer that grows leaves unwiped copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX as usize + 1));
    reader.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(io::Error::other("it is too long for a password or key"));
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::other("it is not UTF-8 text"))?;
    Ok(Hidden::new(text.to_owned()))
}

/// Runs the command, without a shell, and takes what it prints.
fn run_command(line: &str) -> Result<Hidden, Complaint> {
    let name = format!("the password command `{}`", visible(line.as_bytes()));
    let words = shlex::split(line).filter(|words| !words.is_empty()).ok_or_else(|| Complaint::usage(format!("{name} has an open quote")))?;
    let mut child = Command::new(&words[0])
        .args(&words[1..])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| Complaint::usage(format!("{name} did not start")).because(&error))?;
    let Some(pipe) = child.stdout.take() else {
        return Err(Complaint::usage(format!("{name} has no output")));
    };
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(read_bounded(pipe)));
    let Ok(answer) = receiver.recv_timeout(COMMAND_WAIT_MAX) else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(Complaint::usage(format!("{name} did not answer within {} s", COMMAND_WAIT_MAX.as_secs())));
    };
    let answer = answer.map_err(|error| Complaint::usage(format!("{name} failed")).because(&error))?;
    let status = child.wait().map_err(|error| Complaint::usage(format!("{name} failed")).because(&error))?;
    if !status.success() {
        return Err(Complaint::usage(format!("{name} failed ({status})")));
    }
    password(&answer, &format!("the output of {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let secret = Secret::Password(Hidden::new("hunter2".into()));
        assert_eq!(format!("{secret:?}"), "Password(Hidden)");
        let source = SecretSource::Password(Hidden::new("hunter2".into()));
        assert!(!format!("{source:?} {source}").contains("hunter2"));
    }

    #[test]
    fn only_the_line_end_is_cut_off() {
        let cut = password(&Hidden::new(" pass word \r\n".into()), "it").expect("not empty");
        assert_eq!(cut.expose(), " pass word ");
        assert!(password(&Hidden::new("\n".into()), "it").is_err());
    }

    #[test]
    fn commands_run_without_a_shell() {
        let answer = run_command("printf '%s' 'a b; $HOME'").expect("it runs");
        assert_eq!(answer.expose(), "a b; $HOME");
        for wrong in ["false", "/nonexistent/program", "echo 'open", "true"] {
            let complaint = run_command(wrong).expect_err("refused");
            assert_eq!(complaint.exit, Exit::Usage, "{wrong}");
        }
    }

    #[test]
    fn a_wrong_file_is_noticed() {
        let long = vec![b'x'; SECRET_BYTES_MAX as usize + 1];
        assert!(read_bounded(long.as_slice()).is_err());
        assert!(read_bounded(&b"\xff"[..]).is_err());
    }
}
