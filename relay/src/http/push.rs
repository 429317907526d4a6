//! Notifications. This relay tells connected clients and sends nothing to phones that are not: it has no account with
//! anybody who could. It says so in every answer instead of pretending.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Account, Body, Refused, Reply};
use crate::presence;
use crate::shared::Shared;
use crate::store::{object, push_token};
use crate::update::{Ephemeral, Publication, Recipients};

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Done,
    Permission,
    Question,
}

/// Something a person may want to know. Title and body are readable here, by the design of this wire; they are passed
/// on and neither kept nor logged.
#[derive(Deserialize)]
pub(super) struct News {
    kind: Kind,
    title: String,
    body: String,
}

pub(super) async fn event(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path(id): Path<String>,
    Body(news): Body<News>,
) -> Reply<Value> {
    let bounded = |text: &str, max| (1..=max).contains(&text.chars().count());
    if !bounded(&news.title, 200) || !bounded(&news.body, 500) {
        return Err(Refused::bad("a title has 1 to 200 letters, a body 1 to 500"));
    }
    let kind = match news.kind {
        Kind::Done => "done",
        Kind::Permission => "permission",
        Kind::Question => "question",
    };
    let watched = shared.hub.is_watched(&account);
    let tokens = shared
        .store
        .write(move |write| {
            if !object::exists(write.db, presence::Kind::Session, &account, &id)? {
                return Ok(None);
            }
            let body = Ephemeral::SessionEvent {
                session_id: &id,
                kind,
                title: &news.title,
                body: &news.body,
                timestamp: write.now,
            };
            let told = Publication::ephemeral(&account, Recipients::Session(id.clone()), &body)?;
            write.tell(told);
            Ok(Some(push_token::list(write.db, &account)?.len()))
        })
        .await?;
    match tokens {
        None => Err(Refused::absent("Session not found")),
        Some(_) if watched => {
            Ok(Json(json!({ "success": true, "result": "suppressed", "reason": "active-ui-client" })))
        }
        Some(0) => Ok(Json(json!({ "success": true, "result": "no_tokens" }))),
        Some(tokens) => Ok(Json(json!({
            "success": true, "result": "failed", "tokens": tokens, "delivered": 0,
            "reason": "this relay sends no push notifications",
        }))),
    }
}

#[derive(Deserialize)]
pub(super) struct New {
    token: String,
}

pub(super) async fn register(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Body(New { token }): Body<New>,
) -> Reply<Value> {
    request::name("token", &token)?;
    if shared.store.write(move |write| push_token::put(write, &account, &token)).await? {
        Ok(Json(json!({ "success": true })))
    } else {
        Err(Refused::new(StatusCode::INSUFFICIENT_STORAGE, "the account has as many push tokens as it may"))
    }
}

pub(super) async fn forget(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Path(token): Path<String>,
) -> Reply<Value> {
    shared.store.write(move |write| push_token::delete(write, &account, &token)).await?;
    Ok(Json(json!({ "success": true })))
}

pub(super) async fn tokens(State(shared): State<Arc<Shared>>, Account(account): Account) -> Reply<Value> {
    let tokens = shared.store.read(move |db| push_token::list(db, &account)).await?;
    Ok(Json(json!({ "tokens": tokens })))
}
