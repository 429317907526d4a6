//! What the agent is told, and what becomes of it.

use delight_proto::agent::bounds::SHORT_TEXT;
use delight_proto::agent::{Activity, AgentOrder, Control, Mode, Outcome, is_effort};
use delight_proto::event::EventBody;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;

use super::callers::Tagged;
use super::state::{MAX_BYPASS_MS, Session};
use super::step::{Say, Step};
use crate::actor::Ticket;

impl Step {
    /// Has the agent told, as soon as this step is stored.
    pub(super) fn tell(&mut self, tagged: Tagged, order: AgentOrder) {
        let tag = self.s.callers.tag(tagged);
        self.say(Say::Tell { tag, order });
    }

    /// Tells the agent whatever is on record for it and not under way: after its start, and after its holder was found
    /// again. What it had been told before is recognised where it is written.
    pub(super) fn tell_all(&mut self) {
        if !self.s.can_be_told() {
            return;
        }
        let generation = self.s.record.generation;
        let decided = self.s.record.agent.permissions.iter().filter(|view| {
            view.generation == generation
                && view.ended.as_ref().is_some_and(|end| end.decision.is_some() && !end.delivered)
        });
        for id in decided.map(|view| view.ask.id.clone()).collect::<Vec<_>>() {
            self.tell_decision(&id);
        }
        self.tell_messages();
    }

    /// The same for messages alone.
    fn tell_messages(&mut self) {
        if self.s.is_ready() {
            for message in self.s.record.agent.queue.clone() {
                self.tell_message(&message);
            }
        }
    }

    /// The agent is busy: the message stays on record, with who waits for it.
    pub(super) fn tag_not_yet(&mut self, tag: u64) {
        self.s.callers.tagged.remove(&tag);
    }

    /// What an agent that takes one message at a time could not take before, it can take when it is idle.
    pub(super) fn tell_idle(&mut self) {
        let agent = &self.s.record.agent;
        let idle = agent.activity.is_some_and(|view| view.activity == Activity::Idle);
        if idle && !agent.queue.is_empty() && self.s.is_stable() && self.s.can_be_told() {
            self.tell_messages();
        }
    }

    pub(super) fn abort(&mut self, ticket: Ticket, origin: Origin) {
        let what = "the agent was not stopped";
        if let Some(refusal) = self.s.not_told(what, "press Esc in its terminal") {
            return self.refuse(ticket, refusal);
        }
        self.log(EventBody::AbortRequested { origin });
        self.withdraw_all("it was aborted");
        self.tell(Tagged::Abort { ticket }, AgentOrder::Abort);
    }

    pub(super) fn set_mode(&mut self, ticket: Ticket, origin: Origin, mode: Mode) {
        let what = "the mode was not set";
        if mode.is_empty() {
            let why = "neither a model nor a permission mode nor an effort is named";
            let refusal = Refusal::new(Code::BadParams, what, why);
            return self.refuse(ticket, refusal.fix("name one of them"));
        }
        let too_long =
            |text: &Option<String>| text.as_ref().is_some_and(|t| t.is_empty() || t.len() > SHORT_TEXT);
        if too_long(&mode.model) || too_long(&mode.permission_mode) {
            let refusal = Refusal::new(Code::BadParams, what, "a name is 1 to 1,024 bytes");
            return self.refuse(ticket, refusal.fix("give the agent's own name of it"));
        }
        // The next runner is started with it: one that cannot be would keep the session from ever running again.
        if mode.effort.as_deref().is_some_and(|name| !is_effort(name)) {
            let why = "an effort has 1 to 32 letters, digits, `-` and `_`";
            let refusal = Refusal::new(Code::BadParams, what, why);
            return self.refuse(ticket, refusal.fix("one of low, medium, high"));
        }
        if let Some(refusal) = self.s.not_told(what, "set it in its terminal") {
            return self.refuse(ticket, refusal);
        }
        self.tell(Tagged::SetMode { ticket, origin, mode: mode.clone() }, AgentOrder::SetMode(mode));
    }

    pub(super) fn bypass(&mut self, ticket: Ticket, origin: Origin, for_ms: Option<u64>) {
        let what = "asking was not switched";
        if let Some(refusal) = self.s.no_agent(what) {
            return self.refuse(ticket, refusal);
        }
        if for_ms.is_some_and(|ms| ms == 0 || ms > MAX_BYPASS_MS) {
            let why = format!("everything can be allowed for 1 to {MAX_BYPASS_MS} ms");
            return self.refuse(ticket, Refusal::new(Code::BadParams, what, why).fix("give a shorter time"));
        }
        if for_ms.is_some() && !self.s.record.phase.is_live() {
            return self.wrong_state(ticket, what, "it has ended", "resume it first");
        }
        let until_ms = for_ms.map(|ms| self.now.wall_ms.saturating_add(ms));
        self.s.bypass_ends = for_ms.map(|ms| self.now.mono_ms.saturating_add(ms));
        if until_ms != self.s.record.agent.bypass_until_ms {
            self.log(EventBody::BypassChanged { until_ms, origin });
        }
        self.say(Say::View { ticket, of_store: true });
    }

