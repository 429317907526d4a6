//! Lines of Claude's transcript, as older clients sent them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::sync::Object;
use crate::sync::bounded::{Hidden, Id, Name};
use crate::sync::tagged::tagged;

/// A line. Lines that are neither the assistant's nor the user's (`system`, `summary`, …) have no message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// `assistant`, `user`, `system`, `summary`, …
    #[serde(rename = "type")]
    pub kind: Name,
    /// The line's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Id>,
    /// The line it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_uuid: Option<Id>,
    /// Whether it is a sub-agent's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_sidechain: Option<bool>,
    /// The tool use that the sub-agent serves.
    #[serde(default, rename = "parent_tool_use_id", skip_serializing_if = "Option::is_none")]
    pub parent_tool_use_id: Option<Id>,
    /// What was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<OutputMessage>,
}

/// What was said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputMessage {
    /// `assistant` or `user`.
    pub role: Name,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Name>,
    /// The words.
    pub content: OutputContent,
    /// Tokens, as the model counted them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Object>,
}

/// Plain words, or blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OutputContent {
    /// Plain words.
    Text(Hidden<String>),
    /// Blocks. Bounded by the message they are in.
    Blocks(Vec<Block>),
}

tagged! {
    /// A block.
    pub enum Block by "type" {
        /// Words.
        Text(Plain) = "text",
        /// Thoughts.
        Thinking(Thinking) = "thinking",
        /// A tool is used.
        ToolUse(ToolUse) = "tool_use",
        /// What the tool gave.
        ToolResult(ToolResult) = "tool_result",
    }
}

/// See [`Block::Text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plain {
    /// The words.
    pub text: Hidden<String>,
}

/// See [`Block::Thinking`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinking {
    /// The thoughts.
    pub thinking: Hidden<String>,
}

/// See [`Block::ToolUse`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolUse {
    /// Its id.
    pub id: Id,
    /// The tool.
    pub name: Name,
    /// Its input.
    #[serde(default)]
    pub input: Hidden<Value>,
}

/// See [`Block::ToolResult`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The use's id.
    pub tool_use_id: Id,
    /// What it gave: words or blocks.
    #[serde(default)]
    pub content: Hidden<Value>,
    /// Whether it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
}
