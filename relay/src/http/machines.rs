//! Machines over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Account, Body, Refused, Reply};
use crate::shared::Shared;
use crate::store::machine::{self, Machine};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct New {
    id: String,
    metadata: String,
    daemon_state: Option<String>,
    data_encryption_key: Option<String>,
}

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Body(new): Body<New>,
) -> Reply<Value> {
    request::name("id", &new.id)?;
    request::fits(&shared.config, "metadata", &new.metadata)?;
    if let Some(state) = &new.daemon_state {
        request::fits(&shared.config, "daemonState", state)?;
    }
    if let Some(key) = &new.data_encryption_key {
        request::name("dataEncryptionKey", key)?;
    }
    let New { id, metadata, daemon_state, data_encryption_key: data_key } = new;
    let machines_max = shared.config.limits.machines;
    let machine = shared
        .store
        .write(move |write| {
            let new = machine::New { id, metadata, daemon_state, data_key };
            machine::create(write, &account, &new, machines_max)
        })
        .await?;
    match machine {
        Some(machine) => Ok(Json(json!({ "machine": machine }))),
        None => Err(Refused::full("machines", machines_max)),
    }
}

/// All machines: a bare list, as Happy's server gives it.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
) -> Reply<Vec<Machine>> {
    Ok(Json(shared.store.read(move |db| machine::list(db, &account)).await?))
}

pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path(id): Path<String>,
) -> Reply<Value> {
    match shared.store.read(move |db| machine::get(db, &account, &id)).await? {
        Some(machine) => Ok(Json(json!({ "machine": machine }))),
        None => Err(Refused::absent("Machine not found")),
    }
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path(id): Path<String>,
) -> Reply<Value> {
    if shared.delete_machine(account, id).await? {
        Ok(Json(json!({ "success": true })))
    } else {
        Err(Refused::absent("Machine not found"))
    }
}
