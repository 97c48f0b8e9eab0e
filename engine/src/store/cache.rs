//! The local cache: SQLite for small sealed objects and the list of index runs; checked, keyed by repository, disposable.

mod own;

pub use own::OwnKind;

use crate::format::id::{ObjectId, hex};
use crate::format::keys::{KeyRing, Role};
use crate::format::layout::{ObjectKind, ObjectName};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

const SCHEMA_VERSION: i64 = 4;

/// What may be remembered of a repository. Losing it costs time, never a result: each entry carries a MAC over what it is,
/// so that one that was damaged or swapped is as good as absent, and no call fails.
pub struct Cache {
    folder: Option<PathBuf>,
    connection: Mutex<Option<Connection>>,
}

/// What a cached entry is of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cached {
    /// The whole object.
    Whole = 0,
    /// A pack's footer and table box.
    Table = 1,
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version != SCHEMA_VERSION {
        connection.execute_batch(
            "BEGIN IMMEDIATE;
             DROP TABLE IF EXISTS objects; DROP TABLE IF EXISTS segments; DROP TABLE IF EXISTS runs; DROP TABLE IF EXISTS sessions;
             DROP TABLE IF EXISTS marks; DROP TABLE IF EXISTS own;
             CREATE TABLE own (kind INTEGER, name BLOB, box BLOB, PRIMARY KEY (kind, name));
             CREATE TABLE marks (block BLOB PRIMARY KEY, refs BLOB, mac BLOB) WITHOUT ROWID;
             CREATE TABLE objects (kind INTEGER, name BLOB, part INTEGER, bytes BLOB, mac BLOB, PRIMARY KEY (kind, name, part)) WITHOUT ROWID;
             CREATE TABLE runs (file TEXT PRIMARY KEY, rows INTEGER) WITHOUT ROWID;
             CREATE TABLE segments (name BLOB PRIMARY KEY, file TEXT) WITHOUT ROWID;
             CREATE TABLE sessions (id BLOB PRIMARY KEY) WITHOUT ROWID;",
        )?;
        connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        connection.execute_batch("COMMIT;")?;
    }
    Ok(connection)
}

fn table_key(name: &ObjectName, part: Cached) -> (i64, [u8; 32], i64) {
    (ObjectKind::ALL.iter().position(|kind| *kind == name.kind).unwrap_or_default() as i64, name.id.0, part as i64)
}

fn mac_label(name: &ObjectName, part: Cached) -> Vec<u8> {
    [name.path().as_bytes(), &[part as u8]].concat()
}

impl Cache {
    /// No cache at all.
    pub fn none() -> Self {
        Self { folder: None, connection: Mutex::new(None) }
    }

    /// The cache of a repository below `base`. What cannot be opened is made anew; what cannot be made is done without.
    /// Keys of other roles than the owner's have caches of their own: nobody else could read them.
    pub fn open(base: &Path, keys: &KeyRing) -> Self {
        let mut name = keys.repository.to_string();
        if keys.role() != Role::Owner {
            name = format!("{name}-{}-{}", keys.role(), hex(&keys.cache_mac(b"cache folder", b"")[..4]));
        }
        let folder = base.join(name);
        if fs::create_dir_all(&folder).is_err() {
            return Self::none();
        }
        let path = folder.join("control.sqlite");
        let connection = open(&path).or_else(|_| {
            for suffix in ["", "-wal", "-shm"] {
                let _ = fs::remove_file(folder.join(format!("control.sqlite{suffix}")));
            }
            open(&path)
        });
        Self { folder: Some(folder), connection: Mutex::new(connection.ok()) }
    }

    /// The cache's folder of this repository, where index runs lie.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    fn connection(&self) -> MutexGuard<'_, Option<Connection>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a query; a cache that fails once is not asked again.
    fn with<T>(&self, query: impl FnOnce(&mut Connection) -> rusqlite::Result<T>) -> Option<T> {
        let mut connection = self.connection();
        match query(connection.as_mut()?) {
            Ok(value) => Some(value),
            Err(_) => {
                *connection = None;
                None
            }
        }
    }

