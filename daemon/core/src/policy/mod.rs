//! What an agent may do without asking a person. Deny beats ask, ask beats allow, and what cannot be told is asked.
//!
//! An allow must be certain: it covers a command only when every character of it is plain (`plain`). A deny looks as
//! deep as it can see (`seen`); where something may be hidden from it, a person is asked.

mod check;
mod fit;
mod paths;
mod plain;
mod programs;
mod seen;

use delight_proto::agent::{OnNoAnswer, PermissionAsk};
use delight_proto::id::SessionId;
use delight_proto::policy::{Effect, Policy, Reach, Rule, Verdict};

pub use self::check::{checked, no_answer_in_bounds};
use self::fit::{Fit, Request};

/// Where and when something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances<'a> {
    /// The session; none: rules that hold in one session do not count.
    pub session: Option<SessionId>,
    /// Its working directory, absolute.
    pub cwd: &'a str,
    /// Until when everything is allowed unasked, in Unix milliseconds.
    pub bypass_until_ms: Option<u64>,
    /// Unix milliseconds.
    pub now_ms: u64,
}

/// What the policy says of a request.
///
/// Questions are always a person's. While everything is allowed unasked, only a rule that denies (or may deny) counts.
#[must_use]
pub fn evaluate(policy: &Policy, ask: &PermissionAsk, at: &Circumstances<'_>) -> Verdict {
    if ask.question {
        return verdict(Effect::Ask, "it is a question to a person".to_owned(), None);
    }
    let request = Request::new(ask, at.cwd);
    let of =
        |effect: Effect| policy.rules.iter().filter(move |rule| rule.effect == effect && holds(rule, at));
    let mut doubtful = None;
    for rule in of(Effect::Deny) {
        match request.covered(rule) {
            Fit::Yes => return verdict(Effect::Deny, describe(rule), Some(rule)),
            Fit::Maybe => doubtful = doubtful.or(Some(rule)),
            Fit::No => {}
        }
    }
    if let Some(rule) = doubtful {
        let why = format!("{} may cover it, and that cannot be told for certain", describe(rule));
        return verdict(Effect::Ask, why, Some(rule));
    }
    if at.bypass_until_ms.is_some_and(|until| at.now_ms < until) {
        return verdict(Effect::Allow, "everything is allowed in this session for a while".to_owned(), None);
    }
    if let Some(rule) = of(Effect::Ask).find(|rule| request.covered(rule) != Fit::No) {
        return verdict(Effect::Ask, describe(rule), Some(rule));
    }
    if let Some(rule) = of(Effect::Allow).find(|rule| request.covered(rule) == Fit::Yes) {
        return verdict(Effect::Allow, describe(rule), Some(rule));
    }
    verdict(Effect::Ask, "no rule covers it".to_owned(), None)
}

/// What becomes of a request nobody has answered in the policy's time; none: it waits on.
///
/// A rule that denies is asked again: it may be newer than the request.
#[must_use]
pub fn unanswered(policy: &Policy, ask: &PermissionAsk, at: &Circumstances<'_>) -> Option<Verdict> {
    if ask.question || policy.on_no_answer == OnNoAnswer::Wait {
        return None;
    }
    let now = evaluate(policy, ask, at);
    if now.effect == Effect::Deny {
        return Some(now);
    }
    let (effect, why) = match policy.on_no_answer {
        OnNoAnswer::AllowReadOnly if ask.read_only => {
            (Effect::Allow, "nobody answered in time, and it only reads")
        }
        _ => (Effect::Deny, "nobody answered in time"),
    };
    Some(verdict(effect, why.to_owned(), None))
}

/// Whether a rule counts here and now.
fn holds(rule: &Rule, at: &Circumstances<'_>) -> bool {
    let reaches = match &rule.reach {
        Reach::Session { session } => at.session == Some(*session),
        Reach::Project { directory } => {
            paths::normal("/", at.cwd).is_some_and(|cwd| paths::below(directory, &cwd))
        }
        Reach::Machine => true,
    };
    reaches && rule.expires_ms.is_none_or(|until| at.now_ms < until)
}

fn verdict(effect: Effect, why: String, rule: Option<&Rule>) -> Verdict {
    Verdict { effect, why, rule: rule.map(|rule| rule.id) }
}

/// A rule in words: `rule 3 (deny command "git push" in /src)`.
#[must_use]
pub fn describe(rule: &Rule) -> String {
    let mut words = match rule.effect {
        Effect::Allow => "allow",
        Effect::Ask => "ask",
        Effect::Deny => "deny",
    }
    .to_owned();
    for (what, text) in [("tool", &rule.tool), ("command", &rule.command), ("path", &rule.path)] {
        if let Some(text) = text {
            words = format!("{words} {what} {text:?}");
        }
    }
    if rule.tool.is_none() && rule.command.is_none() && rule.path.is_none() {
        words.push_str(" everything");
    }
    match &rule.reach {
        Reach::Session { session } => words = format!("{words} in session {session}"),
        Reach::Project { directory } => words = format!("{words} in {directory}"),
        Reach::Machine => {}
    }
    format!("rule {} ({words})", rule.id)
}
