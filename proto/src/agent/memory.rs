//! What survives of an agent while nobody runs it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ActivityView, Allowed, Control, Mark, Message, Mode, Offers, PermissionView, offers};
use crate::id::{ConversationId, LocalId};

/// What survives of an agent in the registry's record.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AgentMemory {
    /// Who drives (or will, once the runner is up).
    #[serde(default)]
    pub control: Option<Control>,
    /// The agent's conversation: what a new runner goes on with.
    #[serde(default)]
    pub conversation: Option<ConversationId>,
    /// How it works, as far as that is known or was asked for.
    #[serde(flatten)]
    pub mode: Mode,
    /// What it has to offer, as far as it has said.
    #[serde(default, skip_serializing_if = "offers::is_nothing")]
    pub offers: Arc<Offers>,
    /// How far the runner's output has been taken in.
    #[serde(default)]
    pub stream: Mark,
    /// How far the agent's transcript has been taken in.
    #[serde(default)]
    pub transcript: Mark,
    /// How far the transcripts of conversations it has left were taken in, oldest first: it may go back to one. At most
    /// [`super::bounds::LEFT`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<Left>,
    /// The turn under way.
    #[serde(default)]
    pub turn: Option<String>,
    /// What it was doing when last heard of, where that was read, and since when (Unix milliseconds).
    #[serde(default)]
    pub activity: Option<ActivityView>,
    /// Permissions, oldest first: those that wait and the last [`super::bounds::COMPLETED`] that ended.
    #[serde(default)]
    pub permissions: Vec<PermissionView>,
    /// Messages that were accepted and not yet given to the agent, oldest first.
    #[serde(default)]
    pub queue: Vec<Message>,
    /// Ids of messages accepted lately, oldest first, against doubles; at most 128.
    #[serde(default)]
    pub accepted: Vec<LocalId>,
    /// Until when everything is allowed unasked (Unix milliseconds).
    #[serde(default)]
    pub bypass_until_ms: Option<u64>,
    /// What the newest runner was started with: how its output has to be read again, whatever is known by now.
    #[serde(default)]
    pub launched: Launched,
    /// The generation that has said [`super::AgentEvent::Ready`], newest only.
    #[serde(default)]
    pub ready: Option<u64>,
    /// The change of control under way.
    #[serde(default)]
    pub handover: Option<Handover>,
    /// Fingerprints of the keys of records taken in lately, oldest first, against doubles; at most [`super::bounds::SEEN`].
    #[serde(default)]
    pub seen: Vec<u64>,
    /// What is allowed unasked as long as the session lives, oldest first; at most [`super::bounds::ALLOWED`].
    #[serde(default)]
    pub allowed: Vec<Allowed>,
}

/// A conversation that was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Left {
    /// Which.
    pub conversation: ConversationId,
    /// How far its transcript was taken in.
    pub transcript: Mark,
}

/// What a runner is started with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Launched {
    /// The conversation it goes on with.
    #[serde(default)]
    pub conversation: Option<ConversationId>,
    /// How it is to work.
    #[serde(flatten)]
    pub mode: Mode,
}

/// A change of control under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Who drove before, and will again if it fails.
    pub from: Control,
    /// The first generation that serves whom it goes to; older ones still serve `from`.
    pub generation: u64,
}
