//! Settings and where each came from: command line over environment over configuration file over default.

use crate::args::Global;
use crate::complaint::{Complaint, shown};
use crate::exit::Exit;
use crate::output::text::visible;
use crate::secrets::{Hidden, SecretSource};
use crate::world::World;
use serde::Deserialize;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// By this flag.
    CommandLine(&'static str),
    /// By this variable.
    Environment(&'static str),
    /// By the configuration file.
    File(PathBuf),
    /// Nowhere.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(flag) => write!(f, "command line, {flag}"),
            Self::Environment(name) => write!(f, "environment, {name}"),
            Self::File(path) => write!(f, "file, {}", shown(path)),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it was given.
    pub origin: Origin,
}

/// The configuration file, as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConfigFile {
    repository: Option<PathBuf>,
    password_file: Option<PathBuf>,
    password_command: Option<String>,
    key_file: Option<PathBuf>,
    cache_dir: Option<PathBuf>,
    backup: BackupTable,
    forget: ForgetTable,
}

/// The `[forget]` table, which counts for `prune` too.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ForgetTable {
    /// As `--stop-on-alarm`.
    pub stop_on_alarm: bool,
}

/// The `[backup]` table. Its lists add to those of the command line; its single values give way to them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BackupTable {
    /// As `--exclude`.
    pub exclude: Vec<String>,
    /// As `--iexclude`.
    pub iexclude: Vec<String>,
    /// As `--exclude-file`.
    pub exclude_file: Vec<PathBuf>,
    /// As `--iexclude-file`.
    pub iexclude_file: Vec<PathBuf>,
    /// As `--exclude-if-present`.
    pub exclude_if_present: Vec<String>,
    /// As `--exclude-caches`.
    pub exclude_caches: bool,
    /// As `--exclude-larger-than`.
    pub exclude_larger_than: Option<String>,
    /// As `--one-file-system`.
    pub one_file_system: bool,
    /// As `--tag`.
    pub tag: Vec<String>,
    /// As `--host`.
    pub host: Option<String>,
    /// As `--compression`.
    pub compression: Option<String>,
    /// As `--pack-size`.
    pub pack_size: Option<String>,
    /// As `--memory-limit`.
    pub memory_limit: Option<String>,
    /// As `--read-concurrency`.
    pub read_concurrency: Option<usize>,
}

impl BackupTable {
    /// Each value that the file gives, as text.
    pub fn rows(&self) -> Vec<(&'static str, String)> {
        let paths = |list: &[PathBuf]| list.iter().map(|path| shown(path)).collect::<Vec<_>>().join(", ");
        let on = |flag: bool| if flag { "yes" } else { "" }.to_owned();
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        [
            ("backup.exclude", self.exclude.join(", ")),
            ("backup.iexclude", self.iexclude.join(", ")),
            ("backup.exclude-file", paths(&self.exclude_file)),
            ("backup.iexclude-file", paths(&self.iexclude_file)),
            ("backup.exclude-if-present", self.exclude_if_present.join(", ")),
            ("backup.exclude-caches", on(self.exclude_caches)),
            ("backup.exclude-larger-than", text(&self.exclude_larger_than)),
            ("backup.one-file-system", on(self.one_file_system)),
            ("backup.tag", self.tag.join(", ")),
            ("backup.host", text(&self.host)),
            ("backup.compression", text(&self.compression)),
            ("backup.pack-size", text(&self.pack_size)),
            ("backup.memory-limit", text(&self.memory_limit)),
            ("backup.read-concurrency", self.read_concurrency.map(|number| number.to_string()).unwrap_or_default()),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| (name, visible(value.as_bytes()).into_owned()))
        .collect()
    }
}

