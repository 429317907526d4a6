//! The event log's entries: what happened to a session, numbered from 1 without a gap.

use serde::{Deserialize, Serialize};

use crate::agent::{
    ActivityView, AgentRecord, Control, Decision, Mark, Message, Mode, Offers, Outcome, PermissionAsk, Source,
};
use crate::id::{ConversationId, LocalId, PermissionId};
use crate::session::{Exit, HolderIdentity, Origin};

/// One entry of a session's event log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Number within the session, contiguous from 1. Assigned by the session's reducer; the store refuses a gap.
    pub seq: u64,
    /// Unix milliseconds.
    pub at_ms: u64,
    /// Journal offset (bytes of output so far) when it happened, as far as it was known.
    pub offset: u64,
    /// What happened.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EventBody {
    /// The session was made.
    Spawned {
        /// By whom.
        origin: Origin,
    },
    /// Its holder is up.
    HolderStarted {
        /// Which.
        holder: HolderIdentity,
    },
    /// A runner is up.
    Started {
        /// Its generation.
        generation: u64,
        /// Its process id.
        pid: u32,
    },
    /// A runner (or the holder under it) could not be started.
    StartFailed {
        /// The generation that failed.
        generation: u64,
        /// Why.
        reason: String,
    },
    /// A runner ended.
    Exited {
        /// Its generation.
        generation: u64,
        /// How.
        exit: Exit,
    },
    /// The session ended while nobody watched.
    Interrupted {
        /// What is known of why.
        reason: String,
    },
    /// A new daemon found the holder alive and took over.
    Adopted {
        /// Generation that was running.
        generation: u64,
    },
    /// Input was written to the runner through the control API. The bytes themselves are in the journal.
    InputSent {
        /// By whom.
        origin: Origin,
        /// How many bytes.
        bytes: u64,
    },
    /// Somebody asked it to end.
    StopRequested {
        /// By whom.
        origin: Origin,
        /// Whether it was to be killed at once.
        kill: bool,
    },
    /// The daemon signalled the session's process tree.
    Signalled {
        /// Signal number.
        signal: i32,
    },
    /// A restart is due.
    RestartScheduled {
        /// Which try in a row, from 1.
        attempt: u32,
        /// Unix milliseconds when.
        due_ms: u64,
    },
    /// Somebody asked for it to run again.
    Resumed {
        /// By whom.
        origin: Origin,
    },
    /// It got another name.
    Renamed {
        /// The name, or none.
        name: Option<String>,
    },
    /// Its holder has trouble the owner should know of, or is over it.
    Trouble {
        /// The holder's words; empty: the trouble is over.
        warning: String,
    },
    /// An item of the agent's conversation.
    Recorded {
        /// Where it was read.
        source: Source,
        /// How far that source has been taken in with it.
        mark: Mark,
        /// The item.
        record: AgentRecord,
    },
    /// The agent works in this conversation of its own now.
    ConversationChanged {
        /// Its id.
        conversation: ConversationId,
    },
    /// What the agent is doing changed.
    ActivityChanged {
        /// What it is now.
        #[serde(flatten)]
        view: ActivityView,
    },
    /// How the agent works changed, or was asked to.
    ModeChanged {
        /// What of it.
        #[serde(flatten)]
        mode: Mode,
        /// By whom; the daemon: the agent said so.
        origin: Origin,
    },
    /// The agent has other things to offer than before.
    OffersChanged {
        /// The lists that changed.
        offers: Offers,
    },
    /// The agent asks and waits.
    PermissionAsked {
        /// What.
        ask: PermissionAsk,
        /// Unix milliseconds when it expires, if the owner's policy says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_ms: Option<u64>,
    },
    /// A permission ended.
    PermissionEnded {
        /// Which.
        id: PermissionId,
        /// How.
        outcome: Outcome,
        /// What was decided, when somebody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Decision>,
        /// By whom; the daemon: by policy or because it became moot.
        origin: Origin,
        /// Why, in words for a person.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// The agent has been given the decision.
    DecisionDelivered {
        /// Of which permission.
        id: PermissionId,
    },
    /// A message for the agent was accepted.
    MessageAccepted {
        /// The message.
        message: Message,
    },
    /// The agent has been given the message.
    MessageDelivered {
        /// Which.
        local_id: LocalId,
    },
    /// The message will not be given to the agent; its sender was told.
    MessageDropped {
        /// Which.
        local_id: LocalId,
        /// Why.
        reason: String,
    },
    /// Somebody asked the agent to stop what it is doing.
    AbortRequested {
        /// By whom.
        origin: Origin,
    },
    /// Somebody else drives now, or is about to: the runner of this generation is being started for them.
    ControlChanged {
        /// Who.
        control: Control,
        /// The generation that serves them.
        generation: u64,
        /// By whom; the daemon: a fall back.
        origin: Origin,
        /// Why, in words for a person; empty when the rest says it all.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
    /// Everything is allowed unasked until then, or not any more.
    BypassChanged {
        /// Unix milliseconds; none: not any more.
        until_ms: Option<u64>,
        /// By whom.
        origin: Origin,
    },
    /// Output of the agent that was not understood was left out.
    Skipped {
        /// Where it was read.
        source: Source,
        /// How far that source has been taken in with it.
        mark: Mark,
        /// Bytes left out.
        bytes: u64,
        /// What was wrong, without any of its content.
        what: String,
    },
}
