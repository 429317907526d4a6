//! The link to the sync server: carries out what `delight_core::uplink` decides.
//!
//! One machine connection serves calls, heartbeats and states of the machine and all its sessions: servers go by the account,
//! not by the connection. Each live session with an agent in it has a connection of its own besides, for servers push a
//! session's messages nowhere else. Everything that is sent is sealed here and everything that comes is opened here.
//!
//! Nothing local ever waits for this module: sessions are followed by subscription, their records are read from the event
//! logs, and one that is too slow begins anew.

mod body;
mod calls;
mod deliver;
mod emit;
mod feed;
mod guard;
mod ids;
mod inbound;
mod machine;
mod post;
mod push;
mod rival;
mod server;
mod silence;
mod sockets;
mod vault;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use delight_core::uplink::{Input, LinkView, Uplink};
use delight_proto::api::method::{UplinkState, UplinkStatusResult};
use delight_proto::place::Place;
use delight_transport::network_change::NetworkChanges;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::body::{LinkBody, MAILBOX, Mail};
use self::calls::Calls;
use self::server::Server;
use self::vault::Vault;
use crate::actor::{Clock, Core, run as run_actor, wall_ms};
use crate::keys::{Keys, Linked};
use crate::remote::Remote;
use crate::store::Store;
use crate::supervisor::Supervision;

pub(crate) use self::ids::Ids;

/// How long the daemon's end, or an unlinking, may be held up by saying so to the server.
const PARTING: Duration = Duration::from_millis(1_500);

/// How the link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LinkStatus {
    /// The server's base URL; none: the machine is not linked.
    pub(crate) server: Option<String>,
    /// This machine's id there.
    pub(crate) machine: Option<String>,
    /// How the connection is.
    pub(crate) view: LinkView,
}

impl LinkStatus {
    /// As the control API tells it.
    pub(crate) fn told(self) -> UplinkStatusResult {
        let LinkView { state, since_ms, reason, waiting } = self.view;
        UplinkStatusResult { server: self.server, state, since_ms, reason, machine: self.machine, waiting }
    }
}

fn not_linked() -> LinkStatus {
    let view =
        LinkView { state: UplinkState::NotLinked, since_ms: wall_ms(), reason: String::new(), waiting: 0 };
    LinkStatus { server: None, machine: None, view }
}

/// What others use of the link. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct UplinkHandle {
    ids: Ids,
    status: watch::Sender<LinkStatus>,
    end: watch::Sender<Option<String>>,
}

impl UplinkHandle {
    /// Of a link that has not begun.
    pub(crate) fn new() -> Self {
        let (status, _) = watch::channel(not_linked());
        let (end, _) = watch::channel(None);
        Self { ids: Ids::default(), status, end }
    }

    /// Which session is which at the server.
    pub(crate) fn ids(&self) -> Ids {
        self.ids.clone()
    }

    /// How the link is.
    pub(crate) fn status(&self) -> LinkStatus {
        self.status.borrow().clone()
    }

    /// Ends the link, for `source` (`os-signal`, `happy-cli`, `happy-app`). [`run`] returns when the server has been told,
    /// or after 1.5 s.
    pub(crate) fn end(&self, source: &str) {
        self.end.send_replace(Some(source.to_owned()));
    }
}

/// Where a link says how it is.
#[derive(Debug, Clone)]
struct Status(watch::Sender<LinkStatus>);

impl Status {
    /// One line in the log for each change of state, not for each attempt.
    fn say(&self, view: LinkView) {
        self.0.send_if_modified(|status| {
            let changed = status.view != view;
            if status.view.state != view.state {
                tracing::info!(state = ?view.state, reason = view.reason, "the link to the server");
            }
            status.view = view;
            changed
        });
    }
}

/// What the link is made with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) handle: UplinkHandle,
    pub(crate) keys: Keys,
    pub(crate) remote: Remote,
    pub(crate) supervision: Supervision,
    pub(crate) store: Store,
    pub(crate) place: Place,
    /// Certificates to be trusted besides the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// The daemon's own program.
    pub(crate) program: PathBuf,
    /// The user's home directory.
    pub(crate) home: PathBuf,
    /// Unix milliseconds of the daemon's start.
    pub(crate) started_ms: u64,
}

