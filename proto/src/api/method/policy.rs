//! The owner's policy.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire;
use crate::agent::OnNoAnswer;
use crate::policy::Rule;

wire! {
    /// Of `PolicyAdd`.
    pub struct PolicyAddParams {
        /// The rule; its number is given by the daemon.
        pub rule: Rule,
    }

    /// Of `PolicyRemove`.
    pub struct PolicyRemoveParams {
        /// The rule's number.
        pub id: u64,
    }

    /// Of `PolicySet`.
    pub struct PolicySetParams {
        /// What becomes of a permission nobody answers.
        pub on_no_answer: OnNoAnswer,
        /// After how long; absent: stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub no_answer_ms: Option<u64>,
    }

    /// Of `PolicyTest`.
    pub struct PolicyTestParams {
        /// The session, for rules that hold in one; absent: none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub session: Option<String>,
        /// Its working directory; default: the session's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pub cwd: Option<String>,
        /// The tool.
        pub tool: String,
        /// Its input, as the agent would say it.
        #[serde(default)]
        pub input: Value,
    }
}
