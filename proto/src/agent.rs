//! What an agent does and what it is told, in one language for all agents.
//!
//! An adapter's codec turns an agent's own protocol into [`AgentEvent`]s and [`AgentOrder`]s into that protocol. The
//! session's reducer sees nothing else of an agent; phone and desktop see the [`AgentRecord`]s of the event log.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{ConversationId, LocalId, PermissionId};
use crate::session::{Origin, PhoneMessages};

/// Bounds on what passes between agents and people.
pub mod bounds {
    /// Bytes of one message to an agent: far more than people write, small enough to be sealed and sent in one piece.
    pub const MESSAGE: usize = 256 << 10;
    /// Bytes of the text of one record. Longer ones are cut, and say so.
    pub const RECORD_TEXT: usize = 256 << 10;
    /// Bytes of a tool's input as shown in a record or a permission, as JSON. Larger inputs are replaced by a note that
    /// says how large they were; the agent keeps the real one.
    pub const TOOL_INPUT: usize = 64 << 10;
    /// Bytes of one line of an agent's protocol; longer ones are skipped, counted and shown as skipped. Agents send whole
    /// files in one line.
    pub const LINE: usize = 16 << 20;
    /// Permissions of one session that may wait for a decision at once. Agents ask one at a time, or a handful.
    pub const PENDING: usize = 64;
    /// Decided permissions that are remembered; the oldest go first.
    pub const COMPLETED: usize = 200;
    /// Messages that wait for an agent that starts or switches.
    pub const QUEUED: usize = 64;
    /// Bytes of all of them.
    pub const QUEUED_BYTES: usize = 1 << 20;
    /// Ids of accepted messages that are remembered against doubles.
    pub const ACCEPTED: usize = 128;
    /// Keys of records that are remembered against doubles: two sources of one agent are never further apart.
    pub const SEEN: usize = 256;
    /// What may be allowed for a whole session at once; the oldest goes first.
    pub const ALLOWED: usize = 64;
    /// Bytes of a short text of an agent (a tool's name, a title, an id). Longer ones are cut.
    pub const SHORT_TEXT: usize = 1_024;
    /// Paths of one permission that are shown.
    pub const PATHS: usize = 64;
}

/// Who drives a session that has an agent in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Control {
    /// The desktop, in the agent's own terminal program.
    Local,
    /// The phone (or `delightctl send`), through the agent's structured protocol.
    Remote,
}

impl Control {
    /// The word of the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Remote => "remote",
        }
    }
}

/// What an agent is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Activity {
    /// Nobody knows: it was just started, or its adapter has no way to tell.
    #[default]
    Unknown,
    /// It waits for a message.
    Idle,
    /// It works on one.
    Working,
    /// It waits for a decision or an answer of a person.
    NeedsDecision,
}

/// Where something an agent did was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Source {
    /// The runner's output; marks are offsets of the session's journal.
    Stream,
    /// A file the agent writes; marks are offsets of that file.
    Transcript,
    /// A file in which the agent says what it is doing; its marks are always 0 and nothing of it is deduplicated.
    Status,
}

/// A place in a source: everything up to and including it has been taken in. Orders within one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mark {
    /// Offset after the line it came from.
    pub offset: u64,
    /// Which of the events of that line, from 0.
    pub index: u32,
}

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

/// What an item of a conversation is. Texts are at most [`bounds::RECORD_TEXT`].
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
        /// The tool's input; bounded by [`bounds::TOOL_INPUT`].
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
    /// The tool's input; bounded by [`bounds::TOOL_INPUT`].
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

/// See [`RecordBody`].
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

/// See [`RecordBody`].
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

/// A message on its way to the agent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Message {
    /// The sender's id of it: the same id again is the same message.
    pub local_id: LocalId,
    /// The words.
    pub text: String,
    /// By whom.
    pub origin: Origin,
}

/// See [`RecordBody`].
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({}, {} bytes)", self.local_id, self.text.len())
    }
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

/// How an agent is to be run. All of it is optional: the agent's own settings hold where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentOptions {
    /// Who drives at first. None: what its adapter offers first (local where it has a terminal program).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// The agent's name of a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The agent's name of a permission mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<String>,
    /// A conversation of the agent's to go on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// What becomes of a phone's message while the desktop drives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phone_messages: Option<PhoneMessages>,
}

/// Something an agent did or said, as its codec (or a watcher of its files) understood it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "kebab-case")]
pub enum AgentEvent {
    /// It takes messages from now on. Once a generation in remote mode.
    Ready,
    /// It works in this conversation of its own.
    Conversation {
        /// Its id.
        id: ConversationId,
    },
    /// What it is doing.
    Activity {
        /// That.
        activity: Activity,
    },
    /// An item of the conversation.
    Record {
        /// The item.
        record: AgentRecord,
    },
    /// It asks, and waits.
    Asked {
        /// What.
        ask: PermissionAsk,
    },
    /// It does not wait any more: somebody answered elsewhere, or it became moot.
    Withdrawn {
        /// Which request.
        id: PermissionId,
    },
    /// Its model or permission mode is this now.
    Mode {
        /// The model, if that is what changed.
        model: Option<String>,
        /// The permission mode, if that is what changed.
        permission_mode: Option<String>,
    },
    /// It cannot serve in this mode (no login, a conversation it does not know): the runner is to be given up.
    Unable {
        /// What, why, fix.
        refusal: crate::refusal::Refusal,
    },
    /// Output that was not understood and is left out: shown, counted, skipped.
    Skipped {
        /// Bytes.
        bytes: u64,
        /// What was wrong, without any of its content.
        what: String,
    },
}

