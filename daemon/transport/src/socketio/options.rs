//! What a connection is opened with.

use std::time::Duration;

use crate::secret::Auth;
use crate::server::Server;

/// Every bound of a connection.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From the first step to the open namespace. A hung connect must not keep the next from beginning.
    pub connect: Duration,
    /// How long one batch may wait to be written, and sent bytes to be confirmed by the peer's kernel.
    pub send: Duration,
    /// How long a clean close may take.
    pub close: Duration,
    /// The largest packet, in bytes, either way. The servers that exist close the connection above 1,000,000.
    pub max_packet: usize,
    /// The bytes that may wait to be sent: four of the largest packets, or thousands of small ones. Beyond that the
    /// connection is not keeping up and the caller's own outbox is the better place.
    pub max_queued: usize,
    /// The events that may wait to be read; then reading stops.
    pub max_events: usize,
    /// The acknowledgements that may be awaited at once.
    pub max_pending: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            send: Duration::from_secs(20),
            close: Duration::from_secs(2),
            max_packet: 1_000_000,
            max_queued: 4_000_000,
            max_events: 256,
            max_pending: 4096,
        }
    }
}

/// What a connection is opened with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to, and by which way.
    pub server: Server,
    /// The path of the Socket.IO server, beginning and ending with a slash.
    pub path: String,
    /// What the namespace is opened with.
    pub auth: Auth,
    /// Who we say we are in the handshake's `User-Agent`.
    pub user_agent: String,
    /// The bounds.
    pub limits: Limits,
}

/// Options no connection can be opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadOptions {
    /// The path does not begin and end with a slash, or holds what no path holds.
    #[error("the Socket.IO path must begin and end with a slash and hold neither ? nor # nor blanks")]
    Path,
    /// A bound is nothing, or more than the queue can count.
    #[error("a bound of the connection is zero or beyond 256 MB")]
    Bound,
}

/// A bound beyond this is no bound.
const MOST: usize = 256 * 1024 * 1024;

impl Options {
    /// Options with the usual path (`/v1/updates/`) and limits.
    #[must_use]
    pub fn new(server: Server, auth: Auth) -> Self {
        Self {
            server,
            path: "/v1/updates/".into(),
            auth,
            user_agent: concat!("delight/", env!("CARGO_PKG_VERSION")).into(),
            limits: Limits::default(),
        }
    }

    pub(crate) fn check(&self) -> Result<(), BadOptions> {
        let path = &self.path;
        let slashes = path.starts_with('/') && path.ends_with('/');
        if !slashes || !path.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#')) {
            return Err(BadOptions::Path);
        }
        let Limits { max_packet, max_queued, max_events, max_pending, .. } = self.limits;
        let fits = |bound: usize| (1..=MOST).contains(&bound);
        let all = [max_packet, max_queued, max_events, max_pending].into_iter().all(fits);
        if all { Ok(()) } else { Err(BadOptions::Bound) }
    }
}
