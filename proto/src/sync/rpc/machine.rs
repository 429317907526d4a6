//! What a machine can be asked.

use serde::{Deserialize, Serialize};

use super::api::ApiRequest;
use super::fork::ForkConversation;
use super::params::NoParams;
use super::requests::requests;
use super::spawn::{ResumeRequest, SpawnRequest};
use crate::sync::bounded::{Id, Line, Name, Path};

requests! {
    /// A request to a machine. The first name of each method is Happy's, where it has one.
    pub enum MachineRequest {
        /// Starts a session. Answered with [`super::SpawnResult`].
        Spawn(Box<SpawnRequest>) = "spawn-happy-session" | "spawn-session",
        /// Starts an ended session again. Answered with [`super::SpawnResult`].
        Resume(ResumeRequest) = "resume-happy-session" | "resume-session",
        /// Stops a session; answered when nothing of it is alive, with [`super::answer::Message`].
        StopSession(StopSession) = "stop-session",
        /// Stops the daemon; sessions go on. Answered with [`super::answer::Message`].
        StopDaemon(NoParams) = "stop-daemon",
        /// Answered with `{success: true}`.
        Ping(NoParams) = "ping",
        /// Lists the machine's sessions. Answered with [`MachineSessions`]. Ours: Happy has none.
        ListSessions(NoParams) = "list-sessions",
        /// One request of the control API. Answered with [`super::ApiAnswer`]. Ours: Happy has none.
        Api(ApiRequest) = "delight-api",
        /// Copies a conversation of Claude's. Answered with [`super::Forked`].
        ForkClaude(ForkConversation) = "claude-fork-session",
        /// The same up to a message.
        DuplicateClaude(ForkConversation) = "claude-duplicate-session",
        /// Where a conversation of Claude's can be cut. Answered with [`super::RewindPoints`].
        ClaudeRewindPoints(ForkConversation) = "claude-list-rewind-points",
        /// Copies a conversation of Codex's.
        ForkCodex(ForkConversation) = "codex-fork-thread",
        /// The same up to an item.
        DuplicateCodex(ForkConversation) = "codex-duplicate-thread",
        /// Where a conversation of Codex's can be cut.
        CodexRewindPoints(ForkConversation) = "codex-list-rewind-points",
    }
}

/// See [`MachineRequest::StopSession`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopSession {
    /// The session, by the server's id or by ours.
    pub session_id: Id,
}

/// See [`MachineRequest::ListSessions`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineSessions {
    /// The sessions, newest first.
    pub sessions: Vec<MachineSession>,
}

/// One of a machine's sessions, as the machine knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MachineSession {
    /// The machine's own id of it.
    pub id: Id,
    /// The server's id of it, once it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<Id>,
    /// The name a person gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Its kind.
    pub kind: Name,
    /// Its working directory.
    pub directory: Path,
    /// Its phase, as the control API names it.
    pub phase: Name,
    /// Why it is in that phase, if there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Line>,
    /// Unix milliseconds.
    pub created_at: u64,
}
