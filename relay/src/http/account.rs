//! The account over HTTP: who it is, which is nobody's business here, and its sealed settings.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Account, Body, Refused, Reply};
use crate::clock;
use crate::shared::Shared;
use crate::store::{Versioned, account};

fn gone() -> Refused {
    Refused::new(StatusCode::UNAUTHORIZED, "This account does not exist")
}

/// The relay knows a key and no name; apps want the fields to be there.
pub(super) async fn profile(Account(id): Account) -> Json<Value> {
    Json(json!({
        "id": id, "timestamp": clock::now_ms(), "firstName": null, "lastName": null, "username": null,
        "avatar": null, "github": null, "connectedServices": [],
    }))
}

pub(super) async fn settings(State(shared): State<Arc<Shared>>, Account(id): Account) -> Reply<Value> {
    let found = shared.store.read(move |db| account::settings(db, &id)).await?;
    let (settings, version) = found.ok_or_else(gone)?;
    Ok(Json(json!({ "settings": settings, "settingsVersion": version })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Changed {
    settings: Option<String>,
    expected_version: i64,
}

pub(super) async fn replace_settings(
    State(shared): State<Arc<Shared>>,
    Account(id): Account,
    Body(Changed { settings, expected_version }): Body<Changed>,
) -> Reply<Value> {
    request::fits(&shared.config, "settings", settings.as_deref().unwrap_or(""))?;
    let result = shared
        .store
        .write(move |write| account::replace_settings(write, &id, settings.as_deref(), expected_version))
        .await?;
    match result {
        Versioned::Done(version) => Ok(Json(json!({ "success": true, "version": version }))),
        Versioned::Mismatch { version, value } => Ok(Json(json!({
            "success": false, "error": "version-mismatch", "currentVersion": version, "currentSettings": value,
        }))),
        Versioned::Absent => Err(gone()),
    }
}
