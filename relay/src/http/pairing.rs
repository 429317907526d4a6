//! Pairing over HTTP. The relay carries a sealed answer from one device to another, once, and cannot open it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Account, Body, Parameters, Refused, Reply};
use crate::clock;
use crate::shared::Shared;
use crate::store::pairing::{self, Kind, Standing};

/// Longest sealed answer: a master secret takes 140 bytes.
const ANSWER_MAX: usize = 4_096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asking {
    public_key: String,
    #[serde(default)]
    supports_v2: Option<bool>,
}

pub(super) async fn request_terminal(shared: State<Arc<Shared>>, body: Body<Asking>) -> Reply<Value> {
    request(shared, body, Kind::Terminal).await
}

pub(super) async fn request_account(shared: State<Arc<Shared>>, body: Body<Asking>) -> Reply<Value> {
    request(shared, body, Kind::Account).await
}

async fn request(State(shared): State<Arc<Shared>>, Body(asking): Body<Asking>, kind: Kind) -> Reply<Value> {
    let public_key = request::key(&asking.public_key)?;
    let supports_v2 = asking.supports_v2.unwrap_or(false);
    let lifetime = i64::try_from(shared.config.pairing_lifetime.as_millis()).unwrap_or(i64::MAX);
    let standing = shared
        .store
        .write(move |write| pairing::request(write, kind, &public_key, supports_v2, lifetime))
        .await?;
    match standing {
        Standing::Absent | Standing::Waiting { .. } => Ok(Json(json!({ "state": "requested" }))),
        Standing::Answered { account, response } => {
            let token = shared.tokens.issue(&account, clock::now_ms() / 1_000);
            Ok(Json(json!({ "state": "authorized", "token": token, "response": response })))
        }
        Standing::Expired => Err(gone("This pairing request has expired: start again with a new one")),
        Standing::Used => Err(gone("This pairing request was used already: start again with a new one")),
        Standing::TooMany => Err(Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many pairing requests are waiting, try again in a minute",
        )),
    }
}

fn gone(error: &str) -> Refused {
    Refused::new(StatusCode::GONE, error)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Question {
    public_key: String,
}

/// Where a terminal's request stands. Only looks: the answer, and the token that comes with it, are for whoever asked by
/// `POST /v1/auth/request`; anybody who sees the QR code knows the key this takes.
pub(super) async fn status(
    State(shared): State<Arc<Shared>>,
    Parameters(question): Parameters<Question>,
) -> Reply<Value> {
    let Ok(public_key) = request::key(&question.public_key) else {
        return Ok(Json(json!({ "status": "not_found", "supportsV2": false })));
    };
    let standing =
        shared.store.write(move |write| pairing::status(write, Kind::Terminal, &public_key)).await?;
    Ok(Json(match standing {
        Standing::Waiting { supports_v2 } => json!({ "status": "pending", "supportsV2": supports_v2 }),
        Standing::Answered { .. } => json!({ "status": "authorized", "supportsV2": false }),
        Standing::Absent | Standing::Expired | Standing::Used | Standing::TooMany => {
            json!({ "status": "not_found", "supportsV2": false })
        }
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    public_key: String,
    response: String,
}

pub(super) async fn answer_terminal(
    shared: State<Arc<Shared>>,
    account: Account,
    body: Body<Answer>,
) -> Reply<Value> {
    answer(shared, account, body, Kind::Terminal).await
}

pub(super) async fn answer_account(
    shared: State<Arc<Shared>>,
    account: Account,
    body: Body<Answer>,
) -> Reply<Value> {
    answer(shared, account, body, Kind::Account).await
}

async fn answer(
    State(shared): State<Arc<Shared>>,
    Account(account): Account,
    Body(answer): Body<Answer>,
    kind: Kind,
) -> Reply<Value> {
    let public_key = request::key(&answer.public_key)?;
    if answer.response.is_empty() || answer.response.len() > ANSWER_MAX {
        return Err(Refused::bad(format!("the response must have 1 to {ANSWER_MAX} bytes")));
    }
    let standing = shared
        .store
        .write(move |write| pairing::answer(write, kind, &public_key, &account, &answer.response))
        .await?;
    match standing {
        Standing::Waiting { .. } => Ok(Json(json!({ "success": true }))),
        Standing::Absent | Standing::TooMany => Err(Refused::absent("Request not found")),
        Standing::Expired => Err(gone("This pairing request has expired")),
        Standing::Answered { .. } | Standing::Used => {
            Err(Refused::new(StatusCode::CONFLICT, "This pairing request was answered already"))
        }
    }
}
