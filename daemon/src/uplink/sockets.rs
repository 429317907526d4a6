//! Listening to the server: the machine's connection brings calls, a session's brings its messages.

use std::sync::Arc;

use delight_core::uplink::{Fault, Input};
use delight_proto::id::SessionId;
use delight_proto::sync::message::Incoming;
use delight_proto::sync::socket::{RpcRequest, ServerEvent};
use delight_transport::socketio::{Closed, Event, Events};
use serde_json::Value;
use tokio::sync::mpsc;

use super::body::Mail;
use super::calls::Calls;
use super::inbound;
use super::server::Failed;
use super::vault::SessionKeys;
use crate::keys::bytes;

/// Reads the machine's connection to its end, and tells the link of that.
pub(super) async fn machine(attempt: u64, mut events: Events, calls: Calls, to: mpsc::Sender<Mail>) {
    let closed = loop {
        match events.next().await {
            Ok(event) => heard(event, &calls),
            Err(closed) => break closed,
        }
    };
    if closed == Closed::Here {
        return;
    }
    let Failed { fault, reason } = closed.into();
    let random = bytes::<8>().map_or(u64::MAX, u64::from_be_bytes);
    let _ = to.send(Mail::Input(Box::new(Input::Down { attempt, fault, reason, random }))).await;
}

fn heard(Event { name, payload, ack }: Event, calls: &Calls) {
    match (name.as_str(), ack) {
        ("rpc-request", Some(ack)) => match payload.first::<RpcRequest>() {
            Ok(call) => calls.take(call, ack),
            // Nobody can be answered who cannot be understood; the server's own time limit tells its caller.
            Err(error) => tracing::warn!(%error, "a call was not understood"),
        },
        ("rpc-error" | "event-refused" | "error", _) => {
            tracing::warn!(event = name, "the server refuses an event of ours");
        }
        // Presence, and what other parts of the account do.
        _ => {}
    }
}

/// Reads a session's connection to its end; what that means for the next.
pub(super) async fn session(
    id: SessionId,
    keys: Arc<SessionKeys>,
    mut events: Events,
    to: &mpsc::Sender<Mail>,
) -> Failed {
    loop {
        let event = match events.next().await {
            Ok(event) => event,
            Err(closed) => return closed.into(),
        };
        let Some(message) = message(&event) else { continue };
        match inbound::open(id, Arc::clone(&keys), vec![message]).await {
            Ok(arrived) => {
                for message in arrived {
                    let pushed = Input::Pushed { id, message: Box::new(message) };
                    if to.send(Mail::Input(Box::new(pushed))).await.is_err() {
                        return Failed { fault: Fault::Later, reason: "the link ended".to_owned() };
                    }
                }
            }
            // It is fetched again with the next connection.
            Err(refusal) => return refusal.into(),
        }
    }
}

/// The message an event tells of, whichever way.
fn message(event: &Event) -> Option<Incoming> {
    if event.name != "update" && event.name != "message" {
        return None;
    }
    let args: Vec<Value> = vec![event.payload.first().ok()?];
    match ServerEvent::read(&event.name, &args) {
        Ok(read) => read.new_message().map(|message| message.message.clone()),
        Err(refusal) => {
            tracing::warn!(%refusal, "an update was not understood");
            None
        }
    }
}
