//! What can happen to the link. Plain data that can be recorded and folded again.

use delight_proto::id::SessionId;
use delight_proto::sync::Object;
use delight_proto::sync::bounded::Id;
use serde::{Deserialize, Serialize};

use super::effect::Slot;
use super::facts::Facts;
use super::inbox::{Arrived, Delivery};
use super::outbox::Stored;

/// What a failure means for the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The same may succeed later.
    Later,
    /// The server said how long to wait, in milliseconds.
    After(u64),
    /// The server does not know us: log in again.
    Login,
    /// The server does not know what it was about.
    Unknown,
    /// The server will not have it, whatever we do.
    Never,
}

/// The machine as the server has it; values opened.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MachineRow {
    /// Its metadata; none when it cannot be read.
    pub metadata: Option<Object>,
    /// Of the metadata.
    pub metadata_version: u64,
    /// The daemon's state; none when there is none or it cannot be read.
    pub daemon_state: Option<Object>,
    /// Of the state.
    pub daemon_state_version: u64,
}

/// A session as the server has it; values opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionRow {
    /// The server's id.
    pub id: Id,
    /// The number of its last message.
    pub seq: u64,
    /// Its metadata; none when it cannot be read.
    pub metadata: Option<Object>,
    /// Of the metadata.
    pub metadata_version: u64,
    /// The agent's state; none when there is none or it cannot be read.
    pub agent_state: Option<Object>,
    /// Of the state.
    pub agent_state_version: u64,
}

/// What became of an update of a versioned value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOutcome {
    /// Taken.
    Stored {
        /// The version it has now.
        version: u64,
    },
    /// Somebody else wrote first.
    Mismatch {
        /// The version there is.
        version: u64,
        /// The value there is; none when there is none or it cannot be read.
        value: Option<Object>,
    },
    /// Refused, or nobody knows: no answer in time, the connection broke.
    Failed,
}

/// One input. `random` is uniform over all of `u64`, drawn for this input.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// First input, once: what the machine says of itself.
    Begin {
        /// See [`delight_proto::sync::state::MachineMetadata`].
        metadata: Object,
        /// See [`delight_proto::sync::state::DaemonState`].
        daemon_state: Object,
    },
    /// The machine's network changed.
    NetworkChanged,
    /// Connected, the machine registered. Answers [`super::Effect::Connect`].
    Up {
        /// Of the effect.
        attempt: u64,
        /// The machine as the server has it.
        machine: MachineRow,
    },
    /// The connection did not come to be, or broke. Answers [`super::Effect::Connect`], or comes later.
    Down {
        /// Of the effect.
        attempt: u64,
        /// For the next try.
        fault: Fault,
        /// Why, in words for a person.
        reason: String,
        /// See [`Input`].
        random: u64,
    },
    /// Answers [`super::Effect::Update`].
    Updated {
        /// Of the effect.
        slot: Slot,
        /// What became of it.
        outcome: UpdateOutcome,
        /// See [`Input`].
        random: u64,
    },
    /// A session is there, or changed.
    Seen {
        /// Which.
        id: SessionId,
        /// How it is now.
        facts: Box<Facts>,
        /// What the store has of its link; looked at when the session is seen first.
        stored: Option<Box<Stored>>,
    },
    /// A session was removed from this machine.
    Gone {
        /// Which.
        id: SessionId,
    },
    /// Answers [`super::Effect::Register`].
    Registered {
        /// Which.
        id: SessionId,
        /// The session as the server has it.
        row: Box<SessionRow>,
    },
    /// Answers [`super::Effect::Register`].
    RegisterFailed {
        /// Which.
        id: SessionId,
        /// For the next try.
        fault: Fault,
        /// See [`Input`].
        random: u64,
    },
    /// Answers [`super::Effect::Post`].
    Posted {
        /// Which.
        id: SessionId,
        /// The server has everything up to and including this event.
        through: u64,
        /// So many of the notices are sent, from the oldest on.
        notices: usize,
        /// Decided permissions, when there are new ones: the whole `completedRequests`.
        completed: Option<Object>,
    },
    /// Answers [`super::Effect::Post`].
    PostFailed {
        /// Which.
        id: SessionId,
        /// For the next try.
        fault: Fault,
        /// See [`Input`].
        random: u64,
    },
    /// Answers [`super::Effect::SessionEnd`].
    EndTold {
        /// Which.
        id: SessionId,
        /// Whether the server has heard it.
        heard: bool,
    },
    /// The session's own connection is open. Answers [`super::Effect::Listen`].
    Listening {
        /// Which.
        id: SessionId,
    },
    /// It did not come to be, or broke. Answers [`super::Effect::Listen`], or comes later.
    Deaf {
        /// Which.
        id: SessionId,
        /// For the next try.
        fault: Fault,
        /// See [`Input`].
        random: u64,
    },
    /// A message was pushed by the server.
    Pushed {
        /// Whose.
        id: SessionId,
        /// The message.
        message: Box<Arrived>,
    },
    /// A page of messages. Answers [`super::Effect::Fetch`].
    Fetched {
        /// Whose.
        id: SessionId,
        /// In the server's order.
        messages: Vec<Arrived>,
        /// Fewer than asked for: there are no more at present.
        last: bool,
    },
    /// Answers [`super::Effect::Fetch`].
    FetchFailed {
        /// Whose.
        id: SessionId,
        /// For the next try.
        fault: Fault,
        /// See [`Input`].
        random: u64,
    },
    /// The session has answered for a message. Answers [`super::Effect::Deliver`].
    Delivered {
        /// Which session.
        id: SessionId,
        /// Of the message.
        seq: u64,
        /// What became of it.
        delivery: Delivery,
    },
    /// The daemon ends.
    ShutDown {
        /// Who wanted it: `happy-cli`, `os-signal`, `happy-app`.
        source: String,
    },
    /// The deadline has come.
    Tick,
}
