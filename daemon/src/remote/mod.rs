//! What a phone may ask of this machine and its sessions, by the same commands as the control socket.
//!
//! Values come in opened and checked ([`Params`]) and go out as the wire spells them, failures included; sealing, sockets
//! and replay protection are the uplink's. Every answer means done, and every question is answered within its time.

mod api;
mod commands;
mod directory;
mod files;
mod fitting;
mod machine;
mod session;
mod settings;
mod spawn;
mod tools;

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use delight_core::session::{Capabilities, Command};
use delight_core::supervisor::Request;
use delight_proto::id::SessionId;
use delight_proto::place::Place;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, SessionView};
use delight_proto::sync::bounded::Id;
use delight_proto::sync::rpc::{FileRequest, MachineRequest, Params, SessionRequest, answer};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::actor::Told;
use crate::supervisor::Supervision;

pub(crate) use settings::RemoteSettings;

/// Calls a machine answers, each under its own id. A name that is not registered keeps a phone waiting for the server's
/// time limit, so what is not offered is registered too, and refused at once.
pub(crate) const MACHINE_METHODS: &[&[&str]] = &[MachineRequest::METHODS, FileRequest::METHODS];

/// Calls a session answers, each under its own id.
pub(crate) const SESSION_METHODS: &[&[&str]] = &[SessionRequest::METHODS, FileRequest::METHODS];

/// How long a call may take here. The server gives up after 30 s, and a caller that has given up does not hear that it is
/// still being done.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);

/// Commands of phones that run at once: more than an app starts, fewer than would be felt.
const ERRANDS: usize = 4;

/// Answers once the server knows a session.
pub(crate) type ServerIdSoon<'a> = Pin<Box<dyn Future<Output = Result<Id, Refusal>> + Send + 'a>>;

/// Which session is which at the server. Implemented by the uplink.
pub(crate) trait ServerIds: Send + Sync + std::fmt::Debug {
    /// The server's id of a session, waiting until the server knows it **and** its calls are registered there, so that
    /// who is told the id can use it at once. Cancel safe.
    fn server_id(&self, id: SessionId) -> ServerIdSoon<'_>;

    /// What the server called it last, without waiting: known after a restart too, before its calls arrive again.
    fn known(&self, id: SessionId) -> Option<Id>;

    /// The session the server knows by this id, ended ones included.
    fn local_id(&self, id: &Id) -> Option<SessionId>;
}

/// What the answers are made with.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) supervision: Supervision,
    pub(crate) settings: RemoteSettings,
    /// The daemon's own directories.
    pub(crate) place: Place,
    /// The user's home directory.
    pub(crate) home: PathBuf,
    /// Session kinds there are.
    pub(crate) kinds: BTreeMap<String, Capabilities>,
    pub(crate) ids: Arc<dyn ServerIds>,
    /// The control API.
    pub(crate) daemon: Arc<crate::api::Daemon>,
}

/// Answers the calls of phones. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Remote(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    /// Spawns without a key of their own that were asked for lately.
    recent: Mutex<HashMap<[u8; 32], spawn::Recent>>,
    /// Turns of commands.
    errands: Semaphore,
}

impl std::ops::Deref for Remote {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

impl Remote {
    /// Answers with these.
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, recent: Mutex::default(), errands: Semaphore::new(ERRANDS) }))
    }

    /// Answers a call to the machine. `method` is the name without the id, `device` who asks, for the log of events.
    ///
    /// Dropping the future drops the answer, not what is being done.
    pub(crate) async fn machine(&self, method: &str, params: &Params, device: &str) -> Value {
        match MachineRequest::read(method, params) {
            Ok(request) => self.answer_machine(request, &phone(device)).await,
            Err(refusal) => answer::error(&words(&refusal)),
        }
    }

    /// Answers a call to a session.
    ///
    /// Dropping the future drops the answer, not what is being done.
    pub(crate) async fn session(&self, id: SessionId, method: &str, params: &Params, device: &str) -> Value {
        match SessionRequest::read(method, params) {
            Ok(request) => self.answer_session(id, request, &phone(device)).await,
            Err(refusal) => answer::error(&words(&refusal)),
        }
    }

    fn recent(&self) -> MutexGuard<'_, HashMap<[u8; 32], spawn::Recent>> {
        self.0.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn to(&self, id: SessionId, origin: &Origin, command: Command) -> Result<Told, Refusal> {
        self.supervision.ask(origin.clone(), Request::To { selector: id.to_string(), command }).await
    }

    /// The same for commands that are answered with the session.
    async fn view(
        &self,
        id: SessionId,
        origin: &Origin,
        command: Command,
    ) -> Result<Box<SessionView>, Refusal> {
        match self.to(id, origin, command).await? {
            Told::View(view) => Ok(view),
            other => Err(unexpected(&other)),
        }
    }

    async fn get(&self, id: SessionId) -> Result<Box<SessionView>, Refusal> {
        match self.supervision.ask(Origin::Daemon, Request::Get { selector: id.to_string() }).await? {
            Told::View(view) => Ok(view),
            other => Err(unexpected(&other)),
        }
    }

    /// The session a phone names, by the server's id or by ours.
    fn named(&self, id: &Id) -> Result<SessionId, Refusal> {
        self.ids.local_id(id).or_else(|| id.parse().ok()).ok_or_else(|| {
            Refusal::new(Code::NotFound, "Session not found", "this machine has no session of that id")
        })
    }
}

fn phone(device: &str) -> Origin {
    Origin::Phone { device: device.to_owned() }
}

/// A refusal as a phone shows it: one line.
fn words(refusal: &Refusal) -> String {
    if refusal.fix.is_empty() { refusal.to_string() } else { format!("{refusal} ({})", refusal.fix) }
}

/// Gives a call its time.
async fn in_time<T>(what: &str, work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    tokio::time::timeout(ANSWER_WITHIN, work).await.unwrap_or_else(|_| {
        let reason = format!("it is not done after {} s, and goes on", ANSWER_WITHIN.as_secs());
        Err(Refusal::new(Code::Timeout, what, reason).fix("ask again").retry())
    })
}

/// A reducer answered something else than it was asked: a fault of ours.
fn unexpected(told: &Told) -> Refusal {
    let kind: String = format!("{told:?}").chars().take_while(|c| c.is_alphanumeric()).collect();
    Refusal::new(Code::Internal, "the call failed", format!("the answer was of another kind ({kind})"))
}

#[cfg(test)]
mod tests;
