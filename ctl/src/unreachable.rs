//! Why the daemon cannot be talked to, as refusals.

use std::path::Path;

use delight_proto::refusal::{Code, Refusal};

use crate::failure::Failure;

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoConnection {
    /// Nobody listens there: starting a daemon helps.
    NobodyThere(Refusal),
    /// Something else is wrong; starting a daemon would not help.
    Refused(Refusal),
}

/// The connection broke: whether the request was carried out is not known.
pub(crate) fn lost(reason: &str) -> Refusal {
    Refusal::new(Code::DaemonUnreachable, "the connection to the daemon was lost", reason)
        .fix("sessions go on without it; `delightctl list` shows what was done")
        .retry()
}

/// What the daemon sent is not what the protocol says.
pub(crate) fn garbled(reason: &str) -> Refusal {
    Refusal::new(Code::VersionSkew, "the daemon cannot be understood", reason)
        .fix("use a delightctl and a delightd of the same release, and restart the daemon (sessions go on)")
}

/// Nobody listens at the socket.
pub(crate) fn not_running(socket: &Path) -> Refusal {
    Refusal::new(
        Code::DaemonUnreachable,
        "no daemon is running",
        format!("nobody listens at {}", socket.display()),
    )
    .fix("delightctl up")
}

impl From<NoConnection> for Failure {
    fn from(none: NoConnection) -> Self {
        match none {
            NoConnection::NobodyThere(refusal) | NoConnection::Refused(refusal) => refusal.into(),
        }
    }
}
