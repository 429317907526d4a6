//! Answering requests: tables of methods, the work elsewhere.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use delight_core::session::Command;
use delight_core::supervisor::Request as Ask;
use delight_proto::api::envelope::Request;
use delight_proto::api::method::{
    DaemonStatus, DaemonStatusResult, DaemonStop, EventsParams, EventsResult, Hello, Method, OutputParams,
    OutputResult, PageParams, PageResult, RemovedResult, ScreenResult, SendParams, SendResult, SessionEvents,
    SessionGet, SessionList, SessionListResult, SessionOutput, SessionPage, SessionRemove, SessionRename,
    SessionResize, SessionResume, SessionScreen, SessionSend, SessionSpawn, SessionStop, SessionWait,
    SpawnParams, Subscribe, WaitParams,
};
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, SessionView};
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;

use super::outgoing::Room;
use super::request::raw;
use super::routes::routes;
use super::{Daemon, agent, link, output, policy, screen, why, workdir};
use crate::actor::Told;
use crate::store::read_events;

/// Most events one answer carries, as the API promises.
const MAX_EVENTS: u32 = 1_000;

/// Most sessions of one page, as the API promises.
const MAX_PAGE: u32 = 1_000;

/// Who asks. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    daemon: Arc<Daemon>,
    origin: Origin,
}

pub(super) type Answer = Result<Box<RawValue>, Refusal>;

/// Every method of the daemon.
pub(super) fn served() -> Vec<String> {
    let tables = [
        &[Hello::NAME, Subscribe::NAME][..],
        SERVED,
        agent::SERVED,
        policy::SERVED,
        link::SERVED,
        why::SERVED,
    ];
    tables.concat().into_iter().map(str::to_owned).collect()
}

/// Sessions as they are shown among many: without what their agents have to offer, of which a hundred would fill a line.
pub(super) fn brief(mut sessions: Vec<SessionView>) -> Vec<SessionView> {
    for agent in sessions.iter_mut().filter_map(|view| view.agent.as_mut()) {
        agent.offers = Arc::default();
    }
    sessions
}

routes! { caller, room;
    SessionSpawn(params) => caller.spawn(params).await,
    SessionGet(params) => raw(&caller.get(params.session).await?),
    SessionList(_) => {
        room.large().await;
        match caller.ask(Ask::List).await? {
            Told::List(sessions) => raw(&SessionListResult { sessions: brief(sessions) }),
            other => Err(mismatch(&other)),
        }
    },
    SessionPage(params) => {
        room.large().await;
        raw(&caller.page(params).await?)
    },
    SessionEvents(params) => {
        room.large().await;
        raw(&caller.events(params).await?)
    },
    SessionOutput(params) => {
        room.large().await;
        raw(&caller.output(params).await?)
    },
    SessionScreen(params) => {
        room.large().await;
        raw(&caller.screen(params.session).await?)
    },
    SessionSend(params) => raw(&caller.send(params).await?),
    SessionResize(params) => caller.view(params.session, Command::Resize { size: params.size }).await,
    SessionWait(params) => {
        let WaitParams { session, phases, activity, timeout_ms } = params;
        caller.view(session, Command::Wait { phases, activity, timeout_ms }).await
    },
    SessionStop(params) => {
        let stop = Command::Stop { kill: params.kill, grace_ms: params.grace_ms };
        caller.view(params.session, stop).await
    },
    SessionResume(params) => caller.view(params.session, Command::Resume).await,
    SessionRename(params) => caller.view(params.session, Command::Rename { name: params.name }).await,
    SessionRemove(params) => {
        match caller.ask(Ask::To { selector: params.session, command: Command::Remove }).await? {
            Told::Removed(id) => raw(&RemovedResult { id }),
            other => Err(mismatch(&other)),
        }
    },
    DaemonStatus(_) => raw(&caller.status().await?),
    DaemonStop(params) => match caller.ask(Ask::Shutdown { stop_sessions: params.stop_sessions }).await? {
        Told::Stopped(result) => raw(&result),
        other => Err(mismatch(&other)),
    },
}

