//! Forwarding changes to a subscribed client.

use std::sync::atomic::{AtomicBool, Ordering};

use delight_core::supervisor::Request as Ask;
use delight_proto::api::envelope::Request;
use delight_proto::api::method::{Change, Subscribe, SubscribeResult};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use serde_json::value::RawValue;

use super::call::{Caller, brief, mismatch};
use super::outgoing::{Outgoing, Room};
use super::request::{params, raw};
use crate::actor::Told;
use crate::supervisor::{Changes, Heard, line};

/// A subscription that has begun.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) changes: Changes,
    pub(super) only: Option<SessionId>,
}

impl Following {
    /// Begins the connection's one subscription. What it is told is to be forwarded after the answer. `subscribed`:
    /// whether the connection has one already; notifications do not say to which they belong.
    pub(super) async fn begin(
        caller: &Caller,
        subscribed: &AtomicBool,
        request: &Request,
        room: &mut Room<'_>,
    ) -> Result<(Box<RawValue>, Self), Refusal> {
        let params = params::<Subscribe>(request)?;
        if subscribed.swap(true, Ordering::Relaxed) {
            return Err(Refusal::new(
                Code::Conflict,
                "a second subscription cannot begin",
                "this connection has one already",
            )
            .fix("open another connection"));
        }
        room.large().await;
        match caller.ask(Ask::Subscribe { selector: params.session }).await {
            Ok(Told::Subscribed { only, sessions, changes }) => {
                let sessions = if only.is_some() { sessions } else { brief(sessions) };
                Ok((raw(&SubscribeResult { sessions })?, Self { changes, only }))
            }
            other => {
                subscribed.store(false, Ordering::Relaxed);
                Err(other.map_or_else(|refusal| refusal, |told| mismatch(&told)))
            }
        }
    }

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
