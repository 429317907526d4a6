//! HTTP with one server: typed calls, a login that renews itself, and bounds on time and size.

use std::time::Duration;

use delight_crypto::SigningKey;
use delight_proto::sync::bounded::{KeyText, Token};
use delight_proto::sync::bounds;
use delight_proto::sync::http::{AskChallenge, Call, Login, Verb};
use delight_transport::http::{self as wire, HttpError, Method};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::error::{Error, Kind};
use crate::fresh;
use crate::server::Server;

/// From the first step of a request to the last byte of its answer.
const REQUEST: Duration = Duration::from_secs(15);
/// Who we say we are.
pub(crate) const USER_AGENT: &str = concat!("delight-sdk/", env!("CARGO_PKG_VERSION"));
/// How often a request that a rate limit turned away is made before the caller hears of it.
const PATIENCE: u32 = 5;
/// The first wait after a rate limit that names none; doubled each time.
const PAUSE: Duration = Duration::from_millis(200);
/// A server that wants to be left alone for longer is told to the caller instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The requests of one account to one server.
pub(crate) struct Http {
    /// Carries the token, for the calls that want one.
    client: wire::Client,
    signing: SigningKey,
    /// The token, renewed by one at a time: its lock is held over a login so that a hundred requests that all meet a stale
    /// token log in once. Nobody calls back into us under it.
    token: Mutex<Option<Token>>,
}

impl Http {
    pub(crate) fn new(server: &Server, signing: SigningKey) -> Result<Self, Error> {
        let options = wire::Options {
            timeout: REQUEST,
            max_answer: bounds::HTTP_ANSWER,
            user_agent: USER_AGENT.into(),
        };
        let client = wire::Client::new(server.way().clone(), options)
            .map_err(|error| Error::new(Kind::System, "setting up HTTP", error.to_string()))?;
        Ok(Self { client, signing, token: Mutex::new(None) })
    }

    /// The token, logging in when there is none.
    pub(crate) async fn token(&self) -> Result<Token, Error> {
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref() {
            return Ok(token.clone());
        }
        let fresh = self.log_in().await?;
        let carried = delight_transport::secret::Token::new(fresh.expose().as_str())
            .map_err(|bad| refused_login(&bad.to_string()))?;
        self.client.set_token(Some(carried));
        *token = Some(fresh.clone());
        Ok(fresh)
    }

    /// Forgets a token that was refused, unless another took its place meanwhile.
    pub(crate) async fn forget(&self, refused: &Token) {
        let mut token = self.token.lock().await;
        if token.as_ref() == Some(refused) {
            self.client.set_token(None);
            *token = None;
        }
    }

    /// Makes a call. A refused token is renewed once; a rate limit is waited for a few times.
    ///
    /// Not done twice by itself after anything else: whether a failed write may be repeated is the caller's to know.
    pub(crate) async fn call<C: Call + Sync>(&self, call: &C) -> Result<C::Answer, Error> {
        if !C::AUTHENTICATED {
            return self.send(call).await.map_err(failed)?;
        }
        let token = self.token().await?;
        match self.send(call).await {
            Err(HttpError::Refused { .. }) => {
                self.forget(&token).await;
                self.token().await?;
                self.send(call).await.map_err(failed)
            }
            answer => answer.map_err(failed),
        }?
    }

    /// Logs in with a challenge of the server's; where it has none to give, with one of our own.
    async fn log_in(&self) -> Result<Token, Error> {
        let key = |text: String| KeyText::new(text).map_err(|long| refused_login(&long.to_string()));
        let public_key = key(self.signing.public_base64())?;
        let login = match self.send(&AskChallenge { public_key: public_key.clone() }).await {
            Err(HttpError::Status { status: 404 | 405, .. }) => {
                let bytes = fresh::bytes::<32>()?;
                let challenge = base64_of(&bytes);
                let signature = self.sign(&challenge)?;
                Login::Own { public_key, challenge: key(challenge)?, signature: key(signature)? }
            }
            asked => {
                let challenge = asked.map_err(failed)??;
                let signature = self.sign(&challenge.challenge)?;
                Login::Issued { public_key, challenge_id: challenge.challenge_id, signature: key(signature)? }
            }
        };
        match self.send(&login).await.map_err(failed).flatten() {
            Ok(done) => Ok(done.token),
            Err(error) if error.kind == Kind::ServerRefused || error.kind == Kind::LoginRefused => {
                Err(refused_login(&error.reason))
            }
            Err(error) => Err(error),
        }
    }

