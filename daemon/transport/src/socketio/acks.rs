//! Acknowledgements we wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::closed::Closed;
use super::outgoing::SendError;
use super::payload::Payload;

/// An event was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// It was not sent.
    #[error(transparent)]
    NotSent(#[from] SendError),
    /// Too many acknowledgements are awaited already; it was not sent.
    #[error("{limit} acknowledgements are awaited already")]
    TooMany {
        /// [`Limits::max_pending`](super::Limits::max_pending).
        limit: usize,
    },
    /// None came in time. The server may have acted all the same.
    #[error("no acknowledgement came within {after:?}")]
    Timeout {
        /// The caller's limit.
        after: Duration,
    },
    /// The connection ended first. The server may have acted all the same.
    #[error("the connection ended before the acknowledgement: {0}")]
    Closed(Closed),
}

type Table = HashMap<u64, oneshot::Sender<Payload>>;

/// The numbers that are awaited.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    state: Arc<Mutex<State>>,
    most: usize,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    waiting: Table,
}

impl Pending {
    pub(crate) fn new(most: usize) -> Self {
        Self { state: Arc::default(), most }
    }

    /// A fresh number, awaited until the result is dropped.
    pub(crate) fn expect(&self) -> Result<Awaited, AckError> {
        let mut state = self.lock();
        if state.waiting.len() >= self.most {
            return Err(AckError::TooMany { limit: self.most });
        }
        let id = state.next;
        state.next += 1;
        let (tell, answer) = oneshot::channel();
        state.waiting.insert(id, tell);
        drop(state);
        Ok(Awaited { id, answer, pending: self.clone() })
    }

    /// Hands an acknowledgement to whoever awaits it; false when nobody does (it was late, or a second one).
    pub(crate) fn resolve(&self, id: u64, payload: Payload) -> bool {
        let waiting = self.lock().waiting.remove(&id);
        waiting.is_some_and(|tell| tell.send(payload).is_ok())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The table is whole at every point where a panic could be.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One awaited number.
#[derive(Debug)]
pub(crate) struct Awaited {
    pub(crate) id: u64,
    pub(crate) answer: oneshot::Receiver<Payload>,
    pending: Pending,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.pending.lock().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_fresh_bounded_and_given_up_when_dropped() {
        let pending = Pending::new(2);
        let first = pending.expect().unwrap();
        let mut second = pending.expect().unwrap();
        assert_eq!((first.id, second.id), (0, 1));
        assert_eq!(pending.expect().unwrap_err(), AckError::TooMany { limit: 2 });
        assert!(pending.resolve(1, Payload::default()));
        assert!(second.answer.try_recv().is_ok());
        assert!(!pending.resolve(1, Payload::default()), "a second acknowledgement reaches nobody");
        drop(first);
        assert!(!pending.resolve(0, Payload::default()), "a late acknowledgement reaches nobody");
        assert_eq!(pending.expect().unwrap().id, 2);
        drop(second);
        assert!(pending.lock().waiting.is_empty());
    }
}
