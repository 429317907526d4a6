//! What is worth telling: one look at a session beside the one before. Pure.

use std::collections::{BTreeSet, HashMap};

use delight_proto::agent::Activity;
use delight_proto::id::{PermissionId, SessionId};
use delight_proto::session::{Phase, SessionView};

/// What is told. Never why: that is the owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Occasion {
    /// An agent waits for a decision or an answer.
    NeedsYou,
    /// An agent has done what it was asked.
    Done,
    /// A session failed, was cut off, or its agent met an error.
    Failed,
}

impl Occasion {
    /// The word of the hook's environment.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::NeedsYou => "needs-you",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) occasion: Occasion,
    pub(crate) session: SessionId,
    /// Its name, or its short id.
    pub(crate) name: String,
}

/// An agent that has stopped working: whether it is done or failed is in its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    /// The notice, if it is done.
    pub(crate) notice: Notice,
    /// The last event before it worked.
    pub(crate) after: u64,
    /// How long it worked, in milliseconds.
    pub(crate) worked_ms: u64,
}

/// What a look found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) notices: Vec<Notice>,
    pub(crate) finished: Option<Finished>,
}

/// What was seen of a session.
#[derive(Debug)]
struct Seen {
    phase: Phase,
    activity: Activity,
    waiting: BTreeSet<PermissionId>,
    /// Since when it works (Unix milliseconds), and the last event before.
    works: Option<(u64, u64)>,
}

/// All sessions as they were last seen.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    sessions: HashMap<SessionId, Seen>,
}

impl Observer {
    /// Takes a look that tells nothing: what was so when the daemon started is no news.
    pub(crate) fn knows(&mut self, view: &SessionView) {
        let seen = Seen::of(view, None);
        self.sessions.insert(view.id, seen);
    }

    /// Forgets a session.
    pub(crate) fn forget(&mut self, id: SessionId) {
        self.sessions.remove(&id);
    }

    /// Looks at a session.
    pub(crate) fn look(&mut self, view: &SessionView) -> Found {
        let before = self.sessions.remove(&view.id);
        let now = Seen::of(view, before.as_ref());
        let notice = |occasion| Notice {
            occasion,
            session: view.id,
            name: view.name.as_ref().map_or_else(|| view.id.short().to_owned(), ToString::to_string),
        };
        let mut found = Found::default();
        let waited = before.as_ref().map(|before| &before.waiting);
        let asks = now.waiting.iter().any(|id| waited.is_none_or(|waited| !waited.contains(id)));
        let was = before.as_ref().map_or(Activity::Unknown, |before| before.activity);
        let turned = now.activity == Activity::NeedsDecision && was != Activity::NeedsDecision;
        // An agent that says both says one thing.
        if asks || turned && now.waiting.is_empty() {
            found.notices.push(notice(Occasion::NeedsYou));
        }
        let was_live = before.as_ref().is_none_or(|before| before.phase.is_live());
        let failed = match view.phase {
            Phase::Failed | Phase::Interrupted => true,
            Phase::Exited => view.exit.is_some_and(|exit| !exit.is_success()),
            _ => false,
        };
        if was_live && failed {
            found.notices.push(notice(Occasion::Failed));
        } else if let (Some((since, after)), None) = (before.and_then(|before| before.works), now.works)
            && now.activity == Activity::Idle
        {
            let until =
                view.agent.as_ref().and_then(|agent| agent.activity).map_or(since, |now| now.since_ms);
            let worked_ms = until.saturating_sub(since);
            found.finished = Some(Finished { notice: notice(Occasion::Done), after, worked_ms });
        }
        self.sessions.insert(view.id, now);
        found
    }

    /// Whether an agent of the session still waits for its owner.
    pub(crate) fn waits(&self, id: SessionId) -> bool {
        self.sessions
            .get(&id)
            .is_some_and(|seen| !seen.waiting.is_empty() || seen.activity == Activity::NeedsDecision)
    }
}

