//! HTTP with one server: typed calls, a login that renews itself, and bounds on time and size.

use std::time::Duration;

use delight_crypto::SigningKey;
use delight_proto::sync::bounded::{KeyText, Token};
use delight_proto::sync::bounds;
use delight_proto::sync::http::{AskChallenge, Call, Failure, Login, Verb};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use crate::error::{Error, Kind};
use crate::fresh;
use crate::server::Server;

/// From the first step of a request to the last byte of its answer.
const REQUEST: Duration = Duration::from_secs(15);
/// An error's words beyond this are no words.
const FAILURE_BYTES: usize = 16 << 10;
/// How often a request that a rate limit turned away is made before the caller hears of it.
const PATIENCE: u32 = 5;
/// The first wait after a rate limit that names none; doubled each time.
const PAUSE: Duration = Duration::from_millis(200);
/// A server that wants to be left alone for longer is told to the caller instead.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The requests of one account to one server.
pub(crate) struct Http {
    server: Server,
    client: reqwest::Client,
    signing: SigningKey,
    /// The token, renewed by one at a time: its lock is held over a login so that a hundred requests that all meet a stale
    /// token log in once. Nobody calls back into us under it.
    token: Mutex<Option<Token>>,
}

impl Http {
    pub(crate) fn new(server: Server, signing: SigningKey) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .use_preconfigured_tls(server.rustls()?)
            .no_proxy()
            // A redirect would carry the token to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("delight-sdk/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| Error::new(Kind::System, "setting up HTTP", words(error)))?;
        Ok(Self { server, client, signing, token: Mutex::new(None) })
    }

    /// The token, logging in when there is none.
    pub(crate) async fn token(&self) -> Result<Token, Error> {
        let mut token = self.token.lock().await;
        if let Some(token) = token.as_ref() {
            return Ok(token.clone());
        }
        let fresh = self.log_in().await?;
        *token = Some(fresh.clone());
        Ok(fresh)
    }

    /// Forgets a token that was refused, unless another took its place meanwhile.
    pub(crate) async fn forget(&self, refused: &Token) {
        let mut token = self.token.lock().await;
        if token.as_ref() == Some(refused) {
            *token = None;
        }
    }

    /// Makes a call. A refused token is renewed once; a rate limit is waited for a few times.
    ///
    /// Not done twice by itself after anything else: whether a failed write may be repeated is the caller's to know.
    pub(crate) async fn call<C: Call>(&self, call: &C) -> Result<C::Answer, Error> {
        if !C::AUTHENTICATED {
            return read::<C>(self.send(call, None).await?);
        }
        let token = self.token().await?;
        let answer = self.send(call, Some(&token)).await?;
        if answer.0 != StatusCode::UNAUTHORIZED {
            return read::<C>(answer);
        }
        self.forget(&token).await;
        let token = self.token().await?;
        read::<C>(self.send(call, Some(&token)).await?)
    }

    /// Logs in with a challenge of the server's; where it has none to give, with one of our own.
    async fn log_in(&self) -> Result<Token, Error> {
        let key = |text: String| KeyText::new(text).map_err(|long| refused_login(&long.to_string()));
        let public_key = key(self.signing.public_base64())?;
        let asked = self.send(&AskChallenge { public_key: public_key.clone() }, None).await?;
        let login = if matches!(asked.0, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
            let bytes = fresh::bytes::<32>()?;
            let challenge = base64_of(&bytes);
            let signature = self.sign(&challenge)?;
            Login::Own { public_key, challenge: key(challenge)?, signature: key(signature)? }
        } else {
            let challenge = read::<AskChallenge>(asked)?;
            let signature = self.sign(&challenge.challenge)?;
            Login::Issued { public_key, challenge_id: challenge.challenge_id, signature: key(signature)? }
        };
        match read::<Login>(self.send(&login, None).await?) {
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

    async fn send<C: Call>(&self, call: &C, token: Option<&Token>) -> Result<(StatusCode, Vec<u8>), Error> {
        let mut pause = PAUSE;
        for attempt in 1.. {
            let (answer, wait) = timeout(REQUEST, self.send_once(call, token)).await.map_err(|_| {
                Error::new(Kind::TimedOut, "a request to the server", format!("no answer within {REQUEST:?}"))
                    .perhaps_done()
            })??;
            let wait = wait.unwrap_or(pause);
            if answer.0 != StatusCode::TOO_MANY_REQUESTS || attempt == PATIENCE || wait > LONGEST_PAUSE {
                return Ok(answer);
            }
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Err(Error::busy("a request to the server", 0))
    }

    async fn send_once<C: Call>(
        &self,
        call: &C,
        token: Option<&Token>,
    ) -> Result<((StatusCode, Vec<u8>), Option<Duration>), Error> {
        let url = self.server.url(&call.path())?;
        let mut request = match C::VERB {
            Verb::Get => self.client.get(url),
            Verb::Post => self.client.post(url).json(call),
            Verb::Delete => self.client.delete(url),
        };
        if let Some(token) = token {
            request = request.bearer_auth(token.expose().as_str());
        }
        let mut answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let wait = answer
            .headers()
            .get(reqwest::header::RETRY_AFTER)
            .and_then(|seconds| seconds.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let most = if status.is_success() { bounds::HTTP_ANSWER } else { FAILURE_BYTES };
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > most {
                let reason = format!("it has more than {most} bytes");
                return Err(Error::new(Kind::TooLarge, "the server's answer", reason));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(((status, body), wait))
    }
}

fn read<C: Call>((status, body): (StatusCode, Vec<u8>)) -> Result<C::Answer, Error> {
    if status.is_success() {
        return delight_proto::sync::read::bytes("the server's answer", &body, bounds::HTTP_ANSWER)
            .map_err(Error::of_peer);
    }
    let reason = serde_json::from_slice::<Failure>(&body)
        .map_or_else(|_| format!("status {}", status.as_u16()), |failure| failure.error.to_string());
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::LoginRefused,
        StatusCode::NOT_FOUND | StatusCode::GONE => Kind::NotFound,
        StatusCode::TOO_MANY_REQUESTS => Kind::Busy,
        StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
        status if status.is_server_error() => Kind::Unreachable,
        _ => Kind::ServerRefused,
    };
    Err(Error::new(kind, "a request to the server", reason))
}

fn refused_login(reason: &str) -> Error {
    Error::new(Kind::LoginRefused, "logging in", reason)
        .fix("check that the server takes this account, and that the account's dialect is the server's")
}

/// Nothing of the URL is repeated: a query may hold a key.
fn words(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut words = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    words
}

fn unreachable(error: reqwest::Error) -> Error {
    let before = error.is_connect() || error.is_builder();
    let failed = Error::new(Kind::Unreachable, "a request to the server", words(error))
        .fix("check the network and the server's URL");
    if before { failed } else { failed.perhaps_done() }
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
