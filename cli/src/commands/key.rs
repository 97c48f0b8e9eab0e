//! `vault key`: the passwords and keys that open the repository.

use crate::complaint::{Complaint, shown};
use crate::exit::Exit;
use crate::newkeys::{self, RecoveryPlace};
use crate::output::json::{self, Event};
use crate::output::text::{Table, count, local, rfc3339, visible};
use crate::secrets::{self, Hidden, Secret, SecretSource};
use crate::session::{Session, located, unlocking};
use std::path::PathBuf;
use vault_engine::format::id::ObjectId;
use vault_engine::format::keys::{Key, Role};
use vault_engine::format::secret as keytext;
use vault_engine::format::slot::{self, SlotKind};
use vault_engine::store::key_slots::{SlotInfo, Superseded};
use vault_engine::store::repository::Repository;

/// Manage the passwords and keys that open the repository
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Debug)]
enum What {
    /// List them
    List,
    /// Add a password or key file
    Add {
        #[command(flatten)]
        new: NewSecret,

        /// What its holder can do: all of it, only back up, or only forget and prune
        #[arg(long, value_enum, default_value_t = RoleWord::Owner)]
        role: RoleWord,
    },
    /// Remove one; the one in use stays
    Remove {
        /// Key to remove: its ID or the beginning of it
        id: String,
    },
    /// Change the password (or key file) in use
    Passwd(NewSecret),
    /// Make a recovery key and show it once
    Recovery {
        /// File to write it to instead of the terminal; must not exist
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make new root keys for all that is written from now on
    ///
    /// All other passwords and keys are removed and have to be added again; the one in use (or a new one) and a new recovery key remain.
    Rotate(NewSecret),
}

/// What the holder of a key can do
#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum RoleWord {
    /// Everything
    Owner,
    /// Back up with full deduplication, and read nothing back
    Backup,
    /// List, forget and prune, and read no contents
    Prune,
}

impl RoleWord {
    fn role(self) -> Role {
        match self {
            Self::Owner => Role::Owner,
            Self::Backup => Role::Backup,
            Self::Prune => Role::Prune,
        }
    }
}

#[derive(clap::Args, Debug)]
struct NewSecret {
    /// File whose text is the new password
    #[arg(long, value_name = "FILE", conflicts_with = "new_key_file")]
    new_password_file: Option<PathBuf>,

    /// New key file; made if it is missing
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,

    /// Text that tells this key from others later
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open_as_any()?;
    match &args.what {
        What::List => list(&repository, session)?,
        What::Add { new, role } => {
            repository.require_owner("add keys")?;
            let secret = new.secret(session, &repository)?;
            let id = repository.add_key(&secret, role.role(), &new.label(session), &session.world.host)?;
            report(&repository, session, "added", |slot| slot.id == id)?;
        }
        What::Remove { id } => remove(&repository, session, id)?,
        What::Passwd(new) => {
            let secret = new.secret(session, &repository)?;
            let current = repository.key_slots()?.into_iter().find(|slot| slot.current);
            let label = new.label.clone().or_else(|| Some(current?.label?.label)).unwrap_or_else(|| session.world.user());
            let (id, old) = repository.replace_key(&secret, &label, &session.world.host)?;
            report(&repository, session, "added", |slot| slot.id == id)?;
            all_gone(&old, "the new key works", "what the old one opens, it still opens")?;
        }
        What::Recovery { output } => {
            repository.require_owner("add keys")?;
            recovery(&repository, session, output.as_ref())?;
        }
        What::Rotate(new) => {
            repository.require_owner("rotate keys")?;
            rotate(&repository, session, new)?;
        }
    }
    Ok(Exit::Complete)
}

impl NewSecret {
    fn label(&self, session: &Session) -> String {
        self.label.clone().unwrap_or_else(|| session.world.user())
    }

    fn is_named(&self) -> bool {
        self.new_password_file.is_some() || self.new_key_file.is_some()
    }

    /// The new secret: from a file, a new key file, or the terminal.
    fn secret(&self, session: &Session, repository: &Repository) -> Result<slot::Secret, Complaint> {
        let secret = match (&self.new_password_file, &self.new_key_file) {
            (Some(path), _) => SecretSource::PasswordFile(path.clone()).fetch()?,
            (None, Some(path)) if path.exists() => SecretSource::KeyFile(path.clone()).fetch()?,
            (None, Some(path)) => {
                let key = Key(repository.host.random());
                newkeys::write_key_file(path, &key)?;
                session.output.remark(format_args!("Key file written to {}", shown(path)))?;
                Secret::KeyFile(Hidden::new(keytext::write_key_file(&key)))
            }
            (None, None) if session.world.has_terminal() => secrets::prompt_new(&session.world, "New password: ")?,
            (None, None) => {
                return Err(Complaint::usage("no new password or key is named, and there is no terminal to ask on")
                    .hint("name one with --new-password-file or --new-key-file"));
            }
        };
        unlocking(&secret)
    }
}

fn kind_word(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Password => "password",
        SlotKind::KeyFile => "key-file",
        SlotKind::Recovery => "recovery",
    }
}

fn event(slot: &SlotInfo, action: &'static str) -> Event {
    let label = slot.label.clone().unwrap_or_default();
    Event::Key(json::Key {
        action,
        id: slot.id.to_hex(),
        kind: kind_word(slot.kind),
        role: label.role.to_string(),
        label: label.label,
        hostname: label.host,
        created: rfc3339(label.created),
        current: slot.current,
    })
}

