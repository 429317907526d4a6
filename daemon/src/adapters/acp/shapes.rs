//! What is read of the Agent Client Protocol, version 1. Written by hand and forgiving: real agents leave out what the
//! schema demands and add what it does not know, and none of that may cost a line (ARCHITECTURE.md, "Agents").

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::options::ConfigOption;

/// The answer to `initialize`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Initialized {
    /// The version the agent speaks.
    pub(super) protocol_version: i64,
    /// What it can do.
    pub(super) agent_capabilities: Capabilities,
}

/// See [`Initialized`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Capabilities {
    /// It goes on with a conversation and tells all of it again.
    pub(super) load_session: bool,
    /// What else it can do with conversations.
    pub(super) session_capabilities: SessionCapabilities,
}

/// See [`Capabilities`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SessionCapabilities {
    /// It goes on with a conversation and tells nothing of it again.
    pub(super) resume: Option<Value>,
}

/// The answer to `session/new`, `session/load` and `session/resume`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Began {
    /// Of a new one.
    pub(super) session_id: Option<String>,
    /// Its modes.
    pub(super) modes: Option<Modes>,
    /// Its models.
    pub(super) models: Option<Models>,
    /// The options of its configuration.
    #[serde(deserialize_with = "forgiving")]
    pub(super) config_options: Option<Vec<ConfigOption>>,
}

/// What is not understood of it counts as not said.
pub(super) fn forgiving<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    from: D,
) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(from)?).ok())
}

/// See [`Began`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Modes {
    /// The one in use.
    pub(super) current_mode_id: Option<String>,
    /// All of them.
    #[serde(deserialize_with = "forgiving")]
    pub(super) available_modes: Option<Vec<AvailableMode>>,
}

/// See [`Modes`].
#[derive(Debug, Deserialize)]
pub(super) struct AvailableMode {
    /// What chooses it.
    pub(super) id: String,
    /// For people.
    pub(super) name: String,
    /// For people.
    #[serde(default)]
    pub(super) description: Option<String>,
}

/// See [`Began`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Models {
    /// The one in use.
    pub(super) current_model_id: Option<String>,
    /// All of them.
    #[serde(deserialize_with = "forgiving")]
    pub(super) available_models: Option<Vec<AvailableModel>>,
}

/// See [`Models`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AvailableModel {
    /// What chooses it.
    pub(super) model_id: String,
    /// For people.
    pub(super) name: String,
    /// For people.
    #[serde(default)]
    pub(super) description: Option<String>,
}

/// The answer to `session/set_config_option`; those to the other ways of setting something are empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Configured {
    /// All options as they are now.
    #[serde(deserialize_with = "forgiving")]
    pub(super) config_options: Option<Vec<ConfigOption>>,
}

/// The answer to `session/prompt`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Prompted {
    /// Why the turn is over.
    pub(super) stop_reason: String,
    /// Tokens of the turn.
    pub(super) usage: Option<Tokens>,
    /// Where some agents put them.
    #[serde(rename = "_meta")]
    pub(super) meta: Option<Meta>,
}

/// See [`Prompted`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    /// Tokens, as some agents tell them.
    pub(super) quota: Option<Quota>,
}

/// See [`Meta`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Quota {
    /// Tokens.
    pub(super) token_count: Option<Tokens>,
}

/// Tokens.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Tokens {
    /// Read.
    #[serde(alias = "input_tokens")]
    pub(super) input_tokens: u64,
    /// Written.
    #[serde(alias = "output_tokens")]
    pub(super) output_tokens: u64,
    /// Reused.
    #[serde(alias = "cachedInputTokens")]
    pub(super) cached_read_tokens: u64,
    /// Stored.
    pub(super) cached_write_tokens: u64,
}

/// `session/update`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Updated {
    /// The conversation.
    pub(super) session_id: String,
    /// What.
    pub(super) update: Update,
}

/// What is new in a conversation.
#[derive(Debug, Deserialize)]
#[serde(tag = "sessionUpdate", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the protocol's own names")]
pub(super) enum Update {
    /// Words of the agent.
    AgentMessageChunk(Chunk),
    /// Thoughts of the agent.
    AgentThoughtChunk(Chunk),
    /// A tool is used.
    ToolCall(ToolCall),
    /// News of a use.
    ToolCallUpdate(ToolCall),
    /// Another mode.
    #[serde(rename_all = "camelCase")]
    CurrentModeUpdate {
        /// Which.
        #[serde(default)]
        current_mode_id: Option<String>,
    },
    /// Other options of its configuration, or other values of them.
    ConfigOptionUpdate(Configured),
    /// Its commands.
    #[serde(rename_all = "camelCase")]
    AvailableCommandsUpdate {
        /// All of them.
        #[serde(default, deserialize_with = "forgiving")]
        available_commands: Option<Vec<Command>>,
    },
    /// How full the model is.
    UsageUpdate {
        /// How much it holds.
        #[serde(default)]
        size: Option<u64>,
    },
    /// Anything else.
    #[serde(other)]
    Other,
}

/// Something a message may begin with, after a `/`.
#[derive(Debug, Deserialize)]
pub(super) struct Command {
    /// Its name.
    pub(super) name: String,
}

/// A piece of words.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chunk {
    /// The piece.
    #[serde(default)]
    pub(super) content: Part,
    /// Which message it is of.
    #[serde(default)]
    pub(super) message_id: Option<String>,
}

/// A content; only words are read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Part {
    /// The words.
    pub(super) text: String,
}

/// A use of a tool, or what changed of it.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ToolCall {
    /// Its id.
    pub(super) tool_call_id: String,
    /// The tool, where the agent says.
    pub(super) name: Option<String>,
    /// For people.
    pub(super) title: Option<String>,
    /// `read`, `edit`, `delete`, `move`, `search`, `execute`, `think`, `fetch`, `other`.
    pub(super) kind: Option<String>,
    /// `pending`, `in_progress`, `completed`, `failed`.
    pub(super) status: Option<String>,
    /// Its input.
    pub(super) raw_input: Option<Value>,
    /// What it gave.
    pub(super) raw_output: Option<Value>,
    /// What it shows.
    pub(super) content: Option<Vec<Value>>,
    /// What it touches.
    pub(super) locations: Option<Vec<Location>>,
}

/// A place in a file.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Location {
    /// The file.
    pub(super) path: String,
}

/// `session/request_permission`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Asked {
    /// The use it is about.
    pub(super) tool_call: ToolCall,
    /// The ways to answer.
    #[serde(default)]
    pub(super) options: Vec<Choice>,
}

/// A way to answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Choice {
    /// Its id, of the agent's making.
    pub(super) option_id: String,
    /// `allow_once`, `allow_always`, `reject_once`, `reject_always`.
    #[serde(default)]
    pub(super) kind: String,
}
