//! One session's side of the link.

use delight_proto::agent::Control;
use delight_proto::agent::bounds::COMPLETED;
use delight_proto::sync::Object;
use delight_proto::sync::bounded::Id;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::backoff::Backoff;
use super::facts::Facts;
use super::inbox::Inbox;
use super::outbox::{Outbox, Stored};
use super::presence::Presence;
use super::register::Register;

/// Whether the server knows the session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// It does not, or it is not known whether.
    Unknown {
        /// Not to be tried before.
        after: Option<u64>,
    },
    /// It is being asked.
    Asking,
    /// It does.
    Known(Id),
}

/// The session's own connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ear {
    /// There is none.
    Closed {
        /// Not to be opened before.
        after: Option<u64>,
    },
    /// It is being opened.
    Opening,
    /// It is open.
    Open {
        /// Since when.
        since: u64,
    },
}

/// One session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) facts: Facts,
    pub(super) standing: Standing,
    /// The server's id as it was last known: another one means that the server has lost everything.
    pub(super) last_id: Option<Id>,
    /// The server was asked to make it known: whether or not it has answered, it may call the session alive.
    pub(super) reached: bool,
    pub(super) asking: Backoff,
    pub(super) metadata: Register,
    pub(super) agent_state: Register,
    pub(super) completed: Object,
    pub(super) outbox: Outbox,
    pub(super) inbox: Inbox,
    /// `inbox.cursor` as it was last saved.
    pub(super) saved: u64,
    pub(super) ear: Ear,
    pub(super) hearing: Backoff,
    pub(super) presence: Presence,
    /// Its methods are offered on the present connection.
    pub(super) offered: bool,
    /// Removed from the machine: only its end is still to be told.
    pub(super) gone: bool,
}

impl Session {
    pub(super) fn new(facts: Facts, stored: Option<Stored>) -> Self {
        let end_told = stored.as_ref().is_none_or(|stored| stored.ended);
        let reached = stored.is_some();
        let (last_id, outbox, inbox) = match stored {
            Some(stored) => (
                stored.server_id,
                // After a power cut the event log may be shorter than what was sent of it.
                Outbox::at(stored.sent.min(facts.last_seq), stored.notices, stored.shortened),
                Inbox::at(stored.received),
            ),
            None => (None, Outbox::default(), Inbox::default()),
        };
        let saved = inbox.cursor;
        let mut session = Self {
            facts: Facts {
                live: false,
                agent: false,
                thinking: false,
                control: None,
                last_seq: 0,
                metadata: Object::new(),
                agent_state: Object::new(),
            },
            standing: Standing::Unknown { after: None },
            last_id,
            reached,
            asking: Backoff::default(),
            metadata: Register::default(),
            agent_state: Register::default(),
            completed: Object::new(),
            outbox,
            inbox,
            saved,
            ear: Ear::Closed { after: None },
            hearing: Backoff::default(),
            presence: Presence::new(end_told),
            offered: false,
            gone: false,
        };
        session.take(facts);
        session
    }

    /// How it is now.
    pub(super) fn take(&mut self, facts: Facts) {
        self.outbox.last = self.outbox.last.max(facts.last_seq);
        self.metadata.want(facts.metadata.clone());
        self.facts = facts;
        self.want_state();
    }

    /// These were decided.
    pub(super) fn complete(&mut self, completed: Object) {
        self.completed.extend(completed);
        let at = |request: &Value| request.get("completedAt").and_then(Value::as_u64).unwrap_or(0);
        while self.completed.len() > COMPLETED {
            let oldest =
                self.completed.iter().min_by_key(|(_, request)| at(request)).map(|(id, _)| id.clone());
            oldest.map(|id| self.completed.remove(&id));
        }
        self.want_state();
    }

    fn want_state(&mut self) {
        let mut state = self.facts.agent_state.clone();
        if !self.completed.is_empty() {
            state.insert("completedRequests".to_owned(), self.completed.clone().into());
        }
        self.agent_state.want(state);
    }

    pub(super) fn server_id(&self) -> Option<&Id> {
        match &self.standing {
            Standing::Known(id) => Some(id),
            _ => None,
        }
    }

    /// Whether the server is to know it: it lives, or the server knows it already and has not heard all of it.
    pub(super) fn is_wanted(&self) -> bool {
        !self.gone
            && (self.facts.live
                || (self.reached && (self.outbox.waiting() > 0 || !self.presence.end_is_told())))
    }

    /// Whether phones may write to it.
    pub(super) fn wants_ear(&self) -> bool {
        self.facts.live && self.facts.agent && !self.gone
    }

    /// `None`: nobody can take control of it.
    pub(super) fn is_remote(&self) -> Option<bool> {
        self.facts.control.map(|control| control == Control::Remote)
    }

    pub(super) fn stored(&self) -> Option<Stored> {
        Some(Stored {
            server_id: Some(self.last_id.clone()?),
            sent: self.outbox.cursor,
            received: self.inbox.cursor,
            notices: self.outbox.notices.clone(),
            ended: self.presence.end_is_told(),
            shortened: self.outbox.shortened,
        })
    }

    /// The connection broke: what it carried is gone, what is stored is not.
    pub(super) fn disconnected(&mut self) {
        self.ear = Ear::Closed { after: None };
        self.offered = false;
    }

    /// There is a connection again.
    pub(super) fn reconnected(&mut self, now: u64) {
        self.metadata.unblock();
        self.agent_state.unblock();
        self.outbox.unblock();
        self.asking.clear();
        self.hearing.clear();
        if let Standing::Unknown { after } = &mut self.standing {
            *after = None;
        }
        self.inbox.look_again();
        self.presence.renew(now);
    }

    /// The server does not know it any more.
    pub(super) fn forgotten(&mut self, after: Option<u64>) {
        if self.server_id().is_some() {
            self.standing = Standing::Unknown { after };
            self.metadata.forget();
            self.agent_state.forget();
            self.offered = false;
        }
    }

    pub(super) fn deadline(&self) -> Option<u64> {
        if self.gone {
            return self.server_id().and_then(|_| self.presence.deadline(false));
        }
        let mut at = Vec::from(self.inbox.deadline(true));
        match &self.standing {
            Standing::Unknown { after } => at.push(after.filter(|_| self.is_wanted())),
            Standing::Asking => {}
            Standing::Known(_) => {
                at.extend([self.metadata.deadline(), self.agent_state.deadline(), self.outbox.deadline()]);
                at.push(self.presence.deadline(self.facts.live));
                if let Ear::Closed { after } = self.ear {
                    at.push(after.filter(|_| self.wants_ear()));
                }
            }
        }
        at.into_iter().flatten().min()
    }
}
