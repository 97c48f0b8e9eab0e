//! Vectors of single objects.

use super::operations::{Outcome, Refusal, join, optional, repository, ring, sealed, time};
use vault_engine::format::FormatError;
use vault_engine::format::config::{Config, UNKNOWN_NUMBERS};
use vault_engine::format::id::hex;
use vault_engine::format::index::Segment;
use vault_engine::format::keys::{Bundle, Key};
use vault_engine::format::pack::{self, END_LENGTH, End, Geometry, PACK_LENGTH_MIN, PackKind};
use vault_engine::format::parity;
use vault_engine::format::seal::Sealed;
use vault_engine::format::slot::{Secret, Slot, SlotKind};
use vault_engine::format::snapshot::{Forget, Snapshot, Status};
use vault_engine::format::sweep::SweepRecord;
use vault_engine::format::tree::TreeNode;
use vault_rescue::keys::h;
use vault_rescue::vectors::Vector;

pub fn slot(v: &Vector) -> Outcome {
    let slot = Slot::decode(&v.input)?;
    let secret = match slot.kind {
        SlotKind::Password => Secret::Password(v.hex("secret")?.into()),
        SlotKind::KeyFile => Secret::KeyFile(Key(v.fixed("secret")?)),
        SlotKind::Recovery => Secret::Recovery(Key(v.fixed("secret")?)),
    };
    let ring = slot.open(&secret)?;
    let label = slot.label(&ring)?;
    let mut outputs = vec![
        ("repository", slot.repository.to_string()),
        ("kind", (slot.kind as u8).to_string()),
        ("role", (ring.role() as u8).to_string()),
        ("label", label.label),
        ("made", time(label.created)),
        ("host", label.host),
        ("label-role", (label.role as u8).to_string()),
    ];
    let all = |keys: &[Key]| keys.iter().map(|key| hex(&key.0)).collect::<String>();
    let held = match ring.bundle() {
        Bundle::Owner(roots) => {
            outputs.push(("roots", all(roots)));
            return Ok(outputs);
        }
        Bundle::Backup { held, data, tree } => {
            outputs.extend([("public-data", hex(&h(&data.encode()))), ("public-tree", hex(&h(&tree.encode())))]);
            held
        }
        Bundle::Prune { held, wrap_tree } => {
            outputs.push(("wrap-tree", all(wrap_tree)));
            held
        }
    };
    outputs.extend([("control", all(&held.control)), ("confirm", all(&held.confirm)), ("hedge", hex(&held.hedge.0))]);
    outputs.extend([("name-tree", hex(&held.tree_name.0)), ("split", hex(&held.split.0)), ("own", hex(&held.own.0))]);
    if let Some([name, chunker]) = &held.data_names {
        outputs.extend([("name-data", hex(&name.0)), ("chunker", hex(&chunker.0))]);
    }
    Ok(outputs)
}

pub fn forget_kept(v: &Vector) -> Outcome {
    let kept = Forget::decode(&v.input)?.kept(&ring(v)?);
    Ok(vec![("record", kept.map_or("-".to_owned(), |record| hex(&record)))])
}

pub fn control(v: &Vector) -> Outcome {
    let record = vault_engine::format::control::open(&ring(v)?, sealed(v.byte("kind")?)?, &v.input)?;
    Ok(vec![("record", hex(&record))])
}

pub fn config(v: &Vector) -> Outcome {
    let config = Config::decode(&v.input)?;
    if config.repository != repository(v)? {
        return Err(FormatError::WrongRepository.into());
    }
    // Of numbers that it does not know the engine keeps only that they are there.
    let unknown = config.write_features.contains(&UNKNOWN_NUMBERS);
    let writing = if unknown { v.text("out-writing")?.to_owned() } else { join([1, config.cipher as u64, 0, config.pack_size_bytes]) };
    Ok(vec![
        ("made", time(config.created)),
        ("sequence", config.sequence.to_string()),
        ("writing", writing),
        ("writer-features", join(config.write_features.iter().filter(|feature| **feature != UNKNOWN_NUMBERS))),
    ])
}

pub fn snapshot(v: &Vector) -> Outcome {
    let snapshot = Snapshot::decode(&v.input)?;
    let status = match snapshot.status {
        Status::Complete => "complete",
        Status::Incomplete => "incomplete",
        Status::Partial => "partial",
    };
    Ok(vec![
        ("begun", time(snapshot.begun)),
        ("ended", time(snapshot.ended)),
        ("host", snapshot.host),
        ("user", snapshot.user),
        ("source", snapshot.source.unwrap_or("-".to_owned())),
        ("paths", join(snapshot.paths.iter().map(|path| hex(path)))),
        ("tags", snapshot.tags.join(",")),
        ("root", snapshot.root.to_hex()),
        ("parent", optional(snapshot.parent)),
        ("writer", snapshot.writer),
        ("sequence", snapshot.sequence.to_string()),
        ("predecessor", optional(snapshot.predecessor)),
        ("status", status.to_owned()),
        ("unread", snapshot.missing.to_string()),
        ("program", snapshot.program),
    ])
}

pub fn forget(v: &Vector) -> Outcome {
    let forget = Forget::decode(&v.input)?;
    Ok(vec![
        ("snapshot", forget.snapshot.to_hex()),
        ("writer", forget.writer),
        ("sequence", forget.sequence.to_string()),
        ("time", time(forget.forgotten)),
        ("replacement", optional(forget.replaced_by)),
    ])
}

