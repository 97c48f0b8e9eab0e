//! The flags of `vault restore`.

use crate::args::filter::FilterArgs;
use std::ffi::OsString;
use std::path::PathBuf;

/// Bring files back
///
/// Files that are right already are left alone; of the others only what differs is written. With `--target /` everything goes back to where it was.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshot to restore: an ID or its beginning, latest, latest~2, ID:PATH
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    pub snapshot: OsString,

    /// Folder to restore to; made if it is missing
    #[arg(short, long, value_name = "DIR")]
    pub target: PathBuf,

    /// Restore only what fits the pattern (can be repeated)
    #[arg(short, long, value_name = "PATTERN", help_heading = "What to restore")]
    pub include: Vec<OsString>,

    /// The same, upper and lower case being equal (can be repeated)
    #[arg(long, value_name = "PATTERN", help_heading = "What to restore")]
    pub iinclude: Vec<OsString>,

    /// File with patterns to restore (can be repeated)
    #[arg(long, value_name = "FILE", help_heading = "What to restore")]
    pub include_file: Vec<PathBuf>,

    /// File with patterns to restore, upper and lower case being equal (can be repeated)
    #[arg(long, value_name = "FILE", help_heading = "What to restore")]
    pub iinclude_file: Vec<PathBuf>,

    /// Leave out what fits the pattern (can be repeated)
    #[arg(short, long, value_name = "PATTERN", help_heading = "What to restore")]
    pub exclude: Vec<OsString>,

    /// The same, upper and lower case being equal (can be repeated)
    #[arg(long, value_name = "PATTERN", help_heading = "What to restore")]
    pub iexclude: Vec<OsString>,

    /// File with patterns to leave out (can be repeated)
    #[arg(long, value_name = "FILE", help_heading = "What to restore")]
    pub exclude_file: Vec<PathBuf>,

    /// File with patterns to leave out, upper and lower case being equal (can be repeated)
    #[arg(long, value_name = "FILE", help_heading = "What to restore")]
    pub iexclude_file: Vec<PathBuf>,

    /// What to do with files that are there already
    #[arg(long, value_enum, default_value_t = Overwrite::Always, help_heading = "What is there already")]
    pub overwrite: Overwrite,

    /// Remove from the restored folders what is not in the snapshot; look at --dry-run -v first
    #[arg(long, help_heading = "What is there already")]
    pub delete: bool,

    /// Change nothing, only say what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Make holes where the files had holes (the default)
    #[arg(long, overrides_with = "no_sparse")]
    pub sparse: bool,

    /// Write zeros instead of holes
    #[arg(long, overrides_with = "sparse")]
    pub no_sparse: bool,

    /// Read everything back afterwards and compare
    #[arg(long)]
    pub verify: bool,

    /// Set owners by number, not by name
    #[arg(long, help_heading = "Owners")]
    pub numeric_ids: bool,

    /// Give what belonged to user FROM to user TO, each a name or a number; @FROM:@TO for groups (can be repeated)
    #[arg(long, value_name = "FROM:TO", help_heading = "Owners")]
    pub map_owner: Vec<String>,

    #[command(flatten)]
    pub filter: FilterArgs,
}

/// What happens to a file that is there already.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overwrite {
    /// Compare contents and write what differs
    Always,
    /// The same, but files of equal size and time are taken for right
    IfChanged,
    /// Only if the file in the snapshot is newer
    IfNewer,
    /// Never
    Never,
}
