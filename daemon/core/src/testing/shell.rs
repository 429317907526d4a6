//! The fake shell: mailboxes, and steps carried out effect by effect, so that the daemon can die between any two.

use std::collections::{BTreeMap, VecDeque};

use delight_proto::id::SessionId;
use delight_proto::session::Phase;

use super::agent::Taken;
use super::disk::Refused;
use super::kernel::ToHolder;
use super::sim::{Sim, Verdict};
use crate::actor::{Reducer, Stamp, Stamped, Ticket};
use crate::replay;
use crate::session::{self, Class, Happening, Session};
use crate::supervisor::{self, Opening, Supervisor};

/// A session's actor.
#[derive(Debug)]
pub(super) struct Actor {
    pub(super) session: Session,
    pub(super) mailbox: VecDeque<session::Input>,
    pub(super) todo: VecDeque<session::Effect>,
    /// Whether the launch of this step was carried out ahead of its store effects.
    launched_early: bool,
    /// To be ended once its mailbox is worked off.
    closing: bool,
    /// Where the recording begins, if there is one.
    first: Option<Session>,
    inputs: Vec<Stamped<session::Input>>,
    effects: Vec<crate::actor::Effects<session::Effect>>,
}

impl Actor {
    fn new(session: Session, recorded: bool) -> Self {
        Self {
            first: recorded.then(|| session.clone()),
            session,
            mailbox: VecDeque::new(),
            todo: VecDeque::new(),
            launched_early: false,
            closing: false,
            inputs: Vec::new(),
            effects: Vec::new(),
        }
    }

    /// Folding the recorded inputs again gives the same state and the same effects.
    pub(super) fn replays(&self) -> Verdict {
        let Some(first) = &self.first else { return Ok(()) };
        let (state, effects) = replay::fold(first.clone(), self.inputs.iter().cloned());
        if state != self.session || effects != self.effects {
            return Err(format!(
                "{}: folding the inputs again gives another result",
                self.session.record().id
            ));
        }
        Ok(())
    }
}

/// A daemon's life.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) supervisor: Supervisor,
    pub(super) mailbox: VecDeque<supervisor::Input>,
    pub(super) todo: VecDeque<supervisor::Effect>,
    pub(super) actors: BTreeMap<SessionId, Actor>,
    pub(super) ready: bool,
    pub(super) exiting: bool,
}

impl Daemon {
    pub(super) fn new() -> Self {
        Self {
            supervisor: Supervisor::new(),
            mailbox: VecDeque::new(),
            todo: VecDeque::new(),
            actors: BTreeMap::new(),
            ready: false,
            exiting: false,
        }
    }

    /// The earliest deadline of any reducer.
    pub(super) fn deadline(&self) -> Option<u64> {
        let sessions = self.actors.values().filter_map(|actor| actor.session.deadline());
        sessions.chain(self.supervisor.deadline()).map(|deadline| deadline.at).min()
    }

    /// Who has something to do at `now`: `None` is the supervisor.
    pub(super) fn busy(&self, now: u64) -> Vec<Option<SessionId>> {
        let due = |deadline: Option<crate::actor::Deadline>| deadline.is_some_and(|d| d.at <= now);
        let mut busy = Vec::new();
        if !self.todo.is_empty() || !self.mailbox.is_empty() || due(self.supervisor.deadline()) {
            busy.push(None);
        }
        let of = self.actors.iter().filter(|(_, actor)| {
            !actor.todo.is_empty()
                || !actor.mailbox.is_empty()
                || actor.closing
                || due(actor.session.deadline())
        });
        busy.extend(of.map(|(id, _)| Some(*id)));
        busy
    }
}

impl Sim {
    /// One move of the supervisor: an effect, or the next input.
    pub(super) fn supervisor_moves(&mut self) -> Verdict {
        let stamp = self.stamp();
        let Some(daemon) = &mut self.daemon else { return Ok(()) };
        if let Some(effect) = daemon.todo.pop_front() {
            return self.carry_out(effect);
        }
        let input = daemon.mailbox.pop_front().unwrap_or_else(Supervisor::tick);
        let (state, effects) = std::mem::take(&mut daemon.supervisor).reduce(Stamped { at: stamp, input });
        late(&state, stamp)?;
        daemon.supervisor = state;
        daemon.todo.extend(effects);
        Ok(())
    }

