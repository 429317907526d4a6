//! The supervisor's reducer: which input goes where, and the index.

use std::collections::BTreeMap;

use delight_proto::api::method::Change;
use delight_proto::id::{SessionId, SessionName};
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::{Origin, Record, SessionView};

use super::effect::{Answer, Counts, Effect, Opening};
use super::input::{Boot, Input, Request, Stored};
use super::state::{Entry, RESTORE_AT_ONCE, Supervisor, fingerprint};
use crate::actor::{Deadline, Effects, Reducer, Stamp, Stamped, Ticket};
use crate::session::{Capabilities, Command, Session};
use crate::view;

/// One step under way.
pub(super) struct Step {
    pub(super) s: Supervisor,
    pub(super) now: Stamp,
    pub(super) out: Vec<Effect>,
}

impl Reducer for Supervisor {
    type Input = Input;
    type Effect = Effect;

    fn reduce(self, input: Stamped<Input>) -> (Self, Effects<Effect>) {
        let mut step = Step { s: self, now: input.at, out: Vec::new() };
        match input.input {
            Input::Boot(boot) => step.boot(*boot),
            Input::Asked { ticket, origin, request } => step.asked(ticket, origin, request),
            Input::Changed { view, alive } => step.changed(*view, alive),
            Input::NameReleased { id, name } => step.s.release(id, &name),
            Input::Restored { id, adopted } => step.restored(id, adopted),
            Input::Gone { id } => step.gone(id),
            Input::ActorFailed { id, reason } => step.actor_failed(id, reason),
            Input::Tick => {}
        }
        step.drain();
        (step.s, Effects::from(step.out))
    }

    fn deadline(&self) -> Option<Deadline> {
        let at = self.draining.as_ref()?.ask_again_at?;
        Some(Deadline { at, what: "ask sessions to stop once more" })
    }

    fn tick() -> Input {
        Input::Tick
    }
}

impl Step {
    pub(super) fn reply(&mut self, ticket: Ticket, result: Result<Answer, Refusal>) {
        self.out.push(Effect::Reply { ticket, result });
    }

    fn boot(&mut self, boot: Boot) {
        if self.s.booted {
            return;
        }
        self.s.booted = true;
        self.s.kinds = boot.kinds;
        self.s.max_live = boot.max_live;
        self.s.quarantined = boot.quarantined;
        let mut sessions = boot.sessions;
        sessions.sort_by_key(|stored| (stored.record.created_ms, stored.record.id));
        for Stored { record, log_seq, tail } in sessions {
            let id = record.id;
            let capabilities = self.s.capabilities(&record.spec.kind);
            // The view with the tail folded in: the session itself will say the same.
            let shown = Session::restored(record.clone(), log_seq, &tail, capabilities);
            self.s.index(shown.record(), shown.view(), true);
            self.s.to_restore.push(id);
            let opening = Opening::Stored { record: Box::new(record), log_seq, tail, capabilities };
            self.out.push(Effect::Open { id, opening });
        }
        self.restore_more();
    }

    /// Keeps as many under way as may be; the newest first, for they are the likeliest to be wanted.
    fn restore_more(&mut self) {
        while self.s.restoring.len() < RESTORE_AT_ONCE {
            let Some(id) = self.s.to_restore.pop() else { break };
            self.s.restoring.insert(id);
            self.out.push(Effect::Restore { id });
        }
        if self.s.restoring.is_empty() && !self.s.ready {
            self.s.ready = true;
            self.out.push(Effect::Ready { adopted: self.s.adopted });
        }
    }

    fn restored(&mut self, id: SessionId, adopted: bool) {
        if self.s.restoring.remove(&id) {
            self.s.adopted += u32::from(adopted);
            self.restore_more();
        }
    }

    fn asked(&mut self, ticket: Ticket, origin: Origin, request: Request) {
        if let Some(refusal) = self.s.not_serving() {
            return self.reply(ticket, Err(refusal));
        }
        match request {
            Request::Spawn { fresh_id, params } => self.spawn(ticket, origin, fresh_id, *params),
            Request::To { selector, command } => self.pass_on(ticket, origin, &selector, command),
            Request::Get { selector } => {
                let answer = self.s.select(&selector).map(|entry| Answer::View(Box::new(entry.view.clone())));
                self.reply(ticket, answer);
            }
            Request::List => {
                let list = self.s.list();
                self.reply(ticket, Ok(Answer::List(list)));
            }
            Request::Subscribe { selector: None } => {
                let sessions = self.s.list();
                self.reply(ticket, Ok(Answer::Subscribed { only: None, sessions }));
            }
            Request::Subscribe { selector: Some(selector) } => {
                let answer = self.s.select(&selector).map(|entry| Answer::Subscribed {
                    only: Some(entry.view.id),
                    sessions: vec![entry.view.clone()],
                });
                self.reply(ticket, answer);
            }
            Request::Status => {
                let counts = self.s.counts();
                self.reply(ticket, Ok(Answer::Status(counts)));
            }
            Request::Shutdown { stop_sessions } => self.shutdown(ticket, stop_sessions),
        }
    }

