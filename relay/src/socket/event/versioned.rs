//! Values with a version: changed only by whoever knows the version they have.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::{Event, reply};
use crate::presence::Kind;
use crate::store::object::{self, Field};
use crate::store::{StoreError, Versioned};

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

impl Event<'_> {
    pub(super) async fn update(self, event: &str, field: Field) -> Result<(), StoreError> {
        let Some((id, expected, value)) = self.change(field) else { return self.misunderstood(event) };
        if value.as_deref().is_some_and(|value| !self.fits(value)) {
            reply(self.peer, self.ack, &json!({ "result": "error", "message": "the value is too large" }));
            return Ok(());
        }
        let (name, absent) = match field {
            Field::SessionMetadata => ("metadata", "Session not found"),
            Field::AgentState => ("agentState", "Session not found"),
            Field::MachineMetadata => ("metadata", "Machine not found"),
            Field::DaemonState => ("daemonState", "Machine not found"),
        };
        let (account, peer, ack) = (self.peer.account.clone(), Arc::clone(self.peer), self.ack);
        let told = value.clone();
        let answer = move |result| {
            let answer = match result {
                Ok(Versioned::Done(version)) => {
                    json!({ "result": "success", "version": version, name: told })
                }
                Ok(Versioned::Mismatch { version, value }) => {
                    json!({ "result": "version-mismatch", "version": version, name: value })
                }
                Ok(Versioned::Absent) => json!({ "result": "error", "message": absent }),
                Err(_) => json!({ "result": "error", "message": "the change could not be stored" }),
            };
            reply(&peer, ack, &answer);
        };
        self.shared
            .store
            .submit(
                move |write| object::replace(write, field, &account, &id, value.as_deref(), expected),
                answer,
            )
            .await
    }

    /// Of what, from which version, to what. Only an agent state can be taken away.
    fn change(&self, field: Field) -> Option<(String, i64, Option<String>)> {
        match field.kind() {
            Kind::Session => {
                let SessionUpdate { sid, expected_version, metadata, agent_state } = self.read()?;
                let value = if field == Field::AgentState { agent_state? } else { Some(metadata?) };
                Some((sid, expected_version, value))
            }
            Kind::Machine => {
                let MachineUpdate { machine_id, expected_version, metadata, daemon_state } = self.read()?;
                let value = if field == Field::DaemonState { daemon_state? } else { metadata? };
                Some((machine_id, expected_version, Some(value)))
            }
        }
    }
}