    fn carry_out(&mut self, effect: supervisor::Effect) -> Verdict {
        use supervisor::Effect;
        let Some(daemon) = &mut self.daemon else { return Ok(()) };
        match effect {
            Effect::Open { id, opening } => {
                let session = match opening {
                    Opening::Fresh(record, capabilities) => {
                        let session = Session::new(*record, capabilities);
                        match self.rng.per_mille(500) {
                            true => session.on_spare(self.kernel.spare(id, &mut self.rng)?),
                            false => session,
                        }
                    }
                    Opening::Stored { record, log_seq, tail, capabilities } => {
                        Session::restored(*record, log_seq, &tail, capabilities)
                    }
                };
                if daemon.actors.insert(id, Actor::new(session, self.recorded)).is_some() {
                    return Err(format!("{id}: opened twice"));
                }
                self.policy_changes(id);
            }
            Effect::Restore { id } => self.post(id, session::Input::Happened(Happening::Restore)),
            Effect::Deliver { id, ticket, origin, command } => {
                if !daemon.actors.contains_key(&id) {
                    return Err(format!("{id}: a command was delivered to nobody"));
                }
                let may_be_refused = ticket != Ticket::NOBODY && !command.must_arrive();
                if may_be_refused && self.rng.per_mille(10) {
                    // Its mailbox is full.
                    return self.answered(ticket, false);
                }
                self.post(id, session::Input::Asked { ticket, origin, command });
            }
            Effect::Close { id } => {
                if let Some(actor) = daemon.actors.get_mut(&id) {
                    actor.closing = true;
                }
            }
            Effect::Broadcast(_) => {}
            Effect::Ready { .. } if daemon.ready => return Err("Ready came twice".into()),
            Effect::Ready { .. } => daemon.ready = true,
            Effect::Reply { ticket, result } => self.answered(ticket, result.is_ok())?,
            Effect::Exit => daemon.exiting = true,
        }
        Ok(())
    }

    pub(super) fn post(&mut self, id: SessionId, input: session::Input) {
        if let Some(actor) = self.daemon.as_mut().and_then(|daemon| daemon.actors.get_mut(&id)) {
            actor.mailbox.push_back(input);
        }
    }

    /// One move of a session's actor: an effect, or the next input once all effects are carried out.
    pub(super) fn session_moves(&mut self, id: SessionId) -> Verdict {
        let stamp = self.stamp();
        let Some(actor) = self.daemon.as_mut().and_then(|daemon| daemon.actors.get_mut(&id)) else {
            return Ok(());
        };
        if let Some(effect) = actor.todo.pop_front() {
            return self.carry_out_of(id, effect);
        }
        let input = match actor.mailbox.pop_front() {
            Some(input) => input,
            None if actor.closing => {
                let actor = self.daemon.as_mut().and_then(|daemon| daemon.actors.remove(&id));
                return actor.map_or(Ok(()), |actor| actor.replays());
            }
            None => Session::tick(),
        };
        let input = Stamped { at: stamp, input };
        if actor.first.is_some() {
            actor.inputs.push(input.clone());
        }
        let before = actor.session.record().agent.handover;
        let (state, effects) = actor.session.clone().reduce(input.clone());
        let now = state.record();
        let arrived = now.phase == Phase::Running && now.agent.handover.is_none();
        let handed_over = before.is_some_and(|it| arrived && it.generation == now.generation);
        late(&state, stamp)?;
        actor.session = state;
        if actor.first.is_some() {
            actor.effects.push(effects.clone());
        }
        actor.launched_early = false;
        actor.todo.extend(effects.clone());
        self.counts.handed_over += u64::from(handed_over);
        let breach = actor.session.breach();
        let launches = actor.todo.contains(&session::Effect::Launch);
        self.note(|| {
            let effects = effects.iter().map(|effect| format!("\n{:14}> {}", "", shown(effect)));
            format!("{id:.4} < {:?}{}", input.input, effects.collect::<String>())
        });
        if let Some(breach) = breach {
            let state =
                self.daemon.as_ref().and_then(|daemon| daemon.actors.get(&id)).map(|actor| &actor.session);
            return Err(format!("{id}: {breach}\n{state:?}"));
        }
        if launches && self.rng.per_mille(500) {
            if let Some(actor) = self.daemon.as_mut().and_then(|daemon| daemon.actors.get_mut(&id)) {
                actor.launched_early = true;
            }
            self.kernel.launch(id, stamp.mono_ms, &mut self.rng)?;
        }
        if self.rng.per_mille(100) {
            self.stale_changes_nothing(id)?;
        }
        Ok(())
    }

