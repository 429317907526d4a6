//! What must hold of agents: what they are told, and what is on record of what they said.

use std::collections::BTreeMap;

use delight_proto::agent::{AgentEvent, AgentOrder, AgentRecord, RecordBody, Source};
use delight_proto::event::EventBody;
use delight_proto::id::SessionId;
use delight_proto::session::{Origin, Record};

use super::sim::{Sim, Verdict};
use crate::session::{AgentHeard, Happening};

/// Words of a runner that is over.
pub(super) fn stale_words(generation: u64) -> Happening {
    let record = AgentRecord { key: None, parent: None, body: RecordBody::Text { text: "late".into() } };
    let events = vec![AgentEvent::Ready, AgentEvent::Record { record }];
    Happening::Agent(Box::new(AgentHeard {
        generation,
        source: Source::Stream,
        offset: u64::MAX,
        first: 0,
        events,
    }))
}

impl Sim {
    /// An agent is told nothing that a daemon restarted now would not know.
    pub(super) fn may_be_given(&self, id: SessionId, stored: Option<&Record>, order: &AgentOrder) -> Verdict {
        let Some(stored) = stored else { return Err(format!("{id}: told and not stored")) };
        let agent = &stored.agent;
        let known = match order {
            AgentOrder::Prompt { message } => agent.queue.contains(message),
            AgentOrder::Decide { ask, decision } => agent.permissions.iter().any(|view| {
                view.ask.id == ask.id
                    && view.ended.as_ref().is_some_and(|end| end.decision.as_ref() == Some(decision))
            }),
            AgentOrder::Abort | AgentOrder::SetMode(_) | AgentOrder::End => true,
        };
        if known { Ok(()) } else { Err(format!("{id}: {order:?} is told and not stored")) }
    }

    /// At rest: every turn and every permission that began has ended or is open, once; nothing an agent wrote is lost or
    /// doubled. All that may be missing from a log is what power cuts took from its end, and of that nothing the record
    /// had come after is told again.
    pub(super) fn conversations_are_whole(&mut self) -> Verdict {
        let ids: Vec<SessionId> = self.disk.sessions.keys().copied().collect();
        for id in ids {
            self.counts_of(id);
            self.conversation_is_whole(id)?;
        }
        Ok(())
    }

    fn counts_of(&mut self, id: SessionId) {
        let Some(on_disk) = self.disk.sessions.get(&id) else { return };
        let count = |of: fn(&EventBody) -> bool| on_disk.log.iter().filter(|e| of(&e.body)).count() as u64;
        let counts = &mut self.counts;
        counts.prompts += count(|body| matches!(body, EventBody::MessageDelivered { .. }));
        counts.decisions += count(|body| matches!(body, EventBody::DecisionDelivered { .. }));
        counts.switches += count(
            |body| matches!(body, EventBody::ControlChanged { origin, .. } if *origin != Origin::Daemon),
        );
        counts.fall_backs += count(
            |body| matches!(body, EventBody::ControlChanged { origin, .. } if *origin == Origin::Daemon),
        );
        counts.withdrawn += count(|body| {
            matches!(body, EventBody::PermissionEnded { outcome, .. }
                if *outcome == delight_proto::agent::Outcome::Withdrawn)
        });
    }

    fn conversation_is_whole(&self, id: SessionId) -> Verdict {
        let Some(on_disk) = self.disk.sessions.get(&id) else { return Ok(()) };
        // What began before that is not in its log any more.
        let forgotten = self.disk.half_forgotten.contains(&id);
        let mut keys: BTreeMap<&str, u32> = BTreeMap::new();
        let mut turn: Option<&str> = None;
        let mut asked = BTreeMap::new();
        for event in &on_disk.history {
            match &event.body {
                EventBody::Recorded { record, .. } => {
                    if let Some(key) = &record.key {
                        *keys.entry(key).or_default() += 1;
                    }
                    match &record.body {
                        RecordBody::TurnStarted { turn: begun } => {
                            if let Some(open) = turn.replace(begun) {
                                return Err(format!("{id}: {begun} begins before {open} has ended"));
                            }
                        }
                        RecordBody::TurnEnded { turn: over, .. } => match turn.take() {
                            Some(open) if open == over => {}
                            None if forgotten => {}
                            _ => return Err(format!("{id}: {over} ends and was not begun")),
                        },
                        _ => {}
                    }
                }
                EventBody::PermissionAsked { ask, .. } if asked.insert(&ask.id, false) == Some(false) => {
                    return Err(format!("{id}: {} is asked again before it ended", ask.id));
                }
                EventBody::PermissionEnded { id: ended, .. } => match asked.insert(ended, true) {
                    Some(false) => {}
                    None if forgotten => {}
                    _ => return Err(format!("{id}: {ended} ended twice, or was never asked")),
                },
                _ => {}
            }
        }
        let view = self.daemon.as_ref().and_then(|d| d.actors.get(&id)).map(|actor| actor.session.view());
        let waits = view.and_then(|view| view.agent).map_or(0, |agent| agent.pending.len());
        if asked.values().filter(|ended| !**ended).count() != waits {
            return Err(format!("{id}: {waits} permissions wait; the log says {asked:?}"));
        }
        for key in self.kernel.written_keys(id).keys() {
            match keys.get(key.as_str()) {
                Some(1) => {}
                times => return Err(format!("{id}: {key} was written, and is {times:?} times on record")),
            }
        }
        Ok(())
    }
}
