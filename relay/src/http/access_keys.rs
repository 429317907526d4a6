//! Access keys over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Account, Body, Refused, Reply};
use crate::shared::Shared;
use crate::store::Versioned;
use crate::store::access_key::{self, Created};

fn absent() -> Refused {
    Refused::absent("Session or machine not found")
}

pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path((session, machine)): Path<(String, String)>,
) -> Reply<Value> {
    let key = shared.store.read(move |db| access_key::get(db, &account, &session, &machine)).await?;
    Ok(Json(json!({ "accessKey": key.ok_or_else(absent)? })))
}

#[derive(Deserialize)]
pub(super) struct New {
    data: String,
}

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path((session, machine)): Path<(String, String)>,
    Body(New { data }): Body<New>,
) -> Reply<Value> {
    request::fits(&shared.config, "data", &data)?;
    let created = shared
        .store
        .write(move |write| access_key::create(write, &account, &session, &machine, data))
        .await?;
    match created {
        Created::Done(key) => Ok(Json(json!({ "success": true, "accessKey": key }))),
        Created::Exists => Err(Refused::new(StatusCode::CONFLICT, "Access key already exists")),
        Created::Absent => Err(absent()),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    data: String,
    expected_version: i64,
}

pub(super) async fn replace(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path((session, machine)): Path<(String, String)>,
    Body(Changed { data, expected_version }): Body<Changed>,
) -> Reply<Value> {
    request::fits(&shared.config, "data", &data)?;
    let result = shared
        .store
        .write(move |write| access_key::replace(write, &account, &session, &machine, &data, expected_version))
        .await?;
    match result {
        Versioned::Done(version) => Ok(Json(json!({ "success": true, "version": version }))),
        Versioned::Mismatch { version, value } => Ok(Json(json!({
            "success": false, "error": "version-mismatch", "currentVersion": version, "currentData": value,
        }))),
        Versioned::Absent => Err(Refused::absent("Access key not found")),
    }
}
