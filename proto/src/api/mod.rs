//! The control API: JSON-RPC 2.0, one message a line, over the daemon's Unix socket.
//!
//! A client may pipeline requests; answers come as they are ready, told apart by `id`. The first request must be
//! [`method::Hello`]. Notifications from the daemon belong to a subscription. Batches are not offered: pipelining
//! does the same with less.

pub mod envelope;
pub mod method;
#[cfg(feature = "schema")]
pub mod schema;

/// Version of the control API. It grows when something is added; what exists never changes meaning.
pub const PROTOCOL: u32 = 1;

/// Longest line either side sends, in bytes: a spawn with the largest command and environment, JSON-escaped.
pub const MAX_LINE: usize = 4 << 20;

/// Most output bytes one `session.output` answer carries, before base64.
pub const MAX_OUTPUT_BYTES: u32 = 512 << 10;

/// The longest wait of one `session.output`: below the 30 s in which servers give up a call from afar.
pub const MAX_OUTPUT_WAIT_MS: u32 = 25_000;

/// Requests of one connection that may be under way at once; further ones wait in the socket. It covers a client that
/// spawns as fast as it can, and bounds what one connection can make the daemon remember.
pub const MAX_IN_FLIGHT: usize = 1_024;
