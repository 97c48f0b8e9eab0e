//! The ledger of proofs: when each pack was last read whole and found good. On this machine only, and disposable: without it everything counts as unproved.

use super::host::Host;
use super::repository::Repository;
use crate::format::id::ObjectId;
use crate::format::index::IndexedPack;
use crate::format::keys::KeyRing;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const SCHEMA_VERSION: i64 = 1;
const FILE: &str = "ledger.sqlite";
/// Before everything: a pack that was found damaged is the first to be read again.
const DOUBTED: i64 = 0;

/// What is remembered of a pack. Times are seconds since 1970 by this machine's clock, which only decide what is read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// When this machine first saw the pack.
    pub seen: i64,
    /// When it was last read whole and found good; `None`: never, as far as is known here.
    pub proved: Option<i64>,
}

impl Proof {
    /// Since when nobody read it.
    pub fn since(self) -> i64 {
        self.proved.unwrap_or(self.seen)
    }

    /// It was found damaged, and not mended or not read since.
    pub fn is_doubted(self) -> bool {
        self.proved.is_none() && self.seen == DOUBTED
    }
}

/// The proofs of one repository at one place; a mirror of it has its own. Each row carries a MAC, so that one that was damaged, changed or taken from
/// elsewhere is as good as absent, and no call fails.
pub struct Ledger {
    /// `None`: nothing is kept beyond this run.
    path: Option<PathBuf>,
    connection: Mutex<Option<Connection>>,
    place: [u8; 16],
    keys: Arc<KeyRing>,
    host: Arc<dyn Host>,
}

fn prepared(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // What is lost by a power cut is read once more; the file itself stays whole.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != SCHEMA_VERSION {
        connection.execute_batch(
            "BEGIN IMMEDIATE;
             DROP TABLE IF EXISTS proofs; DROP TABLE IF EXISTS runs;
             CREATE TABLE proofs (place BLOB, pack BLOB, length INTEGER, seen INTEGER, proved INTEGER, mac BLOB, PRIMARY KEY (place, pack)) WITHOUT ROWID;
             CREATE TABLE runs (place BLOB PRIMARY KEY, seconds INTEGER, mac BLOB) WITHOUT ROWID;",
        )?;
        connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        connection.execute_batch("COMMIT;")?;
    }
    Ok(connection)
}

fn is_damaged(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = fs::remove_file(name);
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let attempt = || Connection::open(path).and_then(prepared);
    attempt().or_else(|error| {
        if !is_damaged(&error) {
            return Err(error);
        }
        remove(path);
        attempt()
    })
}

/// A row as it is kept.
struct Row {
    pack: ObjectId,
    length: u64,
    proof: Proof,
}

impl Ledger {
    /// The ledger of an open repository, in its cache. Where there is no cache it lasts as long as this value.
    pub fn open(repository: &Repository) -> Self {
        let keys = Arc::clone(&repository.keys);
        let mac = keys.cache_mac(b"ledger place", repository.store.location().as_bytes());
        let path = repository.cache.folder().map(|folder| folder.join(FILE));
        let opened = path.as_deref().and_then(|path| open(path).ok());
        let path = path.filter(|_| opened.is_some());
        let connection = opened.or_else(|| Connection::open_in_memory().and_then(prepared).ok());
        let mut place = [0; 16];
        place.copy_from_slice(&mac[..16]);
        Self { path, connection: Mutex::new(connection), place, keys, host: Arc::clone(&repository.host) }
    }

    /// Runs a query; a ledger that fails once is not asked again, and one that is damaged is made anew next time.
    fn with<T>(&self, query: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Option<T> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        match query(connection.as_mut()?) {
            Ok(value) => Some(value),
            Err(error) => {
                *connection = None;
                if let Some(path) = self.path.as_deref().filter(|_| is_damaged(&error)) {
                    remove(path);
                }
                None
            }
        }
    }

    fn now(&self) -> i64 {
        self.host.now().seconds
    }

    fn mac(&self, row: &Row) -> [u8; 32] {
        let what = [&b"ledger proof"[..], &self.place, &row.pack.0].concat();
        let numbers = [row.length as i64, row.proof.seen, row.proof.proved.unwrap_or(i64::MIN)];
        self.keys.cache_mac(&what, &numbers.map(i64::to_le_bytes).concat())
    }

