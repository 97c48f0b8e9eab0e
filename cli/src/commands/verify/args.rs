//! The arguments of `vault verify`, and which level they ask for.

use crate::args::exclude::ExcludeArgs;
use crate::args::filter::FilterArgs;
use crate::complaint::Complaint;
use crate::units;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vault_engine::ops::verify::{Budget, PackChoice, Share};

/// Check the repository
///
/// Without flags the structure is checked: every snapshot, key slot and record can be read; no snapshot of any host is missing; every folder can be
/// read; everything that files need has its place in a pack that is there, with the right length, and whose header, footer and table can be read.
/// The other levels add to this. No level changes anything in the repository.
///
/// Ends with 6 if something is damaged, and says which files of which snapshots that costs; with 3 if --against found differences that no time explains.
#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// Check only these snapshots and what they need [default: everything; with --restore the newest snapshot of each source]
    #[arg(value_name = "SNAPSHOT")]
    pub ids: Vec<OsString>,

    /// Check also both ends and the table of packs that no snapshot needs, and the index against all tables
    #[arg(long, help_heading = "Level", conflicts_with_all = ["restore", "against"])]
    pub tables: bool,

    /// Read some packs whole, drawn by lot: a share of them (5%), or as many as it takes to say that fewer than so many are damaged, with a confidence (0.1%@99%)
    #[arg(long, value_name = "SHARE", value_parser = sample, help_heading = "Level", conflicts_with_all = ["read_data", "budget", "within", "restore", "against"])]
    pub sample: Option<PackChoice>,

    /// Read those packs that were not read for the longest time, up to so many bytes (10GiB) or for so long (20min)
    #[arg(long, value_name = "SIZE|TIME", value_parser = budget, help_heading = "Level", conflicts_with_all = ["read_data", "restore", "against"])]
    pub budget: Option<Budget>,

    /// Read what is due today so that every byte is read again within this time, for example 30d; to be run every day or so
    #[arg(long, value_name = "TIME", value_parser = units::duration, help_heading = "Level", conflicts_with_all = ["read_data", "restore", "against"])]
    pub within: Option<Duration>,

    /// Read every byte of every pack: its hash, its seals, the name of each chunk
    #[arg(long, help_heading = "Level", conflicts_with_all = ["restore", "against"])]
    pub read_data: bool,

    /// Restore to nowhere: everything a restore does but writing, with a look that every byte of every file comes
    #[arg(long, help_heading = "Level", conflicts_with = "against")]
    pub restore: bool,

    /// Compare a snapshot [default: latest] with the files it was made of. SNAPSHOT:FOLDER compares that folder, else what the snapshot has of PATH.
    /// What the backup left out by a flag is left out by the same flag here; what the configuration file leaves out of backups is left out, too
    #[arg(long, value_name = "PATH", help_heading = "Level")]
    pub against: Option<PathBuf>,

    #[command(flatten)]
    pub leave_out: ExcludeArgs,

    #[command(flatten)]
    pub filter: FilterArgs,
}

/// How deep to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level<'a> {
    /// What is there and where.
    Structure,
    /// And all packs' tables.
    Tables,
    /// And some packs whole.
    Choice(PackChoice),
    /// And all packs whole.
    ReadData,
    /// A restore to nowhere.
    Restore,
    /// The source.
    Against(&'a Path),
}

impl Level<'_> {
    /// The word for it in JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Structure => "structure",
            Self::Tables => "tables",
            Self::Choice(PackChoice::Share(_) | PackChoice::Confidence { .. }) => "sample",
            Self::Choice(PackChoice::Oldest { .. }) => "budget",
            Self::ReadData => "read-data",
            Self::Restore => "restore",
            Self::Against(_) => "against",
        }
    }
}

impl Args {
    /// The level asked for.
    pub fn level(&self) -> Result<Level<'_>, Complaint> {
        if self.within.is_some() && !(self.ids.is_empty() && self.filter.is_empty()) {
            return Err(Complaint::usage("--within is a promise about every byte of the repository").hint("name no snapshots with it"));
        }
        if self.against.is_none() && !self.leave_out.is_empty() {
            return Err(Complaint::usage("what to leave out (--exclude, -x and the like) is said of files: it needs --against PATH"));
        }
        Ok(if let Some(path) = &self.against {
            Level::Against(path)
        } else if self.restore {
            Level::Restore
        } else if self.read_data {
            Level::ReadData
        } else if let Some(choice) = self.sample {
            Level::Choice(choice)
        } else if self.budget.is_some() || self.within.is_some() {
            Level::Choice(PackChoice::Oldest { budget: self.budget, within: self.within })
        } else if self.tables {
            Level::Tables
        } else {
            Level::Structure
        })
    }
}

fn share(text: &str) -> Option<Share> {
    let number: f64 = text.trim().strip_suffix('%')?.trim().parse().ok()?;
    let millionths = (number * 10_000.0).round();
    (millionths >= 1.0 && number <= 100.0).then_some(Share(millionths as u32))
}

fn sample(text: &str) -> Result<PackChoice, String> {
    let choice = match text.split_once('@') {
        None => share(text).map(PackChoice::Share),
        Some((bad, confidence)) => share(bad).zip(share(confidence)).map(|(bad, confidence)| PackChoice::Confidence { bad, confidence }),
    };
    choice.ok_or_else(|| {
        format!("`{text}` is no sample; write for example 5% (of the packs), or 0.1%@99% (fewer than 0.1 % are damaged, with a confidence of 99 %)")
    })
}

fn budget(text: &str) -> Result<Budget, String> {
    let wrong = || format!("`{text}` is neither a size nor a time; write for example 10GiB or 20min");
    let text = text.trim();
    let unit = text.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    match unit {
        // Minutes as well as mebibytes: a mistake would cost the thousandfold.
        "m" | "" => Err(wrong()),
        "s" | "min" | "h" | "d" => units::duration(text).map(Budget::Time).map_err(|_| wrong()),
        _ => units::size(text).map(Budget::Bytes).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_and_budgets() {
        assert_eq!(sample("5%"), Ok(PackChoice::Share(Share(50_000))));
        assert_eq!(sample("0.1%@99%"), Ok(PackChoice::Confidence { bad: Share(1000), confidence: Share(990_000) }));
        for wrong in ["", "5", "0%", "101%", "-1%", "NaN%", "0.1%@", "@99%", "1%@2%@3%", "0.1@99", "inf%"] {
            assert!(sample(wrong).is_err(), "{wrong}");
        }
        assert_eq!(budget("10GiB"), Ok(Budget::Bytes(10 << 30)));
        assert_eq!(budget("1.5M"), Ok(Budget::Bytes(3 << 19)));
        assert_eq!(budget("20min"), Ok(Budget::Time(Duration::from_mins(20))));
        assert_eq!(budget("2h"), Ok(Budget::Time(Duration::from_hours(2))));
        for wrong in ["", "10", "20m", "min", "1x", "-5h", "1.5h"] {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_promise_about_everything_takes_no_snapshot() {
        let args = Args { within: Some(Duration::from_hours(720)), ..Args::default() };
        assert!(matches!(args.level().expect("fine"), Level::Choice(PackChoice::Oldest { budget: None, within: Some(_) })));
        assert!(Args { ids: vec!["latest".into()], ..args }.level().is_err());
    }
}
