//! The HTTP side: which route is answered by whom, and what all of them share.

mod absent;
mod access_keys;
mod account;
mod auth;
mod kv;
mod machines;
mod messages;
mod pairing;
mod push;
mod request;
mod sessions;

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{Method, StatusCode, header};
use axum::routing::{any, delete, get, post};
use axum::{Json, Router, middleware};
use serde_json::{Value, json};
use tower_http::cors::{Any, CorsLayer};

use crate::shared::Shared;
use crate::socket;
use request::{Refused, Reply};

/// All routes.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    // Asked without a token, so each address has its own small budget.
    let anonymous = Router::new()
        .route("/v1/auth", post(auth::log_in))
        .route("/v1/auth/challenge", post(auth::challenge))
        .route("/v1/auth/request", post(pairing::request_terminal))
        .route("/v1/auth/request/status", get(pairing::status))
        .route("/v1/auth/account/request", post(pairing::request_account))
        .route("/v1/version", post(absent::version))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), request::limit_address));
    // A socket proves itself once it is open. Not limited by address: after a cut, all of a household come back at once.
    let sockets =
        Router::new().route("/v1/updates", any(socket::connect)).route("/v1/updates/", any(socket::connect));
    let account = Router::new()
        .route("/v1/auth/response", post(pairing::answer_terminal))
        .route("/v1/auth/account/response", post(pairing::answer_account))
        .route("/v1/sessions", get(sessions::recent).post(sessions::create))
        .route("/v1/sessions/{session}", delete(sessions::delete))
        .route("/v1/sessions/{session}/archive", post(sessions::archive))
        .route("/v1/sessions/{session}/messages", get(messages::recent))
        .route("/v1/sessions/{session}/push-event", post(push::event))
        .route("/v2/sessions", get(sessions::page))
        .route("/v2/sessions/active", get(sessions::active))
        .route("/v3/sessions/{session}/messages", get(messages::page).post(messages::send))
        .route("/v1/machines", get(machines::list).post(machines::create))
        .route("/v1/machines/{machine}", get(machines::get).delete(machines::delete))
        .route(
            "/v1/access-keys/{session}/{machine}",
            get(access_keys::get).post(access_keys::create).put(access_keys::replace),
        )
        .route("/v1/kv", get(kv::list).post(kv::mutate))
        .route("/v1/kv/bulk", post(kv::bulk))
        .route("/v1/kv/{key}", get(kv::get))
        .route("/v1/account/profile", get(account::profile))
        .route("/v1/account/settings", get(account::settings).post(account::replace_settings))
        .route("/v1/push-tokens", get(push::tokens).post(push::register))
        .route("/v1/push-tokens/{token}", delete(push::forget))
        .route("/v1/artifacts", get(absent::artifacts))
        .route("/v1/feed", get(absent::feed))
        .route("/v1/friends", get(absent::friends))
        .route("/v1/connect/tokens", get(absent::connections));
    let limits = &shared.config.limits;
    anonymous
        .merge(sockets)
        .merge(account)
        .route("/", get(absent::banner))
        .route("/health", get(health))
        .fallback(absent::nothing)
        .method_not_allowed_fallback(absent::wrong_method)
        .layer(DefaultBodyLimit::max(limits.body))
        // Browsers carry no credentials of ours by themselves: a page without the token gets nothing, from wherever it is.
        .layer(CorsLayer::new().allow_origin(Any).allow_headers(Any).allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::DELETE,
        ]))
        .layer(middleware::from_fn(request::limit_time))
        .layer(middleware::map_response(private))
        .with_state(shared)
}

/// Nothing between here and the client may keep an answer.
async fn private(mut response: axum::response::Response) -> axum::response::Response {
    response
        .headers_mut()
        .entry(header::CACHE_CONTROL)
        .or_insert(header::HeaderValue::from_static("no-store"));
    response
}

/// Whether the relay can do its work: its database answers. For load balancers and `delightctl doctor`.
async fn health(State(shared): State<Arc<Shared>>) -> Reply<Value> {
    let sockets = shared.hub.sockets();
    shared
        .store
        .read(|db| Ok(db.query_row("SELECT count(*) FROM secret", [], |row| row.get::<_, i64>(0))?))
        .await
        .map_err(|_| Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"))?;
    Ok(Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION"), "sockets": sockets })))
}
