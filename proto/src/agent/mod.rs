//! What an agent does and what it is told, in one language for all agents.
//!
//! An adapter's codec turns an agent's own protocol into [`AgentEvent`]s and [`AgentOrder`]s into that protocol. The
//! session's reducer sees nothing else of an agent; phone and desktop see the [`AgentRecord`]s of the event log.

mod memory;
mod mode;
mod offers;
mod permission;
mod record;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::memory::{AgentMemory, Handover, Launched, Left};
pub use self::mode::{Mode, is_effort};
pub use self::offers::{Choice, Offers, ToolServer};
pub use self::permission::{
    Allowed, Decision, OnNoAnswer, Outcome, PermissionAsk, PermissionEnd, PermissionView, Scope,
};
pub use self::record::{AgentRecord, RecordBody, TurnStatus};
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
    /// Conversations an agent left whose places are remembered: people go back to the last one or two.
    pub const LEFT: usize = 16;
    /// What may be allowed for a whole session at once; the oldest goes first.
    pub const ALLOWED: usize = 64;
    /// Bytes of a short text of an agent (a tool's name, a title, an id). Longer ones are cut.
    pub const SHORT_TEXT: usize = 1_024;
    /// Entries of a list of what an agent offers, tools for instance. A well-equipped one has sixty commands, and with a
    /// dozen tool servers two hundred tools; all lists of a session travel in one packet whenever one of them changes.
    pub const OFFERED: usize = 256;
    /// Bytes of each of their texts: names of tools have at most 64, a line for people fits.
    pub const OFFERED_TEXT: usize = 160;
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

/// How an agent is to be run. All of it is optional: the agent's own settings hold where nothing is said.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentOptions {
    /// Who drives at first. None: what its adapter offers first (local where it has a terminal program).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Control>,
    /// How it is to work at first.
    #[serde(flatten)]
    pub mode: Mode,
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
    /// It works like this now; what is none has not changed.
    Mode(Mode),
    /// It has this to offer now; what is none has not changed.
    Offers(Offers),
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
    /// Work like this from now on.
    SetMode(Mode),
    /// End in order: what is open is closed, nothing new begun. The runner exits by itself soon after.
    End,
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
    /// Whether both drive at once, by one runner: `control` is `remote` then and stays so, and the desktop comes in by
    /// `SessionTerminal`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared: bool,
    /// The agent's conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversation: Option<ConversationId>,
    /// How it works, as far as that is known.
    #[serde(flatten)]
    pub mode: Mode,
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
    /// What it has to offer, as far as it has said. Left out where many sessions are shown at once.
    #[serde(default, skip_serializing_if = "offers::is_nothing")]
    pub offers: Arc<Offers>,
}
