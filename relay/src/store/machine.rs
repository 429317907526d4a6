//! Machines. Their ids are chosen by their daemons, so they are unique within an account and nowhere else.

use rusqlite::{Connection, Row, params};
use serde::Serialize;

use super::{StoreError, Write, bounded, object, optional};
use crate::presence::Kind;
use crate::update::{self, Body, Recipients};

/// A machine as the wire spells it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) id: String,
    pub(crate) metadata: String,
    pub(crate) metadata_version: i64,
    pub(crate) daemon_state: Option<String>,
    pub(crate) daemon_state_version: i64,
    pub(crate) data_encryption_key: Option<String>,
    /// Always 0: kept because clients' schemas ask for it.
    pub(crate) seq: i64,
    pub(crate) active: bool,
    pub(crate) active_at: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

const COLUMNS: &str = "id, metadata, metadata_version, daemon_state, daemon_state_version, data_key, active, \
     active_at, created_at, updated_at";

fn from_row(row: &Row<'_>) -> rusqlite::Result<Machine> {
    Ok(Machine {
        id: row.get(0)?,
        metadata: row.get(1)?,
        metadata_version: row.get(2)?,
        daemon_state: row.get(3)?,
        daemon_state_version: row.get(4)?,
        data_encryption_key: row.get(5)?,
        seq: 0,
        active: row.get(6)?,
        active_at: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
    })
}

/// One machine.
pub(crate) fn get(db: &Connection, account: &str, id: &str) -> Result<Option<Machine>, StoreError> {
    optional(
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM machines WHERE account = ?1 AND id = ?2"))?
            .query_row(params![account, id], from_row),
    )
}

/// All of an account, the one seen last first.
pub(crate) fn list(db: &Connection, account: &str) -> Result<Vec<Machine>, StoreError> {
    let mut query = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM machines WHERE account = ?1 ORDER BY active_at DESC, id"
    ))?;
    bounded(query.query_map([account], from_row)?, |machine: &Machine| {
        machine.metadata.len() + machine.daemon_state.as_ref().map_or(0, String::len)
    })
}

/// What to register.
pub(crate) struct New {
    pub(crate) id: String,
    pub(crate) metadata: String,
    pub(crate) daemon_state: Option<String>,
    pub(crate) data_key: Option<String>,
}

/// Registers a machine; one that is there comes back unchanged. `None`: the account has as many as it may.
pub(crate) fn create(
    write: &mut Write<'_>,
    account: &str,
    new: &New,
    machines_max: u64,
) -> Result<Option<Machine>, StoreError> {
    if let Some(machine) = get(write.db, account, &new.id)? {
        return Ok(Some(machine));
    }
    if object::is_full(write.db, Kind::Machine, account, machines_max)? {
        return Ok(None);
    }
    let machine = write
        .db
        .prepare_cached(&format!(
            "INSERT INTO machines (account, id, metadata, daemon_state, daemon_state_version, data_key, active,
                 active_at, created_at, updated_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7, ?7, ?7) RETURNING {COLUMNS}"
        ))?
        .query_row(
            params![
                account,
                new.id,
                new.metadata,
                new.daemon_state,
                i64::from(new.daemon_state.is_some()),
                new.data_key,
                write.now
            ],
            from_row,
        )?;
    write.announce(account, Recipients::Watchers, &Body::new_machine(&machine))?;
    // Older apps know machines from this one only.
    let metadata = update::Versioned { value: Some(&machine.metadata), version: machine.metadata_version };
    let body = Body::UpdateMachine { machine_id: &machine.id, metadata: Some(metadata), daemon_state: None };
    write.announce(account, Recipients::Machine(machine.id.clone()), &body)?;
    Ok(Some(machine))
}

/// Forgets a machine and its access keys; its sessions stay. `false`: there is no such machine.
pub(crate) fn delete(write: &mut Write<'_>, account: &str, id: &str) -> Result<bool, StoreError> {
    write.db.execute("DELETE FROM access_keys WHERE account = ?1 AND machine = ?2", params![account, id])?;
    if write.db.execute("DELETE FROM machines WHERE account = ?1 AND id = ?2", params![account, id])? == 0 {
        return Ok(false);
    }
    write.announce(account, Recipients::Watchers, &Body::DeleteMachine { machine_id: id })?;
    Ok(true)
}