/// The settings of this run.
#[derive(Debug)]
pub struct Settings {
    /// The configuration file that was read.
    pub file: Option<PathBuf>,
    /// Where the repository is; `None` where not even the default has a place, because there is no home.
    pub repository: Option<Setting<OsString>>,
    /// Where the password or key comes from; `None`: nothing was said and the default key file is not there.
    pub secret: Option<Setting<SecretSource>>,
    /// Where caches go; `None`: nowhere.
    pub cache_dir: Option<Setting<PathBuf>>,
    /// What the file says about backups.
    pub backup: BackupTable,
    /// What the file says about forgetting.
    pub forget: ForgetTable,
}

impl Settings {
    /// Collects them.
    pub fn collect(global: &Global, world: &World) -> Result<Self, Complaint> {
        let (path, file) = match find_file(world)? {
            Some(path) => {
                let file = ConfigFile::read(&path, world.home())?;
                (Some(path), file)
            }
            None => (None, ConfigFile::default()),
        };
        let in_file = || Origin::File(path.clone().unwrap_or_default());
        Ok(Self {
            repository: repository(global, world, file.repository.as_deref(), in_file)?,
            secret: secret(global, world, &file, in_file)?,
            cache_dir: cache_dir(global, world, file.cache_dir.as_deref(), in_file)?,
            backup: file.backup,
            forget: file.forget,
            file: path,
        })
    }

    /// Whether anybody named a repository.
    pub fn repository_is_named(&self) -> bool {
        self.repository.as_ref().is_some_and(|setting| setting.origin != Origin::Default)
    }
}

fn repository(global: &Global, world: &World, in_file: Option<&Path>, file: impl Fn() -> Origin) -> Result<Option<Setting<OsString>>, Complaint> {
    let named = if let Some(value) = &global.repo {
        Some((value.clone(), Origin::CommandLine("--repo")))
    } else if let Some(value) = world.variable("VAULT_REPOSITORY") {
        Some((value.to_owned(), Origin::Environment("VAULT_REPOSITORY")))
    } else {
        in_file.map(|path| (path.into(), file()))
    };
    match named {
        Some((value, origin)) if value.is_empty() => Err(empty("the repository", &origin)),
        Some((value, origin)) => Ok(Some(Setting { value, origin })),
        None => Ok(world.data_dir().map(|dir| Setting { value: dir.join("repository").into(), origin: Origin::Default })),
    }
}

fn secret(global: &Global, world: &World, file: &ConfigFile, in_file: impl Fn() -> Origin) -> Result<Option<Setting<SecretSource>>, Complaint> {
    if let Some((source, flag)) = global.secret() {
        return checked(source, Origin::CommandLine(flag)).map(Some);
    }
    let of = |name: &'static str| world.variable(name).map(|value| (name, value));
    let in_environment: Vec<(&'static str, SecretSource)> = [
        of("VAULT_PASSWORD").map(|(name, value)| {
            let text = value.to_string_lossy().into_owned();
            (name, SecretSource::Password(Hidden::new(text)))
        }),
        of("VAULT_PASSWORD_FILE").map(|(name, value)| (name, SecretSource::PasswordFile(value.into()))),
        of("VAULT_PASSWORD_COMMAND").map(|(name, value)| {
            let text = value.to_string_lossy().into_owned();
            (name, SecretSource::PasswordCommand(text))
        }),
        of("VAULT_KEY_FILE").map(|(name, value)| (name, SecretSource::KeyFile(value.into()))),
    ]
    .into_iter()
    .flatten()
    .collect();
    if let [(first, _), (second, _), ..] = in_environment.as_slice() {
        return Err(Complaint::usage(format!("{first} and {second} are both set, and one password or key is needed"))
            .hint(format!("unset one of them, for example: unset {second}")));
    }
    if let Some((name, source)) = in_environment.into_iter().next() {
        return checked(source, Origin::Environment(name)).map(Some);
    }
    let mut named = [
        file.password_file.clone().map(SecretSource::PasswordFile),
        file.password_command.clone().map(SecretSource::PasswordCommand),
        file.key_file.clone().map(SecretSource::KeyFile),
    ]
    .into_iter()
    .flatten();
    if let Some(source) = named.next() {
        if named.next().is_some() {
            return Err(Complaint::usage(format!("{} names more than one of password-file, password-command and key-file", in_file())));
        }
        return checked(source, in_file()).map(Some);
    }
    Ok(default_key_file(world).filter(|path| path.exists()).map(|path| Setting { value: SecretSource::KeyFile(path), origin: Origin::Default }))
}

