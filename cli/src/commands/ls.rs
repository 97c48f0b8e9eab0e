//! `vault ls`: what lies in a snapshot.

use crate::args::filter::{self, FilterArgs};
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::describe;
use crate::output::json::Event;
use crate::output::lister::Lister;
use crate::session::Session;
use std::ffi::OsString;
use vault_engine::format::node::NodeType;
use vault_engine::ops::browse::{self, Descend};

/// List the files in a snapshot
///
/// Without folders everything is listed. With folders only what lies directly in them, unless --recursive is given.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshot to look into: an ID or its beginning, latest, latest~2, ID:PATH
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    snapshot: OsString,

    /// Folders to list
    #[arg(value_name = "DIR")]
    dirs: Vec<OsString>,

    /// Show type, permissions, owner, size and time
    #[arg(short, long)]
    long: bool,

    /// List what lies in folders below, too
    #[arg(long)]
    recursive: bool,

    /// Show sizes with units (with --long)
    #[arg(long)]
    human_readable: bool,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open()?;
    let (stored, start) = args.filter.place(&repository, &args.snapshot, session)?;
    session.output.event(&Event::Snapshot(describe::snapshot(stored.id, &stored.snapshot, stored.confirmed)))?;
    let mut lister = Lister::new(session, args.long, args.human_readable);
    let everything = args.dirs.is_empty();
    let places = if everything {
        vec![start]
    } else {
        let named = args.dirs.iter().map(|dir| browse::resolve(&repository, &stored, &filter::below(&start, dir)));
        named.collect::<Result<_, _>>()?
    };
    for place in places {
        if place.node.metadata.node_type != NodeType::Directory || !everything {
            lister.show(&place.path, &place.node);
        }
        lister.walk(&repository, &place, |lister, path, node| match lister.show(path, node) {
            Descend::Yes if everything || args.recursive => Descend::Yes,
            _ => Descend::No,
        })?;
    }
    lister.finish()
}
