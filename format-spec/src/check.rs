//! Reads everything there is and reports what is wrong.

use crate::control;
use crate::entry::{Contents, Entry, Type};
use crate::fault::{Fault, Result, Rule, fail};
use crate::index::Segment;
use crate::keys::{Bytes32, Class, hex};
use crate::repository::{Forgotten, Listed, Repository};
use crate::snapshot::read_confirmation;
use crate::store::Place;
use crate::tree::{Extent, Kind, MAX_LEVELS, Node, Piece, extents};
use crate::walk::{Step, Trees, Walk};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Objects.
    pub objects: u64,
    /// Blocks.
    pub blocks: u64,
    /// Chunks.
    pub chunks: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Directories, each counted once.
    pub directories: u64,
    /// Entries in them.
    pub entries: u64,
    /// Snapshots and blocks that the slot's role has no key for; of them only the hashes were compared.
    pub locked: u64,
}

/// Reads everything. `report` is called with each fault.
pub fn check(repository: &mut Repository, report: &mut dyn FnMut(Fault)) -> Result<Counts> {
    let mut counts = Counts::default();
    for fault in repository.problems() {
        report(fault.clone());
    }
    for place in Place::ALL {
        for name in repository.store().list(place)? {
            counts.objects += 1;
            for fault in repository.store().check_hashes(place, &name) {
                report(fault);
            }
            if let Err(fault) = other_object(repository, place, &name) {
                report(fault.of(&place.object(&name)));
            }
        }
    }
    check_packs(repository, &mut counts, report);
    let (snapshots, faults) = repository.snapshots()?;
    for fault in faults {
        if fault.rule == Rule::NoKey { counts.locked += 1 } else { report(fault) }
    }
    let (forgets, _) = repository.forgets()?;
    // Who cannot open snapshots sees gaps everywhere.
    if repository.require(Class::Tree).is_ok() {
        check_sequences(&snapshots, &forgets, report);
    }
    let mut seen = Seen::default();
    for listed in &snapshots {
        counts.snapshots += 1;
        check_tree(repository, listed, &mut seen, &mut counts, report);
    }
    Ok(counts)
}

/// Objects that nothing else reads on the way.
fn other_object(repository: &Repository, place: Place, name: &Bytes32) -> Result<()> {
    match place {
        Place::Confirmed => {
            let bytes = repository.store().read(place, name, 124)?;
            read_confirmation(&bytes, repository.keys(), repository.id()).map(|_| ())
        }
        Place::Index => {
            let record = repository.control(place, name, &[control::INDEX])?;
            Segment::parse(&record).map(|_| ())
        }
        Place::Sweeps => {
            let record = repository.control(place, name, &control::SWEEPS)?;
            crate::cbor::decode(&record)?.map(&[]).map(|_| ())
        }
        _ => Ok(()),
    }
}

fn check_packs(repository: &Repository, counts: &mut Counts, report: &mut dyn FnMut(Fault)) {
    for found in repository.packs() {
        let class = found.pack.class;
        let place = Place::of_packs(class);
        let object = place.object(&found.name);
        for copy in repository.store().ranges(place, &found.name) {
            // The map has dropped the chunk rows: the table is read again.
            let pack = match crate::pack::Pack::open(&copy, class, repository.keys(), repository.id()) {
                Ok(pack) => pack,
                Err(fault) => {
                    report(fault.of(&object));
                    continue;
                }
            };
            counts.chunks += pack.chunks.len() as u64;
            for number in 0..pack.blocks.len() {
                counts.blocks += 1;
                let plain = pack.block(&copy, number, repository.keys(), repository.id());
                let compared = plain.and_then(|plain| pack.compare(number, &plain, repository.keys()));
                if let Err(fault) = compared {
                    if fault.rule == Rule::NoKey {
                        counts.locked += 1;
                        continue;
                    }
                    report(fault.of(&format!("{object} block {number}")));
                }
            }
        }
    }
}

/// Chapter 13: gaps in a writer's sequence, and predecessors that are neither there nor forgotten.
fn check_sequences(snapshots: &[Listed], forgets: &[Forgotten], report: &mut dyn FnMut(Fault)) {
    let mut known: HashSet<Bytes32> = forgets.iter().map(|(forget, _)| forget.snapshot).collect();
    known.extend(snapshots.iter().map(|listed| listed.name));
    let mut numbers: BTreeSet<(&str, u64)> =
        forgets.iter().map(|(forget, _)| (forget.writer.as_str(), forget.sequence)).collect();
    for listed in snapshots {
        let snapshot = &listed.snapshot;
        numbers.insert((&snapshot.writer, snapshot.sequence));
        if snapshot.predecessor.is_some_and(|name| !known.contains(&name)) {
            let fault = Fault::new(Rule::Missing, "its predecessor is neither there nor forgotten: somebody removed or hid it");
            report(fault.of(&Place::Snapshots.object(&listed.name)));
        }
    }
    let mut last = ("", 0u64);
    for (writer, number) in numbers {
        let before = if writer == last.0 { last.1 } else { 0 };
        if number > before.saturating_add(1) {
            let detail = format!("numbers {} to {} of writer {writer:?} are neither there nor forgotten", before + 1, number - 1);
            report(Fault::new(Rule::Missing, detail).of("snapshots"));
        }
        last = (writer, number);
    }
}

/// Nodes that have been checked, each once.
#[derive(Default)]
pub struct Seen {
    directories: HashSet<Bytes32>,
    lists: HashMap<Bytes32, Summary>,
}

/// What a list's parent must know of it.
#[derive(Clone, Copy)]
struct Summary {
    length: u64,
    first_hole: bool,
    last_hole: bool,
    height: usize,
}

