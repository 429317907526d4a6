//! A Socket.IO 5 / Engine.IO 4 client: WebSocket only, namespace `/`, one connection, no reconnect of its own.
//!
//! [`connect`] gives a [`Handle`] to send with and [`Events`] to read from. Acknowledgements go both ways. Nothing
//! grows without bound: what does not fit is answered [`SendError::Full`], what is not read in time stops the reading,
//! and every wait has a limit in [`Limits`].

mod acks;
mod attachments;
mod closed;
mod connection;
pub mod engine;
mod event;
mod handle;
mod handshake;
mod heard;
mod options;
mod outgoing;
pub mod packet;
mod payload;
#[cfg(test)]
mod timing;

pub use acks::AckError;
pub use closed::Closed;
pub(crate) use closed::one_line;
pub use event::{AckSender, Event, Events};
pub use handle::Handle;
pub use handshake::{ConnectError, Stage, connect};
pub use options::{BadOptions, Limits, Options};
pub use outgoing::SendError;
pub use payload::{Args, BadArgs, Payload};
