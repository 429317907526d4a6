//! Values with a version: changed only by whoever knows the version they have.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::{Event, reply};
use crate::store::{StoreError, Versioned, machine, session};

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
    pub(super) async fn update_session(self, field: session::Field) -> Result<(), StoreError> {
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

    pub(super) async fn update_machine(self, field: machine::Field) -> Result<(), StoreError> {
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
}
