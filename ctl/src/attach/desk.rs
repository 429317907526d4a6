//! The daemon's side of an attachment to an agent: who drives it, and what it does while the phone drives.
//!
//! Nothing here waits: the loop that carries keys polls the daemon's connection like the holder's. A daemon that goes away
//! is looked for again; meanwhile keys and output go on.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use delight_proto::agent::Control;
use delight_proto::api::envelope::RequestNumber;
use delight_proto::api::method::{
    Change, EventsParams, EventsResult, Method, SessionEvents, SessionGet, SessionRef, SessionSwitch,
    Subscribe, SubscribeParams, SubscribeResult, SwitchParams,
};
use delight_proto::event::Event;
use delight_proto::id::SessionId;
use delight_proto::refusal::Refusal;
use delight_proto::session::SessionView;
use serde_json::value::RawValue;

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::Output;
use crate::unreachable::{garbled, lost};

/// Between two tries to reach a daemon that has gone away.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Events of the past that are shown when the transcript begins.
const BACKLOG: u64 = 200;

/// Events asked for at once.
const PAGE: u32 = 200;

/// How a daemon is reached.
pub(super) type Reach = Box<dyn Fn() -> Result<Connection, Failure>>;

/// The daemon, as far as one session is concerned.
pub(super) struct Desk {
    reach: Reach,
    id: SessionId,
    daemon: Option<Connection>,
    retry_at: Instant,
    view: SessionView,
    /// How words about it are written.
    pub(super) out: Output,
    /// Number of the last event that was told.
    after: u64,
    following: bool,
    /// Requests under way.
    subscribing: Option<RequestNumber>,
    looking: Option<RequestNumber>,
    reading: Option<RequestNumber>,
    taking: Option<RequestNumber>,
}

/// What the daemon had to say.
#[derive(Debug)]
pub(super) enum News {
    /// The session changed: see [`Desk::view`].
    Changed,
    /// Events, in order, each once.
    Events(Vec<Event>),
    /// Control could not be taken back.
    NotTaken(Refusal),
    /// The session was removed.
    Removed,
    /// The daemon is away.
    Away,
}

impl Desk {
    /// For a session that has an agent.
    pub(super) fn new(reach: Reach, view: SessionView, out: Output) -> Self {
        let mut desk = Self {
            reach,
            id: view.id,
            daemon: None,
            retry_at: Instant::now(),
            view,
            out,
            after: 0,
            following: false,
            subscribing: None,
            looking: None,
            reading: None,
            taking: None,
        };
        desk.look();
        desk
    }

    /// The session as last heard of.
    pub(super) fn view(&self) -> &SessionView {
        &self.view
    }

    /// Who drives; the phone as soon as it is about to.
    pub(super) fn remote(&self) -> bool {
        self.view.agent.as_ref().is_some_and(|agent| agent.control == Control::Remote || agent.switching)
    }

    /// Whether desktop and phone drive at once: there is nothing to take back.
    pub(super) fn shared(&self) -> bool {
        self.view.agent.as_ref().is_some_and(|agent| agent.shared)
    }

    /// Whether control is being taken back.
    pub(super) fn is_taking(&self) -> bool {
        self.taking.is_some()
    }

