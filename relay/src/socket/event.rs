//! What clients say over a socket, read and carried out in the order in which it came.
//!
//! Writes are queued in that order and answered when they are durable; nothing here waits for one. An event that cannot
//! be understood is answered as an error where it asks for an answer, and is otherwise told by an `error` event: what a
//! client believes to have sent never vanishes silently.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::packet;
use super::peer::Peer;
use crate::clock;
use crate::presence::Kind;
use crate::rpc;
use crate::shared::Shared;
use crate::store::{StoreError, Versioned, access_key, machine, message, session};
use crate::update::{Ephemeral, Publication, Recipients};

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

/// Says by an event what no acknowledgement can say.
fn complain(peer: &Peer, event: &str, message: &str) {
    let payload = json!({ "message": message, "event": event }).to_string();
    peer.send(packet::event("error", &payload).into());
}

#[derive(Deserialize)]
struct Text<'a> {
    sid: String,
    message: String,
    #[serde(rename = "localId", default, borrow)]
    local_id: Option<&'a RawValue>,
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
struct SessionUpdate {
    sid: String,
    expected_version: i64,
    metadata: Option<String>,
    /// Outer `None`: not named at all, which is not the same as taken away.
    #[serde(default, deserialize_with = "named")]
    agent_state: Option<Option<String>>,
}

fn named<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(input).map(Some)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MachineUpdate {
    machine_id: String,
    expected_version: i64,
    metadata: Option<String>,
    daemon_state: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    key: String,
    session_id: Option<String>,
    tokens: Value,
    cost: Value,
}

#[derive(Deserialize)]
struct Method {
    method: String,
}

