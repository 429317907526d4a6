//! What every route asks of a request, and how it says no.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::clock;
use crate::config::Config;
use crate::limit;
use crate::shared::Shared;
use crate::store::StoreError;

/// How long a request may take, from its head to its answer's.
const REQUEST: std::time::Duration = std::time::Duration::from_secs(60);
/// Longest id, tag, key or push token.
const NAME_MAX: usize = 512;

/// A "no" as this wire says it: a status and `{"error": text}`.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    error: String,
}

/// An answer or a refusal.
pub(crate) type Reply<T> = Result<Json<T>, Refused>;

impl Refused {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into() }
    }

    pub(crate) fn bad(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(crate) fn absent(error: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(crate) fn full(what: &str, max: u64) -> Self {
        let error = format!("the account has {max} {what}, as many as it may: delete some");
        Self::new(StatusCode::INSUFFICIENT_STORAGE, error)
    }
}

impl From<StoreError> for Refused {
    fn from(why: StoreError) -> Self {
        match why {
            StoreError::TooMuch => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the answer would be too large: ask for fewer, with limit",
            ),
            StoreError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, "the relay is shutting down"),
            why => {
                // The database's words stay here: they can name values.
                tracing::error!(%why, "a request failed in the database");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the database failed")
            }
        }
    }
}

impl From<crate::ids::NoRandomness> for Refused {
    fn from(why: crate::ids::NoRandomness) -> Self {
        StoreError::from(why).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(json!({ "error": self.error }))).into_response()
    }
}

/// The account whose token the request carries.
pub(crate) struct Account(pub(crate) String);

impl FromRequestParts<Arc<Shared>> for Account {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refused> {
        let account = bearer(&parts.headers)
            .and_then(|token| shared.tokens.account(token, clock::now_ms() / 1_000))
            .ok_or_else(|| Refused::new(StatusCode::UNAUTHORIZED, "Invalid authentication token"))?;
        if !shared.by_account.allows(account.clone(), Instant::now()) {
            return Err(too_fast());
        }
        Ok(Self(account))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn too_fast() -> Refused {
    Refused::new(StatusCode::TOO_MANY_REQUESTS, "too many requests, try again in a second")
}

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Refused> {
        // Not the extractor for JSON: clients of this wire do not all name the type of what they send.
        let bytes = axum::body::Bytes::from_request(request, shared).await.map_err(|why| {
            if why.status() == StatusCode::PAYLOAD_TOO_LARGE {
                Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large")
            } else {
                Refused::bad("the request's body could not be read")
            }
        })?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok(Self(value)),
            // Where, not what: the words of the parser can quote the body.
            Err(why) => Err(Refused::bad(format!(
                "the body is not what this route takes: line {}, column {}",
                why.line(),
                why.column()
            ))),
        }
    }
}

/// Parameters after the question mark.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Shared>> for Parameters<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Refused> {
        Query::from_request_parts(parts, shared)
            .await
            .map(|Query(value)| Self(value))
            .map_err(|_| Refused::bad("the query parameters are not what this route takes"))
    }
}

/// Gives a request, its body's arrival included, a bounded time. What it wrote until then stays written: sent again, it
/// finds that.
pub(crate) async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST, next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => Refused::new(StatusCode::REQUEST_TIMEOUT, "the request took too long").into_response(),
    }
}

/// Lets an address go on without a token only as often as it may.
pub(crate) async fn limit_address(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<SocketAddr>().map(SocketAddr::ip);
    if let Some(peer) = peer {
        let address = client_address(&shared.config, peer, request.headers());
        if !shared.by_address.allows(limit::neighbourhood(address), Instant::now()) {
            return too_fast().into_response();
        }
    }
    next.run(request).await
}

/// Who is asking. What a proxy says about it counts only if the proxy is one of ours, and then only its own last word.
pub(crate) fn client_address(config: &Config, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !config.trusted_proxies.contains(&peer) {
        return peer;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
    let last = forwarded.and_then(|value| value.to_str().ok()?.rsplit(',').next());
    last.and_then(|address| address.trim().parse().ok()).unwrap_or(peer)
}

/// A 32-byte key in base64.
pub(crate) fn key(text: &str) -> Result<[u8; 32], Refused> {
    let refused = || Refused::new(StatusCode::UNAUTHORIZED, "Invalid public key");
    if text.len() > 64 {
        return Err(refused());
    }
    STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(refused)
}

/// Checks the size of a sealed value.
pub(crate) fn fits(config: &Config, what: &str, value: &str) -> Result<(), Refused> {
    if value.len() <= config.limits.value {
        return Ok(());
    }
    let error = format!("the {what} is too large: at most {} bytes of base64", config.limits.value);
    Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, error))
}

/// Checks an id, tag or key.
pub(crate) fn name(what: &str, value: &str) -> Result<(), Refused> {
    if value.is_empty() || value.len() > NAME_MAX {
        return Err(Refused::bad(format!("the {what} must have 1 to {NAME_MAX} bytes")));
    }
    Ok(())
}

/// A number within bounds.
pub(crate) fn within(what: &str, value: Option<u32>, default: u32, max: u32) -> Result<u32, Refused> {
    match value.unwrap_or(default) {
        value if (1..=max).contains(&value) => Ok(value),
        _ => Err(Refused::bad(format!("{what} must be 1 to {max}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_proxies_may_say_who_asks() {
        let proxy: IpAddr = "10.0.0.1".parse().unwrap();
        let stranger: IpAddr = "10.0.0.2".parse().unwrap();
        let config = Config { trusted_proxies: vec![proxy], ..Config::default() };
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", "1.1.1.1, 2.2.2.2".parse().unwrap());
        assert_eq!(client_address(&config, stranger, &headers), stranger);
        let two: IpAddr = "2.2.2.2".parse().unwrap();
        assert_eq!(
            client_address(&config, proxy, &headers),
            two,
            "what the client wrote itself does not count"
        );
        headers.append("x-forwarded-for", "garbage".parse().unwrap());
        assert_eq!(client_address(&config, proxy, &headers), proxy);
    }
}