    fn pass_on(&mut self, ticket: Ticket, origin: Origin, selector: &str, command: Command) {
        let checked = self.s.select(selector).map(|entry| entry.view.id).and_then(|id| {
            match self.s.index.get(&id).and_then(|entry| entry.failed.as_ref()) {
                Some(reason) => Err(actor_failed(id, reason)),
                None => self.s.permit(id, &command).map(|()| id),
            }
        });
        let id = match checked {
            Ok(id) => id,
            Err(refusal) => return self.reply(ticket, Err(refusal)),
        };
        match &command {
            Command::Rename { name: Some(name) } => self.s.claim(id, name),
            Command::Resume => {
                // Counted from now on; the session says itself how it ended up.
                if let Some(entry) = self.s.index.get_mut(&id) {
                    entry.alive = true;
                }
            }
            _ => {}
        }
        self.out.push(Effect::Deliver { id, ticket, origin, command });
    }

    fn changed(&mut self, view: SessionView, alive: bool) {
        let Some(entry) = self.s.index.get_mut(&view.id) else { return };
        if entry.failed.is_some() {
            return;
        }
        entry.alive = alive;
        if entry.view != view {
            entry.view = view.clone();
            self.out.push(Effect::Broadcast(Change::Session { session: Box::new(view) }));
        }
    }

    fn gone(&mut self, id: SessionId) {
        if self.s.index.remove(&id).is_none() {
            return;
        }
        self.s.names.retain(|_, (owner, _)| *owner != id);
        self.s.requests.retain(|_, (made, _)| *made != id);
        self.out.push(Effect::Close { id });
        self.out.push(Effect::Broadcast(Change::Removed { id }));
        self.s.to_restore.retain(|waiting| *waiting != id);
        self.restored(id, false);
    }

    fn actor_failed(&mut self, id: SessionId, reason: String) {
        let Some(entry) = self.s.index.get_mut(&id) else { return };
        if entry.failed.is_some() {
            return;
        }
        entry.view.warnings.push(actor_failed(id, &reason).reason);
        entry.failed = Some(reason);
        self.out.push(Effect::Broadcast(Change::Session { session: Box::new(entry.view.clone()) }));
        self.s.to_restore.retain(|waiting| *waiting != id);
        self.restored(id, false);
    }
}

fn actor_failed(id: SessionId, reason: &str) -> Refusal {
    let why = format!("the daemon's part that looks after it failed ({reason}); its processes go on");
    Refusal::new(Code::Internal, format!("session {} cannot be asked", id.short()), why)
        .fix("restart the daemon (sessions survive it) and report the fault")
}

impl Supervisor {
    pub(super) fn capabilities(&self, kind: &str) -> Capabilities {
        // A kind this build does not know: the session is kept, and gets nothing done to it by itself.
        self.kinds.get(kind).copied().unwrap_or_default()
    }

    fn not_serving(&self) -> Option<Refusal> {
        if !self.booted {
            let why = "the daemon is still reading its registry";
            return Some(
                Refusal::new(Code::Busy, "nothing can be asked yet", why).fix("try again in a moment"),
            );
        }
        let ended = self.draining.as_ref().is_some_and(|draining| draining.done);
        ended.then(|| super::drain::shutting_down("nothing can be asked any more"))
    }

    /// Takes a session into the index.
    pub(super) fn index(&mut self, record: &Record, view: SessionView, alive: bool) {
        self.last_order += 1;
        if let Some(name) = &record.name {
            self.claim(record.id, name);
        }
        if let Some(request) = &record.request_id {
            self.requests.insert(request.clone(), (record.id, fingerprint(&record.spec)));
        }
        self.index.insert(record.id, Entry { view, alive, order: self.last_order, failed: None });
    }

    /// Claims a name once more for a session. Whose it is already keeps it: two sessions of a registry can bear one
    /// name only after a crash and a full disk at once, and then the older one goes by it.
    pub(super) fn claim(&mut self, id: SessionId, name: &SessionName) {
        let claims = self.names.entry(name.clone()).or_insert((id, 0));
        if claims.0 == id {
            claims.1 += 1;
        }
    }

    fn release(&mut self, id: SessionId, name: &SessionName) {
        if let Some(claims) = self.names.get_mut(name)
            && claims.0 == id
        {
            claims.1 = claims.1.saturating_sub(1);
            if claims.1 == 0 {
                self.names.remove(name);
            }
        }
    }

    /// Newest first.
    fn list(&self) -> Vec<SessionView> {
        let mut entries: Vec<&Entry> = self.index.values().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.order));
        entries.into_iter().map(|entry| entry.view.clone()).collect()
    }

    fn counts(&self) -> Counts {
        let mut sessions = BTreeMap::new();
        for entry in self.index.values() {
            *sessions.entry(entry.view.phase).or_insert(0) += 1;
        }
        Counts {
            sessions,
            max_live: self.max_live,
            adopted: self.adopted,
            quarantined: self.quarantined.clone(),
        }
    }

    /// The view of a fresh session's record, for the moment until it publishes itself.
    pub(super) fn index_fresh(&mut self, record: &Record) {
        self.index(record, view::of_record(record), true);
    }
}
