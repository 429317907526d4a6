//! Which proxy leads to the server, if any: one rule for HTTP and WebSockets.
//!
//! `https_proxy` serves https servers, `http_proxy` http ones, `all_proxy` both; each name in lower case first, then
//! in upper case; an empty value counts as unset. `no_proxy` and this machine itself are reached directly.

mod no_proxy;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::endpoint::Endpoint;

/// A proxy setting that cannot be used. The value itself is never shown: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadProxy {
    /// Not a URL.
    #[error("{variable} is not a URL; write it as http://host:port")]
    NotUrl {
        /// The variable.
        variable: String,
    },
    /// A kind of proxy that is not spoken.
    #[error(
        "{variable} names a {scheme} proxy; only http:// and https:// proxies are spoken (or list the server in NO_PROXY)"
    )]
    Scheme {
        /// The variable.
        variable: String,
        /// Its scheme.
        scheme: String,
    },
}

/// A proxy: where it is, and what it wants to hear.
#[derive(Clone)]
pub struct Proxy {
    secure: bool,
    host: String,
    port: u16,
    login: Option<(String, SecretString)>,
}

impl Proxy {
    /// The proxy for a server by the environment; `lookup` reads one variable.
    ///
    /// # Errors
    /// [`BadProxy`] when the variable that applies cannot be used: going around a proxy that was asked for would be a
    /// surprise.
    pub fn choose(
        server: &Endpoint,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, BadProxy> {
        let read = |name: &str| {
            [name.to_owned(), name.to_ascii_uppercase()].into_iter().find_map(|name| {
                let value = lookup(&name)?.trim().to_owned();
                (!value.is_empty()).then_some((name, value))
            })
        };
        let by_scheme = if server.is_secure() { "https_proxy" } else { "http_proxy" };
        let Some((variable, value)) = read(by_scheme).or_else(|| read("all_proxy")) else {
            return Ok(None);
        };
        if server.is_loopback() || read("no_proxy").is_some_and(|(_, list)| no_proxy::lists(&list, server)) {
            return Ok(None);
        }
        Self::parse(&variable, &value).map(Some)
    }

    fn parse(variable: &str, value: &str) -> Result<Self, BadProxy> {
        let not_url = || BadProxy::NotUrl { variable: variable.to_owned() };
        let full = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
        let url = Url::parse(&full).map_err(|_| not_url())?;
        let secure = match url.scheme() {
            "http" => false,
            "https" => true,
            other => {
                return Err(BadProxy::Scheme { variable: variable.to_owned(), scheme: other.to_owned() });
            }
        };
        let host = url.host_str().ok_or_else(not_url)?.trim_matches(['[', ']']).to_owned();
        let port = url.port_or_known_default().ok_or_else(not_url)?;
        let login = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let password = url.password().unwrap_or_default();
            (percent_decoded(url.username()), SecretString::from(percent_decoded(password)))
        });
        Ok(Self { secure, host, port, login })
    }

    /// Whether the proxy itself is reached by TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Its host, IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `Proxy-Authorization`. Never for a log.
    pub(crate) fn authorization(&self) -> Option<String> {
        let (user, password) = self.login.as_ref()?;
        Some(format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose_secret()))))
    }

    /// The same proxy for reqwest.
    pub(crate) fn for_reqwest(&self) -> reqwest::Result<reqwest::Proxy> {
        let proxy = reqwest::Proxy::all(self.to_string())?;
        Ok(match &self.login {
            Some((user, password)) => proxy.basic_auth(user, password.expose_secret()),
            None => proxy,
        })
    }
}

impl std::fmt::Display for Proxy {
    /// Without the login.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// `%40` and the like in a user name or a password. What is no escape stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escape.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                decoded.push(value);
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(server: &str, variables: &[(&str, &str)]) -> Result<Option<String>, BadProxy> {
        let lookup =
            |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Ok(Proxy::choose(&Endpoint::parse(server).unwrap(), lookup)?.map(|proxy| proxy.to_string()))
    }

    #[test]
    fn the_scheme_chooses_the_variable_and_lower_case_comes_first() {
        let all = [
            ("HTTP_PROXY", "http://up:1"),
            ("http_proxy", "http://low:2"),
            ("HTTPS_PROXY", "http://tls:3"),
            ("ALL_PROXY", "http://all:4"),
        ];
        assert_eq!(choose("http://a.example", &all), Ok(Some("http://low:2".into())));
        assert_eq!(choose("https://a.example", &all), Ok(Some("http://tls:3".into())));
        assert_eq!(choose("https://a.example", &all[..2]), Ok(None));
        assert_eq!(choose("http://a.example", &all[3..]), Ok(Some("http://all:4".into())));
        assert_eq!(
            choose("http://a.example", &[("http_proxy", " "), ("HTTP_PROXY", "bare:8")]),
            Ok(Some("http://bare:8".into()))
        );
    }

    #[test]
    fn this_machine_and_the_listed_are_reached_directly() {
        let listed = [("all_proxy", "http://p:1"), ("NO_PROXY", "a.example,10.0.0.0/8")];
        for (server, direct) in [
            ("http://127.0.0.1:3005", true),
            ("http://[::1]:3005", true),
            ("https://localhost", true),
            ("https://x.a.example", true),
            ("http://10.1.2.3", true),
            ("https://b.example", false),
        ] {
            assert_eq!(choose(server, &listed).unwrap().is_none(), direct, "{server}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_refused_without_showing_it() {
        let socks = choose("https://a.example", &[("ALL_PROXY", "socks5://u:canary@p:1080")]).unwrap_err();
        assert!(matches!(socks, BadProxy::Scheme { .. }));
        let broken = choose("https://a.example", &[("https_proxy", "http://u:canary@")]).unwrap_err();
        for said in [socks.to_string(), broken.to_string()] {
            assert!(!said.contains("canary") && said.to_ascii_lowercase().contains("_proxy"), "{said}");
        }
        // One that does not apply does no harm.
        assert_eq!(choose("http://127.0.0.1:1", &[("ALL_PROXY", "socks5://p")]), Ok(None));
    }

    #[test]
    fn the_login_is_decoded_for_the_header_and_hidden_everywhere_else() {
        let proxy = Proxy::parse("https_proxy", "http://us%40er:p%3Aw%zz@proxy.example:3128").unwrap();
        assert_eq!(proxy.authorization().unwrap(), format!("Basic {}", STANDARD.encode("us@er:p:w%zz")));
        assert_eq!(
            format!("{proxy:?} {proxy}"),
            "Proxy(http://proxy.example:3128) http://proxy.example:3128"
        );
        let six = Proxy::parse("https_proxy", "https://[2001:db8::2]").unwrap();
        assert_eq!((six.host(), six.port(), six.is_secure()), ("2001:db8::2", 443, true));
        assert_eq!(six.to_string(), "https://[2001:db8::2]:443");
    }
}
