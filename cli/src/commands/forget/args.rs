//! What `vault forget` is told, and what that means to the engine.

use crate::args::filter::{self, FilterArgs};
use crate::commands::prune::PruneArgs;
use crate::complaint::Complaint;
use crate::units;
use std::ffi::OsString;
use vault_engine::ops::forget::policy::{Count, GroupBy, Period, Policy, Span};

/// Forget snapshots
///
/// Keeps what the policy says, in each group by itself, and forgets the rest; or forgets the snapshots that are named. Only good snapshots count: partial and
/// unconfirmed ones never take the place of a good one. The last good snapshot of a source stays. Space is freed by prune.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshots to forget: IDs or their beginnings, latest, latest~2
    #[arg(value_name = "SNAPSHOT")]
    pub ids: Vec<OsString>,

    /// Keep the last N (or `unlimited`)
    #[arg(short = 'l', long, value_name = "N", value_parser = number)]
    keep_last: Option<Count>,
    /// Keep the newest of each of the last N hours that have any
    #[arg(long, value_name = "N", value_parser = number)]
    keep_hourly: Option<Count>,
    /// The same by days
    #[arg(short = 'd', long, value_name = "N", value_parser = number)]
    keep_daily: Option<Count>,
    /// The same by weeks
    #[arg(short = 'w', long, value_name = "N", value_parser = number)]
    keep_weekly: Option<Count>,
    /// The same by months
    #[arg(short = 'm', long, value_name = "N", value_parser = number)]
    keep_monthly: Option<Count>,
    /// The same by quarters of a year
    #[arg(long, value_name = "N", value_parser = number)]
    keep_quarterly: Option<Count>,
    /// The same by years
    #[arg(short = 'y', long, value_name = "N", value_parser = number)]
    keep_yearly: Option<Count>,
    /// Keep all that are at most this much older than the newest, for example 1y5m7d2h
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    keep_within: Option<Span>,
    /// Keep the newest of each hour within this of the newest
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    keep_within_hourly: Option<Span>,
    /// The same by days
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    keep_within_daily: Option<Span>,
    /// The same by weeks
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    keep_within_weekly: Option<Span>,
    /// The same by months
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    keep_within_monthly: Option<Span>,
    /// The same by quarters of a year
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    keep_within_quarterly: Option<Span>,
    /// The same by years
    #[arg(long, value_name = "SPAN", value_parser = units::span)]
    keep_within_yearly: Option<Span>,
    /// Keep those with all of these tags, separated by commas (can be repeated: one of the lists has to fit)
    #[arg(long, value_name = "TAG,…")]
    keep_tag: Vec<String>,

    /// What makes a group: host, paths, tags, source, separated by commas; empty: one group [default: the source where it has a name, else host and paths]
    #[arg(short, long, value_name = "BY,…")]
    group_by: Option<String>,

    /// Forget even the last good snapshot of a source
    #[arg(long)]
    pub force: bool,

    /// Change nothing, only say what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,

    /// Free the space too, as prune does
    #[arg(long)]
    pub prune: bool,

    #[command(flatten)]
    pub pruning: PruneArgs,

    #[command(flatten)]
    pub filter: FilterArgs,
}

fn number(text: &str) -> Result<Count, String> {
    match text {
        "unlimited" | "-1" => Ok(Count::All),
        _ => text.parse().map(Count::Of).map_err(|_| format!("`{text}` is neither a number nor `unlimited`")),
    }
}

impl Args {
    /// The policy.
    pub fn policy(&self) -> Policy {
        let counts = [self.keep_hourly, self.keep_daily, self.keep_weekly, self.keep_monthly, self.keep_quarterly, self.keep_yearly];
        let spans = [
            self.keep_within_hourly,
            self.keep_within_daily,
            self.keep_within_weekly,
            self.keep_within_monthly,
            self.keep_within_quarterly,
            self.keep_within_yearly,
        ];
        Policy {
            last: self.keep_last,
            periods: Period::ALL.into_iter().zip(counts).filter_map(|(period, count)| Some((period, count?))).collect(),
            within: self.keep_within,
            within_periods: Period::ALL.into_iter().zip(spans).filter_map(|(period, span)| Some((period, span?))).collect(),
            tags: filter::tag_lists(&self.keep_tag),
        }
    }

    /// What makes a group; `None` for the source of each.
    pub fn grouping(&self) -> Result<Option<Vec<GroupBy>>, Complaint> {
        let Some(text) = &self.group_by else { return Ok(None) };
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        let by = words.map(|word| match word {
            "host" | "hosts" => Ok(GroupBy::Host),
            "path" | "paths" => Ok(GroupBy::Paths),
            "tag" | "tags" => Ok(GroupBy::Tags),
            "source" | "sources" => Ok(GroupBy::Source),
            _ => Err(Complaint::usage(format!("--group-by {word}: there is host, paths, tags and source"))),
        });
        by.collect::<Result<_, _>>().map(Some)
    }
}
