//! What the server stores of sessions and machines.

use serde::{Deserialize, Serialize};

use super::bounded::{Id, KeyText, SealedText};

/// A session as the server stores it. Times are Unix milliseconds of the server's clock; an absent version is 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRow {
    /// The server's id.
    pub id: Id,
    /// The last message's number.
    #[serde(default)]
    pub seq: u64,
    /// When it was made.
    #[serde(default)]
    pub created_at: u64,
    /// When it last changed.
    #[serde(default)]
    pub updated_at: u64,
    /// Whether the server believes it alive.
    #[serde(default)]
    pub active: bool,
    /// When it last said so.
    #[serde(default)]
    pub active_at: u64,
    /// Sealed [`super::state::SessionMetadata`].
    pub metadata: SealedText,
    /// Its version.
    #[serde(default)]
    pub metadata_version: u64,
    /// Sealed [`super::state::AgentState`].
    #[serde(default)]
    pub agent_state: Option<SealedText>,
    /// Its version.
    #[serde(default)]
    pub agent_state_version: u64,
    /// The session's data key, wrapped to the account; none when the account seals with its master secret.
    #[serde(default)]
    pub data_encryption_key: Option<KeyText>,
}

/// A machine as the server stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineRow {
    /// The machine's own id.
    pub id: Id,
    /// A number some answers carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Sealed [`super::state::MachineMetadata`].
    pub metadata: SealedText,
    /// Its version.
    #[serde(default)]
    pub metadata_version: u64,
    /// Sealed [`super::state::DaemonState`].
    #[serde(default)]
    pub daemon_state: Option<SealedText>,
    /// Its version.
    #[serde(default)]
    pub daemon_state_version: u64,
    /// The machine's data key, wrapped to the account.
    #[serde(default)]
    pub data_encryption_key: Option<KeyText>,
    /// Whether the server believes it connected.
    #[serde(default)]
    pub active: bool,
    /// When it last said so.
    #[serde(default)]
    pub active_at: u64,
    /// When it was registered.
    #[serde(default)]
    pub created_at: u64,
    /// When it last changed.
    #[serde(default)]
    pub updated_at: u64,
}
