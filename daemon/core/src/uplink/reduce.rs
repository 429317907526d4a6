//! One input after the other, and after each: what is due.

use delight_proto::id::SessionId;

use super::backoff::Backoff;
use super::effect::{Effect, Slot};
use super::inbox::Delivery;
use super::input::{Fault, Input, SessionRow, UpdateOutcome};
use super::outbox::{Notice, Stored};
use super::register::first;
use super::session::{Ear, Session, Standing};
use super::state::{Connection, Uplink};
use crate::actor::{Deadline, Effects, Reducer, Stamp, Stamped};

/// Messages passed over before their cursor is worth a write: read again they are passed over again.
const PASSED_UNSAVED: u64 = 64;

/// One step under way.
pub(super) struct Step {
    pub(super) s: Uplink,
    pub(super) now: Stamp,
    pub(super) out: Vec<Effect>,
}

impl Reducer for Uplink {
    type Input = Input;
    type Effect = Effect;

    fn reduce(self, input: Stamped<Input>) -> (Self, Effects<Effect>) {
        let mut step = Step { s: self, now: input.at, out: Vec::new() };
        step.take(input.input);
        step.connection_tick();
        step.pump();
        (step.s, Effects::from(step.out))
    }

    fn deadline(&self) -> Option<Deadline> {
        let at = |at: Option<u64>, what| at.map(|at| Deadline { at, what });
        let connection = match self.connection {
            Connection::Waiting { until } => at(Some(until), "connect again"),
            Connection::Connecting { until } => at(Some(until), "give the connect up"),
            _ => None,
        };
        let over = self.connection == Connection::Over;
        let ending = at(self.ending.filter(|_| !over), "end without having said so");
        if !self.is_online() {
            // Answers of sessions are waited for and repeated without the server.
            let waiting = self.sessions.values().filter(|session| !over && !session.gone);
            let deliveries = waiting.filter_map(|session| session.inbox.deadline(false)[1]);
            return Deadline::earliest([connection, ending, at(deliveries.min(), "deliver a message again")]);
        }
        let registers = [&self.metadata, &self.daemon_state].into_iter().filter_map(|r| r.deadline()).min();
        let sessions = self.sessions.values().filter_map(Session::deadline).min();
        Deadline::earliest([
            ending,
            at(self.alive_at, "tell that the machine is alive"),
            at(registers, "tell how the machine is"),
            at(sessions, "tell how a session is"),
        ])
    }

    fn tick() -> Input {
        Input::Tick
    }
}

impl Step {
    fn take(&mut self, input: Input) {
        let now = self.now.mono_ms;
        match input {
            Input::Begin { metadata, daemon_state } => self.begin(metadata, daemon_state),
            Input::NetworkChanged => self.network_changed(),
            Input::Up { attempt, machine } => self.up(attempt, machine),
            Input::Down { attempt, fault, reason, random } => self.down(attempt, fault, reason, random),
            Input::Updated { slot, outcome, random } => self.updated(slot, outcome, random),
            Input::Seen { id, facts, stored } => match self.s.sessions.get_mut(&id) {
                Some(session) => session.take(*facts),
                None => {
                    let session = Session::new(*facts, stored.map(|stored| *stored));
                    // One that ended long ago costs nothing; should it live again it is seen again.
                    if session.is_wanted() {
                        self.s.sessions.insert(id, session);
                    }
                }
            },
            Input::Gone { id } => {
                if let Some(session) = self.s.sessions.get_mut(&id) {
                    session.gone = true;
                    session.facts.live = false;
                }
            }
            Input::Registered { id, row } => self.registered(id, *row),
            Input::RegisterFailed { id, fault, random } => self.register_failed(id, fault, random),
            Input::Posted { id, through, notices, completed } => {
                let Some(session) = self.s.sessions.get_mut(&id) else { return };
                session.outbox.posted(through, notices);
                if let Some(completed) = completed {
                    session.complete(completed);
                }
                self.save(id);
            }
            Input::PostFailed { id, fault, random } => {
                let Some(session) = self.s.sessions.get_mut(&id) else { return };
                session.outbox.failed(fault, now, random);
                self.fault(id, fault, random);
            }
            Input::EndTold { id, heard } => {
                let Some(session) = self.s.sessions.get_mut(&id) else { return };
                session.presence.end_told(heard, now);
                self.save(id);
            }
            Input::Listening { id } => {
                let Some(session) = self.s.sessions.get_mut(&id) else { return };
                if session.ear == Ear::Opening {
                    session.ear = Ear::Open { since: now };
                    session.inbox.look_again();
                    session.presence.renew(now);
                }
            }
            Input::Deaf { id, fault, random } => self.deaf(id, fault, random),
            Input::Pushed { id, message } => {
                if let Some(session) = self.s.sessions.get_mut(&id) {
                    session.inbox.pushed(*message);
                }
            }
            Input::Fetched { id, messages, last } => {
                if let Some(session) = self.s.sessions.get_mut(&id) {
                    session.inbox.fetched(messages, last, now);
                }
            }
            Input::FetchFailed { id, fault, random } => {
                let Some(session) = self.s.sessions.get_mut(&id) else { return };
                session.inbox.fetch_failed(fault, now, random);
                self.fault(id, fault, random);
            }
            Input::Delivered { id, seq, delivery } => self.delivered(id, seq, delivery),
            Input::ShutDown { source } => self.shut_down(&source),
            Input::Tick => {}
        }
    }

