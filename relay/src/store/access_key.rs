//! Access keys: a sealed key of one session for one machine.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{StoreError, Versioned, Write, object, optional};
use crate::presence::Kind;

/// A key as the wire spells it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccessKey {
    pub(crate) data: String,
    pub(crate) data_version: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// The key. Outer `None`: session or machine is not this account's. Inner: there is no key.
pub(crate) fn get(
    db: &Connection,
    account: &str,
    session: &str,
    machine: &str,
) -> Result<Option<Option<AccessKey>>, StoreError> {
    let ours = |kind, id| object::exists(db, kind, account, id);
    if !ours(Kind::Session, session)? || !ours(Kind::Machine, machine)? {
        return Ok(None);
    }
    optional(
        db.prepare_cached(
            "SELECT data, version, created_at, updated_at FROM access_keys
             WHERE account = ?1 AND session = ?2 AND machine = ?3",
        )?
        .query_row(params![account, session, machine], |row| {
            Ok(AccessKey {
                data: row.get(0)?,
                data_version: row.get(1)?,
                created_at: row.get(2)?,
                updated_at: row.get(3)?,
            })
        }),
    )
    .map(Some)
}

/// What came of making one.
pub(crate) enum Created {
    Done(AccessKey),
    Exists,
    Absent,
}

/// Makes a key where there is none.
pub(crate) fn create(
    write: &Write<'_>,
    account: &str,
    session: &str,
    machine: &str,
    data: String,
) -> Result<Created, StoreError> {
    match get(write.db, account, session, machine)? {
        None => Ok(Created::Absent),
        Some(Some(_)) => Ok(Created::Exists),
        Some(None) => {
            write.db.execute(
                "INSERT INTO access_keys VALUES (?1, ?2, ?3, ?4, 1, ?5, ?5)",
                params![account, session, machine, data, write.now],
            )?;
            Ok(Created::Done(AccessKey {
                data,
                data_version: 1,
                created_at: write.now,
                updated_at: write.now,
            }))
        }
    }
}

/// Replaces a key if it still has the expected version.
pub(crate) fn replace(
    write: &Write<'_>,
    account: &str,
    session: &str,
    machine: &str,
    data: &str,
    expected: i64,
) -> Result<Versioned, StoreError> {
    let Some(Some(current)) = get(write.db, account, session, machine)? else {
        return Ok(Versioned::Absent);
    };
    if current.data_version != expected {
        return Ok(Versioned::Mismatch { version: current.data_version, value: Some(current.data) });
    }
    write.db.execute(
        "UPDATE access_keys SET data = ?4, version = ?5, updated_at = ?6
         WHERE account = ?1 AND session = ?2 AND machine = ?3",
        params![account, session, machine, data, expected + 1, write.now],
    )?;
    Ok(Versioned::Done(expected + 1))
}
