//! Push tokens. They are kept because apps register and list them; this relay sends no pushes, and says so when asked to.

use rusqlite::{Connection, params};
use serde::Serialize;

use super::{StoreError, Write};
use crate::ids;

/// Most tokens of one account.
const MAX: i64 = 100;

/// A token as the wire spells it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PushToken {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// Keeps a token. `false`: the account has as many as it may.
pub(crate) fn put(write: &Write<'_>, account: &str, token: &str) -> Result<bool, StoreError> {
    let others: i64 = write.db.query_row(
        "SELECT count(*) FROM push_tokens WHERE account = ?1 AND token <> ?2",
        params![account, token],
        |row| row.get(0),
    )?;
    if others >= MAX {
        return Ok(false);
    }
    write.db.execute(
        "INSERT INTO push_tokens VALUES (?1, ?2, ?3, ?4, ?4)
         ON CONFLICT (account, token) DO UPDATE SET updated_at = ?4",
        params![account, token, ids::row(write.now)?, write.now],
    )?;
    Ok(true)
}

/// Forgets a token. One that is not there is forgotten already.
pub(crate) fn delete(write: &Write<'_>, account: &str, token: &str) -> Result<(), StoreError> {
    write.db.execute("DELETE FROM push_tokens WHERE account = ?1 AND token = ?2", params![account, token])?;
    Ok(())
}

/// All of an account, newest first.
pub(crate) fn list(db: &Connection, account: &str) -> Result<Vec<PushToken>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT id, token, created_at, updated_at FROM push_tokens WHERE account = ?1 ORDER BY created_at DESC",
    )?;
    let rows = query
        .query_map([account], |row| {
            Ok(PushToken {
                id: row.get(0)?,
                token: row.get(1)?,
                created_at: row.get(2)?,
                updated_at: row.get(3)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}
