//! The database's shape and its version.

use rusqlite::Connection;

use super::StoreError;

/// The version this program writes. A database that says more is from a newer relay and is refused, never "repaired".
pub(crate) const VERSION: i32 = 1;
/// Marks the file as ours (`delR`).
const APPLICATION: i32 = 0x6465_6c52;

/// Everything an account owns carries its id, and every statement that reads or writes a row names the account: that
/// is the isolation between accounts. Values are ciphertext; what is readable here are ids, times, sizes and counts.
const TABLES: &str = "
CREATE TABLE secret (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE accounts (
    id TEXT PRIMARY KEY, public_key BLOB NOT NULL UNIQUE, seq INTEGER NOT NULL DEFAULT 0,
    settings TEXT, settings_version INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE used_challenges (digest BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TABLE pairings (
    kind TEXT NOT NULL, public_key BLOB NOT NULL, supports_v2 INTEGER NOT NULL, expires_at INTEGER NOT NULL,
    account TEXT, response TEXT, delivered INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (kind, public_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX pairings_by_end ON pairings (expires_at);
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts, tag TEXT NOT NULL, seq INTEGER NOT NULL DEFAULT 0,
    metadata TEXT NOT NULL, metadata_version INTEGER NOT NULL DEFAULT 0,
    agent_state TEXT, agent_state_version INTEGER NOT NULL DEFAULT 0, data_key TEXT,
    active INTEGER NOT NULL, active_at INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    UNIQUE (account, tag)
) STRICT;
CREATE INDEX sessions_by_change ON sessions (account, updated_at);
CREATE INDEX sessions_by_id ON sessions (account, id);
CREATE TABLE messages (
    session TEXT NOT NULL REFERENCES sessions, seq INTEGER NOT NULL, id TEXT NOT NULL, local_id TEXT,
    content TEXT NOT NULL, created_at INTEGER NOT NULL, UNIQUE (session, seq)
) STRICT;
CREATE UNIQUE INDEX messages_by_local_id ON messages (session, local_id) WHERE local_id IS NOT NULL;
CREATE TABLE machines (
    account TEXT NOT NULL REFERENCES accounts, id TEXT NOT NULL,
    metadata TEXT NOT NULL, metadata_version INTEGER NOT NULL DEFAULT 1,
    daemon_state TEXT, daemon_state_version INTEGER NOT NULL, data_key TEXT,
    active INTEGER NOT NULL, active_at INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (account, id)
) STRICT;
CREATE TABLE access_keys (
    account TEXT NOT NULL REFERENCES accounts, session TEXT NOT NULL, machine TEXT NOT NULL,
    data TEXT NOT NULL, version INTEGER NOT NULL, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    PRIMARY KEY (account, session, machine)
) STRICT;
CREATE TABLE kv (
    account TEXT NOT NULL REFERENCES accounts, key TEXT NOT NULL, value TEXT, version INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) STRICT;
CREATE TABLE push_tokens (
    account TEXT NOT NULL REFERENCES accounts, token TEXT NOT NULL, id TEXT NOT NULL,
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, PRIMARY KEY (account, token)
) STRICT, WITHOUT ROWID;
";

/// Brings a database to this program's version: makes the tables of an empty one, leaves ours alone, refuses others.
pub(crate) fn prepare(connection: &mut Connection) -> Result<(), StoreError> {
    let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let application: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 && application != APPLICATION {
        return Err(StoreError::NotOurs);
    }
    if version > VERSION {
        return Err(StoreError::Newer { found: version });
    }
    if tables == 0 {
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", VERSION)?;
        transaction.commit()?;
    }
    Ok(())
}
