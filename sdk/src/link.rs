//! One Socket.IO connection, by whichever client this is built with: our own ([`transport`]), or `rust_socketio`, an
//! independent one that tests the relay and the daemon from another side.
//!
//! Both offer the same: [`Link::open`], [`Link::turn`] to make calls one has the right to make, and [`Link::end`].

#[cfg(feature = "rust-socketio")]
mod rust_socketio;
#[cfg(not(feature = "rust-socketio"))]
mod transport;

use serde_json::Value;

use crate::error::Kind;

#[cfg(feature = "rust-socketio")]
pub(crate) use self::rust_socketio::{Link, Turn};
#[cfg(not(feature = "rust-socketio"))]
pub(crate) use self::transport::{Link, Turn};

/// An event of the server's.
pub(crate) struct Heard {
    pub(crate) name: String,
    pub(crate) args: Vec<Value>,
}

/// Why a connection is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Closed {
    /// One line.
    pub(crate) reason: String,
    /// The server said no: its token must be renewed.
    pub(crate) refused: bool,
}

/// Why a call was not answered.
#[derive(Debug)]
pub(crate) enum NotAnswered {
    /// It was not sent.
    NotSent(String),
    /// It was sent, and the connection ended or the time was over.
    Perhaps(String, Kind),
}