    fn rows(&self) -> HashMap<ObjectId, Row> {
        type Raw = (Vec<u8>, i64, i64, Option<i64>, Vec<u8>);
        let raw: Option<Vec<Raw>> = self.with(|connection| {
            connection
                .prepare_cached("SELECT pack, length, seen, proved, mac FROM proofs WHERE place = ?1")?
                .query_map(params![self.place], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))?
                .collect()
        });
        let rows = raw.unwrap_or_default().into_iter().filter_map(|(pack, length, seen, proved, mac)| {
            let row = Row { pack: ObjectId(pack.try_into().ok()?), length: length as u64, proof: Proof { seen, proved } };
            (self.mac(&row)[..] == mac[..]).then_some((row.pack, row))
        });
        rows.collect()
    }

    fn write(&self, rows: &[Row], gone: &[ObjectId]) {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            for row in rows {
                transaction.prepare_cached("INSERT OR REPLACE INTO proofs VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
                    self.place,
                    row.pack.0,
                    row.length as i64,
                    row.proof.seen,
                    row.proof.proved,
                    self.mac(row)
                ])?;
            }
            for pack in gone {
                transaction.prepare_cached("DELETE FROM proofs WHERE place = ?1 AND pack = ?2")?.execute(params![self.place, pack.0])?;
            }
            transaction.commit()
        });
    }

    /// What is known of packs. A time that is not over yet is no time: the clock was set back.
    fn known<'p>(&self, packs: impl Iterator<Item = &'p IndexedPack>, fresh: &mut Vec<Row>, gone: &mut Vec<ObjectId>) -> HashMap<ObjectId, Proof> {
        let (now, mut rows, mut known) = (self.now(), self.rows(), HashMap::new());
        for pack in packs {
            let kept = rows.remove(&pack.id).filter(|row| row.length == pack.length).map(|row| row.proof);
            let believed = kept.map(|proof| Proof { seen: proof.seen.min(now), proved: proof.proved.filter(|proved| *proved <= now) });
            let proof = believed.unwrap_or(Proof { seen: now, proved: None });
            if kept != Some(proof) {
                fresh.push(Row { pack: pack.id, length: pack.length, proof });
            }
            known.insert(pack.id, proof);
        }
        gone.extend(rows.into_keys());
        known
    }

    /// What is known of packs; nothing is written down.
    pub fn look<'p>(&self, packs: impl Iterator<Item = &'p IndexedPack>) -> HashMap<ObjectId, Proof> {
        self.known(packs, &mut Vec::new(), &mut Vec::new())
    }

    /// The same for all packs that there are: new ones are seen from now on, and those that are not there any more are forgotten.
    pub fn meet<'p>(&self, packs: impl Iterator<Item = &'p IndexedPack>) -> HashMap<ObjectId, Proof> {
        let (mut fresh, mut gone) = (Vec::new(), Vec::new());
        let known = self.known(packs, &mut fresh, &mut gone);
        if !(fresh.is_empty() && gone.is_empty()) {
            self.write(&fresh, &gone);
        }
        known
    }

    /// A pack was read whole just now and found good.
    pub fn proved(&self, pack: &IndexedPack) {
        let now = self.now();
        self.write(&[Row { pack: pack.id, length: pack.length, proof: Proof { seen: now, proved: Some(now) } }], &[]);
    }

    /// A pack was found damaged: it is unproved, and the first to be read when it is mended.
    pub fn doubted(&self, pack: &IndexedPack) {
        self.write(&[Row { pack: pack.id, length: pack.length, proof: Proof { seen: DOUBTED, proved: None } }], &[]);
    }

    fn run_mac(&self, seconds: i64) -> [u8; 32] {
        self.keys.cache_mac(&[&b"ledger run"[..], &self.place].concat(), &seconds.to_le_bytes())
    }

    /// When work was last spread over time here, in seconds since 1970.
    pub fn last_run(&self) -> Option<i64> {
        let (seconds, mac): (i64, Vec<u8>) = self.with(|connection| {
            connection
                .prepare_cached("SELECT seconds, mac FROM runs WHERE place = ?1")?
                .query_row(params![self.place], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })??;
        (self.run_mac(seconds)[..] == mac[..] && seconds <= self.now()).then_some(seconds)
    }

    /// That is done now.
    pub fn ran(&self) {
        let now = self.now();
        let mac = self.run_mac(now);
        self.with(|connection| connection.prepare_cached("INSERT OR REPLACE INTO runs VALUES (?1, ?2, ?3)")?.execute(params![self.place, now, mac]).map(drop));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