fn list(repository: &Repository, session: &Session) -> Result<(), Complaint> {
    let mut table = Table::new(&["", "ID", "Kind", "Role", "Label", "Host", "Made"]);
    for slot in repository.key_slots()? {
        session.output.event(&event(&slot, "listed"))?;
        let (role, label, host, made) = match &slot.label {
            Some(label) => {
                (label.role.to_string(), visible(label.label.as_bytes()).into_owned(), visible(label.host.as_bytes()).into_owned(), local(label.created))
            }
            None => (String::new(), "(not readable)".into(), String::new(), String::new()),
        };
        let mark = if slot.current { "*" } else { "" };
        table.row(vec![mark.into(), slot.id.short(), kind_word(slot.kind).into(), role, label, host, made]);
    }
    table.lines().iter().try_for_each(|line| session.output.line(line))
}

fn report(repository: &Repository, session: &Session, action: &'static str, which: impl Fn(&SlotInfo) -> bool) -> Result<(), Complaint> {
    for slot in repository.key_slots()?.into_iter().filter(which) {
        session.output.event(&event(&slot, action))?;
        session.output.remark(format_args!("Key {action}: {} ({})", slot.id.short(), kind_word(slot.kind)))?;
    }
    Ok(())
}

fn remove(repository: &Repository, session: &Session, id: &str) -> Result<(), Complaint> {
    let slots = repository.key_slots()?;
    let mut fitting = slots.iter().filter(|slot| !id.is_empty() && slot.id.to_hex().starts_with(id));
    let Some(slot) = fitting.next() else {
        return Err(Complaint::failed(format!("no key fits {id}")).hint("vault key list shows them"));
    };
    if fitting.next().is_some() {
        return Err(Complaint::failed(format!("{id} fits more than one key")).hint("give more digits of the ID"));
    }
    if slot.current {
        return Err(Complaint::failed(format!("key {} is the one in use", slot.id.short()))
            .hint("open the repository with another key to remove this one, or change it with vault key passwd"));
    }
    repository.remove_key(slot.id)?;
    session.output.event(&event(slot, "removed"))?;
    session.output.remark(format_args!("Key removed: {} ({})", slot.id.short(), kind_word(slot.kind)))
}

/// A new recovery key: first where it is kept, then what it opens.
fn with_recovery<T>(
    repository: &Repository,
    session: &Session,
    file: Option<&PathBuf>,
    act: impl FnOnce(slot::Secret) -> Result<T, Complaint>,
) -> Result<T, Complaint> {
    let settings = session.settings()?;
    let (name, _) = located(&settings)?;
    let key = Key(repository.host.random());
    let place = match file {
        Some(path) => RecoveryPlace::into_file(path, &key, &name)?,
        None => RecoveryPlace::choose(&session.world, &session.output, &key, &name, session.world.config_dir().as_deref())?,
    };
    let result = act(slot::Secret::Recovery(key.clone())).inspect_err(|_| place.withdraw())?;
    place.reveal(&session.world, &session.output, &key, &name)?;
    Ok(result)
}

fn recovery(repository: &Repository, session: &Session, file: Option<&PathBuf>) -> Result<(), Complaint> {
    let add = |secret| Ok(repository.add_key(&secret, Role::Owner, "recovery key", &session.world.host)?);
    let id = with_recovery(repository, session, file, add)?;
    report(repository, session, "added", |slot| slot.id == id)
}

fn rotate(repository: &Repository, session: &Session, new: &NewSecret) -> Result<(), Complaint> {
    let secret = if new.is_named() {
        new.secret(session, repository)?
    } else {
        let settings = session.settings()?;
        match &settings.secret {
            Some(source) => unlocking(&source.value.fetch()?)?,
            None => new.secret(session, repository)?,
        }
    };
    if matches!(secret, slot::Secret::Recovery(_)) {
        return Err(Complaint::usage("opened with the recovery key, which is replaced too")
            .hint("name a new password or key with --new-password-file or --new-key-file"));
    }
    let label = new.label(session);
    let host = session.world.host.clone();
    let old = with_recovery(repository, session, None, |recovery| Ok(repository.rotate_keys(&[(secret, &label), (recovery, "recovery key")], &host)?))?;
    session.output.remark(format_args!(
        "Root keys rotated; {} removed. Whoever else is to open the repository needs a new one: vault key add",
        count(old.removed as u64, "old key", "old keys")
    ))?;
    all_gone(&old, "the keys are rotated", "what was stored before can still be read with them, what is stored from now on cannot")
}

/// New keys stand; that the old ones are still there is for somebody to see to.
fn all_gone(old: &Superseded, done: &str, meaning: &str) -> Result<(), Complaint> {
    if old.left.is_empty() {
        return Ok(());
    }
    let stay = if old.left.len() == 1 { "1 old key stays".to_owned() } else { format!("{} old keys stay", old.left.len()) };
    let ids: Vec<String> = old.left.iter().map(ObjectId::short).collect();
    Err(Complaint::new(Exit::Refused, format!("{done}, but {stay}, since the store does not let these credentials delete"))
        .hint(meaning)
        .hint(format!("with credentials that may delete: vault key remove {}", ids.join(", and of "))))
}