    /// Everything is asked again.
    pub(super) fn bypass_over(&mut self) {
        self.s.bypass_ends = None;
        self.log(EventBody::BypassChanged { until_ms: None, origin: Origin::Daemon });
    }

    pub(super) fn tag_done(&mut self, tag: u64) {
        match self.s.callers.tagged.remove(&tag) {
            Some(Tagged::Send { ticket, origin, bytes }) => {
                self.log(EventBody::InputSent { origin, bytes });
                self.say(Say::Sent { ticket, bytes });
            }
            Some(Tagged::Resize { ticket } | Tagged::Abort { ticket }) => {
                self.say(Say::View { ticket, of_store: false });
            }
            Some(Tagged::SetMode { ticket, origin, mode }) => {
                self.log(EventBody::ModeChanged { mode, origin });
                self.say(Say::View { ticket, of_store: false });
            }
            Some(Tagged::Prompt { id }) => self.message_delivered(&id),
            Some(Tagged::Decide { id }) => self.decision_delivered(&id),
            Some(Tagged::End) | None => {}
        }
    }

    pub(super) fn tag_failed(&mut self, tag: u64, refusal: Refusal) {
        match self.s.callers.tagged.remove(&tag) {
            Some(
                Tagged::Send { ticket, .. }
                | Tagged::Resize { ticket }
                | Tagged::Abort { ticket }
                | Tagged::SetMode { ticket, .. },
            ) => self.refuse(ticket, refusal),
            Some(Tagged::Prompt { id }) => self.drop_message(&id, &refusal),
            Some(Tagged::Decide { id }) => self.refuse_decides(&id, &refusal),
            Some(Tagged::End) | None => {}
        }
    }

    /// Whatever is under way to the holder will not be answered by it. Messages and decisions stay on record, with who
    /// waits for them.
    pub(super) fn refuse_tagged(&mut self, refusal: &Refusal) {
        for tagged in std::mem::take(&mut self.s.callers.tagged).into_values() {
            match tagged {
                Tagged::Send { ticket, .. }
                | Tagged::Resize { ticket }
                | Tagged::Abort { ticket }
                | Tagged::SetMode { ticket, .. } => self.refuse(ticket, refusal.clone()),
                Tagged::Prompt { .. } | Tagged::Decide { .. } | Tagged::End => {}
            }
        }
        self.untell();
    }

    /// The runner of the record's generation is over: what was asked of its agent is moot. Messages stay for the next.
    pub(super) fn agent_over(&mut self, why: &str) {
        self.end_turn();
        self.withdraw_all(why);
        let refusal = Refusal::new(Code::WrongState, "the agent does not have it", why.to_owned());
        let (mine, others) = std::mem::take(&mut self.s.callers.tagged)
            .into_iter()
            .partition(|(_, tagged)| !matches!(tagged, Tagged::Send { .. } | Tagged::Resize { .. }));
        self.s.callers.tagged = others;
        for tagged in std::collections::BTreeMap::into_values(mine) {
            if let Tagged::Abort { ticket } | Tagged::SetMode { ticket, .. } = tagged {
                self.refuse(ticket, refusal.clone());
            }
        }
        self.untell();
        for (_, ticket) in std::mem::take(&mut self.s.callers.decides) {
            self.refuse(ticket, refusal.clone());
        }
    }
}

impl Session {
    /// Why its agent cannot be told anything at present; `local` is how somebody at its terminal does it.
    fn not_told(&self, what: &str, local: &str) -> Option<Refusal> {
        let refuse = |why: &str, fix: &str| Some(Refusal::new(Code::WrongState, what, why).fix(fix));
        if let Some(refusal) = self.no_agent(what).or_else(|| self.unknown_state(what)) {
            return Some(refusal);
        }
        if self.record.agent.control == Some(Control::Local) && self.record.phase.is_live() {
            return refuse("the desktop drives", local);
        }
        if !self.is_stable() || !self.is_ready() {
            let why = format!("it is {}", super::reduce::phase_word(self.record.phase));
            return refuse(&why, "try again once it runs");
        }
        let requests = self.callers.tagged.values().filter(|tagged| tagged.is_request()).count();
        (requests >= super::state::MAX_TAGGED)
            .then(|| Refusal::new(Code::Busy, what, "the agent has not read yet what it was told before"))
    }
}

/// How a decision ends a permission.
pub(super) fn outcome_of(allow: bool) -> Outcome {
    if allow { Outcome::Allowed } else { Outcome::Denied }
}
