//! HTTP to the server: a client, typed calls, and the login.

use std::path::PathBuf;

use delight_crypto::SigningKey;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::bounded::KeyText;
use delight_proto::sync::http::{AskChallenge, Call, Login, Verb};
use delight_transport::http::{Client, HttpError, Method, Options};
use delight_transport::reconnect::Retry;
use delight_transport::secret::Token;
use delight_transport::server::Server;
use tokio::task::spawn_blocking;

use super::fresh::bytes;

/// A client without a token. Reading the system's certificates takes a tenth of a second and is done beside the loop, only
/// where TLS is spoken.
///
/// # Errors
/// `bad-params`: the URL, a proxy variable or the CA file cannot be used.
pub(crate) async fn connect(url: &str, ca_file: Option<PathBuf>) -> Result<Client, Refusal> {
    let url = url.to_owned();
    let unusable = |reason: String| {
        Refusal::new(Code::BadParams, "the server cannot be used", reason)
            .fix("give its base URL, such as https://sync.example.org")
    };
    let made = spawn_blocking(move || {
        let server = Server::from_environment(&url, ca_file.as_deref()).map_err(|e| e.to_string())?;
        Client::new(server, Options::default()).map_err(|e| e.to_string())
    });
    made.await.map_err(|e| unusable(e.to_string()))?.map_err(unusable)
}

/// Makes one of the wire's typed calls.
///
/// # Errors
/// [`HttpError`]; its `retry` says what it means for the next attempt.
pub(crate) async fn call<C: Call + Sync>(client: &Client, call: &C) -> Result<C::Answer, HttpError> {
    let (method, body) = match C::VERB {
        Verb::Get => (Method::GET, None),
        Verb::Post => (Method::POST, Some(call)),
        Verb::Delete => (Method::DELETE, None),
    };
    client.request(method, &call.path(), &[], body).await?.json()
}

/// Logs in with the account's key: a challenge of the server's, or one of our own where it has none to give (Happy). An
/// account the server does not know is made by that.
///
/// # Errors
/// [`HttpError`].
pub(crate) async fn login(client: &Client, key: &SigningKey) -> Result<Token, HttpError> {
    let bad = |reason: &str| HttpError::BadAnswer { reason: reason.to_owned() };
    let text = |text: String| KeyText::new(text).map_err(|e| bad(&e.to_string()));
    let sign = |challenge: &str| {
        key.sign_base64(challenge).ok_or_else(|| bad("its challenge is none")).and_then(text)
    };
    let public_key = text(key.public_base64())?;
    let login = match call(client, &AskChallenge { public_key: public_key.clone() }).await {
        Ok(asked) => {
            let signature = sign(&asked.challenge)?;
            Login::Issued { public_key, challenge_id: asked.challenge_id, signature }
        }
        Err(HttpError::Status { status: 404 | 405, .. }) => {
            let bytes = bytes::<32>().map_err(|e| HttpError::BadRequest { reason: e.to_string() })?;
            // Spelled by a type of the same size.
            let challenge = text(delight_crypto::PairingPublic::from_bytes(bytes).to_base64())?;
            let signature = sign(&challenge)?;
            Login::Own { public_key, challenge, signature }
        }
        Err(error) => return Err(error),
    };
    let token = call(client, &login).await?.token;
    Token::new(token.expose().as_str()).map_err(|e| bad(&e.to_string()))
}

/// A failed request as a refusal.
pub(super) fn refusal(what: &str, error: &HttpError) -> Refusal {
    let (code, fix) = match error {
        HttpError::Network { .. } => {
            (Code::Internal, "check the network and the server's URL, and try again")
        }
        HttpError::Timeout { .. } => (Code::Timeout, "check the network, and try again"),
        HttpError::Refused { .. } => (Code::Forbidden, "pair again: delightctl unpair, delightctl pair"),
        HttpError::Status { status: 429, .. } => (Code::Busy, "wait a moment, and try again"),
        HttpError::Status { status: 410, .. } => (Code::Timeout, "begin again"),
        HttpError::Status { status: 500.., .. } => (Code::Internal, "try again later"),
        HttpError::Status { .. } | HttpError::BadAnswer { .. } | HttpError::TooLarge { .. } => {
            (Code::BadParams, "check that the URL is a sync server's")
        }
        HttpError::Redirect { .. } => (Code::BadParams, "use that address if it is right"),
        HttpError::BadRequest { .. } => (Code::Internal, ""),
    };
    let refusal = Refusal::new(code, what, error.to_string()).fix(fix);
    match error.retry() {
        Retry::Later | Retry::After(_) => refusal.retry(),
        _ => refusal,
    }
}
