//! Copying an agent's conversation on the machine, whole or up to a point.

use serde::{Deserialize, Serialize};

use crate::sync::bounded::{Hidden, Id, Path};

/// Which conversation, and up to where. The method says which agent and whether it is cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForkConversation {
    /// The directory it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Path>,
    /// The conversation: Claude's session id or Codex's thread id. Written by the name of the method's agent.
    #[serde(flatten)]
    pub conversation: Conversation,
    /// The last message kept, for the methods that cut.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub cut_after: Option<CutAfter>,
}

/// An agent's own id of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Conversation {
    /// Claude's.
    #[serde(rename = "claudeSessionId")]
    Claude(Id),
    /// Codex's.
    #[serde(rename = "codexThreadId")]
    Codex(Id),
}

/// An agent's own id of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CutAfter {
    /// Claude's.
    #[serde(rename = "cutAfterUuid")]
    Claude(Id),
    /// Codex's.
    #[serde(rename = "cutAfterItemId")]
    Codex(Id),
}

/// The copy. Answered with `type: "success"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Forked {
    /// Claude's id of it.
    #[serde(rename = "newClaudeSessionId")]
    Claude(Id),
    /// Codex's id of it.
    #[serde(rename = "newCodexThreadId")]
    Codex(Id),
}

/// The points a conversation can be cut at. Answered with `type: "success"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewindPoints {
    /// The points, oldest first. Bounded by the packet they come in.
    pub points: Vec<RewindPoint>,
}

/// A message of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RewindPoint {
    /// Claude's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Id>,
    /// Codex's id of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<Id>,
    /// What it says.
    pub text: Hidden<String>,
    /// Unix milliseconds.
    #[serde(default)]
    pub timestamp: u64,
}
