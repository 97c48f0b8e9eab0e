//! `vault restore`: a folder comes back.

mod args;
mod report;
mod selection;

pub use args::Args;

use crate::complaint::{Complaint, settle, shown};
use crate::exit::Exit;
use crate::output::progress::{Activity, Screen};
use crate::session::Session;
use args::Overwrite;
use selection::Selection;
use std::path::{Path, PathBuf};
use vault_engine::format::snapshot::Status;
use vault_engine::ops::restore::{self, RestoreOptions, restore};
use vault_engine::sources::tree_target::{self, OwnerMap, TreeTarget};
use vault_engine::store::repository::StoredSnapshot;

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let owners = owners(args)?;
    let selection = Selection::of(args, &session.world)?;
    let repository = session.open_contents()?;
    let (stored, start) = args.filter.place(&repository, &args.snapshot, session)?;
    warn_of(&stored, session);
    let destination = Destination::open(args, owners)?;
    let cancel = session.world.be_polite();
    let options = RestoreOptions { sources: stored.snapshot.paths.clone(), ..options(args) };
    let select = selection.below(&start.path);

    let screen = Screen::start(&session.output, Activity { name: "restore", during: "restore", lists_removed: args.dry_run });
    let outcome = restore(&repository, &start, &destination.target.root(), &options, &select, &screen, &cancel);
    let (duration, _) = screen.finish();
    let outcome = outcome?;
    settle(report::tell(&outcome, args, duration, session), report::exit(&outcome))
}

/// What the snapshot itself says against relying on it.
fn warn_of(stored: &StoredSnapshot, session: &Session) {
    let id = stored.id.short();
    match stored.snapshot.status {
        Status::Complete => {}
        Status::Incomplete => session.output.warn(&format!("snapshot {id} is incomplete: not all could be read when it was made")),
        Status::Partial => session.output.warn(&format!("snapshot {id} was made before its backup ended: much may be missing")),
    }
    if !stored.confirmed {
        session.output.warn(&format!("snapshot {id} is unconfirmed: nobody looked whether all it needs was stored"));
    }
}

fn owners(args: &Args) -> Result<tree_target::Options, Complaint> {
    let mut map_owner = OwnerMap::default();
    for rule in &args.map_owner {
        map_owner.add(rule).map_err(|error| Complaint::usage(error.to_string()))?;
    }
    Ok(tree_target::Options { numeric_ids: args.numeric_ids, map_owner })
}

fn options(args: &Args) -> RestoreOptions {
    RestoreOptions {
        overwrite: match args.overwrite {
            Overwrite::Always => restore::Overwrite::Always,
            Overwrite::IfChanged => restore::Overwrite::IfChanged,
            Overwrite::IfNewer => restore::Overwrite::IfNewer,
            Overwrite::Never => restore::Overwrite::Never,
        },
        delete: args.delete,
        dry_run: args.dry_run,
        sparse: !args.no_sparse,
        verify: args.verify,
        ..RestoreOptions::default()
    }
}

/// Where the files go. A dry run into a folder that is not there must not make it: an empty one elsewhere stands in for it.
struct Destination {
    target: TreeTarget,
    stand_in: Option<PathBuf>,
}

impl Destination {
    fn open(args: &Args, owners: tree_target::Options) -> Result<Self, Complaint> {
        let stand_in = (args.dry_run && !args.target.exists()).then(|| std::env::temp_dir().join(format!("vault-dry-run-{}", std::process::id())));
        let place: &Path = stand_in.as_deref().unwrap_or(&args.target);
        let complain = |error| Complaint::file(Exit::Failed, "restore to", place, &error);
        if stand_in.is_some() {
            std::fs::create_dir(place).map_err(complain)?;
        }
        let target = TreeTarget::open(place, owners).map_err(|error| {
            if error.kind() == std::io::ErrorKind::InvalidInput {
                Complaint::usage("an owner map leads nowhere").because(&error)
            } else {
                Complaint::failed(format!("cannot restore to {}", shown(place))).because(&error)
            }
        })?;
        Ok(Self { target, stand_in })
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if let Some(dir) = &self.stand_in {
            let _ = std::fs::remove_dir(dir);
        }
    }
}
