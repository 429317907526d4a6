//! What an agent asks to be allowed, and what is decided.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::PermissionId;
use crate::session::Origin;

/// What an agent asks to be allowed, or answered.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PermissionAsk {
    /// The agent's id of the request. The same id again is the same request.
    pub id: PermissionId,
    /// The tool.
    pub tool: String,
    /// A line for people.
    pub title: String,
    /// The tool's input; bounded by [`super::bounds::TOOL_INPUT`].
    pub input: Value,
    /// The tool use it is about, when the agent says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// The shell command it would run, if it is one. By the adapter, which knows the agent's tools.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The paths it would touch, absolute, links resolved as far as they exist. By the adapter and the shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Whether it only reads. By the adapter; when in doubt, no.
    #[serde(default)]
    pub read_only: bool,
    /// Whether it is a question to a person (an answer is needed, not only a yes): no policy may decide it.
    #[serde(default)]
    pub question: bool,
}

/// See [`super::RecordBody`].
impl fmt::Debug for PermissionAsk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PermissionAsk({}, {})", self.id, self.tool)
    }
}

/// How long a decision holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Scope {
    /// For this request.
    #[default]
    Once,
    /// For requests like it, as long as the session lives.
    Session,
}

/// What was decided about a permission.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Decision {
    /// Yes or no.
    pub allow: bool,
    /// How long it holds.
    #[serde(default)]
    pub scope: Scope,
    /// Words the agent sees with a no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The answers to a question, in the agent's own shape.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<Value>,
    /// A permission mode to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<String>,
}

/// See [`super::RecordBody`].
impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decision(allow: {}, {:?})", self.allow, self.scope)
    }
}

/// How a permission ended. Every one that was asked ends exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Outcome {
    /// Yes.
    Allowed,
    /// No.
    Denied,
    /// Nobody answered in the time the owner's policy gives.
    Expired,
    /// It became moot: aborted, switched, restarted, ended, or the agent took it back.
    Withdrawn,
}

/// A permission as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PermissionView {
    /// What was asked.
    pub ask: PermissionAsk,
    /// Generation of the runner that asked: another one that uses the same id asks something else.
    #[serde(default)]
    pub generation: u64,
    /// Unix milliseconds.
    pub asked_ms: u64,
    /// Unix milliseconds when it expires, if the owner's policy says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// How it ended; none: it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<PermissionEnd>,
}

/// The end of a permission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PermissionEnd {
    /// How.
    pub outcome: Outcome,
    /// What was decided, when somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// By whom; the daemon: by policy or because it became moot.
    pub by: Origin,
    /// Why, in words for a person: the rule that decided, what made it moot. Empty when the rest says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Whether the agent has been given the decision.
    #[serde(default)]
    pub delivered: bool,
}

/// What becomes of a permission nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum OnNoAnswer {
    /// It waits for ever.
    #[default]
    Wait,
    /// It is denied when its time is over.
    Deny,
    /// What only reads is allowed when its time is over, the rest denied.
    AllowReadOnly,
}

/// What somebody allowed for a whole session: this tool with exactly this.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Allowed {
    /// The tool.
    pub tool: String,
    /// The shell command, letter by letter, if it is one.
    #[serde(default)]
    pub command: Option<String>,
    /// The tool's input, where there is no command.
    #[serde(default)]
    pub input: Option<Value>,
}

/// See [`super::RecordBody`].
impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Allowed({})", self.tool)
    }
}
