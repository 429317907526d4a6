//! Sessions: one row each, created or found by the account's own tag.

use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{StoreError, Write, bounded, object, optional};
use crate::ids;
use crate::presence::Kind;
use crate::update::{Body, Recipients};

/// A session as the wire spells it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    pub(crate) id: String,
    /// The `seq` of its newest message.
    pub(crate) seq: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) active: bool,
    pub(crate) active_at: i64,
    pub(crate) metadata: String,
    pub(crate) metadata_version: i64,
    pub(crate) agent_state: Option<String>,
    pub(crate) agent_state_version: i64,
    pub(crate) data_encryption_key: Option<String>,
}

const COLUMNS: &str = "id, seq, created_at, updated_at, active, active_at, metadata, metadata_version, agent_state, \
     agent_state_version, data_key";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Session> {
    Ok(Session {
        id: row.get(0)?,
        seq: row.get(1)?,
        created_at: row.get(2)?,
        updated_at: row.get(3)?,
        active: row.get(4)?,
        active_at: row.get(5)?,
        metadata: row.get(6)?,
        metadata_version: row.get(7)?,
        agent_state: row.get(8)?,
        agent_state_version: row.get(9)?,
        data_encryption_key: row.get(10)?,
    })
}

/// What to make a session with.
pub(crate) struct New {
    pub(crate) tag: String,
    pub(crate) metadata: String,
    pub(crate) data_key: Option<String>,
}

/// The account's session with this tag, made if there is none. `None`: it has as many as it may.
///
/// A supplied agent state is not taken, as on Happy's server: its client follows with `update-state` from version 0.
pub(crate) fn create(
    write: &mut Write<'_>,
    account: &str,
    new: &New,
    sessions_max: u64,
) -> Result<Option<(Session, bool)>, StoreError> {
    let found = optional(
        write
            .db
            .prepare_cached(&format!("SELECT {COLUMNS} FROM sessions WHERE account = ?1 AND tag = ?2"))?
            .query_row(params![account, new.tag], from_row),
    )?;
    if let Some(session) = found {
        return Ok(Some((session, false)));
    }
    if object::is_full(write.db, Kind::Session, account, sessions_max)? {
        return Ok(None);
    }
    let id = ids::row(write.now)?;
    let session = write
        .db
        .prepare_cached(&format!(
            "INSERT INTO sessions (id, account, tag, metadata, data_key, active, active_at, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6, ?6) RETURNING {COLUMNS}"
        ))?
        .query_row(params![id, account, new.tag, new.metadata, new.data_key, write.now], from_row)?;
    write.announce(account, Recipients::Watchers, &Body::NewSession(&session))?;
    Ok(Some((session, true)))
}

/// The sessions changed last, newest first.
pub(crate) fn recent(db: &Connection, account: &str, limit: i64) -> Result<Vec<Session>, StoreError> {
    list(
        db,
        &format!(
            "SELECT {COLUMNS} FROM sessions WHERE account = ?1 ORDER BY updated_at DESC, id DESC LIMIT ?2"
        ),
        params![account, limit],
    )
}

/// The sessions that are present now, newest first.
pub(crate) fn active(db: &Connection, account: &str, limit: i64) -> Result<Vec<Session>, StoreError> {
    list(
        db,
        &format!(
            "SELECT {COLUMNS} FROM sessions WHERE account = ?1 AND active = 1
             ORDER BY active_at DESC, id DESC LIMIT ?2"
        ),
        params![account, limit],
    )
}

/// A page of all sessions, newest id first: those before `cursor`, changed after `changed_since`.
pub(crate) fn page(
    db: &Connection,
    account: &str,
    cursor: Option<&str>,
    changed_since: i64,
    limit: i64,
) -> Result<Vec<Session>, StoreError> {
    list(
        db,
        &format!(
            "SELECT {COLUMNS} FROM sessions
             WHERE account = ?1 AND (?2 IS NULL OR id < ?2) AND updated_at > ?3 ORDER BY id DESC LIMIT ?4"
        ),
        params![account, cursor, changed_since, limit],
    )
}

fn list(db: &Connection, query: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Session>, StoreError> {
    let mut query = db.prepare_cached(query)?;
    bounded(query.query_map(values, from_row)?, |session: &Session| {
        session.metadata.len() + session.agent_state.as_ref().map_or(0, String::len)
    })
}

/// Deletes a session with its messages and keys. `false`: there is no such session.
pub(crate) fn delete(write: &mut Write<'_>, account: &str, id: &str) -> Result<bool, StoreError> {
    if !object::exists(write.db, Kind::Session, account, id)? {
        return Ok(false);
    }
    write.db.execute("DELETE FROM messages WHERE session = ?1", [id])?;
    write.db.execute("DELETE FROM access_keys WHERE session = ?1 AND account = ?2", params![id, account])?;
    write.db.execute("DELETE FROM sessions WHERE id = ?1 AND account = ?2", params![id, account])?;
    write.announce(account, Recipients::Session(id.to_owned()), &Body::DeleteSession { sid: id })?;
    Ok(true)
}

/// Deletes up to `limit` absent sessions untouched since a time. Says which.
pub(crate) fn expire(
    write: &mut Write<'_>,
    before: i64,
    limit: i64,
) -> Result<Vec<(String, String)>, StoreError> {
    let old: Vec<(String, String)> = {
        let mut query = write.db.prepare_cached(
            "SELECT account, id FROM sessions WHERE active = 0 AND updated_at < ?1 AND active_at < ?1 LIMIT ?2",
        )?;
        query.query_map([before, limit], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?
    };
    for (account, id) in &old {
        delete(write, account, id)?;
    }
    Ok(old)
}
