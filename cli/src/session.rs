//! What every command is given: the outside, the flags, a voice, and the way to the repository.

use crate::args::Global;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::newkeys::{self, RecoveryPlace};
use crate::output::Output;
use crate::output::json::{self, Event};
use crate::output::text::visible;
use crate::secrets::{self, Secret, SecretSource};
use crate::settings::{Origin, Setting, Settings, default_key_file};
use crate::world::World;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use vault_engine::format::keys::Key;
use vault_engine::format::layout::ObjectKind;
use vault_engine::format::secret as keytext;
use vault_engine::format::slot;
use vault_engine::ops::alarm::Alarm;
use vault_engine::store::error::RepositoryError;
use vault_engine::store::host::{Host, SystemHost};
use vault_engine::store::location::Location;
use vault_engine::store::repository::{InitOptions, Repository};
use vault_engine::store::{Store, StoreErrorKind};
use zeroize::Zeroizing;

/// How often a password may be mistyped.
const PROMPTS_MAX: usize = 3;

/// What every command is given.
pub struct Session {
    pub world: World,
    pub global: Global,
    pub output: Arc<Output>,
}

impl Session {
    /// The settings in force.
    pub fn settings(&self) -> Result<Settings, Complaint> {
        Settings::collect(&self.global, &self.world)
    }

    /// Opens the repository that the settings name, to read its snapshots.
    pub fn open(&self) -> Result<Repository, Complaint> {
        let repository = self.open_as_any()?;
        repository.require_trees()?;
        Ok(repository)
    }

    /// The same, to read contents.
    pub fn open_contents(&self) -> Result<Repository, Complaint> {
        let repository = self.open_as_any()?;
        repository.require_contents()?;
        Ok(repository)
    }

    /// The same, whatever the key in use can do.
    pub fn open_as_any(&self) -> Result<Repository, Complaint> {
        self.open_with(&self.settings()?)
    }

    /// Opens the repository of `settings`.
    pub fn open_with(&self, settings: &Settings) -> Result<Repository, Complaint> {
        let (name, location) = located(settings)?;
        let store = location.open().map_err(|error| match error.kind {
            StoreErrorKind::Missing => no_repository(settings),
            _ => error.into(),
        })?;
        let cache = settings.cache_dir.as_ref().map(|dir| dir.value.as_path());
        let attempt = |secret: &Secret| {
            Repository::open(Arc::clone(&store), Arc::new(SystemHost::default()), &[unlocking(secret)?], cache).map_err(|error| match error {
                RepositoryError::NoRepository(_) => no_repository(settings),
                other => other.into(),
            })
        };
        let attempt = |secret: &Secret| {
            // What was ignored on the way is not what was asked for, and still worth knowing.
            attempt(secret).inspect(|repository| repository.take_left_out().into_iter().for_each(|error| self.tell_left_out(error)))
        };
        if let Some(Setting { value, origin }) = &settings.secret {
            self.warn_if_exposed(value);
            match attempt(&value.fetch()?) {
                // A key file that only happens to be there is no reason not to ask.
                Err(complaint) if complaint.exit == Exit::WrongKey && *origin == Origin::Default && self.world.has_terminal() => {}
                result => return result,
            }
        } else if !self.world.has_terminal() {
            return Err(no_secret(&name));
        }
        let mut mistakes = 0;
        loop {
            match attempt(&secrets::prompt(&self.world, &name)?) {
                Err(complaint) if complaint.exit == Exit::WrongKey && mistakes + 1 < PROMPTS_MAX => {
                    mistakes += 1;
                    self.output.say(&complaint.sentence());
                }
                result => return result,
            }
        }
    }

    /// The store at `location`, or at the place that the settings name; nobody asks for a secret.
    pub fn store(&self, location: Option<&OsString>) -> Result<(String, Arc<dyn Store>), Complaint> {
        let mut settings = self.settings()?;
        if let Some(location) = location {
            settings.repository = Some(Setting { value: location.clone(), origin: Origin::CommandLine("LOCATION") });
        }
        let (name, location) = located(&settings)?;
        let store = location.open().map_err(|error| match error.kind {
            StoreErrorKind::Missing => no_repository(&settings),
            _ => error.into(),
        })?;
        // A directory was looked at when it was opened. Where nothing is, nothing is rotten: that must not pass for a good repository.
        let kinds = if location.directory().is_some() { &[][..] } else { &ObjectKind::ALL };
        let mut is_empty = !kinds.is_empty();
        for kind in kinds {
            is_empty = is_empty && store.list(*kind)?.is_empty();
        }
        if is_empty { Err(no_repository(&settings)) } else { Ok((name, store)) }
    }

