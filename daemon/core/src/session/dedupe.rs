//! Knowing an item of a conversation again that was read before, from another source or after a crash.

use delight_proto::agent::{AgentRecord, RecordBody};

use crate::replay::StateHash;

/// What tells a record from others, as far as it says: its kind and the agent's own id of it.
pub(super) fn fingerprint(record: &AgentRecord) -> Option<u64> {
    let own = match &record.body {
        RecordBody::TurnStarted { turn } | RecordBody::TurnEnded { turn, .. } => Some(turn),
        RecordBody::ToolStarted { call, .. } | RecordBody::ToolEnded { call, .. } => Some(call),
        _ => None,
    };
    let key = record.key.as_ref().or(own)?;
    Some(StateHash::of(&(kind(&record.body), key)))
}

fn kind(body: &RecordBody) -> &'static str {
    match body {
        RecordBody::TurnStarted { .. } => "turn-started",
        RecordBody::TurnEnded { .. } => "turn-ended",
        RecordBody::UserText { .. } => "user-text",
        RecordBody::Text { .. } => "text",
        RecordBody::Thinking { .. } => "thinking",
        RecordBody::ToolStarted { .. } => "tool-started",
        RecordBody::ToolEnded { .. } => "tool-ended",
        RecordBody::Usage { .. } => "usage",
        RecordBody::Error { .. } => "error",
        RecordBody::Notice { .. } => "notice",
    }
}
