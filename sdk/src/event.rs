//! What a phone hears without asking.

use std::time::Duration;

use delight_proto::sync::bounded::Id;
use delight_proto::sync::ephemeral::SessionEvent;
use tokio::sync::broadcast;

use crate::error::Error;
use crate::machines::Machine;
use crate::messages::Message;
use crate::sessions::Session;

/// Events a slow listener may be behind. Beyond that the oldest are gone for it, and it is told how many.
pub(crate) const BEHIND: usize = 4_096;

/// Something the phone heard.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PhoneEvent {
    /// The phone is connected: what follows is live.
    Connected,
    /// The phone is not connected. Presence is unknown from now on; it connects again by itself.
    Disconnected(Error),
    /// A machine is new or changed.
    Machine(Box<Machine>),
    /// A machine was removed from the account.
    MachineGone(Id),
    /// A session is new or changed.
    Session(Box<Session>),
    /// A session was deleted.
    SessionGone(Id),
    /// A message of a session that is followed: each once, in order.
    Message(Box<Message>),
    /// A session finished or needs somebody.
    Attention(SessionEvent),
    /// Something of a kind or shape nobody here knows was skipped: what it called itself.
    Skipped(String),
}

/// Events from now on. See [`crate::Phone::subscribe`].
#[derive(Debug)]
pub struct Subscription {
    pub(crate) events: broadcast::Receiver<PhoneEvent>,
}

/// Why there is no next event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoEvent {
    /// So many events were missed; the next call gives the oldest there is. Ask for the lists again.
    #[error("{0} events were missed")]
    Lagged(u64),
    /// The phone has shut down.
    #[error("the phone has shut down")]
    Ended,
    /// None came within the time.
    #[error("no event came in time")]
    TimedOut,
}

impl Subscription {
    /// The next event. Cancel safe.
    ///
    /// # Errors
    /// [`NoEvent::Lagged`] when this listener was too slow, [`NoEvent::Ended`] at the end.
    pub async fn next(&mut self) -> Result<PhoneEvent, NoEvent> {
        self.events.recv().await.map_err(|error| match error {
            broadcast::error::RecvError::Lagged(missed) => NoEvent::Lagged(missed),
            broadcast::error::RecvError::Closed => NoEvent::Ended,
        })
    }

    /// The next event, blocking this thread for at most `limit`. Not for a thread that runs async tasks.
    ///
    /// # Errors
    /// As [`Subscription::next`], and [`NoEvent::TimedOut`].
    pub fn wait(&mut self, limit: Duration) -> Result<PhoneEvent, NoEvent> {
        let clock = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .map_err(|_| NoEvent::Ended)?;
        clock.block_on(async {
            tokio::time::timeout(limit, self.next()).await.unwrap_or(Err(NoEvent::TimedOut))
        })
    }
}
