//! Logging in: a key proves itself by signing a challenge.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use serde::Deserialize;
use serde_json::{Value, json};

use super::request::{self, Body, Refused, Reply};
use crate::clock;
use crate::config::Registration;
use crate::shared::Shared;
use crate::store::account::{self, Login};

/// Bounds of a challenge chosen by a client. Shorter ones could be met by chance or be something else that was signed.
const CHALLENGE: std::ops::RangeInclusive<usize> = 16..=256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Proof {
    public_key: String,
    signature: String,
    /// One the client chose (Happy).
    challenge: Option<String>,
    /// One of ours.
    challenge_id: Option<String>,
}

pub(super) async fn log_in(State(shared): State<Arc<Shared>>, Body(proof): Body<Proof>) -> Reply<Value> {
    let invalid = || Refused::new(StatusCode::UNAUTHORIZED, "Invalid signature");
    let public_key = request::key(&proof.public_key)?;
    let signature: Signature = STANDARD
        .decode(proof.signature.get(..128).unwrap_or(&proof.signature))
        .ok()
        .and_then(|bytes| Signature::from_slice(&bytes).ok())
        .ok_or_else(invalid)?;
    let (challenge, own) = match (&proof.challenge_id, &proof.challenge) {
        (Some(id), _) => {
            let bytes = shared.challenges.redeem(id, &public_key, Instant::now());
            let expired = || Refused::new(StatusCode::UNAUTHORIZED, "Unknown, used or expired challenge");
            (bytes.ok_or_else(expired)?.to_vec(), true)
        }
        (None, Some(challenge)) if shared.config.client_challenge => {
            let bytes = STANDARD.decode(challenge).map_err(|_| invalid())?;
            if !CHALLENGE.contains(&bytes.len()) {
                return Err(invalid());
            }
            (bytes, false)
        }
        (None, Some(_)) => {
            let error = "This relay wants its own challenge signed: POST /v1/auth/challenge";
            return Err(Refused::new(StatusCode::FORBIDDEN, error));
        }
        (None, None) => return Err(Refused::bad("challenge or challengeId is required")),
    };
    VerifyingKey::from_bytes(&public_key)
        .and_then(|key| key.verify_strict(&challenge, &signature))
        .map_err(|_| invalid())?;
    let accounts_max = match shared.config.registration {
        Registration::Open => shared.config.limits.accounts,
        Registration::Closed => 0,
    };
    let login = shared
        .store
        .write(move |write| {
            account::log_in(write, &public_key, (!own).then_some(challenge.as_slice()), accounts_max)
        })
        .await?;
    match login {
        Login::Account(id) => {
            let token = shared.tokens.issue(&id, clock::now_ms() / 1_000);
            Ok(Json(json!({ "success": true, "token": token })))
        }
        Login::Closed => Err(Refused::new(StatusCode::FORBIDDEN, "This relay takes no new accounts")),
        Login::Replayed => Err(Refused::new(StatusCode::UNAUTHORIZED, "This challenge was used before")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asking {
    public_key: String,
}

pub(super) async fn challenge(State(shared): State<Arc<Shared>>, Body(asking): Body<Asking>) -> Reply<Value> {
    let public_key = request::key(&asking.public_key)?;
    match shared.challenges.issue(public_key, clock::now_ms(), Instant::now())? {
        Some((id, bytes)) => Ok(Json(json!({ "challengeId": id, "challenge": STANDARD.encode(bytes) }))),
        None => Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too many challenges are open, try again")),
    }
}
