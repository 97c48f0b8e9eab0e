//! Vectors that need a whole repository: one is made in memory.

use super::operations::{Outcome, Refusal, join, ring};
use std::sync::Arc;
use vault_engine::format::compress::Compression;
use vault_engine::format::id::TreeId;
use vault_engine::format::keys::{Key, KeyClass, KeyRing, SessionRandom};
use vault_engine::format::layout::{ObjectKind, ObjectName};
use vault_engine::format::node::{Content, Extent, Node, NodeType};
use vault_engine::format::pack::{self, ChunkRow, CompressedBlock, PackBuilder, PackKind};
use vault_engine::format::seal::Cipher;
use vault_engine::format::slot::{self, Argon2Cost, Secret, SlotLabel, SlotRandom};
use vault_engine::ops::select::{self, Filter};
use vault_engine::ops::walk::{Entries, entries, extents_of};
use vault_engine::store::Store;
use vault_engine::store::error::RepositoryError;
use vault_engine::store::host::SystemHost;
use vault_engine::store::memory::MemoryStore;
use vault_engine::store::repository::Repository;
use vault_rescue::keys::{h, hex, le};
use vault_rescue::show::escape;
use vault_rescue::vectors::Vector;

fn object(kind: ObjectKind, bytes: &[u8]) -> ObjectName {
    ObjectName::new(kind, vault_engine::format::id::ObjectId(h(bytes)))
}

/// A repository that holds these tree chunks and nothing else, opened.
fn with_trees(ring: &KeyRing, chunks: &[&[u8]]) -> Result<Repository, Refusal> {
    let store = MemoryStore::default();
    let secret = Secret::KeyFile(Key([1; 32]));
    let random = SlotRandom { salt: [2; 32], bundle: [3; 32], label: [4; 32] };
    let mut objects = vec![(ObjectKind::Key, slot::create(ring, ring.bundle(), &secret, Argon2Cost::default(), &SlotLabel::default(), &random)?)];
    if !chunks.is_empty() {
        let key = ring.session_key(KeyClass::Tree, &[5; 16], "host", &SessionRandom { key: [6; 32], nonce: [7; 32], encapsulation: [7; 32] }).unwrap();
        let mut builder = PackBuilder::new(PackKind::Meta, [5; 16], &key, Vec::new());
        for plain in chunks {
            let rows = vec![ChunkRow { id: pack::name(ring, PackKind::Meta, plain)?, length: plain.len() as u32 }];
            let kind = (PackKind::Meta, Cipher::XChaCha20Poly1305);
            builder.push(&CompressedBlock::new(plain, Compression::Off, Vec::new()).seal(ring.repository, kind.0, &key.seal, kind.1, &[8; 32], rows));
        }
        objects.push((ObjectKind::MetaPack, builder.close(ring, &[9; 32], b"")?.0));
    }
    for (kind, bytes) in objects {
        store.put(&object(kind, &bytes), bytes).map_err(RepositoryError::from)?;
    }
    Ok(Repository::open(Arc::new(store), Arc::new(SystemHost::default()), &[secret], None)?)
}

fn line(node: &Node, directory: &[u8]) -> String {
    let m = &node.metadata;
    let letter = ['f', 'd', 'l', 'c', 'b', 'p', 's'][m.node_type as usize - 1];
    let size = match m.node_type {
        NodeType::CharDevice | NodeType::BlockDevice => format!("{}:{}", m.device.0, m.device.1),
        _ => m.size.to_string(),
    };
    let path = escape(&[directory, b"/", &node.name].concat());
    let target = if m.node_type == NodeType::Symlink { format!("\t{}", escape(&m.link_target)) } else { String::new() };
    format!("{letter} {:04o} {} {} {size} {}.{:09} {path}{target}\n", m.mode, m.uid, m.gid, m.mtime.seconds, m.mtime.nanoseconds)
}

/// Called with each entry and its path.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &Node) -> Result<(), RepositoryError>;

/// What a walk saw: a line for each entry, and every entry with its path.
pub fn listing(repository: &Repository, root: TreeId, visit: Visit<'_>) -> Result<String, RepositoryError> {
    let mut lines = String::new();
    let mut stack: Vec<(Entries<'_>, Vec<u8>)> = vec![(entries(repository, root), Vec::new())];
    while let Some((open, path)) = stack.last_mut() {
        let Some(node) = open.next().transpose()? else {
            stack.pop();
            continue;
        };
        lines += &line(&node, path);
        let below = [&path[..], b"/", &node.name].concat();
        visit(&below, &node)?;
        if let Content::Directory(id) = node.content {
            stack.push((entries(repository, id), below));
        }
    }
    Ok(lines)
}

pub fn walk(v: &Vector) -> Outcome {
    let (mut chunks, mut rest) = (Vec::new(), &v.input[..]);
    while !rest.is_empty() {
        let (chunk, after) = rest[4..].split_at(le(rest, 0, 4) as usize);
        chunks.push(chunk);
        rest = after;
    }
    let repository = with_trees(&ring(v)?, &chunks)?;
    let (mut data, mut holes) = (0, 0);
    let lines = listing(&repository, TreeId(v.fixed("root-node")?), &mut |_, node| {
        for extent in extents_of(&repository, node) {
            match extent?.extent {
                Extent::Chunk { length, .. } => data += u64::from(length),
                Extent::Hole { length } => holes += length,
            }
        }
        Ok(())
    })?;
    Ok(vec![("listing", hex(&h(lines.as_bytes()))), ("entries", lines.lines().count().to_string()), ("data", data.to_string()), ("holes", holes.to_string())])
}

/// A repository's small objects, each as length and path, length and bytes.
pub fn repository(v: &Vector) -> Outcome {
    let store = MemoryStore::default();
    let mut rest = &v.input[..];
    while !rest.is_empty() {
        let (path, after) = rest[2..].split_at(le(rest, 0, 2) as usize);
        let (bytes, after) = after[4..].split_at(le(after, 0, 4) as usize);
        // Names that are none are no part of the repository.
        if let Some(name) = std::str::from_utf8(path).ok().and_then(ObjectName::parse) {
            store.put(&name, bytes.to_vec()).map_err(RepositoryError::from)?;
        }
        rest = after;
    }
    let secret = Secret::KeyFile(Key(v.fixed("secret")?));
    let repository = Repository::open(Arc::new(store), Arc::new(SystemHost::default()), &[secret], None)?;
    let list = repository.snapshots()?;
    let state = |stored: &vault_engine::store::repository::StoredSnapshot| match (stored.confirmed, stored.forgotten) {
        (_, true) => "forgotten",
        (true, false) => "confirmed",
        (false, false) => "unconfirmed",
    };
    let latest = select::find(&list.snapshots, &Filter::default(), "latest").map_or("-".to_owned(), |stored| stored.id.to_hex());
    Ok(vec![
        ("repository", repository.keys.repository.to_string()),
        ("epochs", (repository.keys.epoch() + 1).to_string()),
        ("config", if repository.config.sequence == 0 { "-".to_owned() } else { repository.config.sequence.to_string() }),
        ("snapshots", join(list.snapshots.iter().map(|stored| format!("{}:{}", stored.id.to_hex(), state(stored))))),
        ("latest", latest),
    ])
}
