//! `vault rewrite`: drops paths from history.

use crate::args::filter::FilterArgs;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::json::{self, Event};
use crate::output::text::{count, visible};
use crate::patterns::PatternArgs;
use crate::session::Session;
use std::ffi::OsString;
use std::path::PathBuf;
use vault_engine::format::node::Node;
use vault_engine::ops::edit::rewrite;
use vault_engine::sources::files::exclude::Excludes;

/// Drop files from snapshots
///
/// Puts new snapshots without what the patterns fit in place of the old ones.
#[derive(clap::Args, Debug)]
#[command(group = clap::ArgGroup::new("patterns").args(["exclude", "iexclude", "exclude_file", "iexclude_file"]).required(true).multiple(true))]
pub struct Args {
    /// Snapshots to rewrite [default: all that the filters leave]
    #[arg(value_name = "SNAPSHOT")]
    ids: Vec<OsString>,

    /// Drop what fits the pattern (can be repeated)
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,

    /// The same, upper and lower case being equal (can be repeated)
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<OsString>,

    /// File with patterns to drop, one a line; $VAR is expanded (can be repeated)
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// The same, upper and lower case being equal (can be repeated)
    #[arg(long, value_name = "FILE")]
    iexclude_file: Vec<PathBuf>,

    /// Remove the old snapshots (needed, so that nobody does it by accident)
    #[arg(long)]
    forget: bool,

    /// Change nothing, only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    if !args.forget && !args.dry_run {
        return Err(
            Complaint::usage("rewrite puts new snapshots in place of the old ones").hint("say --forget if the old ones shall go, or --dry-run to look first")
        );
    }
    let mut excludes = Excludes::default();
    PatternArgs { plain: &args.exclude, ignoring_case: &args.iexclude, files: &args.exclude_file, files_ignoring_case: &args.iexclude_file }
        .add_to(&mut excludes, &session.world)?;
    let repository = session.open()?;
    let (snapshots, damaged) = args.filter.snapshots(&repository, &args.ids, session)?;
    let cancel = session.world.be_polite();
    let mut summary = json::RewriteSummary { dry_run: args.dry_run, snapshots: snapshots.len() as u64, ..json::RewriteSummary::default() };
    for stored in &snapshots {
        let drops = |path: &[u8], node: &Node| {
            let drop = excludes.matches(path);
            if drop && session.output.verbose > 0 {
                let (item, item_hex) = json::lossy(path);
                let _ = session.output.event(&Event::VerboseStatus(json::VerboseStatus { action: "dropped", item, item_hex, data_size: node.metadata.size }));
                let _ = session.output.line(format_args!("{}: drop {}", stored.id.short(), visible(path)));
            }
            drop
        };
        let Some(done) = rewrite(&repository, &session.world.host, stored, &drops, args.dry_run, &cancel)? else {
            continue;
        };
        summary.rewritten += 1;
        summary.removed += done.dropped;
        let entries = count(done.dropped, "entry", "entries");
        match done.snapshot {
            Some(id) => {
                session.output.event(&Event::Tagged(json::Tagged { old_snapshot_id: stored.id.to_hex(), new_snapshot_id: id.to_hex() }))?;
                session.output.remark(format_args!("{} is now {}, without {entries}", stored.id.short(), id.short()))?;
            }
            None => session.output.remark(format_args!("{} would lose {entries}", stored.id.short()))?,
        }
    }
    let would = if args.dry_run { "would be " } else { "" };
    session.output.remark(format_args!("{} of {} {would}rewritten.", summary.rewritten, count(summary.snapshots, "snapshot", "snapshots")))?;
    if summary.rewritten > 0 && !args.dry_run {
        session.output.remark("The dropped contents stay in the packs until they are pruned.")?;
    }
    session.output.event(&Event::Summary(json::Summary::Rewrite(summary)))?;
    Ok(if damaged { Exit::Failed } else { Exit::Complete })
}
