//! Answering requests: one line a method, the work elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use delight_core::session::Command;
use delight_core::supervisor::Request as Ask;
use delight_proto::api::envelope::Request;
use delight_proto::api::method::{
    DaemonStatus, DaemonStatusResult, DaemonStop, EventsParams, EventsResult, Hello, Method, OutputParams,
    OutputResult, RemovedResult, SendParams, SendResult, SessionEvents, SessionGet, SessionList,
    SessionListResult, SessionOutput, SessionRemove, SessionRename, SessionResize, SessionResume,
    SessionSend, SessionSpawn, SessionStop, SessionWait, SpawnParams, Subscribe, SubscribeResult,
};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, SessionView};
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::outgoing::{Outgoing, Permit};
use super::request::{params, raw};
use super::subscription::Following;
use super::{Daemon, output, policy, wait, workdir};
use crate::actor::Told;
use crate::store::read_events;

/// Most events one answer carries, as the API promises.
const MAX_EVENTS: u32 = 1_000;

/// Who asks, and how the answer goes back. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    daemon: Arc<Daemon>,
    origin: Origin,
    out: Outgoing,
    /// Whether the connection has its one subscription: notifications do not say to which they belong.
    subscribed: Arc<AtomicBool>,
}

pub(super) type Answer = Result<Box<RawValue>, Refusal>;

impl Caller {
    pub(super) fn new(daemon: Arc<Daemon>, origin: Origin, out: Outgoing) -> Self {
        Self { daemon, origin, out, subscribed: Arc::default() }
    }

    pub(super) fn out(&self) -> &Outgoing {
        &self.out
    }

    pub(super) fn kinds(&self) -> Vec<String> {
        self.daemon.kinds.clone()
    }

    /// Carries out one request.
    pub(super) async fn call(&self, request: &Request, permit: &mut Permit) -> Answer {
        match request.method.as_str() {
            SessionSpawn::NAME => self.spawn(params::<SessionSpawn>(request)?).await,
            SessionGet::NAME => self.get(params::<SessionGet>(request)?.session).await.and_then(|v| raw(&v)),
            SessionList::NAME => {
                params::<SessionList>(request)?;
                self.out.permit_large(permit).await;
                match self.ask(Ask::List).await? {
                    Told::List(sessions) => raw(&SessionListResult { sessions }),
                    other => Err(mismatch(&other)),
                }
            }
            SessionEvents::NAME => {
                let params = params::<SessionEvents>(request)?;
                self.out.permit_large(permit).await;
                raw(&self.events(params).await?)
            }
            SessionOutput::NAME => {
                let params = params::<SessionOutput>(request)?;
                self.out.permit_large(permit).await;
                raw(&self.output(params).await?)
            }
            SessionSend::NAME => raw(&self.send(params::<SessionSend>(request)?).await?),
            SessionResize::NAME => {
                let params = params::<SessionResize>(request)?;
                self.view(params.session, Command::Resize { size: params.size }).await
            }
            SessionWait::NAME => {
                let params = params::<SessionWait>(request)?;
                wait::wait(params, |selector, command| self.ask(Ask::To { selector, command })).await
            }
            SessionStop::NAME => {
                let params = params::<SessionStop>(request)?;
                let stop = Command::Stop { kill: params.kill, grace_ms: params.grace_ms };
                self.view(params.session, stop).await
            }
            SessionResume::NAME => {
                self.view(params::<SessionResume>(request)?.session, Command::Resume).await
            }
            SessionRename::NAME => {
                let params = params::<SessionRename>(request)?;
                self.view(params.session, Command::Rename { name: params.name }).await
            }
            SessionRemove::NAME => {
                let selector = params::<SessionRemove>(request)?.session;
                match self.ask(Ask::To { selector, command: Command::Remove }).await? {
                    Told::Removed(id) => raw(&RemovedResult { id }),
                    other => Err(mismatch(&other)),
                }
            }
            DaemonStatus::NAME => {
                params::<DaemonStatus>(request)?;
                raw(&self.status().await?)
            }
            DaemonStop::NAME => {
                let stop_sessions = params::<DaemonStop>(request)?.stop_sessions;
                match self.ask(Ask::Shutdown { stop_sessions }).await? {
                    Told::Stopped(result) => raw(&result),
                    other => Err(mismatch(&other)),
                }
            }
            Hello::NAME => Err(Refusal::new(
                Code::BadRequest,
                "hello cannot be said twice",
                "it is the first request of a connection",
            )),
            name if policy::serves(name) => policy::call(&self.daemon, &self.origin, request).await,
            other => Err(Refusal::new(
                Code::UnknownMethod,
                format!("there is no method {:?}", other.chars().take(80).collect::<String>()),
                "this daemon does not offer it",
            )
            .fix("hello lists the methods it offers")),
        }
    }

