//! The supervisor's actor: carries out what its reducer wants, and owns the sessions' mailboxes.

mod changes;
mod delivery;
mod effects;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use delight_core::actor::Ticket;
use delight_core::supervisor::{Boot, Input, Request, Supervisor};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::actor::{Clock, Core, Panicked, Tickets, Told, run};
use crate::session::{self, Shared};

pub(crate) use changes::{Changes, Heard, line};

/// Inputs that may wait for the supervisor. What fills it (callers, sessions) waits: each has at most one input to
/// give at a time.
pub(crate) const MAILBOX: usize = 1_024;

/// How long sessions may take to work off what they hold when the daemon ends: a few writes to the store.
const FINISHING: Duration = Duration::from_secs(2);

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
    /// Dropping the future drops the answer, not the question: what was begun goes on, and nothing waits for it.
    pub(crate) async fn ask(&self, origin: Origin, request: Request) -> Result<Told, Refusal> {
        let (ticket, answer) = self.tickets.open();
        let _holding = self.tickets.held(ticket);
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
    /// The sessions' actors.
    tasks: JoinSet<()>,
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
        tasks: JoinSet::new(),
        changes: changes::Sender::new(),
        ready: Some(ready),
    };
    if let Err(Panicked(reason)) = body.boot(&mut core, boot).await {
        return Ended::Fault(reason);
    }
    let ended = match run(&mut core, &mut body).await {
        Ok(()) => Ended::Asked,
        Err(Panicked(reason)) => Ended::Fault(reason),
    };
    body.let_sessions_finish().await;
    ended
}

impl SupervisorBody {
    /// What sessions have decided is stored and told before the daemon ends: their mailboxes are closed, and each
    /// ends when it has worked off what it holds.
    async fn let_sessions_finish(mut self) {
        self.mailbox.close();
        drop(self.mailbox);
        self.sessions.clear();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(FINISHING, all).await.is_err() {
            tracing::warn!("some sessions were still busy when the daemon ended");
        }
    }
}
