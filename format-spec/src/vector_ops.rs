//! The operations that vectors call by name.

use crate::cbor;
use crate::chunker::{Gear, cut};
use crate::config::Config;
use crate::entry::{Contents, Type};
use crate::fault::{Fault, Result, Rule, fail};
use crate::index::Segment;
use crate::keys::{Bytes32, Class, Keys, h, hex, kh, le, session_key, unhex};
use crate::pack::Pack;
use crate::repository::Repository;
use crate::slot::{Secret, read_text};
use crate::snapshot::{Forget, Snapshot, confirmation, read_confirmation};
use crate::tree::{Extent, Kind, Node};
use crate::vectors::{Outputs, Vector};
use crate::walk::{Extents, Step, Trees, Walk};
use crate::{check, control, parity, seal, show, vector_keys};
use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Runs the vector's operation. A fault of rule `Io` is a fault of the vector itself.
pub fn run(v: &Vector) -> Result<Outputs> {
    match v.text("op")? {
        "cbor" => cbor::decode(&v.input).map(|_| Vec::new()),
        "cbor-record" => cbor::decode(&v.input)?.map(&[]).map(|map| vec![("pairs", map.len().to_string())]),
        "cbor-time" => Ok(vec![("time", cbor::decode(&v.input)?.time()?.to_string())]),
        "derive" => vector_keys::derive(v),
        "encapsulation-bytes" => vector_keys::encapsulation(v),
        "wrap-to-public" => vector_keys::wrap_to_public(v),
        "session-key" => {
            let class = class(v)?;
            let epoch = v.number("epoch")? as u32;
            let (random, session) = (v.fixed("random")?, v.fixed("session")?);
            Ok(vec![("key", hex(&session_key(&v.roots()?, epoch, &random, v.text("host")?, &session, class)?))])
        }
        "wrapped-key" => vector_keys::wrapped(v),
        "chunk-name" => Ok(vec![("name", hex(&kh(&v.roots()?.naming(class(v)?), &[&v.input])))]),
        "open-box" => {
            let (cipher, kind) = (v.byte("cipher")?, v.byte("kind")?);
            let message = seal::open(&v.fixed("key")?, cipher, kind, &v.id()?, &v.hex("extra")?, &v.input)?;
            Ok(vec![("message", hex(&message))])
        }
        "seal-box" => {
            let (cipher, kind, random) = (v.byte("cipher")?, v.byte("kind")?, v.fixed("random")?);
            let sealed = seal::seal(&v.fixed("key")?, cipher, kind, &v.id()?, &v.hex("extra")?, &random, &v.input)?;
            Ok(vec![("box", hex(&sealed))])
        }
        "decompress" => {
            let plain = seal::decompress(v.byte("method")?, v.input.clone(), v.number("plain")? as usize)?;
            Ok(vec![("hash", hex(&h(&plain)))])
        }
        "slot" => vector_keys::slot(v),
        "key-text" => Ok(vec![("secret", hex(&read_text(&v.input, v.text("part")?)?))]),
        "control" => {
            let record = control::open(&v.input, &[v.byte("kind")?], &v.roots()?, &v.id()?)?;
            Ok(vec![("record", hex(&record))])
        }
        "padme" => Ok(vec![("length", control::padme(v.number("length")?).unwrap_or(0).to_string())]),
        "config" => {
            let config = Config::parse(&v.input, &v.id()?)?;
            Ok(vec![
                ("made", config.made.to_string()),
                ("sequence", config.sequence.to_string()),
                ("writing", join(config.writing.iter())),
                ("writer-features", join(config.writer_features.iter())),
            ])
        }
        "gear" => Ok(vec![("hash", hex(&h(&Gear::new(&v.roots()?.lasting("chunker")).bytes())))]),
        "cut" => {
            let gear = Gear::new(&v.roots()?.lasting("chunker"));
            Ok(vec![("lengths", join(cut(&gear, v.byte("class")?, &v.input)?.iter()))])
        }
        "pack" => pack(v, true),
        "pack-read" => pack(v, false),
        "parity" => {
            let shards = parity::check(&v.input)?;
            Ok(vec![
                ("shard-length", shards.length.to_string()),
                ("shards", shards.data.to_string()),
                ("groups", shards.groups.to_string()),
            ])
        }
        "node" => {
            let node = Node::parse(&v.input)?;
            let kind = match node.kind {
                Kind::Directory => "1",
                Kind::Split => "2",
                Kind::List => "3",
                Kind::Lists => "4",
            };
            Ok(vec![("kind", kind.to_owned()), ("items", node.items.len().to_string())])
        }
        "walk" => walk(v),
        "repository" => repository(v),
        "snapshot" => snapshot(v),
        "confirmation" => Ok(vec![("snapshot", hex(&read_confirmation(&v.input, &v.roots()?, &v.id()?)?))]),
        "make-confirmation" => {
            let bytes = confirmation(&v.roots()?, v.number("epoch")? as u32, &v.id()?, &v.fixed("snapshot")?)?;
            Ok(vec![("bytes", hex(&bytes)), ("name", hex(&h(&bytes)))])
        }
        "forget" => {
            let forget = Forget::parse(&v.input)?;
            Ok(vec![
                ("snapshot", hex(&forget.snapshot)),
                ("writer", forget.writer),
                ("sequence", forget.sequence.to_string()),
                ("time", forget.time.to_string()),
                ("replacement", optional(forget.replacement)),
            ])
        }
        "forget-kept" => {
            let kept = Forget::kept(&v.input, &v.roots()?, &v.id()?)?;
            Ok(vec![("record", kept.map_or("-".to_owned(), |record| hex(&record)))])
        }
        "index" => {
            let segment = Segment::parse(&v.input)?;
            let rows = segment.rows.iter().map(|row| format!("{}:{}:{}", hex(&row.prefix), row.pack, row.ordinal));
            let packs = segment.packs.iter().map(|(name, class, length)| format!("{}:{}:{length}", hex(name), class.number()));
            Ok(vec![("packs", join(packs)), ("rows", join(rows)), ("replaces", join(segment.replaces.iter().map(|n| hex(n))))])
        }
        "sweep" => {
            let map = cbor::decode(&v.input)?.map(&[])?;
            let (data, meta) = (pack_names(map.need(1)?.bytes()?)?, pack_names(map.need(2)?.bytes()?)?);
            if data.is_empty() && meta.is_empty() {
                return fail(Rule::BadStructure, "a sweep record without packs");
            }
            let (made, host) = (map.need(3)?.time()?.to_string(), map.need(4)?.text()?.to_owned());
            Ok(vec![("data", data), ("meta", meta), ("made", made), ("host", host)])
        }
        "sweep-done" => {
            let map = cbor::decode(&v.input)?.map(&[])?;
            let sweep: Bytes32 = map.need(1)?.fixed()?;
            Ok(vec![("sweep", hex(&sweep)), ("made", map.need(2)?.time()?.to_string())])
        }
        op => fail(Rule::Io, format!("unknown operation {op}")),
    }
}

