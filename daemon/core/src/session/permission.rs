//! Permissions: asked durably, ended exactly once, and the agent told.

use delight_proto::agent::bounds::PENDING;
use delight_proto::agent::{
    AgentOrder, Control, Decision, OnNoAnswer, Outcome, PermissionAsk, PermissionView, Scope,
};
use delight_proto::event::EventBody;
use delight_proto::id::PermissionId;
use delight_proto::policy::Effect;
use delight_proto::refusal::{Code, Refusal};
use delight_proto::session::Origin;

use super::bounding;
use super::callers::Tagged;
use super::effect::Answer;
use super::order::outcome_of;
use super::state::{MAX_BYPASS_MS, MAX_CALLERS, Session};
use super::step::{Say, Step};
use crate::actor::Ticket;

const WHAT: &str = "nothing was decided";

impl Step {
    /// The agent asks and waits. The same request again changes nothing.
    pub(super) fn permission_asked(&mut self, mut ask: PermissionAsk) {
        let generation = self.s.record.generation;
        let same = |view: &PermissionView| view.ask.id == ask.id && view.generation == generation;
        if self.s.served() != Some(Control::Remote) || self.s.record.agent.permissions.iter().any(same) {
            return;
        }
        let full = self.s.pending().count() >= PENDING;
        let verdict = self.s.verdict(&ask, self.now.wall_ms);
        bounding::ask(&mut ask);
        let id = ask.id.clone();
        let asks = verdict.effect == Effect::Ask && !full && self.s.ending.is_none();
        let expires = asks && !ask.question && self.s.policy.on_no_answer != OnNoAnswer::Wait;
        let expires = expires.then_some(self.s.policy.no_answer_ms);
        let expires_ms = expires.map(|ms| self.now.wall_ms.saturating_add(ms));
        self.log(EventBody::PermissionAsked { ask, expires_ms });
        if let Some(ms) = expires {
            self.s.expiries.insert(id, self.now.mono_ms.saturating_add(ms));
        } else if self.s.ending.is_some() {
            self.withdraw(&id, "the agent is being ended");
        } else if full && verdict.effect == Effect::Ask {
            self.decide_unasked(&id, false, format!("{PENDING} requests wait for a decision already"));
        } else if !asks {
            self.decide_unasked(&id, verdict.effect == Effect::Allow, verdict.why);
        }
    }

    /// The daemon decides, by the owner's policy.
    fn decide_unasked(&mut self, id: &PermissionId, allow: bool, why: String) {
        self.end_permission(id, outcome_of(allow), plain(allow, &why), Origin::Daemon, why);
    }

    fn end_permission(
        &mut self,
        id: &PermissionId,
        outcome: Outcome,
        decision: Decision,
        origin: Origin,
        why: String,
    ) {
        self.s.expiries.remove(id);
        let decision = Some(decision);
        self.log(EventBody::PermissionEnded { id: id.clone(), outcome, decision, origin, why });
        if self.s.can_be_told() {
            self.tell_decision(id);
        }
    }

    /// Has the agent told what was decided, unless that is under way.
    pub(super) fn tell_decision(&mut self, id: &PermissionId) {
        if self.s.callers.tagged.values().any(|t| matches!(t, Tagged::Decide { id: of } if of == id)) {
            return;
        }
        let Some(view) = self.s.record.agent.permissions.iter().find(|view| view.ask.id == *id) else {
            return;
        };
        let Some(decision) = view.ended.as_ref().and_then(|end| end.decision.clone()) else { return };
        let order = AgentOrder::Decide { ask: view.ask.clone(), decision };
        self.tell(Tagged::Decide { id: id.clone() }, order);
    }

    pub(super) fn decide(
        &mut self,
        ticket: Ticket,
        origin: Origin,
        permission: Option<&str>,
        decision: Decision,
    ) {
        let found = match self.s.no_agent(WHAT).or_else(|| self.s.unknown_state(WHAT)) {
            Some(refusal) => Err(refusal),
            None => self.s.find_permission(permission).cloned(),
        };
        let view = match found {
            Ok(view) => view,
            Err(refusal) => return self.refuse(ticket, refusal),
        };
        if self.s.callers.decides.len() >= MAX_CALLERS {
            let refusal = Refusal::new(Code::Busy, WHAT, "too many wait for decisions of this session");
            return self.refuse(ticket, refusal.fix("try again in a moment"));
        }
        let id = view.ask.id.clone();
        let Some(end) = view.ended else {
            self.s.callers.decides.push((id.clone(), ticket));
            return self.end_permission(&id, outcome_of(decision.allow), decision, origin, String::new());
        };
        match &end.decision {
            Some(before) if before.allow == decision.allow && before.answers == decision.answers => {
                let moot = view.generation != self.s.record.generation || !self.s.can_be_told();
                if end.delivered || moot {
                    return self.say(Say::Decided { ticket, id });
                }
                self.s.callers.decides.push((id.clone(), ticket));
                self.tell_decision(&id);
            }
            Some(before) => {
                let word = if before.allow { "allowed" } else { "denied" };
                let why = format!("already-decided: it was {word}");
                self.refuse(ticket, Refusal::new(Code::Conflict, WHAT, why).fix("the first answer holds"));
            }
            None => {
                let why = format!("already-decided: it was withdrawn: {}", end.why);
                self.refuse(
                    ticket,
                    Refusal::new(Code::Conflict, WHAT, why).fix("nothing waits for it any more"),
                );
            }
        }
    }

