//! A repository: opened with a secret, its chunks found through the packs' own tables.

use crate::bundle::Bundle;
use crate::config::Config;
use crate::control;
use crate::fault::{Fault, Result, Rule, fail};
use crate::keys::{Bytes16, Bytes32, Class, Keys, hex, kh};
use crate::pack::Pack;
use crate::slot::Secret;
use crate::snapshot::{Forget, PARTIAL, Snapshot, confirmation_names, read_confirmation};
use crate::store::{Place, Store};
use crate::tree::Node;
use crate::unlock::open_slots;
use crate::walk::Trees;
use crate::wrapped::wrap_purpose;
use std::path::Path;
use std::rc::Rc;

/// Where one copy of a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Location {
    name: Bytes32,
    pack: u32,
    block: u32,
    offset: u32,
    length: u32,
}

/// A pack that has been found.
pub struct Found {
    /// Its name.
    pub name: Bytes32,
    /// Its table; the chunk rows are dropped once they are in the map.
    pub pack: Pack,
}

/// A small store of plaintexts, the last used first.
struct Cache<K> {
    entries: Vec<(K, Rc<Vec<u8>>)>,
    bytes: usize,
    most: usize,
}

impl<K: PartialEq> Cache<K> {
    fn new(most: usize) -> Cache<K> {
        Cache { entries: Vec::new(), bytes: 0, most }
    }

    fn get(&mut self, key: &K) -> Option<Rc<Vec<u8>>> {
        let position = self.entries.iter().position(|(other, _)| other == key)?;
        let entry = self.entries.remove(position);
        let plain = entry.1.clone();
        self.entries.insert(0, entry);
        Some(plain)
    }

    fn put(&mut self, key: K, plain: Rc<Vec<u8>>) {
        self.bytes += plain.len();
        self.entries.insert(0, (key, plain));
        while self.entries.len() > 1 && (self.bytes > self.most || self.entries.len() > 256) {
            if let Some((_, old)) = self.entries.pop() {
                self.bytes -= old.len();
            }
        }
    }
}

/// A snapshot in its repository.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The name of its object.
    pub name: Bytes32,
    /// Its record.
    pub snapshot: Snapshot,
    /// Whether a good confirmation is there.
    pub confirmed: bool,
    /// Whether a forget record names it.
    pub forgotten: bool,
}

impl Listed {
    /// What it counts for, in a word.
    pub fn state(&self) -> &'static str {
        match (self.confirmed, self.forgotten) {
            (_, true) => "forgotten",
            (true, false) => "confirmed",
            (false, false) => "unconfirmed",
        }
    }
}

/// An open repository.
pub struct Repository {
    store: Store,
    id: Bytes16,
    keys: Bundle,
    config: Option<Config>,
    packs: Vec<Found>,
    chunks: [Vec<Location>; 2],
    blocks: Cache<(u32, u32)>,
    trees: Cache<Bytes32>,
    problems: Vec<Fault>,
}

fn side(class: Class) -> usize {
    match class {
        Class::Data => 0,
        Class::Tree => 1,
    }
}

impl Repository {
    /// Opens the repository in a directory: key slots, configurations, and every pack's table.
    pub fn open(directory: &Path, secret: &Secret) -> Result<Repository> {
        let store = Store::new(directory);
        let mut problems = Vec::new();
        let (id, keys) = open_slots(&store, secret, &mut problems)?;
        let mut repository = Repository {
            store,
            id,
            keys,
            config: None,
            packs: Vec::new(),
            chunks: [Vec::new(), Vec::new()],
            blocks: Cache::new(64 << 20),
            trees: Cache::new(64 << 20),
            problems,
        };
        repository.read_configs()?;
        repository.map_packs(Class::Tree)?;
        repository.map_packs(Class::Data)?;
        Ok(repository)
    }

    /// The repository id.
    pub fn id(&self) -> &Bytes16 {
        &self.id
    }

    /// The keys of the slot that was opened.
    pub fn keys(&self) -> &Bundle {
        &self.keys
    }

    /// Refuses with `NoKey` where the slot's role cannot open blocks of this class at all.
    pub fn require(&self, class: Class) -> Result<()> {
        self.keys.held(wrap_purpose(class), 0).map(|_| ())
    }

    /// The directory of objects.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The configuration that counts.
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// The packs whose tables could be read.
    pub fn packs(&self) -> &[Found] {
        &self.packs
    }

    /// What was found damaged or unsupported while opening.
    pub fn problems(&self) -> &[Fault] {
        &self.problems
    }

    /// Opens a control object at a place.
    pub fn control(&self, place: Place, name: &Bytes32, kinds: &[u8]) -> Result<Vec<u8>> {
        self.control_and_epoch(place, name, kinds).map(|(record, _)| record)
    }

