//! Where contents are cut never depends on how they arrive: any sizes of reads give the same extents.

use proptest::prelude::*;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use vault_engine::format::keys::Key;
use vault_engine::format::node::{Metadata, NodeType, Time};
use vault_engine::format::slot::Secret;
use vault_engine::ops::backup::{BackupOptions, ParentChoice, backup};
use vault_engine::ops::monitor::{Cancel, Quiet};
use vault_engine::ops::source::{Body, Item, Source, SourceDir, Stat, Stop, Visitor};
use vault_engine::store::host::SystemHost;
use vault_engine::store::memory::MemoryStore;
use vault_engine::store::repository::{InitOptions, Repository};

/// One file that is handed out in pieces.
struct Pieces {
    name: &'static [u8],
    bytes: Arc<Vec<u8>>,
    /// The most that each read in turn gives, over and over.
    reads: Arc<Vec<usize>>,
}

struct PiecesBody {
    bytes: Arc<Vec<u8>>,
    reads: Arc<Vec<usize>>,
    at: usize,
    turn: usize,
}

impl Body for PiecesBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.reads[self.turn % self.reads.len()].min(buffer.len()).min(self.bytes.len() - self.at);
        buffer[..most].copy_from_slice(&self.bytes[self.at..self.at + most]);
        self.at += most;
        self.turn += 1;
        Ok(most)
    }

    fn next_data(&mut self, from: u64) -> io::Result<Option<Range<u64>>> {
        Ok(Some(from..u64::MAX))
    }

    fn stat(&mut self) -> io::Result<Option<Stat>> {
        Ok(None)
    }

    fn rewind(&mut self) -> io::Result<()> {
        self.at = 0;
        Ok(())
    }
}

struct Folder(Pieces);

impl SourceDir for Folder {
    fn metadata(&self, _: &[u8], _: &Stat) -> io::Result<(Metadata, Vec<String>)> {
        Ok((Metadata::plain(NodeType::File, 0o600), Vec::new()))
    }

    fn open(&self, _: &[u8]) -> io::Result<Box<dyn Body>> {
        Ok(Box::new(PiecesBody { bytes: self.0.bytes.clone(), reads: self.0.reads.clone(), at: 0, turn: 0 }))
    }

    fn path(&self, name: &[u8]) -> Vec<u8> {
        name.to_vec()
    }
}

struct OneFile(Arc<dyn SourceDir>, &'static [u8], u64);

impl Source for OneFile {
    fn walk(&self, visitor: &mut dyn Visitor) -> Result<(), Stop> {
        let stat = Stat {
            node_type: NodeType::File,
            mode: 0o600,
            uid: 0,
            gid: 0,
            size: self.2,
            allocated: self.2,
            mtime: Time::default(),
            ctime: Time::default(),
            inode: 1,
            link_group: None,
            device: (0, 0),
        };
        visitor.leaf(Item { name: self.1, stat: &stat, dir: &self.0 })
    }

    fn paths(&self) -> Vec<Vec<u8>> {
        vec![b"/".to_vec()]
    }
}

fn repository() -> Repository {
    let secret = Secret::KeyFile(Key([3; 32]));
    Repository::init(Arc::new(MemoryStore::default()), Arc::new(SystemHost::default()), &[(secret, "test")], &InitOptions::default(), None).unwrap()
}

fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut out = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    // A long run of zeros in the middle: images make a hole of it, the others cut it at their longest.
    out[length / 6..length - length / 6].fill(0);
    out
}

/// The root of a backup of these bytes that arrive in these pieces: equal roots mean equal extents.
fn root(repository: &Repository, name: &'static [u8], bytes: &Arc<Vec<u8>>, reads: Vec<usize>, size_known: bool) -> String {
    let folder = Folder(Pieces { name, bytes: bytes.clone(), reads: Arc::new(reads) });
    let (name, size) = (folder.0.name, if size_known { bytes.len() as u64 } else { 0 });
    let options = BackupOptions { parent: ParentChoice::None, ..BackupOptions::default() };
    let outcome = backup(repository, &OneFile(Arc::new(folder), name, size), &options, &Quiet, &Cancel::default()).unwrap();
    let list = repository.snapshots().unwrap();
    list.snapshots.iter().find(|stored| Some(stored.id) == outcome.snapshot).unwrap().snapshot.root.to_hex()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_sizes_of_reads_give_the_same_extents(
        length in prop_oneof![1usize..300_000, 262_100usize..262_200, 1_000_000usize..9_000_000],
        seed: u64,
        reads in prop::collection::vec(prop_oneof![1usize..5_000, 60_000usize..70_000, 500_000usize..3_000_000], 1..6),
        kind in 0usize..3,
        size_known: bool,
    ) {
        let repository = repository();
        let bytes = Arc::new(bytes(length, seed));
        let name: &'static [u8] = [&b"file.bin"[..], b"dump.sql", b"disk.raw"][kind];
        // Tiny reads of large contents take long and show nothing more.
        let least = length / 20_000 + 1;
        let reads = reads.into_iter().map(|read| read.max(least)).collect();
        let whole = root(&repository, name, &bytes, vec![usize::MAX], size_known);
        prop_assert_eq!(root(&repository, name, &bytes, reads, size_known), whole);
    }
}
