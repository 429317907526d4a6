//! Ephemeral events: presence and hints that nobody stores.

use serde::{Deserialize, Serialize};
use serde_json::Number;

use super::bounded::{Entries, Hidden, Id, Line, Name, Text};
use super::bounds;
use super::tagged::tagged;

tagged! {
    /// An ephemeral event.
    pub enum Ephemeral by "type" {
        /// A session is alive, or no longer.
        Activity(Activity) = "activity",
        /// A machine is connected, or no longer.
        MachineActivity(MachineActivity) = "machine-activity",
        /// A machine came or went (documented; no server has been seen to send it).
        MachineStatus(MachineStatus) = "machine-status",
        /// Tokens and cost of a turn.
        Usage(Usage) = "usage",
        /// A session finished or needs somebody.
        SessionEvent(SessionEvent) = "session-event",
        /// An agent asks for permission (Delight at its beginning).
        PermissionRequest(PermissionHint) = "permission-request",
    }
}

/// Counters of one report: `total` and others. Numbers are kept as they were written.
pub type Counters = Entries<Number, { bounds::COUNTERS }>;

/// See [`Ephemeral::Activity`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Activity {
    /// The session.
    pub id: Id,
    /// Whether it is alive.
    pub active: bool,
    /// Since when, Unix milliseconds.
    #[serde(default)]
    pub active_at: u64,
    /// Whether a turn runs.
    #[serde(default, alias = "working", skip_serializing_if = "Option::is_none")]
    pub thinking: Option<bool>,
}

/// See [`Ephemeral::MachineActivity`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineActivity {
    /// The machine.
    pub id: Id,
    /// Whether it is connected.
    pub active: bool,
    /// Since when, Unix milliseconds.
    #[serde(default)]
    pub active_at: u64,
}

/// See [`Ephemeral::MachineStatus`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineStatus {
    /// The machine.
    pub machine_id: Id,
    /// Whether it is connected.
    pub online: bool,
    /// Unix milliseconds.
    #[serde(default)]
    pub timestamp: u64,
}

/// See [`Ephemeral::Usage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The session.
    pub id: Id,
    /// What is counted.
    pub key: Name,
    /// Tokens.
    #[serde(default)]
    pub tokens: Counters,
    /// Cost, dollars.
    #[serde(default)]
    pub cost: Counters,
    /// Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
}

/// See [`Ephemeral::SessionEvent`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionEvent {
    /// The session.
    pub session_id: Id,
    /// `done`, `permission` or `question`.
    pub kind: Name,
    /// Shown to people.
    #[serde(default)]
    pub title: Line,
    /// Shown to people.
    #[serde(default)]
    pub body: Line,
    /// Unix milliseconds.
    #[serde(default)]
    pub timestamp: u64,
}

/// See [`Ephemeral::PermissionRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionHint {
    /// The session.
    pub id: Id,
    /// The request.
    pub request_id: Id,
    /// The tool.
    pub tool_name: Name,
    /// Its input as JSON text.
    #[serde(default)]
    pub input: Hidden<Text<{ bounds::PACKET }>>,
}