#[derive(Deserialize)]
struct Call<'a> {
    method: String,
    #[serde(default, borrow)]
    params: Option<&'a RawValue>,
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
            "update-metadata" => self.update_session(session::Field::Metadata).await,
            "update-state" => self.update_session(session::Field::AgentState).await,
            "machine-update-metadata" => self.update_machine(machine::Field::Metadata).await,
            "machine-update-state" => self.update_machine(machine::Field::DaemonState).await,
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

    async fn message(self) -> Result<(), StoreError> {
        let Some(Text { sid, message, local_id }) = self.read() else { return self.misunderstood("message") };
        // As upstream: a localId that is not a string is none.
        let local_id = local_id.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let refusal = if !self.fits(&message) {
            Some("the message is too large")
        } else if local_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > NAME_MAX) {
            Some("the localId is empty or too long")
        } else {
            None
        };
        let (peer, ack) = (Arc::clone(self.peer), self.ack);
        let answer = move |result: Result<message::Receipt, &str>| match result {
            Ok(receipt) => reply(&peer, ack, &json!({ "ok": true, "message": receipt })),
            Err(why) => {
                reply(&peer, ack, &json!({ "ok": false, "error": why }));
                if ack.is_none() {
                    complain(&peer, "message", why);
                }
            }
        };
        if let Some(why) = refusal {
            answer(Err(why));
            return Ok(());
        }
        let (account, sender) = (self.peer.account.clone(), self.peer.number);
        let batch = vec![message::New { content: message, local_id }];
        self.shared
            .store
            .submit(
                move |write| message::store(write, &account, &sid, batch, Some(sender)),
                move |stored| match stored.map(|receipts| receipts.and_then(|mut all| all.pop())) {
                    Ok(Some(receipt)) => answer(Ok(receipt)),
                    Ok(None) => answer(Err("Session not found")),
                    Err(_) => answer(Err("the message could not be stored")),
                },
            )
            .await
    }

    async fn update_session(self, field: session::Field) -> Result<(), StoreError> {
        let (event, name) = match field {
            session::Field::Metadata => ("update-metadata", "metadata"),
            session::Field::AgentState => ("update-state", "agentState"),
        };
        let Some(SessionUpdate { sid, expected_version, metadata, agent_state }) = self.read() else {
            return self.misunderstood(event);
        };
        let value = match field {
            // Metadata cannot be taken away, an agent state can.
            session::Field::Metadata if metadata.is_none() => return self.misunderstood(event),
            session::Field::Metadata => metadata,
            session::Field::AgentState => match agent_state {
                Some(value) => value,
                None => return self.misunderstood(event),
            },
        };
        if value.as_deref().is_some_and(|value| !self.fits(value)) {
            reply(self.peer, self.ack, &json!({ "result": "error", "message": "the value is too large" }));
            return Ok(());
        }
        let account = self.peer.account.clone();
        let told = value.clone();
        let answer = self.versioned(name, "Session not found", told);
        self.shared
            .store
            .submit(
                move |write| {
                    session::replace(write, &account, &sid, field, value.as_deref(), expected_version)
                },
                answer,
            )
            .await
    }

    async fn update_machine(self, field: machine::Field) -> Result<(), StoreError> {
        let (event, name) = match field {
            machine::Field::Metadata => ("machine-update-metadata", "metadata"),
            machine::Field::DaemonState => ("machine-update-state", "daemonState"),
        };
        let Some(MachineUpdate { machine_id, expected_version, metadata, daemon_state }) = self.read() else {
            return self.misunderstood(event);
        };
        let value = match field {
            machine::Field::Metadata => metadata,
            machine::Field::DaemonState => daemon_state,
        };
        let Some(value) = value else { return self.misunderstood(event) };
        if !self.fits(&value) {
            reply(self.peer, self.ack, &json!({ "result": "error", "message": "the value is too large" }));
            return Ok(());
        }
        let account = self.peer.account.clone();
        let answer = self.versioned(name, "Machine not found", Some(value.clone()));
        self.shared
            .store
            .submit(
                move |write| machine::replace(write, &account, &machine_id, field, &value, expected_version),
                answer,
            )
            .await
    }

    /// The acknowledgement of a versioned change.
    fn versioned(
        &self,
        name: &'static str,
        absent: &'static str,
        value: Option<String>,
    ) -> impl FnOnce(Result<Versioned, StoreError>) + Send + 'static {
        let (peer, ack) = (Arc::clone(self.peer), self.ack);
        move |result| {
            let answer = match result {
                Ok(Versioned::Done(version)) => {
                    json!({ "result": "success", "version": version, name: value })
                }
                Ok(Versioned::Mismatch { version, value }) => {
                    json!({ "result": "version-mismatch", "version": version, name: value })
                }
                Ok(Versioned::Absent) => json!({ "result": "error", "message": absent }),
                Err(_) => json!({ "result": "error", "message": "the change could not be stored" }),
            };
            reply(&peer, ack, &answer);
        }
    }

    async fn usage(self) -> Result<(), StoreError> {
        let Some(Usage { key, session_id, tokens, cost }) = self.read() else {
            return self.misunderstood("usage-report");
        };
        let counted = |value: &Value| value.get("total").is_some_and(Value::is_number);
        if !counted(&tokens) || !counted(&cost) || key.len() > NAME_MAX {
            reply(
                self.peer,
                self.ack,
                &json!({ "success": false, "error": "Invalid usage: totals are missing" }),
            );
            return Ok(());
        }
        // Passed on to whoever watches; nothing is kept, so there is nothing to query later.
        let Some(session) = session_id else {
            reply(self.peer, self.ack, &json!({ "success": true }));
            return Ok(());
        };
        let (account, peer, ack) = (self.peer.account.clone(), Arc::clone(self.peer), self.ack);
        self.shared
            .store
            .submit(
                move |write| {
                    if !session::exists(write.db, &account, &session)? {
                        return Ok(false);
                    }
                    let body = Ephemeral::Usage {
                        id: &session,
                        key: &key,
                        tokens: &tokens,
                        cost: &cost,
                        timestamp: write.now,
                    };
                    let told = Publication::ephemeral(&account, Recipients::Watchers, &body)?;
                    write.tell(told);
                    Ok(true)
                },
                move |result| match result {
                    Ok(true) => reply(&peer, ack, &json!({ "success": true })),
                    _ => reply(&peer, ack, &json!({ "success": false, "error": "Session not found" })),
                },
            )
            .await
    }

    fn register(self, event: &str) -> Result<(), StoreError> {
        let action = event.trim_start_matches("rpc-");
        let tell = |name: &str, payload: Value| {
            self.peer.send(packet::event(name, &payload.to_string()).into());
        };
        let method = self.read::<Method>().map(|one| one.method);
        let Some(method) = method.filter(|name| !name.is_empty() && name.len() <= rpc::METHOD_MAX) else {
            tell("rpc-error", json!({ "type": action, "error": "Invalid method name" }));
            return Ok(());
        };
        if action == "unregister" {
            self.shared.hub.unregister(self.peer, &method);
            tell("rpc-unregistered", json!({ "method": method }));
        } else if self.shared.hub.register(self.peer, &method) {
            tell("rpc-registered", json!({ "method": method }));
        } else {
            tell("rpc-error", json!({ "type": action, "error": "Too many methods" }));
        }
        Ok(())
    }

    fn call(self) -> Result<(), StoreError> {
        let fail = |why: &str| reply(self.peer, self.ack, &json!({ "ok": false, "error": why }));
        let Some(Call { method, params }) = self.read() else {
            fail("Invalid parameters: method is required");
            return Ok(());
        };
        if method.is_empty() || method.len() > rpc::METHOD_MAX {
            fail("Invalid parameters: method is required");
            return Ok(());
        }
        let Ok(permit) = Arc::clone(self.calls).try_acquire_owned() else {
            fail("Too many calls are waiting for answers");
            return Ok(());
        };
        let (shared, peer, ack) = (Arc::clone(self.shared), Arc::clone(self.peer), self.ack);
        let params = params.map(RawValue::to_owned);
        tokio::spawn(async move {
            let result = tokio::select! {
                result = rpc::call(&shared, &peer, &method, params.as_deref()) => result,
                // Nobody is left to hear the answer.
                () = peer.closing.cancelled() => return,
            };
            drop(permit);
            let Some(ack) = ack else { return };
            let answer = match result {
                Ok(result) => format!(r#"{{"ok":true,"result":{result}}}"#),
                Err(why) => json!({ "ok": false, "error": why }).to_string(),
            };
            peer.send(packet::ack(ack, &answer).into());
        });
        Ok(())
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