/// What an agent is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum AgentOrder {
    /// A message.
    Prompt {
        /// The message.
        message: Message,
    },
    /// The answer to its request.
    Decide {
        /// What it had asked.
        ask: PermissionAsk,
        /// The answer.
        decision: Decision,
    },
    /// Stop what it is doing.
    Abort,
    /// Use another model or permission mode from now on.
    SetMode {
        /// The model.
        model: Option<String>,
        /// The permission mode.
        permission_mode: Option<String>,
    },
    /// End in order: what is open is closed, nothing new begun. The runner exits by itself soon after.
    End,
}

/// What survives of an agent in the registry's record.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AgentMemory {
    /// Who drives (or will, once the runner is up).
    #[serde(default)]
    pub control: Option<Control>,
    /// The agent's conversation: what a new runner goes on with.
    #[serde(default)]
    pub conversation: Option<ConversationId>,
    /// The model in use, when known or asked for.
    #[serde(default)]
    pub model: Option<String>,
    /// The permission mode in use, when known or asked for.
    #[serde(default)]
    pub permission_mode: Option<String>,
    /// How far the runner's output has been taken in.
    #[serde(default)]
    pub stream: Mark,
    /// How far the agent's transcript has been taken in.
    #[serde(default)]
    pub transcript: Mark,
    /// The turn under way.
    #[serde(default)]
    pub turn: Option<String>,
    /// What it was doing when last heard of, where that was read, and since when (Unix milliseconds).
    #[serde(default)]
    pub activity: Option<ActivityView>,
    /// Permissions, oldest first: those that wait and the last [`bounds::COMPLETED`] that ended.
    #[serde(default)]
    pub permissions: Vec<PermissionView>,
    /// Messages that were accepted and not yet given to the agent, oldest first.
    #[serde(default)]
    pub queue: Vec<Message>,
    /// Ids of messages accepted lately, oldest first, against doubles; at most 128.
    #[serde(default)]
    pub accepted: Vec<LocalId>,
    /// Until when everything is allowed unasked (Unix milliseconds).
    #[serde(default)]
    pub bypass_until_ms: Option<u64>,
    /// What the newest runner was started with: how its output has to be read again, whatever is known by now.
    #[serde(default)]
    pub launched: Launched,
    /// The generation that has said [`AgentEvent::Ready`], newest only.
    #[serde(default)]
    pub ready: Option<u64>,
    /// The change of control under way.
    #[serde(default)]
    pub handover: Option<Handover>,
    /// Fingerprints of the keys of records taken in lately, oldest first, against doubles; at most [`bounds::SEEN`].
    #[serde(default)]
    pub seen: Vec<u64>,
    /// What is allowed unasked as long as the session lives, oldest first; at most [`bounds::ALLOWED`].
    #[serde(default)]
    pub allowed: Vec<Allowed>,
}

/// What a runner is started with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Launched {
    /// The conversation it goes on with.
    #[serde(default)]
    pub conversation: Option<ConversationId>,
    /// The model.
    #[serde(default)]
    pub model: Option<String>,
    /// The permission mode.
    #[serde(default)]
    pub permission_mode: Option<String>,
}

/// A change of control under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handover {
    /// Who drove before, and will again if it fails.
    pub from: Control,
    /// The first generation that serves whom it goes to; older ones still serve `from`.
    pub generation: u64,
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

/// See [`RecordBody`].
impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Allowed({})", self.tool)
    }
}

/// What an agent is doing, how that is known and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ActivityView {
    /// That.
    pub activity: Activity,
    /// Where it was read.
    pub source: Source,
    /// Unix milliseconds.
    pub since_ms: u64,
}

/// The agent of a session as clients see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentView {
    /// Who drives; while it switches: who will.
    pub control: Control,
    /// Whether a switch is under way.
    #[serde(default)]
    pub switching: bool,
    /// Who can drive a session of this kind.
    pub controls: Vec<Control>,
    /// The agent's conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// The model in use, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The permission mode in use, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_mode: Option<String>,
    /// What it is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<ActivityView>,
    /// Permissions that wait for a decision, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<PermissionView>,
    /// Messages that wait for the agent.
    #[serde(default)]
    pub queued: u32,
    /// Until when everything is allowed unasked (Unix milliseconds).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bypass_until_ms: Option<u64>,
    /// What becomes of a phone's message while the desktop drives.
    pub phone_messages: PhoneMessages,
}
