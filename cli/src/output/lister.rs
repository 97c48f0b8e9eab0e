//! Lists entries of snapshots, one at a time as a walk comes to them.

use super::describe;
use super::json::{self, Event};
use super::text::visible;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::session::Session;
use vault_engine::format::id::ObjectId;
use vault_engine::format::node::Node;
use vault_engine::ops::browse::{self, Descend, Place};
use vault_engine::store::repository::Repository;

/// How entries are listed, and what went wrong meanwhile.
pub struct Lister<'a> {
    pub session: &'a Session,
    pub long: bool,
    pub human_readable: bool,
    /// Named in each event, where more than one snapshot is looked into.
    pub snapshot: Option<ObjectId>,
    failure: Option<Complaint>,
    damaged: u64,
}

impl<'a> Lister<'a> {
    /// Lists nothing yet.
    pub fn new(session: &'a Session, long: bool, human_readable: bool) -> Self {
        Self { session, long, human_readable, snapshot: None, failure: None, damaged: 0 }
    }

    /// Lists one entry. Once that failed (the reader went away, say) there is no more to do, which the answer says.
    pub fn show(&mut self, path: &[u8], node: &Node) -> Descend {
        let output = &self.session.output;
        let result = if output.json {
            output.event(&Event::Node(describe::node(path, node, self.snapshot)))
        } else if self.long {
            output.line(describe::long_line(path, node, self.human_readable))
        } else {
            output.line(visible(path))
        };
        match result {
            Ok(()) => Descend::Yes,
            Err(complaint) => {
                self.failure.get_or_insert(complaint);
                self.session.world.cancel.cancel();
                Descend::No
            }
        }
    }

    /// Visits what is below `start`; `pick` sees each entry, lists it or not, and says whether to look below it.
    pub fn walk(&mut self, repository: &Repository, start: &Place, mut pick: impl FnMut(&mut Self, &[u8], &Node) -> Descend) -> Result<(), Complaint> {
        let mut damaged = Vec::new();
        let cancel = &self.session.world.cancel;
        let result = browse::walk(repository, start, cancel, &mut |path, node| pick(self, path, node), &mut |path, error| {
            damaged.push((path.to_vec(), error.to_string()));
        });
        for (path, why) in damaged {
            self.damaged += 1;
            let mut line = path.clone();
            line.extend_from_slice(b": ");
            line.extend_from_slice(why.as_bytes());
            self.session.output.warn(&visible(&line));
            let (item, item_hex) = json::lossy(&path);
            self.session.output.event(&Event::Error(json::Error { error: json::ErrorText { message: why }, during: "list", item, item_hex }))?;
        }
        match self.failure.take() {
            Some(complaint) => Err(complaint),
            None => Ok(result?),
        }
    }

    /// How it went: folders that could not be read are a failure, told already.
    pub fn finish(self) -> Result<Exit, Complaint> {
        match (self.failure, self.damaged) {
            (Some(complaint), _) => Err(complaint),
            (None, 0) => Ok(Exit::Complete),
            (None, _) => Ok(Exit::Failed),
        }
    }
}
