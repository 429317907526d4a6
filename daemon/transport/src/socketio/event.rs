//! What the server sends: events, some of which want an answer, and at last the end.

use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use super::closed::Closed;
use super::outgoing::{Ended, Outbound, SendError};
use super::packet;
use super::payload::{Args, Payload};

/// An event of the server's.
#[derive(Debug)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub payload: Payload,
    /// How to answer, when the server wants an answer.
    pub ack: Option<AckSender>,
}

/// Answers one event of the server's, once. When it is dropped instead, the server's call times out.
#[derive(Debug)]
#[must_use = "the server waits for the answer"]
pub struct AckSender {
    id: u64,
    outbound: Outbound,
}

impl AckSender {
    pub(crate) fn new(id: u64, outbound: Outbound) -> Self {
        Self { id, outbound }
    }

    /// Answers. It waits for room in the queue: an answer is not lost because much is being sent. Ok means queued.
    /// Not cancel safe: when the future is dropped early the answer is not sent.
    ///
    /// # Errors
    /// [`SendError::TooLarge`], before anything was sent (see [`AckSender::limit`]), or [`SendError::Closed`].
    pub async fn send(self, args: &Args) -> Result<(), SendError> {
        self.outbound.put(packet::encode_ack(self.id, args)).await
    }

    /// The most bytes of JSON an answer may hold.
    #[must_use]
    pub fn limit(&self) -> usize {
        let frame = packet::encode_ack(self.id, &Args::none()).len();
        self.outbound.max_packet().saturating_sub(frame)
    }
}

/// The events of one connection, in the server's order. Dropping it closes the connection: nobody would listen.
///
/// Events that are not taken out stop the reading. Whoever takes them out must therefore not wait for an
/// acknowledgement between two of them: acknowledgements come the same way, behind the events.
#[derive(Debug)]
pub struct Events {
    pub(crate) queue: mpsc::Receiver<Event>,
    pub(crate) ended: Ended,
    pub(crate) _close: DropGuard,
}

impl Events {
    /// The next event. Cancel safe. Everything that came before the end is given before the end is told.
    ///
    /// # Errors
    /// The connection has ended; every later call says the same.
    pub async fn next(&mut self) -> Result<Event, Closed> {
        match self.queue.recv().await {
            Some(event) => Ok(event),
            None => Err(self.ended.wait().await),
        }
    }
}
