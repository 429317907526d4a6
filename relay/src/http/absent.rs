//! What this relay does not do. Lists of it are empty, and nothing pretends to have been kept or done.

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::request::{Account, Refused};

/// Lets a person who opens the address see that it is the right one. Some clients look for the words.
pub(super) async fn banner() -> &'static str {
    "Welcome to Happy Server! (a delight relay)\n"
}

/// App versions are their stores' business.
pub(super) async fn version() -> Json<Value> {
    Json(json!({ "updateUrl": null }))
}

pub(super) async fn artifacts(_: Account) -> Json<Value> {
    Json(json!([]))
}

pub(super) async fn feed(_: Account) -> Json<Value> {
    Json(json!({ "items": [], "hasMore": false }))
}

pub(super) async fn friends(_: Account) -> Json<Value> {
    Json(json!({ "friends": [] }))
}

pub(super) async fn connections(_: Account) -> Json<Value> {
    Json(json!({ "tokens": [] }))
}

pub(super) async fn nothing() -> Refused {
    Refused::new(StatusCode::NOT_FOUND, "This relay has no such route")
}

pub(super) async fn wrong_method() -> Refused {
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, "This relay does not do that here")
}