/// Where the key file is made when nothing is configured.
pub fn default_key_file(world: &World) -> Option<PathBuf> {
    world.config_dir().map(|dir| dir.join("key"))
}

fn checked(source: SecretSource, origin: Origin) -> Result<Setting<SecretSource>, Complaint> {
    let is_empty = match &source {
        SecretSource::Password(text) => text.expose().is_empty(),
        SecretSource::PasswordCommand(text) => text.trim().is_empty(),
        SecretSource::PasswordFile(path) | SecretSource::KeyFile(path) | SecretSource::RecoveryKeyFile(path) => path.as_os_str().is_empty(),
    };
    if is_empty {
        return Err(empty("the password or key", &origin));
    }
    Ok(Setting { value: source, origin })
}

fn cache_dir(global: &Global, world: &World, in_file: Option<&Path>, file: impl Fn() -> Origin) -> Result<Option<Setting<PathBuf>>, Complaint> {
    if global.no_cache {
        return Ok(None);
    }
    let named = if let Some(value) = &global.cache_dir {
        Some((value.clone(), Origin::CommandLine("--cache-dir")))
    } else if let Some(value) = world.variable("VAULT_CACHE_DIR") {
        Some((value.into(), Origin::Environment("VAULT_CACHE_DIR")))
    } else {
        in_file.map(|path| (path.to_owned(), file()))
    };
    match named {
        Some((value, origin)) if value.as_os_str().is_empty() => Err(empty("the cache directory", &origin)),
        Some((value, origin)) => Ok(Some(Setting { value, origin })),
        None => Ok(world.cache_dir().map(|value| Setting { value, origin: Origin::Default })),
    }
}

/// A lost variable must not become "nothing was said".
fn empty(what: &str, origin: &Origin) -> Complaint {
    Complaint::usage(format!("{what} is named by an empty value ({origin})")).hint("give it a value, or leave it out altogether")
}

/// The file to read: the one that `VAULT_CONFIG` names, which must be there, else the user's, else the system's.
fn find_file(world: &World) -> Result<Option<PathBuf>, Complaint> {
    if let Some(named) = world.variable("VAULT_CONFIG") {
        if named.is_empty() {
            return Err(empty("the configuration file", &Origin::Environment("VAULT_CONFIG")));
        }
        return Ok(Some(named.into()));
    }
    let candidates = [world.config_dir().map(|dir| dir.join("config.toml")), Some(PathBuf::from("/etc/vault/config.toml"))];
    for path in candidates.into_iter().flatten() {
        match path.metadata() {
            Ok(_) => return Ok(Some(path)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
            Err(error) => return Err(Complaint::file(Exit::Usage, "look at", &path, &error)),
        }
    }
    Ok(None)
}

impl ConfigFile {
    fn read(path: &Path, home: Option<&Path>) -> Result<Self, Complaint> {
        let text = std::fs::read_to_string(path).map_err(|error| Complaint::file(Exit::Usage, "read", path, &error))?;
        let mut file =
            Self::parse(&text).map_err(|(line, why)| Complaint::usage(format!("the configuration file {} is wrong in line {line}", shown(path))).since(why))?;
        let base = path.parent().unwrap_or(Path::new(""));
        for named in [&mut file.repository, &mut file.password_file, &mut file.key_file, &mut file.cache_dir]
            .into_iter()
            .flatten()
            .chain(&mut file.backup.exclude_file)
            .chain(&mut file.backup.iexclude_file)
        {
            *named = located(named, base, home);
        }
        Ok(file)
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.get(..at).map_or(1, |before| before.matches('\n').count() + 1);
            (line, error.message().to_owned())
        })
    }
}