    fn control_and_epoch(&self, place: Place, name: &Bytes32, kinds: &[u8]) -> Result<(Vec<u8>, u32)> {
        let bytes = self.store.read(place, name, control::MAX_LEN)?;
        let record = control::open(&bytes, kinds, &self.keys, &self.id).map_err(|fault| fault.of(&place.object(name)))?;
        Ok((record, control::epoch_of(&bytes)))
    }

    fn read_configs(&mut self) -> Result<()> {
        let mut best: Option<((u32, u64, Bytes32), Config)> = None;
        for name in self.store.list(Place::Config)? {
            let object = Place::Config.object(&name);
            let (record, epoch) = match self.control_and_epoch(Place::Config, &name, &[control::CONFIGURATION]) {
                Ok(found) => found,
                Err(fault) => {
                    self.problems.push(fault.of(&object));
                    continue;
                }
            };
            // It is authentic: what it forbids is forbidden.
            let config = Config::parse(&record, &self.id).map_err(|fault| fault.of(&object))?;
            let rank = (epoch, config.sequence, name);
            if best.as_ref().is_none_or(|(other, _)| *other < rank) {
                best = Some((rank, config));
            }
        }
        if best.is_none() {
            self.problems.push(Fault::new(Rule::Missing, "no configuration opens").of("config"));
        }
        self.config = best.map(|(_, config)| config);
        Ok(())
    }

    fn map_packs(&mut self, class: Class) -> Result<()> {
        let place = Place::of_packs(class);
        for name in self.store.list(place)? {
            let object = place.object(&name);
            let mut last = Fault::new(Rule::Missing, "the object cannot be opened");
            let mut found = None;
            for copy in self.store.ranges(place, &name) {
                match Pack::open(&copy, class, &self.keys, &self.id) {
                    Ok(pack) => {
                        found = Some(pack);
                        break;
                    }
                    Err(fault) => last = fault,
                }
            }
            let Some(mut pack) = found else {
                self.problems.push(last.of(&object));
                continue;
            };
            self.problems.extend(pack.problems.drain(..).map(|fault| fault.of(&object)));
            let number = self.packs.len() as u32;
            for (block, row) in (0..).zip(&pack.blocks) {
                let mut offset = 0;
                for ordinal in row.first..row.first + row.chunks {
                    let chunk = &pack.chunks[ordinal as usize];
                    let location = Location { name: chunk.name, pack: number, block, offset, length: chunk.plain };
                    self.chunks[side(class)].push(location);
                    offset += chunk.plain;
                }
            }
            pack.chunks = Vec::new();
            self.packs.push(Found { name, pack });
        }
        self.chunks[side(class)].sort_unstable();
        Ok(())
    }

    fn copies(&self, class: Class, name: &Bytes32) -> Vec<Location> {
        let all = &self.chunks[side(class)];
        let start = all.partition_point(|location| location.name < *name);
        all[start..].iter().take_while(|location| location.name == *name).copied().collect()
    }

    /// The plain lengths that packs state for a chunk.
    pub fn stated_lengths(&self, class: Class, name: &Bytes32) -> Vec<u64> {
        self.copies(class, name).iter().map(|location| u64::from(location.length)).collect()
    }

    fn block(&mut self, location: Location) -> Result<Rc<Vec<u8>>> {
        let key = (location.pack, location.block);
        if let Some(plain) = self.blocks.get(&key) {
            return Ok(plain);
        }
        let found = &self.packs[location.pack as usize];
        let place = Place::of_packs(found.pack.class);
        let object = place.object(&found.name);
        let mut last = Fault::new(Rule::Missing, "the object is not there any more");
        for copy in self.store.ranges(place, &found.name) {
            match found.pack.block(&copy, location.block as usize, &self.keys, &self.id) {
                Ok(plain) => {
                    let plain = Rc::new(plain);
                    self.blocks.put(key, plain.clone());
                    return Ok(plain);
                }
                Err(fault) => last = fault,
            }
        }
        Err(last.of(&format!("{object} block {}", location.block)))
    }

    /// A chunk, from any pack where it can be opened, compared with its name.
    pub fn chunk(&mut self, class: Class, name: &Bytes32) -> Result<Vec<u8>> {
        let naming = self.keys.name_key(class)?;
        let mut last = Fault::new(Rule::Missing, "no pack has the chunk");
        for location in self.copies(class, name) {
            let block = match self.block(location) {
                Ok(block) => block,
                Err(fault) => {
                    last = fault;
                    continue;
                }
            };
            let start = location.offset as usize;
            let bytes = block.get(start..start + location.length as usize).unwrap_or_default();
            if kh(&naming, &[bytes]) == *name {
                return Ok(bytes.to_vec());
            }
            last = Fault::new(Rule::WrongName, "a chunk is not what its name says");
        }
        Err(last.of(&format!("chunk {}", hex(name))))
    }

