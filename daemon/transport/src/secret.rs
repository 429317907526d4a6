//! What must reach the server and never a log: the bearer token and the auth object of a Socket.IO connection.

use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

/// The tokens of the servers that exist are under 1 KiB; a proxy in the way takes 8 KiB of headers.
const MAX_TOKEN: usize = 4096;

/// A token that cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// Nothing in it.
    #[error("the token is empty; log in again")]
    Empty,
    /// Longer than 4,096 bytes.
    #[error("the token is longer than {MAX_TOKEN} bytes; log in again")]
    TooLong,
    /// A character that may not stand in a header.
    #[error("the token holds a character that no header may hold; log in again")]
    Character,
}

/// A bearer token. It is never printed and it is wiped when dropped.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// Takes the token a login gave.
    ///
    /// # Errors
    /// [`BadToken`] when it could not be sent in a header.
    pub fn new(token: impl Into<String>) -> Result<Self, BadToken> {
        let token = SecretString::from(token.into());
        let text = token.expose_secret();
        if text.is_empty() {
            return Err(BadToken::Empty);
        }
        if text.len() > MAX_TOKEN {
            return Err(BadToken::TooLong);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadToken::Character);
        }
        Ok(Self(token))
    }

    /// The token itself, for the auth object of a connection. Never for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The header, marked so that nobody prints it.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut header = HeaderValue::from_str(&format!("Bearer {}", self.expose())).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// An auth object that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum BadAuth {
    /// It does not become JSON.
    #[error("the auth object cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// It is JSON, but not an object.
    #[error("the auth value is not a JSON object")]
    NotObject,
}

/// The auth object of a Socket.IO CONNECT, as JSON text. It is never printed and it is wiped when dropped.
#[derive(Clone)]
pub struct Auth(SecretString);

impl Auth {
    /// Takes anything that becomes a JSON object.
    ///
    /// # Errors
    /// [`BadAuth`] when it does not.
    pub fn new<T: Serialize + ?Sized>(object: &T) -> Result<Self, BadAuth> {
        let text = SecretString::from(serde_json::to_string(object)?);
        if !text.expose_secret().starts_with('{') {
            return Err(BadAuth::NotObject);
        }
        Ok(Self(text))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_print() {
        let token = Token::new("eyJhbGciOi.canary").unwrap();
        let auth = Auth::new(&serde_json::json!({"token": token.expose()})).unwrap();
        let header = token.header().unwrap();
        for said in [format!("{token:?}"), format!("{auth:?}"), format!("{header:?}")] {
            assert!(!said.contains("canary"), "{said}");
        }
        assert!(auth.expose().contains("canary"));
    }

    #[test]
    fn what_no_header_holds_is_refused() {
        assert_eq!(Token::new("").unwrap_err(), BadToken::Empty);
        assert_eq!(Token::new("a\r\nX-Evil: 1").unwrap_err(), BadToken::Character);
        assert_eq!(Token::new("x".repeat(5000)).unwrap_err(), BadToken::TooLong);
        assert!(matches!(Auth::new("text"), Err(BadAuth::NotObject)));
    }
}
