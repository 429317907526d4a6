//! Updates: what the server tells about changes of stored things.

use serde::{Deserialize, Serialize};

use super::bounded::{Id, SealedText};
use super::message::NewMessage;
use super::row::{MachineRow, SessionRow};
use super::tagged::tagged;

/// An update: a change and its number in the account's own sequence. There is no replay of updates: a gap in `seq` means
/// something was missed and must be fetched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Update {
    /// The server's id of the update.
    pub id: Id,
    /// Its number in the account.
    pub seq: u64,
    /// What changed.
    pub body: UpdateBody,
    /// Unix milliseconds, the server's clock.
    #[serde(default)]
    pub created_at: u64,
}

tagged! {
    /// What changed. Kinds only phones care for (account, key-value, artifacts, feed) are `Unknown` here.
    pub enum UpdateBody by "t" {
        /// A message was written.
        NewMessage(NewMessage) = "new-message",
        /// A session was made.
        NewSession(SessionRow) = "new-session",
        /// A session's metadata or agent state changed.
        UpdateSession(SessionChange) = "update-session",
        /// A session was deleted.
        DeleteSession(SessionGone) = "delete-session",
        /// A machine registered.
        NewMachine(NewMachine) = "new-machine",
        /// A machine's metadata or daemon state changed.
        UpdateMachine(MachineChange) = "update-machine",
        /// A machine was removed from the account.
        DeleteMachine(MachineGone) = "delete-machine",
    }
}

/// A value and its version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versioned {
    /// The sealed value; none when it was cleared.
    #[serde(default)]
    pub value: Option<SealedText>,
    /// Its version; absent is 0.
    #[serde(default)]
    pub version: u64,
}

/// See [`UpdateBody::UpdateSession`]. What did not change is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionChange {
    /// The session.
    #[serde(alias = "sid")]
    pub id: Id,
    /// The new metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Versioned>,
    /// The new agent state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_state: Option<Versioned>,
}

/// See [`UpdateBody::DeleteSession`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionGone {
    /// The session.
    #[serde(alias = "id")]
    pub sid: Id,
}

/// See [`UpdateBody::NewMachine`]. Families disagree on how much of the row it carries, so only the id is sure: fetch the
/// machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewMachine {
    /// The machine.
    #[serde(alias = "id")]
    pub machine_id: Id,
    /// The row, when all of it is there in its usual spelling.
    #[serde(flatten)]
    pub row: Option<MachineFields>,
}

/// The fields of a [`MachineRow`] beside its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineFields {
    /// Sealed machine metadata.
    pub metadata: SealedText,
    /// Its version.
    pub metadata_version: u64,
    /// Sealed daemon state.
    #[serde(default)]
    pub daemon_state: Option<SealedText>,
    /// Its version.
    #[serde(default)]
    pub daemon_state_version: u64,
    /// The machine's data key, wrapped to the account.
    #[serde(default)]
    pub data_encryption_key: Option<super::bounded::KeyText>,
}

impl From<&MachineRow> for NewMachine {
    fn from(row: &MachineRow) -> Self {
        Self {
            machine_id: row.id.clone(),
            row: Some(MachineFields {
                metadata: row.metadata.clone(),
                metadata_version: row.metadata_version,
                daemon_state: row.daemon_state.clone(),
                daemon_state_version: row.daemon_state_version,
                data_encryption_key: row.data_encryption_key.clone(),
            }),
        }
    }
}

/// See [`UpdateBody::UpdateMachine`]. What did not change is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineChange {
    /// The machine.
    pub machine_id: Id,
    /// The new metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Versioned>,
    /// The new daemon state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon_state: Option<Versioned>,
    /// When the server last heard of it, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_at: Option<u64>,
}

/// See [`UpdateBody::DeleteMachine`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineGone {
    /// The machine.
    #[serde(alias = "id")]
    pub machine_id: Id,
}
