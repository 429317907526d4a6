//! What an agent did, in the older forms. We read all of them and write only `event`.

use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use super::output::Output;
use super::user::MessageMeta;
use crate::sync::Object;
use crate::sync::bounded::{Hidden, Id, Name, Text};
use crate::sync::bounds;
use crate::sync::tagged::tagged;

/// A record of an agent's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// What it is.
    pub content: AgentContent,
    /// How it is to be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<MessageMeta>,
}

tagged! {
    /// What an agent's record is.
    pub enum AgentContent by "type" {
        /// A line of Claude's transcript.
        Output(OutputData) = "output",
        /// Something of Codex's.
        Codex(AnyData) = "codex",
        /// Something of an agent that speaks ACP.
        Acp(AnyData) = "acp",
        /// Something that happened around the agent.
        Event(EventContent) = "event",
        /// An envelope in another wrapping.
        Session(EnvelopeData) = "session",
    }
}

/// See [`AgentContent::Output`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputData {
    /// The line.
    pub data: Output,
}

/// An agent's own words: their shapes are the agent's and change with it, so they are kept as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnyData {
    /// Which agent, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Name>,
    /// What it said. Its `type` tells what it is: `message`, `reasoning`, `tool-call`, `tool-call-result`, …
    pub data: Hidden<Object>,
}

impl AnyData {
    /// What it is.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.data.expose().get("type").and_then(serde_json::Value::as_str).unwrap_or_default()
    }
}

/// See [`AgentContent::Session`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvelopeData {
    /// The envelope.
    pub data: Envelope,
}

/// See [`AgentContent::Event`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventContent {
    /// The writer's id of it.
    pub id: Id,
    /// What happened.
    pub data: AgentEvent,
}

tagged! {
    /// Something that happened around the agent.
    pub enum AgentEvent by "type" {
        /// Somebody else drives now.
        Switch(EventMode) = "switch",
        /// Words for the person.
        Message(EventMessage) = "message",
        /// The agent may do more or less unasked.
        PermissionModeChanged(EventMode) = "permission-mode-changed",
        /// The agent waits.
        Ready(Ready) = "ready",
    }
}

/// A mode: of control, or of permissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMode {
    /// The mode.
    pub mode: Name,
}

/// See [`AgentEvent::Message`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMessage {
    /// The words.
    pub message: Hidden<Text<{ bounds::PLAINTEXT }>>,
}

/// See [`AgentEvent::Ready`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ready {}