    fn sign(&self, challenge: &str) -> Result<String, Error> {
        self.signing.sign_base64(challenge).ok_or_else(|| refused_login("the server's challenge is none"))
    }

    /// An answer that came; whether it has the right shape is the inner result.
    async fn send<C: Call + Sync>(&self, call: &C) -> Result<Result<C::Answer, Error>, HttpError> {
        let (method, body) = match C::VERB {
            Verb::Get => (Method::GET, None),
            Verb::Post => (Method::POST, Some(call)),
            Verb::Delete => (Method::DELETE, None),
        };
        let mut pause = PAUSE;
        let mut attempt = 1;
        loop {
            match self.client.request(method.clone(), &call.path(), &[], body).await {
                Err(HttpError::Status { status: 429, retry_after, .. })
                    if attempt < PATIENCE && retry_after.unwrap_or(pause) <= LONGEST_PAUSE =>
                {
                    sleep(retry_after.unwrap_or(pause)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    attempt += 1;
                }
                answer => return answer.map(|answer| read::<C>(&answer.body)),
            }
        }
    }
}

fn read<C: Call>(body: &[u8]) -> Result<C::Answer, Error> {
    delight_proto::sync::read::bytes("the server's answer", body, bounds::HTTP_ANSWER).map_err(Error::of_peer)
}

/// A request's failure in the phone's words. Nothing of the URL is repeated: a query may hold a key.
fn failed(error: HttpError) -> Error {
    let what = "a request to the server";
    match error {
        HttpError::Network { reason, sent } => {
            let failed =
                Error::new(Kind::Unreachable, what, reason).fix("check the network and the server's URL");
            if sent { failed.perhaps_done() } else { failed }
        }
        HttpError::Timeout { after } => {
            Error::new(Kind::TimedOut, what, format!("no answer within {after:?}")).perhaps_done()
        }
        HttpError::Refused { message } => Error::new(Kind::LoginRefused, what, message),
        HttpError::Status { status, message, .. } => Error::new(kind_of(status), what, message),
        HttpError::TooLarge { .. } => Error::new(Kind::TooLarge, what, error.to_string()),
        HttpError::BadAnswer { .. } => Error::new(Kind::BadAnswer, what, error.to_string()),
        HttpError::BadRequest { .. } => Error::new(Kind::BadInput, what, error.to_string()),
        HttpError::Redirect { .. } => Error::new(Kind::ServerRefused, what, error.to_string()),
    }
}

fn kind_of(status: u16) -> Kind {
    match status {
        401 | 403 => Kind::LoginRefused,
        404 | 410 => Kind::NotFound,
        413 => Kind::TooLarge,
        429 => Kind::Busy,
        500.. => Kind::Unreachable,
        _ => Kind::ServerRefused,
    }
}

fn refused_login(reason: &str) -> Error {
    Error::new(Kind::LoginRefused, "logging in", reason)
        .fix("check that the server takes this account, and that the account's dialect is the server's")
}

/// Padded standard base64 of 32 bytes.
fn base64_of(bytes: &[u8; 32]) -> String {
    // The crypto crate spells keys; a challenge has a key's size.
    delight_crypto::PairingPublic::from_bytes(*bytes).to_base64()
}

/// A value as JSON for the socket.
pub(crate) fn json<T: serde::Serialize>(value: &T) -> Result<Value, Error> {
    serde_json::to_value(value)
        .map_err(|error| Error::new(Kind::BadInput, "a value of ours", error.to_string()))
}
