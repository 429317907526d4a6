//! The HTTP client of one server.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, LOCATION, RETRY_AFTER};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::body;
use super::failure::{HttpError, StartError};
use crate::secret::Token;
use crate::server::Server;
use crate::socketio::one_line;

pub use reqwest::Method;

/// An error's words beyond this are no words.
const MAX_ERROR_BODY: usize = 16 * 1024;
/// A server that wants to be left alone for longer is asked again all the same.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How requests are made.
#[derive(Debug, Clone)]
pub struct Options {
    /// From the first step of a request to the last byte of its answer.
    pub timeout: Duration,
    /// The largest answer, in bytes. 500 messages, each a full packet, would be more; such a page is asked for in
    /// smaller ones.
    pub max_answer: usize,
    /// Who we say we are.
    pub user_agent: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            max_answer: 16 * 1024 * 1024,
            user_agent: concat!("delight/", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}

/// Speaks HTTP with one server. Cheap to clone; all clones share connections and the token.
#[derive(Debug, Clone)]
pub struct Client {
    server: Server,
    http: reqwest::Client,
    options: Options,
    token: Arc<RwLock<Option<Token>>>,
}

/// A success.
#[derive(Clone)]
pub struct Answer {
    /// The status: 200 to 299.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Reads the body as JSON.
    ///
    /// # Errors
    /// [`HttpError::BadAnswer`] says where it differs, without showing it.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let (kind, line, column) = (error.classify(), error.line(), error.column());
            HttpError::BadAnswer { reason: format!("{kind:?} at line {line}, column {column}") }
        })
    }
}

impl std::fmt::Debug for Answer {
    /// Without the contents: they may be secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Answer({}, {} bytes)", self.status, self.body.len())
    }
}

impl Client {
    /// A client without a token.
    ///
    /// # Errors
    /// [`StartError`] when the HTTP library refuses its setting.
    pub fn new(server: Server, options: Options) -> Result<Self, StartError> {
        let mut builder = reqwest::Client::builder()
            // The proxy is ours to choose; a token must not follow a redirect; nothing is kept that is not used.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(options.timeout)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(30))
            .tcp_nodelay(true)
            // Always ours: without one reqwest looks for a process-wide provider and panics.
            .use_preconfigured_tls(rustls::ClientConfig::clone(server.tls()))
            .user_agent(&options.user_agent);
        if let Some(proxy) = server.proxy() {
            builder = builder.proxy(proxy.for_reqwest().map_err(StartError)?);
        }
        let http = builder.build().map_err(StartError)?;
        Ok(Self { server, http, options, token: Arc::default() })
    }

    /// A client with the same server and options, the token of now, and none of the connections: those may lie on a way
    /// that is dead without anybody having said so, where a request finds out by its timeout only.
    ///
    /// # Errors
    /// [`StartError`] when the HTTP library refuses its setting.
    pub fn anew(&self) -> Result<Self, StartError> {
        let made = Self::new(self.server.clone(), self.options.clone())?;
        made.set_token(self.token.read().unwrap_or_else(PoisonError::into_inner).clone());
        Ok(made)
    }

    /// The server.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Sets the token every later request carries; `None` after a refusal.
    pub fn set_token(&self, token: Option<Token>) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// GETs JSON.
    ///
    /// # Errors
    /// [`HttpError`]; [`HttpError::retry`] classifies it.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, HttpError> {
        self.request::<()>(Method::GET, path, query, None).await?.json()
    }

    /// POSTs JSON and reads JSON.
    ///
    /// # Errors
    /// [`HttpError`]; [`HttpError::retry`] classifies it.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync + ?Sized),
    ) -> Result<T, HttpError> {
        self.request(Method::POST, path, &[], Some(body)).await?.json()
    }

    /// Any request. `path` begins with a slash; `query` is escaped here. Dropping the future gives the request up,
    /// though the server may carry it out.
    ///
    /// # Errors
    /// [`HttpError`]; [`HttpError::retry`] classifies it.
    pub async fn request<B: Serialize + Sync + ?Sized>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&B>,
    ) -> Result<Answer, HttpError> {
        if !path.starts_with('/') {
            return Err(HttpError::BadRequest { reason: "the path does not begin with a slash".into() });
        }
        let url = self.server.endpoint().http_url(path);
        let mut request = self.http.request(method, url).header(ACCEPT, "application/json");
        if !query.is_empty() {
            request = request.query(query);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let token = self.token.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(header) = token.as_ref().and_then(Token::header) {
            request = request.header(AUTHORIZATION, header);
        }
        let late = |_| HttpError::Timeout { after: self.options.timeout };
        timeout(self.options.timeout, self.exchange(request)).await.map_err(late)?
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Answer, HttpError> {
        let response = request.send().await.map_err(HttpError::from_reqwest)?;
        let status = response.status();
        if status.is_success() {
            let body = body::read(response, self.options.max_answer).await?;
            return Ok(Answer { status: status.as_u16(), body });
        }
        if status.is_redirection() {
            return Err(HttpError::Redirect { location: words(response.headers(), LOCATION.as_str()) });
        }
        let retry_after = words(response.headers(), RETRY_AFTER.as_str()).parse().ok();
        let retry_after = retry_after.map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        // A long or broken error page says no more than its status.
        let page = body::read(response, MAX_ERROR_BODY).await.unwrap_or_default();
        Err(HttpError::from_status(status, reason(&page, status), retry_after))
    }
}

fn words(headers: &HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).map(one_line).unwrap_or_default()
}

/// The server's `{"error": text}`, else what the status is called: an HTML page is no reason.
fn reason(page: &[u8], status: reqwest::StatusCode) -> String {
    #[derive(serde::Deserialize)]
    struct Page {
        error: String,
    }
    match serde_json::from_slice::<Page>(page) {
        Ok(page) => one_line(&page.error),
        Err(_) => status.canonical_reason().unwrap_or("no reason given").to_owned(),
    }
}
