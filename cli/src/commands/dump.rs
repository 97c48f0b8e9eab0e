//! `vault dump`: one file of a snapshot on standard output.

use crate::args::filter::{self, FilterArgs};
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::Output;
use crate::output::text::visible;
use crate::session::Session;
use std::ffi::OsString;
use std::io::{self, Write};
use vault_engine::format::node::NodeType;
use vault_engine::ops::browse;

/// Write a file of a snapshot to standard output
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Snapshot to read from: an ID or its beginning, latest, latest~2, ID:PATH
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    snapshot: OsString,

    /// File to write; may be left out where the snapshot names a path
    #[arg(value_name = "FILE")]
    file: Option<OsString>,

    #[command(flatten)]
    filter: FilterArgs,
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open_contents()?;
    let (stored, start) = args.filter.place(&repository, &args.snapshot, session)?;
    let place = match &args.file {
        Some(file) => browse::resolve(&repository, &stored, &filter::below(&start, file))?,
        None => start,
    };
    match place.node.metadata.node_type {
        NodeType::File => {}
        NodeType::Directory => {
            return Err(Complaint::usage(format!("{} is a folder, and only files can be dumped", visible(&place.path))).hint(format!(
                "vault restore {}:{} --target FOLDER brings it back",
                stored.id.short(),
                visible(&place.path)
            )));
        }
        other => return Err(Complaint::usage(format!("{} is no file ({})", visible(&place.path), other.word()))),
    }
    let mut out = Contents { output: &session.output, failure: None };
    let cancel = session.world.be_polite();
    let result = browse::read_file(&repository, &place, &cancel, &mut out);
    if let Some(error) = out.failure {
        // Whoever read stopped reading. That is no news to them, but not all was delivered.
        return Err(if error.kind() == io::ErrorKind::BrokenPipe { Complaint::silent(Exit::Failed) } else { error.into() });
    }
    result?;
    match session.output.flush() {
        Err(complaint) if complaint.is_silent() => Err(Complaint::silent(Exit::Failed)),
        other => other.map(|()| Exit::Complete),
    }
}

/// Standard output, keeping the error that the engine only passes on in words.
struct Contents<'a> {
    output: &'a Output,
    failure: Option<io::Error>,
}

impl Write for Contents<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.output.contents(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                let kind = error.kind();
                self.failure = Some(error);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
