//! The flags of `vault backup`.

use crate::args::exclude::ExcludeArgs;
use crate::args::filter::{size, time};
use crate::units::duration;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;
use vault_engine::format::node::Time;

/// Back up files and folders, or what a command prints
///
/// Unchanged files are taken from the previous snapshot of the same host and paths without being read.
#[derive(clap::Args, Debug, Default)]
#[command(after_help = "Patterns are restic's: *.o, /home/*/cache, **/node_modules, !keep.o. A size is a number with K, M, G or T.")]
pub struct Args {
    /// What to back up
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Make the repository if it is not there
    #[arg(long)]
    pub init: bool,

    /// Store nothing, only say what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    #[command(flatten)]
    pub leave_out: ExcludeArgs,

    /// File with paths to back up, one a line, globs and comments allowed; - is standard input (can be repeated)
    #[arg(long, value_name = "FILE")]
    pub files_from: Vec<PathBuf>,

    /// The same, each line a name as it stands (can be repeated)
    #[arg(long, value_name = "FILE")]
    pub files_from_verbatim: Vec<PathBuf>,

    /// The same, each name ending with a NUL byte (can be repeated)
    #[arg(long, value_name = "FILE")]
    pub files_from_raw: Vec<PathBuf>,

    /// Back up standard input
    #[arg(long, conflicts_with_all = ["stdin_from_command", "files_from", "files_from_verbatim", "files_from_raw"])]
    pub stdin: bool,

    /// Name for what comes from standard input or a command [default: stdin]
    #[arg(long, value_name = "NAME")]
    pub stdin_filename: Option<OsString>,

    /// Back up what the command after -- prints; nothing is stored if it fails
    #[arg(long, conflicts_with_all = ["files_from", "files_from_verbatim", "files_from_raw"])]
    pub stdin_from_command: bool,

    /// Make a snapshot even if the stream is empty; otherwise that is an error
    #[arg(long)]
    pub allow_empty: bool,

    /// Tags for the snapshot, separated by commas (can be repeated)
    #[arg(long, value_name = "TAG,…", help_heading = "The snapshot")]
    pub tag: Vec<String>,

    /// Host name for the snapshot [default: this machine's]
    #[arg(short = 'H', long, help_heading = "The snapshot")]
    pub host: Option<String>,

    /// Name for what is backed up; snapshots of one source follow each other even if host and paths change
    #[arg(long, value_name = "NAME", help_heading = "The snapshot")]
    pub source: Option<String>,

    /// Time for the snapshot [default: now]
    #[arg(long, value_parser = time, help_heading = "The snapshot")]
    pub time: Option<Time>,

    /// Make no snapshot if nothing has changed since the parent
    #[arg(long, help_heading = "The snapshot")]
    pub skip_if_unchanged: bool,

    /// Snapshot to compare with [default: the latest of the same host and paths, or source]
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "force", help_heading = "What counts as unchanged")]
    pub parent: Option<String>,

    /// Read everything, whatever the parent says
    #[arg(short, long, help_heading = "What counts as unchanged")]
    pub force: bool,

    /// Files with another inode number may be unchanged
    #[arg(long, help_heading = "What counts as unchanged")]
    pub ignore_inode: bool,

    /// Files with another change time may be unchanged
    #[arg(long, help_heading = "What counts as unchanged")]
    pub ignore_ctime: bool,

    /// How many files to read at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256), help_heading = "Speed and space")]
    pub read_concurrency: Option<u16>,

    /// Memory to stay below, 64M at least; smaller packs and blocks, fewer threads [default: 92M on two cores, 5M more for each further one, 32M more for the packs of a bucket]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Speed and space")]
    pub memory_limit: Option<u64>,

    /// Put what is stored so far as a partial snapshot after so long, and again: no prune takes it, and a killed run leaves it; 0 for never [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "Speed and space")]
    pub checkpoint_every: Option<Duration>,

    /// How to compress: auto, off, fastest, better, max, or a zstd level from 1 to 22
    #[arg(long, value_name = "HOW", help_heading = "Speed and space")]
    pub compression: Option<String>,

    /// Size of new data packs
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Speed and space")]
    pub pack_size: Option<u64>,
}
