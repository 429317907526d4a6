//! Waking the owner's phone: an agent needs him, or is done. The server and the push service read these words: they hold
//! nothing of a session but its kind, and never why.

use std::sync::Arc;

use delight_proto::session::SessionView;
use delight_proto::sync::bounded::{Id, Line, Name};
use delight_proto::sync::http::{PushData, PushEvent};
use tokio::sync::Semaphore;

use super::server::Server;
use crate::notify::observe::{Observer, Occasion};
use crate::remote::ServerIds as _;
use crate::uplink::Ids;

/// Notices under way at once: all agents of a busy machine asking in one moment. More are left out; what they are about is
/// in the sessions' states all the same.
const AT_ONCE: usize = 32;

/// What a phone is woken for.
struct News {
    kind: &'static str,
    event: &'static str,
    title: &'static str,
    request: Option<Id>,
}

/// Tells the server what a phone is to be woken for.
pub(super) struct Waker {
    server: Arc<Server>,
    ids: Ids,
    observer: Observer,
    room: Arc<Semaphore>,
}

impl Waker {
    pub(super) fn new(server: Arc<Server>, ids: Ids) -> Self {
        Self { server, ids, observer: Observer::default(), room: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Takes a look that wakes nobody: what was so before is no news.
    pub(super) fn knows(&mut self, view: &SessionView) {
        self.observer.knows(view);
    }

    pub(super) fn forget(&mut self, id: delight_proto::id::SessionId) {
        self.observer.forget(id);
    }

    /// Looks at a session that changed. Nothing waits for what comes of it, and nothing is told later: with the server away
    /// there is nobody to wake, and by the time it is back the phone shows how it is.
    pub(super) fn look(&mut self, view: &SessionView) {
        let found = self.observer.look(view);
        if view.agent.is_none() {
            return;
        }
        if found.notices.iter().any(|notice| notice.occasion == Occasion::NeedsYou) {
            self.tell(view, needs_you(view));
        } else if found.finished.is_some() {
            self.tell(view, News { kind: "done", event: "ready", title: "It's ready!", request: None });
        }
    }

    fn tell(&self, view: &SessionView, news: News) {
        let Some(sid) = self.ids.known(view.id) else { return };
        let Ok(room) = Arc::clone(&self.room).try_acquire_owned() else {
            tracing::info!(session = %view.id, "a phone was not woken: too much is told at once");
            return;
        };
        let News { kind, event, title, request } = news;
        let push = PushEvent {
            kind: Name::cut(kind),
            title: Line::cut(title),
            body: Line::cut(view.kind.as_str()),
            data: PushData {
                session_id: Some(sid.clone()),
                request_id: request,
                kind_of_event: Some(Name::cut(event)),
                kind: Some(Name::cut(kind)),
                provider: Some(Name::cut(view.kind.as_str())),
                url: Some(Line::cut(format!("/session/{sid}"))),
                ..PushData::default()
            },
            sid,
        };
        let (server, id) = (Arc::clone(&self.server), view.id);
        tokio::spawn(async move {
            match server.call(&push).await {
                Ok(told) => {
                    tracing::debug!(session = %id, kind, result = %told.result, "a phone was to be woken");
                }
                Err(failed) => {
                    tracing::info!(session = %id, kind, reason = failed.reason, "a phone was not woken");
                }
            }
            drop(room);
        });
    }
}

fn needs_you(view: &SessionView) -> News {
    let newest = view.agent.as_ref().and_then(|agent| agent.pending.last());
    let request = newest.map(|waits| Id::cut(waits.ask.id.as_str()));
    match newest {
        Some(waits) if waits.ask.question => {
            News { kind: "question", event: "question_request", title: "Question", request }
        }
        _ => News { kind: "permission", event: "permission_request", title: "Permission request", request },
    }
}