    fn updated(&mut self, slot: Slot, outcome: UpdateOutcome, random: u64) {
        let now = self.now.mono_ms;
        let register = match slot {
            Slot::MachineMetadata => Some(&mut self.s.metadata),
            Slot::DaemonState => Some(&mut self.s.daemon_state),
            Slot::SessionMetadata(id) => self.s.sessions.get_mut(&id).map(|session| &mut session.metadata),
            Slot::AgentState(id) => self.s.sessions.get_mut(&id).map(|session| &mut session.agent_state),
        };
        let Some(register) = register else { return };
        match outcome {
            UpdateOutcome::Stored { version } => register.stored(version),
            UpdateOutcome::Mismatch { version, value } => register.mismatch(version, value, now, random),
            UpdateOutcome::Failed => register.failed(now, random),
        }
    }

    fn registered(&mut self, id: SessionId, row: SessionRow) {
        let now = self.now.mono_ms;
        let Some(session) = self.s.sessions.get_mut(&id) else { return };
        if session.standing != Standing::Asking {
            return;
        }
        session.asking.clear();
        if session.last_id.as_ref().is_some_and(|last| *last != row.id) {
            // It has lost what it had: everything is sent again, and its numbers begin anew.
            session.outbox.rewind();
            session.inbox = super::inbox::Inbox::default();
        }
        session.last_id = Some(row.id.clone());
        session.standing = Standing::Known(row.id);
        session.metadata.learn(row.metadata_version, row.metadata);
        let known = row.agent_state.as_ref().and_then(|state| state.get("completedRequests"));
        if session.completed.is_empty()
            && let Some(completed) = known.and_then(|known| known.as_object().cloned())
        {
            session.complete(completed);
        }
        session.agent_state.learn(row.agent_state_version, row.agent_state);
        session.inbox.server_is_at(row.seq);
        session.inbox.look_again();
        session.presence.renew(now);
        self.save(id);
    }

    fn register_failed(&mut self, id: SessionId, fault: Fault, random: u64) {
        let now = self.now.mono_ms;
        let Some(session) = self.s.sessions.get_mut(&id) else { return };
        if session.standing != Standing::Asking {
            return;
        }
        let least = match fault {
            Fault::After(ms) => ms,
            Fault::Never | Fault::Unknown => Backoff::CEILING_MS,
            _ => 0,
        };
        let wait = session.asking.failed(random).max(least);
        session.standing = Standing::Unknown { after: Some(now + 1 + wait) };
        self.fault(id, fault, random);
    }

    /// What a failure of one session means for more than its own next try.
    fn fault(&mut self, id: SessionId, fault: Fault, random: u64) {
        match fault {
            Fault::Unknown => {
                let now = self.now.mono_ms;
                if let Some(session) = self.s.sessions.get_mut(&id)
                    && session.server_id().is_some()
                {
                    let wait = session.asking.failed(random);
                    session.forgotten(Some(now + 1 + wait));
                }
            }
            Fault::Login if self.s.is_online() => {
                self.out.push(Effect::Disconnect);
                let attempt = self.s.attempt;
                self.down(attempt, Fault::Login, "the server refuses our token".to_owned(), random);
            }
            _ => {}
        }
    }

    fn deaf(&mut self, id: SessionId, fault: Fault, random: u64) {
        let now = self.now.mono_ms;
        let Some(session) = self.s.sessions.get_mut(&id) else { return };
        match session.ear {
            Ear::Closed { .. } => return,
            Ear::Open { since } => session.hearing.ended(now.saturating_sub(since)),
            Ear::Opening => {}
        }
        let least = if let Fault::After(ms) = fault { ms } else { 0 };
        let wait = session.hearing.failed(random).max(least);
        session.ear = Ear::Closed { after: Some(now + 1 + wait) };
        self.fault(id, fault, random);
    }

    fn delivered(&mut self, id: SessionId, seq: u64, delivery: Delivery) {
        let Stamp { mono_ms, wall_ms } = self.now;
        let Some(session) = self.s.sessions.get_mut(&id) else { return };
        if session.inbox.delivered(seq, delivery == Delivery::Later, mono_ms).is_none() {
            return;
        }
        if let Delivery::Refused(refusal) = delivery {
            let fix = if refusal.fix.is_empty() { String::new() } else { format!(" ({})", refusal.fix) };
            let text = format!("Your message was not delivered: {}{fix}", refusal.reason);
            session.outbox.notice(Notice { about: seq, text, at_ms: wall_ms });
        }
        self.save(id);
    }

