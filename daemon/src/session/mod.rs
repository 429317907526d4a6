//! A session's actor: carries out what its reducer wants and hears what its holder says.

mod agent;
mod contact;
mod effects;
mod frames;
pub(crate) mod recorder;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use delight_core::session::{Happening, Input, Session};
use delight_proto::id::SessionId;
use delight_proto::policy::Policy;
use delight_proto::refusal::Refusal;
use tokio::sync::{mpsc, watch};

use crate::actor::{Core, Panicked, Tickets, run};
use crate::adapters::Adapters;
use crate::process::adopt::Contact;
use crate::process::launch::Launcher;
use crate::process::link::Link;
use crate::process::spare::Spares;
use crate::store::Store;
use crate::supervisor;

/// Commands that may wait for one session. A full mailbox answers `busy`.
pub(crate) const MAILBOX: usize = 256;

/// What every session needs; the same for all.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) launcher: Arc<Launcher>,
    pub(crate) spares: Spares,
    pub(crate) store: Store,
    pub(crate) tickets: Tickets,
    pub(crate) adapters: Adapters,
    pub(crate) supervisor: mpsc::Sender<supervisor::Mail>,
    /// Whether what sessions are given is recorded.
    pub(crate) record: bool,
    /// The owner's policy, as it is now.
    pub(crate) policy: watch::Receiver<Arc<Policy>>,
}

/// Inputs are boxed: a mailbox allocates room for 32 at once, in every session.
pub(crate) type Mail = Box<Input>;

/// A contact with the holder that is being made or ended. It ends by itself, in bounded time.
type Reaching = Pin<Box<dyn Future<Output = Reached> + Send>>;

/// What a [`Reaching`] ends with.
enum Reached {
    /// A search, or a parting.
    Contact(Contact),
    /// A launch.
    Launched(Result<(delight_proto::session::HolderIdentity, Link), Refusal>),
}

/// The body of a session's actor.
struct SessionBody {
    id: SessionId,
    shared: Arc<Shared>,
    mailbox: mpsc::Receiver<Mail>,
    link: Option<Link>,
    reaching: Option<Reaching>,
    /// Whether `reaching` is a launch.
    launching: bool,
    /// What the shell itself has to say, before anything else.
    local: VecDeque<Happening>,
    /// Resizes the holder has not answered yet, oldest first: its answers come in order.
    resizes: VecDeque<u64>,
    /// Writes of more than one frame the holder has not answered whole, by tag.
    pieces: BTreeMap<u64, Pieces>,
    agent: agent::Agent,
    policy: watch::Receiver<Arc<Policy>>,
    /// Where its inputs are recorded, if they are.
    recorder: Option<recorder::Recorder>,
}

/// A write cut into frames.
struct Pieces {
    /// Frames not answered yet.
    left: usize,
    /// Why one of them was refused.
    refusal: Option<Refusal>,
}

/// Runs a session, with `link` to the holder that was started ahead of it if one was, until the supervisor closes its mailbox or its reducer panics.
pub(crate) async fn run_session(
    core: Box<Core<Session>>,
    id: SessionId,
    shared: Arc<Shared>,
    mailbox: mpsc::Receiver<Mail>,
    link: Option<Link>,
) {
    let mut core = core;
    let mut policy = shared.policy.clone();
    let first = Happening::Policy(Box::new((**policy.borrow_and_update()).clone()));
    let directory = shared.launcher.place.session(id);
    let mut body = SessionBody {
        id,
        recorder: shared.record.then(|| recorder::Recorder::new(&directory)),
        shared,
        mailbox,
        link,
        reaching: None,
        launching: false,
        local: VecDeque::from([first]),
        resizes: VecDeque::new(),
        pieces: BTreeMap::new(),
        agent: agent::Agent::default(),
        policy,
    };
    if let Err(Panicked(reason)) = run(&mut *core, &mut body).await {
        tracing::error!(session = %id, reason, "a session's reducer panicked; its processes go on");
        body.mailbox.close();
        let failed = delight_core::supervisor::Input::ActorFailed { id, reason: reason.clone() };
        // The supervisor outlives every session; if it has ended, so has the daemon.
        let _ = body.shared.supervisor.send(Box::new(failed)).await;
        body.shared.tickets.refuse_all_of(id, &reason);
    }
}
