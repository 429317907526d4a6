//! The lines Claude Code writes: its stream-json protocol and its transcript. Only what is read of them is named.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// A line of the remote protocol.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line {
    /// The answer to a request of ours.
    ControlResponse {
        /// The answer.
        response: Answer,
    },
    /// A request to us.
    ControlRequest {
        /// Its id.
        request_id: String,
        /// What it wants.
        request: Request,
    },
    /// A request to us is moot.
    ControlCancelRequest {
        /// Its id.
        request_id: String,
    },
    /// What happens around the conversation.
    System(System),
    /// Words and tool uses of the agent.
    Assistant(Said),
    /// Results of tools, and what stands in the user's name.
    User(Said),
    /// A turn is over.
    Result(TurnResult),
    /// Anything else.
    #[serde(other)]
    Other,
}

/// The answer to a control request.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    /// `success` or `error`.
    pub(super) subtype: String,
    /// Of the request.
    pub(super) request_id: String,
    /// With `success`.
    #[serde(default)]
    pub(super) response: Value,
    /// With `error`.
    #[serde(default)]
    pub(super) error: Option<String>,
}

/// A control request to us.
#[derive(Debug, Deserialize)]
#[serde(tag = "subtype", rename_all = "snake_case")]
pub(super) enum Request {
    /// Whether a tool may be used, or a question to a person.
    CanUseTool(CanUseTool),
    /// Anything else: not ours to serve.
    #[serde(other)]
    Other,
}

/// See [`Request::CanUseTool`].
#[derive(Debug, Deserialize)]
pub(super) struct CanUseTool {
    /// The tool.
    pub(super) tool_name: String,
    /// Its input.
    #[serde(default)]
    pub(super) input: Value,
    /// The tool use.
    #[serde(default)]
    pub(super) tool_use_id: Option<String>,
    /// Ways to allow more than this once.
    #[serde(default)]
    pub(super) permission_suggestions: Vec<Value>,
    /// Whether a yes alone is no answer.
    #[serde(default)]
    pub(super) requires_user_interaction: bool,
}

/// A `system` line, of the stream or the transcript.
#[derive(Debug, Deserialize)]
pub(super) struct System {
    /// Which.
    pub(super) subtype: String,
    /// Of `session_state_changed`.
    #[serde(default)]
    pub(super) state: Option<String>,
    /// Of `init` and `status`.
    #[serde(default, rename = "permissionMode")]
    pub(super) permission_mode: Option<String>,
    /// Of `init`.
    #[serde(default)]
    pub(super) model: Option<String>,
    /// The conversation.
    #[serde(default)]
    pub(super) session_id: Option<String>,
    /// Of the line.
    #[serde(default)]
    pub(super) uuid: Option<String>,
    /// Of `api_retry`.
    #[serde(default)]
    pub(super) attempt: Option<u64>,
    /// Of `api_retry`.
    #[serde(default)]
    pub(super) max_retries: Option<u64>,
    /// Of `api_retry`.
    #[serde(default)]
    pub(super) error_status: Option<i64>,
    /// Which mode of Claude wrote the line of the transcript.
    #[serde(default)]
    pub(super) entrypoint: Option<String>,
}

/// An `assistant` or `user` line, of the stream or the transcript.
#[derive(Debug, Deserialize)]
pub(super) struct Said {
    /// What was said.
    pub(super) message: Message,
    /// Of the line.
    #[serde(default)]
    pub(super) uuid: Option<String>,
    /// The tool use whose sub-agent said it.
    #[serde(default)]
    pub(super) parent_tool_use_id: Option<String>,
    /// Whether it is a message of ours, told back.
    #[serde(default, rename = "isReplay")]
    pub(super) is_replay: bool,
    /// Transcript: of a sub-agent.
    #[serde(default, rename = "isSidechain")]
    pub(super) is_sidechain: bool,
    /// Transcript: not meant for people.
    #[serde(default, rename = "isMeta")]
    pub(super) is_meta: bool,
    /// Transcript: the model could not be reached, and these are the words for it.
    #[serde(default, rename = "isApiErrorMessage")]
    pub(super) is_api_error: bool,
    /// Transcript: which mode of Claude wrote the line.
    #[serde(default)]
    pub(super) entrypoint: Option<String>,
    /// Transcript: who is behind words in the user's name.
    #[serde(default)]
    pub(super) origin: Option<Origin>,
}

/// See [`Said::origin`].
#[derive(Debug, Deserialize)]
pub(super) struct Origin {
    /// `human`, or what else.
    #[serde(default)]
    pub(super) kind: Option<String>,
}

/// The message in a [`Said`].
#[derive(Debug, Deserialize)]
pub(super) struct Message {
    /// Of the model's reply: its blocks come in lines of their own.
    #[serde(default)]
    pub(super) id: Option<String>,
    /// What it holds.
    #[serde(default)]
    pub(super) content: Content,
    /// Set on the last block of a reply of the model.
    #[serde(default)]
    pub(super) stop_reason: Option<String>,
    /// Tokens of the reply.
    #[serde(default)]
    pub(super) usage: Option<Usage>,
}

/// Text, or blocks.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Content {
    /// Text.
    Text(String),
    /// Blocks.
    Blocks(Vec<Block>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Blocks(Vec::new())
    }
}

/// A block of a message.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block {
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// Thoughts.
    Thinking {
        /// The thoughts.
        #[serde(default)]
        thinking: String,
    },
    /// A tool is used.
    ToolUse {
        /// The use.
        id: String,
        /// The tool.
        name: String,
        /// Its input.
        #[serde(default)]
        input: Value,
    },
    /// What a tool gave.
    ToolResult {
        /// The use.
        tool_use_id: String,
        /// What it gave.
        #[serde(default)]
        content: Option<Content>,
        /// Whether it failed.
        #[serde(default)]
        is_error: Option<bool>,
    },
    /// Anything else (images, …).
    #[serde(other)]
    Other,
}

/// Tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Usage {
    /// Read anew.
    pub(super) input_tokens: u64,
    /// Written.
    pub(super) output_tokens: u64,
    /// Stored for reuse.
    pub(super) cache_creation_input_tokens: u64,
    /// Reused.
    pub(super) cache_read_input_tokens: u64,
}

/// A `result` line.
#[derive(Debug, Deserialize)]
pub(super) struct TurnResult {
    /// Whether the turn failed. The `subtype` says `success` for some that did.
    #[serde(default)]
    pub(super) is_error: bool,
    /// The last words, or what went wrong.
    #[serde(default)]
    pub(super) result: Option<String>,
    /// What went wrong inside.
    #[serde(default)]
    pub(super) errors: Vec<String>,
    /// Why the turn is over.
    #[serde(default)]
    pub(super) terminal_reason: Option<String>,
    /// Tokens of the turn.
    #[serde(default)]
    pub(super) usage: Option<Usage>,
    /// By model.
    #[serde(default, rename = "modelUsage")]
    pub(super) model_usage: BTreeMap<String, ModelUsage>,
    /// Of the line.
    #[serde(default)]
    pub(super) uuid: Option<String>,
}

/// What a model was used for, and its size.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ModelUsage {
    /// How many tokens it holds.
    pub(super) context_window: Option<u64>,
}

/// A line of the transcript.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Entry {
    /// See [`Line::Assistant`].
    Assistant(Said),
    /// See [`Line::User`].
    User(Said),
    /// See [`System`].
    System(System),
    /// Anything else.
    #[serde(other)]
    Other,
}
