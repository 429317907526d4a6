//! What can go wrong with a request: what, why, what to do, whether to try again.

use std::error::Error as _;
use std::time::Duration;

use reqwest::StatusCode;

use crate::reconnect::Retry;

/// No client could be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct StartError(pub(super) reqwest::Error);

/// A request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// The path or a query is no path.
    #[error("the request cannot be written: {reason}")]
    BadRequest {
        /// Why.
        reason: String,
    },
    /// The server was not reached, or the connection broke. The request may have been carried out all the same
    /// unless it was never sent.
    #[error("the server cannot be reached: {reason}")]
    Network {
        /// Why, with every cause.
        reason: String,
        /// Whether the request can have reached the server.
        sent: bool,
    },
    /// It took too long. The request may have been carried out all the same.
    #[error("the server did not answer within {after:?}")]
    Timeout {
        /// The limit.
        after: Duration,
    },
    /// The server does not know our token (401).
    #[error("the server refuses our token: {message}; log in again")]
    Refused {
        /// The server's words.
        message: String,
    },
    /// The server answered with another status than success.
    #[error("the server answers {status}: {message}")]
    Status {
        /// The status.
        status: u16,
        /// The server's words.
        message: String,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// The server sends us elsewhere. We do not go: a token is for one server.
    #[error("the server redirects to {location}; set that as the server's address if it is right")]
    Redirect {
        /// Where to.
        location: String,
    },
    /// The answer is larger than we take.
    #[error("the server's answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The answer is not what the request promises.
    #[error("the server's answer has another shape: {reason}; is the address right?")]
    BadAnswer {
        /// Where it differs; never the answer itself.
        reason: String,
    },
}

impl HttpError {
    /// What it means for the next attempt.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Network { .. } | Self::Timeout { .. } => Retry::Later,
            Self::Refused { .. } => Retry::Login,
            Self::Status { retry_after: Some(wait), .. } => Retry::After(*wait),
            Self::Status { status: 408 | 425 | 429 | 500.., .. } => Retry::Later,
            Self::BadRequest { .. }
            | Self::Status { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::BadAnswer { .. } => Retry::Never,
        }
    }

    /// An error of reqwest's, without the URL and with every cause: "error sending request" helps nobody.
    pub(super) fn from_reqwest(error: reqwest::Error) -> Self {
        let sent = !error.is_connect();
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut cause = error.source();
        while let Some(next) = cause {
            reason = format!("{reason}: {next}");
            cause = next.source();
        }
        if error.is_builder() { Self::BadRequest { reason } } else { Self::Network { reason, sent } }
    }

    /// An answer that is no success.
    pub(super) fn from_status(status: StatusCode, message: String, retry_after: Option<Duration>) -> Self {
        match status {
            StatusCode::UNAUTHORIZED => Self::Refused { message },
            status => Self::Status { status: status.as_u16(), message, retry_after },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_says_whether_to_try_again() {
        let status = |status: u16, retry_after| {
            HttpError::from_status(StatusCode::from_u16(status).unwrap(), "why".into(), retry_after).retry()
        };
        let wait = Duration::from_secs(7);
        for (status, want) in [
            (status(401, None), Retry::Login),
            (status(403, None), Retry::Never),
            (status(404, None), Retry::Never),
            (status(408, None), Retry::Later),
            (status(429, Some(wait)), Retry::After(wait)),
            (status(429, None), Retry::Later),
            (status(500, None), Retry::Later),
            (status(503, Some(wait)), Retry::After(wait)),
        ] {
            assert_eq!(status, want);
        }
        assert_eq!(HttpError::TooLarge { limit: 1 }.retry(), Retry::Never);
        assert_eq!(HttpError::Timeout { after: wait }.retry(), Retry::Later);
    }
}
