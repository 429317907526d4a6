//! The key-value store over HTTP.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Account, Body, Parameters, Refused, Reply};
use crate::shared::Shared;
use crate::store::kv::{self, Item, Mutated, Mutation};

/// Most keys of one request.
const BATCH_MAX: usize = 100;

pub(super) async fn get(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path(key): Path<String>,
) -> Reply<Item> {
    let item = shared.store.read(move |db| kv::get(db, &account, &key)).await?;
    item.map(Json).ok_or_else(|| Refused::absent("Key not found"))
}

#[derive(Deserialize)]
pub(super) struct Listing {
    prefix: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Parameters(Listing { prefix, limit }): Parameters<Listing>,
) -> Reply<Value> {
    let limit = request::within("limit", limit, 100, 1_000)?;
    let prefix = prefix.unwrap_or_default();
    let items = shared.store.read(move |db| kv::list(db, &account, &prefix, i64::from(limit))).await?;
    Ok(Json(json!({ "items": items })))
}

#[derive(Deserialize)]
pub(super) struct Keys {
    keys: Vec<String>,
}

pub(super) async fn bulk(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Body(Keys { keys }): Body<Keys>,
) -> Reply<Value> {
    if keys.is_empty() || keys.len() > BATCH_MAX {
        return Err(Refused::bad(format!("ask for 1 to {BATCH_MAX} keys")));
    }
    let values = shared.store.read(move |db| kv::several(db, &account, &keys)).await?;
    Ok(Json(json!({ "values": values })))
}

#[derive(Deserialize)]
pub(super) struct Batch {
    mutations: Vec<One>,
}

#[derive(Deserialize)]
struct One {
    key: String,
    value: Option<String>,
    version: i64,
}

pub(super) async fn mutate(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Body(Batch { mutations }): Body<Batch>,
) -> Result<Response, Refused> {
    if mutations.is_empty() || mutations.len() > BATCH_MAX {
        return Err(Refused::bad(format!("a batch has 1 to {BATCH_MAX} changes")));
    }
    let mut keys = HashSet::new();
    for one in &mutations {
        request::name("key", &one.key)?;
        request::fits(&shared.config, "value", one.value.as_deref().unwrap_or(""))?;
        if !keys.insert(one.key.as_str()) {
            return Err(Refused::bad("a batch names a key once"));
        }
    }
    let total: usize = mutations.iter().filter_map(|one| one.value.as_ref()).map(String::len).sum();
    if total > shared.config.limits.value {
        // All of a batch is told in one packet.
        return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the batch's values are too large together"));
    }
    let batch =
        mutations.into_iter().map(|One { key, value, version }| Mutation { key, value, version }).collect();
    let keys_max = shared.config.limits.kv_keys;
    match shared.store.write(move |write| kv::mutate(write, &account, batch, keys_max)).await? {
        Mutated::Done(results) => {
            let results: Vec<Value> =
                results.into_iter().map(|(key, version)| json!({ "key": key, "version": version })).collect();
            Ok(Json(json!({ "success": true, "results": results })).into_response())
        }
        Mutated::Conflicts(errors) => {
            Ok((StatusCode::CONFLICT, Json(json!({ "success": false, "errors": errors }))).into_response())
        }
        Mutated::Full => Err(Refused::new(
            StatusCode::INSUFFICIENT_STORAGE,
            format!("the account has {keys_max} keys, as many as it may"),
        )),
    }
}