impl Seen {
    fn of(view: &SessionView, before: Option<&Self>) -> Self {
        let agent = view.agent.as_ref();
        let now = agent.and_then(|agent| agent.activity);
        let activity = now.map_or(Activity::Unknown, |now| now.activity);
        let waiting: BTreeSet<_> =
            agent.iter().flat_map(|agent| &agent.pending).map(|waits| waits.ask.id.clone()).collect();
        let works = match activity {
            _ if !view.phase.is_live() => None,
            // Waiting for a decision is part of the work.
            Activity::Working | Activity::NeedsDecision => {
                let began =
                    || (now.map_or(view.since_ms, |now| now.since_ms), view.last_seq.saturating_sub(1));
                Some(before.and_then(|before| before.works).unwrap_or_else(began))
            }
            Activity::Idle | Activity::Unknown => None,
        };
        Self { phase: view.phase, activity, waiting, works }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use delight_proto::session::Exit;
    use serde_json::json;

    fn view(phase: &str, activity: &str, since_ms: u64, pending: &[&str]) -> SessionView {
        let pending: Vec<_> = pending
            .iter()
            .map(
                |id| json!({"ask": {"id": id, "tool": "t", "title": "secret", "input": null}, "asked_ms": 1}),
            )
            .collect();
        serde_json::from_value(json!({
            "id": SessionId::from_random([1; 10]), "name": "web", "kind": "fake", "command": [], "cwd": "/",
            "desired": "running", "phase": phase, "since_ms": 1, "created_ms": 1, "generation": 1, "last_seq": 9,
            "agent": {
                "control": "remote", "controls": ["remote"], "phone_messages": "reject", "pending": pending,
                "activity": {"activity": activity, "source": "stream", "since_ms": since_ms},
            },
        }))
        .unwrap()
    }

    fn occasions(found: &Found) -> Vec<Occasion> {
        found.notices.iter().map(|notice| notice.occasion).collect()
    }

    #[test]
    fn each_request_is_told_once() {
        let mut observer = Observer::default();
        observer.knows(&view("running", "working", 1, &["old"]));
        assert_eq!(observer.look(&view("running", "needs-decision", 2, &["old"])), Found::default());
        assert_eq!(
            occasions(&observer.look(&view("running", "needs-decision", 2, &["old", "a"]))),
            [Occasion::NeedsYou]
        );
        assert_eq!(observer.look(&view("running", "needs-decision", 2, &["a"])), Found::default());
        assert!(observer.waits(SessionId::from_random([1; 10])));
        assert_eq!(observer.look(&view("running", "working", 3, &[])), Found::default());
        assert!(!observer.waits(SessionId::from_random([1; 10])));
        let at_its_terminal = observer.look(&view("running", "needs-decision", 4, &[]));
        assert_eq!(occasions(&at_its_terminal), [Occasion::NeedsYou], "it says so without a request");
    }

    #[test]
    fn work_that_ends_is_told_with_its_length() {
        let mut observer = Observer::default();
        observer.look(&view("running", "idle", 1_000, &[]));
        observer.look(&view("running", "working", 2_000, &[]));
        observer.look(&view("running", "needs-decision", 30_000, &["a"]));
        observer.look(&view("running", "working", 40_000, &[]));
        let finished = observer.look(&view("running", "idle", 62_000, &[])).finished.unwrap();
        assert_eq!((finished.worked_ms, finished.after), (60_000, 8));
        assert_eq!(finished.notice.name, "web");
        assert_eq!(observer.look(&view("running", "idle", 62_000, &[])).finished, None);
    }

    #[test]
    fn ends_that_are_failures_are_told_once() {
        let mut observer = Observer::default();
        observer.knows(&view("running", "working", 1, &[]));
        assert_eq!(occasions(&observer.look(&view("interrupted", "unknown", 2, &[]))), [Occasion::Failed]);
        assert_eq!(observer.look(&view("interrupted", "unknown", 2, &[])), Found::default());
        observer.knows(&view("running", "working", 1, &[]));
        let mut ended = view("exited", "idle", 2, &[]);
        ended.exit = Some(Exit::Code(0));
        assert_eq!(occasions(&observer.look(&ended)), []);
        observer.knows(&view("running", "working", 1, &[]));
        ended.exit = Some(Exit::Code(1));
        assert_eq!(occasions(&observer.look(&ended)), [Occasion::Failed]);
        observer.forget(ended.id);
        assert!(!observer.waits(ended.id));
    }
}
