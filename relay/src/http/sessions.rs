//! Sessions over HTTP.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::request::{self, Account, Body, Parameters, Refused, Reply};
use crate::shared::Shared;
use crate::store::session::{self, Session};

/// How many sessions the old list holds: it has no pages.
const RECENT: i64 = 150;
const CURSOR: &str = "cursor_v1_";

/// A session as the old routes spell it. `lastMessage` is always null, as on Happy's server.
#[derive(Serialize)]
struct Old {
    #[serde(flatten)]
    session: Session,
    #[serde(rename = "lastMessage")]
    last_message: Option<()>,
}

fn old(session: Session) -> Old {
    Old { session, last_message: None }
}

pub(super) async fn recent(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
) -> Reply<impl Serialize> {
    let sessions = shared.store.read(move |db| session::recent(db, &account, RECENT)).await?;
    let sessions: Vec<Old> = sessions.into_iter().map(old).collect();
    Ok(Json(json!({ "sessions": sessions })))
}

#[derive(Deserialize)]
pub(super) struct Limit {
    limit: Option<u32>,
}

pub(super) async fn active(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Parameters(Limit { limit }): Parameters<Limit>,
) -> Reply<Value> {
    let limit = request::within("limit", limit, 150, 500)?;
    let sessions = shared.store.read(move |db| session::active(db, &account, i64::from(limit))).await?;
    Ok(Json(json!({ "sessions": sessions })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    cursor: Option<String>,
    limit: Option<u32>,
    changed_since: Option<i64>,
}

pub(super) async fn page(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Parameters(page): Parameters<Page>,
) -> Reply<Value> {
    let limit = request::within("limit", page.limit, 50, 200)?;
    let cursor = match page.cursor.as_deref() {
        None => None,
        Some(cursor) => {
            let id = cursor.strip_prefix(CURSOR).ok_or_else(|| Refused::bad("Invalid cursor format"))?;
            request::name("cursor", id)?;
            Some(id.to_owned())
        }
    };
    let since = page.changed_since.unwrap_or(0);
    let mut sessions = shared
        .store
        .read(move |db| session::page(db, &account, cursor.as_deref(), since, i64::from(limit) + 1))
        .await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_next = sessions.len() > limit;
    sessions.truncate(limit);
    let next = has_next.then(|| sessions.last().map(|last| format!("{CURSOR}{}", last.id))).flatten();
    Ok(Json(json!({ "sessions": sessions, "nextCursor": next, "hasNext": has_next })))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct New {
    tag: String,
    metadata: String,
    data_encryption_key: Option<String>,
}

pub(super) async fn create(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Body(new): Body<New>,
) -> Reply<Value> {
    request::name("tag", &new.tag)?;
    request::fits(&shared.config, "metadata", &new.metadata)?;
    if let Some(key) = &new.data_encryption_key {
        request::name("dataEncryptionKey", key)?;
    }
    let New { tag, metadata, data_encryption_key: data_key } = new;
    let sessions_max = shared.config.limits.sessions;
    let creating = Arc::clone(&shared);
    let created = shared
        .store
        .write(move |write| {
            let new = session::New { tag, metadata, data_key };
            let created = session::create(write, &account, &new, sessions_max)?;
            if let Some((session, true)) = &created {
                // Within the write, so that no heartbeat can find the session before its presence.
                creating.began(&account, &session.id);
            }
            Ok(created)
        })
        .await?;
    match created {
        Some((session, _)) => Ok(Json(json!({ "session": old(session) }))),
        None => Err(Refused::full("sessions", sessions_max)),
    }
}

pub(super) async fn archive(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path(id): Path<String>,
) -> Reply<Value> {
    if shared.end_session(&account, &id).await? {
        Ok(Json(json!({ "success": true })))
    } else {
        Err(Refused::absent("Session not found"))
    }
}

pub(super) async fn delete(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path(id): Path<String>,
) -> Reply<Value> {
    if shared.delete_session(account, id).await? {
        Ok(Json(json!({ "success": true })))
    } else {
        Err(Refused::absent("Session not found or not owned by user"))
    }
}
