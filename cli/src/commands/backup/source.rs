//! What a backup reads: files and folders, standard input, or what a command prints.

use super::args::Args;
use crate::complaint::{Complaint, shown};
use crate::exit::Exit;
use crate::patterns::{ListForm, read_names};
use crate::session::Session;
use crate::settings::BackupTable;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use vault_engine::format::node::Time;
use vault_engine::ops::monitor::Cancel;
use vault_engine::ops::source::Source;
use vault_engine::sources::files::{FileSource, Options};
use vault_engine::sources::stream::StreamSource;

/// How often to look whether a command is to be stopped.
const WATCH_EVERY: Duration = Duration::from_millis(100);

/// What is to be backed up, read and checked, but nothing begun.
pub enum Plan {
    /// Files and folders. Named paths that are not there stand beside them, with the system's words.
    Files { options: Options, missing: Vec<(PathBuf, String)> },
    /// Standard input, under this name.
    Stdin(OsString),
    /// What a command prints, under this name.
    Command { name: OsString, words: Vec<PathBuf> },
}

/// The source, and what is to be known about it when the backup has ended.
pub struct Chosen {
    pub source: Box<dyn Source>,
    /// Named paths that are not there.
    pub missing: Vec<(PathBuf, String)>,
    /// What becomes of the producing command, if there is one.
    pub producer: Option<Arc<Producer>>,
}

impl Plan {
    /// What `args` ask for.
    pub fn of(args: &Args, table: &BackupTable, session: &Session) -> Result<Self, Complaint> {
        let name = || args.stdin_filename.clone().unwrap_or_else(|| "stdin".into());
        if args.stdin_from_command {
            return Ok(Self::Command { name: name(), words: args.paths.clone() });
        }
        if args.stdin {
            if !args.paths.is_empty() {
                return Err(Complaint::usage("--stdin takes no paths"));
            }
            if session.world.stdin_is_terminal {
                return Err(Complaint::usage("standard input is a terminal").hint("pg_dump db | vault backup --stdin --stdin-filename db.sql"));
            }
            return Ok(Self::Stdin(name()));
        }
        if args.stdin_filename.is_some() {
            return Err(Complaint::usage("--stdin-filename needs --stdin or --stdin-from-command"));
        }
        let mut missing = Vec::new();
        let paths = present(named(args, &mut missing)?, &mut missing);
        if paths.is_empty() {
            return Err(nothing(&missing));
        }
        Ok(Self::Files { options: Options { paths, ..args.leave_out.options(table, &session.world)? }, missing })
    }

    /// Opens the source. `own` are our repository and cache, which exist by now; `at` is the time a stream gets.
    pub fn open(self, own: Vec<PathBuf>, at: Time, cancel: &Arc<Cancel>) -> Result<Chosen, Complaint> {
        let named = |name: &OsStr, made: io::Result<StreamSource>| {
            made.map_err(|error| Complaint::usage(format!("--stdin-filename {} is no file name", shown(name.as_ref()))).because(&error))
        };
        Ok(match self {
            Self::Files { options, missing } => {
                let source = FileSource::new(Options { own, ..options })
                    .map_err(|error| Complaint::failed(format!("cannot back up {}", shown(&error.path))).because(&error.error))?;
                Chosen { source: Box::new(source), missing, producer: None }
            }
            Self::Stdin(name) => {
                let input = io::stdin().as_fd().try_clone_to_owned().map_err(|error| Complaint::failed("cannot read standard input").because(&error))?;
                let source = named(&name, StreamSource::from_fd(name.as_bytes(), input, at))?;
                Chosen { source: Box::new(source), missing: Vec::new(), producer: None }
            }
            Self::Command { name, words } => {
                let (output, producer) = Producer::start(&words, cancel)?;
                let source = named(&name, StreamSource::new(name.as_bytes(), Box::new(output), at))?;
                Chosen { source: Box::new(source), missing: Vec::new(), producer: Some(producer) }
            }
        })
    }
}

fn named(args: &Args, missing: &mut Vec<(PathBuf, String)>) -> Result<Vec<PathBuf>, Complaint> {
    let mut paths = args.paths.clone();
    let lists = [(&args.files_from, ListForm::Globs), (&args.files_from_verbatim, ListForm::Verbatim), (&args.files_from_raw, ListForm::Raw)];
    for (files, form) in lists {
        for file in files {
            let mut unmatched = |line: &[u8]| missing.push((OsStr::from_bytes(line).into(), "nothing fits this pattern".into()));
            paths.extend(read_names(file, form, &mut unmatched)?);
        }
    }
    Ok(paths)
}

/// Those of the paths that exist. One that does not is told and makes the backup incomplete; the others are backed up all the same.
fn present(paths: Vec<PathBuf>, missing: &mut Vec<(PathBuf, String)>) -> Vec<PathBuf> {
    let mut there = Vec::with_capacity(paths.len());
    for path in paths {
        match path.symlink_metadata() {
            Ok(_) => there.push(path),
            Err(error) => missing.push((path, error.to_string())),
        }
    }
    there
}

fn nothing(missing: &[(PathBuf, String)]) -> Complaint {
    match missing {
        [] => Complaint::usage("nothing to back up is named").hint("vault backup FOLDER"),
        [(path, why)] => Complaint::failed(format!("cannot back up {}", shown(path))).since(why.clone()),
        _ => {
            let mut complaint = Complaint::failed("none of the named paths is there");
            for (path, why) in missing.iter().take(5) {
                complaint = complaint.hint(format!("{}: {why}", shown(path)));
            }
            complaint
        }
    }
}

