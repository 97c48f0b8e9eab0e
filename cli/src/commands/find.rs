//! `vault find`: in which snapshots a file lies.

use crate::args::filter::{FilterArgs, time};
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::lister::Lister;
use crate::output::text::local;
use crate::session::Session;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use vault_engine::format::node::Node;
use vault_engine::format::node::Time;
use vault_engine::ops::browse::{Descend, Place, root_node};
use vault_engine::sources::files::exclude::Excludes;
use vault_engine::store::repository::StoredSnapshot;

/// Find files by name in all snapshots
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Names or paths to find; * and ? and [...] stand for what they do in a shell
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<OsString>,

    /// Take upper and lower case for equal
    #[arg(short, long)]
    ignore_case: bool,

    /// Only files changed at this time or after
    #[arg(short = 'O', long, value_name = "TIME", value_parser = time)]
    oldest: Option<Time>,

    /// Only files changed at this time or before
    #[arg(short = 'N', long, value_name = "TIME", value_parser = time)]
    newest: Option<Time>,

    /// Show type, permissions, owner, size and time
    #[arg(short, long)]
    long: bool,

    /// Show sizes with units (with --long)
    #[arg(long)]
    human_readable: bool,

    /// Look only into this snapshot (can be repeated)
    #[arg(short, long, value_name = "SNAPSHOT")]
    snapshot: Vec<OsString>,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let wanted = Wanted::of(args)?;
    let repository = session.open()?;
    let (snapshots, damaged) = args.filter.snapshots(&repository, &args.snapshot, session)?;
    let mut lister = Lister::new(session, args.long, args.human_readable);
    for stored in snapshots {
        let start = Place { path: b"/".to_vec(), node: root_node(stored.snapshot.root) };
        lister.snapshot = Some(stored.id);
        let mut named = false;
        lister.walk(&repository, &start, |lister, path, node| {
            if !wanted.is(path, node) {
                return Descend::Yes;
            }
            if !named {
                named = true;
                // Should it fail, so does the line after it.
                let _ = session.output.line(heading(&stored));
            }
            lister.show(path, node)
        })?;
    }
    let exit = lister.finish()?;
    Ok(if damaged { Exit::Failed } else { exit })
}

fn heading(stored: &StoredSnapshot) -> String {
    format!("Found in snapshot {} of {}:", stored.id.short(), local(stored.snapshot.begun))
}

/// What is looked for.
struct Wanted {
    /// Patterns without a slash fit names, wherever they lie.
    names: Excludes,
    /// Patterns with a slash fit paths.
    paths: Excludes,
    oldest: Option<Time>,
    newest: Option<Time>,
}

impl Wanted {
    fn of(args: &Args) -> Result<Self, Complaint> {
        let mut wanted = Self { names: Excludes::default(), paths: Excludes::default(), oldest: args.oldest, newest: args.newest };
        for pattern in &args.patterns {
            let pattern = pattern.as_bytes();
            let kind = if pattern.contains(&b'/') { &mut wanted.paths } else { &mut wanted.names };
            kind.add(pattern, args.ignore_case).map_err(|error| Complaint::usage(error.to_string()))?;
        }
        Ok(wanted)
    }

    fn is(&self, path: &[u8], node: &Node) -> bool {
        let mtime = node.metadata.mtime;
        self.oldest.is_none_or(|oldest| mtime >= oldest) && self.newest.is_none_or(|newest| mtime <= newest) && self.fits(path)
    }

    /// The engine's patterns also fit what lies below a match; here only the match itself is wanted.
    fn fits(&self, path: &[u8]) -> bool {
        let slash = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.names.matches(&path[slash..]) || (self.paths.matches(path) && !self.paths.matches(&path[..slash]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths_are_found_but_not_what_lies_below_them() {
        let wanted = |patterns: &[&str], ignore_case| {
            let mut wanted = Wanted { names: Excludes::default(), paths: Excludes::default(), oldest: None, newest: None };
            for pattern in patterns {
                let kind = if pattern.contains('/') { &mut wanted.paths } else { &mut wanted.names };
                kind.add(pattern.as_bytes(), ignore_case).expect("a pattern");
            }
            wanted
        };
        let plain = wanted(&["*.rs", "/home/me"], false);
        assert!(plain.fits(b"/x/a.rs"));
        assert!(!plain.fits(b"/x/a.RS"));
        assert!(plain.fits(b"/home/me"));
        assert!(!plain.fits(b"/home/me/below"));
        assert!(!plain.fits(b"/x.rs/below"));
        assert!(wanted(&["*.rs"], true).fits(b"/A.RS"));
        assert!(wanted(&["src/*.rs"], false).fits(b"/deep/src/a.rs"));
    }
}