fn pack_names(bytes: &[u8]) -> Result<String> {
    let names: Vec<&[u8]> = bytes.chunks(32).collect();
    if !bytes.len().is_multiple_of(32) || !names.is_sorted_by(|a, b| a < b) {
        return fail(Rule::BadStructure, "names of packs that are cut off or out of order");
    }
    Ok(join(names.iter().map(|name| hex(name))))
}

fn join<T: ToString>(values: impl Iterator<Item = T>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

fn optional(name: Option<Bytes32>) -> String {
    name.map_or("-".to_owned(), |name| hex(&name))
}

pub(crate) fn class(v: &Vector) -> Result<Class> {
    match Class::from_number(v.byte("class")?) {
        Some(class) => Ok(class),
        None => fail(Rule::Io, "class is 1 or 2"),
    }
}

fn pack(v: &Vector, whole: bool) -> Result<Outputs> {
    let (roots, id) = (v.roots()?, v.id()?);
    let source = v.input.as_slice();
    let pack = Pack::open(&source, class(v)?, &roots, &id)?;
    if whole {
        if let Some(problem) = pack.problems.first() {
            return Err(problem.clone());
        }
        for number in 0..pack.blocks.len() {
            let plain = pack.block(&source, number, &roots, &id)?;
            pack.compare(number, &plain, &roots)?;
        }
    }
    let chunks = pack.chunks.iter().map(|chunk| format!("{}:{}", hex(&chunk.name), chunk.plain));
    let blocks = pack.blocks.iter().map(|block| format!("{}:{}:{}", block.offset, block.plain, block.chunks));
    Ok(vec![
        ("session", hex(&pack.session)),
        ("keys", pack.keys.len().to_string()),
        ("blocks", join(blocks)),
        ("chunks", join(chunks)),
    ])
}

/// Tree chunks of a vector, by their names.
struct Chunks(HashMap<Bytes32, Rc<Vec<u8>>>);

impl Trees for Chunks {
    fn tree(&mut self, name: &Bytes32) -> Result<Rc<Vec<u8>>> {
        match self.0.get(name) {
            Some(plain) => Ok(plain.clone()),
            None => fail(Rule::Missing, format!("tree {} is not there", hex(name))),
        }
    }
}

fn walk(v: &Vector) -> Result<Outputs> {
    let naming = v.roots()?.naming(Class::Tree);
    let mut chunks = Chunks(HashMap::new());
    let mut rest = v.input.as_slice();
    while !rest.is_empty() {
        let Some((head, back)) = rest.split_at_checked(4) else { return fail(Rule::Io, "a chunk's length is cut off") };
        let Some((plain, back)) = back.split_at_checked(le(head, 0, 4) as usize) else {
            return fail(Rule::Io, "a chunk is cut off");
        };
        chunks.0.insert(kh(&naming, &[plain]), Rc::new(plain.to_vec()));
        rest = back;
    }
    let mut steps = Walk::new(v.fixed("root-node")?);
    let (mut lines, mut path) = (String::new(), Vec::new());
    let (mut data, mut holes) = (0u64, 0u64);
    while let Some(step) = steps.next(&mut chunks) {
        match step {
            Step::Fault(fault) => return Err(fault),
            Step::Enter(entry) => {
                lines.push_str(&show::entry(&entry, &path));
                lines.push('\n');
                path.push(b'/');
                path.extend_from_slice(&entry.name);
            }
            Step::Leave => {
                let end = path.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                path.truncate(end);
            }
            Step::Entry(entry) => {
                lines.push_str(&show::entry(&entry, &path));
                lines.push('\n');
                if entry.kind == Type::File && matches!(entry.contents, Contents::List(_)) {
                    check::check_list_alone(&mut chunks, &entry)?;
                }
                let mut extents = Extents::new(&entry);
                while let Some(extent) = extents.next(&mut chunks) {
                    match extent? {
                        Extent::Chunk(_, length) => data = data.saturating_add(length),
                        Extent::Hole(length) => holes = holes.saturating_add(length),
                    }
                }
            }
        }
    }
    Ok(vec![
        ("listing", hex(&h(lines.as_bytes()))),
        ("entries", lines.lines().count().to_string()),
        ("data", data.to_string()),
        ("holes", holes.to_string()),
    ])
}

/// A directory of one vector's run, removed at the end.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether a path is an object's that lies directly in a folder: nothing else is written to the disk.
fn is_object(path: &str) -> bool {
    path.split_once('/').is_some_and(|(folder, name)| {
        !folder.is_empty()
            && folder.bytes().all(|c| c.is_ascii_alphanumeric())
            && unhex(name).is_some_and(|name| name.len() == 32)
    })
}

fn repository(v: &Vector) -> Result<Outputs> {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let place = Place(std::env::temp_dir().join(format!("vault-rescue-vector-{}-{run}", std::process::id())));
    let io = |error: std::io::Error| Fault::new(Rule::Io, error.to_string());
    let cut = || Fault::new(Rule::Io, "an object is cut off");
    let mut rest = v.input.as_slice();
    while !rest.is_empty() {
        let (head, back) = rest.split_at_checked(2).ok_or_else(cut)?;
        let (path, back) = back.split_at_checked(le(head, 0, 2) as usize).ok_or_else(cut)?;
        let (head, back) = back.split_at_checked(4).ok_or_else(cut)?;
        let (bytes, back) = back.split_at_checked(le(head, 0, 4) as usize).ok_or_else(cut)?;
        rest = back;
        let Some(path) = std::str::from_utf8(path).ok().filter(|path| is_object(path)) else { continue };
        let path = place.0.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&place.0)).map_err(io)?;
        fs::write(path, bytes).map_err(io)?;
    }
    let repository = Repository::open(&place.0, &Secret::KeyFile(v.fixed("secret")?))?;
    let (snapshots, _) = repository.snapshots()?;
    let snapshots = snapshots.iter().map(|listed| format!("{}:{}", hex(&listed.name), listed.state()));
    Ok(vec![
        ("repository", hex(repository.id())),
        ("epochs", repository.keys().epochs().to_string()),
        ("config", repository.config().map_or("-".to_owned(), |config| config.sequence.to_string())),
        ("snapshots", join(snapshots)),
        ("latest", repository.find("latest").map_or("-".to_owned(), |listed| hex(&listed.name))),
    ])
}

fn snapshot(v: &Vector) -> Result<Outputs> {
    let snapshot = Snapshot::parse(&v.input)?;
    Ok(vec![
        ("begun", snapshot.begun.to_string()),
        ("ended", snapshot.ended.to_string()),
        ("host", snapshot.host.clone()),
        ("user", snapshot.user.clone()),
        ("source", snapshot.source.clone().unwrap_or("-".to_owned())),
        ("paths", join(snapshot.paths.iter().map(|path| hex(path)))),
        ("tags", snapshot.tags.join(",")),
        ("root", hex(&snapshot.root)),
        ("parent", optional(snapshot.parent)),
        ("writer", snapshot.writer.clone()),
        ("sequence", snapshot.sequence.to_string()),
        ("predecessor", optional(snapshot.predecessor)),
        ("status", snapshot.status_word().to_owned()),
        ("unread", snapshot.unread.to_string()),
        ("program", snapshot.program.clone()),
    ])
}
