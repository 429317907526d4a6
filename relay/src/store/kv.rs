//! The account's key-value store: sealed values under readable keys, changed in batches that succeed or fail as one.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{StoreError, Write, bounded, optional};
use crate::update::{Body, KvChange, Recipients};

/// A key with its value.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) version: i64,
}

/// One key's value, if it has one.
pub(crate) fn get(db: &Connection, account: &str, key: &str) -> Result<Option<Item>, StoreError> {
    optional(
        db.prepare_cached(
            "SELECT key, value, version FROM kv WHERE account = ?1 AND key = ?2 AND value IS NOT NULL",
        )?
        .query_row(params![account, key], |row| {
            Ok(Item { key: row.get(0)?, value: row.get(1)?, version: row.get(2)? })
        }),
    )
}

/// The keys that begin with a prefix, in order.
pub(crate) fn list(
    db: &Connection,
    account: &str,
    prefix: &str,
    limit: i64,
) -> Result<Vec<Item>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT key, value, version FROM kv
         WHERE account = ?1 AND value IS NOT NULL AND substr(key, 1, length(?2)) = ?2 ORDER BY key LIMIT ?3",
    )?;
    let rows = query.query_map(params![account, prefix, limit], |row| {
        Ok(Item { key: row.get(0)?, value: row.get(1)?, version: row.get(2)? })
    })?;
    bounded(rows, |item: &Item| item.value.len())
}

/// These keys' values, as far as they have one.
pub(crate) fn several(db: &Connection, account: &str, keys: &[String]) -> Result<Vec<Item>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT key, value, version FROM kv WHERE account = ?1 AND key = ?2 AND value IS NOT NULL",
    )?;
    let found = keys.iter().filter_map(|key| {
        let item = query.query_row(params![account, key], |row| {
            Ok(Item { key: row.get(0)?, value: row.get(1)?, version: row.get(2)? })
        });
        match item {
            Err(rusqlite::Error::QueryReturnedNoRows) => None,
            item => Some(item),
        }
    });
    bounded(found, |item: &Item| item.value.len())
}

/// One wanted change. A key that is new has version -1; a value of `None` deletes.
pub(crate) struct Mutation {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) version: i64,
}

/// A change that expected another version.
#[derive(Debug, Serialize)]
pub(crate) struct Conflict {
    pub(crate) key: String,
    pub(crate) error: &'static str,
    pub(crate) version: i64,
    pub(crate) value: Option<String>,
}

/// What came of a batch.
pub(crate) enum Mutated {
    Done(Vec<(String, i64)>),
    Conflicts(Vec<Conflict>),
    /// The account would have more keys than it may.
    Full,
}

/// Makes all changes or none. No key may be named twice in a batch.
///
/// A deleted key keeps its version, so that whoever still holds the old value cannot bring it back unknowingly.
pub(crate) fn mutate(
    write: &mut Write<'_>,
    account: &str,
    batch: Vec<Mutation>,
    keys_max: u64,
) -> Result<Mutated, StoreError> {
    let mut conflicts = Vec::new();
    let mut fresh = 0;
    for mutation in &batch {
        let current: Option<(Option<String>, i64)> = optional(
            write
                .db
                .prepare_cached("SELECT value, version FROM kv WHERE account = ?1 AND key = ?2")?
                .query_row(params![account, mutation.key], |row| Ok((row.get(0)?, row.get(1)?))),
        )?;
        fresh += u64::from(current.is_none());
        let (value, version) = current.unwrap_or((None, -1));
        let fits = version == mutation.version || (value.is_none() && mutation.version == -1);
        if !fits {
            conflicts.push(Conflict { key: mutation.key.clone(), error: "version-mismatch", version, value });
        }
    }
    if !conflicts.is_empty() {
        return Ok(Mutated::Conflicts(conflicts));
    }
    let keys: i64 = write
        .db
        .prepare_cached("SELECT count(*) FROM kv WHERE account = ?1")?
        .query_row([account], |row| row.get(0))?;
    if fresh > 0 && keys.unsigned_abs() + fresh > keys_max {
        return Ok(Mutated::Full);
    }
    let mut results = Vec::with_capacity(batch.len());
    let mut changes = Vec::with_capacity(batch.len());
    for Mutation { key, value, .. } in batch {
        let version: i64 = write
            .db
            .prepare_cached(
                "INSERT INTO kv (account, key, value, version) VALUES (?1, ?2, ?3, 0)
                 ON CONFLICT (account, key) DO UPDATE SET value = ?3, version = version + 1 RETURNING version",
            )?
            .query_row(params![account, key, value], |row| row.get(0))?;
        let told = if value.is_some() { version } else { -1 };
        results.push((key.clone(), version));
        changes.push(KvChange { key, value, version: told });
    }
    write.announce(account, Recipients::Watchers, &Body::KvBatchUpdate { changes: &changes })?;
    Ok(Mutated::Done(results))
}