pub fn index(v: &Vector) -> Outcome {
    let segment = Segment::decode(&v.input)?;
    Ok(vec![
        ("packs", join(segment.packs.iter().map(|pack| format!("{}:{}:{}", pack.id.to_hex(), pack.kind as u8, pack.length)))),
        ("rows", join(segment.rows.iter().map(|row| format!("{}:{}:{}", hex(&row.prefix), row.pack, row.ordinal)))),
        ("replaces", join(segment.replaces.iter().map(vault_engine::format::id::ObjectId::to_hex))),
    ])
}

pub fn sweep(v: &Vector) -> Outcome {
    let kind = if v.text("op")? == "sweep" { Sealed::Sweep } else { Sealed::SweepDone };
    Ok(match SweepRecord::decode(kind, &v.input)? {
        SweepRecord::Condemn(victims) | SweepRecord::Sweep(victims) => vec![
            ("data", join(victims.data.iter().map(vault_engine::format::id::ObjectId::to_hex))),
            ("meta", join(victims.meta.iter().map(vault_engine::format::id::ObjectId::to_hex))),
            ("made", time(victims.made)),
            ("host", victims.host),
        ],
        SweepRecord::Done { sweep, made } => vec![("sweep", sweep.to_hex()), ("made", time(made))],
    })
}

pub fn node(v: &Vector) -> Outcome {
    let (kind, items) = match TreeNode::decode(&v.input)? {
        TreeNode::Directory(entries) => (1, entries.len()),
        TreeNode::Split(parts) => (2, parts.len()),
        TreeNode::List(extents) => (3, extents.len()),
        TreeNode::Lists(parts) => (4, parts.len()),
    };
    Ok(vec![("kind", kind.to_string()), ("items", items.to_string())])
}

/// Parity is right if it is what the engine makes itself of the covered bytes.
pub fn parity(v: &Vector) -> Outcome {
    let end = v.input.first_chunk::<END_LENGTH>().ok_or(FormatError::Truncated)?;
    let geometry = Geometry::decode(end)?;
    let layout = geometry.parity_layout().ok_or(FormatError::BadStructure("no parity"))?;
    if geometry.pack_length != v.input.len() as u64 {
        return Err(FormatError::BadStructure("another length").into());
    }
    let covered = geometry.table_end() as usize;
    let tables = covered + layout.parity_length();
    let mut rows: Vec<u8> = v.input[..covered].chunks(layout.shard_length()).flat_map(|shard| h(shard)[..16].to_vec()).collect();
    rows.extend(v.input[covered..tables].chunks(layout.shard_length()).flat_map(|shard| h(shard)[..16].to_vec()));
    rows.extend(h(&rows));
    if v.input[tables..tables + 2 * rows.len()] != rows.repeat(2) {
        return Err(FormatError::WrongHash.into());
    }
    let mut made = v.input[..covered].to_vec();
    parity::append(&mut made);
    if v.input[..made.len()] != made {
        return Err(FormatError::BadStructure("parity that does not belong to the data").into());
    }
    Ok(vec![("shard-length", layout.shard_length().to_string()), ("shards", layout.data_shards().to_string()), ("groups", layout.groups().to_string())])
}

/// A pack: everything in it, or what one good end and the table tell.
pub fn pack(v: &Vector, everything: bool) -> Outcome {
    let ring = ring(v)?;
    let kind = PackKind::from_code(v.number("class")?).map_err(|error| Refusal::Vector(error.to_string()))?;
    let (bytes, length) = (&v.input[..], v.input.len() as u64);
    if length < PACK_LENGTH_MIN {
        return Err(FormatError::Truncated.into());
    }
    let ends = |end| {
        let at = if end == End::Header { 0 } else { bytes.len() - END_LENGTH };
        Geometry::decode_end(&bytes[at..at + END_LENGTH], end, kind, length)
    };
    let open = |end| {
        let geometry = ends(end)?;
        let table = pack::open_table(&ring, &geometry, &bytes[geometry.table_offset as usize..geometry.table_end() as usize])?;
        Ok::<_, FormatError>(table)
    };
    let (footer, header) = (open(End::Footer), open(End::Header));
    let table = if everything {
        if ends(End::Footer)? != ends(End::Header)? {
            return Err(FormatError::BadStructure("header and footer differ").into());
        }
        let table = footer?;
        for (at, row) in table.blocks.iter().enumerate() {
            let key = ring.unwrap(kind.key_class(), &table.keys[usize::from(row.key)])?;
            let mut boxed = bytes[row.offset as usize..][..row.box_length as usize].to_vec();
            let mut plain = Vec::new();
            pack::open_block(ring.repository, kind, &key, row, &mut boxed, &mut plain)?;
            pack::check_names(&ring, kind, table.chunks_of(at), &plain)?;
        }
        table
    } else {
        footer.or(header)?
    };
    Ok(vec![
        ("session", hex(&table.session)),
        ("keys", table.keys.len().to_string()),
        ("blocks", join(table.blocks.iter().map(|row| format!("{}:{}:{}", row.offset, row.plain_length, row.chunks)))),
        ("chunks", join(table.chunks.iter().map(|row| format!("{}:{}", row.id.to_hex(), row.length)))),
    ])
}