    async fn ask(&self, request: Ask) -> Result<Told, Refusal> {
        self.daemon.supervision.ask(self.origin.clone(), request).await
    }

    async fn view(&self, selector: String, command: Command) -> Answer {
        match self.ask(Ask::To { selector, command }).await? {
            Told::View(view) => raw(&view),
            other => Err(mismatch(&other)),
        }
    }

    async fn get(&self, selector: String) -> Result<Box<SessionView>, Refusal> {
        match self.ask(Ask::Get { selector }).await? {
            Told::View(view) => Ok(view),
            other => Err(mismatch(&other)),
        }
    }

    async fn spawn(&self, params: SpawnParams) -> Answer {
        let (cwd, create) = (params.cwd.clone(), params.create_cwd);
        blocking(move || workdir::check(&cwd, create)).await?;
        let mut random = [0u8; 10];
        getrandom::fill(&mut random).map_err(|e| {
            Refusal::new(Code::Internal, "a session cannot be named", format!("no randomness: {e}"))
        })?;
        let fresh_id = SessionId::from_random(random);
        match self.ask(Ask::Spawn { fresh_id, params: Box::new(params) }).await? {
            Told::View(view) => raw(&view),
            other => Err(mismatch(&other)),
        }
    }

    async fn events(&self, params: EventsParams) -> Result<EventsResult, Refusal> {
        if !(1..=MAX_EVENTS).contains(&params.limit) {
            return Err(Refusal::new(
                Code::BadParams,
                "the events cannot be read",
                format!("limit: {} is not 1 to {MAX_EVENTS}", params.limit),
            ));
        }
        let view = self.get(params.session).await?;
        let id = view.id;
        let place = self.daemon.place.clone();
        let page = blocking(move || read_events(&place, id, params.after, params.limit as usize)).await?;
        let newest = page.events.last().map_or(0, |event| event.seq);
        Ok(EventsResult { events: page.events, first: page.first, last: view.last_seq.max(newest) })
    }

    async fn output(&self, params: OutputParams) -> Result<OutputResult, Refusal> {
        let id = self.get(params.session.clone()).await?.id;
        let journal = self.daemon.place.session(id).join("journal");
        blocking(move || output::read(&journal, &params)).await
    }

    async fn send(&self, params: SendParams) -> Result<SendResult, Refusal> {
        let bytes = BASE64.decode(&params.data).map_err(|e| {
            Refusal::new(Code::BadParams, "the input cannot be read", format!("data: it is not base64: {e}"))
        })?;
        match self.ask(Ask::To { selector: params.session, command: Command::Send { bytes } }).await? {
            Told::Sent(result) => Ok(result),
            other => Err(mismatch(&other)),
        }
    }

    /// Begins the connection's one subscription. What it is told is to be forwarded after the answer.
    pub(super) async fn subscribe(
        &self,
        request: &Request,
        permit: &mut Permit,
    ) -> Result<(Box<RawValue>, Following), Refusal> {
        let params = params::<Subscribe>(request)?;
        if self.subscribed.swap(true, Ordering::Relaxed) {
            return Err(Refusal::new(
                Code::Conflict,
                "a second subscription cannot begin",
                "this connection has one already",
            )
            .fix("open another connection"));
        }
        self.out.permit_large(permit).await;
        match self.ask(Ask::Subscribe { selector: params.session }).await {
            Ok(Told::Subscribed { only, sessions, changes }) => {
                Ok((raw(&SubscribeResult { sessions })?, Following { changes, only }))
            }
            other => {
                self.subscribed.store(false, Ordering::Relaxed);
                Err(other.map_or_else(|refusal| refusal, |told| mismatch(&told)))
            }
        }
    }

    async fn status(&self) -> Result<DaemonStatusResult, Refusal> {
        match self.ask(Ask::Status).await? {
            Told::Status(counts) => Ok(DaemonStatusResult {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                started_ms: self.daemon.started_ms,
                socket: self.daemon.place.control_socket().to_string_lossy().into_owned(),
                state_dir: self.daemon.place.state.to_string_lossy().into_owned(),
                sessions: counts.sessions,
                max_live: counts.max_live,
                adopted: counts.adopted,
                quarantined: counts.quarantined,
            }),
            other => Err(mismatch(&other)),
        }
    }
}

/// Runs what may block on the disk beside the daemon's loop.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Refusal::new(Code::Internal, "the request failed", e.to_string())))
}

/// A reducer answered something else than it was asked: a fault of ours.
pub(super) fn mismatch(told: &Told) -> Refusal {
    let kind: String = format!("{told:?}").chars().take_while(|c| c.is_alphanumeric()).collect();
    Refusal::new(Code::Internal, "the request failed", format!("the answer was of another kind ({kind})"))
}
