//! What the supervisor wants done. Effects are carried out in order; none of them touches the store.

use std::collections::BTreeMap;

use delight_proto::api::method::{Change, DaemonStopResult};
use delight_proto::event::Event;
use delight_proto::id::SessionId;
use delight_proto::refusal::Refusal;
use delight_proto::session::{Origin, Phase, Record, SessionView};

use crate::actor::Ticket;
use crate::session::{Capabilities, Command};

/// A session's actor is to be made.
#[derive(Debug, Clone, PartialEq)]
pub enum Opening {
    /// Of a session just made: state is [`crate::session::Session::new`]. `Command::Start` follows as a `Deliver`.
    Fresh(Box<Record>, Capabilities),
    /// Of a session in the registry: state is [`crate::session::Session::restored`]. `Restore` follows when it is its turn.
    Stored {
        /// The registry's record.
        record: Box<Record>,
        /// See [`super::Stored::log_seq`].
        log_seq: u64,
        /// See [`super::Stored::tail`].
        tail: Vec<Event>,
        /// Of its kind.
        capabilities: Capabilities,
    },
}

/// Numbers for `daemon.status`.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    /// Sessions by phase.
    pub sessions: BTreeMap<Phase, u32>,
    /// Most sessions that may be live at once.
    pub max_live: u32,
    /// Holders adopted since boot.
    pub adopted: u32,
    /// Records that could not be read.
    pub quarantined: Vec<String>,
}

/// What a request is answered with. Answers of sessions are [`crate::session::Answer`].
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One session.
    View(Box<SessionView>),
    /// All sessions, newest first.
    List(Vec<SessionView>),
    /// The subscription begins here.
    Subscribed {
        /// Only changes of this one are wanted.
        only: Option<SessionId>,
        /// Sessions as they are.
        sessions: Vec<SessionView>,
    },
    /// Numbers.
    Status(Counts),
    /// The daemon ends.
    Stopped(DaemonStopResult),
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Make the actor of this session.
    Open {
        /// Which.
        id: SessionId,
        /// What it begins as.
        opening: Opening,
    },
    /// Give the session [`crate::session::Happening::Restore`].
    Restore {
        /// Which.
        id: SessionId,
    },
    /// Put a command into the session's mailbox. Full: the shell answers the ticket `busy` itself, except for
    /// [`Ticket::NOBODY`] and for what [`Command::must_arrive`], which wait for room.
    Deliver {
        /// Which.
        id: SessionId,
        /// For the session's answer.
        ticket: Ticket,
        /// Who asked.
        origin: Origin,
        /// What.
        command: Command,
    },
    /// End the session's actor once its mailbox is worked off: nothing is delivered to it any more.
    Close {
        /// Which.
        id: SessionId,
    },
    /// Tell everybody who subscribed.
    Broadcast(Change),
    /// Every session of the registry has been restored: open the control API. Once.
    Ready {
        /// Living holders found.
        adopted: u32,
    },
    /// Answers a caller, who never gets another.
    Reply {
        /// Who.
        ticket: Ticket,
        /// What.
        result: Result<Answer, Refusal>,
    },
    /// End the daemon. The last effect. Effects sessions have decided on already, answers above all, are carried out
    /// first.
    Exit,
}
