//! `vault cat`: objects of the repository as JSON.

use crate::args::filter::FilterArgs;
use crate::complaint::Complaint;
use crate::exit::Exit;
use crate::output::describe;
use crate::output::json::{self, Event};
use crate::output::text::rfc3339;
use crate::session::Session;
use serde_json::{Value, json};
use std::ffi::OsString;
use vault_engine::format::config::FORMAT_VERSION;
use vault_engine::format::node::{Content, Extent, Node};
use vault_engine::ops::browse;
use vault_engine::ops::walk::entries;
use vault_engine::store::error::RepositoryError;
use vault_engine::store::repository::Repository;

/// Print an object of the repository as JSON
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand, Clone, Debug)]
enum What {
    /// The configuration
    Config,
    /// A snapshot's record
    Snapshot {
        /// Snapshot to print
        snapshot: OsString,
    },
    /// A folder of a snapshot
    Tree {
        /// Folder to print
        #[arg(value_name = "SNAPSHOT[:PATH]")]
        snapshot: OsString,
    },
}

pub fn run(args: &Args, session: &Session) -> Result<Exit, Complaint> {
    match &args.what {
        What::Config => show_config(session),
        What::Snapshot { snapshot } => {
            let repository = session.open()?;
            let (stored, _) = FilterArgs::default().snapshot(&repository, snapshot, session)?;
            let value = serde_json::to_value(describe::snapshot(stored.id, &stored.snapshot, stored.confirmed)).unwrap_or_default();
            show("snapshot", stored.id.to_hex(), value, session)
        }
        What::Tree { snapshot } => {
            let repository = session.open()?;
            let (_, place) = FilterArgs::default().place(&repository, snapshot, session)?;
            let Content::Directory(id) = place.node.content else {
                let path = String::from_utf8_lossy(&place.path).into_owned();
                return Err(RepositoryError::WrongType { path, found: place.node.metadata.node_type.word(), wanted: "dir" }.into());
            };
            let nodes = entries(&repository, id).map(|node| Ok(node_value(&place.path, &node?))).collect::<Result<Vec<_>, RepositoryError>>()?;
            show("tree", id.to_hex(), Value::Array(nodes), session)
        }
    }
}

/// The repository's configuration, for `config repository` too.
pub fn show_config(session: &Session) -> Result<Exit, Complaint> {
    let repository = session.open_as_any()?;
    show("config", repository.config.repository.to_string(), config_value(&repository), session)
}

fn config_value(repository: &Repository) -> Value {
    let config = &repository.config;
    json!({
        "id": config.repository.to_string(),
        "version": FORMAT_VERSION,
        "created": rfc3339(config.created),
        "write_features": config.write_features,
        "cipher": format!("{:?}", config.cipher),
        "parity": crate::units::parity_word(config.parity),
        "pack_size": config.pack_size_bytes,
        "sequence": config.sequence,
    })
}

fn node_value(directory: &[u8], node: &Node) -> Value {
    let path = browse::join(directory, &node.name);
    let mut value = serde_json::to_value(describe::node(&path, node, None)).unwrap_or_default();
    value["content"] = match &node.content {
        Content::None => Value::Null,
        Content::Extents(extents) => extents.iter().map(extent_value).collect(),
        Content::List(id) => json!({ "list": id.to_hex() }),
        Content::Directory(id) => json!({ "subtree": id.to_hex() }),
    };
    value
}

fn extent_value(extent: &Extent) -> Value {
    match extent {
        Extent::Chunk { id, length } => json!({ "chunk": id.to_hex(), "length": length }),
        Extent::Hole { length } => json!({ "hole": length }),
    }
}

/// The object as an event, or over several lines for people; either way nothing in it can steer a terminal.
fn show(kind: &'static str, id: String, value: Value, session: &Session) -> Result<Exit, Complaint> {
    if session.output.json {
        session.output.event(&Event::Object(json::Object { kind, id, value }))?;
        return Ok(Exit::Complete);
    }
    let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
    for line in pretty.lines() {
        session.output.line(json::tame(line))?;
    }
    Ok(Exit::Complete)
}

#[cfg(test)]
mod tests {
    use super::*;
    use vault_engine::format::id::ChunkId;
    use vault_engine::format::node::{Metadata, NodeType};

    #[test]
    fn entries_show_where_their_contents_lie() {
        let extents = vec![Extent::Hole { length: 5 }, Extent::Chunk { id: ChunkId([1; 32]), length: 7 }];
        let metadata = Metadata::plain(NodeType::File, 0o644);
        let node = Node { name: b"f".to_vec(), metadata, content: Content::Extents(extents), changed_while_read: false, lost: false, unknown: Vec::new() };
        let value = node_value(b"/d", &node);
        assert_eq!(value["path"], "/d/f");
        assert_eq!(value["content"][0]["hole"], 5);
        assert_eq!(value["content"][1]["chunk"], "01".repeat(32));
    }
}
