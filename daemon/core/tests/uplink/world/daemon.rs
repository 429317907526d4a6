//! The daemon of the world: its life, and what becomes of each of the link's effects.

use delight_core::actor::{Reducer, Stamp, Stamped};
use delight_core::uplink::{Arrived, Delivery, Effect, Facts, Input, Uplink};
use delight_proto::agent::Control;
use delight_proto::id::SessionId;
use delight_proto::refusal::{Code, Refusal};
use serde_json::json;

use super::{Action, World, is_unwelcome, object};

impl World {
    pub(super) fn facts(&self, id: SessionId) -> Box<Facts> {
        let local = &self.locals[&id];
        Box::new(Facts {
            live: local.live,
            agent: true,
            thinking: local.live && local.turn % 2 == 1,
            control: Some(Control::Remote),
            last_seq: local.events,
            metadata: object(json!({"path": "/", "name": local.turn / 4, "gone": null})),
            agent_state: object(json!({"controlledByUser": false, "requests": {"p": local.turn}})),
        })
    }

    pub(super) fn start_daemon(&mut self) -> Result<(), String> {
        self.life += 1;
        self.uplink = Some(Uplink::new());
        self.in_flight.clear();
        self.give(Input::Begin {
            metadata: object(json!({"host": "h", "version": self.life})),
            daemon_state: object(json!({"status": "running", "pid": self.life})),
        })?;
        for id in self.locals.keys().copied().collect::<Vec<_>>() {
            self.seen(id)?;
        }
        Ok(())
    }

    pub(super) fn seen(&mut self, id: SessionId) -> Result<(), String> {
        let (facts, stored) = (self.facts(id), self.stored.get(&id).cloned().map(Box::new));
        self.give(Input::Seen { id, facts, stored })
    }

    pub(super) fn crash(&mut self) -> Result<(), String> {
        self.counts.crashes += 1;
        self.connection = 0;
        self.half_open = false;
        for local in self.locals.values_mut() {
            local.ear = 0;
        }
        self.start_daemon()
    }

    pub(super) fn give(&mut self, input: Input) -> Result<(), String> {
        let uplink = self.uplink.take().ok_or("no daemon")?;
        let at = Stamp { mono_ms: self.now, wall_ms: 1_700_000_000_000 + self.now };
        let again =
            self.rng.per_mille(20).then(|| uplink.clone().reduce(Stamped { at, input: input.clone() }));
        let (uplink, effects) = uplink.reduce(Stamped { at, input });
        if again.is_some_and(|again| again.0 != uplink || again.1 != effects) {
            return Err("the same input gave something else".to_owned());
        }
        if let Some(deadline) = uplink.deadline()
            && deadline.at <= self.now
        {
            return Err(format!("a deadline in the past: {deadline:?} at {}", self.now));
        }
        self.uplink = Some(uplink);
        for effect in effects {
            self.carry_out(effect)?;
        }
        Ok(())
    }

    pub(super) fn carry_out(&mut self, effect: Effect) -> Result<(), String> {
        self.effects += 1;
        match &effect {
            Effect::Post { id, .. } => {
                self.counts.posts += 1;
                if !self.in_flight.insert(*id) {
                    return Err(format!("two batches of {id} at once"));
                }
            }
            Effect::Disconnect => {
                self.connection = 0;
                self.half_open = false;
                for local in self.locals.values_mut() {
                    local.ear = 0;
                }
                return Ok(());
            }
            Effect::Save { id, stored } => {
                self.stored.insert(*id, (**stored).clone());
                return Ok(());
            }
            Effect::StopListening { id } => {
                self.locals.get_mut(id).unwrap().ear = 0;
                return Ok(());
            }
            Effect::Deliver { id, message } => {
                let delivery = self.deliver(*id, message)?;
                let after = self.rng.below(300);
                let answer = Input::Delivered { id: *id, seq: message.seq, delivery };
                self.schedule(after, Action::Answer(Box::new(answer)));
                return Ok(());
            }
            Effect::SessionAlive { server_id, .. } | Effect::SessionEnd { server_id, .. } => {
                let active = matches!(effect, Effect::SessionAlive { .. });
                let heard = self.connection != 0 && !self.half_open && self.server_up;
                if heard && let Some((_, session)) = self.server.by_id(server_id) {
                    session.active = active;
                }
                if let Effect::SessionEnd { id, .. } = effect {
                    let told = Input::EndTold { id, heard };
                    self.schedule(if heard { 1 } else { 5_000 }, Action::Answer(Box::new(told)));
                }
                return Ok(());
            }
            Effect::Connect { attempt, .. } => self.attempt = *attempt,
            Effect::Register { id, .. } => {
                // As the shell does: the session's key is durable before anything is sealed with it.
                self.stored.entry(*id).or_default();
            }
            _ => {}
        }
        let after = if self.calm { 1 } else { self.rng.below(400) };
        self.schedule(after, Action::Request(Box::new(effect)));
        Ok(())
    }

    /// The session is given a message.
    pub(super) fn deliver(&mut self, id: SessionId, message: &Arrived) -> Result<Delivery, String> {
        let Some(prompt) = &message.prompt else { return Err("our own record was delivered".to_owned()) };
        let busy = !self.calm && self.rng.per_mille(100);
        let local = self.locals.get_mut(&id).unwrap();
        let name = prompt.local_id.to_string();
        if busy {
            return Ok(Delivery::Later);
        }
        if is_unwelcome(&name) {
            self.counts.refusals += 1;
            local.refused.insert(name);
            return Ok(Delivery::Refused(Refusal::new(Code::WrongState, "no", "the desktop is in control")));
        }
        if !local.taken.contains(&name) {
            local.taken.push(name);
        }
        Ok(Delivery::Taken)
    }
}
