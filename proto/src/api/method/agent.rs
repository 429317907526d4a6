//! Agents: messages, permissions, control.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wire;
use crate::agent::{Control, Decision, PermissionView};
use crate::id::{LocalId, SessionId, SessionName};
use crate::refusal::Refusal;

wire! {
    /// Of `SessionPrompt`.
    pub struct PromptParams {
        /// Which.
        pub session: String,
        /// The words; at most [`crate::agent::bounds::MESSAGE`] bytes.
        pub text: String,
        /// The sender's id of the message: the same again is not given to the agent twice. Default: a new one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub local_id: Option<LocalId>,
    }

    /// Of `SessionPrompt`.
    pub struct PromptResult {
        /// The message's id.
        pub local_id: LocalId,
    }

    /// Of `SessionSwitch`.
    pub struct SwitchParams {
        /// Which.
        pub session: String,
        /// Who is to drive.
        pub to: Control,
    }

    /// Of `SessionTerminal`.
    pub struct TerminalProgram {
        /// Program and arguments; at least one.
        pub argv: Vec<String>,
        /// Environment entries to lay over one's own.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        pub env: BTreeMap<String, String>,
    }

    /// Of `SessionDecide`.
    pub struct DecideParams {
        /// Which session.
        pub session: String,
        /// Which permission: its whole id or a unique prefix; absent: the only one that waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub permission: Option<String>,
        /// The answer.
        pub decision: Decision,
    }

    /// Of `SessionSetMode`.
    pub struct SetModeParams {
        /// Which.
        pub session: String,
        /// The model; absent: stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub model: Option<String>,
        /// The permission mode; absent: stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub permission_mode: Option<String>,
        /// How hard it is to think; absent: stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub effort: Option<String>,
    }

    /// Of `SessionBypass`.
    pub struct BypassParams {
        /// Which.
        pub session: String,
        /// For how long: milliseconds, at most 86,400,000; absent: end it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub for_ms: Option<u64>,
    }

    /// Of `PermissionList`.
    pub struct PermissionListResult {
        /// Oldest first.
        pub permissions: Vec<SessionPermission>,
    }

    /// A permission and whose it is.
    pub struct SessionPermission {
        /// The session.
        pub session: SessionId,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub name: Option<SessionName>,
        /// The permission.
        pub permission: PermissionView,
    }

    /// Of `AgentList`.
    pub struct AgentListResult {
        /// By kind.
        pub agents: Vec<AgentKind>,
    }

    /// A kind of session and whether it can be started here.
    pub struct AgentKind {
        /// The kind.
        pub kind: String,
        /// Who can drive it; empty: a plain terminal.
        pub controls: Vec<Control>,
        /// The program it would run, when it is found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub program: Option<String>,
        /// What is missing (not installed, not logged in) and how to get it, when something is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub missing: Option<Refusal>,
    }
}
