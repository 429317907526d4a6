//! Which server, and the way to it: one rule for HTTP and Socket.IO, the daemon's own (delight-transport).

use std::path::Path;

use delight_transport::server as way;

use crate::error::{Error, Kind};

/// A sync server, and whom to trust there: the system's certificates, and the owner's own besides. Proxies are those the
/// environment names. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Server {
    way: way::Server,
    #[cfg(feature = "rust-socketio")]
    ca: Option<std::sync::Arc<[u8]>>,
}

impl Server {
    /// The server of a base URL such as `https://sync.example.org` or `http://127.0.0.1:3005`.
    ///
    /// # Errors
    /// [`Kind::BadInput`]: no such URL, another scheme, a password in it; or a proxy variable that cannot be used.
    pub fn new(base: &str) -> Result<Self, Error> {
        Self::with(base, None)
    }

    /// The same, trusting the PEM certificates of a file besides the system's.
    ///
    /// # Errors
    /// [`Kind::BadInput`], also when there is none in it.
    pub fn trusting(base: &str, ca_file: &Path) -> Result<Self, Error> {
        Self::with(base, Some(ca_file))
    }

    fn with(base: &str, ca_file: Option<&Path>) -> Result<Self, Error> {
        let refused = |bad: way::BadServer| {
            Error::new(Kind::BadInput, "the server's URL", bad.to_string())
                .fix("give one like https://sync.example.org")
        };
        Ok(Self {
            way: way::Server::from_environment(base, ca_file).map_err(refused)?,
            #[cfg(feature = "rust-socketio")]
            ca: ca_file.map(read).transpose()?,
        })
    }

    /// Whether everything but sealed contents, the token included, is readable by whoever is in between.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.way.endpoint().is_secure()
    }

    pub(crate) fn way(&self) -> &way::Server {
        &self.way
    }
}

/// What the other client needs.
#[cfg(feature = "rust-socketio")]
impl Server {
    pub(crate) fn url(&self, path: &str) -> String {
        self.way.endpoint().http_url(path)
    }

    pub(crate) fn native_tls(&self) -> Result<native_tls::TlsConnector, Error> {
        let unusable = |error: native_tls::Error| {
            Error::new(Kind::BadInput, "setting up TLS", error.to_string()).fix("check the CA file")
        };
        let mut builder = native_tls::TlsConnector::builder();
        if let Some(pem) = &self.ca {
            builder.add_root_certificate(native_tls::Certificate::from_pem(pem).map_err(unusable)?);
        }
        builder.build().map_err(unusable)
    }
}

/// A file that was read once already, by the rule of the transport.
#[cfg(feature = "rust-socketio")]
fn read(path: &Path) -> Result<std::sync::Arc<[u8]>, Error> {
    std::fs::read(path)
        .map(Into::into)
        .map_err(|error| Error::new(Kind::BadInput, "reading a CA file", error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_scheme_and_a_host() {
        for good in ["http://127.0.0.1:3005", "http://sync.example.org/prefix/"] {
            assert!(Server::new(good).unwrap().is_plain(), "{good}");
        }
        for bad in ["", "sync.example.org", "ftp://a", "https://u:p@a", "https://a?x=1", "file:///etc"] {
            assert_eq!(Server::new(bad).unwrap_err().kind, Kind::BadInput, "{bad}");
        }
        let error = Server::trusting("https://a", Path::new("/no/such.pem")).unwrap_err();
        assert!(error.reason.contains("/no/such.pem"), "{error}");
    }
}
