//! Why a connection ended: told once, the same to everybody who asks.

use std::time::Duration;

use crate::reconnect::Retry;

/// The end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// We closed it, or nobody held it any longer.
    #[error("we closed the connection")]
    Here,
    /// The server said `error` before anything else and threw us out: it does not know our token.
    #[error("the server refuses us: {message}")]
    Refused {
        /// The server's words, bounded, without control characters.
        message: String,
    },
    /// The server left the namespace without giving a reason.
    #[error("the server disconnected us")]
    Disconnected,
    /// The server closed the WebSocket.
    #[error("the server closed the connection (code {code}{reason})")]
    ByServer {
        /// The WebSocket close code, 1005 when there was none.
        code: u16,
        /// Its words, bounded, without control characters, after `: ` when there are any.
        reason: String,
    },
    /// No ping came in time: the server is gone, or the way to it.
    #[error("the server has not pinged for {after:?}")]
    PingTimeout {
        /// The server's own interval and timeout together.
        after: Duration,
    },
    /// Something could not be written in time: the peer reads no longer.
    #[error("nothing could be sent for {after:?}")]
    SendTimeout {
        /// [`Limits::send`](super::Limits::send).
        after: Duration,
    },
    /// Events were not taken out of [`Events`](super::Events) for so long that the server must think us dead.
    #[error("events were not read for {after:?}")]
    Stalled {
        /// The server's own interval and timeout together.
        after: Duration,
    },
    /// The server sent a packet larger than we take.
    #[error("the server sent a packet of more than {limit} bytes")]
    TooLarge {
        /// [`Limits::max_packet`](super::Limits::max_packet).
        limit: usize,
    },
    /// The server sent what is no Socket.IO.
    #[error("the server sent {what}")]
    Protocol {
        /// What it was.
        what: String,
    },
    /// The connection broke.
    #[error("the connection broke: {reason}")]
    Lost {
        /// What the system said.
        reason: String,
    },
}

impl Closed {
    /// What it means for the next attempt.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Here => Retry::Never,
            Self::Refused { .. } => Retry::Login,
            _ => Retry::Later,
        }
    }
}

/// The longest of a server's texts that is kept.
const MAX_WORDS: usize = 200;

/// A server's words, fit for one line of a log: bounded, without control characters.
pub(crate) fn one_line(words: &str) -> String {
    words.chars().take(MAX_WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_words_stay_on_one_line() {
        assert_eq!(one_line("a\r\n\u{1b}[31mb"), "a   [31mb");
        assert_eq!(one_line(&"é".repeat(1000)).chars().count(), MAX_WORDS);
    }

    #[test]
    fn only_a_refusal_asks_for_a_login() {
        assert_eq!(Closed::Refused { message: "no".into() }.retry(), Retry::Login);
        assert_eq!(Closed::Disconnected.retry(), Retry::Later);
        assert_eq!(Closed::Here.retry(), Retry::Never);
    }
}
