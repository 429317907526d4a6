//! The server and the way to it, decided once: base URL, proxy, trust. HTTP and Socket.IO both start from here, so
//! they cannot differ.

use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::endpoint::{BadEndpoint, Endpoint};
use crate::proxy::{BadProxy, Proxy};
use crate::tls::{self, BadTrust};

/// The way to the server cannot be set up. Trying again changes nothing until the setting does.
#[derive(Debug, thiserror::Error)]
pub enum BadServer {
    /// The base URL.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// The proxy settings.
    #[error(transparent)]
    Proxy(#[from] BadProxy),
    /// The certificates.
    #[error(transparent)]
    Trust(#[from] BadTrust),
}

/// A server and the way to it. Cheap to clone.
#[derive(Clone)]
pub struct Server {
    endpoint: Endpoint,
    proxy: Option<Proxy>,
    tls: Arc<ClientConfig>,
}

impl Server {
    /// Reads a base URL and finds the way there by the process's environment; `ca_file` is trusted besides.
    ///
    /// # Errors
    /// [`BadServer`] when the URL, a proxy variable that applies, or a named certificate file cannot be used.
    pub fn from_environment(base_url: &str, ca_file: Option<&Path>) -> Result<Self, BadServer> {
        Self::new(base_url, ca_file, |name| std::env::var(name).ok())
    }

    /// The same with the environment as a parameter: `lookup` reads one variable.
    ///
    /// # Errors
    /// As [`Server::from_environment`].
    pub fn new(
        base_url: &str,
        ca_file: Option<&Path>,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, BadServer> {
        let endpoint = Endpoint::parse(base_url)?;
        let proxy = Proxy::choose(&endpoint, &lookup)?;
        // Reading a system's trust store takes milliseconds and memory: only where TLS is spoken at all.
        let secure = endpoint.is_secure() || proxy.as_ref().is_some_and(Proxy::is_secure);
        let tls = if secure { tls::configuration(ca_file, &lookup)? } else { tls::unused()? };
        Ok(Self { endpoint, proxy, tls })
    }

    /// Where it is.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The proxy on the way, if any.
    #[must_use]
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    pub(crate) fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }
}

impl std::fmt::Debug for Server {
    /// Without the trust store, which fills pages.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({}", self.endpoint)?;
        self.proxy.as_ref().map_or(Ok(()), |proxy| write!(f, " by {proxy}"))?;
        f.write_str(")")
    }
}
