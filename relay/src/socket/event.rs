//! What clients say over a socket, read and carried out in the order in which it came.
//!
//! Writes are queued in that order and answered when they are durable; nothing here waits for one. An event that cannot
//! be understood is answered as an error where it asks for an answer, and is otherwise told by `event-refused`: what a
//! client believes to have sent never vanishes silently.

mod call;
mod message;
mod versioned;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::packet;
use super::peer::Peer;
use crate::clock;
use crate::presence::Kind;
use crate::shared::Shared;
use crate::store::object::Field;
use crate::store::{StoreError, access_key};
use crate::update::{Publication, Recipients};

/// Longest id or key a client may name.
const NAME_MAX: usize = 256;

/// One event in hand.
pub(super) struct Event<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) peer: &'a Arc<Peer>,
    pub(super) calls: &'a Arc<tokio::sync::Semaphore>,
    pub(super) ack: Option<u64>,
    pub(super) payload: Option<&'a RawValue>,
}

/// Answers, if an answer was asked for.
fn reply(peer: &Peer, ack: Option<u64>, answer: &impl Serialize) {
    let Some(ack) = ack else { return };
    if let Ok(answer) = serde_json::to_string(answer) {
        peer.send(packet::ack(ack, &answer).into());
    }
}

/// Says by an event what no acknowledgement can say. Not by `error`, which clients take for a refused login.
fn complain(peer: &Peer, event: &str, message: &str) {
    let payload = json!({ "message": message, "event": event }).to_string();
    peer.send(packet::event("event-refused", &payload).into());
}

#[derive(Deserialize)]
struct SessionAlive {
    sid: String,
    #[serde(default)]
    thinking: Option<bool>,
}

#[derive(Deserialize)]
struct SessionOnly {
    sid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MachineOnly {
    machine_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Access {
    session_id: String,
    machine_id: String,
}

#[derive(Deserialize)]
struct AppState {
    state: String,
}

impl<'a> Event<'a> {
    /// Carries an event out. `Err` means that the relay cannot serve any more.
    pub(super) async fn handle(self, name: &str) -> Result<(), StoreError> {
        match name {
            "message" => self.message().await,
            "session-alive" => match self.read::<SessionAlive>() {
                Some(SessionAlive { sid, thinking }) => {
                    self.shared.alive(self.peer, Kind::Session, sid, thinking.unwrap_or(false)).await
                }
                None => self.misunderstood(name),
            },
            "machine-alive" => match self.read::<MachineOnly>() {
                Some(MachineOnly { machine_id }) => {
                    self.shared.alive(self.peer, Kind::Machine, machine_id, false).await
                }
                None => self.misunderstood(name),
            },
            "session-end" => match self.read::<SessionOnly>() {
                Some(SessionOnly { sid }) => {
                    let ours = self.shared.end_session(&self.peer.account, &sid).await?;
                    reply(self.peer, self.ack, &json!({ "ok": ours }));
                    Ok(())
                }
                None => self.misunderstood(name),
            },
            "update-metadata" => self.update(name, Field::SessionMetadata).await,
            "update-state" => self.update(name, Field::AgentState).await,
            "machine-update-metadata" => self.update(name, Field::MachineMetadata).await,
            "machine-update-state" => self.update(name, Field::DaemonState).await,
            "usage-report" => self.usage().await,
            "rpc-register" | "rpc-unregister" => self.register(name),
            "rpc-call" => self.call(),
            "ping" => {
                reply(self.peer, self.ack, &json!({}));
                Ok(())
            }
            "app-state" => match self.read::<AppState>() {
                Some(AppState { state }) => {
                    self.peer.watching.store(state == "active", Ordering::Relaxed);
                    Ok(())
                }
                None => self.misunderstood(name),
            },
            "ephemeral" => self.forward(),
            "access-key-get" => self.access_key().await,
            _ => {
                let why = "this relay does not know this event";
                reply(
                    self.peer,
                    self.ack,
                    &json!({ "result": "error", "ok": false, "error": why, "message": why }),
                );
                if self.ack.is_none() {
                    complain(self.peer, "unknown", why);
                }
                Ok(())
            }
        }
    }

    fn read<T: Deserialize<'a>>(&self) -> Option<T> {
        serde_json::from_str(self.payload?.get()).ok()
    }

    fn misunderstood(&self, name: &str) -> Result<(), StoreError> {
        match self.ack {
            Some(_) => {
                reply(self.peer, self.ack, &json!({ "result": "error", "message": "Invalid parameters" }));
            }
            None => complain(self.peer, name, "Invalid parameters"),
        }
        Ok(())
    }

    fn fits(&self, value: &str) -> bool {
        value.len() <= self.shared.config.limits.value
    }

    /// D's free-form note to the watchers of the account.
    fn forward(self) -> Result<(), StoreError> {
        let Some(payload) = self.payload.filter(|payload| payload.get().starts_with('{')) else {
            return self.misunderstood("ephemeral");
        };
        self.shared.hub.publish(Publication {
            account: self.peer.account.clone(),
            to: Recipients::Watchers,
            skip: Some(self.peer.number),
            frame: packet::event("ephemeral", payload.get()),
            expendable: true,
        });
        reply(self.peer, self.ack, &json!({ "ok": true, "time": clock::now_ms() }));
        Ok(())
    }

    async fn access_key(self) -> Result<(), StoreError> {
        let Some(Access { session_id, machine_id }) = self.read() else {
            reply(
                self.peer,
                self.ack,
                &json!({ "ok": false, "error": "Invalid parameters: sessionId and machineId are required" }),
            );
            return Ok(());
        };
        let account = self.peer.account.clone();
        let (peer, ack) = (Arc::clone(self.peer), self.ack);
        self.shared
            .store
            .submit(
                move |write| access_key::get(write.db, &account, &session_id, &machine_id),
                move |found| {
                    let answer = match found {
                        Ok(Some(Some(key))) => json!({ "ok": true, "accessKey": key }),
                        Ok(Some(None)) => json!({ "ok": false, "error": "Access key not found" }),
                        Ok(None) => json!({ "ok": false, "error": "Session or machine not found" }),
                        Err(_) => json!({ "ok": false, "error": "Internal error" }),
                    };
                    reply(&peer, ack, &answer);
                },
            )
            .await
    }
}
