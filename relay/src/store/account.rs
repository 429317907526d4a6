//! Accounts: a public key, a counter of updates, and settings nobody here can read.

use ed25519_dalek::SigningKey;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};

use super::{StoreError, Versioned, Write, optional};
use crate::ids;
use crate::update::{self, Body, Recipients};

/// The key that signs tokens, made at the first start.
pub(crate) fn signing_key(write: &Write<'_>) -> Result<[u8; 32], StoreError> {
    let stored: Option<Vec<u8>> =
        optional(
            write.db.query_row("SELECT value FROM secret WHERE name = 'token-key'", [], |row| row.get(0)),
        )?;
    if let Some(stored) = stored {
        return <[u8; 32]>::try_from(stored).map_err(|_| StoreError::NotOurs);
    }
    let fresh = SigningKey::from_bytes(&ids::random::<32>()?).to_bytes();
    write.db.execute("INSERT INTO secret VALUES ('token-key', ?1)", [fresh])?;
    Ok(fresh)
}

/// What came of a proven login.
#[derive(Debug)]
pub(crate) enum Login {
    /// The account's id.
    Account(String),
    /// This key has no account and none may be made.
    Closed,
    /// This signature has logged in before.
    Replayed,
}

/// Logs a proven key in, making its account if there may be one more.
///
/// `challenge` is what was signed when the client chose it itself; such a signature works once, so that whoever sees it
/// in a log or a backup cannot log in with it.
pub(crate) fn log_in(
    write: &Write<'_>,
    public_key: &[u8; 32],
    challenge: Option<&[u8]>,
    accounts_max: u64,
) -> Result<Login, StoreError> {
    if let Some(challenge) = challenge {
        let mut digest = Sha256::new();
        digest.update(public_key);
        digest.update(challenge);
        let fresh = write
            .db
            .prepare_cached("INSERT OR IGNORE INTO used_challenges VALUES (?1)")?
            .execute([digest.finalize().as_slice()])?;
        if fresh == 0 {
            return Ok(Login::Replayed);
        }
    }
    let known: Option<String> = optional(
        write
            .db
            .prepare_cached("SELECT id FROM accounts WHERE public_key = ?1")?
            .query_row([public_key.as_slice()], |row| row.get(0)),
    )?;
    if let Some(id) = known {
        return Ok(Login::Account(id));
    }
    let there: i64 = write.db.query_row("SELECT count(*) FROM accounts", [], |row| row.get(0))?;
    if there.unsigned_abs() >= accounts_max {
        return Ok(Login::Closed);
    }
    let id = ids::row(write.now)?;
    write.db.execute(
        "INSERT INTO accounts (id, public_key, created_at) VALUES (?1, ?2, ?3)",
        params![id, public_key.as_slice(), write.now],
    )?;
    Ok(Login::Account(id))
}

/// Settings and their version.
pub(crate) fn settings(db: &Connection, account: &str) -> Result<Option<(Option<String>, i64)>, StoreError> {
    optional(
        db.prepare_cached("SELECT settings, settings_version FROM accounts WHERE id = ?1")?
            .query_row([account], |row| Ok((row.get(0)?, row.get(1)?))),
    )
}

/// Replaces the settings if they still have the expected version.
pub(crate) fn replace_settings(
    write: &mut Write<'_>,
    account: &str,
    value: Option<&str>,
    expected: i64,
) -> Result<Versioned, StoreError> {
    let Some((current, version)) = settings(write.db, account)? else { return Ok(Versioned::Absent) };
    if version != expected {
        return Ok(Versioned::Mismatch { version, value: current });
    }
    let version = expected + 1;
    write.db.execute(
        "UPDATE accounts SET settings = ?2, settings_version = ?3 WHERE id = ?1",
        params![account, value, version],
    )?;
    let body = Body::UpdateAccount { id: account, settings: update::Versioned { value, version } };
    write.announce(account, Recipients::Watchers, &body)?;
    Ok(Versioned::Done(version))
}
