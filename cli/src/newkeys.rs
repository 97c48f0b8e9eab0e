//! Keys that are made here: key files, which are never overwritten, and recovery keys, which are shown once.

use crate::complaint::{Complaint, shown};
use crate::exit::Exit;
use crate::output::Output;
use crate::output::json::{self, Event};
use crate::output::text::visible;
use crate::world::World;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use vault_engine::format::keys::Key;
use vault_engine::format::secret;
use zeroize::Zeroizing;

/// Writes a new key file and the folders above it, for their owner only.
pub fn write_key_file(path: &Path, key: &Key) -> Result<(), Complaint> {
    let text = Zeroizing::new(secret::write_key_file(key));
    write_new(path, &text).map_err(|error| {
        let complaint = Complaint::file(Exit::Failed, "write the new key file", path, &error);
        if error.kind() == io::ErrorKind::AlreadyExists {
            complaint.hint("a key file is never overwritten: name another, or move this one away")
        } else {
            complaint
        }
    })
}

/// What a recovery key is for, in the words that go with it.
fn explanation(location: &str) -> [String; 3] {
    [
        format!("Recovery key of the vault repository {location}"),
        "It opens the repository when the password or key file is lost. Without any of them nobody can, not even we.".to_owned(),
        "Keep it apart from this machine, on paper or in a password manager. Use it with --recovery-key-file FILE.".to_owned(),
    ]
}

/// Where a new recovery key goes.
pub enum RecoveryPlace {
    /// To the terminal, once.
    Terminal,
    /// Into this file, which is written already.
    File(PathBuf),
}

impl RecoveryPlace {
    /// Without a terminal, writes the key to a new file in `dir` (before the key opens anything, so that it cannot be lost later).
    pub fn choose(world: &World, output: &Output, key: &Key, location: &str, dir: Option<&Path>) -> Result<Self, Complaint> {
        if world.stderr_is_terminal || (world.stdout_is_terminal && !output.json) {
            return Ok(Self::Terminal);
        }
        let Some(dir) = dir else {
            return Err(
                Complaint::usage("there is no terminal to show the recovery key on, and no home directory to write it to").hint("set HOME or XDG_CONFIG_HOME")
            );
        };
        for number in 1.. {
            let name = if number == 1 { "recovery-key".to_owned() } else { format!("recovery-key-{number}") };
            let path = dir.join(name);
            match Self::write(&path, key, location) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => {}
                Err(error) => return Err(Complaint::file(Exit::Failed, "write the recovery key to", &path, &error)),
                Ok(()) => return Ok(Self::File(path)),
            }
        }
        Ok(Self::Terminal)
    }

    /// Writes the key to the new file `path`.
    pub fn into_file(path: &Path, key: &Key, location: &str) -> Result<Self, Complaint> {
        Self::write(path, key, location).map_err(|error| Complaint::file(Exit::Failed, "write the recovery key to", path, &error))?;
        Ok(Self::File(path.to_owned()))
    }

    fn write(path: &Path, key: &Key, location: &str) -> io::Result<()> {
        let mut text = Zeroizing::new(String::new());
        for line in explanation(&visible(location.as_bytes())) {
            text.push_str("# ");
            text.push_str(&line);
            text.push('\n');
        }
        text.push_str(&Zeroizing::new(secret::write_recovery_key(key)));
        text.push('\n');
        write_new(path, &text)
    }

    /// The key opens the repository now: shows it, or says where it lies.
    pub fn reveal(&self, world: &World, output: &Output, key: &Key, location: &str) -> Result<(), Complaint> {
        match self {
            Self::Terminal => {
                let text = Zeroizing::new(secret::write_recovery_key(key));
                let [title, purpose, care] = explanation(&visible(location.as_bytes()));
                let message = Zeroizing::new(format!("\n{title} (shown only this once):\n\n    {}\n\n{purpose}\n{care}\n", *text));
                if world.stderr_is_terminal {
                    output.say(&message);
                } else {
                    output.line(&*message)?;
                }
                output.event(&Event::RecoveryKey(json::RecoveryKey { file: None }))
            }
            Self::File(path) => {
                output.event(&Event::RecoveryKey(json::RecoveryKey { file: Some(shown(path)) }))?;
                output.line(format_args!("Recovery key written to {}", shown(path)))?;
                output.line("It opens the repository when the password or key file is lost: move it to a safe place apart from this machine.")
            }
        }
    }

    /// The key opens nothing after all.
    pub fn withdraw(&self) {
        if let Self::File(path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A new file with mode 0600, durable when this returns. It comes under its name whole or not at all, also if this is killed half-way, and never over another.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
    let mut half = path.as_os_str().to_owned();
    half.push(format!(".{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&half, path).or_else(|error| if takes_no_links(&error) { rename_new(half.as_ref(), path) } else { Err(error) }))
        .and_then(|()| File::open(parent)?.sync_all());
    let _ = std::fs::remove_file(&half);
    written
}

/// File systems without hard links (FAT, some network mounts) say so in one of these ways.
fn takes_no_links(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
}

fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    if to.symlink_metadata().is_ok() { Err(io::ErrorKind::AlreadyExists.into()) } else { std::fs::rename(from, to) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn key_files_are_private_and_never_overwritten() {
        let dir = std::env::temp_dir().join(format!("vault-newkeys-{}", std::process::id()));
        let path = dir.join("a/b/key");
        let key = Key([7; 32]);
        write_key_file(&path, &key).expect("new");
        let mode = path.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(secret::read_key_file(&text) == Some(key.clone()));
        let complaint = write_key_file(&path, &key).expect_err("there already");
        assert!(complaint.hints[0].contains("never overwritten"));
        let place = RecoveryPlace::into_file(&dir.join("r"), &key, "/x\n/y").expect("new");
        let text = std::fs::read_to_string(dir.join("r")).expect("text");
        assert!(secret::read_recovery_key(&text) == Some(key));
        place.withdraw();
        assert!(!dir.join("r").exists());
        std::fs::remove_dir_all(&dir).expect("tidy");
    }
}