    fn carry_out_of(&mut self, id: SessionId, effect: session::Effect) -> Verdict {
        use session::Effect;
        if effect.class() == Class::Store {
            return self.store(id, &effect);
        }
        // Whatever its class says: that is one of the things to be checked.
        self.may_be_told(id, &effect)?;
        let now = self.now;
        let Some(actor) = self.daemon.as_mut().and_then(|daemon| daemon.actors.get_mut(&id)) else {
            return Ok(());
        };
        let early = actor.launched_early;
        let to_supervisor = match effect {
            Effect::Launch if early => return Ok(()),
            Effect::Launch => return self.kernel.launch(id, now, &mut self.rng),
            Effect::Adopt => {
                let record = actor.session.record();
                let (generation, agent) = (record.generation, &record.agent);
                let marks = (agent.stream.offset, agent.transcript.offset);
                let taken = Taken { generation, marks, talk: agent.conversation.clone() };
                self.kernel.adopt(id, now, &taken);
                return Ok(());
            }
            Effect::StartRunner { generation, keep, control } => {
                self.kernel.send(id, ToHolder::Start { generation, keep, control });
                return Ok(());
            }
            Effect::SignalTree { signal } => {
                self.kernel.send(id, ToHolder::Signal(signal));
                return Ok(());
            }
            Effect::CloseHolder => {
                self.kernel.send(id, ToHolder::Close);
                return Ok(());
            }
            Effect::Write { tag, .. } => {
                self.kernel.send(id, ToHolder::Write(tag));
                return Ok(());
            }
            Effect::Resize { tag, .. } => {
                self.kernel.send(id, ToHolder::Resize(tag));
                return Ok(());
            }
            Effect::Tell { tag, order } => {
                self.kernel.send(id, ToHolder::Tell(tag, Box::new(order)));
                return Ok(());
            }
            Effect::Reply { ticket, result } => return self.answered(ticket, result.is_ok()),
            Effect::Publish { view, alive } => supervisor::Input::Changed { view, alive },
            Effect::ReleaseName(name) => supervisor::Input::NameReleased { id, name },
            Effect::Restored { adopted } => supervisor::Input::Restored { id, adopted },
            Effect::Gone => supervisor::Input::Gone { id },
            Effect::Append(_) | Effect::Save(_) | Effect::Checkpoint(_) | Effect::Forget => return Ok(()),
        };
        if let Some(daemon) = &mut self.daemon {
            daemon.mailbox.push_back(to_supervisor);
        }
        Ok(())
    }

    fn store(&mut self, id: SessionId, effect: &session::Effect) -> Verdict {
        let outcome = self.disk.carry_out(id, effect, &mut self.rng);
        if matches!(effect, session::Effect::Forget) && !self.disk.sessions.contains_key(&id) {
            // Also when that was reported as refused: what its agent had said until then is forgotten.
            self.kernel.lines.remove(&id);
            if outcome.is_err() {
                self.disk.half_forgotten.insert(id);
            }
        }
        match outcome {
            Ok(()) => return Ok(()),
            Err(Refused::Broken(why)) => return Err(why),
            Err(Refused::Full) => {}
        }
        let log_seq = self.disk.log_seq(id);
        let reason = "no space left".to_owned();
        if let Some(actor) = self.daemon.as_mut().and_then(|daemon| daemon.actors.get_mut(&id)) {
            actor.todo.retain(|effect| effect.class() == Class::Outward);
            let failed = Happening::StoreFailed { reason, log_seq };
            actor.mailbox.push_front(session::Input::Happened(failed));
        }
        Ok(())
    }
}

/// An effect in one short line.
fn shown(effect: &session::Effect) -> String {
    use session::{Answer, Effect};
    let short =
        |phase, generation, reason: &str, seq| format!("{phase:?} g{generation} {reason:?} seq {seq}");
    match effect {
        Effect::Save(r) | Effect::Checkpoint(r) => {
            let what = if matches!(effect, Effect::Save(_)) { "Save" } else { "Checkpoint" };
            format!("{what} {} {:?}", short(r.phase, r.generation, &r.reason, r.last_seq), r.desired)
        }
        Effect::Publish { view: v, alive } => {
            format!(
                "Publish {} alive={alive} {:?}",
                short(v.phase, v.generation, &v.reason, v.last_seq),
                v.warnings
            )
        }
        Effect::Reply { ticket, result: Ok(Answer::View(v)) } => {
            format!("Reply #{} {}", ticket.0, short(v.phase, v.generation, &v.reason, v.last_seq))
        }
        other => format!("{other:?}"),
    }
}

/// No deadline lies in the past after a step.
fn late<R: Reducer>(state: &R, now: Stamp) -> Verdict {
    match state.deadline() {
        Some(deadline) if deadline.at <= now.mono_ms => {
            Err(format!("after a step at {} the deadline {deadline:?} lies in the past", now.mono_ms))
        }
        _ => Ok(()),
    }
}
