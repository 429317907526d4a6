//! What the link wants done. Requests are answered exactly once by the input each names; everything else is told.

use delight_proto::id::SessionId;
use delight_proto::sync::Object;
use delight_proto::sync::bounded::Id;
use serde::{Deserialize, Serialize};

use super::inbox::Arrived;
use super::outbox::{Notice, Stored};
use super::projection::Thinning;

/// One of the versioned values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slot {
    /// The machine's metadata.
    MachineMetadata,
    /// The daemon's state.
    DaemonState,
    /// A session's metadata.
    SessionMetadata(SessionId),
    /// A session's agent state.
    AgentState(SessionId),
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Connect and register the machine. Answered by `Up` or `Down`; after `Up`, `Down` tells the end.
    Connect {
        /// For the answer.
        attempt: u64,
        /// Log in first, whatever token there is.
        login: bool,
        /// The machine's metadata, should the server not know the machine yet.
        metadata: Object,
        /// The daemon's state, should the server not know the machine yet.
        daemon_state: Object,
    },
    /// Close the connection and every session's. `Down` need not be told for it.
    Disconnect,
    /// Find out whether the server is still there; when it does not answer in 5 s the connection is to end.
    Probe,
    /// Offer the machine's methods.
    OfferMachine,
    /// Offer a session's methods.
    Offer {
        /// Which.
        id: SessionId,
        /// The server's id of it.
        server_id: Id,
    },
    /// The machine is alive.
    MachineAlive,
    /// A session is alive.
    SessionAlive {
        /// The server's id of it.
        server_id: Id,
        /// Whether a turn runs.
        thinking: bool,
        /// `local` or `remote`; none: nobody can take control of it.
        mode: Option<&'static str>,
    },
    /// A session has ended. Answered by `EndTold`.
    SessionEnd {
        /// Which.
        id: SessionId,
        /// The server's id of it.
        server_id: Id,
    },
    /// Write a versioned value. Answered by `Updated`.
    Update {
        /// Which.
        slot: Slot,
        /// The server's id of the session, if it is a session's.
        server_id: Option<Id>,
        /// The version it replaces.
        expected: u64,
        /// All of it.
        value: Object,
    },
    /// Make the session known to the server. Answered by `Registered` or `RegisterFailed`.
    Register {
        /// Which; also its tag.
        id: SessionId,
        /// Its metadata, should the server not know it yet.
        metadata: Object,
        /// Its agent state, should the server not know it yet.
        agent_state: Object,
    },
    /// Whoever waits for the server's id of it may have it now; its methods are offered.
    Known {
        /// Which.
        id: SessionId,
        /// The server's id.
        server_id: Id,
    },
    /// Send the notices and what the event log has after `after`: one batch. Answered by `Posted` or `PostFailed`.
    Post {
        /// Which.
        id: SessionId,
        /// The server's id of it.
        server_id: Id,
        /// The last event the server has.
        after: u64,
        /// What may be left out.
        thinning: Thinning,
        /// To be sent first.
        notices: Vec<Notice>,
    },
    /// Open the session's own connection. Answered by `Listening` or `Deaf`.
    Listen {
        /// Which.
        id: SessionId,
        /// The server's id of it.
        server_id: Id,
    },
    /// Close it, or stop opening it. `Deaf` need not be told for it.
    StopListening {
        /// Which.
        id: SessionId,
    },
    /// Fetch the messages after a number, one page. Answered by `Fetched` or `FetchFailed`.
    Fetch {
        /// Which.
        id: SessionId,
        /// The server's id of it.
        server_id: Id,
        /// The last number that is known.
        after: u64,
    },
    /// Give a message to the session. Answered by `Delivered`.
    Deliver {
        /// Which.
        id: SessionId,
        /// The message.
        message: Box<Arrived>,
    },
    /// Keep this of the session's link. Should it be lost, the same is sent or delivered again, and recognised.
    Save {
        /// Which.
        id: SessionId,
        /// What.
        stored: Box<Stored>,
    },
    /// Everything that can be said before the end is said and the connection may be closed.
    Ended,
}
