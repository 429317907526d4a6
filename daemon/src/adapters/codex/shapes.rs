//! What is read of the app server's lines.

use serde::Deserialize;
use serde_json::Value;

/// The thread and turn a notification is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct About {
    /// The thread.
    pub(super) thread_id: Option<String>,
    /// The turn.
    pub(super) turn_id: Option<String>,
}

/// An answer that holds a thread.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Started {
    /// The thread.
    pub(super) thread: Thread,
    /// Its model.
    #[serde(default)]
    pub(super) model: Option<String>,
    /// How hard it thinks.
    #[serde(default)]
    pub(super) reasoning_effort: Option<String>,
}

/// A thread: a conversation.
#[derive(Debug, Deserialize)]
pub(super) struct Thread {
    /// Its id.
    pub(super) id: String,
}

/// `thread/started`, and the answer to a look at a thread.
#[derive(Debug, Deserialize)]
pub(super) struct OfNewThread {
    /// The thread.
    pub(super) thread: NewThread,
}

/// A thread that was begun by somebody.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NewThread {
    /// Its id.
    pub(super) id: String,
    /// Whether nothing of it is kept: Codex thinks of titles in such.
    #[serde(default)]
    ephemeral: bool,
    /// The thread whose sub-agent works in it.
    #[serde(default)]
    parent_thread_id: Option<String>,
    /// Who wanted it.
    #[serde(default)]
    thread_source: Option<String>,
}

impl NewThread {
    /// Whether a person began it, at a terminal program.
    pub(super) fn is_begun_by_a_person(&self) -> bool {
        self.may_be_a_persons() && self.thread_source.is_some()
    }

    /// Whether a person can be in it: none is in what Codex begins for itself. What clients like us began has no source.
    pub(super) fn may_be_a_persons(&self) -> bool {
        let source = self.thread_source.as_deref();
        !self.ephemeral && self.parent_thread_id.is_none() && source.is_none_or(|source| source == "user")
    }
}

/// `thread/settings/updated`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfSettings {
    /// All of them.
    pub(super) thread_settings: Settings,
}

/// How a thread's next turn will be run.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Settings {
    /// The model.
    pub(super) model: String,
    /// How hard it thinks; none: as the model does by itself.
    #[serde(default)]
    pub(super) effort: Option<String>,
    /// When it asks.
    #[serde(default)]
    pub(super) approval_policy: Value,
    /// What it may do without asking.
    #[serde(default)]
    pub(super) sandbox_policy: Value,
}

/// `turn/started`, `turn/completed`, and the answer to `turn/start`.
#[derive(Debug, Deserialize)]
pub(super) struct OfTurn {
    /// The turn.
    pub(super) turn: Turn,
}

/// A turn.
#[derive(Debug, Deserialize)]
pub(super) struct Turn {
    /// Its id.
    pub(super) id: String,
    /// `inProgress`, `completed`, `interrupted`, `failed`.
    #[serde(default)]
    pub(super) status: String,
    /// Why it failed.
    #[serde(default)]
    pub(super) error: Option<Trouble>,
}

/// What went wrong.
#[derive(Debug, Deserialize)]
pub(super) struct Trouble {
    /// In words.
    #[serde(default)]
    pub(super) message: String,
}

/// `error`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfTrouble {
    /// What.
    pub(super) error: Trouble,
    /// Whether it tries again by itself.
    #[serde(default)]
    pub(super) will_retry: bool,
}

/// `thread/status/changed`.
#[derive(Debug, Deserialize)]
pub(super) struct OfStatus {
    /// The status.
    pub(super) status: Status,
}

/// What a thread is doing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    /// `idle`, `active`, …
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// What an active one waits for.
    #[serde(default)]
    pub(super) active_flags: Vec<String>,
}

/// `item/started` and `item/completed`.
#[derive(Debug, Deserialize)]
pub(super) struct OfItem {
    /// The item, of many kinds.
    pub(super) item: Value,
}

/// `thread/tokenUsage/updated`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OfUsage {
    /// Tokens.
    pub(super) token_usage: TokenUsage,
}

/// See [`OfUsage`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenUsage {
    /// Of the last step.
    pub(super) last: Tokens,
    /// How many the model holds.
    #[serde(default)]
    pub(super) model_context_window: Option<u64>,
}

/// Tokens of a step; the transcript has the same in `snake_case`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Tokens {
    /// All that was read.
    #[serde(alias = "input_tokens")]
    pub(super) input_tokens: u64,
    /// How much of it was stored before.
    #[serde(alias = "cached_input_tokens")]
    pub(super) cached_input_tokens: u64,
    /// Stored for reuse.
    #[serde(alias = "cache_write_input_tokens")]
    pub(super) cache_write_input_tokens: u64,
    /// Written.
    #[serde(alias = "output_tokens")]
    pub(super) output_tokens: u64,
}

/// `item/commandExecution/requestApproval`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CommandApproval {
    /// The turn.
    #[serde(default)]
    pub(super) turn_id: String,
    /// The item.
    #[serde(default)]
    pub(super) item_id: Option<String>,
    /// As it would be run.
    #[serde(default)]
    pub(super) command: Option<String>,
    /// Where.
    #[serde(default)]
    pub(super) cwd: Option<String>,
    /// Why it asks.
    #[serde(default)]
    pub(super) reason: Option<String>,
    /// What it consists of.
    #[serde(default)]
    pub(super) command_actions: Option<Vec<Action>>,
}

/// A part of a command.
#[derive(Debug, Deserialize)]
pub(super) struct Action {
    /// The command without the shell around it.
    #[serde(default)]
    pub(super) command: String,
}

/// `item/fileChange/requestApproval`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeApproval {
    /// The turn.
    #[serde(default)]
    pub(super) turn_id: String,
    /// The item, told before with its changes.
    #[serde(default)]
    pub(super) item_id: Option<String>,
    /// Why it asks.
    #[serde(default)]
    pub(super) reason: Option<String>,
    /// The directory it wants to write below from now on.
    #[serde(default)]
    pub(super) grant_root: Option<String>,
}

/// `item/tool/requestUserInput`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserInput {
    /// The turn.
    #[serde(default)]
    pub(super) turn_id: String,
    /// The item.
    #[serde(default)]
    pub(super) item_id: Option<String>,
    /// The questions.
    #[serde(default)]
    pub(super) questions: Vec<Value>,
}

/// `serverRequest/resolved`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resolved {
    /// The request.
    pub(super) request_id: crate::adapters::json_rpc::Id,
}
