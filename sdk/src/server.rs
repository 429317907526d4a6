//! Which server, and whom to trust there: one rule for HTTP and Socket.IO.
//!
//! The system's certificates, and the owner's own besides. Proxies are not used, by neither of the two: `rust_socketio`
//! cannot go through one, and half a connection through a proxy would help nobody.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use url::Url;

use crate::error::{Error, Kind};

/// A whole system's trust store is under 1 MiB.
const CA_BYTES: usize = 4 << 20;

/// A sync server.
#[derive(Clone)]
pub struct Server {
    base: Url,
    ca: Option<Arc<[u8]>>,
}

impl Server {
    /// The server of a base URL such as `https://sync.example.org` or `http://127.0.0.1:3005`.
    ///
    /// # Errors
    /// [`Kind::BadInput`]: no such URL, another scheme, a path, or a password in it.
    pub fn new(base: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| {
            Error::new(Kind::BadInput, "the server's URL", reason)
                .fix("give one like https://sync.example.org")
        };
        let base = Url::parse(base.trim()).map_err(|bad| refuse(&bad.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(refuse("it must begin with https:// or http:// and name a host"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refuse("it must hold no name or password: an account logs in with its key"));
        }
        if base.path() != "/" || base.query().is_some() || base.fragment().is_some() {
            return Err(refuse("it must end after the host and port"));
        }
        Ok(Self { base, ca: None })
    }

    /// The same, trusting these PEM certificates besides the system's.
    ///
    /// # Errors
    /// [`Kind::BadInput`] when there is none in it.
    pub fn trusting(mut self, pem: &[u8]) -> Result<Self, Error> {
        if pem.len() > CA_BYTES || certificates(pem)?.is_empty() {
            return Err(Error::new(
                Kind::BadInput,
                "a CA file",
                "it holds no PEM certificate, or is far too large",
            ));
        }
        self.ca = Some(pem.into());
        Ok(self)
    }

    /// Whether everything but sealed contents, the token included, is readable by whoever is in between.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    pub(crate) fn url(&self, path: &str) -> Result<Url, Error> {
        self.base.join(path).map_err(|bad| Error::new(Kind::BadInput, "a request's path", bad.to_string()))
    }

    pub(crate) fn rustls(&self) -> Result<rustls::ClientConfig, Error> {
        let mut roots = RootCertStore::empty();
        if !self.is_plain() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            for certificate in self.ca.as_deref().map(certificates).transpose()?.unwrap_or_default() {
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
            if roots.is_empty() {
                return Err(Error::new(
                    Kind::System,
                    "trusting a server",
                    "no certificate authority is known",
                )
                .fix("install ca-certificates, or name a CA file"));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&error))?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }

    pub(crate) fn native_tls(&self) -> Result<native_tls::TlsConnector, Error> {
        let mut builder = native_tls::TlsConnector::builder();
        for certificate in self.ca.as_deref().map(certificates).transpose()?.unwrap_or_default() {
            let certificate =
                native_tls::Certificate::from_der(&certificate).map_err(|error| unusable(&error))?;
            builder.add_root_certificate(certificate);
        }
        builder.build().map_err(|error| unusable(&error))
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.base)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| unusable(&error))
}

fn unusable(error: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::BadInput, "setting up TLS", error.to_string()).fix("check the CA file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_scheme_a_host_and_a_port() {
        for good in ["http://127.0.0.1:3005", " https://sync.example.org/ "] {
            assert!(Server::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "sync.example.org",
            "ftp://a",
            "https://a/b",
            "https://u:p@a",
            "https://a?x=1",
            "file:///etc",
        ] {
            assert_eq!(Server::new(bad).unwrap_err().kind, Kind::BadInput, "{bad}");
        }
        assert_eq!(Server::new("https://a").unwrap().trusting(b"no PEM").unwrap_err().kind, Kind::BadInput);
    }
}
