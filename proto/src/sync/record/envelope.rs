//! Session envelopes: one shape for everything that happens in a session, the one we write.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

use super::user::MessageMeta;
use crate::sync::Object;
use crate::sync::bounded::{Hidden, Id, Line, Name, Text};
use crate::sync::bounds;
use crate::sync::tagged::tagged;

/// An envelope and how it is to be taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// The envelope.
    pub content: Envelope,
    /// How it is to be taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<MessageMeta>,
}

/// Whose doing it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// A person's.
    User,
    /// The agent's.
    Agent,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The writer's id of it, stable over every attempt to send it.
    pub id: Id,
    /// The writer's clock, Unix milliseconds. Fractions some clients send are dropped.
    #[serde(deserialize_with = "whole_millis")]
    pub time: u64,
    /// Whose doing it is.
    pub role: Speaker,
    /// The turn it belongs to. Every turn that starts must end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<Id>,
    /// The sub-agent whose doing it is; a cuid2, or Happy's app refuses the envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subagent: Option<Id>,
    /// Claude's own id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claude_uuid: Option<Id>,
    /// Codex's own id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codex_item_id: Option<Id>,
    /// Tokens it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TokenUsage>,
    /// What happened.
    pub ev: SessionEvent,
}

fn whole_millis<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    let number = Number::deserialize(d)?;
    // A float beyond the range of times saturates; a negative or odd one becomes 0.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(number.as_u64().or_else(|| number.as_f64().map(|time| time as u64)).unwrap_or(0))
}

/// Tokens a step took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Read anew.
    pub input_tokens: u64,
    /// Written.
    pub output_tokens: u64,
    /// Stored for reuse.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_creation_input_tokens: Option<u64>,
    /// Reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read_input_tokens: Option<u64>,
    /// How many the model can hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    /// The provider's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Name>,
}

tagged! {
    /// What happened in a session.
    pub enum SessionEvent by "t" {
        /// Words or thoughts.
        Text(TextEvent) = "text",
        /// Words of the program around the agent.
        Service(TextEvent) = "service",
        /// A tool is used.
        ToolCallStart(ToolCallStart) = "tool-call-start",
        /// The tool is done.
        ToolCallEnd(ToolCallEnd) = "tool-call-end",
        /// A file.
        File(FileEvent) = "file",
        /// A turn begins.
        TurnStart(Nothing) = "turn-start",
        /// A turn ends.
        TurnEnd(TurnEnd) = "turn-end",
        /// A sub-agent begins.
        Start(Start) = "start",
        /// A sub-agent ends.
        Stop(Nothing) = "stop",
    }
}

/// Nothing to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Nothing {}

/// See [`SessionEvent::Text`] and [`SessionEvent::Service`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextEvent {
    /// The words.
    pub text: Hidden<Text<{ bounds::PLAINTEXT }>>,
    /// Whether they are thoughts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
}

/// See [`SessionEvent::ToolCallStart`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCallStart {
    /// The use's id.
    pub call: Id,
    /// The tool.
    pub name: Name,
    /// A line for people.
    pub title: Hidden<Line>,
    /// More for people.
    pub description: Hidden<Line>,
    /// The tool's input.
    pub args: Hidden<Object>,
}

/// See [`SessionEvent::ToolCallEnd`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolCallEnd {
    /// The use's id.
    pub call: Id,
    /// What it gave; only newer clients say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Hidden<Text<{ bounds::PLAINTEXT }>>>,
    /// Whether it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
}

/// See [`SessionEvent::File`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEvent {
    /// Where the server keeps it.
    #[serde(rename = "ref")]
    pub reference: Line,
    /// Its name.
    pub name: Line,
    /// Bytes.
    pub size: u64,
    /// `image/png`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<Name>,
    /// Of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageSize>,
}

/// A picture's size and a small impression of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSize {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// A small impression.
    pub thumbhash: Line,
}

/// See [`SessionEvent::TurnEnd`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnEnd {
    /// How.
    pub status: TurnStatus,
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TurnStatus {
    /// As it should.
    Completed,
    /// With an error.
    Failed,
    /// It was stopped.
    Cancelled,
}

/// See [`SessionEvent::Start`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Start {
    /// A line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Line>,
}
