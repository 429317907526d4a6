//! Where the server is: its base URL, checked once.

use std::net::IpAddr;

use url::{Host, Url};

/// No real base URL comes near this; a longer one is a mistake.
const MAX_URL: usize = 2048;

/// A base URL that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// Longer than 2,048 bytes.
    #[error("the server address is longer than {MAX_URL} bytes")]
    TooLong,
    /// Not a URL at all.
    #[error("the server address is not a URL ({0}); write it as https://host or http://host:port")]
    NotUrl(url::ParseError),
    /// Neither http nor https.
    #[error("the server address begins with {0}:; only https:// and http:// are spoken")]
    Scheme(String),
    /// A user name or a password stands in it. They would end in logs and titles.
    #[error(
        "the server address holds a user name or a password; take it out, the account logs in by its key"
    )]
    Credentials,
    /// A query or a fragment stands in it.
    #[error("the server address holds a ? or a #; it must end with the path")]
    Query,
    /// It has no host.
    #[error("the server address names no host")]
    NoHost,
}

/// The base URL of a server: `http` or `https`, host, port, and a path prefix without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    secure: bool,
    host: Host<String>,
    port: u16,
    prefix: String,
}

impl Endpoint {
    /// Reads a base URL.
    ///
    /// # Errors
    /// [`BadEndpoint`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, BadEndpoint> {
        if text.len() > MAX_URL {
            return Err(BadEndpoint::TooLong);
        }
        let url = Url::parse(text.trim()).map_err(BadEndpoint::NotUrl)?;
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(BadEndpoint::Scheme(other.to_owned())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadEndpoint::Credentials);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BadEndpoint::Query);
        }
        let host = url.host().ok_or(BadEndpoint::NoHost)?.to_owned();
        let port = url.port_or_known_default().ok_or(BadEndpoint::NoHost)?;
        Ok(Self { secure, host, port, prefix: url.path().trim_end_matches('/').to_owned() })
    }

    /// Whether it is reached by TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The host: a name or an address, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            Host::Domain(name) => name.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        }
    }

    /// The host as an address, when it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// The port, the scheme's own when none was written.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` as it stands in a request, IPv6 in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether the server is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Domain(name) => {
                let name = name.trim_end_matches('.');
                name == "localhost" || name.ends_with(".localhost")
            }
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        }
    }

    /// Whether a token sent there can be read on the way: no TLS, and not this machine.
    #[must_use]
    pub fn exposes_token(&self) -> bool {
        !self.secure && !self.is_loopback()
    }

    /// The HTTP URL of a path that begins with a slash.
    #[must_use]
    pub fn http_url(&self, path: &str) -> String {
        self.with_scheme(if self.secure { "https" } else { "http" }, path)
    }

    /// The WebSocket URL of a path that begins with a slash.
    #[must_use]
    pub fn websocket_url(&self, path: &str) -> String {
        self.with_scheme(if self.secure { "wss" } else { "ws" }, path)
    }

    fn with_scheme(&self, scheme: &str, path: &str) -> String {
        let default = if self.secure { 443 } else { 80 };
        let Self { host, port, prefix, .. } = self;
        if *port == default {
            format!("{scheme}://{host}{prefix}{path}")
        } else {
            format!("{scheme}://{host}:{port}{prefix}{path}")
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.http_url(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_gives_every_form_that_is_needed() {
        let plain = Endpoint::parse("http://127.0.0.1:3005/").unwrap();
        assert_eq!(plain.http_url("/v1/auth"), "http://127.0.0.1:3005/v1/auth");
        assert_eq!(plain.websocket_url("/v1/updates/"), "ws://127.0.0.1:3005/v1/updates/");
        assert!(plain.is_loopback() && !plain.exposes_token());

        let prefixed = Endpoint::parse("https://relay.example/happy//").unwrap();
        assert_eq!(prefixed.http_url("/v1/auth"), "https://relay.example/happy/v1/auth");
        assert_eq!(prefixed.authority(), "relay.example:443");
        assert!(!prefixed.exposes_token());

        let six = Endpoint::parse("http://[2001:db8::1]:8080").unwrap();
        assert_eq!(six.authority(), "[2001:db8::1]:8080");
        assert_eq!(six.host(), "2001:db8::1");
        assert!(six.exposes_token());
        assert_eq!(six.to_string(), "http://[2001:db8::1]:8080");
    }

    #[test]
    fn what_cannot_be_a_server_is_refused_by_its_reason() {
        for (text, want) in [
            ("ftp://host", BadEndpoint::Scheme("ftp".into())),
            ("https://user:secret@host", BadEndpoint::Credentials),
            ("https://host/?a=b", BadEndpoint::Query),
            ("https://host/#x", BadEndpoint::Query),
            ("host:3005", BadEndpoint::Scheme("host".into())),
        ] {
            assert_eq!(Endpoint::parse(text), Err(want), "{text}");
        }
        assert!(matches!(Endpoint::parse("relay.example"), Err(BadEndpoint::NotUrl(_))));
        assert_eq!(Endpoint::parse(&format!("https://{}", "a".repeat(3000))), Err(BadEndpoint::TooLong));
        let said = Endpoint::parse("https://user:secret@host").unwrap_err().to_string();
        assert!(!said.contains("secret"), "{said}");
    }
}
