//! Boxes of a client that keeps its own trees and snapshots.

use super::Cache;
use rusqlite::{OptionalExtension, params};
use std::collections::HashSet;

/// What a box is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OwnKind {
    /// A tree, by its name.
    Tree = 0,
    /// A snapshot's record, by its name.
    Snapshot = 1,
    /// The name that the client writes under, by its host.
    Writer = 2,
    /// How many trees were of use.
    Count = 3,
}

impl Cache {
    /// A box.
    pub fn get_own(&self, kind: OwnKind, name: &[u8]) -> Option<Vec<u8>> {
        self.with(|connection| {
            connection.prepare_cached("SELECT box FROM own WHERE kind = ?1 AND name = ?2")?.query_row(params![kind as u8, name], |row| row.get(0)).optional()
        })?
    }

    /// Keeps boxes.
    pub fn put_own(&self, kind: OwnKind, boxes: &[(&[u8], &[u8])]) {
        self.with(|connection| {
            let transaction = connection.transaction()?;
            for (name, boxed) in boxes {
                transaction.prepare_cached("INSERT OR REPLACE INTO own VALUES (?1, ?2, ?3)")?.execute(params![kind as u8, name, boxed])?;
            }
            transaction.commit()
        });
    }

    /// How many boxes of a kind there are.
    pub fn count_own(&self, kind: OwnKind) -> u64 {
        let count = self.with(|connection| connection.query_row("SELECT count(*) FROM own WHERE kind = ?1", params![kind as u8], |row| row.get::<_, i64>(0)));
        count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default()
    }

    /// Keeps of a kind only those of these names.
    pub fn keep_own(&self, kind: OwnKind, wanted: &HashSet<[u8; 32]>) {
        self.with(|connection| {
            let names: Vec<Vec<u8>> = connection
                .prepare("SELECT name FROM own WHERE kind = ?1")?
                .query_map(params![kind as u8], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
            let transaction = connection.transaction()?;
            for name in names.iter().filter(|name| !<[u8; 32]>::try_from(&name[..]).is_ok_and(|name| wanted.contains(&name))) {
                transaction.prepare_cached("DELETE FROM own WHERE kind = ?1 AND name = ?2")?.execute(params![kind as u8, name])?;
            }
            transaction.commit()
        });
    }
}
