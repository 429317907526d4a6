//! Agents over the control API: what a phone or `delightctl` asks of them, and what they are heard to say.

use delight_proto::agent::{AgentOptions, Control, Decision, PermissionView, RecordBody, Scope};
use delight_proto::api::method::{
    DecideParams, EventsParams, PromptParams, SessionDecide, SessionEvents, SessionPrompt, SessionSpawn,
    SessionStop, SessionSwitch, SpawnParams, StopParams, SwitchParams,
};
use delight_proto::event::{Event, EventBody};
use delight_proto::id::{LocalId, SessionId};
use delight_proto::refusal::Refusal;
use delight_proto::session::SessionView;

use crate::api::{Client, spawn};
use crate::{until, until_some};

/// Parameters of a fake agent's session.
#[must_use]
pub fn fake(control: Control, arguments: &[&str]) -> SpawnParams {
    let agent = AgentOptions { control: Some(control), ..AgentOptions::default() };
    SpawnParams { kind: "fake".to_owned(), agent, ..spawn(arguments) }
}

/// Yes or no, for this once.
#[must_use]
pub fn answer(allow: bool, reason: Option<&str>) -> Decision {
    Decision {
        allow,
        scope: Scope::Once,
        reason: reason.map(str::to_owned),
        answers: None,
        permission_mode: None,
    }
}

/// What the agent said and what failed, in order; failures begin with `error: `.
#[must_use]
pub fn words(events: &[Event]) -> Vec<String> {
    let said = events.iter().filter_map(|event| match &event.body {
        EventBody::Recorded { record, .. } => match &record.body {
            RecordBody::Text { text } => Some(text.clone()),
            RecordBody::Error { message, .. } => Some(format!("error: {message}")),
            _ => None,
        },
        _ => None,
    });
    said.collect()
}

impl Client {
    /// Starts a fake agent and fails the test when that fails.
    #[track_caller]
    pub fn spawn_fake(&mut self, control: Control, arguments: &[&str]) -> SessionId {
        let view = self.call::<SessionSpawn>(&fake(control, arguments)).expect("the agent starts");
        assert_eq!(view.agent.as_ref().map(|agent| agent.control), Some(control), "{view:?}");
        view.id
    }

    /// Gives the agent a message.
    ///
    /// # Errors
    /// The daemon's refusal.
    #[track_caller]
    pub fn prompt(&mut self, id: SessionId, text: &str) -> Result<LocalId, Refusal> {
        self.prompt_as(id, text, None)
    }

    /// The same under an id of one's own.
    ///
    /// # Errors
    /// The daemon's refusal.
    #[track_caller]
    pub fn prompt_as(
        &mut self,
        id: SessionId,
        text: &str,
        local_id: Option<&str>,
    ) -> Result<LocalId, Refusal> {
        let local_id = local_id.map(|id| id.parse().expect("a message id"));
        let params = PromptParams { session: id.to_string(), text: text.to_owned(), local_id };
        self.call::<SessionPrompt>(&params).map(|result| result.local_id)
    }

    /// Answers a request; without an id the only one that waits.
    ///
    /// # Errors
    /// The daemon's refusal.
    #[track_caller]
    pub fn decide(
        &mut self,
        id: SessionId,
        permission: Option<&str>,
        decision: Decision,
    ) -> Result<PermissionView, Refusal> {
        let permission = permission.map(str::to_owned);
        self.call::<SessionDecide>(&DecideParams { session: id.to_string(), permission, decision })
    }

    /// Hands control over.
    ///
    /// # Errors
    /// The daemon's refusal.
    #[track_caller]
    pub fn switch(&mut self, id: SessionId, to: Control) -> Result<SessionView, Refusal> {
        self.call::<SessionSwitch>(&SwitchParams { session: id.to_string(), to })
    }

    /// Ends a session.
    #[track_caller]
    pub fn stop(&mut self, id: SessionId, kill: bool) -> SessionView {
        let params = StopParams { session: id.to_string(), kill, grace_ms: None };
        self.call::<SessionStop>(&params).expect("the session ends")
    }

    /// Every event of a session after a number.
    #[track_caller]
    pub fn events_after(&mut self, id: SessionId, mut after: u64) -> Vec<Event> {
        let mut all = Vec::new();
        loop {
            let params = EventsParams { session: id.to_string(), after, limit: 1_000 };
            let page = self.call::<SessionEvents>(&params).expect("events can be read").events;
            let Some(last) = page.last() else { return all };
            after = last.seq;
            all.extend(page);
        }
    }

    /// Every event of a session. Fails the test unless their numbers are whole.
    #[track_caller]
    pub fn events(&mut self, id: SessionId) -> Vec<Event> {
        let events = self.events_after(id, 0);
        assert!(events.iter().map(|event| event.seq).eq(1..=events.len() as u64), "no number is missing");
        events
    }

    /// Waits until the agent has said exactly this.
    #[track_caller]
    pub fn until_said(&mut self, id: SessionId, text: &str) {
        let mut seen = 0;
        until(&format!("the agent of {id} says {text:?}"), || {
            let events = self.events_after(id, seen);
            seen = events.last().map_or(seen, |event| event.seq);
            words(&events).iter().any(|word| word == text)
        });
    }

    /// Waits until the agent asks for something, and returns what.
    #[track_caller]
    pub fn until_asked(&mut self, id: SessionId) -> PermissionView {
        until_some(&format!("the agent of {id} asks"), || {
            self.get(id).agent.and_then(|agent| agent.pending.into_iter().next())
        })
    }
}