    /// To be polled for reading.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.daemon.as_ref().map(Connection::fd)
    }

    /// When [`Self::look`] is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.daemon.is_none().then_some(self.retry_at)
    }

    /// Looks for the daemon, if it is away and it is time to.
    pub(super) fn look(&mut self) {
        if self.daemon.is_some() || Instant::now() < self.retry_at {
            return;
        }
        self.retry_at = Instant::now() + LOOK_AGAIN;
        let Ok(mut daemon) = (self.reach)() else { return };
        let params = SubscribeParams { session: Some(self.id.to_string()) };
        // What cannot be sent to has gone again.
        let Ok(number) = daemon.request::<Subscribe>(&params) else { return };
        self.subscribing = Some(number);
        self.daemon = Some(daemon);
    }

    /// Tells events from here on, and the latest of the past.
    pub(super) fn follow(&mut self) {
        self.following = true;
        self.after = self.after.max(self.view.last_seq.saturating_sub(BACKLOG));
        self.read_on();
    }

    /// Tells no more events.
    pub(super) fn unfollow(&mut self) {
        self.following = false;
    }

    /// Asks for control.
    pub(super) fn take_back(&mut self) -> Result<(), Refusal> {
        if self.taking.is_some() {
            return Ok(());
        }
        let params = SwitchParams { session: self.id.to_string(), to: Control::Local };
        let Some(daemon) = &mut self.daemon else {
            return Err(lost("it is away").fix("delightctl up, then try again"));
        };
        match daemon.request::<SessionSwitch>(&params) {
            Ok(number) => self.taking = Some(number),
            Err(Failure::Refused(refusal)) => return Err(*refusal),
            Err(_) => return Err(lost("the request could not be sent")),
        }
        Ok(())
    }

    /// Takes in what has arrived; to be called when [`Self::fd`] is readable.
    pub(super) fn arrived(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        let alive = self.daemon.as_mut().is_some_and(|daemon| matches!(daemon.take_arrived(), Ok(true)));
        if let Err(refusal) = self.answers(&mut news) {
            news.push(News::NotTaken(refusal));
        }
        while let Some(change) = self.daemon.as_mut().and_then(Connection::next_change) {
            match change {
                Change::Session { session } if session.id == self.id => self.saw(*session, &mut news),
                Change::Removed { id } if id == self.id => news.push(News::Removed),
                Change::Lagged { .. } => self.look_at_it(),
                Change::Session { .. } | Change::Removed { .. } => {}
            }
        }
        if !alive {
            self.daemon = None;
            (self.subscribing, self.looking, self.reading) = (None, None, None);
            if self.taking.take().is_some() {
                news.push(News::NotTaken(lost("it went away while it was asked")));
            }
            news.push(News::Away);
        }
        news
    }

    fn answers(&mut self, news: &mut Vec<News>) -> Result<(), Refusal> {
        if let Some(answer) = self.answer(|desk| &mut desk.subscribing) {
            let seen: SubscribeResult = read(Subscribe::NAME, &answer?)?;
            match seen.sessions.into_iter().find(|view| view.id == self.id) {
                Some(view) => self.saw(view, news),
                None => news.push(News::Removed),
            }
        }
        if let Some(answer) = self.answer(|desk| &mut desk.looking) {
            let view = read(SessionGet::NAME, &answer?)?;
            self.saw(view, news);
        }
        if let Some(answer) = self.answer(|desk| &mut desk.reading) {
            let page: EventsResult = read(SessionEvents::NAME, &answer?)?;
            if let Some(last) = page.events.last() {
                self.after = last.seq;
                news.push(News::Events(page.events));
                self.read_on();
            }
        }
        if let Some(answer) = self.answer(|desk| &mut desk.taking) {
            match answer {
                Ok(view) => self.saw(read(SessionSwitch::NAME, &view)?, news),
                Err(refusal) => news.push(News::NotTaken(refusal)),
            }
        }
        Ok(())
    }

    /// The answer to a request under way, if it is there; the request is none any more then.
    fn answer(
        &mut self,
        which: impl Fn(&mut Self) -> &mut Option<RequestNumber>,
    ) -> Option<Result<Box<RawValue>, Refusal>> {
        let number = (*which(self))?;
        let answer = self.daemon.as_mut()?.take_answer(number)?;
        *which(self) = None;
        Some(answer)
    }

    fn saw(&mut self, view: SessionView, news: &mut Vec<News>) {
        // An answer may be older than a change that came before it.
        if view.last_seq >= self.view.last_seq {
            self.view = view;
            news.push(News::Changed);
        }
        self.read_on();
    }

    fn look_at_it(&mut self) {
        if self.looking.is_none() {
            let params = SessionRef { session: self.id.to_string() };
            self.looking = self.daemon.as_mut().and_then(|daemon| daemon.request::<SessionGet>(&params).ok());
        }
    }

    /// Asks for events that were not told yet.
    fn read_on(&mut self) {
        if self.following && self.reading.is_none() && self.after < self.view.last_seq {
            let params = EventsParams { session: self.id.to_string(), after: self.after, limit: PAGE };
            self.reading =
                self.daemon.as_mut().and_then(|daemon| daemon.request::<SessionEvents>(&params).ok());
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(name: &str, raw: &RawValue) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|e| garbled(&format!("its answer to {name}: {e}")))
}
