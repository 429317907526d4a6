//! Changes on their way to subscribers: written once, bounded, and honest about what a slow one missed.

use std::sync::Arc;

use delight_proto::api::envelope::{Notification, Version};
use delight_proto::api::method::{CHANGE, Change};
use delight_proto::id::SessionId;
use tokio::sync::broadcast;

/// Changes kept for subscribers that are behind: a burst of every session of a busy machine changing at once. One that
/// is further behind is told how many it missed.
const KEPT: usize = 512;

/// A change as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Changed {
    /// Whose.
    pub(crate) id: Option<SessionId>,
    /// The notification's line, without its end.
    pub(crate) line: Box<str>,
}

/// What a subscriber hears.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A change.
    Change(Arc<Changed>),
    /// It was too slow: so many were left out.
    Lagged(u64),
    /// The daemon ends.
    End,
}

/// One subscription.
#[derive(Debug)]
pub(crate) struct Changes(broadcast::Receiver<Arc<Changed>>);

impl Changes {
    /// The next change. Cancel safe.
    pub(crate) async fn next(&mut self) -> Heard {
        match self.0.recv().await {
            Ok(change) => Heard::Change(change),
            Err(broadcast::error::RecvError::Lagged(missed)) => Heard::Lagged(missed),
            Err(broadcast::error::RecvError::Closed) => Heard::End,
        }
    }
}

/// The supervisor's end.
#[derive(Debug)]
pub(super) struct Sender(broadcast::Sender<Arc<Changed>>);

impl Sender {
    pub(super) fn new() -> Self {
        Self(broadcast::channel(KEPT).0)
    }

    pub(super) fn subscribe(&self) -> Changes {
        Changes(self.0.subscribe())
    }

    /// Tells everybody. With nobody listening it costs nothing.
    pub(super) fn send(&self, change: Change) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let id = match &change {
            Change::Session { session } => Some(session.id),
            Change::Removed { id } => Some(*id),
            Change::Lagged { .. } => None,
        };
        // A receiver that has just gone is none.
        let _ = self.0.send(Arc::new(Changed { id, line: line(change) }));
    }
}

/// A change as a line of the control API.
pub(crate) fn line(change: Change) -> Box<str> {
    let notification = Notification { jsonrpc: Version, method: CHANGE.to_owned(), params: change };
    // Plain structs of strings and numbers: serialising them cannot fail.
    serde_json::to_string(&notification).unwrap_or_default().into_boxed_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn removed(n: u8) -> Change {
        Change::Removed { id: SessionId::from_random([n; 10]) }
    }

    #[tokio::test]
    async fn a_slow_subscriber_is_told_how_many_it_missed_and_hears_the_newest_in_order() {
        let sender = Sender::new();
        let mut changes = sender.subscribe();
        let all = KEPT + 3;
        for n in 0..all {
            sender.send(removed(u8::try_from(n % 251).unwrap()));
        }
        assert!(matches!(changes.next().await, Heard::Lagged(3)));
        for n in 3..all {
            let Heard::Change(change) = changes.next().await else { panic!("change {n} is missing") };
            assert_eq!(change.id, Some(SessionId::from_random([u8::try_from(n % 251).unwrap(); 10])));
        }
        drop(sender);
        assert!(matches!(changes.next().await, Heard::End));
    }

    #[test]
    fn being_told_of_a_lag_is_a_notification_of_the_api() {
        let line: serde_json::Value = serde_json::from_str(&line(Change::Lagged { missed: 3 })).unwrap();
        assert_eq!((&line["method"], &line["params"]["missed"]), (&CHANGE.into(), &3.into()));
    }
}
