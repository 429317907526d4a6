//! Messages over HTTP: the path on which nothing is lost. A batch is stored whole or not at all, and sending it again
//! stores nothing twice.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Account, Body, Parameters, Refused, Reply};
use crate::shared::Shared;
use crate::store::message::{self, Part};

/// Most messages of one batch.
const BATCH_MAX: usize = 100;

fn no_session() -> Refused {
    Refused::absent("Session not found")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recent {
    limit: Option<u32>,
    after_seq: Option<i64>,
    before_seq: Option<i64>,
}

/// The old list. Happy's gives the newest 150, newest first; D's clients ask from a `seq` on.
pub(super) async fn recent(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path(session): Path<String>,
    Parameters(recent): Parameters<Recent>,
) -> Reply<Value> {
    let limit = request::within("limit", recent.limit, 150, 500)?;
    let part = match (recent.after_seq, recent.before_seq) {
        (Some(_), Some(_)) => return Err(Refused::bad("afterSeq and beforeSeq exclude each other")),
        (Some(seq), None) => Part::After(seq),
        (None, seq) => Part::Before(seq.unwrap_or(i64::MAX)),
    };
    answer(&shared, account, session, part, limit).await
}

#[derive(Deserialize)]
pub(super) struct Page {
    after_seq: Option<i64>,
    before_seq: Option<i64>,
    limit: Option<u32>,
}

pub(super) async fn page(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path(session): Path<String>,
    Parameters(page): Parameters<Page>,
) -> Reply<Value> {
    let limit = request::within("limit", page.limit, 100, 500)?;
    let part = match (page.after_seq, page.before_seq) {
        (Some(_), Some(_)) => return Err(Refused::bad("after_seq and before_seq are mutually exclusive")),
        (None, Some(seq)) if seq >= 1 => Part::Before(seq),
        (after, None) if after.unwrap_or(0) >= 0 => Part::After(after.unwrap_or(0)),
        _ => return Err(Refused::bad("after_seq must be 0 or more, before_seq 1 or more")),
    };
    answer(&shared, account, session, part, limit).await
}

async fn answer(shared: &Shared, account: String, session: String, part: Part, limit: u32) -> Reply<Value> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = shared.store.read(move |db| message::page(db, &account, &session, part, limit)).await?;
    let (messages, has_more) = page.ok_or_else(no_session)?;
    Ok(Json(json!({ "messages": messages, "hasMore": has_more })))
}

#[derive(Deserialize)]
pub(super) struct Batch {
    messages: Vec<One>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct One {
    content: String,
    local_id: String,
}

pub(super) async fn send(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path(session): Path<String>,
    Body(Batch { messages }): Body<Batch>,
) -> Reply<Value> {
    if messages.is_empty() || messages.len() > BATCH_MAX {
        return Err(Refused::bad(format!("a batch has 1 to {BATCH_MAX} messages")));
    }
    for one in &messages {
        request::fits(&shared.config, "message", &one.content)?;
        request::name("localId", &one.local_id)?;
    }
    let batch = messages
        .into_iter()
        .map(|one| message::New { content: one.content, local_id: Some(one.local_id) })
        .collect();
    // The sender hears its own messages too: its socket is not known here, and its clients expect it.
    let stored =
        shared.store.write(move |write| message::store(write, &account, &session, batch, None)).await?;
    Ok(Json(json!({ "messages": stored.ok_or_else(no_session)? })))
}