    fn save(&mut self, id: SessionId) {
        let Some(session) = self.s.sessions.get_mut(&id).filter(|session| !session.gone) else { return };
        if let Some(stored) = session.stored() {
            session.saved = stored.received;
            self.out.push(Effect::Save { id, stored: Box::<Stored>::new(stored) });
        }
    }

    /// Everything that is due now.
    fn pump(&mut self) {
        if self.s.is_online() {
            self.pump_machine();
        }
        if self.s.connection == Connection::Over {
            return;
        }
        let ids: Vec<SessionId> = self.s.sessions.keys().copied().collect();
        for id in ids {
            self.pump_messages(id);
            if self.s.is_online() {
                self.pump_session(id);
            }
        }
    }

    /// Messages are delivered whether or not the server is there.
    fn pump_messages(&mut self, id: SessionId) {
        let now = self.now.mono_ms;
        let Some(session) = self.s.sessions.get_mut(&id).filter(|session| !session.gone) else { return };
        session.inbox.tick(now, session.facts.live);
        let moved = session.inbox.pass_over();
        if moved && session.inbox.cursor - session.saved.min(session.inbox.cursor) >= PASSED_UNSAVED {
            self.save(id);
        }
        let Some(session) = self.s.sessions.get_mut(&id) else { return };
        if session.outbox.has_room()
            && let Some(message) = session.inbox.next_delivery(now)
        {
            self.out.push(Effect::Deliver { id, message: Box::new(message) });
        }
    }

    fn pump_session(&mut self, id: SessionId) {
        let now = self.now.mono_ms;
        let Some(session) = self.s.sessions.get_mut(&id) else { return };
        let server_id = match &session.standing {
            Standing::Known(server_id) => server_id.clone(),
            Standing::Asking => return,
            Standing::Unknown { after } => {
                let due = after.is_none_or(|after| after <= now);
                if due && session.is_wanted() {
                    session.standing = Standing::Asking;
                    session.reached = true;
                    session.presence.may_be_believed_alive();
                    let (metadata, agent_state) =
                        (first(&session.facts.metadata), first(&session.facts.agent_state));
                    self.out.push(Effect::Register { id, metadata, agent_state });
                } else if session.gone {
                    // Nobody was ever told of it.
                    self.s.sessions.remove(&id);
                }
                return;
            }
        };
        if !session.gone && !session.offered {
            session.offered = true;
            self.out.push(Effect::Offer { id, server_id: server_id.clone() });
            self.out.push(Effect::Known { id, server_id: server_id.clone() });
        }
        let end_was_told = session.presence.end_is_told();
        if session.facts.live {
            let (thinking, remote) = (session.facts.thinking, session.is_remote());
            if session.presence.is_due(now, thinking, remote) {
                let mode = remote.map(|remote| if remote { "remote" } else { "local" });
                self.out.push(Effect::SessionAlive { server_id: server_id.clone(), thinking, mode });
            }
        }
        if !session.gone && session.outbox.next(now) {
            self.out.push(Effect::Post {
                id,
                server_id: server_id.clone(),
                after: session.outbox.cursor,
                thinning: session.outbox.thinning(),
                notices: session.outbox.notices.clone(),
            });
        }
        let metadata = session.metadata.next(now).map(|update| (Slot::SessionMetadata(id), update));
        let state = session.agent_state.next(now).map(|update| (Slot::AgentState(id), update));
        for (slot, (expected, value)) in metadata.into_iter().chain(state) {
            self.out.push(Effect::Update { slot, server_id: Some(server_id.clone()), expected, value });
        }
        match session.ear {
            Ear::Closed { after } if session.wants_ear() && after.is_none_or(|after| after <= now) => {
                session.ear = Ear::Opening;
                self.out.push(Effect::Listen { id, server_id: server_id.clone() });
            }
            Ear::Opening | Ear::Open { .. } if !session.wants_ear() => {
                session.ear = Ear::Closed { after: None };
                self.out.push(Effect::StopListening { id });
            }
            _ => {}
        }
        if session.facts.agent
            && !session.gone
            && let Some(after) = session.inbox.next_fetch(now)
        {
            self.out.push(Effect::Fetch { id, server_id: server_id.clone(), after });
        }
        // Last: what it still had to say has been sent.
        let has_said_all = session.gone || session.outbox.waiting() == 0;
        if !session.facts.live && session.presence.may_tell_end(now) && has_said_all {
            session.presence.tell_end();
            self.out.push(Effect::SessionEnd { id, server_id });
        }
        if session.gone && session.presence.end_is_told() {
            self.s.sessions.remove(&id);
        } else if end_was_told && !session.presence.end_is_told() {
            self.save(id);
        }
    }
}
