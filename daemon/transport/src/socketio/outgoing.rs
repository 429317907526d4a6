//! The queue of what waits to be sent. It is bounded in bytes, not in messages: a small keepalive and a packet of a
//! megabyte are not the same burden.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::closed::Closed;

/// What a message costs beside its bytes, so that empty ones are bounded too.
const OVERHEAD: usize = 64;

/// A message was not taken. None of it was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits already; the same may succeed when some of it has been sent.
    #[error("{limit} bytes wait to be sent already")]
    Full {
        /// [`Limits::max_queued`](super::Limits::max_queued).
        limit: usize,
    },
    /// The packet would make the server close the connection.
    #[error("a packet of {size} bytes is larger than the server takes ({limit})")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The smaller of the server's limit and our own.
        limit: usize,
    },
    /// The connection has ended.
    #[error(transparent)]
    Closed(#[from] Closed),
}

/// A message that waits. Its room in the queue is free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) text: String,
    pub(crate) room: OwnedSemaphorePermit,
}

pub(crate) type Queue = mpsc::UnboundedReceiver<Outgoing>;

/// The way into the queue.
#[derive(Debug, Clone)]
pub(crate) struct Outbound {
    queue: mpsc::UnboundedSender<Outgoing>,
    // Every message in `queue` holds its bytes of this: that is what bounds it.
    room: Arc<Semaphore>,
    most: usize,
    max_packet: usize,
    ended: Ended,
}

impl Outbound {
    pub(crate) fn new(most: usize, max_packet: usize, ended: Ended) -> (Self, Queue) {
        let (queue, waiting) = mpsc::unbounded_channel();
        (Self { queue, room: Arc::new(Semaphore::new(most)), most, max_packet, ended }, waiting)
    }

    pub(crate) fn max_packet(&self) -> usize {
        self.max_packet
    }

    /// Takes a message or says why not, at once.
    pub(crate) fn offer(&self, text: String) -> Result<(), SendError> {
        let cost = self.cost(&text)?;
        match Arc::clone(&self.room).try_acquire_many_owned(cost) {
            Ok(room) => self.push(text, room),
            Err(_) => Err(self.ended.now().map_or(SendError::Full { limit: self.most }, SendError::Closed)),
        }
    }

    /// Takes a message as soon as there is room. Cancel safe: what was not taken is not sent. It never waits for
    /// ever: a queue that does not move ends the connection within the send limit.
    pub(crate) async fn put(&self, text: String) -> Result<(), SendError> {
        let cost = self.cost(&text)?;
        tokio::select! {
            biased;
            closed = self.ended.wait() => Err(closed.into()),
            room = Arc::clone(&self.room).acquire_many_owned(cost) => match room {
                Ok(room) => self.push(text, room),
                Err(_) => Err(self.ended.reason().into()),
            },
        }
    }

    fn cost(&self, text: &str) -> Result<u32, SendError> {
        let (size, limit) = (text.len(), self.max_packet);
        if size > limit {
            return Err(SendError::TooLarge { size, limit });
        }
        // The largest packet must fit into an empty queue, whatever the bounds are.
        Ok(u32::try_from((size + OVERHEAD).min(self.most)).unwrap_or(u32::MAX))
    }

    fn push(&self, text: String, room: OwnedSemaphorePermit) -> Result<(), SendError> {
        let sent = self.queue.send(Outgoing { text, room });
        sent.map_err(|_| SendError::Closed(self.ended.reason()))
    }
}

/// How everybody learns that the connection has ended, and why.
#[derive(Debug, Clone)]
pub(crate) struct Ended(watch::Receiver<Option<Closed>>);

impl Ended {
    pub(crate) fn new() -> (watch::Sender<Option<Closed>>, Self) {
        let (tell, told) = watch::channel(None);
        (tell, Self(told))
    }

    /// The reason, if it has ended.
    pub(crate) fn now(&self) -> Option<Closed> {
        self.0.borrow().clone()
    }

    /// The reason of an end that has happened.
    pub(crate) fn reason(&self) -> Closed {
        // Without a reason the task was dropped with its runtime.
        self.now().unwrap_or(Closed::Lost { reason: "its task was stopped".into() })
    }

    /// Waits for the end. Cancel safe.
    pub(crate) async fn wait(&self) -> Closed {
        let mut told = self.0.clone();
        // An error means the task is gone without a word: `reason` says so.
        let _ = told.wait_for(Option::is_some).await;
        self.reason()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_queue_is_bounded_in_bytes_and_frees_what_was_sent() {
        let (_tell, ended) = Ended::new();
        let (outbound, mut waiting) = Outbound::new(1000, 900, ended);
        outbound.offer("x".repeat(500)).unwrap();
        assert_eq!(outbound.offer("x".repeat(500)), Err(SendError::Full { limit: 1000 }));
        outbound.offer("x".repeat(300)).unwrap();
        assert_eq!(outbound.offer("x".repeat(901)), Err(SendError::TooLarge { size: 901, limit: 900 }));
        drop(waiting.recv().await);
        outbound.offer("x".repeat(500)).unwrap();
    }

    #[tokio::test]
    async fn empty_messages_are_bounded_too() {
        let (_tell, ended) = Ended::new();
        let (outbound, _waiting) = Outbound::new(1000, 900, ended);
        let taken =
            std::iter::repeat_with(|| outbound.offer(String::new())).take_while(Result::is_ok).count();
        assert_eq!(taken, 1000 / OVERHEAD);
    }

    #[tokio::test]
    async fn a_waiting_message_goes_when_there_is_room_and_learns_the_end() {
        let (tell, ended) = Ended::new();
        let (outbound, mut waiting) = Outbound::new(100, 100, ended);
        outbound.offer("first".into()).unwrap();
        let later = tokio::spawn({
            let outbound = outbound.clone();
            async move { outbound.put("x".repeat(90)).await }
        });
        assert_eq!(waiting.recv().await.unwrap().text, "first");
        assert_eq!(waiting.recv().await.unwrap().text.len(), 90);
        later.await.unwrap().unwrap();

        outbound.offer("fills".into()).unwrap();
        let never = tokio::spawn({
            let outbound = outbound.clone();
            async move { outbound.put("x".repeat(90)).await }
        });
        tell.send_replace(Some(Closed::Disconnected));
        assert_eq!(never.await.unwrap(), Err(SendError::Closed(Closed::Disconnected)));
        assert_eq!(outbound.offer("x".repeat(90)), Err(SendError::Closed(Closed::Disconnected)));
    }
}