    fn tell_left_out(&self, error: RepositoryError) {
        match error {
            // Should it not reach anybody, it is told again when something is written, or listed.
            RepositoryError::OlderState(older) => drop(self.output.alarm(&Alarm::OlderState(older))),
            error => self.output.warn(&format!("ignored: {error}")),
        }
    }

    fn warn_if_exposed(&self, source: &SecretSource) {
        if let Some(path) = source.exposed_file() {
            let path = visible(path.as_os_str().as_encoded_bytes()).into_owned();
            self.output.warn(&format!("{path} can be read by others than its owner; chmod 600 would change that"));
        }
    }

    /// Makes the repository of `settings`, its keys and, unless refused, a recovery key, and says so.
    pub fn create(&self, settings: &Settings, label: &str, recovery: bool, options: InitOptions) -> Result<Repository, Complaint> {
        let (name, location) = located(settings)?;
        // Looked at before any key is made; the engine refuses again, for certain.
        if exists(&location)? {
            return Err(RepositoryError::AlreadyExists(name).into());
        }
        let host = SystemHost::default();
        let (secret, key_file) = self.founding_secret(settings, &host)?;
        let recovery_key = Key((&host as &dyn Host).random());
        let dir = key_file.as_deref().or(named_key_file(settings)).and_then(Path::parent).map(Path::to_owned).or_else(|| self.world.config_dir());
        let place = recovery.then(|| RecoveryPlace::choose(&self.world, &self.output, &recovery_key, &name, dir.as_deref())).transpose()?;
        let made = self.found(settings, &location, label, &secret, place.is_some().then_some(&recovery_key), options);
        let repository = made.inspect_err(|_| {
            if let Some(place) = &place {
                place.withdraw();
            }
        })?;
        let shown_key_file = key_file.as_deref().map(crate::complaint::shown);
        self.output.event(&Event::Initialized(json::Initialized {
            id: repository.config.repository.to_string(),
            repository: name.clone(),
            key_file: shown_key_file.clone(),
        }))?;
        self.output.remark(format_args!("Repository made at {}", visible(name.as_bytes())))?;
        if let Some(path) = shown_key_file {
            self.output.remark(format_args!("Key file written to {path}"))?;
        }
        if let Some(place) = place {
            place.reveal(&self.world, &self.output, &recovery_key, &name)?;
        }
        Ok(repository)
    }

    fn found(
        &self,
        settings: &Settings,
        location: &Location,
        label: &str,
        secret: &Secret,
        recovery: Option<&Key>,
        options: InitOptions,
    ) -> Result<Repository, Complaint> {
        let mut keys = vec![(unlocking(secret)?, label)];
        keys.extend(recovery.map(|key| (slot::Secret::Recovery(key.clone()), "recovery key")));
        let options = InitOptions { host: self.world.host.clone(), ..options };
        let cache = settings.cache_dir.as_ref().map(|dir| dir.value.as_path());
        Ok(Repository::init(location.create()?, Arc::new(SystemHost::default()), &keys, &options, cache)?)
    }

    /// The secret a new repository is made with. A key file that is named (or the default one) and missing is made.
    fn founding_secret(&self, settings: &Settings, host: &dyn Host) -> Result<(Secret, Option<PathBuf>), Complaint> {
        let path = match &settings.secret {
            Some(Setting { value: SecretSource::KeyFile(path), .. }) if !path.exists() => path.clone(),
            Some(Setting { value: SecretSource::RecoveryKeyFile(_), .. }) => {
                return Err(Complaint::usage("a new repository gets a recovery key of its own").hint("name a password or a key file instead"));
            }
            Some(setting) => {
                self.warn_if_exposed(&setting.value);
                return Ok((setting.value.fetch()?, None));
            }
            None => default_key_file(&self.world).ok_or_else(|| {
                Complaint::usage("no password or key is named, and there is no home directory to keep a key file in")
                    .hint("name one with --key-file or --password-file, or set HOME")
            })?,
        };
        let key = Key(host.random());
        newkeys::write_key_file(&path, &key)?;
        let text = secrets::Hidden::new(keytext::write_key_file(&key));
        Ok((Secret::KeyFile(text), Some(path)))
    }
}

