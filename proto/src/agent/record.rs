//! What happens in a conversation, item by item, as phone and desktop show it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One item of a conversation, as phone and desktop show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentRecord {
    /// The agent's own id of it, when it has one: the same item read again (from another source, after a crash) is the
    /// same key. Unique within the session together with the kind of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The tool call whose sub-agent did it; none: the agent itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// What it is.
    #[serde(flatten)]
    pub body: RecordBody,
}

/// What an item of a conversation is. Texts are at most [`super::bounds::RECORD_TEXT`].
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RecordBody {
    /// The agent begins to work on a message. Every turn that starts ends.
    TurnStarted {
        /// The turn.
        turn: String,
    },
    /// The turn is over.
    TurnEnded {
        /// The turn.
        turn: String,
        /// How.
        status: TurnStatus,
    },
    /// Words a person typed at the agent's own terminal program.
    UserText {
        /// The words.
        text: String,
    },
    /// Words of the agent.
    Text {
        /// The words.
        text: String,
    },
    /// Thoughts of the agent.
    Thinking {
        /// The thoughts.
        text: String,
    },
    /// A tool is used.
    ToolStarted {
        /// The use's id.
        call: String,
        /// The tool.
        tool: String,
        /// A line for people.
        title: String,
        /// The tool's input; bounded by [`super::bounds::TOOL_INPUT`].
        input: Value,
    },
    /// The tool is done.
    ToolEnded {
        /// The use's id.
        call: String,
        /// Whether it failed or was not allowed.
        failed: bool,
        /// What it gave, cut to what people read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<String>,
    },
    /// Tokens a step took.
    Usage {
        /// Read anew.
        input_tokens: u64,
        /// Written.
        output_tokens: u64,
        /// Stored for reuse.
        #[serde(default)]
        cache_written_tokens: u64,
        /// Reused.
        #[serde(default)]
        cache_read_tokens: u64,
        /// How many the model can hold, when known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context_window: Option<u64>,
    },
    /// Something failed; the words are the agent's.
    Error {
        /// What.
        message: String,
        /// Whether the agent tries again by itself.
        #[serde(default)]
        retrying: bool,
    },
    /// Words for the person from the program around the agent.
    Notice {
        /// The words.
        message: String,
    },
}

/// Conversations are the owner's: only kinds and lengths are ever printed.
impl fmt::Debug for RecordBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            |f: &mut fmt::Formatter<'_>, kind: &str, text: &str| write!(f, "{kind}({} bytes)", text.len());
        match self {
            Self::TurnStarted { turn } => write!(f, "TurnStarted({turn})"),
            Self::TurnEnded { turn, status } => write!(f, "TurnEnded({turn}, {status:?})"),
            Self::UserText { text: words } => text(f, "UserText", words),
            Self::Text { text: words } => text(f, "Text", words),
            Self::Thinking { text: words } => text(f, "Thinking", words),
            Self::ToolStarted { call, tool, .. } => write!(f, "ToolStarted({call}, {tool})"),
            Self::ToolEnded { call, failed, .. } => write!(f, "ToolEnded({call}, failed: {failed})"),
            Self::Usage { input_tokens, output_tokens, .. } => {
                write!(f, "Usage({input_tokens}, {output_tokens})")
            }
            Self::Error { message, .. } => text(f, "Error", message),
            Self::Notice { message } => text(f, "Notice", message),
        }
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum TurnStatus {
    /// As it should.
    Completed,
    /// With an error.
    Failed,
    /// It was stopped.
    Cancelled,
}
