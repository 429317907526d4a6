//! The link as a whole.

use std::collections::BTreeMap;

use delight_proto::api::method::UplinkState;
use delight_proto::id::SessionId;
use delight_proto::sync::Object;
use serde::{Deserialize, Serialize};

use super::backoff::Backoff;
use super::register::Register;
use super::session::Session;

/// How the connection is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Connection {
    /// Nothing has begun.
    Idle,
    /// It is being made.
    Connecting {
        /// Given up then, should nobody ever answer.
        until: u64,
    },
    /// It is there.
    Online {
        /// Since when.
        since: u64,
    },
    /// It broke, or could not be made.
    Waiting {
        /// The next try.
        until: u64,
    },
    /// The server refuses the account.
    Refused,
    /// The daemon ends.
    Over,
}

/// How the connection is, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkView {
    /// That.
    pub state: UplinkState,
    /// Unix milliseconds since when.
    pub since_ms: u64,
    /// Why it is not online; empty when it is.
    pub reason: String,
    /// Records the server does not have yet.
    pub waiting: u64,
}

/// The link of this machine to one account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Uplink {
    pub(super) connection: Connection,
    pub(super) since_ms: u64,
    pub(super) reason: String,
    pub(super) attempt: u64,
    pub(super) attempted_at: Option<u64>,
    pub(super) backoff: Backoff,
    /// Since when there has been no connection worth the name.
    pub(super) lost_at: Option<u64>,
    /// The last refusal was already met with a fresh login.
    pub(super) logged_in_anew: bool,
    pub(super) metadata: Register,
    pub(super) daemon_state: Register,
    pub(super) machine: Object,
    pub(super) daemon: Object,
    pub(super) alive_at: Option<u64>,
    pub(super) sessions: BTreeMap<SessionId, Session>,
    /// The daemon ends: said or not, it is over then.
    pub(super) ending: Option<u64>,
}

impl Default for Uplink {
    fn default() -> Self {
        Self::new()
    }
}

impl Uplink {
    /// One that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self {
            connection: Connection::Idle,
            since_ms: 0,
            reason: String::new(),
            attempt: 0,
            attempted_at: None,
            backoff: Backoff::default(),
            lost_at: None,
            logged_in_anew: false,
            metadata: Register::default(),
            daemon_state: Register::default(),
            machine: Object::new(),
            daemon: Object::new(),
            alive_at: None,
            sessions: BTreeMap::new(),
            ending: None,
        }
    }

    /// How it is, for people.
    #[must_use]
    pub fn view(&self) -> LinkView {
        let state = match self.connection {
            Connection::Idle | Connection::Connecting { .. } => UplinkState::Connecting,
            Connection::Online { .. } => UplinkState::Online,
            Connection::Waiting { .. } | Connection::Over => UplinkState::Waiting,
            Connection::Refused => UplinkState::Refused,
        };
        let waiting = self.sessions.values().filter(|session| session.is_wanted());
        LinkView {
            state,
            since_ms: self.since_ms,
            reason: self.reason.clone(),
            waiting: waiting.map(|session| session.outbox.waiting()).sum(),
        }
    }

    /// The sessions the server knows, by its ids.
    #[must_use]
    pub fn server_id(&self, id: SessionId) -> Option<&delight_proto::sync::bounded::Id> {
        self.sessions.get(&id)?.server_id()
    }

    /// Whether everything there is to say has been said: nothing waits, nothing is under way.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let machine = self.metadata.is_settled() && self.daemon_state.is_settled();
        machine
            && self.sessions.values().all(|session| {
                !session.is_wanted()
                    || (session.server_id().is_some()
                        && session.outbox.waiting() == 0
                        && session.metadata.is_settled()
                        && session.agent_state.is_settled())
            })
    }

    pub(super) fn is_online(&self) -> bool {
        matches!(self.connection, Connection::Online { .. })
    }
}
