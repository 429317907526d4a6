//! Starting and resuming sessions from afar.

use serde::{Deserialize, Serialize};

use crate::sync::bounded::{Entries, Hidden, Id, Line, Name, Path, Text, Token};
use crate::sync::bounds;
use crate::sync::tagged::tagged;

/// Starts a session in a directory of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpawnRequest {
    /// Always `spawn-in-directory` where it is said.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Name>,
    /// The directory.
    pub directory: Path,
    /// Whether it may be made when it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_new_directory_creation: Option<bool>,
    /// The same key again means the same request, not a second session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<Id>,
    /// Which agent; `claude` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Name>,
    /// A session to take up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Id>,
    /// The machine, as the caller believes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<Id>,
    /// How much the agent may do unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<Name>,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_mode: Option<Name>,
    /// The effort.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort_level: Option<Name>,
    /// Environment for the agent. May hold secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_variables: Option<Hidden<Entries<Text<{ bounds::CALL_TEXT }>, { bounds::CALL_ENTRIES }>>>,
    /// A credential for the agent. Never in a log, a file others read, or an argument list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// A conversation of Claude's to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_claude_session_id: Option<Id>,
    /// A conversation of Codex's to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_codex_thread_id: Option<Id>,
    /// The session it is forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_session_id: Option<Id>,
    /// The message it is forked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from_message_id: Option<Id>,
    /// Whether it is a side conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_side_chat: Option<bool>,
}

impl SpawnRequest {
    /// A request with nothing but a directory.
    #[must_use]
    pub fn in_directory(directory: Path) -> Self {
        Self {
            kind: Some(Name::cut("spawn-in-directory")),
            directory,
            approved_new_directory_creation: None,
            client_request_id: None,
            agent: None,
            session_id: None,
            machine_id: None,
            permission_mode: None,
            model_mode: None,
            effort_level: None,
            environment_variables: None,
            token: None,
            resume_claude_session_id: None,
            resume_codex_thread_id: None,
            parent_session_id: None,
            forked_from_message_id: None,
            is_side_chat: None,
        }
    }
}

/// Starts an ended session again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeRequest {
    /// The session, by the server's id.
    pub session_id: Id,
    /// The model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Name>,
    /// How much the agent may do unasked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<Name>,
    /// The same key again means the same request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<Id>,
}

tagged! {
    /// What became of a [`SpawnRequest`] or [`ResumeRequest`]. `{error}` without a type is read by
    /// [`super::answer::read`], which also turns [`SpawnResult::Error`] into a failure.
    pub enum SpawnResult by "type" {
        /// It runs, and the server knows it.
        Success(Spawned) = "success",
        /// The directory is missing: ask the owner, then send the request again with the approval.
        RequestToApproveDirectoryCreation(MissingDirectory) = "requestToApproveDirectoryCreation",
        /// Not yet: ask again with the same key.
        Pending(Pending) = "pending",
        /// It could not be started.
        Error(SpawnError) = "error",
    }
}

/// See [`SpawnResult::Success`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spawned {
    /// The session, by the server's id.
    pub session_id: Id,
}

/// See [`SpawnResult::RequestToApproveDirectoryCreation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingDirectory {
    /// The directory, as it would be made.
    pub directory: Path,
}

/// See [`SpawnResult::Pending`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// The key of the request.
    pub client_request_id: Id,
    /// When to ask again, in milliseconds.
    #[serde(default)]
    pub retry_after_ms: u64,
}

/// See [`SpawnResult::Error`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpawnError {
    /// Why.
    pub error_message: Line,
}