    pub(super) fn decision_delivered(&mut self, id: &PermissionId) {
        self.log(EventBody::DecisionDelivered { id: id.clone() });
        for ticket in self.take_decides(id) {
            self.say(Say::Decided { ticket, id: id.clone() });
        }
    }

    pub(super) fn refuse_decides(&mut self, id: &PermissionId, refusal: &Refusal) {
        for ticket in self.take_decides(id) {
            self.refuse(ticket, refusal.clone());
        }
    }

    fn take_decides(&mut self, id: &PermissionId) -> Vec<Ticket> {
        let waiting = &mut self.s.callers.decides;
        waiting.extract_if(.., |(of, _)| of == id).map(|(_, ticket)| ticket).collect()
    }

    /// It is moot, if it still waits.
    pub(super) fn withdraw(&mut self, id: &PermissionId, why: &str) {
        if self.s.pending().any(|view| view.ask.id == *id) {
            self.s.expiries.remove(id);
            self.log(EventBody::PermissionEnded {
                id: id.clone(),
                outcome: Outcome::Withdrawn,
                decision: None,
                origin: Origin::Daemon,
                why: why.to_owned(),
            });
        }
    }

    pub(super) fn withdraw_all(&mut self, why: &str) {
        for id in self.s.pending().map(|view| view.ask.id.clone()).collect::<Vec<_>>() {
            self.withdraw(&id, why);
        }
    }

    /// Nobody answered these in time.
    pub(super) fn permissions_expire(&mut self) {
        let now = self.now.mono_ms;
        let due: Vec<PermissionId> =
            self.s.expiries.iter().filter(|(_, at)| **at <= now).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.s.expiries.remove(&id);
            let asked = self.s.pending().find(|view| view.ask.id == id);
            let Some(verdict) = asked.and_then(|view| self.s.unanswered(&view.ask, self.now.wall_ms)) else {
                continue;
            };
            let allow = verdict.effect == Effect::Allow;
            let outcome = if allow { Outcome::Allowed } else { Outcome::Expired };
            self.end_permission(&id, outcome, plain(allow, &verdict.why), Origin::Daemon, verdict.why);
        }
    }

    /// After the daemon's restart: clocks of another life say nothing, the record's times do.
    pub(super) fn rearm(&mut self) {
        let wall = self.now.wall_ms;
        let at = |until: u64, longest: u64| {
            self.now.mono_ms.saturating_add(until.saturating_sub(wall).min(longest))
        };
        let longest = 86_400_000;
        let expiries = self.s.pending().filter_map(|v| Some((v.ask.id.clone(), at(v.expires_ms?, longest))));
        let expiries = expiries.collect();
        let bypass_ends = self.s.record.agent.bypass_until_ms.map(|until| at(until, MAX_BYPASS_MS));
        self.s.expiries = expiries;
        self.s.bypass_ends = bypass_ends;
    }
}

impl Session {
    /// The answer to who decided.
    pub(super) fn decided(&self, id: &PermissionId) -> Result<Answer, Refusal> {
        let view = self.record.agent.permissions.iter().find(|view| view.ask.id == *id);
        view.map(|view| Answer::Decided(Box::new(view.clone()))).ok_or_else(|| unknown("it is forgotten"))
    }

    /// Permissions that wait for a decision, oldest first.
    pub(super) fn pending(&self) -> impl Iterator<Item = &PermissionView> {
        self.record.agent.permissions.iter().filter(|view| view.ended.is_none())
    }

    /// The permission somebody means: its whole id, or a prefix that fits one, of those that wait before the others;
    /// nothing: the only one that waits.
    fn find_permission(&self, wanted: Option<&str>) -> Result<&PermissionView, Refusal> {
        let Some(text) = wanted else {
            let mut pending = self.pending();
            return match (pending.next(), pending.count()) {
                (None, _) => Err(unknown("nothing waits for a decision")),
                (Some(only), 0) => Ok(only),
                (Some(_), more) => Err(self.ambiguous(&format!("{} wait for a decision", more + 1))),
            };
        };
        let all = &self.record.agent.permissions;
        if let Some(exact) = all.iter().rfind(|view| view.ask.id.as_str() == text) {
            return Ok(exact);
        }
        for ended in [false, true] {
            let fits = |view: &&PermissionView| {
                !text.is_empty() && view.ended.is_some() == ended && view.ask.id.as_str().starts_with(text)
            };
            let mut fitting = all.iter().filter(fits);
            match (fitting.next(), fitting.count()) {
                (None, _) => {}
                (Some(one), 0) => return Ok(one),
                (Some(_), more) => {
                    return Err(self.ambiguous(&format!("{text:?} fits {} of them", more + 1)));
                }
            }
        }
        let shown: String = text.chars().take(80).collect();
        Err(unknown(&format!("unknown-request: no permission of this session is {shown:?}")))
    }

    fn ambiguous(&self, why: &str) -> Refusal {
        let ids: Vec<&str> = self.pending().take(8).map(|view| view.ask.id.as_str()).collect();
        Refusal::new(Code::Ambiguous, WHAT, format!("{why}: {}", ids.join(", "))).fix("name one of them")
    }
}

/// A decision of the daemon's: for this once, and with a no the reason.
fn plain(allow: bool, why: &str) -> Decision {
    let reason = (!allow).then(|| why.to_owned());
    Decision { allow, scope: Scope::Once, reason, answers: None, permission_mode: None }
}

fn unknown(why: &str) -> Refusal {
    Refusal::new(Code::NotFound, WHAT, why).fix("delightctl permissions lists what waits")
}
