//! The sending side of a connection.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::acks::{AckError, Pending};
use super::closed::Closed;
use super::heard::Heard;
use super::outgoing::{Ended, Outbound, SendError};
use super::packet;
use super::payload::{Args, Payload};

/// Sends on one connection. Cheap to clone; usable from any task. When the last one is dropped the connection is
/// closed cleanly, after everything queued has been sent.
#[derive(Debug, Clone)]
pub struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    sid: String,
    outbound: Outbound,
    pending: Pending,
    ended: Ended,
    close: CancellationToken,
    heard: Heard,
    _close_on_drop: DropGuard,
}

impl Handle {
    pub(crate) fn new(
        sid: String,
        outbound: Outbound,
        pending: Pending,
        ended: Ended,
        close: CancellationToken,
        heard: Heard,
    ) -> Self {
        let guard = close.clone().drop_guard();
        Self(Arc::new(Shared { sid, outbound, pending, ended, close, heard, _close_on_drop: guard }))
    }

    /// The server's name for this connection.
    #[must_use]
    pub fn sid(&self) -> &str {
        &self.0.sid
    }

    /// For how long nothing at all has come from the server, its pings included, which come every 15 s with the servers
    /// there are. A way that is dead without a word is silent long before the connection is given up by itself.
    #[must_use]
    pub fn silence(&self) -> Duration {
        self.0.heard.silence()
    }

    /// The largest packet that can be sent, in bytes, the name of the event and a few signs included.
    #[must_use]
    pub fn max_packet(&self) -> usize {
        self.0.outbound.max_packet()
    }

    /// Queues an event. Ok means queued, not received: what must arrive is sent with an acknowledgement.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn emit(&self, name: &str, args: &Args) -> Result<(), SendError> {
        self.0.outbound.offer(packet::encode_event(None, name, args))
    }

    /// Sends an event and waits for the server's acknowledgement. Cancel safe in so far as a dropped call only
    /// forgets the acknowledgement; the event may have been sent.
    ///
    /// # Errors
    /// [`AckError`] tells what was not sent from what may have been done without our knowing.
    pub async fn emit_with_ack(
        &self,
        name: &str,
        args: &Args,
        timeout: Duration,
    ) -> Result<Payload, AckError> {
        let mut awaited = self.0.pending.expect()?;
        self.0.outbound.offer(packet::encode_event(Some(awaited.id), name, args))?;
        tokio::select! {
            biased;
            answer = &mut awaited.answer => match answer {
                Ok(payload) => Ok(payload),
                Err(_) => Err(AckError::Closed(self.0.ended.reason())),
            },
            closed = self.0.ended.wait() => Err(AckError::Closed(closed)),
            () = tokio::time::sleep(timeout) => Err(AckError::Timeout { after: timeout }),
        }
    }

    /// Closes: sends what is queued, leaves the namespace, closes the WebSocket. Returns when it is done, with the
    /// reason that counts (another end may have been first). It takes [`Limits::close`](super::Limits::close) at most,
    /// twice that when the peer was not reading already. Cancel safe: the close goes on.
    pub async fn close(&self) -> Closed {
        self.0.close.cancel();
        self.0.ended.wait().await
    }

    /// Waits for the end of the connection. Cancel safe.
    pub async fn closed(&self) -> Closed {
        self.0.ended.wait().await
    }

    /// Why the connection ended, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<Closed> {
        self.0.ended.now()
    }
}