fn named_key_file(settings: &Settings) -> Option<&Path> {
    match settings.secret.as_ref()?.value {
        SecretSource::KeyFile(ref path) => Some(path),
        _ => None,
    }
}

/// Where the repository is, as text and as the engine takes it.
pub fn located(settings: &Settings) -> Result<(String, Location), Complaint> {
    let Some(set) = &settings.repository else {
        return Err(Complaint::new(Exit::NoRepository, "no repository is named, and there is no home directory to look for one in")
            .hint("name one with -r or VAULT_REPOSITORY"));
    };
    let Some(name) = set.value.to_str() else {
        return Err(Complaint::usage(format!("the repository's location is not UTF-8 text ({})", set.origin)));
    };
    let location = Location::parse(name).map_err(|error| Complaint::from(error).since(format!("named by {}", set.origin)))?;
    Ok((name.to_owned(), location))
}

/// Whether there is a repository, for who would make one. One without any key slot is none: its making was cut short, and it can be made again.
pub fn exists(location: &Location) -> Result<bool, Complaint> {
    let store = match location.open() {
        Ok(store) => store,
        Err(error) if error.kind == StoreErrorKind::Missing => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let has = |kind| match store.list(kind) {
        Ok(slots) => Ok(!slots.is_empty()),
        Err(error) if error.kind == StoreErrorKind::NoPlace => Err(Complaint::usage(format!("no repository can be made at {}", error.object))
            .since(error.reason)
            .hint("make the bucket first, with the tools of its service: vault makes repositories in buckets, and no buckets")),
        Err(error) => Err(error.into()),
    };
    Ok(has(ObjectKind::Key)? || has(ObjectKind::KeyCopy)?)
}

/// There is nothing where the repository should be.
pub fn no_repository(settings: &Settings) -> Complaint {
    let place = settings.repository.as_ref().map_or_else(String::new, |set| visible(set.value.as_encoded_bytes()).into_owned());
    let quoted = quoted(&place);
    if settings.repository_is_named() {
        let origin = settings.repository.as_ref().map_or_else(String::new, |set| set.origin.to_string());
        Complaint::new(Exit::NoRepository, format!("there is no repository at {place} ({origin})"))
            .hint("if it lies on another disk: is that mounted?")
            .hint(format!("vault init -r {quoted} makes one there"))
    } else {
        Complaint::new(Exit::NoRepository, format!("no repository is named, and there is none at {place}"))
            .hint("name one with -r or VAULT_REPOSITORY")
            .hint("vault backup --init FOLDER makes one there")
    }
}

fn no_secret(name: &str) -> Complaint {
    Complaint::usage(format!("no password or key is named for the repository {name}, and there is no terminal to ask on"))
        .hint("name one with --key-file, --password-file or --password-command, or set VAULT_KEY_FILE or VAULT_PASSWORD_FILE")
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), std::borrow::Cow::into_owned)
}

/// The secret as the engine takes it.
pub fn unlocking(secret: &Secret) -> Result<slot::Secret, Complaint> {
    Ok(match secret {
        Secret::Password(text) => slot::Secret::Password(Zeroizing::new(text.expose().as_bytes().to_vec())),
        Secret::KeyFile(text) => slot::Secret::KeyFile(keytext::read_key_file(text.expose()).ok_or_else(|| wrong_text("key file"))?),
        Secret::RecoveryKey(text) => slot::Secret::Recovery(keytext::read_recovery_key(text.expose()).ok_or_else(|| wrong_text("recovery key"))?),
    })
}

fn wrong_text(what: &str) -> Complaint {
    Complaint::new(Exit::WrongKey, format!("what was named as {what} is none, or a character in it is wrong")).hint("vault config shows which file it is")
}
