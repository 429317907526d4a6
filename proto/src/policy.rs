//! What agents may do without asking a person: the owner's rules. Deny beats ask, ask beats allow.

use serde::{Deserialize, Serialize};

use crate::agent::OnNoAnswer;
use crate::id::SessionId;

/// Rules a machine keeps: more than people write, few enough to be evaluated in a moment.
pub const MAX_RULES: usize = 256;
/// Bytes of one text of a rule.
pub const MAX_RULE_TEXT: usize = 1_024;

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Effect {
    /// Yes, without asking.
    Allow,
    /// Ask a person.
    Ask,
    /// No, without asking.
    Deny,
}

/// Where a rule holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "in", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Reach {
    /// One session. The rule goes with it.
    Session {
        /// Which.
        session: SessionId,
    },
    /// Sessions whose working directory is this one or lies below it.
    Project {
        /// Absolute, without `.` and `..`.
        directory: String,
    },
    /// Every session of the machine.
    Machine,
}

/// One rule. All that is said of a request must fit it; a rule that says nothing of one fits every one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rule {
    /// Its number, given by the daemon.
    #[serde(default)]
    pub id: u64,
    /// What it says.
    pub effect: Effect,
    /// Where it holds.
    pub reach: Reach,
    /// The tool's name; `None`: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Words a shell command begins with (`git status`). Never fits a command in which the shell does more than run
    /// that one program (`;`, `&&`, pipes, substitutions, redirections, …) for an allow; always for a deny.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// A directory; every path the request names must lie below it (for a deny: any of them), links resolved as far as
    /// they exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Unix milliseconds from which on it does not hold any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// The owner's policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Policy {
    /// The rules, in no order that matters.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// What becomes of a permission nobody answers.
    #[serde(default)]
    pub on_no_answer: OnNoAnswer,
    /// After how long, for `deny` and `allow-read-only`. Milliseconds, 1,000 to 86,400,000; default five minutes.
    #[serde(default = "default_no_answer_ms")]
    pub no_answer_ms: u64,
}

/// Five minutes.
#[must_use]
pub fn default_no_answer_ms() -> u64 {
    300_000
}

/// What a policy says of a request, and which rule made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Verdict {
    /// What is done.
    pub effect: Effect,
    /// Why, in words for a person.
    pub why: String,
    /// The rule that decided, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u64>,
}
