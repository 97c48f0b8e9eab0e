//! The words and flags that hold for every command; each command's own are with it. The doc comments are the help.

pub mod exclude;
pub mod filter;

use crate::commands;
use crate::exit;
use crate::secrets::SecretSource;
use clap::{ArgAction, Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

/// Encrypted, deduplicated backups that come back byte for byte
///
/// The first backup needs nothing but a folder: `vault backup --init FOLDER` makes a repository and its keys in your home directory.
#[derive(Debug, Parser)]
#[command(name = "vault", version, after_help = exit::help(), max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Repository to use [env: VAULT_REPOSITORY] [default: vault/repository in your data directory]
    #[arg(short, long, global = true, value_name = "LOCATION")]
    pub repo: Option<OsString>,

    /// File whose text is the password [env: VAULT_PASSWORD_FILE, or VAULT_PASSWORD for the password itself]
    #[arg(short, long, global = true, value_name = "FILE", conflicts_with_all = ["password_command", "key_file", "recovery_key_file"])]
    pub password_file: Option<PathBuf>,

    /// Command that prints the password, run without a shell [env: VAULT_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "COMMAND", conflicts_with_all = ["key_file", "recovery_key_file"])]
    pub password_command: Option<String>,

    /// Key file [env: VAULT_KEY_FILE] [default: vault/key in your configuration directory, if it is there]
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "recovery_key_file")]
    pub key_file: Option<PathBuf>,

    /// File that holds the recovery key
    #[arg(long, global = true, value_name = "FILE")]
    pub recovery_key_file: Option<PathBuf>,

    /// Print one JSON object a line, as described in JSON.md
    #[arg(long, global = true)]
    pub json: bool,

    /// Print nothing but data and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say more: -v names new and changed files, -vv all (can be repeated)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,

    /// Keep no cache
    #[arg(long, global = true)]
    pub no_cache: bool,

    /// Directory for caches [env: VAULT_CACHE_DIR] [default: vault in your cache directory]
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Use no colours [env: NO_COLOR]
    #[arg(long, global = true)]
    pub no_color: bool,
}

impl Global {
    /// The secret that was named, with the flag that named it; clap sees to it that there is at most one.
    pub fn secret(&self) -> Option<(SecretSource, &'static str)> {
        let Self { password_file, password_command, key_file, recovery_key_file, .. } = self.clone();
        let password_file = password_file.map(|path| (SecretSource::PasswordFile(path), "--password-file"));
        let password_command = password_command.map(|line| (SecretSource::PasswordCommand(line), "--password-command"));
        let key_file = key_file.map(|path| (SecretSource::KeyFile(path), "--key-file"));
        let recovery = recovery_key_file.map(|path| (SecretSource::RecoveryKeyFile(path), "--recovery-key-file"));
        password_file.or(password_command).or(key_file).or(recovery)
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(commands::init::Args),
    Backup(Box<commands::backup::Args>),
    #[command(alias = "list")]
    Snapshots(commands::snapshots::Args),
    Ls(commands::ls::Args),
    Find(commands::find::Args),
    Cat(commands::cat::Args),
    Dump(commands::dump::Args),
    Restore(Box<commands::restore::Args>),
    #[command(visible_alias = "check")]
    Verify(commands::verify::Args),
    Scrub(commands::scrub::Args),
    Heal(commands::heal::Args),
    Diff(commands::diff::Args),
    Stats(commands::stats::Args),
    Bench(commands::bench::Args),
    Tag(commands::tag::Args),
    Pin(commands::pin::Args),
    Unpin(commands::pin::UnpinArgs),
    Forget(Box<commands::forget::Args>),
    Undelete(commands::undelete::Args),
    Prune(commands::prune::Args),
    Repair(commands::repair::Args),
    Rewrite(commands::rewrite::Args),
    Key(commands::key::Args),
    Config(commands::config::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_words_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_says_what_it_is_for() {
        fn look(command: &clap::Command, path: &str) {
            for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
                let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
                assert!(!help.is_empty(), "{path} {} has no help", flag.get_id());
                assert!(!help.ends_with('.'), "{path} {}: no full stop", flag.get_id());
            }
            for inner in command.get_subcommands() {
                let path = format!("{path} {}", inner.get_name());
                assert!(inner.get_about().is_some(), "{path} has no help");
                look(inner, &path);
            }
        }
        look(&Cli::command(), "vault");
    }

    #[test]
    fn two_secrets_are_refused() {
        let typed = ["vault", "--key-file", "a", "--password-file", "b", "snapshots"];
        assert!(Cli::try_parse_from(typed).is_err());
    }

    #[test]
    fn words_that_restic_has_are_understood() {
        for line in [
            "vault backup -x -e *.o --iexclude *.TMP --exclude-file f --exclude-caches --exclude-if-present .nobackup --exclude-larger-than 1G --tag a,b --host h --time 2026-01-01 --force -n /home",
            "vault backup --stdin --stdin-filename db.sql",
            "vault backup --stdin-filename db.sql --stdin-from-command -- pg_dump --clean db",
            "vault backup --files-from a --files-from-verbatim b --files-from-raw c",
            "vault backup --skip-if-unchanged --parent abcd --compression max --pack-size 16M --read-concurrency 4 --memory-limit 128M --ignore-inode --ignore-ctime .",
            "vault restore latest:/home -t /tmp/x -i *.rs --overwrite if-changed --delete --dry-run --verify --no-sparse",
            "vault -r /r --json snapshots --host h --path /home --tag a --latest 3",
            "vault check --read-data",
            "vault ls latest /home -l --recursive",
            "vault find -i *.rs --newest 2d --snapshot latest",
            "vault diff --metadata a b",
            "vault tag --add x --remove y latest",
            "vault rewrite --exclude /home/x --forget latest",
            "vault key add --new-key-file k",
            "vault stats --mode raw-data",
            "vault bench --seconds 3 /home",
            "vault init --cipher aes-256-gcm --pack-size 16M",
            "vault forget -l 3 -d 7 -w 5 -m 12 -y 10 --keep-within 2y5m7d3h --keep-tag a,b --group-by host --prune --max-unused 5% -n",
            "vault forget latest~2 --force",
            "vault prune --max-repack-size 10G",
            "vault prune --dry-run --max-unused unlimited --max-repack 1G --max-time 10m",
            "vault scrub /mnt/backup --json",
            "vault heal --from /mnt/one --from /mnt/two --missing -n",
            "vault init --parity none",
            "vault pin latest --reason why --until 2030-01-01",
            "vault undelete",
            "vault repair index",
            "vault repair --read-data -n",
            "vault backup --checkpoint-every 5m /home",
        ] {
            let parsed = Cli::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err("an error"));
        }
    }
}
