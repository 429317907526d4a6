//! Events of ours: written as the wire's types, sent, and some of them confirmed.

use std::time::Duration;

use delight_core::uplink::{Slot, UpdateOutcome};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::sync::Object;
use delight_proto::sync::bounded::{Id, Text};
use delight_proto::sync::socket::{
    ClientEvent, Kept, MachineMetadataUpdate, MachineStateUpdate, RpcMethod, SessionMetadataUpdate,
    SessionStateUpdate, VersionedAck,
};
use delight_transport::socketio::{Args, Handle};
use serde_json::Value;

use super::vault::{Scope, Vault};

/// How long an acknowledgement may take.
pub(super) const ACK: Duration = Duration::from_secs(5);

fn args(event: &ClientEvent) -> Result<Args, Refusal> {
    let unusable = |e: String| Refusal::new(Code::Internal, "an event of ours", e);
    let mut args = Args::none();
    for arg in event.args()? {
        args = args.and(&arg).map_err(|e| unusable(e.to_string()))?;
    }
    Ok(args)
}

/// Sends an event nobody acknowledges. What cannot be sent now is worth nothing later: it is said again when it is due.
pub(super) fn tell(handle: &Handle, event: &ClientEvent) {
    let sent = args(event).map_err(|e| e.to_string());
    if let Err(error) = sent.and_then(|args| handle.emit(event.name(), &args).map_err(|e| e.to_string())) {
        tracing::debug!(event = event.name(), error, "an event was not sent");
    }
}

/// Offers methods of a machine or session.
pub(super) fn offer(handle: &Handle, id: &Id, methods: &[&[&str]]) {
    for method in methods.iter().copied().flatten() {
        match Text::new(format!("{id}:{method}")) {
            Ok(method) => tell(handle, &ClientEvent::RpcRegister(RpcMethod { method })),
            Err(e) => tracing::warn!(method, error = %e, "a method cannot be offered"),
        }
    }
}

/// Whether everything sent before has reached the server.
pub(super) async fn barrier(handle: &Handle) -> bool {
    handle.emit_with_ack(ClientEvent::Ping.name(), &Args::none(), ACK).await.is_ok()
}

/// Writes a versioned value.
pub(super) async fn update(
    handle: &Handle,
    vault: &Vault,
    slot: Slot,
    server_id: Option<Id>,
    expected: u64,
    value: &Object,
) -> UpdateOutcome {
    match try_update(handle, vault, slot, server_id, expected, value).await {
        Ok(outcome) => outcome,
        Err(reason) => {
            tracing::debug!(?slot, reason, "a value was not updated");
            UpdateOutcome::Failed
        }
    }
}

async fn try_update(
    handle: &Handle,
    vault: &Vault,
    slot: Slot,
    server_id: Option<Id>,
    expected_version: u64,
    value: &Object,
) -> Result<UpdateOutcome, String> {
    let keys = match slot {
        Slot::SessionMetadata(id) | Slot::AgentState(id) => {
            Some(vault.session(id).ok_or("the session has no key")?)
        }
        Slot::MachineMetadata | Slot::DaemonState => None,
    };
    let scope: &Scope = keys.as_ref().map_or(&vault.machine, |keys| &keys.scope);
    let sealed = scope.seal_state(value).map_err(|e| e.to_string())?;
    let machine_id = vault.linked.machine.clone();
    let sid = || server_id.clone().ok_or("the session has no id at the server");
    let (kept, event) = match slot {
        Slot::MachineMetadata => {
            let update = MachineMetadataUpdate { machine_id, metadata: sealed, expected_version };
            (Kept::Metadata, ClientEvent::MachineUpdateMetadata(update))
        }
        Slot::DaemonState => {
            let update = MachineStateUpdate { machine_id, daemon_state: sealed, expected_version };
            (Kept::DaemonState, ClientEvent::MachineUpdateState(update))
        }
        Slot::SessionMetadata(_) => {
            let update = SessionMetadataUpdate { sid: sid()?, metadata: sealed, expected_version };
            (Kept::Metadata, ClientEvent::UpdateMetadata(update))
        }
        Slot::AgentState(_) => {
            let update = SessionStateUpdate { sid: sid()?, agent_state: Some(sealed), expected_version };
            (Kept::AgentState, ClientEvent::UpdateState(update))
        }
    };
    let args = args(&event).map_err(|e| e.to_string())?;
    let ack = handle.emit_with_ack(event.name(), &args, ACK).await.map_err(|e| e.to_string())?;
    let ack: Value = ack.first().map_err(|_| "the acknowledgement is none")?;
    Ok(match VersionedAck::read(kept, &ack).map_err(|e| e.to_string())? {
        VersionedAck::Success { version, .. } => UpdateOutcome::Stored { version },
        VersionedAck::Mismatch { version, value } => {
            UpdateOutcome::Mismatch { version, value: value.and_then(|sealed| scope.open_state(&sealed)) }
        }
        VersionedAck::Error { message } => {
            let message = message.map(|line| line.to_string()).unwrap_or_default();
            return Err(format!("the server refuses it: {message}"));
        }
    })
}
