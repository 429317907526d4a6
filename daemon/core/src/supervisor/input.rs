//! What can happen to the supervisor. Plain data that can be recorded and folded again.

use std::collections::BTreeMap;

use delight_proto::api::method::SpawnParams;
use delight_proto::event::Event;
use delight_proto::id::{SessionId, SessionName};
use delight_proto::session::{Origin, Record, SessionView};
use serde::{Deserialize, Serialize};

use crate::actor::Ticket;
use crate::session::{Capabilities, Command};

/// A session as the store has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// The registry's record.
    pub record: Record,
    /// The last number in its event log (0: the log is empty). It decides over `record.last_seq`: after a power cut the
    /// log may be shorter, after a crash longer.
    pub log_seq: u64,
    /// Events numbered above `record.last_seq`, in order: appended after the record was saved. At most a few hundred
    /// ([`crate::session::state::SAVE_EVERY`]).
    pub tail: Vec<Event>,
}

/// What the supervisor must know before anything else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Boot {
    /// All sessions of the registry, in any order.
    pub sessions: Vec<Stored>,
    /// Records that could not be read, each in one line.
    pub quarantined: Vec<String>,
    /// Session kinds there are, and what they can do.
    pub kinds: BTreeMap<String, Capabilities>,
    /// Most sessions that may be live at once.
    pub max_live: u32,
}

/// One input of the supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Input {
    /// First input, once. What is asked before it is refused.
    Boot(Box<Boot>),
    /// Somebody asks and is owed exactly one answer, from here or from a session.
    Asked {
        /// For the answer.
        ticket: Ticket,
        /// Who.
        origin: Origin,
        /// What.
        request: Request,
    },
    /// A session published: [`crate::session::Effect::Publish`].
    Changed {
        /// As it is now.
        view: Box<SessionView>,
        /// Whether anything of it is or may be alive.
        alive: bool,
    },
    /// [`crate::session::Effect::ReleaseName`].
    NameReleased {
        /// Whose it was.
        id: SessionId,
        /// The name.
        name: SessionName,
    },
    /// [`crate::session::Effect::Restored`].
    Restored {
        /// Which.
        id: SessionId,
        /// Whether a living holder was adopted.
        adopted: bool,
    },
    /// [`crate::session::Effect::Gone`].
    Gone {
        /// Which.
        id: SessionId,
    },
    /// The session's actor ended by a fault of ours (a panic). What it was asked and had not answered the shell has
    /// refused as `internal`. Its processes go on; a new daemon restores it from the registry.
    ActorFailed {
        /// Which.
        id: SessionId,
        /// What is known.
        reason: String,
    },
    /// The deadline has come.
    Tick,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Make and start a session; the answer comes from the session once its runner is up.
    Spawn {
        /// A random id, never used before. Not used when the request id is known already.
        fresh_id: SessionId,
        /// What. The shell has checked what only it can see (the directory exists, ...).
        params: Box<SpawnParams>,
    },
    /// One session's view.
    Get {
        /// Whole id, unique prefix of at least four characters, name, or `@last`.
        selector: String,
    },
    /// Ask a session; the answer comes from it.
    To {
        /// As in `Get`.
        selector: String,
        /// What. [`Command::Start`] and [`Command::Started`] are not for callers and are refused.
        command: Command,
    },
    /// All sessions, newest first.
    List,
    /// Sessions as they are, then every change. The shell begins to forward `Broadcast` effects when it carries out the
    /// answer: effects are in order, so nothing is missed or told twice.
    Subscribe {
        /// Only this session.
        selector: Option<String>,
    },
    /// How many of what.
    Status,
    /// End the daemon. Answered when every start under way is decided and, with `stop_sessions`, when nothing of any
    /// session is alive; `Exit` follows.
    Shutdown {
        /// End all sessions first.
        stop_sessions: bool,
    },
}
