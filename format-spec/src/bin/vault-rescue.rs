//! The command line of the second reader.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use vault_rescue::bundle::Role;
use vault_rescue::fault::{Fault, Result, Rule};
use vault_rescue::keys::Class;
use vault_rescue::repository::Repository;
use vault_rescue::slot::{KEY_FILE, RECOVERY, Secret, read_text};
use vault_rescue::walk::{Step, Walk};
use vault_rescue::{check, extract, show, vectors};

const USAGE: &str = "usage: vault-rescue --repo DIR (--password-file F | --key-file F | --recovery-key-file F) COMMAND
commands: list | ls SNAPSHOT | extract SNAPSHOT TARGET | check
       vault-rescue vector FILE...
SNAPSHOT is the beginning of a snapshot's name, or `latest`";

struct Arguments {
    repository: Option<PathBuf>,
    secret: Option<(String, PathBuf)>,
    command: Vec<std::ffi::OsString>,
}

fn arguments() -> Option<Arguments> {
    let mut found = Arguments { repository: None, secret: None, command: Vec::new() };
    let mut words = std::env::args_os().skip(1);
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("--repo") => found.repository = Some(words.next()?.into()),
            Some(option @ ("--password-file" | "--key-file" | "--recovery-key-file")) => {
                found.secret = Some((option.to_owned(), words.next()?.into()));
            }
            Some(option) if option.starts_with("--") => return None,
            _ => found.command.push(word),
        }
    }
    Some(found)
}

fn secret(option: &str, path: &Path) -> Result<Secret> {
    let read = std::fs::read(path);
    let mut bytes = read.map_err(|error| Fault::new(Rule::Io, error.to_string()).of(&path.to_string_lossy()))?;
    match option {
        "--password-file" => {
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
                if bytes.last() == Some(&b'\r') {
                    bytes.pop();
                }
            }
            Ok(Secret::Password(bytes))
        }
        "--key-file" => Ok(Secret::KeyFile(read_text(&bytes, KEY_FILE)?)),
        _ => Ok(Secret::Recovery(read_text(&bytes, RECOVERY)?)),
    }
}

fn say(line: &str) -> Result<()> {
    let written = writeln!(std::io::stdout().lock(), "{line}");
    written.map_err(|error| Fault::new(Rule::Io, error.to_string()).of("standard output"))
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let words: Vec<&str> = arguments.command.iter().filter_map(|word| word.to_str()).collect();
    let outcome = match (words.as_slice(), &arguments.repository, &arguments.secret) {
        (["vector", ..], _, _) if arguments.command.len() > 1 => run_vectors(&arguments.command[1..]),
        (_, Some(repository), Some((option, path))) => {
            let wanted = match words.first() {
                Some(&"list" | &"check") => 1,
                Some(&"ls") => 2,
                Some(&"extract") => 3,
                _ => 0,
            };
            if wanted == 0 || arguments.command.len() != wanted {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
            run(repository, option, path, &arguments.command)
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(fault) => {
            eprintln!("vault-rescue: {fault}");
            ExitCode::from(1)
        }
    }
}

/// Runs a command; `false` if something was damaged.
fn run(directory: &Path, option: &str, path: &Path, command: &[std::ffi::OsString]) -> Result<bool> {
    let mut repository = Repository::open(directory, &secret(option, path)?)?;
    let mut good = true;
    let mut report = |fault: Fault| {
        good = false;
        eprintln!("vault-rescue: {fault}");
    };
    let role = repository.keys().role;
    if role != Role::Owner {
        eprintln!("vault-rescue: this is {}", role.words());
    }
    let word = command[0].to_str().unwrap_or_default();
    if word == "check" {
        let counts = check::check(&mut repository, &mut report)?;
        say(&format!(
            "{} objects, {} blocks, {} chunks, {} snapshots, {} directories, {} entries",
            counts.objects, counts.blocks, counts.chunks, counts.snapshots, counts.directories, counts.entries
        ))?;
        if counts.locked > 0 {
            eprintln!(
                "vault-rescue: this key does not open {} snapshots and blocks: only the hashes of their objects were compared",
                counts.locked
            );
        }
        return Ok(good);
    }
    // Before anything is said or made: what this key can never do.
    repository.require(Class::Tree)?;
    for fault in repository.problems() {
        report(fault.clone());
    }
    if word == "list" {
        let (snapshots, faults) = repository.snapshots()?;
        for fault in faults {
            report(fault);
        }
        for listed in snapshots {
            say(&show::snapshot(&listed))?;
        }
        return Ok(good);
    }
    let call = command[1].to_str().unwrap_or_default();
    let root = repository.find(call)?.snapshot.root;
    if word == "extract" {
        extract::extract(&mut repository, &root, Path::new(&command[2]), &mut report)?;
        return Ok(good);
    }
    let mut walk = Walk::new(root);
    let mut path = Vec::new();
    while let Some(step) = walk.next(&mut repository) {
        match step {
            Step::Entry(entry) => say(&show::entry(&entry, &path))?,
            Step::Enter(entry) => {
                say(&show::entry(&entry, &path))?;
                path.push(b'/');
                path.extend_from_slice(&entry.name);
            }
            Step::Leave => {
                let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                path.truncate(end);
            }
            Step::Fault(fault) => report(fault),
        }
    }
    Ok(good)
}

fn run_vectors(files: &[std::ffi::OsString]) -> Result<bool> {
    let mut good = true;
    for file in files {
        let name = file.to_string_lossy();
        match vectors::run_file(Path::new(file)) {
            Ok(()) => say(&format!("{name}: agrees"))?,
            Err(difference) => {
                good = false;
                say(&format!("{name}: {difference}"))?;
            }
        }
    }
    Ok(good)
}
