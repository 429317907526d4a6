//! How a machine's daemon is.

use crate::sync::bounded::Name;
use crate::sync::open::open_object;

open_object! {
    /// A machine's daemon state. A clean shutdown says so here before the connection closes.
    pub struct DaemonState {
        /// `running`, `shutting-down` or `offline`.
        status: Name = "status",
        /// Process id.
        pid: u64 = "pid",
        /// Happy's control port. We have none.
        http_port: u64 = "httpPort",
        /// When the daemon started, Unix milliseconds.
        started_at: u64 = "startedAt",
        /// When it was told to stop, Unix milliseconds.
        shutdown_requested_at: u64 = "shutdownRequestedAt",
        /// By whom: `happy-app`, `happy-cli`, `os-signal`, …
        shutdown_source: Name = "shutdownSource",
    }
}
