//! Who decides about a request before a person is asked: the owner's policy, or what was allowed for the session.

use delight_proto::agent::{Allowed, PermissionAsk, PermissionView, Scope};
use delight_proto::policy::{Effect, Verdict};

use super::state::Session;
use crate::policy::{self, Circumstances};

/// What an ended permission allows from now on, if its decision says so.
pub(super) fn remembered(view: &PermissionView) -> Option<Allowed> {
    let decision = view.ended.as_ref()?.decision.as_ref()?;
    let holds = decision.allow && decision.scope == Scope::Session && !view.ask.question;
    holds.then(|| likeness(&view.ask))
}

/// What another request must be equal in to be the same thing again.
fn likeness(ask: &PermissionAsk) -> Allowed {
    let command = ask.command.clone();
    let input = command.is_none().then(|| ask.input.clone());
    Allowed { tool: ask.tool.clone(), command, input }
}

impl Session {
    /// What is done about a request: allowed or denied unasked, or a person asked. The owner's denials and wishes to be
    /// asked beat what was allowed for the session.
    pub(super) fn verdict(&self, ask: &PermissionAsk, wall_ms: u64) -> Verdict {
        let record = &self.record;
        let verdict = policy::evaluate(&self.policy, ask, &self.circumstances(wall_ms));
        let is_like = |allowed: &Allowed| *allowed == likeness(ask);
        let open = verdict.effect == Effect::Ask && verdict.rule.is_none() && !ask.question;
        if open && record.agent.allowed.iter().any(is_like) {
            let why = "the same was allowed for this session before".to_owned();
            return Verdict { effect: Effect::Allow, why, rule: None };
        }
        verdict
    }

    /// What becomes of a request nobody answered in time; none: it waits on.
    pub(super) fn unanswered(&self, ask: &PermissionAsk, wall_ms: u64) -> Option<Verdict> {
        policy::unanswered(&self.policy, ask, &self.circumstances(wall_ms))
    }

    fn circumstances(&self, now_ms: u64) -> Circumstances<'_> {
        Circumstances {
            session: Some(self.record.id),
            cwd: &self.record.spec.cwd,
            // Its end is a deadline of ours: a clock that was set must not prolong it, and need not cut it short.
            bypass_until_ms: self.bypass_ends.map(|_| u64::MAX),
            now_ms,
        }
    }
}
