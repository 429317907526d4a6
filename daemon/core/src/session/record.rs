//! The durable part of a session: how events change its record.
//!
//! The reducer changes a record through `apply` and saves it when more changed than events tell. After a crash the
//! events appended since the last save are applied again, so nothing that was told is forgotten.

use delight_proto::agent::{AgentMemory, Control};
use delight_proto::event::{Event, EventBody};
use delight_proto::id::SessionId;
use delight_proto::session::{Desired, Origin, Phase, Record, StartSpec};

use super::memory;

/// The record of a session just made: it shall run and does not yet.
#[must_use]
pub fn fresh(id: SessionId, spec: StartSpec, origin: Origin, wall_ms: u64) -> Record {
    Record {
        id,
        name: None,
        request_id: None,
        spec,
        origin,
        created_ms: wall_ms,
        desired: Desired::Running,
        phase: Phase::Starting,
        reason: String::new(),
        since_ms: wall_ms,
        generation: 0,
        holder: None,
        exit: None,
        last_seq: 0,
        restarts: 0,
        agent: AgentMemory::default(),
    }
}

/// Moves a record into a phase. Staying in it keeps the time since when it is there.
pub(super) fn enter(record: &mut Record, phase: Phase, reason: impl Into<String>, wall_ms: u64) {
    if record.phase != phase {
        record.phase = phase;
        record.since_ms = wall_ms;
    }
    record.reason = reason.into();
}

/// Changes a record by an event. Events older than the record change nothing.
pub(super) fn apply(record: &mut Record, event: &Event) {
    if event.seq <= record.last_seq {
        return;
    }
    record.last_seq = event.seq;
    match &event.body {
        EventBody::HolderStarted { holder } => record.holder = Some(holder.clone()),
        EventBody::Started { generation, .. } => {
            record.generation = record.generation.max(*generation);
            record.exit = None;
            memory::started(&mut record.agent, *generation);
            // A runner that the phone is to drive runs once it takes messages.
            let ready = record.agent.control != Some(Control::Remote);
            // A runner that came up while it was being stopped is not running for its owner.
            if ready && record.desired == Desired::Running && record.phase != Phase::Stopping {
                enter(record, Phase::Running, "", event.at_ms);
            }
        }
        EventBody::StartFailed { reason, .. } => {
            record.agent.handover = None;
            enter(record, Phase::Failed, reason.clone(), event.at_ms);
        }
        EventBody::Exited { exit, .. } => {
            record.exit = Some(*exit);
            record.agent.activity = None;
        }
        EventBody::Interrupted { reason } => {
            record.agent.activity = None;
            record.agent.handover = None;
            enter(record, Phase::Interrupted, reason.clone(), event.at_ms);
        }
        EventBody::StopRequested { .. } => {
            record.desired = Desired::Stopped;
            enter(record, Phase::Stopping, "", event.at_ms);
        }
        EventBody::RestartScheduled { attempt, .. } => {
            record.restarts = *attempt;
            enter(record, Phase::BackingOff, record.reason.clone(), event.at_ms);
        }
        EventBody::Renamed { name } => {
            record.name = name.as_ref().and_then(|text| text.parse().ok());
        }
        EventBody::Spawned { .. }
        | EventBody::Adopted { .. }
        | EventBody::InputSent { .. }
        | EventBody::Signalled { .. }
        | EventBody::Resumed { .. }
        | EventBody::Trouble { .. }
        | EventBody::AbortRequested { .. } => {}
        EventBody::Recorded { .. }
        | EventBody::Skipped { .. }
        | EventBody::ConversationChanged { .. }
        | EventBody::ActivityChanged { .. }
        | EventBody::ModeChanged { .. }
        | EventBody::OffersChanged { .. }
        | EventBody::PermissionAsked { .. }
        | EventBody::PermissionEnded { .. }
        | EventBody::DecisionDelivered { .. }
        | EventBody::MessageAccepted { .. }
        | EventBody::MessageDelivered { .. }
        | EventBody::MessageDropped { .. }
        | EventBody::ControlChanged { .. }
        | EventBody::BypassChanged { .. } => memory::apply(&mut record.agent, record.generation, event),
    }
}