    /// What is remembered of an object.
    pub fn get(&self, ring: &KeyRing, name: &ObjectName, part: Cached) -> Option<Vec<u8>> {
        let (kind, id, number) = table_key(name, part);
        let (bytes, mac): (Vec<u8>, Vec<u8>) = self.with(|connection| {
            connection
                .prepare_cached("SELECT bytes, mac FROM objects WHERE kind = ?1 AND name = ?2 AND part = ?3")?
                .query_row(params![kind, id, number], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })??;
        (ring.cache_mac(&mac_label(name, part), &bytes)[..] == mac[..]).then_some(bytes)
    }

    /// All remembered whole objects of a kind.
    pub fn get_all(&self, ring: &KeyRing, kind: ObjectKind) -> HashMap<ObjectId, Vec<u8>> {
        let (number, ..) = table_key(&ObjectName::new(kind, ObjectId([0; 32])), Cached::Whole);
        type Row = (Vec<u8>, Vec<u8>, Vec<u8>);
        let rows: Option<Vec<Row>> = self.with(|connection| {
            connection
                .prepare_cached("SELECT name, bytes, mac FROM objects WHERE kind = ?1 AND part = 0")?
                .query_map(params![number], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        });
        rows.unwrap_or_default()
            .into_iter()
            .filter_map(|(id, bytes, mac)| {
                let id = ObjectId(id.try_into().ok()?);
                let good = ring.cache_mac(&mac_label(&ObjectName::new(kind, id), Cached::Whole), &bytes)[..] == mac[..];
                good.then_some((id, bytes))
            })
            .collect()
    }

    /// Remembers objects.
    pub fn put(&self, ring: &KeyRing, part: Cached, objects: &[(ObjectName, &[u8])]) {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            for (name, bytes) in objects {
                let (kind, id, number) = table_key(name, part);
                transaction.prepare_cached("INSERT OR REPLACE INTO objects VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(params![
                    kind,
                    id,
                    number,
                    bytes,
                    ring.cache_mac(&mac_label(name, part), bytes)
                ])?;
            }
            transaction.commit()
        });
    }

    /// Forgets objects.
    pub fn forget(&self, names: &[ObjectName]) {
        self.with(|connection| {
            for name in names {
                let (kind, id, _) = table_key(name, Cached::Whole);
                connection.prepare_cached("DELETE FROM objects WHERE kind = ?1 AND name = ?2")?.execute(params![kind, id])?;
            }
            Ok(())
        });
    }

    /// What the trees of a block refer to, as marking remembered it under a hash of their names.
    pub fn marks(&self, ring: &KeyRing, block: &[u8; 32]) -> Option<Vec<u8>> {
        let (refs, mac): (Vec<u8>, Vec<u8>) = self.with(|connection| {
            connection
                .prepare_cached("SELECT refs, mac FROM marks WHERE block = ?1")?
                .query_row(params![block], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()
        })??;
        (ring.cache_mac(&[&b"marks"[..], block].concat(), &refs)[..] == mac[..]).then_some(refs)
    }

    /// Remembers it.
    pub fn put_marks(&self, ring: &KeyRing, blocks: &[([u8; 32], Vec<u8>)]) {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            for (block, refs) in blocks {
                let mac = ring.cache_mac(&[&b"marks"[..], block].concat(), refs);
                transaction.prepare_cached("INSERT OR REPLACE INTO marks VALUES (?1, ?2, ?3)")?.execute(params![block, refs, mac])?;
            }
            transaction.commit()
        });
    }

    /// Keeps of the marks only those of these blocks.
    pub fn keep_marks(&self, wanted: &std::collections::HashSet<[u8; 32]>) {
        self.with(|connection| {
            let blocks: Vec<Vec<u8>> = connection.prepare("SELECT block FROM marks")?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
            let transaction = connection.transaction()?;
            for block in blocks.iter().filter(|block| !<[u8; 32]>::try_from(&block[..]).is_ok_and(|block| wanted.contains(&block))) {
                transaction.prepare_cached("DELETE FROM marks WHERE block = ?1")?.execute(params![block])?;
            }
            transaction.commit()
        });
    }

    /// Notes that a session began.
    pub fn session_began(&self, id: &[u8; 16]) {
        self.with(|connection| connection.execute("INSERT OR REPLACE INTO sessions VALUES (?1)", params![id]));
    }

    /// Sessions that began on this machine and did not end: killed, or still running.
    pub fn unfinished_sessions(&self) -> Vec<Vec<u8>> {
        self.with(|connection| connection.prepare("SELECT id FROM sessions")?.query_map([], |row| row.get(0))?.collect()).unwrap_or_default()
    }

    /// Notes that sessions ended, or were taken up.
    pub fn sessions_ended(&self, ids: &[Vec<u8>]) {
        self.with(|connection| ids.iter().try_for_each(|id| connection.execute("DELETE FROM sessions WHERE id = ?1", params![id]).map(drop)));
    }

    /// Index runs: file name and the segments each one covers.
    pub fn runs(&self) -> Vec<(String, Vec<ObjectId>)> {
        let rows: Option<Vec<(String, Vec<u8>)>> = self.with(|connection| {
            connection
                .prepare("SELECT r.file, s.name FROM runs r JOIN segments s ON s.file = r.file ORDER BY r.file")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        });
        let mut runs: Vec<(String, Vec<ObjectId>)> = Vec::new();
        for (file, name) in rows.unwrap_or_default() {
            let Ok(name) = name.try_into().map(ObjectId) else { continue };
            match runs.last_mut() {
                Some((last, segments)) if *last == file => segments.push(name),
                _ => runs.push((file, vec![name])),
            }
        }
        runs
    }

    /// Puts a run in place of others.
    pub fn replace_runs(&self, new: Option<(&str, u64, &[ObjectId])>, old: &[String]) {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            for file in old {
                transaction.execute("DELETE FROM runs WHERE file = ?1", params![file])?;
                transaction.execute("DELETE FROM segments WHERE file = ?1", params![file])?;
            }
            if let Some((file, rows, segments)) = new {
                transaction.execute("INSERT OR REPLACE INTO runs VALUES (?1, ?2)", params![file, rows as i64])?;
                for segment in segments {
                    transaction.prepare_cached("INSERT OR REPLACE INTO segments VALUES (?1, ?2)")?.execute(params![segment.0, file])?;
                }
            }
            transaction.commit()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::id::RepositoryId;
    use crate::format::keys::Key;

    #[test]
    fn swapped_and_damaged_entries_are_absent() {
        let dir = tempfile::tempdir().unwrap();
        let repository = RepositoryId([1; 16]);
        let ring = KeyRing::new(repository, vec![Key([2; 32])]);
        let name = |n| ObjectName::new(ObjectKind::Snapshot, ObjectId([n; 32]));
        let cache = Cache::open(dir.path(), &ring);
        cache.put(&ring, Cached::Whole, &[(name(1), b"one"), (name(2), b"two")]);
        assert_eq!(cache.get(&ring, &name(1), Cached::Whole).as_deref(), Some(&b"one"[..]));
        assert_eq!(cache.get(&ring, &name(1), Cached::Table), None);
        assert_eq!(cache.get_all(&ring, ObjectKind::Snapshot).len(), 2);
        let other = KeyRing::new(repository, vec![Key([3; 32])]);
        assert_eq!(cache.get(&other, &name(1), Cached::Whole), None);
        cache.with(|c| c.execute("UPDATE objects SET name = ?1 WHERE name = ?2", params![[7u8; 32], [1u8; 32]])).unwrap();
        assert_eq!(cache.get(&ring, &name(7), Cached::Whole), None);
        drop(cache);
        let path = dir.path().join(repository.to_string()).join("control.sqlite");
        for bytes in [&b""[..], b"not a database at all, but long enough to look like one to somebody who does not look"] {
            fs::write(&path, bytes).unwrap();
            let cache = Cache::open(dir.path(), &ring);
            assert_eq!(cache.get(&ring, &name(2), Cached::Whole), None);
            cache.put(&ring, Cached::Whole, &[(name(2), b"two")]);
            assert!(cache.get(&ring, &name(2), Cached::Whole).is_some());
        }
    }
}
