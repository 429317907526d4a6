//! What sessions and machines have in common: an account and an id name one, it is present or not, and two of its values
//! have versions.

use rusqlite::{Connection, params};

use super::{StoreError, Versioned, Write, optional};
use crate::presence::{Key, Kind};
use crate::update::{self, Body, Recipients};

/// Every table of objects has the columns `account`, `id`, `active`, `active_at` and `updated_at`.
fn table(kind: Kind) -> &'static str {
    match kind {
        Kind::Session => "sessions",
        Kind::Machine => "machines",
    }
}

/// Whether this one is this account's. Everything that takes an id from outside asks this first.
pub(crate) fn exists(db: &Connection, kind: Kind, account: &str, id: &str) -> Result<bool, StoreError> {
    let query = format!("SELECT 1 FROM {} WHERE account = ?1 AND id = ?2", table(kind));
    Ok(db.prepare_cached(&query)?.exists(params![account, id])?)
}

/// Whether the account has as many as it may.
pub(super) fn is_full(db: &Connection, kind: Kind, account: &str, max: u64) -> Result<bool, StoreError> {
    let query = format!("SELECT count(*) FROM {} WHERE account = ?1", table(kind));
    let there: i64 = db.prepare_cached(&query)?.query_row([account], |row| row.get(0))?;
    Ok(there.unsigned_abs() >= max)
}

/// Records whether it is present, and when it was last heard of, where that is known. Returns what now stands there;
/// `None`: there is no such thing.
pub(crate) fn set_active(
    write: &Write<'_>,
    Key { account, kind, id }: &Key,
    active: bool,
    heard_at: Option<i64>,
) -> Result<Option<i64>, StoreError> {
    let change = format!(
        "UPDATE {} SET active = ?3, active_at = coalesce(?4, active_at)
         WHERE account = ?1 AND id = ?2 RETURNING active_at",
        table(*kind)
    );
    let mut change = write.db.prepare_cached(&change)?;
    optional(change.query_row(params![account, id, active, heard_at], |row| row.get(0)))
}

/// Everything that counts as present, of all accounts: read once at start.
pub(crate) fn all_active(db: &Connection) -> Result<Vec<Key>, StoreError> {
    let mut keys = Vec::new();
    for kind in [Kind::Session, Kind::Machine] {
        let mut query = db.prepare(&format!("SELECT account, id FROM {} WHERE active = 1", table(kind)))?;
        for row in query.query_map([], |row| Ok(Key { account: row.get(0)?, kind, id: row.get(1)? }))? {
            keys.push(row?);
        }
    }
    Ok(keys)
}

/// A value with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    SessionMetadata,
    AgentState,
    MachineMetadata,
    DaemonState,
}

impl Field {
    pub(crate) fn kind(self) -> Kind {
        match self {
            Self::SessionMetadata | Self::AgentState => Kind::Session,
            Self::MachineMetadata | Self::DaemonState => Kind::Machine,
        }
    }

    /// The column; the version's is called after it.
    fn column(self) -> &'static str {
        match self {
            Self::SessionMetadata | Self::MachineMetadata => "metadata",
            Self::AgentState => "agent_state",
            Self::DaemonState => "daemon_state",
        }
    }
}

/// Replaces a value if it still has the expected version.
pub(crate) fn replace(
    write: &mut Write<'_>,
    field: Field,
    account: &str,
    id: &str,
    value: Option<&str>,
    expected: i64,
) -> Result<Versioned, StoreError> {
    let (table, column) = (table(field.kind()), field.column());
    let read = format!("SELECT {column}, {column}_version FROM {table} WHERE account = ?1 AND id = ?2");
    let current: Option<(Option<String>, i64)> = optional(
        write.db.prepare_cached(&read)?.query_row(params![account, id], |row| Ok((row.get(0)?, row.get(1)?))),
    )?;
    let Some((current, version)) = current else { return Ok(Versioned::Absent) };
    if version != expected {
        return Ok(Versioned::Mismatch { version, value: current });
    }
    let version = expected + 1;
    let change = format!(
        "UPDATE {table} SET {column} = ?3, {column}_version = ?4, updated_at = ?5 WHERE account = ?1 AND id = ?2"
    );
    write.db.prepare_cached(&change)?.execute(params![account, id, value, version, write.now])?;
    let told = Some(update::Versioned { value, version });
    let body = match field {
        Field::SessionMetadata => Body::UpdateSession { id, metadata: told, agent_state: None },
        Field::AgentState => Body::UpdateSession { id, metadata: None, agent_state: told },
        Field::MachineMetadata => Body::UpdateMachine { machine_id: id, metadata: told, daemon_state: None },
        Field::DaemonState => Body::UpdateMachine { machine_id: id, metadata: None, daemon_state: told },
    };
    let to = match field.kind() {
        Kind::Session => Recipients::Session(id.to_owned()),
        Kind::Machine => Recipients::Machine(id.to_owned()),
    };
    write.announce(account, to, &body)?;
    Ok(Versioned::Done(version))
}