fn check_tree(repository: &mut Repository, listed: &Listed, seen: &mut Seen, counts: &mut Counts, report: &mut dyn FnMut(Fault)) {
    let object = Place::Snapshots.object(&listed.name);
    if !seen.directories.insert(listed.snapshot.root) {
        return;
    }
    counts.directories += 1;
    let mut walk = Walk::new(listed.snapshot.root);
    while let Some(step) = walk.next(repository) {
        match step {
            Step::Leave => {}
            Step::Fault(fault) => report(fault.of(&object)),
            Step::Enter(entry) => {
                counts.entries += 1;
                if entry.node.is_some_and(|node| seen.directories.insert(node)) {
                    counts.directories += 1;
                } else {
                    walk.skip();
                }
            }
            Step::Entry(entry) => {
                counts.entries += 1;
                if entry.kind == Type::File
                    && let Err(fault) = check_file(repository, &entry, seen)
                {
                    let name = String::from_utf8_lossy(&entry.name).into_owned();
                    report(Fault { object: format!("{} ({object}, file {name:?})", fault.object), ..fault });
                }
            }
        }
    }
}

fn check_chunk(repository: &Repository, extent: &Extent) -> Result<()> {
    let Extent::Chunk(name, length) = extent else { return Ok(()) };
    let stated = repository.stated_lengths(Class::Data, name);
    if stated.is_empty() {
        return Err(Fault::new(Rule::Missing, "no pack has the chunk").of(&format!("chunk {}", hex(name))));
    }
    if !stated.contains(length) {
        return Err(Fault::new(Rule::BadStructure, "the chunk has another length").of(&format!("chunk {}", hex(name))));
    }
    Ok(())
}

fn check_file(repository: &mut Repository, entry: &Entry, seen: &mut Seen) -> Result<()> {
    match &entry.contents {
        Contents::None => Ok(()),
        Contents::Extents(extents) => extents.iter().try_for_each(|extent| check_chunk(repository, extent)),
        Contents::List(node) => {
            let check = &mut |repository: &mut Repository, extent: &Extent| check_chunk(repository, extent);
            let summary = check_list(repository, node, 1, &mut seen.lists, check)?;
            if summary.length != entry.size {
                return fail(Rule::BadStructure, "extents do not add up to the file's size");
            }
            Ok(())
        }
    }
}

/// Checks a list node and all below it. It calls itself, at most nine deep.
fn check_list<T: Trees>(
    trees: &mut T,
    name: &Bytes32,
    level: usize,
    seen: &mut HashMap<Bytes32, Summary>,
    check: &mut dyn FnMut(&mut T, &Extent) -> Result<()>,
) -> Result<Summary> {
    let object = format!("tree {}", hex(name));
    if let Some(summary) = seen.get(name) {
        if level + summary.height > MAX_LEVELS + 1 {
            return fail(Rule::TooLarge, "more than 8 levels of lists").map_err(|fault: Fault| fault.of(&object));
        }
        return Ok(*summary);
    }
    let plain = trees.tree(name)?;
    let node = Node::parse(&plain).map_err(|fault| fault.of(&object))?;
    let bad = |rule, detail: &str| Fault::new(rule, detail).of(&object);
    let summary = match node.kind {
        Kind::Directory | Kind::Split => return Err(bad(Rule::BadStructure, "a directory where a list should be")),
        Kind::List => {
            let extents = extents(node.items)?;
            let mut length = Some(0u64);
            for extent in &extents {
                check(trees, extent)?;
                length = length.and_then(|length| length.checked_add(extent.length()));
            }
            let Some(length) = length else { return Err(bad(Rule::BadStructure, "a list's length is above 64 bits")) };
            let hole = |extent: Option<&Extent>| matches!(extent, Some(Extent::Hole(_)));
            Summary { length, first_hole: hole(extents.first()), last_hole: hole(extents.last()), height: 1 }
        }
        Kind::Lists => {
            if level > MAX_LEVELS {
                return Err(bad(Rule::TooLarge, "more than 8 levels of lists"));
            }
            let mut total: Option<Summary> = None;
            for item in node.items.items() {
                let piece = Piece::parse(item)?;
                let part = check_list(trees, &piece.node, level + 1, seen, check)?;
                if part.length != piece.length {
                    return Err(bad(Rule::BadStructure, "a list has another length than stated"));
                }
                let mut sum = total.unwrap_or(Summary { length: 0, first_hole: part.first_hole, last_hole: false, height: 0 });
                if sum.last_hole && part.first_hole {
                    return Err(bad(Rule::BadStructure, "two holes are neighbours"));
                }
                let Some(length) = sum.length.checked_add(part.length) else {
                    return Err(bad(Rule::BadStructure, "a list's length is above 64 bits"));
                };
                sum.length = length;
                sum.last_hole = part.last_hole;
                sum.height = sum.height.max(part.height + 1);
                total = Some(sum);
            }
            let Some(total) = total else { return Err(bad(Rule::BadStructure, "a list of no lists")) };
            total
        }
    };
    seen.insert(*name, summary);
    Ok(summary)
}

/// Checks the list of an entry against its size, where extents' chunks are not looked for.
pub fn check_list_alone<T: Trees>(trees: &mut T, entry: &Entry) -> Result<()> {
    let Contents::List(node) = &entry.contents else { return Ok(()) };
    let summary = check_list(trees, node, 1, &mut HashMap::new(), &mut |_, _| Ok(()))?;
    if summary.length != entry.size {
        return fail(Rule::BadStructure, "extents do not add up to the file's size");
    }
    Ok(())
}