    /// All forget records that can be read with the epochs of their envelopes, and what is wrong with the others.
    pub fn forgets(&self) -> Result<(Vec<Forgotten>, Vec<Fault>)> {
        let (mut forgets, mut faults) = (Vec::new(), Vec::new());
        for name in self.store.list(Place::Forget)? {
            let record = self.control_and_epoch(Place::Forget, &name, &[control::FORGET]);
            match record.and_then(|(record, epoch)| Ok((Forget::parse(&record)?, epoch))) {
                Ok(forget) => forgets.push(forget),
                Err(fault) => faults.push(fault.of(&Place::Forget.object(&name))),
            }
        }
        Ok((forgets, faults))
    }

    /// All snapshots that can be read, by begun time, sequence and name, and what is wrong with the others.
    pub fn snapshots(&self) -> Result<(Vec<Listed>, Vec<Fault>)> {
        let (forgets, mut faults) = self.forgets()?;
        // One of an older epoch than its snapshot's does not count.
        let is_forgotten =
            |name: &Bytes32, epoch: u32| forgets.iter().any(|(forget, by)| forget.snapshot == *name && *by >= epoch);
        let mut listed = Vec::new();
        for name in self.store.list(Place::Snapshots)? {
            let record = self.control_and_epoch(Place::Snapshots, &name, &[control::SNAPSHOT]);
            match record.and_then(|(record, epoch)| Ok((Snapshot::parse(&record)?, epoch))) {
                Ok((snapshot, epoch)) => listed.push(Listed {
                    name,
                    snapshot,
                    confirmed: self.is_confirmed(&name, epoch),
                    forgotten: is_forgotten(&name, epoch),
                }),
                Err(fault) => faults.push(fault.of(&Place::Snapshots.object(&name))),
            }
        }
        listed.sort_by_key(|listed| (listed.snapshot.begun, listed.snapshot.sequence, listed.name));
        Ok((listed, faults))
    }

    /// Snapshots that a prefix calls and that are not there any more, from what their forget records keep of them.
    /// What they need may be swept.
    fn gone(&self, call: &str, there: &[Listed]) -> Result<Vec<Listed>> {
        let mut gone: Vec<Listed> = Vec::new();
        for object in self.store.list(Place::Forget)? {
            let Ok(record) = self.control(Place::Forget, &object, &[control::FORGET]) else { continue };
            let Ok(Forget { snapshot: name, .. }) = Forget::parse(&record) else { continue };
            if !hex(&name).starts_with(call) || there.iter().chain(&gone).any(|listed| listed.name == name) {
                continue;
            }
            if let Some(Ok(snapshot)) = Forget::kept(&record, &self.keys, &self.id)?.map(|record| Snapshot::parse(&record)) {
                gone.push(Listed { name, snapshot, confirmed: false, forgotten: true });
            }
        }
        Ok(gone)
    }

    fn is_confirmed(&self, snapshot: &Bytes32, epoch: u32) -> bool {
        let Ok(names) = confirmation_names(&self.keys, &self.id, snapshot, epoch) else { return false };
        names.iter().any(|name| {
            let bytes = self.store.read(Place::Confirmed, name, 124);
            bytes.and_then(|bytes| read_confirmation(&bytes, &self.keys, &self.id)).is_ok_and(|named| named == *snapshot)
        })
    }

    /// The snapshot that `latest` or a prefix of its name calls; by its name one too that only a forget record keeps.
    pub fn find(&self, call: &str) -> Result<Listed> {
        let (listed, _) = self.snapshots()?;
        if call == "latest" {
            let there = || listed.iter().filter(|listed| !listed.forgotten);
            let good = there().rfind(|listed| listed.confirmed && listed.snapshot.status != PARTIAL);
            let wanted = good.or(there().next_back());
            return wanted.cloned().ok_or(Fault::new(Rule::Missing, "no snapshot can be read"));
        }
        let gone = self.gone(call, &listed)?;
        let mut matching = listed.into_iter().chain(gone).filter(|listed| hex(&listed.name).starts_with(call));
        match (matching.next(), matching.next()) {
            (Some(listed), None) => Ok(listed),
            (None, _) => fail(Rule::Missing, format!("no readable snapshot {call}")),
            _ => fail(Rule::Missing, format!("{call} calls several snapshots")),
        }
    }
}

/// A forget record with the epoch of its envelope.
pub type Forgotten = (Forget, u32);

impl Trees for Repository {
    fn tree(&mut self, name: &Bytes32) -> Result<Rc<Vec<u8>>> {
        if let Some(plain) = self.trees.get(name) {
            return Ok(plain);
        }
        let plain = Rc::new(self.chunk(Class::Tree, name)?);
        Node::parse(&plain).map_err(|fault| fault.of(&format!("tree {}", hex(name))))?;
        self.trees.put(*name, plain.clone());
        Ok(plain)
    }
}
