//! Callers who are owed an answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use delight_core::actor::Ticket;
use delight_core::{session, supervisor};
use delight_proto::agent::PermissionView;
use delight_proto::api::method::{DaemonStopResult, PromptResult, SendResult};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::SessionView;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::sync::oneshot;

use crate::session::Mail;
use crate::supervisor::Changes;

/// An answer as the API sees it, from whichever reducer it came.
#[derive(Debug)]
pub(crate) enum Told {
    /// One session.
    View(Box<SessionView>),
    /// All sessions.
    List(Vec<SessionView>),
    /// A subscription, from the moment of this answer on.
    Subscribed {
        /// Only this one.
        only: Option<SessionId>,
        /// As they are.
        sessions: Vec<SessionView>,
        /// What changes from here on.
        changes: Changes,
    },
    /// Numbers.
    Status(supervisor::Counts),
    /// Bytes are written.
    Sent(SendResult),
    /// The agent has a message.
    Prompted(PromptResult),
    /// The agent has a decision.
    Decided(Box<PermissionView>),
    /// A session is forgotten.
    Removed(SessionId),
    /// The daemon ends.
    Stopped(DaemonStopResult),
}

impl From<session::Answer> for Told {
    fn from(answer: session::Answer) -> Self {
        match answer {
            session::Answer::View(view) => Self::View(view),
            session::Answer::Sent { bytes } => Self::Sent(SendResult { bytes }),
            session::Answer::Prompted { local_id } => Self::Prompted(PromptResult { local_id }),
            session::Answer::Decided(permission) => Self::Decided(permission),
            session::Answer::Removed(id) => Self::Removed(id),
        }
    }
}

struct Owed {
    to: oneshot::Sender<Result<Told, Refusal>>,
    /// The session that has the question now, and its mailbox.
    session: Option<(SessionId, mpsc::WeakSender<Mail>)>,
}

/// All open tickets. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Tickets {
    open: Arc<Mutex<(u64, HashMap<u64, Owed>)>>,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").field("open", &self.lock().1.len()).finish_non_exhaustive()
    }
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, Owed>)> {
        // Nothing in here can panic while it is held; if it did, the map is still a map.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new ticket and where its answer will come. Numbers begin at 1 and never repeat.
    pub(crate) fn open(&self) -> (Ticket, oneshot::Receiver<Result<Told, Refusal>>) {
        let (to, answer) = oneshot::channel();
        let mut open = self.lock();
        open.0 += 1;
        let number = open.0;
        open.1.insert(number, Owed { to, session: None });
        (Ticket(number), answer)
    }

    /// Notes that the session has the question now. Whether somebody still waits for the answer.
    pub(crate) fn hand_to(&self, ticket: Ticket, session: SessionId, mailbox: &mpsc::Sender<Mail>) -> bool {
        match self.lock().1.get_mut(&ticket.0) {
            Some(owed) => {
                owed.session = Some((session, mailbox.downgrade()));
                true
            }
            None => ticket == Ticket::NOBODY,
        }
    }

    /// Whoever held the ticket has gone: the session that has the question is told. Nothing happens to one that is
    /// answered.
    fn abandon(&self, ticket: Ticket) {
        let owed = self.lock().1.remove(&ticket.0);
        let Some((_, mailbox)) = owed.and_then(|owed| owed.session) else { return };
        let Some(mailbox) = mailbox.upgrade() else { return };
        let mail = Box::new(session::Input::Abandoned { ticket });
        if let Err(TrySendError::Full(mail)) = mailbox.try_send(mail)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                // A session that ends meanwhile keeps nobody waiting.
                let _ = mailbox.send(mail).await;
            });
        }
    }

    /// Says that the holder of this ticket may leave without a word: when this is dropped before the answer came, the
    /// ticket is abandoned.
    pub(crate) fn held(&self, ticket: Ticket) -> Holding<'_> {
        Holding { tickets: self, ticket }
    }

    /// Answers. A ticket that is not open was abandoned on the way of its answer, which goes nowhere.
    pub(crate) fn answer(&self, ticket: Ticket, result: Result<Told, Refusal>) {
        if ticket == Ticket::NOBODY {
            return;
        }
        let owed = self.lock().1.remove(&ticket.0);
        match owed {
            // A caller that has gone does not hear it.
            Some(owed) => drop(owed.to.send(result)),
            None => tracing::debug!(ticket = ticket.0, "nobody waits for an answer any more"),
        }
    }

    /// Refuses everything a session was asked and has not answered: its actor has ended.
    pub(crate) fn refuse_all_of(&self, session: SessionId, reason: &str) {
        let mut open = self.lock();
        let numbers: Vec<u64> = open
            .1
            .iter()
            .filter(|(_, owed)| owed.session.as_ref().is_some_and(|(id, _)| *id == session))
            .map(|(number, _)| *number)
            .collect();
        for number in numbers {
            if let Some(owed) = open.1.remove(&number) {
                let refusal =
                    Refusal::new(Code::Internal, format!("session {session} cannot answer"), reason).fix(
                        "restart the daemon (delightctl down, delightctl up): the session itself goes on",
                    );
                drop(owed.to.send(Err(refusal)));
            }
        }
    }

    /// Refuses everything that is still open: the daemon ends.
    pub(crate) fn refuse_all(&self) {
        for (_, owed) in self.lock().1.drain() {
            let refusal =
                Refusal::new(Code::ShuttingDown, "the request was not answered", "the daemon ended")
                    .fix("start it again (delightctl up) and ask again");
            drop(owed.to.send(Err(refusal)));
        }
    }
}

/// See [`Tickets::held`].
#[derive(Debug)]
pub(crate) struct Holding<'a> {
    tickets: &'a Tickets,
    ticket: Ticket,
}

impl Drop for Holding<'_> {
    fn drop(&mut self) {
        self.tickets.abandon(self.ticket);
    }
}
