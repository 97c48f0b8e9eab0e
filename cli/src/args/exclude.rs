//! What to leave out of a walk: the flags of every command that walks files of this machine, and the `[backup]` table's words for the same.

use crate::args::filter::size;
use crate::complaint::{Complaint, shown};
use crate::patterns::PatternArgs;
use crate::settings::BackupTable;
use crate::world::World;
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use vault_engine::sources::files::exclude::Excludes;
use vault_engine::sources::files::{Mark, Options};

/// What to leave out.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct ExcludeArgs {
    /// Leave out what fits the pattern (can be repeated)
    #[arg(short, long, value_name = "PATTERN", help_heading = "What to leave out")]
    pub exclude: Vec<OsString>,

    /// The same, upper and lower case being equal (can be repeated)
    #[arg(long, value_name = "PATTERN", help_heading = "What to leave out")]
    pub iexclude: Vec<OsString>,

    /// File with patterns to leave out, one a line; $VAR is expanded (can be repeated)
    #[arg(long, value_name = "FILE", help_heading = "What to leave out")]
    pub exclude_file: Vec<PathBuf>,

    /// The same, upper and lower case being equal (can be repeated)
    #[arg(long, value_name = "FILE", help_heading = "What to leave out")]
    pub iexclude_file: Vec<PathBuf>,

    /// Leave out folders that are marked as caches by a CACHEDIR.TAG
    #[arg(long, help_heading = "What to leave out")]
    pub exclude_caches: bool,

    /// Leave out folders that hold a file of this name, with NAME:HEADER only if it begins so (can be repeated)
    #[arg(long, value_name = "NAME[:HEADER]", help_heading = "What to leave out")]
    pub exclude_if_present: Vec<OsString>,

    /// Leave out files larger than this
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "What to leave out")]
    pub exclude_larger_than: Option<u64>,

    /// Stay on the file systems of the named paths
    #[arg(short = 'x', long, help_heading = "What to leave out")]
    pub one_file_system: bool,
}

impl ExcludeArgs {
    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As the engine takes it: lists of command line and configuration file together; single values of the command line before those of the file.
    pub fn options(&self, table: &BackupTable, world: &World) -> Result<Options, Complaint> {
        let mut excludes = Excludes::default();
        let os = |list: &[String]| list.iter().map(OsString::from).collect::<Vec<_>>();
        PatternArgs { plain: &os(&table.exclude), ignoring_case: &os(&table.iexclude), files: &table.exclude_file, files_ignoring_case: &table.iexclude_file }
            .add_to(&mut excludes, world)?;
        PatternArgs { plain: &self.exclude, ignoring_case: &self.iexclude, files: &self.exclude_file, files_ignoring_case: &self.iexclude_file }
            .add_to(&mut excludes, world)?;
        let marks = os(&table.exclude_if_present).into_iter().chain(self.exclude_if_present.iter().cloned());
        let marks = marks.map(|text| mark(&text)).collect::<Result<_, _>>()?;
        let from_file = table.exclude_larger_than.as_deref().map(|text| in_table("exclude-larger-than", size(text))).transpose()?;
        Ok(Options {
            excludes,
            one_file_system: self.one_file_system || table.one_file_system,
            exclude_caches: self.exclude_caches || table.exclude_caches,
            exclude_if_present: marks,
            exclude_larger_than: self.exclude_larger_than.or(from_file),
            ..Options::default()
        })
    }
}

fn mark(text: &OsStr) -> Result<Mark, Complaint> {
    Mark::parse(text.as_bytes()).ok_or_else(|| Complaint::usage(format!("--exclude-if-present {}: not the name of a file in a folder", shown(text.as_ref()))))
}

/// A value of the `[backup]` table that could not be read.
pub fn in_table<T>(key: &str, result: Result<T, String>) -> Result<T, Complaint> {
    result.map_err(|why| Complaint::usage(format!("the configuration file is wrong in backup.{key}")).since(why))
}