/// A command whose output is backed up. Only if it ends well may the backup be committed.
pub struct Producer {
    name: String,
    failure: Mutex<Option<String>>,
}

impl Producer {
    fn start(words: &[PathBuf], cancel: &Arc<Cancel>) -> Result<(ProducerOutput, Arc<Self>), Complaint> {
        let Some((program, arguments)) = words.split_first() else {
            return Err(
                Complaint::usage("--stdin-from-command needs a command").hint("vault backup --stdin-from-command --stdin-filename db.sql -- pg_dump db")
            );
        };
        let name = shown(program);
        let mut child = Command::new(program)
            .args(arguments)
            // It has no business with our password.
            .env_remove("VAULT_PASSWORD")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| Complaint::new(Exit::Producer, format!("cannot start {name}")).because(&error))?;
        let producer = Arc::new(Self { name, failure: Mutex::default() });
        let pipe = child.stdout.take();
        let child = Arc::new(Mutex::new(child));
        let (watched, asked) = (Arc::downgrade(&child), Arc::clone(cancel));
        // Reading what the command prints may take for ever; whoever asks to stop must not have to wait for it.
        std::thread::spawn(move || {
            while let Some(child) = watched.upgrade() {
                if asked.is_cancelled() {
                    let _ = lock(&child).kill();
                    break;
                }
                drop(child);
                std::thread::sleep(WATCH_EVERY);
            }
        });
        let output = ProducerOutput { child, pipe, producer: Arc::clone(&producer), cancel: Arc::clone(cancel) };
        Ok((output, producer))
    }

    /// Why it failed, as a complaint.
    pub fn complaint(&self) -> Option<Complaint> {
        let failure = lock(&self.failure).clone()?;
        Some(Complaint::new(Exit::Producer, format!("{} failed, so nothing was stored", self.name)).since(failure))
    }
}

/// Reads what the command prints. The end of its output counts only once the command has ended well; otherwise reading fails and
/// the whole backup is called off.
struct ProducerOutput {
    child: Arc<Mutex<Child>>,
    pipe: Option<ChildStdout>,
    producer: Arc<Producer>,
    cancel: Arc<Cancel>,
}

impl ProducerOutput {
    /// Waits for the command to end, without keeping it from being killed meanwhile.
    fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = lock(&self.child).try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Read for ProducerOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(pipe) = &mut self.pipe else { return Ok(0) };
        let failure = match pipe.read(buffer) {
            Ok(0) if !buffer.is_empty() => match self.wait() {
                // Asked to stop, the command was killed by us: that is no failure of its own.
                _ if self.cancel.is_cancelled() => return Err(io::Error::other("interrupted")),
                Ok(status) if status.success() => {
                    self.pipe = None;
                    return Ok(0);
                }
                Ok(status) => status.to_string(),
                Err(error) => error.to_string(),
            },
            Ok(length) => return Ok(length),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => error.to_string(),
        };
        *lock(&self.producer.failure) = Some(failure.clone());
        self.cancel.cancel();
        Err(io::Error::other(failure))
    }
}

/// A backup that ends early leaves no command behind.
impl Drop for ProducerOutput {
    fn drop(&mut self) {
        if self.pipe.is_some() {
            let mut child = lock(&self.child);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn produce(script: &str) -> (io::Result<Vec<u8>>, Arc<Producer>, bool) {
        let cancel = Arc::new(Cancel::default());
        let words = ["sh", "-c", script].map(PathBuf::from);
        let (mut output, producer) = Producer::start(&words, &cancel).expect("started");
        let mut bytes = Vec::new();
        let result = output.read_to_end(&mut bytes).map(|_| bytes);
        (result, producer, cancel.is_cancelled())
    }

    #[test]
    fn the_end_counts_only_if_the_command_ended_well() {
        let (bytes, producer, cancelled) = produce("echo out");
        assert_eq!(bytes.expect("read"), b"out\n");
        assert!(producer.complaint().is_none() && !cancelled);
        let (bytes, producer, cancelled) = produce("echo out; exit 3");
        assert!(bytes.is_err() && cancelled);
        let complaint = producer.complaint().expect("it failed");
        assert_eq!(complaint.exit.code(), 4);
        assert!(complaint.sentence().contains("exit status: 3"), "{}", complaint.sentence());
    }

    #[test]
    fn whoever_asks_to_stop_need_not_wait_for_the_command() {
        let cancel = Arc::new(Cancel::default());
        let words = ["sleep", "60"].map(PathBuf::from);
        let (mut output, producer) = Producer::start(&words, &cancel).expect("started");
        cancel.cancel();
        let began = std::time::Instant::now();
        assert!(output.read(&mut [0; 8]).is_err());
        assert!(began.elapsed() < Duration::from_secs(30));
        assert!(producer.complaint().is_none(), "it did not fail by itself");
    }

    #[test]
    fn paths_that_are_not_there_are_told_apart() {
        let mut missing = Vec::new();
        let there = present(vec!["/".into(), "/nonexistent-vault".into()], &mut missing);
        assert_eq!(there, [PathBuf::from("/")]);
        assert_eq!(missing.len(), 1);
        assert_eq!(nothing(&missing).exit.code(), 1);
        assert_eq!(nothing(&[]).exit.code(), 2);
    }
}