/// Paths in the file: `~/` is the home directory, relative ones count from the file's own directory. Empty stays empty, to be refused.
fn located(path: &Path, base: &Path, home: Option<&Path>) -> PathBuf {
    if path.as_os_str().is_empty() {
        return path.to_owned();
    }
    match (path.strip_prefix(OsStr::new("~")), home) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => base.join(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file() -> Origin {
        Origin::File("/c".into())
    }

    #[test]
    fn command_line_over_environment_over_file_over_default() {
        let world = World::of(&[("VAULT_REPOSITORY", "/env")], Some("/home/me"));
        let bare = World::of(&[], Some("/home/me"));
        let typed = Global { repo: Some("/typed".into()), ..Global::default() };
        let get = |global: &Global, world: &World, file: Option<&str>| repository(global, world, file.map(Path::new), in_file).expect("valid").expect("some");
        assert_eq!(get(&typed, &world, Some("/file")).value, "/typed");
        assert_eq!(get(&Global::default(), &world, Some("/file")).value, "/env");
        let from_file = get(&Global::default(), &bare, Some("/file"));
        assert_eq!((from_file.value, from_file.origin), ("/file".into(), in_file()));
        let default = get(&Global::default(), &bare, None);
        assert_eq!(default.value, "/home/me/.local/share/vault/repository");
        assert_eq!(default.origin, Origin::Default);
        let nowhere = repository(&Global::default(), &World::of(&[], None), None, in_file);
        assert_eq!(nowhere.expect("no error"), None);
    }

    #[test]
    fn an_empty_value_is_a_mistake_and_not_silence() {
        let lost = World::of(&[("VAULT_REPOSITORY", "")], Some("/home/me"));
        let complaint = repository(&Global::default(), &lost, None, in_file).expect_err("refused");
        assert_eq!(complaint.exit, Exit::Usage);
        assert!(complaint.what.contains("VAULT_REPOSITORY"));
        let lost = World::of(&[("VAULT_PASSWORD", "")], None);
        assert!(secret(&Global::default(), &lost, &ConfigFile::default(), in_file).is_err());
    }

    #[test]
    fn one_secret_a_level() {
        let both = World::of(&[("VAULT_PASSWORD", "x"), ("VAULT_KEY_FILE", "/k")], None);
        let complaint = secret(&Global::default(), &both, &ConfigFile::default(), in_file).expect_err("two of them");
        assert!(complaint.what.contains("VAULT_PASSWORD and VAULT_KEY_FILE"));
        let typed = Global { key_file: Some("/typed".into()), ..Global::default() };
        let found = secret(&typed, &both, &ConfigFile::default(), in_file).expect("valid").expect("some");
        assert_eq!(found.origin, Origin::CommandLine("--key-file"));
    }

    #[test]
    fn variables_of_hashicorp_vault_are_none_of_ours() {
        let theirs = World::of(&[("VAULT_ADDR", "https://x"), ("VAULT_TOKEN", "t")], None);
        let found = secret(&Global::default(), &theirs, &ConfigFile::default(), in_file);
        assert!(found.expect("valid").is_none());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let (line, why) = ConfigFile::parse("repository = \"/r\"\n\n[backup]\nexlude = []\n").expect_err("a typing error");
        assert_eq!(line, 4);
        assert!(why.contains("exlude"), "{why}");
    }

    #[test]
    fn no_secret_is_seen_in_debug() {
        let world = World::of(&[("VAULT_PASSWORD", "hunter2")], None);
        let settings = secret(&Global::default(), &world, &ConfigFile::default(), in_file);
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn paths_of_the_file_are_located() {
        let (base, home) = (Path::new("/etc/vault"), Some(Path::new("/home/me")));
        assert_eq!(located(Path::new("~/r"), base, home), Path::new("/home/me/r"));
        assert_eq!(located(Path::new("key"), base, home), Path::new("/etc/vault/key"));
        assert_eq!(located(Path::new("/r"), base, home), Path::new("/r"));
    }
}