impl Caller {
    pub(super) fn new(daemon: Arc<Daemon>, origin: Origin) -> Self {
        Self { daemon, origin }
    }

    pub(super) fn origin(&self) -> Origin {
        self.origin.clone()
    }

    pub(super) fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    pub(super) fn kinds(&self) -> Vec<String> {
        self.daemon.adapters.names()
    }

    /// Carries out one request.
    pub(super) async fn call(&self, request: &Request, room: &mut Room<'_>) -> Answer {
        // A line a table; `served` has the same.
        if let Some(answer) = call(self, request, room).await {
            return answer;
        }
        if let Some(answer) = agent::call(self, request, room).await {
            return answer;
        }
        if let Some(answer) = policy::call(self, request, room).await {
            return answer;
        }
        if let Some(answer) = link::call(self, request, room).await {
            return answer;
        }
        if let Some(answer) = why::call(self, request, room).await {
            return answer;
        }
        Err(match request.method.as_str() {
            Hello::NAME => Refusal::new(
                Code::BadRequest,
                "hello cannot be said twice",
                "it is the first request of a connection",
            ),
            other => Refusal::new(
                Code::UnknownMethod,
                format!("there is no method {:?}", other.chars().take(80).collect::<String>()),
                "this daemon does not offer it",
            )
            .fix("hello lists the methods it offers"),
        })
    }

    pub(super) async fn ask(&self, request: Ask) -> Result<Told, Refusal> {
        self.daemon.supervision.ask(self.origin.clone(), request).await
    }

    /// Asks a session something that is answered with its view.
    pub(super) async fn view(&self, selector: String, command: Command) -> Answer {
        match self.ask(Ask::To { selector, command }).await? {
            Told::View(view) => raw(&view),
            other => Err(mismatch(&other)),
        }
    }

    pub(super) async fn get(&self, selector: String) -> Result<Box<SessionView>, Refusal> {
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

    async fn page(&self, params: PageParams) -> Result<PageResult, Refusal> {
        const WHAT: &str = "the sessions cannot be listed";
        if !(1..=MAX_PAGE).contains(&params.limit) {
            let reason = format!("limit: {} is not 1 to {MAX_PAGE}", params.limit);
            return Err(Refusal::new(Code::BadParams, WHAT, reason));
        }
        let mut sessions = match self.ask(Ask::List).await? {
            Told::List(sessions) => sessions,
            other => return Err(mismatch(&other)),
        };
        if let Some(after) = params.after {
            let at = sessions.iter().position(|view| view.id == after).ok_or_else(|| {
                Refusal::new(Code::NotFound, WHAT, format!("session {after} was removed meanwhile"))
                    .fix("begin with the newest again")
            })?;
            sessions.drain(..=at);
        }
        let more = sessions.len() > params.limit as usize;
        sessions.truncate(params.limit as usize);
        Ok(PageResult { sessions: brief(sessions), more })
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
        output::follow(&self.daemon.place, id, &params).await
    }

    async fn screen(&self, selector: String) -> Result<ScreenResult, Refusal> {
        let view = self.get(selector).await?;
        screen::screen(&self.daemon.place, view.id, view.phase.is_live()).await
    }

    async fn send(&self, params: SendParams) -> Result<SendResult, Refusal> {
        let bytes = BASE64.decode(&params.data).map_err(|e| {
            Refusal::new(Code::BadParams, "the input cannot be read", format!("data: it is not base64: {e}"))
        })?;
        let Some(key) = params.request_id else { return self.write(params.session, bytes).await };
        let id = self.get(params.session).await?.id;
        let caller = self.clone();
        let write = async move { caller.write(id.to_string(), bytes).await };
        self.daemon.sends.once((id, key), write).await
    }

    async fn write(&self, selector: String, bytes: Vec<u8>) -> Result<SendResult, Refusal> {
        match self.ask(Ask::To { selector, command: Command::Send { bytes } }).await? {
            Told::Sent(result) => Ok(result),
            other => Err(mismatch(&other)),
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
                relay: self.daemon.relay.clone(),
                uplink: Some(link::status(&self.daemon)),
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
