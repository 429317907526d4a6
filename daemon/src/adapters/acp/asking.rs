//! Permission requests of the agent's that wait, and how each is answered.

use std::collections::VecDeque;

use delight_proto::agent::{AgentEvent, Decision, Scope, bounds};
use serde_json::{Value, json};

use super::shapes::Choice;
use crate::adapters::json_rpc::{self, Id};

/// Those that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct Asking(VecDeque<Open>);

#[derive(Debug)]
struct Open {
    id: Id,
    name: String,
    options: Vec<Choice>,
}

impl Asking {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One more waits. With too many the oldest is cancelled: gives the line that says so.
    pub(super) fn open(
        &mut self,
        id: Id,
        name: String,
        options: Vec<Choice>,
        events: &mut Vec<AgentEvent>,
    ) -> Vec<u8> {
        let mut line = Vec::new();
        if self.0.len() == bounds::PENDING
            && let Some(oldest) = self.0.pop_front()
        {
            line = cancel(&oldest.id);
            events.extend(withdrawn(&oldest));
        }
        self.0.push_back(Open { id, name, options });
        line
    }

    /// This one is known to be answered: that was written.
    pub(super) fn answered(&mut self, id: &Id) {
        self.0.retain(|open| open.id != *id);
    }

    /// The line that tells a decision; nothing when the request is not open: it was answered, or the agent does not wait
    /// any more.
    pub(super) fn decide(&mut self, name: &str, decision: &Decision) -> Vec<u8> {
        let at = self.0.iter().position(|open| open.name == name);
        let open = at.and_then(|at| self.0.remove(at));
        open.map_or_else(Vec::new, |open| json_rpc::response(&open.id, &answer(decision, &open.options)))
    }

    /// The lines that cancel all of them. They stay open until that is known to be written.
    pub(super) fn cancel_all(&self) -> Vec<u8> {
        self.0.iter().flat_map(|open| cancel(&open.id)).collect()
    }

    /// The turn is over, and with it whatever was asked in it.
    pub(super) fn over(&mut self, events: &mut Vec<AgentEvent>) {
        events.extend(std::mem::take(&mut self.0).iter().filter_map(withdrawn));
    }
}

fn withdrawn(open: &Open) -> Option<AgentEvent> {
    open.name.parse().ok().map(|id| AgentEvent::Withdrawn { id })
}

/// The line that cancels a request.
pub(super) fn cancel(id: &Id) -> Vec<u8> {
    json_rpc::response(id, &cancelled())
}

fn cancelled() -> Value {
    json!({"outcome": {"outcome": "cancelled"}})
}

/// The agent's own option for a decision. Their ids differ from agent to agent; their kinds do not.
fn answer(decision: &Decision, options: &[Choice]) -> Value {
    let kinds = match (decision.allow, decision.scope) {
        (true, Scope::Once) => ["allow_once", "allow_always"],
        (true, Scope::Session) => ["allow_always", "allow_once"],
        (false, _) => ["reject_once", "reject_always"],
    };
    // Once where "always" was meant asks again; "always" where once was meant would be more than was allowed.
    let kinds = if decision.allow && decision.scope == Scope::Once { &kinds[..1] } else { &kinds[..] };
    let chosen = kinds.iter().find_map(|kind| options.iter().find(|option| option.kind == *kind));
    match chosen {
        Some(option) => json!({"outcome": {"outcome": "selected", "optionId": option.option_id}}),
        None => cancelled(),
    }
}
