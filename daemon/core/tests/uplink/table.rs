//! The link by hand: inputs in, effects out.

use delight_core::actor::{Reducer, Stamp, Stamped};
use delight_core::uplink::{Effect, Facts, Fault, Input, MachineRow, SessionRow, Uplink};
use delight_proto::id::SessionId;
use delight_proto::sync::Object;
use delight_proto::sync::bounded::Id;
use serde_json::{Value, json};

pub(crate) fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::default(),
    }
}

/// A link and its clock.
pub(crate) struct Table {
    pub(crate) uplink: Uplink,
    pub(crate) now: u64,
}

impl Table {
    pub(crate) fn new() -> Self {
        let mut table = Self { uplink: Uplink::new(), now: 1_000 };
        let effects = table.give(Input::Begin {
            metadata: object(json!({"host": "h"})),
            daemon_state: object(json!({"status": "running"})),
        });
        assert!(matches!(effects[..], [Effect::Connect { attempt: 1, login: false, .. }]));
        table
    }

    pub(crate) fn online() -> Self {
        let mut table = Self::new();
        let _ = table.up(1);
        table
    }

    pub(crate) fn give(&mut self, input: Input) -> Vec<Effect> {
        let at = Stamp { mono_ms: self.now, wall_ms: self.now };
        let (uplink, effects) = std::mem::take(&mut self.uplink).reduce(Stamped { at, input });
        self.uplink = uplink;
        effects.into_iter().collect()
    }

    pub(crate) fn up(&mut self, attempt: u64) -> Vec<Effect> {
        let machine = MachineRow {
            metadata: Some(object(json!({"host": "h"}))),
            daemon_state: Some(object(json!({"status": "running"}))),
            ..MachineRow::default()
        };
        self.give(Input::Up { attempt, machine })
    }

    pub(crate) fn down(&mut self, fault: Fault, random: u64) -> Vec<Effect> {
        let attempt = self.attempt();
        self.give(Input::Down { attempt, fault, reason: "why".to_owned(), random })
    }

    pub(crate) fn attempt(&self) -> u64 {
        // Every connect counts one; asked for by a stale answer changing nothing.
        (1..100)
            .rev()
            .find(|attempt| {
                let at = Stamp { mono_ms: self.now, wall_ms: self.now };
                let down =
                    Input::Down { attempt: *attempt, fault: Fault::Later, reason: String::new(), random: 0 };
                self.uplink.clone().reduce(Stamped { at, input: down }).0.view() != self.uplink.view()
            })
            .unwrap_or(1)
    }

    /// Goes to the next deadline.
    pub(crate) fn tick(&mut self) -> (&'static str, Vec<Effect>) {
        let deadline = self.uplink.deadline().expect("something is due");
        assert!(deadline.at > self.now, "{deadline:?}");
        self.now = deadline.at;
        (deadline.what, self.give(Uplink::tick()))
    }

    pub(crate) fn seen(&mut self, live: bool, thinking: bool) -> Vec<Effect> {
        self.hear(Facts { thinking, ..facts(live, 0) })
    }

    pub(crate) fn hear(&mut self, facts: Facts) -> Vec<Effect> {
        self.give(Input::Seen { id: id(), facts: Box::new(facts), stored: None })
    }

    pub(crate) fn registered(&mut self) -> Vec<Effect> {
        let row = SessionRow {
            id: Id::cut("s"),
            seq: 0,
            metadata: Some(object(json!({"path": "/"}))),
            metadata_version: 0,
            agent_state: Some(object(json!({"requests": {}}))),
            agent_state_version: 0,
        };
        self.give(Input::Registered { id: id(), row: Box::new(row) })
    }
}

pub(crate) fn id() -> SessionId {
    SessionId::from_random([5; 10])
}

/// A session without an agent whose log ends with this event.
pub(crate) fn facts(live: bool, last_seq: u64) -> Facts {
    Facts {
        live,
        agent: false,
        thinking: false,
        control: None,
        last_seq,
        metadata: object(json!({"path": "/"})),
        agent_state: object(json!({"requests": {}})),
    }
}
