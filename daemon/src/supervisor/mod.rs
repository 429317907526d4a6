//! The supervisor's actor: carries out what its reducer wants, and owns the sessions' mailboxes.

mod changes;
mod effects;

use std::collections::HashMap;
use std::sync::Arc;

use delight_core::actor::Ticket;
use delight_core::supervisor::{Boot, Input, Request, Supervisor};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;
use tokio::sync::{mpsc, oneshot};

use crate::actor::{Clock, Core, Panicked, Tickets, Told, run};
use crate::session::{self, Shared};

pub(crate) use changes::{Changes, Heard, line};

/// Inputs that may wait for the supervisor. What fills it (callers, sessions) waits: each has at most one input to
/// give at a time.
pub(crate) const MAILBOX: usize = 1_024;

/// Inputs are boxed: some carry whole records.
pub(crate) type Mail = Box<Input>;

/// What callers use. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Supervision {
    mail: mpsc::Sender<Mail>,
    tickets: Tickets,
}

impl Supervision {
    /// A handle that puts questions into this mailbox.
    pub(crate) fn new(mail: mpsc::Sender<Mail>, tickets: Tickets) -> Self {
        Self { mail, tickets }
    }

    /// Asks and waits for the answer.
    ///
    /// Dropping the future drops the answer, not the question.
    pub(crate) async fn ask(&self, origin: Origin, request: Request) -> Result<Told, Refusal> {
        let (ticket, answer) = self.tickets.open();
        self.put(ticket, origin, request).await;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }

    async fn put(&self, ticket: Ticket, origin: Origin, request: Request) {
        if self.mail.send(Box::new(Input::Asked { ticket, origin, request })).await.is_err() {
            self.tickets.answer(ticket, Err(ended()));
        }
    }
}

fn ended() -> Refusal {
    Refusal::new(Code::ShuttingDown, "the daemon is ending", "it takes no more requests")
        .fix("start it again: delightctl up")
}

/// The body of the supervisor's actor.
struct SupervisorBody {
    shared: Arc<Shared>,
    clock: Clock,
    mailbox: mpsc::Receiver<Mail>,
    sessions: HashMap<SessionId, mpsc::Sender<session::Mail>>,
    changes: changes::Sender,
    ready: Option<oneshot::Sender<u32>>,
}

/// Why the supervisor ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was asked to.
    Asked,
    /// A fault of ours. Nothing is lost: the next daemon restores everything from the registry.
    Fault(String),
}

/// Runs the supervisor until it ends the daemon. `ready` is told how many holders were adopted.
pub(crate) async fn run_supervisor(
    boot: Boot,
    shared: Arc<Shared>,
    clock: Clock,
    mailbox: mpsc::Receiver<Mail>,
    ready: oneshot::Sender<u32>,
) -> Ended {
    let mut core = Core::new(Supervisor::new(), clock);
    let mut body = SupervisorBody {
        shared,
        clock,
        mailbox,
        sessions: HashMap::new(),
        changes: changes::Sender::new(),
        ready: Some(ready),
    };
    if let Err(Panicked(reason)) = body.boot(&mut core, boot).await {
        return Ended::Fault(reason);
    }
    match run(&mut core, &mut body).await {
        Ok(()) => Ended::Asked,
        Err(Panicked(reason)) => Ended::Fault(reason),
    }
}