/// Keeps the machine linked to whatever account it belongs to, until [`UplinkHandle::end`].
pub(crate) async fn run(parts: Parts) {
    let mut linked = parts.keys.watch();
    let mut end = parts.handle.end.subscribe();
    loop {
        let current = linked.borrow_and_update().clone();
        let stop = async {
            tokio::select! {
                source = ended(&mut end) => (source, true),
                _ = linked.changed() => ("happy-cli".to_owned(), false),
            }
        };
        let over = match current {
            Some(current) => link(&parts, current, stop).await,
            None => {
                parts.handle.status.send_replace(not_linked());
                stop.await.1
            }
        };
        parts.handle.ids.clear();
        if over {
            return;
        }
    }
}

/// Waits until somebody ends the link; for ever when nobody can any more.
async fn ended(end: &mut watch::Receiver<Option<String>>) -> String {
    let source = end.wait_for(Option::is_some).await.ok().and_then(|source| source.clone());
    match source {
        Some(source) => source,
        None => std::future::pending().await,
    }
}

/// Keeps one link until `stop`, whose second half says whether all is over.
async fn link(parts: &Parts, linked: Arc<Linked>, stop: impl Future<Output = (String, bool)>) -> bool {
    let status = LinkStatus {
        server: Some(linked.server.clone()),
        machine: Some(linked.machine.to_string()),
        view: Uplink::new().view(),
    };
    parts.handle.status.send_replace(status);
    let opened = Vault::open(parts.place.clone(), parts.store.clone(), Arc::clone(&linked)).await;
    let vault = match opened {
        Ok(vault) => Arc::new(vault),
        Err(refusal) => {
            tracing::error!(%refusal, "the machine stays offline");
            let reason = refusal.to_string();
            let view = LinkView { state: UplinkState::Refused, since_ms: wall_ms(), reason, waiting: 0 };
            Status(parts.handle.status.clone()).say(view);
            return stop.await.1;
        }
    };
    for (id, server_id) in vault.known() {
        parts.handle.ids.recognise(id, server_id);
    }
    let (to, mailbox) = mpsc::channel(MAILBOX);
    let host = machine::host(&parts.place, &parts.program, &parts.home, &linked.machine);
    let begin = Input::Begin {
        metadata: machine::metadata(&host),
        daemon_state: machine::daemon_state(parts.started_ms),
    };
    let server = Arc::new(Server::new(parts.ca_file.clone()));
    let waker = push::Waker::new(Arc::clone(&server), parts.handle.ids());
    let mut beside = JoinSet::new();
    beside.spawn(feed::run(parts.supervision.clone(), Arc::clone(&vault), host, waker, to.clone()));
    beside.spawn(network(to.clone()));
    let mut core = Core::new(Uplink::new(), Clock::start());
    let ids = parts.handle.ids();
    let mut body = LinkBody {
        calls: Calls::new(Arc::clone(&vault), ids.clone(), parts.remote.clone()),
        server,
        supervision: parts.supervision.clone(),
        ids,
        status: Status(parts.handle.status.clone()),
        vault,
        mailbox,
        to: to.clone(),
        handle: None,
        attempt: 0,
        connections_ended: watch::channel(0).0,
        ears: HashMap::new(),
        tasks: JoinSet::new(),
    };
    // There is room: nobody else has the sender yet but tasks that have not run.
    let _ = to.send(Mail::Input(Box::new(begin))).await;
    let over = {
        let running = run_actor(&mut core, &mut body);
        tokio::pin!(running);
        tokio::pin!(stop);
        tokio::select! {
            ended = &mut running => {
                if let Err(crate::actor::Panicked(reason)) = ended {
                    tracing::error!(reason, "the link's reducer panicked; sessions go on, the machine stays offline");
                }
                stop.await.1
            }
            (source, over) = &mut stop => {
                let shut_down = Mail::Input(Box::new(Input::ShutDown { source }));
                let parting = async { tokio::join!(to.send(shut_down), running) };
                if tokio::time::timeout(PARTING, parting).await.is_err() {
                    tracing::info!("the server was not told of the end in time");
                }
                over
            }
        }
    };
    beside.abort_all();
    body.close().await;
    over
}

/// Tells the link when the machine's network changed.
async fn network(to: mpsc::Sender<Mail>) {
    let mut changes = match NetworkChanges::watch() {
        Ok(changes) => changes,
        Err(error) => return tracing::info!(%error, "changes of the network are not watched"),
    };
    while changes.next().await.is_ok() {
        if to.send(Mail::Input(Box::new(Input::NetworkChanged))).await.is_err() {
            return;
        }
    }
}
