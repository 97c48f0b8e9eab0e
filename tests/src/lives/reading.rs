//! Reads a snapshot as far as it can be read: damage of one file does not hide the others.

use crate::files::Files;
use vault_engine::format::node::{Node, NodeType};
use vault_engine::ops::browse::{Descend, Place, read_file, root_node, walk};
use vault_engine::ops::monitor::Cancel;
use vault_engine::store::error::RepositoryError;
use vault_engine::store::repository::{Repository, StoredSnapshot};

/// What a snapshot holds.
#[derive(Debug, Default)]
pub struct Reading {
    /// The files that can be read whole.
    pub files: Files,
    /// Some are marked: a repair found them lost.
    pub has_marks: bool,
    /// Why something could not be read.
    pub failure: Option<RepositoryError>,
}

/// Reads all of it that can be read.
pub fn read(repository: &Repository, stored: &StoredSnapshot) -> Reading {
    let start = Place { path: b"/".to_vec(), node: root_node(stored.snapshot.root) };
    let (mut reading, mut places) = (Reading::default(), Vec::new());
    let mut visit = |path: &[u8], node: &Node| {
        reading.has_marks |= node.lost;
        if node.metadata.node_type == NodeType::File && !node.lost {
            places.push(Place { path: path.to_vec(), node: node.clone() });
        }
        Descend::Yes
    };
    let walked = walk(repository, &start, &Cancel::default(), &mut visit, &mut |_, error| {
        reading.failure.get_or_insert(error);
    });
    reading.failure = walked.err().or(reading.failure);
    for place in places {
        let mut bytes = Vec::new();
        match read_file(repository, &place, &Cancel::default(), &mut bytes) {
            Ok(()) => reading.files.put(std::str::from_utf8(&place.path[1..]).unwrap(), bytes),
            Err(error) => drop(reading.failure.get_or_insert(error)),
        }
    }
    reading
}
