//! What a session can be asked.

use serde::{Deserialize, Serialize};

use super::params::NoParams;
use super::requests::requests;
use crate::sync::bounded::{Hidden, Id, Line, List, Name, Text};
use crate::sync::{Object, bounds};

requests! {
    /// A request to a session.
    pub enum SessionRequest {
        /// Ends the running turn. Answered with null.
        Abort(Abort) = "abort",
        /// Hands control over. Answered with whether it is so now.
        Switch(Switch) = "switch",
        /// Decides about a permission request. Answered with null when it was applied; an id nobody asked with is a failure.
        Permission(PermissionDecision) = "permission",
        /// Ends the session and archives it. Answered with [`super::answer::Message`].
        Kill(NoParams) = "killSession",
        /// Changes the agent's goal. Answered with null.
        Goal(GoalAction) = "goal-action",
    }
}

/// See [`SessionRequest::Abort`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Abort {
    /// For the agent to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Line>,
}

/// Who drives a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AgentControl {
    /// The terminal.
    Local,
    /// The phone.
    Remote,
}

/// See [`SessionRequest::Switch`]. Sets; never toggles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// Who shall drive.
    #[serde(alias = "mode")]
    pub to: AgentControl,
}

/// Happy's finer word beside `approved`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// This time.
    Approved,
    /// This time and whenever the like is asked in this session.
    ApprovedForSession,
    /// Not this.
    Denied,
    /// Not this, and stop.
    Abort,
}

/// See [`SessionRequest::Permission`]. Reads both families; writes Happy's `{id, approved, …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PermissionDecision {
    /// The request.
    #[serde(alias = "requestId")]
    pub id: Id,
    /// Whether it may.
    #[serde(alias = "allow")]
    pub approved: bool,
    /// Why, for the agent to read.
    #[serde(default, alias = "message", skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text<{ bounds::CALL_TEXT }>>,
    /// How much the agent may do unasked from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Name>,
    /// What it may do unasked from now on.
    #[serde(default, alias = "allowedTools", skip_serializing_if = "Option::is_none")]
    pub allow_tools: Option<List<Text<{ bounds::LINE }>, { bounds::CALL_ENTRIES }>>,
    /// The finer word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// The tool's input as it shall be instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_input: Option<Hidden<Object>>,
}

/// See [`SessionRequest::Goal`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoalAction {
    /// `clear`, `stop` or `edit`.
    pub action: Name,
    /// With `edit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Hidden<Text<{ bounds::CALL_TEXT }>>>,
}
