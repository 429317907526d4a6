//! Forwarding changes to a subscribed client.

use delight_proto::api::method::Change;
use delight_proto::id::SessionId;

use super::outgoing::Outgoing;
use crate::supervisor::{Changes, Heard, line};

/// A subscription that has begun.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) changes: Changes,
    pub(super) only: Option<SessionId>,
}

impl Following {
    /// Forwards changes until the client or the daemon is gone. A client that reads too slowly is told how many it
    /// missed.
    pub(super) async fn forward(mut self, out: &Outgoing) {
        loop {
            let told = match self.changes.next().await {
                Heard::Change(change) if self.only.is_some() && change.id != self.only => continue,
                Heard::Change(change) => out.notify(change.line.clone()).await,
                Heard::Lagged(missed) => out.notify(line(Change::Lagged { missed })).await,
                Heard::End => return,
            };
            if !told {
                return;
            }
        }
    }
}
